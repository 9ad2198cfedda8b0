"""word2vec (Mikolov et al., 2013), GloVe (Pennington et al., 2014) and Doc2Vec (Le and Mikolov, 2014), from files.

    word-vectors:./glove.6B.100d.txt
    word-vectors:./folder?file=glove.6B.100d.txt        # `file` where the folder holds more than one

A text is the mean of its known words' vectors, as they are written or else in small letters; Doc2Vec infers it.
A text without a known word gives a row of zeros: it has no vector.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.folders import hub_card
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Role, Where
from transforms.errors import MissingWeights, UsageError
from transforms.records import Float32

_TEXT, _BINARY, _PICKLED = (".txt", ".vec"), (".bin",), (".kv", ".model", ".d2v", ".doc2vec", ".w2v")
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_LONGEST_WORDS = 10_000  # gensim looks at no more of one document


@dataclass(eq=False)
class WordVectors(Network):
    """The words' vectors, or the Doc2Vec model that infers from them."""

    vectors: Any  # gensim's KeyedVectors
    doc2vec: Any = None
    where: Where = Where()

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim); a row of zeros for a text without a known word."""
        return np.stack([self._text(text) for text in texts])

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each word begins and ends."""
        return [found.span() for found in _WORD.finditer(text)]

    def _text(self, text: str) -> Float32:
        known = self.vectors.key_to_index
        both = ((word, word.lower()) for word in _WORD.findall(text))
        words = [word if word in known else small for word, small in both if word in known or small in known]
        if not words:
            return np.zeros((self.doc2vec.dv if self.doc2vec else self.vectors).vector_size, np.float32)
        if self.doc2vec:
            return inferred(self.doc2vec, words)
        places = [known[word] for word in words]
        return np.asarray(self.vectors.vectors[places].mean(axis=0, dtype=np.float64), np.float32)


def inferred(model: Any, words: Sequence[str]) -> Float32:
    """What Doc2Vec's `infer_vector` gives, but the same in every process: it starts from Python's changing hash."""
    from gensim.models import doc2vec
    from gensim.models.keyedvectors import pseudorandom_weak_vector

    model.random.seed(0)
    start = pseudorandom_weak_vector(model.dv.vector_size, seed_string=" ".join(words), hashfxn=steady_hash)
    vectors = start.reshape(1, -1)
    train = (
        doc2vec.train_document_dbow
        if model.sg
        else doc2vec.train_document_dm_concat
        if model.dm_concat
        else doc2vec.train_document_dm
    )
    for alpha in np.linspace(model.alpha, model.min_alpha, model.epochs):
        train(
            model,
            list(words),
            [0],
            float(alpha),
            learn_words=False,
            learn_hidden=False,
            doctag_vectors=vectors,
            doctags_lockf=np.ones(1, np.float32),
        )
    return np.asarray(vectors[0], np.float32)


def steady_hash(text: str) -> int:
    """A number that is the same in every process."""
    return zlib.crc32(text.encode())


def describe(name: Name, folder: Path) -> Card:
    """The card of the file; one that gensim pickled is opened for it, and only where the name says unsafe=true."""
    name.check_options("file", "most_words")
    path = _file(name, folder)
    folder = path.parent
    if path.suffix in _PICKLED:
        model = _unpickled(path)
        dimensions, longest = (model.dv.vector_size, _LONGEST_WORDS) if _is_doc2vec(model) else (model.vector_size, 0)
    else:
        dimensions, longest = sum(_header(path)[:1]), 0
    return hub_card(
        name,
        folder,
        modality="text",
        accepts=("text",),
        dimensions=dimensions,
        text_queries=True,
        tensors=(path.name, f"{path.name}.*.npy"),
        longest_tokens=longest,
        settings=(
            ("file", path.name),
            ("most_words", name.number("most_words", 0)),
        ),
    )


def _file(name: Name, folder: Path) -> Path:
    if folder.is_file():
        found = [folder]
    elif asked := name.option("file"):
        found = [folder / asked] if (folder / asked).is_file() else []
    else:
        kinds = (*_TEXT, *_BINARY, *_PICKLED)
        found = [path for path in sorted(folder.iterdir()) if path.suffix in kinds and path.is_file()]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise MissingWeights(f"{folder} must hold one file of word vectors, or {name}?file=NAME say which: {names}")
    if found[0].suffix in _PICKLED and not name.flag("unsafe"):
        raise MissingWeights(
            f"{found[0]} is gensim's own format, a pickle that can run code when it is read; save the vectors with "
            "save_word2vec_format, or say ?unsafe=true in the name if you trust the file"
        )
    return found[0]


def _header(path: Path) -> tuple[int, bool]:
    """(dimensions, whether the first line is a header): word2vec's is "words dimensions", GloVe has none.

    Some words of GloVe have spaces in them, so its shortest line tells the dimensions.
    """
    with path.open("rb") as file:
        line = file.readline(1_000_000).rstrip().split(b" ")
        if len(line) == 2 and all(part.isdigit() for part in line):
            return int(line[1]), True
        if path.suffix in _BINARY or len(line) < 3:
            raise MissingWeights(
                f"these are no word vectors of word2vec or GloVe: {path}; their first line is {line[:4]}"
            )
        following = [one.rstrip().count(b" ") for one in islice(file, 1000)]
    return min([len(line) - 1, *(spaces for spaces in following if spaces > 1)]), False


def _unpickled(path: Path) -> Any:
    from gensim.utils import unpickle

    try:
        kind = type(unpickle(str(path)))
        model = kind.load(str(path))
    except Exception as error:
        raise MissingWeights(f"gensim cannot read {path}: {error}; copy the file and those beside it again") from error
    if hasattr(model, "dv") or hasattr(model, "key_to_index"):
        return model
    return model.wv if hasattr(model, "wv") else _refuse(path, kind)


def _refuse(path: Path, kind: type) -> Any:
    raise UsageError(f"{path} holds a {kind.__name__}, not KeyedVectors, Word2Vec or Doc2Vec")


def _is_doc2vec(model: Any) -> bool:
    return hasattr(model, "dv")


def load(card: Card, where: Where) -> WordVectors:
    """The words of a card, `most_words` of them where it says so; raises MissingWeights for a damaged file."""
    from gensim.models import KeyedVectors

    path = card.folder / str(dict(card.settings)["file"])
    if path.suffix in _PICKLED:
        model = _unpickled(path)
        return WordVectors(model.wv, model) if _is_doc2vec(model) else WordVectors(model)
    most_words, (dimensions, headed) = int(card.setting("most_words")) or None, _header(path)
    try:
        if not headed:
            return WordVectors(_glove(path, dimensions, most_words))
        vectors = KeyedVectors.load_word2vec_format(
            str(path), binary=path.suffix in _BINARY, limit=most_words, unicode_errors="replace"
        )
    except (EOFError, ValueError, AssertionError) as error:
        raise MissingWeights(f"the word vectors are damaged: {path}: {error}; copy the file again") from error
    return WordVectors(vectors)


def _glove(path: Path, dimensions: int, most_words: int | None) -> Any:
    """GloVe's lines, each a word and its numbers; gensim's reader stumbles over ". . ." and other words with spaces."""
    from gensim.models import KeyedVectors

    found: dict[str, Float32] = {}
    with path.open("rb") as file:
        for line in islice(file, most_words):
            word, *numbers = line.decode("utf-8", "replace").rstrip().rsplit(" ", dimensions)
            if len(numbers) != dimensions:
                raise ValueError(f"a line has {len(numbers)} numbers instead of {dimensions}: {word[:40]!r}")
            found.setdefault(word, np.array(numbers, np.float32))
    vectors = KeyedVectors(dimensions)
    vectors.add_vectors(list(found), np.stack(list(found.values())))
    return vectors
