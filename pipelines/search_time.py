"""Questions about when: near a moment, at a place in the video, between two times, with a text or without."""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import replace

from pipelines.asked import Asked
from pipelines.found import Found
from pipelines.query_vectors import QueryVectors
from transforms.errors import UsageError
from transforms.fuse import lay_out, position_query
from transforms.index.hits import Hit, hits_of, ordered
from transforms.index.late import fuse
from transforms.index.ledger import read_entries
from transforms.index.near import NEAR_SECONDS, Moment, blended
from transforms.index.overlap import Overlapping
from transforms.index.query import AUTO, FUSIONS, LIVE_CLIPS, RERANK_CANDIDATES, exact_scores, rankings
from transforms.index.store import Query, Reader, Where
from transforms.recipe import Recipe
from transforms.records import Float32

#: What a hit is credited to that was asked for by time alone.
TIME = "time"

_LONGEST_SECONDS = 400 * 24 * 3600.0


def moment_of(asked: Asked) -> Moment | None:
    """The moment that the question wants to be near to."""
    if asked.near_seconds is None and asked.at is None:
        return None
    return Moment(asked.near_seconds, asked.at)


def search_near(
    reader: Reader, texts: QueryVectors, asked: Asked, moment: Moment, *, weights: Mapping[str, float]
) -> list[Found]:
    """The clips that fit the text and lie near the moment.

    Candidates come from the named vectors, from those around the moment alone, and from `clip` with the moment in its
    position block. Each is scored again, exactly, as a share of the best candidate's score, and by its closeness.
    """
    vectors = texts.of(asked.text, texts.wanted(asked.by))
    if not vectors:
        return []
    only = Where((*LIVE_CLIPS.must, *asked.where.must), asked.where.must_not)
    depth = max(asked.limit, RERANK_CANDIDATES)
    around = _around(reader, moment, 2 * NEAR_SECONDS)
    found = {
        hit.id: hit
        for narrowed in ([reader] if around is reader else [reader, around])
        for hits in rankings(narrowed, vectors, depth=depth, where=only).values()
        for hit in hits
    }
    blocks, block = texts.blocks(asked.text), position_of(moment, texts.recipe)
    if blocks and block is not None:
        placed = lay_out({**blocks, "position": block}, texts.recipe)
        found |= {hit.id: hit for hit in hits_of("clip", reader.query([Query("clip", placed, only, depth)])[0])}
    if beyond_every_end(reader, moment, found.values()):
        return []
    scores = exact_scores(reader, list(found), vectors)
    exact = {
        name: ordered(
            replace(found[one], score=own[name], by=name) for one, own in scores.items() if own.get(name, 0.0) > 0.0
        )
        for name in vectors
    }
    if asked.by == AUTO:
        exact = {name: list(filter(texts.counting(asked.text).get(name), hits)) for name, hits in exact.items()}
    near = [
        replace(hit, score=blended(hit.score, moment.closeness(hit))) for hit in _fit(exact, asked.by, weights).values()
    ]
    best = ordered(near)[: asked.limit]
    return [Found(hit, (hit.id,), {TIME: moment.closeness(hit)}) for hit in best]


def search_by_time(reader: Reader, asked: Asked) -> list[Found]:
    """The clips of a span in the order of time, or those nearest to a moment: payload ranges, no vectors."""
    moment = moment_of(asked)
    only = Where((*LIVE_CLIPS.must, *asked.where.must), asked.where.must_not)
    if moment is None:
        hits = heapq.nsmallest(asked.limit, _scrolled(reader, only), key=lambda hit: (hit.start_seconds, hit.uri))
        return [Found(hit) for hit in hits]
    nearest: list[Hit] = []
    for around in _wider_and_wider(reader, asked, moment):
        nearest = heapq.nsmallest(
            asked.limit,
            _scrolled(around, only),
            key=lambda hit: (moment.distance(hit), hit.uri, hit.start_seconds),
        )
        if len(nearest) == asked.limit:
            break
    if beyond_every_end(reader, moment, nearest):
        return []
    return [Found(replace(hit, score=moment.closeness(hit)), (), {TIME: moment.closeness(hit)}) for hit in nearest]


def longest_seconds(reader: Reader) -> float:
    """How long the longest video of the index lasts; 0 where it holds none."""
    return max((entry.duration_seconds for entry in read_entries(reader).values() if entry.clips), default=0.0)


def beyond_every_end(reader: Reader, moment: Moment, hits: Iterable[Hit]) -> bool:
    """Whether no video of the index lasts until the moment; the ledger is read only where the hits leave it open."""
    seconds = moment.seconds
    if seconds is None or any(hit.duration_seconds >= seconds for hit in hits):
        return False
    return longest_seconds(reader) < seconds


def position_of(moment: Moment, recipe: Recipe) -> Float32 | None:
    """The moment as the position block of a query; None where the recipe's clip vectors cannot tell such a time."""
    try:
        return position_query(recipe, seconds=moment.seconds, fraction=moment.fraction)
    except UsageError:
        return None


def _fit(exact: Mapping[str, list[Hit]], by: str, weights: Mapping[str, float]) -> dict[str, Hit]:
    """By id, how well each hit fits the text as a share of the best: of its best modality, or of a fusion's score."""
    if by in FUSIONS and by != AUTO:
        exact = {by: fuse(by, exact, weights=weights)}
    fitting: dict[str, Hit] = {}
    for hits in exact.values():
        for hit in hits:
            share = hit.score / hits[0].score if hits[0].score > 0 else 0.0
            if hit.id not in fitting or share > fitting[hit.id].score:
                fitting[hit.id] = replace(hit, score=share)
    return fitting


def _wider_and_wider(reader: Reader, asked: Asked, moment: Moment) -> Iterable[Reader]:
    """The reader narrowed to a window around the moment, then to wider ones; at once whole for a share of a video."""
    half_seconds = NEAR_SECONDS
    if moment.seconds is not None and asked.between_seconds is None:
        while half_seconds < _LONGEST_SECONDS:
            yield _around(reader, moment, half_seconds)
            half_seconds *= 8
    yield reader


def _around(reader: Reader, moment: Moment, half_seconds: float) -> Reader:
    """Only clips so close to the moment; all where it is a share of a video, or where a span was asked for already."""
    if moment.seconds is None or isinstance(reader, Overlapping):
        return reader
    return Overlapping(reader, max(0.0, moment.seconds - half_seconds), moment.seconds + half_seconds)


def _scrolled(reader: Reader, where: Where) -> Iterable[Hit]:
    return (Hit(point.id, 1.0, TIME, point.payload) for point in reader.scroll(where))
