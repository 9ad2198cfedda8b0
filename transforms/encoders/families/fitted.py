"""TF-IDF (Salton and Buckley, 1988) and latent semantic analysis (Deerwester et al., 1990), fitted on the corpus.

    fit_tfidf(texts, folder)                     # then: tfidf:./folder
    fit_lsa(texts, folder, dimensions=256)       # then: lsa:./folder

A text without a word of the corpus gives a row of zeros: it has no vector.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.folders import hub_card, read_config
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Role, Where
from transforms.encoders.windows import encodable
from transforms.errors import MissingWeights, UsageError
from transforms.records import Float32

_CONFIG, _TENSORS = "config.json", "model.safetensors"


@dataclass(eq=False)
class FittedNetwork(Network):
    """scikit-learn's vectorizer with its vocabulary and weights, and the components of LSA."""

    vectorizer: Any
    components: Float32 | None = None  # (dim, words)
    where: Where = Where()

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim); a row of zeros for a text without a known word."""
        found = self.vectorizer.transform(texts)  # (n, words), sparse, unit rows
        return np.asarray(found.toarray() if self.components is None else found @ self.components.T, np.float32)


def fit_tfidf(texts: Iterable[str], folder: Path, *, max_features: int = 4096) -> Path:
    """Fit TF-IDF over the `max_features` words that occur most; returns the folder. Raises UsageError without words."""
    vectorizer, _ = _fitted(texts, max_features)
    return _save(folder, "tfidf", vectorizer, {})


def fit_lsa(texts: Iterable[str], folder: Path, *, dimensions: int = 256, max_features: int = 65_536) -> Path:
    """Fit LSA; a corpus of fewer texts or words has that many dimensions at most. Raises UsageError without words."""
    from sklearn.decomposition import TruncatedSVD

    if dimensions < 1:
        raise UsageError(f"LSA has one dimension at least: dimensions={dimensions}")
    vectorizer, rows = _fitted(texts, max_features)
    svd = TruncatedSVD(min(dimensions, *rows.shape), random_state=0).fit(rows)
    return _save(folder, "lsa", vectorizer, {"components": np.ascontiguousarray(svd.components_, np.float32)})


def _fitted(texts: Iterable[str], max_features: int) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(max_features=max_features, dtype=np.float32)
    try:
        return vectorizer, vectorizer.fit_transform([encodable(text) for text in texts])
    except ValueError as error:
        raise UsageError(f"these texts hold no words to fit on: {error}") from error


def _save(folder: Path, kind: str, vectorizer: Any, tensors: dict[str, Float32]) -> Path:
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    words = vectorizer.get_feature_names_out().tolist()
    (folder / _CONFIG).write_text(json.dumps({"kind": kind, "words": words}, ensure_ascii=False))
    save_file({"idf": np.asarray(vectorizer.idf_, np.float32), **tensors}, folder / _TENSORS)
    return folder


def describe(name: Name, folder: Path) -> Card:
    """The card of a fitted folder; raises UsageError for one of the other kind."""
    name.check_options()
    config = _read(folder)
    if config["kind"] != name.family:
        raise UsageError(
            f"{folder} was fitted for {config['kind']}, not for {name.family}; say {config['kind']}:{name.model}"
        )
    return hub_card(
        name,
        folder,
        modality="text",
        accepts=("text",),
        dimensions=len(config["words"]) if name.family == "tfidf" else _components(folder),
        text_queries=True,
        licence="that of the corpus",
    )


def _read(folder: Path) -> dict[str, Any]:
    config = read_config(folder, _CONFIG)
    if not isinstance(config.get("words"), list) or config.get("kind") not in ("tfidf", "lsa"):
        raise MissingWeights(f"{folder} holds no fitted TF-IDF or LSA; fit it again")
    return config


def _components(folder: Path) -> int:
    from transforms.encoders.text_models import tensor_shape

    return tensor_shape(folder, "components")[0]


def load(card: Card, where: Where) -> FittedNetwork:
    """What was fitted; raises MissingWeights where its parts do not belong together."""
    from safetensors.numpy import load_file
    from sklearn.feature_extraction.text import TfidfVectorizer

    words, tensors = _read(card.folder)["words"], load_file(card.folder / _TENSORS)
    components = tensors.get("components")
    if len(tensors["idf"]) != len(words) or (components is not None and components.shape[1] != len(words)):
        raise MissingWeights(f"the words and the numbers of {card.folder} do not belong together; fit it again")
    vectorizer = TfidfVectorizer(vocabulary=words, dtype=np.float32)
    vectorizer.idf_ = tensors["idf"]
    return FittedNetwork(vectorizer, components)
