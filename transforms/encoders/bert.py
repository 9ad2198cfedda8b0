"""BERT's encoder (Devlin et al., 2018) with mean pooling, in plain torch.

As small as this, it loads without transformers and sentence-transformers, whose
imports alone take several seconds, and exports to ONNX as one graph. A test holds
it against sentence-transformers' own vectors.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The sizes that a `config.json` of BERT's family gives."""

    vocabulary: int
    positions: int
    types: int
    width: int
    inner_width: int
    heads: int
    layers: int
    layer_norm_epsilon: float

    @classmethod
    def read(cls, path: Path) -> "BertConfig":
        """From a `config.json`; raises ValueError for another architecture."""
        given = json.loads(path.read_text())
        if given["model_type"] != "bert" or given["hidden_act"] != "gelu":
            raise ValueError(f"not a BERT with gelu: model_type={given['model_type']!r}, {given['hidden_act']!r}")
        return cls(
            vocabulary=given["vocab_size"],
            positions=given["max_position_embeddings"],
            types=given["type_vocab_size"],
            width=given["hidden_size"],
            inner_width=given["intermediate_size"],
            heads=given["num_attention_heads"],
            layers=given["num_hidden_layers"],
            layer_norm_epsilon=given["layer_norm_eps"],
        )


class _Layer(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.attended = nn.Linear(config.width, config.width)
        self.attended_norm = nn.LayerNorm(config.width, config.layer_norm_epsilon)
        self.inner = nn.Linear(config.width, config.inner_width)
        self.outer = nn.Linear(config.inner_width, config.width)
        self.outer_norm = nn.LayerNorm(config.width, config.layer_norm_epsilon)

    def forward(self, hidden: Tensor, seen: Tensor) -> Tensor:  # (n, tokens, width), (n, 1, 1, tokens) bool
        query, key, value = (
            linear(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (n, heads, tokens, width / heads)
            for linear in (self.query, self.key, self.value)
        )
        attention = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        hidden = self.attended_norm(hidden + self.attended(attention.transpose(1, 2).flatten(2)))
        normed: Tensor = self.outer_norm(hidden + self.outer(functional.gelu(self.inner(hidden))))
        return normed


class MeanPooledBert(nn.Module):
    """ids, mask (n, tokens) int64 -> (n, width) float32: the mean of the last hidden states under the mask."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.types = nn.Embedding(config.types, config.width)
        self.norm = nn.LayerNorm(config.width, config.layer_norm_epsilon)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Every row of the mask holds at least one 1."""
        positions = torch.arange(ids.shape[1], device=ids.device)
        hidden = self.norm(self.words(ids) + self.positions(positions) + self.types.weight[0])
        seen = mask.bool()[:, None, None, :]
        for layer in self.layers:
            hidden = layer(hidden, seen)
        weights = mask[:, :, None].to(hidden.dtype)
        pooled: Tensor = (hidden * weights).sum(1) / weights.sum(1)
        return pooled


_OUTSIDE = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "types",
    "embeddings.LayerNorm": "norm",
}
_INSIDE = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attended",
    "attention.output.LayerNorm": "attended_norm",
    "intermediate.dense": "inner",
    "output.dense": "outer",
    "output.LayerNorm": "outer_norm",
}


def load_bert(config: Path, weights: Path) -> MeanPooledBert:
    """The model in inference mode; every tensor of the file is placed, but for those that pooling leaves unused."""
    model = MeanPooledBert(BertConfig.read(config))
    tensors = load_file(weights)
    unused = ("pooler.", "embeddings.position_ids")
    model.load_state_dict({_own_name(name): tensors[name] for name in tensors if not name.startswith(unused)})
    return model.eval()


def _own_name(name: str) -> str:
    module, _, tensor = name.rpartition(".")
    if module in _OUTSIDE:
        return f"{_OUTSIDE[module]}.{tensor}"
    _, _, index, inside = module.split(".", 3)  # encoder.layer.<index>.<module>
    return f"layers.{index}.{_INSIDE[inside]}.{tensor}"
