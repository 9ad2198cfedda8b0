"""Points one by one: is each what it says it is? Streamed; what is kept is a few numbers a video."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from pipelines.fsck.books import Books, Version
from pipelines.fsck.problem import EMBED_AGAIN, REPAIR, Problem
from transforms.errors import BadVectors
from transforms.index.checks import check_points
from transforms.index.kinds import CLIP, WHOLE
from transforms.index.store import Equals, Reader, Where
from transforms.records import ClipPoint, LedgerEntry, Schema, clip_id, whole_id
from transforms.uris import shown

_BATCH = 256
#: Payloads keep times to the microsecond; ids are made of milliseconds of the unrounded ones.
_ROUNDED_SECONDS = 1e-6
_SPAN_SECONDS = 1e-3


@dataclass(slots=True)
class Tally:
    """The clips of one version of one video, counted."""

    live: int = 0
    waiting: int = 0  # stored, not searchable yet


@dataclass(slots=True)
class Points:
    """What the clips and whole videos of an index add up to."""

    tallies: dict[str, dict[Version, Tally]] = field(default_factory=dict)  # by video
    problems: list[Problem] = field(default_factory=list)
    whole: set[str] = field(default_factory=set)  # URIs with a whole point that fits


def read_clips(reader: Reader) -> Points:
    """Look at every clip and count them by version; a nameless one is a problem and not counted."""
    points = Points()
    for some in _batched(reader.scroll(_kind(CLIP), vectors=True, batch=_BATCH)):
        bad = dict(_bad_vectors(some, reader.schema))
        for point in some:
            payload = point.payload
            uri, content = payload.get("uri"), payload.get("content")
            if not isinstance(uri, str) or not isinstance(content, str):
                points.problems.append(_nameless(point))
                continue
            version = uri, content, str(payload.get("recipe", ""))
            tally = points.tallies.setdefault(uri, {}).setdefault(version, Tally())
            if payload.get("live"):
                tally.live += 1
            else:
                tally.waiting += 1
            found = bad.get(point.id) or _id_problem(point) or _list_problem(point)
            if found is not None:
                points.problems.append(found)
    return points


def read_wholes(reader: Reader, points: Points, books: Books, *, counted: bool) -> None:
    """Look at the points of whole videos; `counted` compares them with the ledger and the clips too."""
    for some in _batched(reader.scroll(_kind(WHOLE), vectors=True, batch=_BATCH)):
        bad = dict(_bad_vectors(some, reader.schema))
        for point in some:
            uri = str(point.payload.get("uri", ""))
            entry = books.entries.get(uri)
            known = counted and uri not in books.unreadable
            wrong = _whole_problem(point, entry, points.tallies.get(uri, {}), counted=known)
            if point.id in bad and wrong is None:
                wrong = _stale(point, bad[point.id].sentence)
            if wrong is not None:
                points.problems.append(wrong)
            points.whole.add(uri)


def _bad_vectors(some: Sequence[ClipPoint], schema: Schema) -> Iterator[tuple[str, Problem]]:
    """Points whose vectors must not be in an index; a page is looked at at once where all are good."""
    try:
        check_points(some, schema)
    except (BadVectors, ValueError):
        for point in some:
            try:
                check_points([point], schema)
            except (BadVectors, ValueError) as error:
                uri = str(point.payload.get("uri", ""))
                yield point.id, Problem("vector_bad", point.id, str(error), EMBED_AGAIN, "delete_damaged", uri)


def _id_problem(point: ClipPoint) -> Problem | None:
    payload = point.payload
    try:
        start_seconds = float(payload["start_seconds"])
        parts = payload["uri"], payload["content"], payload["segmenter"]
    except (KeyError, TypeError, ValueError):
        sentence = f"a clip does not say where it lies: {shown(payload['uri'])}, id={point.id}"
        return Problem("clip_damaged", point.id, sentence, EMBED_AGAIN, "delete_damaged", payload["uri"])
    near = (start_seconds, start_seconds - _ROUNDED_SECONDS, start_seconds + _ROUNDED_SECONDS)
    if point.id in (clip_id(*parts, seconds) for seconds in near):
        return None
    return Problem(
        "clip_id",
        point.id,
        f"a clip lies under another id than that of its content: {shown(payload['uri'])} at {start_seconds:g} s",
        f"{REPAIR} puts it where it belongs",
        "rename_point",
        payload["uri"],
    )


def _list_problem(point: ClipPoint) -> Problem | None:
    """Payloads of an older Reelvec have no list: that is none."""
    listed = point.payload.get("vectors")
    if listed is None or sorted(listed) == sorted(point.vectors):
        return None
    lost = sorted(set(listed) - set(point.vectors))
    return Problem(
        "vectors_disagree",
        point.id,
        f"a clip says that it has the vectors {', '.join(listed) or '(none)'} and carries "
        f"{', '.join(sorted(point.vectors)) or '(none)'}: {shown(point.payload['uri'])}",
        EMBED_AGAIN if lost else f"{REPAIR} corrects the list",
        "relist_and_embed_again" if lost else "relist_vectors",
        point.payload["uri"],
    )


def _whole_problem(
    point: ClipPoint, entry: LedgerEntry | None, tallies: Mapping[Version, Tally], *, counted: bool
) -> Problem | None:
    payload = point.payload
    uri, content = str(payload.get("uri", "")), str(payload.get("content", ""))
    named = entry is not None and bool(entry.live_content) and entry.live_content == content
    if counted and not named:
        sentence = f"the point of a whole video belongs to none that is searchable: {shown(uri) or point.id}"
        return Problem("whole_orphan", point.id, sentence, f"{REPAIR} deletes it; nothing is lost", "whole", uri)
    if point.id != whole_id(uri, content, str(payload.get("segmenter", ""))):
        return _stale(point, f"the point of a whole video lies under another id than that of its content: {shown(uri)}")
    if not counted or entry is None:
        return None
    clips = sum(tally.live for version, tally in tallies.items() if version[1] == content)
    if payload.get("clips") != clips:
        return _stale(
            point, f"the point of a whole video is of {payload.get('clips')} clips, it has {clips}: {shown(uri)}"
        )
    lasts = float(payload.get("duration_seconds", 0.0))
    if entry.content == content and abs(lasts - entry.duration_seconds) > _SPAN_SECONDS:
        return _stale(
            point,
            f"the point of a whole video spans {lasts:g} s, the video {entry.duration_seconds:g} s: {shown(uri)}",
        )
    return None


def _stale(point: ClipPoint, sentence: str) -> Problem:
    uri = str(point.payload.get("uri", ""))
    return Problem("whole_stale", point.id, sentence, f"{REPAIR} makes it anew from its clips", "whole", uri)


def _nameless(point: ClipPoint) -> Problem:
    sentence = f"a clip names no video or no version: id={point.id}"
    return Problem("clip_damaged", point.id, sentence, f"{REPAIR} deletes it; no search can use it", "delete_point")


def _batched(points: Iterator[ClipPoint]) -> Iterator[list[ClipPoint]]:
    while some := list(islice(points, _BATCH)):
        yield some


def _kind(kind: str) -> Where:
    return Where((Equals("kind", kind),))
