"""Frames -> unit vectors in the text encoder's space, by ConSE (Norouzi et al., 2014).

A classifier's probabilities over named classes weigh the text vectors of the names,
so words find pictures without a model that was trained on both.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from apache_beam.ml.inference.base import ModelHandler
from numpy.typing import NDArray

from transforms.encoders.cards import CLASS_NAMES, EFFICIENTNET, Card, text_encoder_of
from transforms.encoders.device import in_halves, kept, resolve, torch_cuda_devices
from transforms.encoders.text import TextHandler
from transforms.encoders.weights import verify
from transforms.errors import MissingWeights
from transforms.records import Float32, FrameSpec

Pixels = NDArray[np.uint8]

_NETWORK = "tf_efficientnet_lite2"
#: On two cores 4 frames at once ran at 49 frames/s, 32 at 29 and in 700 MB more memory.
_BATCH_FRAMES_CPU = 4
_BATCH_FRAMES_GPU = 32


@dataclass(eq=False)
class ConseModel:
    """The classifier on its device, and the text vectors of its classes; one thread at a time."""

    network: torch.nn.Module
    class_vectors: torch.Tensor  # (classes, dim)
    device: str
    top_k: int
    temperature: float
    lock: threading.Lock = field(default_factory=threading.Lock)

    def encode(self, pixels: Pixels) -> Float32:
        """Frames (n, height, width, 3) -> unit vectors (n, dim); one sub-batch at a time is on the device."""
        parts = [np.zeros((0, self.class_vectors.shape[1]), np.float32)]
        size = _BATCH_FRAMES_CPU if self.device == "cpu" else _BATCH_FRAMES_GPU
        with self.lock:
            for start in range(0, len(pixels), size):
                parts += in_halves(lambda part: [self._forward(part)], pixels[start : start + size])
        return np.concatenate(parts)

    @torch.inference_mode()
    def _forward(self, pixels: Pixels) -> Float32:
        frames = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device).permute(0, 3, 1, 2)  # channels last
        logits = self.network((frames.float() - 127) / 128).float()
        probabilities, classes = (logits / self.temperature).softmax(-1).topk(self.top_k)  # (n, k)
        vectors = (probabilities[:, :, None] * self.class_vectors[classes]).sum(1)
        unit: Float32 = torch.nn.functional.normalize(vectors).cpu().numpy()
        return unit


def load_conse_model(card: Card, device: str) -> ConseModel:
    """Load what the card pins onto cpu or cuda; raises MissingWeights."""
    network_path, names_path = verify(card.weights_of(EFFICIENTNET)), verify(card.weights_of(CLASS_NAMES))
    network = load_efficientnet(network_path).to(device).to(memory_format=torch.channels_last)
    return ConseModel(
        network=network,
        class_vectors=torch.from_numpy(class_vectors(card, names_path, device)).to(device),
        device=device,
        top_k=int(card.setting("top_k")),
        temperature=float(card.setting("temperature")),
    )


def class_vectors(card: Card, names_path: Path, device: str) -> Float32:
    """The text vectors of the classifier's class names, (classes, dim), in class order."""
    template = str(dict(card.settings)["template"])
    names = [template.format(name=name) for name in json.loads(names_path.read_text())]
    text = text_encoder_of(card.name)
    pinned = {weights.file: weights for weights in card.weights}
    text = replace(text, weights=tuple(pinned[weights.file] for weights in text.weights))
    handler = TextHandler(text, device)
    return np.stack(handler.run_inference(names, handler.load_model()))


def load_efficientnet(path: Path) -> torch.nn.Module:
    """The classifier in inference mode: the file's tensors, renamed by position, each shape checked."""
    import timm

    stored = torch.load(path, map_location="cpu", weights_only=True)
    network: torch.nn.Module = timm.create_model(_NETWORK, pretrained=False)
    own = network.state_dict()
    shapes = [tuple(tensor.shape) for tensor in own.values()]
    if [tuple(tensor.shape) for tensor in stored.values()] != shapes:
        raise MissingWeights(
            f"the tensors of {path} are not those of {_NETWORK}: {len(stored)} in the file, {len(own)} in the network; "
            "install the tested versions with: pip install 'reelvec[offline]'"
        )
    network.load_state_dict(dict(zip(own, stored.values(), strict=True)))
    return network.eval()


class FrameHandler(ModelHandler[Pixels, Float32, ConseModel]):
    """Frames (k, height, width, 3) uint8 of one segment -> (k, dim) float32 unit vectors. Holds no model."""

    def __init__(self, card: Card, device: str = "auto") -> None:
        super().__init__(min_batch_size=1, max_batch_size=16)
        self.card = card
        self.device = device

    def load_model(self) -> ConseModel:
        """The model, loaded once a process and kept over runs."""
        taken = resolve(self.device, name=self.card.name, cuda_devices=torch_cuda_devices)
        return kept((self.card, taken), lambda: load_conse_model(self.card, taken))

    def run_inference(
        self, batch: Sequence[Pixels], model: ConseModel, inference_args: Mapping[str, Any] | None = None
    ) -> list[Float32]:
        """Vectors of each element, in order; raises ValueError for frames of another size than the card's."""
        if not batch:
            return []
        assert self.card.frame_spec is not None
        for pixels in batch:
            check_pixels(pixels, self.card.frame_spec)
        vectors = model.encode(batch[0] if len(batch) == 1 else np.concatenate(batch))
        ends = np.cumsum([len(pixels) for pixels in batch])[:-1]
        return np.split(vectors, ends)

    def get_num_bytes(self, batch: Sequence[Pixels]) -> int:
        """The pixels' own bytes; the default would pickle them on every batch."""
        return sum(pixels.nbytes for pixels in batch)

    def get_metrics_namespace(self) -> str:
        """Where Beam files this handler's metrics."""
        return "reelvec_frames"


def check_pixels(pixels: Pixels, spec: FrameSpec) -> None:
    """Raise ValueError unless these are frames of the wanted size."""
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (spec.height, spec.width, 3):
        raise ValueError(
            f"frames are (n, {spec.height}, {spec.width}, 3) uint8; decode them with the card's frame_spec: "
            f"shape={pixels.shape}, dtype={pixels.dtype}"
        )
