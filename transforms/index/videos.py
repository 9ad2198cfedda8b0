"""Search over videos: each by its best clip, or by the point of the whole video."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from transforms.errors import UsageError
from transforms.index.hits import Hit
from transforms.index.kinds import LIVE_WHOLES, pooled_names
from transforms.index.query import EVERY_CLIP, FUSION_DEPTH, FUSIONS, MEAN_OF, search_clips
from transforms.index.store import Reader, Where
from transforms.records import Schema, Vector

#: Clips are not asked deeper for more videos; long videos whose clips all fit may leave fewer than asked for.
MOST_CLIPS = 20_000


def best_clips(search: Callable[[int], list[Hit]], limit: int) -> list[Hit]:
    """The best clip of each of the `limit` best videos; `search` gives so many clips, best first.

    It is asked deeper and deeper until there are enough videos or nothing more comes. A hit's span is its whole video.
    """
    depth = max(limit, FUSION_DEPTH)
    while True:
        hits = search(depth)
        best: dict[str, Hit] = {}
        for hit in hits:
            best.setdefault(hit.uri, hit)
        if len(best) >= limit or len(hits) < depth or depth >= MOST_CLIPS:
            return [_as_video(hit) for hit in list(best.values())[:limit]]
        depth *= 4


def search_wholes(
    reader: Reader,
    vectors: Mapping[str, Vector],
    *,
    by: str,
    limit: int,
    where: Where = EVERY_CLIP,
    counts: Mapping[str, Callable[[Hit], bool]] | None = None,
    weights: Mapping[str, float] | None = None,
) -> list[Hit]:
    """The `limit` best videos by the vectors of whole videos; the arguments are those of `search_clips`.

    Raises UsageError for an index whose videos have none yet.
    """
    hits = search_clips(
        reader, vectors, by=by, limit=limit, where=where, counts=counts, weights=weights, among=LIVE_WHOLES
    )
    if not hits and not reader.count(LIVE_WHOLES):
        raise UsageError(
            "the whole videos of this index have no vectors yet: it was filled by an older Reelvec, or not at all; the "
            "next `reelvec ingest` that changes something adds them, and without --pooled the best clip counts"
        )
    return hits


def pooled_form(by: str, names: tuple[str, ...], schema: Schema) -> tuple[str, ...]:
    """What whole videos are compared by, where clips are compared by `names`: the mean for its frames, no words.

    Raises UsageError where nothing is left.
    """
    held = pooled_names(schema)
    meant = dict.fromkeys(MEAN_OF.get(name, name) if by in FUSIONS else name for name in names)
    kept = tuple(name for name in meant if name in held)
    if not kept:
        raise UsageError(
            f"whole videos have no vector that --by {by} compares; they have {', '.join(held)}, and without --pooled "
            "the best clip counts"
        )
    return kept


def _as_video(hit: Hit) -> Hit:
    """The hit with the span of its video, in the container's clock."""
    start_seconds = float(hit.payload.get("media_start_seconds", 0.0))
    span = {"start_seconds": start_seconds, "end_seconds": round(start_seconds + hit.duration_seconds, 6)}
    return replace(hit, payload={**hit.payload, **span})
