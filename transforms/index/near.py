"""Rank by time as well: how far a clip is from a moment, and what that is worth beside how well it fits."""

import math
from dataclasses import dataclass

from transforms.index.hits import Hit

#: At this distance from the moment asked for, closeness has fallen to 0.61 (one sigma of a Gaussian).
NEAR_SECONDS = 60.0
AT_FRACTION = 0.1

#: The share of closeness in the score; the rest is how well the clip fits the text, as a share of what fits best. Below
#: a half, so that a clip at the very moment which has nothing of the text stays behind one that fits, however far.
TIME_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a video, in seconds since its start or as the share of it that has passed; one of the two."""

    seconds: float | None = None
    fraction: float | None = None

    def distance(self, hit: Hit) -> float:
        """How far the clip is from the moment, in seconds or as a share of the video; 0 where it holds it."""
        start, end = hit.start_seconds, hit.end_seconds
        if self.fraction is None:
            return max(0.0, start - (self.seconds or 0.0), (self.seconds or 0.0) - end)
        length = hit.duration_seconds
        return max(0.0, start / length - self.fraction, self.fraction - end / length)

    def closeness(self, hit: Hit) -> float:
        """1 where the clip holds the moment, falling to 0 with the distance: exp(-(distance / sigma)^2 / 2)."""
        sigma = NEAR_SECONDS if self.fraction is None else AT_FRACTION
        return math.exp(-((self.distance(hit) / sigma) ** 2) / 2)


def blended(fit: float, closeness: float) -> float:
    """(1 - TIME_SHARE) * fit + TIME_SHARE * closeness; both in [0, 1]."""
    return (1 - TIME_SHARE) * fit + TIME_SHARE * closeness
