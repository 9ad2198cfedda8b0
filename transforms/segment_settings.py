"""Where a recipe cuts clips: its [segment] section."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from transforms.errors import UsageError


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """Where clips are cut.

    - windows: clips of `clip_seconds`, each starting `overlap_seconds` before the last one's end.
    - shots: where a new shot begins.
    - speech: at pauses of the speech, so that a clip lasts about `clip_seconds`.

    Shots and stretches of speech are joined and divided until they last `shortest_seconds` to `longest_seconds`.
    """

    clip_seconds: float = 8.0
    segment_seconds: float = 64.0
    overlap_seconds: float = 0.0
    kind: Literal["windows", "shots", "speech"] = "windows"
    shortest_seconds: float = 1.0
    longest_seconds: float = 16.0

    def __post_init__(self) -> None:
        if self.kind not in ("windows", "shots", "speech"):
            raise UsageError(f"clips are cut by windows, shots or speech: kind={self.kind!r}")
        if not 1.0 <= self.clip_seconds <= self.segment_seconds:
            raise UsageError(
                "a clip lasts at least 1 s and at most a segment: "
                f"clip_seconds={self.clip_seconds}, segment_seconds={self.segment_seconds}"
            )
        if not 0.0 <= self.overlap_seconds <= self.clip_seconds / 2:
            raise UsageError(
                "clips overlap by half of their length at most: "
                f"overlap_seconds={self.overlap_seconds}, clip_seconds={self.clip_seconds}"
            )
        if self.kind != "windows":
            self._check_lengths()

    def _check_lengths(self) -> None:
        if self.overlap_seconds:
            raise UsageError(
                f"only windows overlap: kind={self.kind!r}, overlap_seconds={self.overlap_seconds}; set it to 0"
            )
        if not 0.5 <= self.shortest_seconds <= self.longest_seconds / 2 <= self.segment_seconds / 2:
            raise UsageError(
                "the shortest clip lasts from 0.5 s to half of the longest, and the longest at most a segment: "
                f"shortest_seconds={self.shortest_seconds}, longest_seconds={self.longest_seconds}, "
                f"segment_seconds={self.segment_seconds}"
            )
        if not self.shortest_seconds <= self.clip_seconds <= self.longest_seconds:
            raise UsageError(
                f"a clip's length lies between the shortest and the longest: clip_seconds={self.clip_seconds}, "
                f"shortest_seconds={self.shortest_seconds}, longest_seconds={self.longest_seconds}"
            )

    def settings(self) -> dict[str, Any]:
        """Plain values; for windows without those that only shots and speech look at."""
        values = asdict(self)
        if self.kind == "windows":
            for unused in ("kind", "shortest_seconds", "longest_seconds"):
                del values[unused]
        return values
