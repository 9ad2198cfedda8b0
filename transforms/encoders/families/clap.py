"""CLAP (Elizalde et al., 2022; Wu et al., 2023): sound and text in one space.

Windows are of the extractor's `max_length_s` at most, so nothing is cropped at random (`truncation="rand_trunc"`). A
model with fusion (`truncation="fusion"`, `enable_fusion`) takes four spectrograms of a window and fuses those of the
windows that are longer; none is, whatever its extractor says of one that it draws in each batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transforms.encoders.cards import Card
from transforms.encoders.folders import hub_card, read_config
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Role, Where, as_float32
from transforms.encoders.precision import moved, placed
from transforms.encoders.sounds import at_least, extractor_settings
from transforms.encoders.text_models import pretrained, token_counter, token_spans, whole_texts
from transforms.errors import UsageError
from transforms.records import Float32


@dataclass(eq=False)
class ClapNetwork(Network):
    """The model, its feature extractor and its tokenizer."""

    model: Any
    extractor: Any
    tokenizer: Any
    sample_rate_hz: int
    longest_tokens: int
    where: Where = Where()

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim)."""
        return whole_texts(texts, self.longest_tokens, token_counter(self.tokenizer), self._text_vectors)

    def _text_vectors(self, texts: Sequence[str]) -> Float32:
        inputs = self.tokenizer(list(texts), padding=True, return_tensors="pt")
        return as_float32(self.model.get_text_features(**moved(inputs, self.where)).pooler_output)

    def sounds(self, windows: Sequence[Float32]) -> Float32:
        """(n, dim)."""
        import torch

        heard = [at_least(window, 1) for window in windows]
        inputs = moved(self.extractor(heard, sampling_rate=self.sample_rate_hz, return_tensors="pt"), self.where)
        inputs["is_longer"] = torch.zeros_like(inputs["is_longer"])
        with torch.inference_mode():
            return as_float32(self.model.get_audio_features(**inputs).pooler_output)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token begins and ends."""
        return token_spans(self.tokenizer, text)


def describe(name: Name, folder: Path) -> Card:
    """The card of a model's folder."""
    name.check_options()
    config, heard = read_config(folder), extractor_settings(folder)
    if config.get("model_type") != "clap":
        raise UsageError(f"clap takes models of the kind clap, this is one of {config.get('model_type')!r}: {folder}")
    return hub_card(
        name,
        folder,
        modality="sound",
        accepts=("text", "sound"),
        dimensions=config["projection_dim"],
        text_queries=True,
        sample_rate_hz=heard["sampling_rate"],
        longest_seconds=heard["max_length_s"],
        longest_tokens=config["text_config"]["max_position_embeddings"] - 4,  # RoBERTa counts from 2; <s> and </s>
        code_revision=3,
    )


def load(card: Card, where: Where) -> ClapNetwork:
    """The model of a card; raises MissingWeights."""
    from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

    model = pretrained(ClapModel, card.folder, unsafe=Name.parse(card.name).flag("unsafe"))
    extractor = ClapFeatureExtractor.from_pretrained(card.folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(card.folder, local_files_only=True, trust_remote_code=False)
    assert card.sample_rate_hz is not None
    return ClapNetwork(placed(model, where), extractor, tokenizer, card.sample_rate_hz, card.longest_tokens)
