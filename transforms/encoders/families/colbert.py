"""Late interaction (ColBERT, Khattab and Zaharia, 2020; ColBERTv2, Santhanam et al., 2021): a vector a token.

Read are the layout of ColBERT's own checkpoints (BERT and `linear.weight`) and that of PyLate and
sentence-transformers (a Transformer and Dense modules), for BERT, ModernBERT and their like.

A query is [CLS] [Q] tokens [SEP], filled up to 32 tokens with [MASK]; a longer one stays whole. A document is
[CLS] [D] tokens [SEP] without its punctuation; a long one goes in windows, whose token vectors follow one another.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.families.pooled_text import UNUSED
from transforms.encoders.folders import hub_card, pinned, read_config
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Role, Where, as_float32
from transforms.encoders.precision import placed
from transforms.encoders.text_models import (
    longest_pass,
    passes,
    pretrained,
    prompt_settings,
    read_list,
    tensor_shape,
    token_ids,
    token_spans,
)
from transforms.encoders.windows import padded, split_ids
from transforms.errors import UsageError
from transforms.records import Float32

_FILES = ("*.safetensors", "*/*.safetensors", "artifact.metadata", "*/tokenizer*.json", "*/*config*.json")


@dataclass(eq=False)
class ColbertNetwork(Network):
    """The model, the projections of its token vectors, and what the card says of queries and documents."""

    model: Any
    heads: Sequence[tuple[Any, Any]]  # a projection, and what the input passes through to be added to it
    tokenizer: Any
    settings: Mapping[str, Any]
    where: Where = Where()

    def texts(self, texts: Sequence[str], role: Role) -> list[Float32]:
        """A list of (tokens, dim)."""
        first, *last = token_ids(self.tokenizer, [""])[0]
        marker = _marker_ids(self.tokenizer, str(self.settings[f"{role}_marker"]))
        longest = int(self.settings[f"{role}_max_tokens"]) - len(marker) - len(last) - 1
        windows: list[list[int]] = []
        owners: list[int] = []
        for owner, text in enumerate(texts):
            for piece in self._pieces(text, str(self.settings[f"{role}_prompt"]), longest):
                owners.append(owner)
                windows.append([first, *marker, *piece, *last])
        rows = self._run(windows, fill=int(self.settings["query_tokens"]) if role == "query" else 0)
        if role == "document":
            rows = [self._without_punctuation(*pair) for pair in zip(windows, rows, strict=True)]
        return [
            np.concatenate([rows[at] for at, own in enumerate(owners) if own == owner]) for owner in range(len(texts))
        ]

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token begins and ends."""
        return token_spans(self.tokenizer, text)

    def _pieces(self, text: str, prompt: str, longest: int) -> list[list[int]]:
        """The tokens of a text that begins with the prompt, in pieces that each begin with it."""
        (whole,) = token_ids(self.tokenizer, [text], special=False)
        if len(whole) <= longest or not prompt:
            return split_ids(whole, longest)
        before, content = token_ids(self.tokenizer, [prompt, text.removeprefix(prompt)], special=False)
        return [[*before, *piece] for piece in split_ids(content, longest - len(before))]

    def _without_punctuation(self, ids: list[int], rows: Float32) -> Float32:
        skipped = {self.tokenizer.convert_tokens_to_ids(sign) for sign in self.settings["skipped"].split()}
        skipped.discard(self.tokenizer.unk_token_id)
        kept: Float32 = rows[[token not in skipped for token in ids]]
        return kept

    def _run(self, windows: Sequence[list[int]], fill: int) -> list[Float32]:
        """(tokens, dim) a window, (fill, dim) one that is shorter than `fill`."""
        rows: dict[int, Float32] = {}
        for places in passes([max(fill, len(window)) for window in windows]):
            chosen = [windows[place] for place in places]
            for place, window, found in zip(places, chosen, self._forward(chosen, fill), strict=True):
                rows[place] = found[: max(fill, len(window))]
        return [rows[place] for place in range(len(windows))]

    def _forward(self, windows: Sequence[list[int]], fill: int) -> Float32:
        import torch

        mask_id = next(
            token for token in (self.tokenizer.mask_token_id, self.tokenizer.eos_token_id, 0) if token is not None
        )
        filled = [[*window, *[mask_id] * (fill - len(window))] for window in windows]
        ids, mask = map(torch.from_numpy, padded(filled, self.tokenizer.pad_token_id or 0))
        if not self.settings["attend"]:  # what fills a query up looks at its tokens, and they do not look at it
            lengths = torch.tensor([len(window) for window in windows])
            mask = (torch.arange(mask.shape[1]) < lengths[:, None]).long()
        with torch.inference_mode():
            hidden = self.model(
                input_ids=ids.to(self.where.device), attention_mask=mask.to(self.where.device)
            ).last_hidden_state
            for head, around in self.heads:
                hidden = head(hidden) if around is None else head(hidden) + around(hidden)
            return as_float32(hidden)


def _marker_ids(tokenizer: Any, marker: str) -> list[int]:
    """The tokens of a marker such as "[Q] ": one of its own where the tokenizer knows it."""
    known = tokenizer.get_vocab()
    own = next((known[one] for one in (marker, marker.strip()) if one in known), None)
    return token_ids(tokenizer, [marker], special=False)[0] if own is None else [own]


def describe(name: Name, folder: Path) -> Card:
    """The card of a model's folder; raises UsageError for one that is of another family."""
    name.check_options("query_prompt", "document_prompt")
    heads = _heads(name, folder)
    layout = _library_layout(folder) if heads else _own_layout(folder)
    first = folder / (read_list(folder, "modules.json")[0].get("path", "") if heads else "")
    for place in (first, *heads):
        pinned(place, unsafe=name.flag("unsafe"))
    width = read_config(heads[-1])["out_features"] if heads else next(iter(tensor_shape(folder, "linear.weight")), 0)
    if not width:
        raise UsageError(f"{folder} has neither a linear.weight nor Dense modules, so it is no late-interaction model")
    whole, content = longest_pass(first, read_config(first))
    layout["document_max_tokens"] = min(int(layout["document_max_tokens"]), whole)
    layout["query_max_tokens"] = whole
    prompts = prompt_settings(name)
    return hub_card(
        name,
        folder,
        modality="text",
        accepts=("text",),
        dimensions=width,
        text_queries=True,
        multivector=True,
        tensors=(*_FILES, *(("*.bin", "*/*.bin") if name.flag("unsafe") else ())),
        longest_tokens=int(layout["document_max_tokens"]) - (whole - content) - 1,
        settings=(*sorted(layout.items()), *prompts),
        code_revision=2 if any(said for _, said in prompts) else 1,  # 2: every window begins with the prompt
    )


def _heads(name: Name, folder: Path) -> list[Path]:
    """The folders of the Dense modules, in order."""
    if not (folder / "modules.json").is_file():
        return []
    modules = read_list(folder, "modules.json")
    if any(str(one.get("type", "")).endswith(".Pooling") for one in modules):
        raise UsageError(f"{name.model} gives one vector a text; its family is sentence-transformers:{name.model}")
    return [folder / str(one.get("path", "")) for one in modules if str(one.get("type", "")).endswith(".Dense")]


def _own_layout(folder: Path) -> dict[str, Any]:
    """What ColBERT's own `artifact.metadata` says, and its defaults."""
    said = read_config(folder, "artifact.metadata") if (folder / "artifact.metadata").is_file() else {}
    return {
        "query_marker": said.get("query_token_id") or "[unused0]",
        "document_marker": said.get("doc_token_id") or "[unused1]",
        "query_tokens": said.get("query_maxlen") or 32,
        "document_max_tokens": said.get("doc_maxlen") or 220,
        "attend": bool(said.get("attend_to_mask_tokens")),
        "skipped": " ".join(string.punctuation) if said.get("mask_punctuation", True) else "",
    }


def _library_layout(folder: Path) -> dict[str, Any]:
    """What PyLate says in config_sentence_transformers.json, or sentence-transformers in its modules' own files."""
    modules = {
        str(one["type"]).rpartition(".")[2]: folder / str(one["path"]) for one in read_list(folder, "modules.json")
    }
    own: dict[str, Any] = {}
    for path in (
        *sorted(modules["Transformer"].glob("sentence_*_config.json")),
        folder / "config_sentence_transformers.json",
    ):
        own |= read_config(path.parent, path.name) if path.is_file() else {}
    prompts = own.get("prompts") or {}
    skipped = own.get("skiplist_words")
    if "MultiVectorMask" in modules:
        skipped = read_config(modules["MultiVectorMask"]).get("skiplist_words")
    elif skipped is None:
        skipped = list(string.punctuation)
    filling = own.get("query_expansion", _PYLATE) or {}
    if filling is _PYLATE:
        asked = own.get("do_query_expansion") is not False
        filling = {
            "length": own.get("query_length") or 32 if asked else 0,
            "attend": own.get("attend_to_expansion_tokens"),
        }
    return {
        "query_marker": str(own.get("query_prefix") or prompts.get("query") or ""),
        "document_marker": str(own.get("document_prefix") or prompts.get("document") or ""),
        "query_tokens": int(filling.get("length") or 0),
        "document_max_tokens": int(own.get("document_length") or 512),
        "attend": bool(filling.get("attend")),
        "skipped": " ".join(skipped or ()),
    }


_PYLATE: dict[str, Any] = {"as": "PyLate"}


def load(card: Card, where: Where) -> ColbertNetwork:
    """The model of a card."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    name, folder = Name.parse(card.name), card.folder
    unsafe, dense = name.flag("unsafe"), _heads(name, folder)
    first = folder / (read_list(folder, "modules.json")[0].get("path", "") if dense else "")
    model = placed(pretrained(AutoModel, first, unsafe=unsafe, may_miss=UNUSED), where)
    if dense:
        heads = [_dense(place, unsafe) for place in dense]
    else:
        weight = _tensors(folder, unsafe)["linear.weight"]
        heads = [(_linear(weight, None), None)]
    on_device = [(placed(head, where), placed(around, where) if around else None) for head, around in heads]
    tokenizer = AutoTokenizer.from_pretrained(first, local_files_only=True, trust_remote_code=False)
    assert isinstance(model, torch.nn.Module)
    return ColbertNetwork(model, on_device, tokenizer, dict(card.settings))


def _dense(folder: Path, unsafe: bool) -> tuple[Any, Any]:
    """A Dense module of sentence-transformers: a projection, its activation, and the way around it."""
    from torch import nn

    config, tensors = read_config(folder), _tensors(folder, unsafe)
    activation = str(config.get("activation_function") or "torch.nn.modules.linear.Identity").rpartition(".")[2]
    if activation not in ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid"):
        raise UsageError(f"the activation of {folder} is not run here: {activation}")
    head = nn.Sequential(_linear(tensors["linear.weight"], tensors.get("linear.bias")), getattr(nn, activation)())
    if not config.get("use_residual"):
        return head, None
    return head, _linear(tensors["residual.weight"], None) if "residual.weight" in tensors else nn.Identity()


def _linear(weight: Any, bias: Any) -> Any:
    from torch import nn

    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
    return layer


def _tensors(folder: Path, unsafe: bool) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= load_file(path)
    if not found and unsafe:
        import torch

        for path in sorted(folder.glob("*.bin")):
            found |= torch.load(path, map_location="cpu", weights_only=True)
    return found
