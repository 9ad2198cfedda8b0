"""What a search finds, in an order that does not change from one time to the next."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transforms.index.store import ScoredPoint

#: Scores of equal vectors differ in their last digits with the order of summation.
_SCORE_DIGITS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """A clip that was found; `by` names the vector that ranked it best."""

    id: str
    score: float  # cosine, MaxSim or weighted overlap; in a fusion what the fusion says
    by: str
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return str(self.payload.get("uri", ""))

    @property
    def start_seconds(self) -> float:
        """Since the video's start, as a player counts."""
        return self._since_start_seconds("start_seconds")

    @property
    def end_seconds(self) -> float:
        """Since the video's start, as a player counts."""
        return self._since_start_seconds("end_seconds")

    @property
    def duration_seconds(self) -> float:
        """Of the whole video; at least until the hit ends."""
        return max(float(self.payload.get("duration_seconds", 0.0)), self.end_seconds)

    def _since_start_seconds(self, name: str) -> float:
        since = float(self.payload.get(name, 0.0)) - float(self.payload.get("media_start_seconds", 0.0))
        return round(since, 6)


def hits_of(name: str, points: Iterable[ScoredPoint]) -> list[Hit]:
    """What a query by the named vector found, best first."""
    return ordered(Hit(point.id, point.score, name, point.payload) for point in points)


def ordered(hits: Iterable[Hit], *, names: Sequence[str] = ()) -> list[Hit]:
    """Best first; among equals by name, video and time, so that the same question has the same answer."""
    return sorted(
        hits,
        key=lambda hit: (
            -round(hit.score, _SCORE_DIGITS),
            names.index(hit.by) if names else 0,
            hit.uri,
            float(hit.payload.get("start_seconds", 0.0)),
            hit.id,
        ),
    )
