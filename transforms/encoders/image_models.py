"""What image networks share: pixels in their range, and every tensor of a file in its place. Imports no torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.encoders.network import Pixels, Where
from transforms.encoders.precision import dtype_of
from transforms.errors import MissingWeights

if TYPE_CHECKING:
    import torch

#: Shown to the model a channel at a time: red, green, blue, of numbers in [0, 1] (ImageNet's training pictures).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalised(pixels: Pixels, mean: Sequence[float], std: Sequence[float], where: Where) -> "torch.Tensor":
    """Frames (n, height, width, 3) uint8 -> (n, 3, height, width) on the device, less the mean, over the deviation."""
    import torch

    shown = torch.from_numpy(np.array(pixels)).to(where.device).permute(0, 3, 1, 2).float() / 255
    centre, spread = (torch.tensor(values, device=where.device).view(3, 1, 1) for values in (mean, std))
    return ((shown - centre) / spread).to(dtype_of(where))


def the_one_file(folder: Path, *preferred: str) -> str:
    """The folder's safetensors file: the first of the preferred names, else the only one; "" where there is none.

    Raises MissingWeights where several could be meant.
    """
    found = sorted(path.name for path in folder.glob("*.safetensors"))
    for name in preferred:
        if name in found:
            return name
    if len(found) > 1:
        raise MissingWeights(f"{folder} holds several models ({', '.join(found)}); name it {preferred[0]} or keep one")
    return found[0] if found else ""


def read_tensors(path: Path) -> dict[str, "torch.Tensor"]:
    """The tensors of a safetensors file, or of a pickled one, of which nothing but tensors is read."""
    import torch
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged pickle raises
        raise MissingWeights(f"the weights cannot be read: {path}: {error}; pull or copy them again") from error
    inner = found.get("state_dict", found) if isinstance(found, dict) else {}
    tensors = {key: value for key, value in inner.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise MissingWeights(f"the weights hold no tensor: {path}; pull or copy them again")
    return tensors


def fill(model: "torch.nn.Module", tensors: Mapping[str, Any], path: Path, what: str) -> None:
    """Put every tensor in its place; raises MissingWeights for one that is missing, left over or of another shape."""
    own = model.state_dict()
    missing = [key for key in own if key not in tensors and not key.endswith("num_batches_tracked")]  # for training
    unknown = [key for key in tensors if key not in own]
    unlike = [key for key in own if key in tensors and own[key].shape != tensors[key].shape]
    for keys, said in ((missing, "missing"), (unknown, "not of this network"), (unlike, "of another shape")):
        if keys:
            raise MissingWeights(
                f"the tensors of {path} are not those of {what}: {len(keys)} of {len(own)} are {said}, "
                f"e.g. {', '.join(keys[:3])}; pull or copy the weights again"
            )
    model.load_state_dict(dict(tensors), strict=False)
