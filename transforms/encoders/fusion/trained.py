"""The file of what was trained over frozen vectors: tensors, and what they were trained on. Imports no torch.

One safetensors file; its metadata has one entry, `reelvec`, which is JSON: the kind, the sizes, the fingerprints of
the vectors that went in, how it was trained, and what it gained on videos that it never saw.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from transforms.encoders.weights import sha256_of
from transforms.errors import MissingWeights, RecipeMismatch, UsageError
from transforms.records import Float32

#: head: tokens of a clip -> one vector; adapter: vector -> vector; attention: weights of frames; position: a table.
Kind = Literal["head", "adapter", "attention", "position"]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: The tensors that each kind must have, and which of their axes are as long as its vectors; a head's follow its sizes.
_TENSORS: Mapping[Kind, Mapping[str, tuple[bool, ...]]] = {
    "head": {},
    "adapter": {"down": (True, False), "up": (False, True), "shift": (True,)},
    "attention": {"query": (True,)},
    "position": {"table": (False, True)},
}

#: Raised when the networks that read these files change.
_FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What `reelvec train-fusion` made."""

    kind: Kind
    dimensions: int  # of a vector that comes out
    tensors: Mapping[str, Float32]
    inputs: Mapping[str, str] = field(default_factory=dict)  # what went in: its fingerprint by its name
    sizes: Mapping[str, Any] = field(default_factory=dict)  # of the network
    training: Mapping[str, Any] = field(default_factory=dict)  # loss, seed, epochs, clips, videos
    held_out: Mapping[str, Any] = field(default_factory=dict)  # recall before and after, with intervals
    path: str = ""

    def check_inputs(self, prints: Mapping[str, str]) -> None:
        """Raise RecipeMismatch unless these are the vectors that it was trained on."""
        for name, wanted in self.inputs.items():
            if prints.get(name) != wanted:
                held = "has none" if name not in prints else f"makes other ones ({prints[name][:12]})"
                raise RecipeMismatch(
                    f"{self.path} was trained on {name!r} of another recipe ({wanted[:12]}), this one {held}; "
                    f"train it again on an index of this recipe: reelvec train-fusion --kind {self.kind}"
                )


def write_trained(trained: Trained, path: Path) -> None:
    """Write the file; the folder is made."""
    from safetensors.numpy import save_file

    about = {
        "format": _FORMAT,
        "kind": trained.kind,
        "dimensions": trained.dimensions,
        "inputs": dict(trained.inputs),
        "sizes": dict(trained.sizes),
        "training": dict(trained.training),
        "held_out": dict(trained.held_out),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in trained.tensors.items()}
    save_file(tensors, path, metadata={"reelvec": json.dumps(about, sort_keys=True)})


def read_trained(path: str | Path, kind: Kind) -> Trained:
    """What `write_trained` wrote. Raises MissingWeights for a missing or damaged file, UsageError for another kind."""
    try:
        found = _read(str(path), sha256_of(Path(path)))
    except OSError as error:
        raise MissingWeights(f"there is no trained {kind} at {path} ({error.strerror}); {_cure(kind)}") from error
    if found.kind != kind:
        raise UsageError(f"{path} holds a trained {found.kind}, not a trained {kind}; {_cure(kind)}")
    return found


@lru_cache(maxsize=16)
def _read(path: str, sha256: str) -> Trained:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})["reelvec"])
            if about["format"] != _FORMAT:
                raise UsageError(f"{path} is of format {about['format']}, this Reelvec reads {_FORMAT}; train it again")
            trained = Trained(
                kind=about["kind"],
                dimensions=int(about["dimensions"]),
                tensors={name: file.get_tensor(name) for name in file.keys()},  # noqa: SIM118  (no mapping)
                inputs=about["inputs"],
                sizes=about["sizes"],
                training=about["training"],
                held_out=about["held_out"],
                path=path,
            )
        _check_tensors(trained)
        return trained
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise MissingWeights(
            f"{path} is damaged, or was not made by `reelvec train-fusion` ({type(error).__name__}: {error}); "
            "train it again"
        ) from error


def _check_tensors(trained: Trained) -> None:
    """Raise ValueError unless the tensors are finite and have the shapes that the file says."""
    for name, tensor in trained.tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"{name} holds what is no number")
    for name, axes in _TENSORS[trained.kind].items():
        shape = trained.tensors[name].shape
        sizes = [size for size, fixed in zip(shape, axes, strict=True) if fixed]
        if sizes != [trained.dimensions] * len(sizes):
            raise ValueError(f"{name} is of shape {shape}, its vectors of {trained.dimensions} dimensions")
    if trained.kind == "position" and len(trained.tensors["table"]) < 2:
        raise ValueError("a table of positions has two rows at least")
    if trained.kind == "head" and trained.sizes["dimensions"] != trained.dimensions:
        raise ValueError(f"dimensions={trained.dimensions}, its network's are {trained.sizes['dimensions']}")


def _cure(kind: Kind) -> str:
    return f"make one with: reelvec train-fusion --kind {kind} --index I --out FILE"
