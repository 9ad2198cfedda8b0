"""Smaller vectors: the first coordinates of a Matryoshka model, or the principal components of a corpus."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transforms.encoders.windows import unit_length
from transforms.errors import MissingWeights, UsageError
from transforms.records import Float32


@dataclass(frozen=True, slots=True, eq=False)
class Reduction:
    """Unit vectors (n, d) -> unit vectors (n, smaller); as it is made, it changes nothing.

    `dimensions` keeps the first coordinates (Kusupati et al., 2022, for models trained for it);
    `mean` (d,) and `components` (k, d) are those of a principal component analysis.
    """

    dimensions: int = 0  # 0: all of them
    mean: Float32 | None = None
    components: Float32 | None = None

    def apply(self, vectors: Float32) -> Float32:
        """Raises UsageError for vectors of another size than the components were fitted on."""
        if self.components is not None and self.mean is not None:
            if vectors.shape[1] != len(self.mean):
                raise UsageError(
                    f"these components were fitted on vectors of {len(self.mean)} dimensions, not of {vectors.shape[1]}"
                )
            vectors = np.asarray((vectors - self.mean) @ self.components.T, np.float32)
        if self.dimensions:
            vectors = vectors[:, : self.dimensions]
        changed = self.dimensions or self.components is not None
        return unit_length(np.ascontiguousarray(vectors)) if changed else vectors


def fit_components(vectors: Float32, count: int) -> Reduction:
    """The `count` directions that keep most of the vectors' (n, d) inner products (Eckart and Young, 1936).

    The mean is not taken off first, as principal components have it: in a space that pictures and texts share each
    kind has a mean of its own, and taking the pictures' off the texts costs more than all else. Raises UsageError.
    """
    most = min(vectors.shape)
    if not 1 <= count <= most:
        raise UsageError(
            f"{len(vectors)} vectors of {vectors.shape[1]} dimensions have 1 to {most} components: {count}"
        )
    _, _, rows = np.linalg.svd(vectors.astype(np.float64), full_matrices=False)
    signs = np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)])  # the same components in every run
    mean = np.zeros(vectors.shape[1], np.float32)
    return Reduction(mean=mean, components=(rows * signs[:, None])[:count].astype(np.float32))


def save_components(reduction: Reduction, path: Path) -> None:
    """Write mean and components as one safetensors file."""
    from safetensors.numpy import save_file

    if reduction.mean is None or reduction.components is None:
        raise UsageError("there are no components to save: fit them first")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"mean": reduction.mean, "components": reduction.components}, path)


def load_components(path: Path) -> Reduction:
    """What `save_components` wrote; raises MissingWeights where the file is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
        mean, components = tensors["mean"], tensors["components"]
    except (OSError, SafetensorError, KeyError) as error:
        raise MissingWeights(f"the components cannot be read: {path}: {error}; fit them again") from error
    fit_together = components.ndim == 2 and len(components) > 0 and mean.shape == components.shape[1:]
    if not fit_together or not (np.isfinite(mean).all() and np.isfinite(components).all()):
        raise MissingWeights(
            f"these are no components of vectors: {path}: mean {mean.shape}, components {components.shape}, which are "
            "(dim,) and (k, dim) of finite numbers; fit them again"
        )
    return Reduction(mean=mean.astype(np.float32), components=components.astype(np.float32))
