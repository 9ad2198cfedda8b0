"""Any text model of transformers, its token vectors pooled into one.

mean       of all tokens, as Sentence-BERT has it (Reimers and Gurevych, 2019)
weighted   a token at position i of n weighs i, for models that see only what came before (SGPT, Muennighoff, 2022)
max        the largest value of each coordinate
cls        the first token's vector
last       the last token's vector, for decoders
attention  a token weighs as much attention as it gets in the last layer, averaged over heads and over the tokens
           that look at it: the significance score of PoWER-BERT (Goyal et al., 2020)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.folders import hub_card, read_config
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Role, Where, as_float32
from transforms.encoders.precision import placed
from transforms.encoders.text_models import (
    longest_pass,
    passes,
    pretrained,
    prompt_settings,
    token_ids,
    token_spans,
    whole_texts,
)
from transforms.encoders.windows import of_equal_length, padded, unit_length
from transforms.errors import MissingWeights, UsageError
from transforms.records import Float32

POOLINGS = ("mean", "weighted", "max", "cls", "last", "attention")
#: What only the heads read that models were trained with: the tokens are pooled here.
UNUSED = ("pooler.",)
#: How far unit vectors of one text may lie apart, in fp32 and in less, and still count as one.
_SAME, _NEARLY_SAME = 1e-4, 5e-2
_WIDTHS = ("hidden_size", "d_model", "n_embd", "dim", "embed_dim")
_ENCODERS = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}


@dataclass(eq=False)
class PooledText(Network):
    """The model and its tokenizer; padding is at the right, whatever the tokenizer prefers."""

    model: Any
    tokenizer: Any
    pooling: str
    max_tokens: int
    where: Where = Where()
    honours_masks: bool = True  # else only texts of equal length go in together

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim)."""
        return whole_texts(texts, self.max_tokens, self._count, self._run)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token begins and ends."""
        return token_spans(self.tokenizer, text)

    def _count(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in token_ids(self.tokenizer, texts)]

    def _run(self, texts: Sequence[str]) -> Float32:
        ids = token_ids(self.tokenizer, texts)
        rows: dict[int, Float32] = {}
        for group in [range(len(ids))] if self.honours_masks else of_equal_length(ids):
            for chosen in passes([len(ids[place]) for place in group]):
                places = [group[one] for one in chosen]
                rows |= zip(places, self._forward([ids[place] for place in places]), strict=True)
        return np.stack([rows[place] for place in range(len(texts))])

    def try_out(self) -> None:
        """Find out whether a text's vector changes with the padding behind it, as FNet's and others' do.

        Raises UsageError for a model whose tokens cannot be pooled.
        """
        ids = token_ids(self.tokenizer, [" ".join("abcdefgh")])[0][: self.max_tokens]
        try:
            (alone,), (beside, _) = self._forward([ids[:2]]), self._forward([ids[:2], ids])
        except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
            raise UsageError(
                f"the tokens of {type(self.model).__name__} cannot be pooled in {self.where.precision}: {error}; "
                "take another family or precision"
            ) from error
        close = _SAME if self.where.precision == "fp32" else _NEARLY_SAME
        self.honours_masks = bool(np.abs(unit_length(alone) - unit_length(beside)).max() < close)

    def _forward(self, rows: Sequence[Sequence[int]]) -> Float32:
        import torch

        pad = self.tokenizer.pad_token_id
        ids, mask = (torch.from_numpy(part).to(self.where.device) for part in padded(rows, pad or 0))
        extra = {"output_attentions": True} if self.pooling == "attention" else {}
        with torch.inference_mode():
            given = self.model(input_ids=ids, attention_mask=mask, **extra)
            return as_float32(pooled(given, mask, self.pooling))


def pooled(given: Any, mask: Any, pooling: str) -> Any:
    """A model's output and its mask (n, tokens), padded at the right -> (n, dim)."""
    if pooling == "output":  # the model has pooled them itself
        return given.pooler_output.float()
    if getattr(given, "last_hidden_state", None) is None:
        raise UsageError(f"the model gives no vector a token but {', '.join(given)}; take another family for it")
    hidden = given.last_hidden_state.float()  # (n, tokens, dim)
    if pooling == "max":
        return hidden.masked_fill(mask[:, :, None] == 0, float("-inf")).amax(1)
    weights = _token_weights(given, mask, pooling)
    return (hidden * (weights / weights.sum(1, keepdim=True))[:, :, None]).sum(1)


def _token_weights(given: Any, mask: Any, pooling: str) -> Any:
    """(n, tokens), 0 at the padding."""
    positions = mask.cumsum(1) * mask  # 1, 2, 3 ...
    if pooling == "weighted":
        return positions.float()
    if pooling == "cls":
        return (positions == 1).float()
    if pooling == "last":
        return (positions == mask.sum(1, keepdim=True)).float() * mask
    if pooling == "attention":
        (last,) = (getattr(given, "attentions", None) or (None,))[-1:]
        if last is None or last.shape[-2:] != (mask.shape[1],) * 2:
            raise UsageError("the model does not tell how its tokens look at each other; take pooling=mean or last")
        attended = last.float().mean(1)  # (n, looking tokens, seen tokens)
        return (attended * mask[:, :, None]).sum(1) * mask
    return mask.float()


def describe(name: Name, folder: Path) -> Card:
    """The card of a model's folder."""
    name.check_options("pooling", "query_prompt", "document_prompt", "max_tokens")
    config = read_config(folder)
    whole, content = longest_pass(folder, config, name.number("max_tokens", 0))
    return hub_card(
        name,
        folder,
        modality="text",
        accepts=("text",),
        dimensions=width_of(config, folder),
        text_queries=True,
        longest_tokens=content,
        settings=(("pooling", name.choice("pooling", POOLINGS)), ("max_tokens", whole), *prompt_settings(name)),
    )


def width_of(config: Mapping[str, Any], folder: Path) -> int:
    """The size of a token's vector; raises MissingWeights where the model's config does not tell it."""
    said = config.get("text_config") or config
    width = next((int(said[key]) for key in _WIDTHS if said.get(key)), 0)
    if not width:
        raise MissingWeights(f"config.json names none of {', '.join(_WIDTHS)}, so this is no text model: {folder}")
    return width


def load(card: Card, where: Where) -> PooledText:
    """The model of a card; of an encoder and decoder the encoder."""
    import transformers

    config = read_config(card.folder)
    settings, unsafe = dict(card.settings), Name.parse(card.name).flag("unsafe")
    model_class = getattr(transformers, _ENCODERS.get(config.get("model_type", ""), "AutoModel"))
    eager = {"attn_implementation": "eager"} if settings["pooling"] == "attention" else {}
    model = pretrained(model_class, card.folder, unsafe=unsafe, may_miss=UNUSED, **eager)
    if model_class is transformers.AutoModel and getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    tokenizer = transformers.AutoTokenizer.from_pretrained(card.folder, local_files_only=True, trust_remote_code=False)
    pooling, max_tokens = str(settings["pooling"]), int(card.setting("max_tokens"))
    network = PooledText(placed(model, where), tokenizer, pooling, max_tokens, where)
    network.try_out()
    return network
