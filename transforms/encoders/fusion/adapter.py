"""A low-rank map over the vectors of a frozen encoder (after Hu et al., 2021), applied where they are made.

    unit(v + (v A) B + shift),  A (dim, rank), B (rank, dim), shift (dim,)

With B and the shift at zero it changes nothing, which is where its training begins.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transforms.encoders.fusion.trained import read_trained
from transforms.encoders.windows import unit_length
from transforms.errors import UsageError
from transforms.records import Float32


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """Unit vectors (n, dim) -> unit vectors (n, dim)."""

    down: Float32  # (dim, rank)
    up: Float32  # (rank, dim)
    shift: Float32  # (dim,)

    def apply(self, vectors: Float32) -> Float32:
        """Raises UsageError for vectors of another size."""
        if vectors.shape[1] != len(self.shift):
            raise UsageError(f"this adapter is for vectors of {len(self.shift)} dimensions, not of {vectors.shape[1]}")
        return unit_length(np.asarray(vectors + (vectors @ self.down) @ self.up + self.shift, np.float32))


def load_adapter(path: Path) -> Adapter:
    """The adapter of a file; raises MissingWeights, and UsageError for a file of another kind."""
    tensors = read_trained(path, "adapter").tensors
    return Adapter(tensors["down"], tensors["up"], tensors["shift"])
