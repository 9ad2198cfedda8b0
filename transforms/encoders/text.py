"""Texts -> unit vectors, by a sentence encoder of BERT's family."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from apache_beam.ml.inference.base import ModelHandler
from tokenizers import Tokenizer

from transforms.encoders.bert import MeanPooledBert, load_bert
from transforms.encoders.cards import MINILM_CONFIG, MINILM_TOKENIZER, MINILM_WEIGHTS, Card
from transforms.encoders.device import in_halves, kept, resolve, torch_cuda_devices
from transforms.encoders.weights import verify
from transforms.encoders.wordpieces import Int64, embed, load_tokenizer
from transforms.records import Float32


@dataclass(eq=False)
class TextModel:
    """The tokenizer and the network on its device; one thread at a time."""

    tokenizer: Tokenizer
    network: MeanPooledBert
    device: str
    window_tokens: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    def encode(self, texts: Sequence[str]) -> Float32:
        """Unit vectors (n, dim) of the texts, in order."""
        with self.lock:
            return embed(texts, self.tokenizer, self.forward, window_tokens=self.window_tokens)

    @torch.inference_mode()
    def forward(self, ids: Int64, mask: Int64) -> Float32:
        """Mean-pooled vectors (n, dim) of a padded batch, not normalised."""
        on_device = (torch.from_numpy(array).to(self.device) for array in (ids, mask))
        pooled: Float32 = self.network(*on_device).float().cpu().numpy()
        return pooled


def load_text_model(card: Card, device: str) -> TextModel:
    """Load what the card pins onto cpu or cuda; raises MissingWeights."""
    config, tokenizer, weights = (
        verify(card.weights_of(file)) for file in (MINILM_CONFIG, MINILM_TOKENIZER, MINILM_WEIGHTS)
    )
    return TextModel(
        tokenizer=load_tokenizer(tokenizer),
        network=load_bert(config, weights).to(device),
        device=device,
        window_tokens=int(card.setting("window_tokens")),
    )


class TextHandler(ModelHandler[str, Float32, TextModel]):
    """A text -> one unit vector (dim,) float32. Holds no model, so it travels to workers."""

    def __init__(self, card: Card, device: str = "auto") -> None:
        super().__init__(min_batch_size=1, max_batch_size=256)
        self.card = card
        self.device = device

    def load_model(self) -> TextModel:
        """The model, loaded once a process and kept over runs."""
        taken = resolve(self.device, name=self.card.name, cuda_devices=torch_cuda_devices)
        return kept((self.card, taken), lambda: load_text_model(self.card, taken))

    def run_inference(
        self, batch: Sequence[str], model: TextModel, inference_args: Mapping[str, Any] | None = None
    ) -> list[Float32]:
        """One vector a text, in order; an empty batch gives an empty list."""
        return in_halves(lambda texts: list(model.encode(texts)), batch) if batch else []

    def get_num_bytes(self, batch: Sequence[str]) -> int:
        """The texts' own bytes; the default would pickle them on every batch."""
        return sum(len(text) for text in batch)

    def get_metrics_namespace(self) -> str:
        """Where Beam files this handler's metrics."""
        return "reelvec_text"
