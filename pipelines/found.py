"""What a search found, before it is told: a hit, and which clip answers which text."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from transforms.index.hits import Hit


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A hit; `clip_ids` has one clip for each text of the question, and none where it is about time alone."""

    hit: Hit
    clip_ids: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)  # beside those of the modalities
