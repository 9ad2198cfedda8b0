"""Ways to make `clip`, behind one protocol: each says what it has to look at, and whether it was trained.

A fusion of stored vectors alone can be made again without decoding: `ClipParts.of_point` reads what is stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import numpy as np

from transforms.fuse.blocks import as_block, change_block, lay_out
from transforms.fuse.positions import time_features
from transforms.recipe import Recipe
from transforms.records import Clip, ClipPoint, Float32, Vector, VideoInfo

#: vectors: stored named ones; frames: the stored vectors of the frames with their times; media: pictures and sound.
Input = Literal["vectors", "frames", "media"]

#: Named vectors that are blocks of `clip` as they are.
_OWN_BLOCKS = ("frame", "transcript", "ocr", "audio")


@dataclass(frozen=True, slots=True, eq=False)
class ClipParts:
    """What is known of one clip before it is fused; times are of the container's clock."""

    vectors: Mapping[str, Vector]  # by name, `frames` (n, dim) among them
    frame_times_seconds: Sequence[float]  # (n,)
    start_seconds: float
    end_seconds: float
    since_start_seconds: float  # from the video's start to the clip's middle
    fraction: float  # of the video, where the clip's middle is

    @classmethod
    def of_clip(
        cls, clip: Clip, info: VideoInfo, vectors: Mapping[str, Vector], frame_times_seconds: Sequence[float]
    ) -> Self:
        """The parts of a clip of a video."""
        since_start_seconds = (clip.start_seconds + clip.end_seconds) / 2 - info.start_seconds
        fraction = since_start_seconds / info.duration_seconds
        return cls(vectors, frame_times_seconds, clip.start_seconds, clip.end_seconds, since_start_seconds, fraction)

    @classmethod
    def of_point(cls, point: ClipPoint) -> Self:
        """The parts of a clip as the store keeps it: all but what was fused."""
        held = point.payload
        start, end = float(held["start_seconds"]), float(held["end_seconds"])
        since_start_seconds = (start + end) / 2 - float(held["media_start_seconds"])
        vectors = {name: vector for name, vector in point.vectors.items() if name != "clip"}
        fraction = since_start_seconds / float(held["duration_seconds"])
        return cls(vectors, held.get("frame_times_seconds", ()), start, end, since_start_seconds, fraction)


class Fusion(Protocol):
    """One way to make the `clip` vector."""

    inputs: tuple[Input, ...]
    trained: bool

    def fuse(self, clips: Sequence[ClipParts], recipe: Recipe) -> list[Float32 | None]:
        """One unit vector (dim,) a clip; None for a clip that has nothing of what is fused."""


class Blocks:
    """[w_f frame | w_t transcript | w_o ocr | w_a audio | w_d change | w_p position], at unit length."""

    inputs: tuple[Input, ...] = ("vectors", "frames")
    trained = False

    def fuse(self, clips: Sequence[ClipParts], recipe: Recipe) -> list[Float32 | None]:
        """The blocks that a clip has; None where all that it has weighs nothing."""
        return [self._laid_out(clip, recipe) if clip.vectors else None for clip in clips]

    @staticmethod
    def _laid_out(clip: ClipParts, recipe: Recipe) -> Float32 | None:
        blocks = {name: as_block(clip.vectors[name]) for name in _OWN_BLOCKS if name in clip.vectors}
        if (frames := clip.vectors.get("frames")) is not None:
            blocks["change"] = change_block(np.asarray(frames))
        if recipe.fusion.position_dimensions:
            blocks["position"] = time_features(clip.since_start_seconds, clip.fraction, recipe.fusion)
        weighed = [name for name, _ in recipe.blocks() if name in blocks and getattr(recipe.fusion, name) > 0.0]
        return lay_out(blocks, recipe) if any(np.any(blocks[name]) for name in weighed) else None


class Joint:
    """One model that took the pictures and the words of a clip together: the recipe's [joint] encoder."""

    inputs: tuple[Input, ...] = ("media",)
    trained = False

    def fuse(self, clips: Sequence[ClipParts], recipe: Recipe) -> list[Float32 | None]:
        """What the model gave while the clip was decoded."""
        found = [clip.vectors.get("clip") for clip in clips]
        return [None if vector is None else np.asarray(vector) for vector in found]


class Head:
    """A small transformer over frame, word and sound tokens with their times, trained by `reelvec train-fusion`."""

    inputs: tuple[Input, ...] = ("vectors", "frames")
    trained = True

    def fuse(self, clips: Sequence[ClipParts], recipe: Recipe) -> list[Float32 | None]:
        """The head's vector in the text encoder's space. Raises MissingWeights, RecipeMismatch."""
        from transforms.encoders.fusion.head import load_head
        from transforms.encoders.fusion.tokens import tokens_of_clip

        tokens = [tokens_of_clip(c.vectors, c.frame_times_seconds, c.start_seconds, c.end_seconds) for c in clips]
        return load_head(recipe.fusion.head).fuse(tokens)


FUSIONS: Mapping[str, Fusion] = {"blocks": Blocks(), "joint": Joint(), "head": Head()}


def fusion_of(recipe: Recipe) -> Fusion:
    """The fusion that a recipe names."""
    return FUSIONS[recipe.fusion.strategy]
