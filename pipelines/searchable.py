"""Since when each video can be found, proven by finding it: `searchable.jsonl` beside a folder's index.

On a server a commit is seen at once, and its time is in the ledger. In a folder readers see a commit at the next
publication, so the time of that is what counts. Writing it into the ledger would need a publication of its own; it goes
into a small log instead, one line for each video that came, or left, after a fresh reader has found it.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from transforms.index.kinds import CLIP, LIVE_CLIPS, clips_of
from transforms.index.ledger import read_some, scroll_entries
from transforms.index.location import IndexLocation
from transforms.index.manifest import write_atomically
from transforms.index.open import open_reader
from transforms.index.store import AnyOf, Equals, Query, Reader, Where
from transforms.records import LedgerEntry
from transforms.write.commit import now

LOG = "searchable.jsonl"

#: So many of the videos that one publication shows are looked for by a search each; all of them are counted.
MOST_PROBES = 100
_COUNTED_TOGETHER = 500
#: A log with more lines than this for each video it knows is written anew, one line a video.
_LINES_A_VIDEO = 4


@dataclass(frozen=True, slots=True)
class Seen:
    """A video became searchable at this time, or (content "") left."""

    uri: str
    at: str  # ISO 8601, UTC
    content: str = ""
    proven: bool = True  # found by a reader; else the time is that of the commit, from before there was a log


def log_path(location: IndexLocation) -> Path:
    """The log of a folder's index."""
    return location.path / LOG


def read_log(location: IndexLocation) -> dict[str, Seen]:
    """What is known of each video last, by URI; a line that a crash tore is left out. Empty for a server."""
    found, _ = _read(location)
    return found


def note_searchable(location: IndexLocation, *, committed_before: str = "") -> list[LedgerEntry]:
    """After a publication: prove that what it shows can be found, and note the time; gives what was not found.

    What was not found is not noted, and looked for again after the next publication. Where an index has no log yet,
    videos committed before `committed_before` are noted with the time of their commit.
    """
    known, lines = _read(location)
    older = not log_path(location).exists()
    reader = open_reader(location)
    try:
        left = {uri for uri, seen in known.items() if seen.content}
        came = []
        for entry in scroll_entries(reader):
            if entry.live_content:
                left.discard(entry.uri)
                if entry.uri not in known or known[entry.uri].content != entry.live_content:
                    came.append(entry)
        missed = prove(reader, came)
    finally:
        reader.close()
    at, unfound = now(), {entry.uri for entry in missed}
    fresh = [
        Seen(entry.uri, entry.searchable_since, entry.live_content, proven=False)
        if older and entry.searchable_since < committed_before
        else Seen(entry.uri, at, entry.live_content)
        for entry in came
        if entry.uri not in unfound
    ]
    fresh += [Seen(uri, at) for uri in known if uri in left]
    _append(location, known, fresh, lines)
    return missed


def note_some(location: IndexLocation, uris: Iterable[str]) -> list[LedgerEntry]:
    """`note_searchable` for these videos alone, which came or left; reads nothing of any other."""
    named = set(uris)
    if not named:
        return []
    reader = open_reader(location)
    try:
        live = {uri: entry for uri, entry in read_some(reader, named).items() if entry.live_content}
        missed = prove(reader, list(live.values()))
    finally:
        reader.close()
    at, unfound = now(), {entry.uri for entry in missed}
    came = [Seen(entry.uri, at, entry.live_content) for entry in live.values() if entry.uri not in unfound]
    _append(location, {}, [*came, *(Seen(uri, at) for uri in sorted(named - live.keys()))], 0)
    return missed


def prove_committed(location: IndexLocation, uris: Iterable[str]) -> list[LedgerEntry]:
    """On a server: those of these videos that are committed and that a fresh reader does not find."""
    reader = open_reader(location)
    try:
        return prove(reader, [entry for entry in read_some(reader, uris).values() if entry.live_content])
    finally:
        reader.close()


def prove(reader: Reader, entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Those that the reader does not find: all are counted, and `MOST_PROBES`, evenly spaced, are searched for."""
    missed: dict[str, LedgerEntry] = {}
    for start in range(0, len(entries), _COUNTED_TOGETHER):
        some = entries[start : start + _COUNTED_TOGETHER]
        where = Where((*LIVE_CLIPS.must, AnyOf("uri", tuple(entry.uri for entry in some))))
        if reader.count(where) != sum(entry.clips for entry in some):
            for entry in some:
                if reader.count(clips_of(entry.uri, Equals("live", True))) < max(1, entry.clips):
                    missed[entry.uri] = entry
    step = max(1, -(-len(entries) // MOST_PROBES))
    for entry in entries[::step]:
        if not _is_found(reader, entry):
            missed[entry.uri] = entry
    return list(missed.values())


def _is_found(reader: Reader, entry: LedgerEntry) -> bool:
    """Whether one clip of the video is there by its id, and is what a search for its own vector finds in the video."""
    where = clips_of(entry.uri, Equals("live", True), Equals("content", entry.live_content))
    clip = next(iter(reader.scroll(where, batch=1)), None)
    if clip is None:
        return False
    held = reader.retrieve([clip.id], vectors=True)
    if not held:
        return False
    single = {vector.name for vector in reader.schema.dense if not vector.multi} | set(reader.schema.sparse)
    name = next((name for name in held[0].vectors if name in single), None)
    if name is None:  # a clip of which no model could make anything is stored, and found by browsing only
        return True
    (hits,) = reader.query([Query(name, held[0].vectors[name], where, limit=1)])
    return bool(hits) and hits[0].payload.get("uri") == entry.uri and hits[0].payload.get("kind") == CLIP


def _read(location: IndexLocation) -> tuple[dict[str, Seen], int]:
    found: dict[str, Seen] = {}
    lines = 0
    if location.kind == "server" or not log_path(location).exists():
        return found, lines
    with log_path(location).open(encoding="utf-8", errors="replace") as file:
        for line in file:
            lines += 1
            try:
                seen = Seen(**json.loads(line))
            except (ValueError, TypeError):
                continue
            found[seen.uri] = seen
    return found, lines


def _append(location: IndexLocation, known: dict[str, Seen], fresh: Sequence[Seen], lines: int) -> None:
    """Durable when it returns."""
    path = log_path(location)
    latest = {**known, **{seen.uri: seen for seen in fresh}}
    if lines + len(fresh) > _LINES_A_VIDEO * len(latest) + 1000:
        write_atomically(path, "".join(_line(seen) for seen in latest.values()))
        return
    with path.open("a+b") as file:
        if file.tell() and not _ends_line(path):
            file.write(b"\n")
        file.write("".join(map(_line, fresh)).encode())
        file.flush()
        os.fsync(file.fileno())


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _line(seen: Seen) -> str:
    return json.dumps(asdict(seen)) + "\n"
