"""The Beam ModelHandler of every encoder. It holds a card and no model, so it travels to workers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from transforms.encoders.cards import Card
from transforms.encoders.encoder import Encoder
from transforms.encoders.network import ClipInput
from transforms.encoders.registry import load_encoder
from transforms.records import Audio

#: Elements in one batch of Beam's; the encoder cuts it to what its device holds.
_MAX_BATCH_ELEMENTS = {"text": 256, "image": 16, "objects": 16, "ocr": 8, "speech": 8}


class EncoderHandler(ModelHandler[Any, Any, Encoder]):
    """What goes in and comes out stands at `registry.handler`; a model of several kinds goes by what it is given."""

    def __init__(self, card: Card, device: str = "auto") -> None:
        super().__init__(min_batch_size=1, max_batch_size=_MAX_BATCH_ELEMENTS.get(card.modality, 32))
        self.card = card
        self.device = device

    def load_model(self) -> Encoder:
        """The encoder, loaded once a process and kept over runs."""
        return load_encoder(self.card, self.device)

    def run_inference(
        self, batch: Sequence[Any], model: Encoder, inference_args: Mapping[str, Any] | None = None
    ) -> list[Any]:
        """One result an element, in order; a batch holds elements of one kind, an empty one gives an empty list."""
        if not batch:
            return []
        first = batch[0]
        if isinstance(first, str):
            return list(model.texts(batch))
        if isinstance(first, ClipInput):
            return list(model.clips(batch))
        if isinstance(first, Audio):
            if self.card.modality == "speech":
                return [model.transcribe(audio) for audio in batch]
            return list(model.sounds(batch))
        if self.card.modality == "ocr":
            return [model.read(picture) for picture in batch]
        if self.card.modality == "objects":
            return [model.detect(pixels) for pixels in batch]
        vectors = model.frames(first if len(batch) == 1 else np.concatenate(list(batch)))
        return np.split(vectors, np.cumsum([len(pixels) for pixels in batch])[:-1])

    def get_num_bytes(self, batch: Sequence[Any]) -> int:
        """The media's own bytes; the default would pickle them on every batch."""
        return sum(map(_bytes_of, batch))

    def get_metrics_namespace(self) -> str:
        """Where Beam files this handler's metrics."""
        return f"reelvec_{self.card.modality}"


def _bytes_of(element: Any) -> int:
    if isinstance(element, Audio):
        return element.samples.nbytes
    if isinstance(element, ClipInput):
        return element.frames.nbytes + (element.audio.samples.nbytes if element.audio else 0)
    return len(element) if isinstance(element, str) else int(element.nbytes)
