"""Dense passage retrieval (Karpukhin et al., 2020): one tower for questions, one for passages, one space.

    dpr:./folder                                  # with the subfolders question/ and context/
    dpr:facebook/dpr-question_encoder-single-nq-base?context=facebook/dpr-ctx_encoder-single-nq-base

Vectors are brought to unit length, as every vector of an index is; the models were trained for inner products.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transforms.encoders.cards import Card, Weights
from transforms.encoders.families.pooled_text import PooledText
from transforms.encoders.folders import hub_card, pinned, read_config
from transforms.encoders.hub import locate
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Role, Where
from transforms.encoders.precision import placed
from transforms.encoders.text_models import longest_pass, pretrained
from transforms.errors import MissingWeights, UsageError
from transforms.records import Float32

_TOWERS = {"query": "question", "document": "context"}


@dataclass(eq=False)
class DprNetwork(Network):
    """Both towers, by role."""

    towers: dict[Role, PooledText]
    where: Where = Where()

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim)."""
        return self.towers[role].texts(texts, role)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token begins and ends; both towers have BERT's tokenizer."""
        return self.towers["document"].token_spans(text)


def parts(name: Name) -> tuple[str, ...]:
    """What is pulled beside the question tower: the context tower."""
    context = name.option("context")
    return (str(Name("dpr", context, name.option("context_revision"))),) if context else ()


def of_parts(name: Name, parts: Sequence[str]) -> Name:
    """The same name with this context tower."""
    context = Name.parse(parts[0])
    return name.with_options({"context": context.model, "context_revision": context.revision})


def describe(name: Name, folder: Path) -> Card:
    """The card of both towers."""
    name.check_options("context", "context_revision")
    question, context = _folders(name, folder)
    asked, found = read_config(question), read_config(context)
    dimensions, other = (config.get("projection_dim") or config["hidden_size"] for config in (asked, found))
    if dimensions != other:
        raise UsageError(f"the two towers give vectors of {dimensions} and {other} dimensions: name={str(name)!r}")
    _, content = min(longest_pass(question, asked), longest_pass(context, found))
    card = hub_card(
        name,
        question,
        modality="text",
        accepts=("text",),
        dimensions=dimensions,
        text_queries=True,
        longest_tokens=content,
    )
    passages = _weights(name, folder, "context", context)
    decided = hashlib.sha256("".join(one.sha256 for one in passages).encode()).hexdigest()[:12]
    questions = _weights(name, folder, "question", question)
    return replace(card, weights=(*questions, *passages), space=f"{card.space}+{decided}")


def _folders(name: Name, folder: Path) -> tuple[Path, Path]:
    if elsewhere := name.option("context"):
        place = Name("dpr", elsewhere, name.option("context_revision"))
        return folder, locate(place, elsewhere)
    towers = folder / "question", folder / "context"
    if not all(tower.is_dir() for tower in towers):
        raise UsageError(
            f"{folder} holds no subfolders question/ and context/; say where the other tower is, e.g. "
            f"{name}?context=facebook/dpr-ctx_encoder-single-nq-base"
        )
    return towers


def _weights(name: Name, folder: Path, tower: str, own: Path) -> list[Weights]:
    files = pinned(own, unsafe=name.flag("unsafe"))
    if own.parent != folder:
        return list(files)
    return [replace(one, file=f"{tower}/{one.file}", folder=str(folder)) for one in files]


def load(card: Card, where: Where) -> DprNetwork:
    """Both towers of a card; raises MissingWeights where a tower is of the other kind."""
    from transformers import AutoTokenizer, DPRContextEncoder, DPRQuestionEncoder

    folders = [Path(one.folder, one.file).parent for one in card.weights if Path(one.file).name == "config.json"]
    classes: dict[Role, Any] = {"query": DPRQuestionEncoder, "document": DPRContextEncoder}
    unsafe = Name.parse(card.name).flag("unsafe")
    towers: dict[Role, PooledText] = {}
    for (role, model_class), folder in zip(classes.items(), folders, strict=True):
        architecture = read_config(folder).get("architectures") or [model_class.__name__]
        if architecture != [model_class.__name__]:
            raise MissingWeights(f"the {_TOWERS[role]} tower is a {model_class.__name__}, not {architecture}: {folder}")
        model = placed(pretrained(model_class, folder, unsafe=unsafe), where)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        whole, _ = longest_pass(folder, read_config(folder))
        towers[role] = PooledText(model, tokenizer, "output", whole, where)
    return DprNetwork(towers)
