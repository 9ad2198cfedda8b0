"""Which frames of a clip are looked at, as one rule that ffmpeg and Python both follow.

Times in here are whole microseconds, as the filter graph counts them, so that both
sides take the same frames.
"""

import bisect
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from transforms.errors import UsageError

_FORMS = '"keyframes", "every:1s" (any period), "uniform:8" (any count) or "middle"'
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "": 1.0}


@dataclass(frozen=True, slots=True)
class FrameChoice:
    """How frames are chosen.

    - keyframes: the decoder's own key frames, the first of each second; a clip without one
      takes the frame on screen at its middle.
    - every: the first frame at or after each multiple of `period_seconds`, counted from the start of the stream.
    - uniform: of `count` equal parts of a clip, the first frame at or after the middle of each.
    - middle: the frame on screen at the middle of a clip.
    """

    kind: Literal["keyframes", "every", "uniform", "middle"]
    period_seconds: float = 1.0
    count: int = 0

    def __post_init__(self) -> None:
        if not (0.001 <= self.period_seconds <= 86_400 and math.isfinite(self.period_seconds)):
            raise UsageError(f"frames are chosen at a period from 1 ms to one day: {self.period_seconds} s")
        if self.kind == "uniform" and not 1 <= self.count <= 1000:
            raise UsageError(f"a clip gives 1 to 1000 frames: count={self.count}")

    @classmethod
    def parse(cls, text: str) -> "FrameChoice":
        """The choice that a text names. Raises UsageError on any other text."""
        if text in ("keyframes", "middle"):
            return cls("keyframes" if text == "keyframes" else "middle")
        if found := re.fullmatch(r"every:([0-9]+(?:\.[0-9]+)?)(ms|s|m|)", text):
            return cls("every", period_seconds=float(found[1]) * _UNIT_SECONDS[found[2]])
        if found := re.fullmatch(r"uniform:([0-9]{1,9})", text):
            return cls("uniform", count=int(found[1]))
        raise UsageError(f"frames are chosen by {_FORMS}, not by {text!r}")

    def __str__(self) -> str:
        if self.kind in ("keyframes", "middle"):
            return self.kind
        return f"every:{self.period_seconds:.12g}s" if self.kind == "every" else f"uniform:{self.count}"

    @property
    def only_keyframes(self) -> bool:
        return self.kind == "keyframes"

    def expression(self, spans_us: Sequence[tuple[int, int]], *, origin_us: int) -> str:
        """An expression of ffmpeg's `select` that takes the chosen frames within the spans; its clock counts 1 us.

        There is none for "middle": that a frame is the last one before a moment shows only when the next one comes.
        """
        if self.kind == "middle":
            raise ValueError("no expression takes the frame on screen at a clip's middle: kind='middle'")
        if self.kind == "uniform":
            return "+".join(self._uniform_expression(start, end) for start, end in spans_us)
        start, end = min(start for start, _ in spans_us), max(end for _, end in spans_us)
        before, which = ("prev_selected_pts", "*key") if self.only_keyframes else ("prev_pts", "")
        period = self._period_us
        new_period = f"gt(floor((pts-({origin_us}))/{period}),floor(({before}-({origin_us}))/{period}))"
        return f"gte(pts,{start})*lt(pts,{end}){which}*if(isnan({before}),1,{new_period})"

    def picked(self, pts_us: Sequence[int], span_us: tuple[int, int], *, origin_us: int) -> list[int]:
        """Which of the frames, given in order and all of them, a clip takes: a list of their times."""
        start, end = span_us
        if self.kind == "middle":
            on_screen = last_at_or_before(pts_us, middle_of(span_us))
            return [] if on_screen is None else [on_screen]
        before = [None, *pts_us]
        if self.kind == "uniform":
            part = (end - start) / self.count

            def part_of(pts: int | None) -> int:
                return -1 if pts is None else max(-1, math.floor((pts - start - part / 2) / part))

            return [p for q, p in zip(before, pts_us, strict=False) if start <= p < end and part_of(p) > part_of(q)]
        period = self._period_us
        return [
            p
            for q, p in zip(before, pts_us, strict=False)
            if start <= p < end and (q is None or (p - origin_us) // period > (q - origin_us) // period)
        ]

    @property
    def _period_us(self) -> int:
        return round(self.period_seconds * 1e6)

    def _uniform_expression(self, start: int, end: int) -> str:
        part = (end - start) / self.count

        def part_of(pts: str) -> str:
            return f"max(-1,floor(({pts}-({start})-{part / 2!r})/{part!r}))"

        before = f"if(isnan(prev_pts),-1,{part_of('prev_pts')})"
        return f"gte(pts,{start})*lt(pts,{end})*gt({part_of('pts')},{before})"


def middle_of(span_us: tuple[int, int]) -> int:
    """The moment halfway through a span."""
    return sum(span_us) // 2


def last_at_or_before(pts_us: Sequence[int], when_us: int) -> int | None:
    """The frame on screen at a moment: the last one that has come by then. Times are given in order."""
    place = bisect.bisect_right(pts_us, when_us)
    return pts_us[place - 1] if place else None
