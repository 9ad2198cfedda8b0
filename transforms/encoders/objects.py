"""The objects of a clip: the surest of all its frames, each thing once."""

from collections.abc import Sequence

from transforms.encoders.network import Detected

#: Two boxes of one label that share this much of their union are one thing.
SAME_OVERLAP = 0.5

Box = tuple[float, float, float, float]


def best_of_clip(found: Sequence[Sequence[Detected]], top_k: int) -> list[tuple[Detected, int]]:
    """The `top_k` surest objects of a clip's frames, each with the index of its frame.

    They are taken in the order of their scores; one whose box overlaps that of a taken one of the same label,
    in any frame, is the same thing again and left out. What moves on between two frames is taken twice.
    """
    ranked = sorted(
        ((one, frame) for frame, own in enumerate(found) for one in own), key=lambda pair: -pair[0].score
    )  # of equals the earlier frame first
    best: list[tuple[Detected, int]] = []
    for one, frame in ranked:
        if len(best) == top_k:
            break
        if not any(kept.label == one.label and overlap(kept.box, one.box) >= SAME_OVERLAP for kept, _ in best):
            best.append((one, frame))
    return best


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes (left, top, right, bottom); 0.0 for empty ones."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    union = _area(one) + _area(other) - shared
    return shared / union if union > 0 else 0.0


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
