"""What an index holds, video by video, and taking one video out of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.rejects import write_rejects
from pipelines.searchable import Seen, note_searchable, read_log
from transforms.errors import MissingIndex, UsageError
from transforms.index.ledger import read_entries
from transforms.index.location import IndexLocation
from transforms.index.lock import holder, writing
from transforms.index.open import open_reader, open_writer, read_schema, release
from transforms.index.publish import publish
from transforms.index.unpublished import mark_published, mark_unpublished
from transforms.records import LedgerEntry
from transforms.remove import forget_video
from transforms.uris import shown, uri_of_path


@dataclass(frozen=True, slots=True)
class VideoStatus:
    """One video of the index."""

    video: str
    state: str
    clips: int
    vectors: tuple[str, ...]
    searchable_since: str | None
    duration_seconds: float
    rejects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The index as it was published last; `writer` names the process that is writing it now."""

    index: str
    recipe: str
    recipe_fingerprint: str
    videos: tuple[VideoStatus, ...]
    totals: dict[str, int]
    seconds_of_video: float
    writer: str | None
    since: str | None = None  # only videos that became searchable since then are listed
    left: tuple[str, ...] = ()  # videos that left since then; a server's index keeps no account of these


def status(location: IndexLocation, *, since: datetime | None = None) -> StatusReport:
    """Read the ledger, and since when readers can find each video; raises MissingIndex."""
    reader = open_reader(location)
    try:
        entries = {uri: entry for uri, entry in read_entries(reader).items() if entry.state != "deleted"}
        schema = reader.schema
    finally:
        reader.close()
    seen = read_log(location)
    videos = tuple(
        _video(entry, seen.get(entry.uri)) for entry in sorted(entries.values(), key=lambda entry: entry.uri)
    )
    totals = {"videos": len(videos), "clips": sum(video.clips for video in videos)}
    for video in videos:
        totals[video.state] = totals.get(video.state, 0) + 1
    writer = holder(location)
    left: tuple[str, ...] = ()
    if since is not None:
        videos = tuple(video for video in videos if _since(video.searchable_since, since))
        left = tuple(sorted(shown(one.uri) for one in seen.values() if not one.content and _since(one.at, since)))
    return StatusReport(
        index=str(location),
        recipe=schema.recipe_name,
        recipe_fingerprint=schema.recipe,
        videos=videos,
        totals=totals,
        seconds_of_video=round(sum(entry.duration_seconds for entry in entries.values() if entry.clips), 3),
        writer=str(writer) if writer else None,
        since=since.astimezone(UTC).isoformat(timespec="seconds") if since else None,
        left=left,
    )


def forget(location: IndexLocation, name: str, *, wait: bool = False) -> int:
    """Take one video out of the index and keep it out; gives the number of clips deleted.

    `name` is its URI or its path. Raises UsageError where the index does not know it.
    """
    schema = read_schema(location)
    if schema is None:
        raise MissingIndex(f"there is no index at {location}")
    uri = name if "://" in name else uri_of_path(Path(name))
    with writing(location, command="forget", wait=wait):
        store = open_writer(location, schema)
        try:
            entries = read_entries(store)
            if uri not in entries:
                near = [shown(known) for known in entries if Path(shown(known)).name == Path(name).name]
                hint = f"; did you mean {near[0]}?" if near else ""
                raise UsageError(f"the index {location} knows no video {name!r}{hint}")
            mark_unpublished(location)
            clips = forget_video(store, entries[uri])
            publish(location, store, optimize=False)
            mark_published(location)
            if location.kind == "edge":
                note_searchable(location)
            write_rejects(location, read_entries(store).values())
            return clips
        finally:
            store.close()
            release(location)


def _since(at: str | None, since: datetime) -> bool:
    return bool(at) and datetime.fromisoformat(str(at)) >= since


def _video(entry: LedgerEntry, seen: Seen | None) -> VideoStatus:
    proven = seen is not None and bool(seen.content) and seen.content == entry.live_content
    return VideoStatus(
        video=shown(entry.uri),
        state=entry.state,
        clips=entry.clips,
        vectors=tuple(name for name, _ in entry.vectors),
        searchable_since=(seen.at if proven and seen else entry.searchable_since) or None,
        duration_seconds=round(entry.duration_seconds, 3),
        rejects=tuple(reject.message for reject in entry.rejects),
    )
