"""Texts -> token windows -> unit vectors, whatever runs the network (torch or onnxruntime). Imports neither."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from transforms.encoders.windows import Int64, encodable, padded, split_ids, unit_length
from transforms.records import Float32

#: ids (n, tokens) and mask (n, tokens) of one padded batch -> mean-pooled vectors (n, dim), not normalised
Forward = Callable[[Int64, Int64], Float32]

_BATCH_WINDOWS = 32


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a file, without the cutting and padding that the file asks for."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def embed(texts: Sequence[str], tokenizer: Tokenizer, forward: Forward, *, window_tokens: int) -> Float32:
    """Unit vectors (n, dim) of the texts, in order; nothing of a long text is cut off.

    A text of more than `window_tokens` tokens is cut into windows of nearly equal
    length, and its vector is the mean of theirs, weighted by their tokens.
    """
    # What the tokenizer puts around every text: [CLS] and [SEP].
    first, last = tokenizer.encode("").ids
    owners: list[int] = []
    windows: list[list[int]] = []
    for owner, ids in enumerate(_content_ids(texts, tokenizer)):
        for piece in split_ids(ids, window_tokens - 2):
            owners.append(owner)
            windows.append([first, *piece, last])
    pooled = unit_length(_run(windows, forward))
    weights = np.array([max(1, len(window) - 2) for window in windows], np.float32)
    sums = np.zeros((len(texts), pooled.shape[1]), np.float32)
    np.add.at(sums, owners, pooled * weights[:, None])
    return unit_length(sums)


def _content_ids(texts: Sequence[str], tokenizer: Tokenizer) -> list[list[int]]:
    encodings = tokenizer.encode_batch([encodable(text) for text in texts], add_special_tokens=False)
    return [encoding.ids for encoding in encodings]


def _run(windows: Sequence[list[int]], forward: Forward) -> Float32:
    if not windows:
        return np.zeros((0, 0), np.float32)
    order = sorted(range(len(windows)), key=lambda index: len(windows[index]))  # little padding
    rows: list[Float32 | None] = [None] * len(windows)
    for start in range(0, len(order), _BATCH_WINDOWS):
        chosen = order[start : start + _BATCH_WINDOWS]
        vectors = forward(*padded([windows[index] for index in chosen], 0))
        for index, vector in zip(chosen, vectors, strict=True):
            rows[index] = vector
    return np.stack([row for row in rows if row is not None])
