"""One thing and then another: in one clip by its frames, or in two clips of one video."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from pipelines.asked import Asked
from pipelines.confidence import Trust
from pipelines.found import Found
from pipelines.query_vectors import QueryVectors
from transforms.errors import UsageError
from transforms.fuse import lay_out, mean_direction
from transforms.index.hits import Hit, hits_of, ordered
from transforms.index.in_order import in_order
from transforms.index.late import fuse_rankings
from transforms.index.query import FUSIONS, LIVE_CLIPS, MEAN_OF, RERANK_CANDIDATES, search_clips
from transforms.index.store import HasVector, Query, Reader, Where
from transforms.recipe import Recipe
from transforms.records import Float32, SparseVector

#: What a hit is credited to that shows both in order, and one that has them in two clips.
ORDER, FOLLOWS = "order", "follows"

#: The ways of searching that look at pictures, in which order within a clip can be seen.
_SEEN = (*FUSIONS, "frame", "frames", "clip")


def search_in_order(
    reader: Reader, texts: QueryVectors, asked: Asked, *, weights: Mapping[str, float], trust: Trust
) -> list[Found]:
    """The clips that show the first text and then the second; with `within_seconds` also pairs of clips.

    Raises UsageError where nothing can tell an order.
    """
    has_frames = "frames" in reader.schema.vector_names and texts.takes_text("frames")
    rankings: dict[str, list[Found]] = {}
    if has_frames and asked.by in _SEEN:
        rankings[ORDER] = _in_one_clip(reader, texts, asked)
    if asked.within_seconds is not None:
        rankings[FOLLOWS] = _in_two_clips(reader, texts, asked, weights, trust)
    if not rankings:
        raise UsageError(
            f"order within a clip is seen in its frames, and --by {asked.by} looks at none of this index; "
            "--within 60s finds what follows in a later clip"
        )
    by_id = {found.hit.id: found for ranking in rankings.values() for found in ranking}
    if len(rankings) == 1:
        best = [found.hit for ranking in rankings.values() for found in ranking]
    else:
        best = fuse_rankings({name: [found.hit for found in ranking] for name, ranking in rankings.items()})
    return [replace(by_id[hit.id], hit=hit) for hit in best[: asked.limit]]


def order_query(first: Float32, second: Float32, recipe: Recipe) -> Float32 | None:
    """ "A, then B" as a `clip` vector: what both have in the frame block, unit(B - A) in the change block.

    None where the two texts are the same or the opposite of each other.
    """
    both, turn = first + second, second - first
    if not np.linalg.norm(both) or not np.linalg.norm(turn):
        return None
    return lay_out({"frame": mean_direction(both[None]), "change": mean_direction(turn[None])}, recipe)


def _in_one_clip(reader: Reader, texts: QueryVectors, asked: Asked) -> list[Found]:
    """Candidates by `clip` and by the mean frame for either text, scored again frame by frame."""
    first, second = (texts.text_in("frames", text) for text in asked.texts)
    if not np.any(first) or not np.any(second):
        return []
    only = Where((*LIVE_CLIPS.must, *asked.where.must, HasVector("frames")), asked.where.must_not)
    depth = max(asked.limit, RERANK_CANDIDATES)
    mean = MEAN_OF["frames"]
    queries = [Query(mean, vector, only, depth) for vector in (first, second)]
    placed = order_query(first, second, texts.recipe)
    if placed is not None:
        queries.append(Query("clip", placed, only, depth))
    found = {hit.id: hit for points in reader.query(queries) for hit in hits_of(ORDER, points)}
    scored = []
    for point in reader.retrieve(list(found), vectors=("frames",), payload=False):
        frames = point.vectors["frames"]
        if not isinstance(frames, SparseVector) and len(frames) > 1:
            scored.append(replace(found[point.id], score=in_order(frames @ first, frames @ second), by=ORDER))
    return [Found(hit, (hit.id, hit.id), {ORDER: hit.score}) for hit in ordered(scored)[:depth]]


def _in_two_clips(
    reader: Reader, texts: QueryVectors, asked: Asked, weights: Mapping[str, float], trust: Trust
) -> list[Found]:
    """The best clips for each text, joined where the second starts after the first, soon enough, in the same video."""
    depth = max(asked.limit, RERANK_CANDIDATES)
    names = texts.wanted(asked.by)
    best = [
        search_clips(
            reader,
            vectors,
            by=asked.by,
            limit=depth,
            where=asked.where,
            counts=texts.counting(text),
            weights=weights,
            trust=partial(trust, text),
        )
        for text in asked.texts
        if (vectors := texts.of(text, names))
    ]
    return joined(*best, within_seconds=asked.within_seconds or 0.0) if len(best) == len(asked.texts) else []


def joined(first: Sequence[Hit], second: Iterable[Hit], *, within_seconds: float) -> list[Found]:
    """For each clip of `first` the best clip of `second` that starts after it and at most so long after its end.

    A pair scores the mean of its two scores and lasts from the start of the one to the end of the other.
    """
    followers: dict[str, list[Hit]] = defaultdict(list)
    for hit in second:
        followers[hit.uri].append(hit)
    pairs = {}
    for start in first:
        later = [
            end
            for end in followers[start.uri]
            if end.start_seconds > start.start_seconds and end.start_seconds - start.end_seconds <= within_seconds
        ]
        if later:
            end = ordered(later)[0]
            pair = _span(start, end)
            pairs[pair.id] = Found(pair, (start.id, end.id), {FOLLOWS: pair.score})
    return [pairs[hit.id] for hit in ordered(found.hit for found in pairs.values())]


def _span(start: Hit, end: Hit) -> Hit:
    """One hit that lasts from the one clip to the other and says what both say."""
    payload = {**start.payload, "end_seconds": max(start.payload["end_seconds"], end.payload["end_seconds"])}
    for name in ("transcript", "screen_text"):
        said = [str(hit.payload[name]) for hit in (start, end) if hit.payload.get(name)]
        payload |= {name: " ... ".join(said)} if said else {}
    return Hit(f"{start.id} {end.id}", (start.score + end.score) / 2, FOLLOWS, payload)
