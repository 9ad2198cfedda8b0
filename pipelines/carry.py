"""Bring what one space of an index holds into another, where nothing has to be decoded for it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.refill import RefillFrom, made_again
from transforms import interrupt
from transforms.encode import Models
from transforms.index.kinds import CLIP, points_of
from transforms.index.ledger import read_entries, write_entries
from transforms.index.store import AnyOf, Equals, Reader, VectorStore, Where
from transforms.progress import listener
from transforms.recipe import Recipe
from transforms.records import ClipPoint, LedgerEntry, VideoRef, Work
from transforms.remove import remove_videos
from transforms.write.whole import whole_from

#: Clips that are read, made and written at once.
_GROUP_CLIPS = 512


@dataclass(frozen=True, slots=True)
class Carrying:
    """What of a space is still to be brought over."""

    settled: tuple[LedgerEntry, ...]  # entries without live clips: rejected, skipped, forgotten
    live: tuple[LedgerEntry, ...]
    stale: tuple[LedgerEntry, ...]  # of the space that is filled: what an earlier try brought and is not true any more


def left_to_carry(before: Mapping[str, LedgerEntry], target: VectorStore) -> Carrying:
    """Compare the ledgers of the space in use and of the one that is filled: a killed fill goes on where it was."""
    held = read_entries(target)
    open_ = [entry for uri, entry in before.items() if uri not in held or _version(held[uri]) != _version(entry)]
    return Carrying(
        settled=tuple(entry for entry in open_ if not entry.live_content),
        live=tuple(entry for entry in open_ if entry.live_content),
        stale=tuple(
            entry for uri, entry in held.items() if uri not in before or _version(entry) != _version(before[uri])
        ),
    )


def carry_settled(target: VectorStore, carrying: Carrying, recipe: Recipe) -> None:
    """Enter what has no clips, and take out what is not true any more."""
    remove_videos(target, carrying.stale)
    write_entries(
        target, [replace(entry, recipe=recipe.fingerprint if entry.recipe else "") for entry in carrying.settled]
    )
    target.flush()


def carry_stored(
    donor: Reader, target: VectorStore, entries: Sequence[LedgerEntry], recipe: Recipe, refill: RefillFrom
) -> int:
    """Make the clips of these videos again from what is stored; gives their number."""
    models = Models.load(recipe, only=refill.change.sections)
    prints = tuple(sorted(recipe.vector_fingerprints().items()))
    written = 0
    for group in groups(entries, _GROUP_CLIPS):
        if interrupt.requested():
            break
        uris = tuple(entry.uri for entry in group)
        wanted = Where((Equals("kind", CLIP), Equals("live", True), AnyOf("uri", uris)))
        held = list(donor.scroll(wanted, vectors=refill.kept, batch=_GROUP_CLIPS))
        by_video: dict[str, list[ClipPoint]] = defaultdict(list)
        for point in made_again(held, recipe, refill.change, models):
            by_video[str(point.payload["uri"])].append(point)
        for uri in uris:
            target.delete(points_of(uri))
        for entry in group:
            clips = [_of_entry(point, entry) for point in by_video[entry.uri]]
            whole = whole_from(entry, clips)
            target.upsert(clips + ([whole] if whole is not None else []))
            written += len(clips)
        target.flush()
        write_entries(
            target,
            [
                replace(entry, recipe=recipe.fingerprint, vectors=prints, clips=len(by_video[entry.uri]))
                for entry in group
            ],
        )
        target.flush()
        for entry in group:
            listener().segment_done(entry.duration_seconds, len(by_video[entry.uri]))
            listener().video_done()
    return written


def _of_entry(point: ClipPoint, entry: LedgerEntry) -> ClipPoint:
    """The clip with the metadata that its video has now."""
    return ClipPoint(point.id, point.vectors, {**point.payload, "metadata": dict(entry.metadata)})


def work_of(entries: Sequence[LedgerEntry]) -> list[Work]:
    """The videos to decode for what nothing stored can give."""
    return [
        Work(
            VideoRef(entry.uri, entry.size_bytes, entry.version, True, entry.origin, entry.metadata),
            entry.live_content if entry.live_content == entry.content else "",
        )
        for entry in entries
    ]


def _version(entry: LedgerEntry) -> tuple[object, ...]:
    return entry.size_bytes, entry.version, entry.content, entry.live_content, entry.state, entry.metadata


def groups(entries: Sequence[LedgerEntry], most_clips: int) -> Iterator[list[LedgerEntry]]:
    """Videos whose clips are brought over together; more than `most_clips` only where one video has them."""
    group: list[LedgerEntry] = []
    clips = 0
    for entry in entries:
        if group and clips + entry.clips > most_clips:
            yield group
            group, clips = [], 0
        group.append(entry)
        clips += entry.clips
    if group:
        yield group
