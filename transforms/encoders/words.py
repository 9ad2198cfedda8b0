"""Texts -> sparse BM25 vectors (Robertson and Zaragoza, 2009): exact words, whatever their endings.

A document's value is the term's saturated frequency; how rare the term is over the
collection (IDF) is the store's to know. A query has 1.0 for each distinct term, so
the store's dot product with IDF is BM25.

A term's index is the first four bytes, little-endian, of the BLAKE2b hash of its
stem in UTF-8: the same everywhere, for ever. Two stems in about four thousand
million share one.
"""

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from snowballstemmer.english_stemmer import EnglishStemmer

from transforms.encoders.cards import PACKAGED
from transforms.records import SparseVector

ENGLISH = "bm25:english"
_CARD = PACKAGED[ENGLISH]  # both have the same numbers
_K1, _B, _AVERAGE_WORDS = (_CARD.setting(name) for name in ("k1", "b", "average_words"))

_WORD = re.compile(r"\w+(?:'\w+)*")
#: Runs of the scripts that put no spaces between words; Hangul arrives decomposed.
_UNSPACED = re.compile("([\u0e00-\u0eff\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+)")
_ACCENTS = re.compile("[\u0300-\u036f]")
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "_": " "})
_STOP_WORDS = frozenset(
    """
    a about above after again against all am an and any are aren't as at be because been before being below between
    both but by can can't cannot could couldn't did didn't do does doesn't doing don't down during each few for from
    further had hadn't has hasn't have haven't having he he'd he'll he's her here here's hers herself him himself his
    how how's i i'd i'll i'm i've if in into is isn't it it's its itself just let's me more most my myself no nor not
    of off on once only or other our ours ourselves out over own same she she'd she'll she's should shouldn't so some
    such than that that's the their theirs them themselves then there there's these they they'd they'll they're
    they've this those through to too under until up very was wasn't we we'd we'll we're we've were weren't what
    what's when when's where where's which while who who's whom why why's will with won't would wouldn't you you'd
    you'll you're you've your yours yourself yourselves
    """.split()
)
_stemmers = threading.local()  # a stemmer holds the word that it works on


def document_vector(text: str, name: str = ENGLISH) -> SparseVector:
    """The vector of what is said or shown in a clip; empty where nothing but stop words is."""
    terms = terms_of(text, name)
    length = _K1 * (1 - _B + _B * len(terms) / _AVERAGE_WORDS)
    return _sparse({term: count * (_K1 + 1) / (count + length) for term, count in Counter(terms).items()})


def query_vector(text: str, name: str = ENGLISH) -> SparseVector:
    """The vector of a question: 1.0 for each distinct term; empty where it has none but stop words."""
    return _sparse(dict.fromkeys(terms_of(text, name), 1.0))


def terms_of(text: str, name: str = ENGLISH) -> list[str]:
    """The terms of the text in order, without case and accents.

    English: stems, without stop words. Multilingual: whole words, and pairs of neighbouring characters where a script
    puts no spaces between words (Chinese, Japanese, Korean, Thai).
    """
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text.translate(_APOSTROPHES))).casefold()
    words = _WORD.findall(plain)
    if name == ENGLISH:
        return [_stem(word) for word in words if word not in _STOP_WORDS]
    return [term for word in words for part in _UNSPACED.split(word) if part for term in _pairs(part)]


def _pairs(word: str) -> list[str]:
    """A word of a script with spaces is itself; a run without spaces gives each two neighbours."""
    if not _UNSPACED.fullmatch(word) or len(word) == 1:
        return [word]
    return [word[place : place + 2] for place in range(len(word) - 1)]


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    if not hasattr(_stemmers, "english"):
        _stemmers.english = EnglishStemmer()
    stem: str = _stemmers.english.stemWord(word)
    return stem


@lru_cache(maxsize=100_000)
def term_index(term: str) -> int:
    """The index of a stem, in [0, 2**32)."""
    return int.from_bytes(blake2b(term.encode("utf-8", "replace"), digest_size=4).digest(), "little")


def _sparse(values: Mapping[str, float]) -> SparseVector:
    summed: dict[int, float] = {}
    for term, value in values.items():
        index = term_index(term)
        summed[index] = summed.get(index, 0.0) + value
    indices = sorted(summed)
    return SparseVector(
        np.array(indices, np.uint32),
        np.array([summed[index] for index in indices], np.float32),
    )
