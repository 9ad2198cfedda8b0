"""sentence-transformers models (Reimers and Gurevych, 2019), and the packaged one among them.

The folder says it all: its modules, its longest text, its prompts and the sizes that it may be cut to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.families.pooled_text import UNUSED
from transforms.encoders.folders import hub_card, pinned, read_config
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Role, Where
from transforms.encoders.precision import placed
from transforms.encoders.text_models import (
    check_complete,
    longest_pass,
    prompt_settings,
    read_list,
    tensor_shape,
    token_ids,
    token_spans,
    whole_texts,
)
from transforms.errors import MissingWeights, UsageError
from transforms.records import Float32

_WITH_TENSORS = ("Transformer", "Dense", "LayerNorm", "StaticEmbedding")
_KNOWN = (*_WITH_TENSORS, "Pooling", "Normalize", "Dropout")
_FILES = ("*.safetensors", "*/*.safetensors", "*/tokenizer*.json", "*/*config*.json", "*/vocab.*", "*/*.model")
_CUT = ("matryoshka_dimensions", "matryoshka_dims")


@dataclass(eq=False)
class SentenceNetwork(Network):
    """The library's own model. It puts the prompts in itself, since some leave the prompt out of the pooling."""

    model: Any
    prompts: dict[Role, str]
    max_tokens: int
    where: Where = Where()

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim)."""
        prompt = self.prompts[role]

        def run(bare: Sequence[str]) -> Float32:
            given = self.model.encode(list(bare), prompt=prompt, batch_size=len(bare), show_progress_bar=False)
            return np.asarray(given, np.float32)

        def count(bare: Sequence[str]) -> list[int]:
            return [len(ids) for ids in token_ids(self.model.tokenizer, [prompt + text for text in bare])]

        return whole_texts([text.removeprefix(prompt) for text in texts], self.max_tokens, count, run)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token begins and ends."""
        return token_spans(self.model.tokenizer, text)


def describe(name: Name, folder: Path) -> Card:
    """The card of a model's folder. Raises UsageError for a folder that another family takes."""
    name.check_options("query_prompt", "document_prompt")
    modules = _modules(name, folder)
    first = folder / modules[0][1]
    for kind, path in modules:
        if kind in _WITH_TENSORS:
            pinned(folder / path, unsafe=name.flag("unsafe"))
    config = read_config(first) if (first / "config.json").is_file() else {}
    whole, content = _longest(first, config) if modules[0][0] == "Transformer" else (0, 0)
    saved = _optional(folder, "config_sentence_transformers.json")
    sizes = next((found[key] for found in (saved, config) for key in _CUT if found.get(key)), ())
    return hub_card(
        name,
        folder,
        modality="text",
        accepts=("text",),
        dimensions=_dimensions(folder, modules),
        text_queries=True,
        tensors=(*_FILES, *(("*.bin", "*/*.bin") if name.flag("unsafe") else ())),
        longest_tokens=content,
        matryoshka_dimensions=tuple(sorted(int(size) for size in sizes)),
        settings=(("max_tokens", whole), *prompt_settings(name, *_own_prompts(saved))),
    )


def _modules(name: Name, folder: Path) -> list[tuple[str, str]]:
    """(kind, folder) of each module, in order."""
    if not (folder / "modules.json").is_file():
        raise UsageError(
            f"{folder} holds no modules.json, so it is no sentence-transformers model; "
            f"pool its tokens with transformers-text:{name.model}?pooling=mean"
        )
    kind = str(_optional(folder, "config_sentence_transformers.json").get("model_type", "SentenceTransformer"))
    if kind in ("ColBERT", "MultiVectorEncoder"):
        raise UsageError(f"{name.model} gives a vector a token; its family is colbert: colbert:{name.model}")
    found = [(str(one.get("type", "")), str(one.get("path", ""))) for one in read_list(folder, "modules.json")]
    for kind, _ in found:
        if not kind.startswith("sentence_transformers.") or kind.rpartition(".")[2] not in _KNOWN:
            raise UsageError(f"{name.model} has a module that is not run here: {kind}; there are {', '.join(_KNOWN)}")
    if not found:
        raise MissingWeights(f"modules.json names no module: {folder}; pull the weights again")
    return [(kind.rpartition(".")[2], path) for kind, path in found]


def _dimensions(folder: Path, modules: Sequence[tuple[str, str]]) -> int:
    for kind, path in reversed(modules):
        if kind == "Dense":
            return int(read_config(folder / path)["out_features"])
        if kind == "StaticEmbedding":
            return tensor_shape(folder / path, "embedding.weight")[1]
        if kind == "Pooling":
            said = read_config(folder / path)
            width = int(said.get("embedding_dimension") or said.get("word_embedding_dimension") or 0)
            modes = said.get("pooling_mode")
            if modes is None:
                return width * max(1, sum(bool(on) for key, on in said.items() if key.startswith("pooling_mode_")))
            return width * (1 if isinstance(modes, str) else len(modes))
    raise MissingWeights(f"modules.json names no module that pools tokens: {folder}")


def _longest(folder: Path, config: dict[str, Any]) -> tuple[int, int]:
    """(tokens in one pass, those of them for the text): the folder's max_seq_length, or what the model can."""
    said = next((read_config(folder, path.name) for path in sorted(folder.glob("sentence_*_config.json"))), {})
    whole, content = longest_pass(folder, config)
    asked = int(said.get("max_seq_length") or 0)
    return longest_pass(folder, config, min(asked, whole)) if asked else (whole, content)


def _own_prompts(saved: dict[str, Any]) -> tuple[str, str]:
    """The prompts of a query and of a document; the default one where a role has none of its own."""
    prompts = saved.get("prompts") or {}
    default = prompts.get(saved.get("default_prompt_name") or "") or ""
    own = [next((prompts[key] for key in keys if key in prompts), default) for keys in (_QUERY, _DOCUMENT)]
    return own[0] or "", own[1] or ""


_QUERY, _DOCUMENT = ("query",), ("document", "passage", "corpus")


def _optional(folder: Path, file: str) -> dict[str, Any]:
    return read_config(folder, file) if (folder / file).is_file() else {}


def load(card: Card, where: Where) -> Network:
    """The model of a card; the packaged one loads without the library."""
    if not card.weights[0].folder:
        from transforms.encoders.minilm import load_minilm

        return load_minilm(card, where)
    from sentence_transformers import SentenceTransformer

    name = Name.parse(card.name)
    unsafe = name.flag("unsafe")
    model = SentenceTransformer(
        str(card.folder),
        device="cpu",
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": None if unsafe else True},
    )
    for module, (kind, path) in zip(model, _modules(name, card.folder), strict=True):
        if kind == "Transformer":
            check_complete(module.auto_model, card.folder / path, unsafe=unsafe, may_miss=UNUSED)
    max_tokens, settings = int(card.setting("max_tokens")), dict(card.settings)
    if max_tokens:
        model.max_seq_length = max_tokens
    ready: Any = placed(model, replace(where, compile=False))
    if where.compile and max_tokens:
        ready[0].model.compile()  # `encode` calls the modules one by one, never the whole
    prompts: dict[Role, str] = {"query": str(settings["query_prompt"]), "document": str(settings["document_prompt"])}
    return SentenceNetwork(ready, prompts, max_tokens)
