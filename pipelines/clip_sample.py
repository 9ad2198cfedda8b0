"""What an index holds, seen through a bounded number of its videos and clips."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transforms.index.ledger import read_entries
from transforms.index.query import LIVE_CLIPS
from transforms.index.store import Equals, HasVector, Reader, Where
from transforms.records import ClipPoint, Vector

#: Consecutive clips of one video that a sample takes at most, so that it has neighbours and many videos.
RUN = 16

#: Clips whose payload is read at most, whatever the size of the sample.
SCANNED_CLIPS = 100_000

_PAGE = 256


@dataclass(frozen=True, slots=True, eq=False)
class SampledClip:
    """A clip with its named vectors; `place` counts the sampled clips of its video in the order of time."""

    uri: str
    place: int
    vectors: Mapping[str, Vector]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Clips in no order, and what was counted on the way to them."""

    clips: tuple[SampledClip, ...]
    coverage: Mapping[str, Mapping[str, Any]]  # by named vector
    clips_total: int
    videos_total: int
    videos_scanned: int
    notes: tuple[str, ...]


def draw(reader: Reader, *, most_clips: int, seed: int) -> Sample:
    """A sample of at most `most_clips` searchable clips: runs of up to RUN clips of randomly drawn videos.

    Coverage of clips is counted by the store over all of them; that of videos and seconds over every clip of the
    videos that were drawn, which are all videos unless the index has more clips than the sample.
    """
    chance = np.random.default_rng(seed)
    names = reader.schema.vector_names
    uris = sorted(uri for uri, entry in read_entries(reader).items() if entry.clips)
    chance.shuffle(uris)
    seconds: dict[str, float] = defaultdict(float)
    videos: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    chosen: list[tuple[str, int, str]] = []  # (uri, place, id)
    scanned_clips = scanned_videos = 0
    for uri in uris:
        if len(chosen) >= most_clips or scanned_clips >= SCANNED_CLIPS:
            break
        clips = sorted(_clips_of(reader, uri), key=_start_seconds)
        scanned_videos += 1
        scanned_clips += len(clips)
        seconds[""] += sum(map(_seconds, clips))
        for name in names:
            own = [clip for clip in clips if name in clip.payload.get("vectors", ())]
            counted[name] += len(own)
            videos[name] += bool(own)
            seconds[name] += sum(map(_seconds, own))
        first = int(chance.integers(max(0, len(clips) - RUN) + 1))
        chosen += [(uri, place, clip.id) for place, clip in enumerate(clips[first : first + RUN])]
    chosen = chosen[:most_clips]
    chance.shuffle(chosen)
    total = reader.count(LIVE_CLIPS)
    held = {name: reader.count(Where((*LIVE_CLIPS.must, HasVector(name)))) for name in names}
    coverage = {
        name: {
            "clips": held[name],
            "clips_share": _share(held[name], total),
            "videos_share": _share(videos[name], scanned_videos),
            "seconds_share": _share(seconds[name], seconds[""]),
        }
        for name in names
    }
    notes = []
    if scanned_videos < len(uris):
        notes.append(f"shares of videos and seconds are estimated from {scanned_videos} of {len(uris)} videos")
    elif any(counted[name] != held[name] for name in names):
        wrong = next(name for name in names if counted[name] != held[name])
        notes.append(
            f"{counted[wrong]} clips say that they carry {wrong!r}, the store holds {held[wrong]}: "
            "shares of videos and seconds follow the clips"
        )
    return Sample(tuple(_with_vectors(reader, chosen)), coverage, total, len(uris), scanned_videos, tuple(notes))


def _clips_of(reader: Reader, uri: str) -> list[ClipPoint]:
    return list(reader.scroll(Where((*LIVE_CLIPS.must, Equals("uri", uri)))))


def _with_vectors(reader: Reader, chosen: Sequence[tuple[str, int, str]]) -> Iterator[SampledClip]:
    for start in range(0, len(chosen), _PAGE):
        page = chosen[start : start + _PAGE]
        found = {clip.id: clip for clip in reader.retrieve([id_ for *_, id_ in page], vectors=True, payload=False)}
        yield from (SampledClip(uri, place, found[id_].vectors) for uri, place, id_ in page if id_ in found)


def _start_seconds(clip: ClipPoint) -> float:
    return float(clip.payload["start_seconds"])


def _seconds(clip: ClipPoint) -> float:
    return float(clip.payload["end_seconds"]) - float(clip.payload["start_seconds"])


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None
