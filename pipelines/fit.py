"""What is fitted on a corpus: principal components of a named vector, TF-IDF and LSA of what is said and shown."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from transforms.errors import UsageError
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.index.query import LIVE_CLIPS
from transforms.records import SparseVector

#: More vectors than this make no better components; they are drawn evenly from the whole index.
_MOST_VECTORS = 100_000


def fit_pca(index: str, vector: str, dimensions: int, out: Path) -> int:
    """Write the principal components of a named vector of an index; gives the number of vectors that were looked at.

    Another recipe takes them by `pca = "FILE"` in the section of that vector's encoder. Raises UsageError.
    """
    from transforms.encoders.reduce import fit_components, save_components

    reader = open_reader(IndexLocation.parse(index))
    try:
        held = {spec.name: spec for spec in reader.schema.dense if not spec.multi}
        if vector not in held:
            raise UsageError(f"{index} has no dense vector {vector!r} to fit on; it has {', '.join(held) or 'none'}")
        step = max(1, reader.count(LIVE_CLIPS) // _MOST_VECTORS)
        rows = []
        for place, point in enumerate(reader.scroll(LIVE_CLIPS, vectors=True)):
            found = point.vectors.get(vector)
            if place % step == 0 and found is not None and not isinstance(found, SparseVector):
                rows.append(found)
    finally:
        reader.close()
    if not rows:
        raise UsageError(f"no clip of {index} has a vector {vector!r}: there is nothing to fit on")
    save_components(fit_components(np.stack(rows), dimensions), out)
    return len(rows)


def fit_texts(index: str, kind: str, out: Path, *, dimensions: int = 256) -> int:
    """Write a TF-IDF or LSA model of an index's transcripts and screen texts; gives the number of texts."""
    from transforms.encoders.families.fitted import fit_lsa, fit_tfidf

    texts = list(_texts(index))
    if not texts:
        raise UsageError(f"no clip of {index} has words: there is nothing to fit on")
    if kind == "tfidf":
        fit_tfidf(texts, out)
    elif kind == "lsa":
        fit_lsa(texts, out, dimensions=dimensions)
    else:
        raise UsageError(f"a text model that is fitted on a corpus is tfidf or lsa, not {kind!r}")
    return len(texts)


def _texts(index: str) -> Iterator[str]:
    reader = open_reader(IndexLocation.parse(index))
    try:
        for point in reader.scroll(LIVE_CLIPS):
            text = "\n".join(filter(None, (str(point.payload.get(key, "")) for key in ("transcript", "screen_text"))))
            if text.strip():
                yield text
    finally:
        reader.close()
