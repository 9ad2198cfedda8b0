"""What an index gives to train on: whole videos drawn by a seed, read once, in bounded memory."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from transforms.index.query import LIVE_CLIPS
from transforms.index.store import Reader
from transforms.records import ClipPoint, Float32, SparseVector

#: The vectors that anything is trained on.
WANTED = ("frame", "frames", "transcript", "ocr", "audio")


@dataclass(frozen=True, slots=True, eq=False)
class SampledClip:
    """One clip, with what training looks at."""

    video: str  # the SHA-256 of its bytes: a copy at another path is the same video
    start_seconds: float
    end_seconds: float
    fraction: float  # of the video, where the clip's middle is
    frame_times_seconds: tuple[float, ...]
    vectors: Mapping[str, Float32]


@dataclass(frozen=True, slots=True)
class Split:
    """Which videos are learnt from, which say when to stop, and which tell what was gained."""

    learn: frozenset[str]
    stop: frozenset[str]
    test: frozenset[str]


def sample_clips(reader: Reader, *, max_clips: int, seed: int) -> list[SampledClip]:
    """At most `max_clips` clips of whole videos, in the order of video and time; the same seed draws the same videos.

    Videos are drawn by a hash of seed and content: those with the smallest hashes that fit (a bottom-k sample), so one
    pass over the index and the memory of the sample are enough. Copies of a video count once.
    """
    kept: dict[str, dict[float, SampledClip]] = {}
    limit = "g"  # above every hex digit: all are kept
    count = 0
    for point in reader.scroll(LIVE_CLIPS, vectors=True):
        clip = _sampled(point)
        rank = drawn(clip.video, seed)
        if rank >= limit or clip.start_seconds in kept.get(clip.video, ()):
            continue
        kept.setdefault(clip.video, {})[clip.start_seconds] = clip
        count += 1
        while count > max_clips:
            last = max(kept, key=lambda video: drawn(video, seed))
            limit = drawn(last, seed)
            count -= len(kept.pop(last))
    return [clips[start] for _, clips in sorted(kept.items()) for start in sorted(clips)]


def split_videos(pairs: Iterable[str], *, seed: int, shares: tuple[float, float, float] = (0.6, 0.2, 0.2)) -> Split:
    """The videos of pairs, never their clips, in three sets, each near its share of the videos and of the pairs.

    Videos come in the order that the seed draws; each goes to the set that is furthest behind.
    """
    count = Counter(pairs)
    sets: tuple[list[str], ...] = ([], [], [])
    filled = [0.0, 0.0, 0.0]
    for video in sorted(count, key=lambda video: drawn(video, seed, "split")):
        behind = max(range(3), key=lambda place: shares[place] - filled[place])
        sets[behind].append(video)
        filled[behind] += (1 / len(count) + count[video] / count.total()) / 2
    return Split(*(frozenset(own) for own in sets))


def neighbours(clips: list[SampledClip]) -> Iterator[tuple[SampledClip, SampledClip]]:
    """Each clip with the one that follows it in its video."""
    for one, after in pairwise(clips):
        if one.video == after.video:
            yield one, after


def drawn(video: str, seed: int, purpose: str = "sample") -> str:
    """Where a video stands in the order that a seed draws, as hex digits."""
    return hashlib.blake2b(f"{purpose}\x1f{seed}\x1f{video}".encode(), digest_size=12).hexdigest()


def _sampled(point: ClipPoint) -> SampledClip:
    held = point.payload
    start, end = float(held["start_seconds"]), float(held["end_seconds"])
    media_start = float(held.get("media_start_seconds", 0.0))
    duration = float(held.get("duration_seconds", 0.0)) or end - media_start
    return SampledClip(
        video=str(held.get("content") or held["uri"]),
        start_seconds=start,
        end_seconds=end,
        fraction=((start + end) / 2 - media_start) / duration,
        frame_times_seconds=tuple(held.get("frame_times_seconds", ())),
        vectors={
            name: np.asarray(vector, np.float32)
            for name, vector in point.vectors.items()
            if name in WANTED and not isinstance(vector, SparseVector)
        },
    )
