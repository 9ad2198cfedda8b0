"""The two sides of a drift report: an index, or an archive of one; each shows the same sample of its clips.

The sample is the clips whose (uri, start) hash lowest, so both sides draw the same clips without knowing each other,
and neither is held whole in memory.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.clip_sample import SampledClip
from transforms.errors import UsageError
from transforms.index.kinds import LIVE_CLIPS
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader, read_schema
from transforms.index.store import HasVector, Where
from transforms.records import ClipPoint, Schema

_PAGE = 256


class ClipKey(NamedTuple):
    """What a clip is on both sides, whatever its id."""

    uri: str
    start_msec: int


@dataclass(frozen=True, slots=True, eq=False)
class DriftClip:
    """A sampled clip: its vectors, the bytes it was cut from, and the texts that were heard and read in it."""

    clip: SampledClip
    content: str
    texts: str


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One side of the comparison."""

    shown: str
    schema: Schema
    clips_total: int
    carried: Mapping[str, int]  # clips that have the named vector
    sample: Mapping[ClipKey, DriftClip]

    def share(self, name: str) -> float | None:
        """Of the clips, how many have the named vector."""
        return round(self.carried.get(name, 0) / self.clips_total, 4) if self.clips_total else None


def side_of(text: str, *, most_clips: int) -> Side:
    """The index or the archive that a person named; raises UsageError for what is neither, or has no clips."""
    if is_archive(text):
        side = _of_archive(Path(text).expanduser(), most_clips)
    else:
        location = IndexLocation.parse(text)
        if location.kind == "edge" and read_schema(location) is None:
            raise UsageError(f"there is neither an index nor an archive at {text}")
        side = _of_index(location, most_clips)
    if not side.sample:
        raise UsageError(f"there is nothing to compare: {text} has no clips")
    return side


def is_archive(text: str) -> bool:
    """Whether a person named an archive rather than an index."""
    from transforms.archive.layout import MANIFEST

    return "://" not in text and (Path(text).expanduser() / MANIFEST).exists()


def _of_index(location: IndexLocation, most_clips: int) -> Side:
    reader = open_reader(location)
    try:
        names = reader.schema.vector_names
        chosen = _lowest(((_key(point.payload), point.id) for point in reader.scroll(LIVE_CLIPS)), most_clips)
        ids = list(chosen.values())
        sample = {}
        for start in range(0, len(ids), _PAGE):
            for point in reader.retrieve(ids[start : start + _PAGE], vectors=True):
                sample[_key(point.payload)] = _drift_clip(point)
        carried = {name: reader.count(Where((*LIVE_CLIPS.must, HasVector(name)))) for name in names}
        return Side(str(location), reader.schema, reader.count(LIVE_CLIPS), carried, sample)
    finally:
        reader.close()


def _of_archive(folder: Path, most_clips: int) -> Side:
    import pyarrow as pa
    import pyarrow.compute as pc

    from transforms.archive.columns import PREFIX, to_points
    from transforms.archive.layout import open_archive
    from transforms.archive.restore import newest_rows
    from transforms.archive.state import read_state

    archive = open_archive(folder)
    state = read_state(archive)
    state.refuse_damage(folder)
    videos = {uri: held.points_run for uri, held in state.videos.items() if held.points_run and not held.deleted}
    runs = {
        run: pa.array([uri for uri, own in videos.items() if own == run], pa.string()) for run in set(videos.values())
    }
    total = 0

    def keys() -> Iterator[tuple[ClipKey, str]]:
        nonlocal total
        for run, uris in runs.items():
            for batch in newest_rows(archive, run, uris, columns=["id", "kind", "uri", "start_seconds"]):
                rows = zip(*(batch.column(name).to_pylist() for name in batch.schema.names), strict=True)
                for id_, kind, uri, start in rows:
                    if kind == "clip":
                        total += 1
                        yield ClipKey(uri, round(start * 1000)), id_

    chosen = _lowest(keys(), most_clips)
    ids = pa.array(list(chosen.values()), pa.string())
    sample: dict[ClipKey, DriftClip] = {}
    carried: Counter[str] = Counter()
    for run, uris in runs.items():
        for batch in newest_rows(archive, run, uris):
            clips = batch.filter(pc.equal(batch.column("kind"), "clip"))
            for name in archive.schema.vector_names:
                carried[name] += clips.num_rows - clips.column(PREFIX + name).null_count
            for point in to_points(clips.filter(pc.is_in(clips.column("id"), value_set=ids)), archive.schema):
                sample[_key(point.payload)] = _drift_clip(point)
    return Side(str(folder), archive.schema, total, carried, sample)


def _lowest(clips: Iterable[tuple[ClipKey, str]], most: int) -> dict[ClipKey, str]:
    """The ids of those clips whose keys hash lowest."""
    ranked = ((hashlib.blake2b(f"{key}".encode(), digest_size=8).digest(), key, id_) for key, id_ in clips)
    return {key: id_ for _, key, id_ in heapq.nsmallest(most, ranked)}


def _key(payload: Mapping[str, Any]) -> ClipKey:
    return ClipKey(str(payload["uri"]), round(float(payload["start_seconds"]) * 1000))


def _drift_clip(point: ClipPoint) -> DriftClip:
    key, payload = _key(point.payload), point.payload
    texts = f"{payload.get('transcript', '')}\n{payload.get('screen_text', '')}".strip()
    vectors = {name: vector.copy() if hasattr(vector, "copy") else vector for name, vector in point.vectors.items()}
    return DriftClip(SampledClip(key.uri, key.start_msec, vectors), str(payload.get("content", "")), texts)
