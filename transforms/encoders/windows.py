"""Long inputs: cut into windows of nearly equal length, whose vectors are averaged by how much each of them holds.

Nothing is cut off. The mean of unit vectors, weighted by tokens or seconds, is brought to unit length again.
"""

from collections.abc import Collection, Sequence, Sized
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from transforms.records import Float32

Int64 = NDArray[np.int64]


def text_windows(text: str, spans: Sequence[tuple[int, int]], longest_tokens: int) -> list[tuple[str, float]]:
    """The text in pieces of at most `longest_tokens` tokens, each with its number of tokens.

    `spans` says where the tokens begin and end in the text. 0 tokens allowed means any length.
    """
    if longest_tokens <= 0 or len(spans) <= longest_tokens:
        return [(text, float(max(1, len(spans))))]
    pieces = -(-len(spans) // longest_tokens)
    bounds = np.linspace(0, len(spans), pieces + 1).round().astype(int)
    return [(text[spans[start][0] : spans[end - 1][1]], float(end - start)) for start, end in pairwise(bounds)]


def sound_windows(samples: Float32, longest_samples: int) -> list[tuple[Float32, float]]:
    """The samples (n,) in windows of at most `longest_samples`, each with its number of samples; 0: any length."""
    if longest_samples <= 0 or len(samples) <= longest_samples:
        return [(samples, float(max(1, len(samples))))]
    pieces = -(-len(samples) // longest_samples)
    bounds = np.linspace(0, len(samples), pieces + 1).round().astype(int)
    return [(samples[start:end], float(end - start)) for start, end in pairwise(bounds)]


def pooled(rows: Float32, owners: Sequence[int], weights: Sequence[float], count: int) -> Float32:
    """Rows (windows, dim), of owners in [0, count) -> the owners' unit vectors (count, dim)."""
    sums = np.zeros((count, rows.shape[1]), np.float32)
    np.add.at(sums, np.asarray(owners, np.int64), unit_length(rows) * np.asarray(weights, np.float32)[:, None])
    return unit_length(sums)


def split_ids(ids: Sequence[int], longest: int) -> list[list[int]]:
    """The tokens in pieces of nearly equal length, none longer than `longest`; one empty piece for none."""
    pieces = max(1, -(-len(ids) // longest))
    bounds = np.linspace(0, len(ids), pieces + 1).round().astype(int)
    return [list(ids[start:end]) for start, end in pairwise(bounds)]


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Int64, Int64]:
    """Tokens and mask, each (n, longest); the padding stands at the right whatever the tokenizer prefers."""
    longest = max(len(row) for row in rows)
    ids = np.array([[*row, *[pad] * (longest - len(row))] for row in rows], np.int64)
    mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows], np.int64)
    return ids, mask


def of_equal_length(rows: Sequence[Sized]) -> Collection[list[int]]:
    """The places of the rows in groups, each of one length."""
    groups: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(len(row), []).append(place)
    return groups.values()


def encodable(text: str) -> str:
    """The text with a mark for what no tokenizer takes: a lone surrogate, as a command line may hold."""
    return text.encode("utf-8", "replace").decode()


def unit_length(vectors: Float32) -> Float32:
    """The rows scaled to length one; a row of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), np.float32)
