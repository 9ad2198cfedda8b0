"""When the streams of a file begin and end, as their packets tell it; headers are only a hint."""

import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: A few packets further than this from all others carry a wrong time stamp.
_STRAY_SECONDS: Final = 60.0
_STRAY_SHARE: Final = 0.01

#: What ffprobe is asked for, and the form it answers in.
PACKET_ENTRIES: Final = "packet=stream_index,pts_time,dts_time,duration_time,flags"

Times = dict[int, list[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Extent:
    """The packets of one stream that are shown: [start_seconds, end_seconds) in container time."""

    start_seconds: float
    end_seconds: float
    packets: int
    mean_step_seconds: float  # between neighbours; 0.0 for a single packet
    jumps: bool  # the times leap by more than a minute somewhere


def parsed_times(lines: Iterable[str]) -> tuple[Times, int]:
    """(pts, duration) of each shown packet, by stream, from ffprobe's lines of comma-separated values; and their count.

    A packet without a pts counts with its dts; packets that an edit list discards are left out.
    """
    times: Times = {}
    count = 0
    for line in lines:
        fields = line.split(",")
        if len(fields) < 5:
            continue
        count += 1
        index, pts, dts, duration, flags = fields[:5]
        when = pts if pts != "N/A" else dts
        if "D" in flags or when == "N/A" or not index.isdigit():
            continue
        times.setdefault(int(index), []).append((float(when), float(duration) if duration != "N/A" else 0.0))
    return times, count


def extents(times: Times) -> Mapping[int, Extent]:
    """The extent of each stream, wrong time stamps left out."""
    return {index: _extent(np.array(own, dtype=np.float64)) for index, own in times.items()}


def joined(head: Mapping[int, Extent], tail: Mapping[int, Extent], streams: Collection[int]) -> Mapping[int, Extent]:
    """Extents from the first and the last packets of a file, of the streams that have both."""
    both: dict[int, Extent] = {}
    for index in streams:
        if (first := head.get(index)) and (last := tail.get(index)):
            start, end = min(first.start_seconds, last.start_seconds), max(first.end_seconds, last.end_seconds)
            jumps = first.jumps or last.jumps
            both[index] = Extent(start, end, first.packets + last.packets, first.mean_step_seconds, jumps)
    return both


def _extent(times: NDArray[np.float64]) -> Extent:
    """The extent of packets (n, 2): pts and duration, in the order of the file."""
    order = np.argsort(times[:, 0], kind="stable")
    pts, durations = times[order, 0], times[order, 1]
    jumps = bool((np.diff(pts) > _STRAY_SECONDS).any())
    kept = _without_strays(pts)
    pts, durations = pts[kept], durations[kept]
    step = float((pts[-1] - pts[0]) / (len(pts) - 1)) if len(pts) > 1 else 0.0
    last = float(durations[-1]) or step or 0.04
    return Extent(float(pts[0]), float(pts[-1]) + last, len(pts), step, jumps)


def _without_strays(pts: NDArray[np.float64]) -> slice:
    """The rising times without the few at either end that lie a minute or more from all others."""
    cuts = [0, *(np.flatnonzero(np.diff(pts) > _STRAY_SECONDS) + 1).tolist(), len(pts)]
    groups = list(itertools.pairwise(cuts))
    most = max(groups, key=lambda group: group[1] - group[0])
    few = len(pts) - (most[1] - most[0]) <= max(3, _STRAY_SHARE * len(pts))
    return slice(*most) if few and most[1] - most[0] > 3 else slice(0, len(pts))
