"""Whole videos that fit a text: each by its best clip, or by the vectors of all of it."""

from collections.abc import Mapping
from functools import partial

from pipelines.asked import Asked
from pipelines.confidence import Trust
from pipelines.found import Found
from pipelines.query_vectors import QueryVectors
from transforms.errors import UsageError
from transforms.index.late import WEIGHTED, check_weights
from transforms.index.query import search_clips
from transforms.index.store import Reader
from transforms.index.videos import best_clips, pooled_form, search_wholes


def search_videos(
    reader: Reader, texts: QueryVectors, asked: Asked, *, weights: Mapping[str, float], trust: Trust
) -> list[Found]:
    """The videos that fit best, best first. Raises UsageError for what whole videos cannot be compared by."""
    names = texts.wanted(asked.by)
    if asked.pooled:
        names = pooled_form(asked.by, names, reader.schema)
        if asked.by == WEIGHTED:
            if left_out := [name for name in asked.weights if name not in names]:
                raise UsageError(
                    f"whole videos have no {' and no '.join(left_out)}; with --pooled weights are of {', '.join(names)}"
                )
            check_weights({name: weights[name] for name in names if name in weights}, names)
    vectors = texts.of(asked.text, names)
    if not vectors:
        return []
    counts = texts.counting(asked.text)
    if asked.pooled:
        hits = search_wholes(
            reader, vectors, by=asked.by, limit=asked.limit, where=asked.where, counts=counts, weights=weights
        )
    else:
        hits = best_clips(
            lambda depth: search_clips(
                reader,
                vectors,
                by=asked.by,
                limit=depth,
                where=asked.where,
                counts=counts,
                weights=weights,
                trust=partial(trust, asked.text),
            ),
            asked.limit,
        )
    return [Found(hit, (hit.id,)) for hit in hits]
