"""What a score is worth on this corpus: the best scores that questions about nothing in particular reach.

A hit is compared with the best hits, anywhere in the index, of a few hundred unrelated questions. In one modality its
p-value is the share of them that score as high or higher. Several modalities are several chances to look good by luck,
and no independent ones; so the smallest p-value of a hit is compared with the smallest p-values of those questions,
each over the same modalities (the min-P correction of Westfall and Young, 1993):

    p_m(s)     = (1 + questions whose best score in m is at least s) / (1 + questions)
    p          = (1 + questions whose own least p_m is at most the hit's) / (1 + questions)
    confidence = 1 - p
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transforms.index.store import Equals, Reader, VectorStore, Where
from transforms.records import ClipPoint, Float32, stable_id

#: A hit fits from here on. By construction two unrelated questions in three, or nearly so, have no hit that does: what
#: is missed by asking for less than the usual 0.95 is a nuisance, an answer that is called none is a fault.
LEAST_CONFIDENCE = 0.65

KIND = "calibration"

#: Raised when the fields of the stored calibration change their meaning.
FORMAT = 1

_ID = stable_id(KIND)
_SCORE_DIGITS = 6
_TOLERANCE = 1e-6  # scores closer than this count as equal


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """By modality, the best score of each unrelated question, in the order of the questions; 0 where it found none."""

    best: Mapping[str, Float32]  # (questions,) each

    def __post_init__(self) -> None:
        sizes = {len(scores) for scores in self.best.values()}
        if len(sizes) != 1 or not min(sizes):
            raise ValueError(f"every modality has a score of each question: sizes={sorted(sizes)}")

    def confidences(self, scores: Sequence[Mapping[str, float]], names: Sequence[str]) -> list[float]:
        """For each hit, given as its scores by modality, how sure it is not chance; a missing score is no evidence."""
        asked = [name for name in names if name in self.best]
        if not asked:
            raise ValueError(f"nothing of this was calibrated: names={list(names)}, calibrated={list(self.best)}")
        least = np.sort(np.min([self._shares(name, self.best[name]) for name in asked], axis=0))
        found = [
            min(
                (self.chance(name, hit[name]) for name in asked if name in hit),
                default=1.0,
            )
            for hit in scores
        ]
        as_low = np.searchsorted(least, np.asarray(found) + _TOLERANCE, side="right")
        return [float(1 - (1 + count) / (1 + len(least))) for count in as_low]

    def chance(self, name: str, score: float) -> float:
        """p_m: the share of unrelated questions that score as high in this modality; 0 where nothing is known of it."""
        return float(self._shares(name, np.asarray([score], np.float32))[0]) if name in self.best else 0.0

    def _shares(self, name: str, scores: Float32) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """p_m of each of these scores."""
        known = np.sort(self.best[name])
        below = np.searchsorted(known, scores - np.float32(_TOLERANCE), side="left")
        shares: np.ndarray[tuple[int], np.dtype[np.float64]] = (1 + len(known) - below) / (1 + len(known))
        return shares


def read_calibration(reader: Reader) -> Calibration | None:
    """What the index was calibrated to last; None where it never was, or by a Reelvec of another format."""
    for point in reader.retrieve([_ID]):
        if point.payload.get("format") == FORMAT and point.payload.get("best"):
            return Calibration({name: np.asarray(own, np.float32) for name, own in point.payload["best"].items()})
    return None


def write_calibration(store: VectorStore, calibration: Calibration) -> None:
    """Store the calibration in place of the one before."""
    best = {name: [round(float(score), _SCORE_DIGITS) for score in own] for name, own in calibration.best.items()}
    payload: dict[str, Any] = {"kind": KIND, "format": FORMAT, "best": best}
    store.upsert([ClipPoint(_ID, {}, payload)])


def delete_calibration(store: VectorStore) -> None:
    """Leave the index without one."""
    store.delete(Where((Equals("kind", KIND),)))
