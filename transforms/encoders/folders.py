"""Weights in a folder: which files decide a model, that they are safe to read, and their checksums."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from transforms.encoders.cards import Card, Modality, Weights
from transforms.encoders.names import Name
from transforms.encoders.network import Kind
from transforms.encoders.weights import sha256_of
from transforms.errors import MissingWeights, UsageError
from transforms.records import Interpolation, Scalar

#: Small files that decide vectors beside the tensors.
DECIDING = (
    "config.json",
    "*config*.json",
    "tokenizer*.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "modules.json",
    "*/config.json",
    "chat_template*",
    "preprocessor_config.json",
)
#: Pillow's numbers, as image processors write them.
_PILLOW_RESAMPLING: Mapping[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_UNSAFE = ("*.bin", "*.pth", "*.pt", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")


def read_config(folder: Path, file: str = "config.json") -> dict[str, Any]:
    """A JSON file of the folder; raises MissingWeights where it is missing or broken."""
    path = folder / file
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise MissingWeights(f"a model's folder holds {file}, this one does not: {folder}") from error
    except (OSError, ValueError) as error:
        raise MissingWeights(f"the model's {file} cannot be read: {path}: {error}; pull the weights again") from error
    if not isinstance(found, dict):
        raise MissingWeights(f"the model's {file} is no JSON object: {path}; pull the weights again")
    return found


def pinned(
    folder: Path, *, tensors: Sequence[str] = ("*.safetensors",), beside: Iterable[str] = DECIDING, unsafe: bool = False
) -> tuple[Weights, ...]:
    """Every file of the folder that decides vectors, with its SHA-256, in the order of their names.

    Raises MissingWeights for a folder without safetensors (unless `unsafe` lets pickled files through) or with a
    safetensors file that is cut short or damaged.
    """
    files = _matching(folder, tensors)
    if not files and not unsafe:
        others = [path.name for path in _matching(folder, _UNSAFE)]
        if others:
            raise MissingWeights(
                f"{folder} holds its weights as {', '.join(others[:3])} only, which can run code when they are read; "
                "save the model as safetensors, or say ?unsafe=true in its name if you trust the file"
            )
        raise MissingWeights(f"there are no weights (*.safetensors) in {folder}")
    if not files:
        files = _matching(folder, _UNSAFE)
    for path in files:
        if path.suffix == ".safetensors":
            check_safetensors(path)
    names = dict.fromkeys([*files, *_matching(folder, beside)])
    return tuple(
        Weights(package="", version="", file=str(path.relative_to(folder)), sha256=sha256_of(path), folder=str(folder))
        for path in sorted(names)
    )


def check_safetensors(path: Path) -> None:
    """Raise MissingWeights for a file whose header or length is wrong."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as opened:
            names = opened.keys()
    except (SafetensorError, OSError, ValueError) as error:
        raise MissingWeights(f"the weights are damaged: {path}: {error}; pull or copy them again") from error
    if not names:
        raise MissingWeights(f"the weights hold no tensor: {path}; pull or copy them again")


def _matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


@cache
def licence_of(folder: Path) -> str:
    """The licence that the model's own card states; "" where it states none."""
    readme = folder / "README.md"
    if not readme.is_file():
        return ""
    head = readme.read_text(errors="replace")[:4000]
    if not head.startswith("---"):
        return ""
    for line in head.split("---", 2)[1].splitlines():
        if line.startswith("license:"):
            return line.partition(":")[2].strip().strip("\"'")
    return ""


def hub_card(
    name: Name,
    folder: Path,
    *,
    modality: Modality,
    accepts: tuple[Kind, ...],
    dimensions: int,
    text_queries: bool,
    settings: Sequence[tuple[str, Scalar]] = (),
    tensors: Sequence[str] = ("*.safetensors",),
    **described: Any,
) -> Card:
    """The card of a model that lies in a folder, in a space of its own; `described` are further fields of Card.

    The options of its name that decide vectors, apart from those of every family, belong into `settings`.
    """
    weights = pinned(folder, tensors=tensors, unsafe=name.flag("unsafe"))
    revision = revision_of(folder)
    decides = [*(one.sha256 for one in weights), *(f"{key}={value}" for key, value in settings)]
    decided = hashlib.sha256("\n".join(decides).encode()).hexdigest()[:12]
    return Card(
        name=str(name),
        modality=modality,
        accepts=accepts,
        dimensions=int(dimensions),
        space=f"{name.family}#{decided}",
        text_queries=text_queries,
        frame_spec=described.pop("frame_spec", None),
        sample_rate_hz=described.pop("sample_rate_hz", None),
        weights=weights,
        licence=described.pop("licence", "") or licence_of(folder) or "not stated by the model's files",
        languages=described.pop("languages", ()),
        settings=(*settings, ("revision", described.pop("code_revision", 1))),
        identity=name.family,
        revision=revision,
        **described,
    )


def revision_of(folder: Path) -> str:
    """The hub's commit, where the folder is a snapshot in the hub's cache; else ""."""
    return folder.name if folder.parent.name == "snapshots" else ""


def interpolation_of(said: Any, usual: Interpolation) -> Interpolation:
    """How a preprocessor's settings scale: a name, or Pillow's number for it; `usual` where they say nothing.

    Raises UsageError for a way that no frame can be scaled by here.
    """
    if said is None or said == "random":  # timm's and open_clip's name for either, of training
        return usual
    found = _PILLOW_RESAMPLING.get(said, said) if isinstance(said, int) else str(said).lower()
    if found not in _PILLOW_RESAMPLING.values():
        raise UsageError(
            f"the preprocessor's settings scale pictures in a way that is not known here: {said!r}; known are "
            f"{', '.join(_PILLOW_RESAMPLING.values())}"
        )
    return cast(Interpolation, found)
