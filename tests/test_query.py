"""Ranking clips: one vector, several fused, the best frame."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from transforms.errors import UsageError
from transforms.index import engine, wire
from transforms.index.edge import EdgeStore
from transforms.index.hits import Hit
from transforms.index.late import by_deviation, distribution_based, fuse_rankings, weighted_sum
from transforms.index.location import IndexLocation
from transforms.index.memory import memory_store
from transforms.index.query import exact_scores, search_clips
from transforms.index.store import Equals, Query, VectorStore, Where
from transforms.records import ClipPoint, DenseVector, Float32, Schema, SparseVector, Vector, stable_id

SCHEMA = Schema(
    recipe_name="tiny",
    recipe="0" * 32,
    dense=(DenseVector("frame", 3), DenseVector("frames", 3, multi=True), DenseVector("transcript", 3)),
    sparse=("words",),
)
NORTH, EAST, UP = np.eye(3, dtype=np.float32)


@pytest.fixture(params=["edge", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
    location = IndexLocation.parse(str(tmp_path / "index"))
    opened = EdgeStore(location, SCHEMA) if request.param == "edge" else memory_store(SCHEMA)
    yield opened
    opened.close()


def between(first: Float32, second: Float32, share: float) -> Float32:
    """A unit vector whose cosine with `first` is `share`; the two are at right angles."""
    return np.asarray(share * first + np.sqrt(1 - share**2) * second, np.float32)


def clip(name: str, *, live: bool = True, kind: str = "clip", start: float = 0.0, **vectors: Vector) -> ClipPoint:
    payload = {"kind": kind, "live": live, "uri": f"file:///{name}", "start_seconds": start, "end_seconds": start + 8.0}
    return ClipPoint(stable_id(kind, name, start), vectors, payload)


def names(hits: list[Hit]) -> list[str]:
    return [hit.payload["uri"].removeprefix("file:///") for hit in hits]


def test_the_nearest_clip_comes_first_and_is_credited_to_its_vector(store: VectorStore) -> None:
    store.upsert([clip("far", frame=between(NORTH, EAST, 0.2)), clip("near", frame=between(NORTH, EAST, 0.9))])
    hits = search_clips(store, {"frame": NORTH}, by="frame", limit=5)
    assert names(hits) == ["near", "far"]
    assert [hit.score for hit in hits] == pytest.approx([0.9, 0.2], abs=1e-3)
    assert {hit.by for hit in hits} == {"frame"}


def test_clips_that_are_not_live_and_points_that_are_no_clips_are_never_found(store: VectorStore) -> None:
    store.upsert([clip("old", live=False, frame=NORTH), clip("entry", kind="video"), clip("live", frame=EAST)])
    assert names(search_clips(store, {"frame": NORTH}, by="frame", limit=5)) == ["live"]
    assert names(search_clips(store, {"frame": NORTH}, by="auto", limit=5)) == ["live"]


def test_clips_with_equal_vectors_come_in_the_order_of_video_and_time(store: VectorStore) -> None:
    store.upsert(
        [clip("b", frame=NORTH), clip("a", start=8.0, frame=NORTH), clip("c", frame=NORTH), clip("a", frame=NORTH)]
    )
    hits = search_clips(store, {"frame": NORTH}, by="frame", limit=3)
    assert [(hit.payload["uri"][-1], hit.payload["start_seconds"]) for hit in hits] == [
        ("a", 0.0),
        ("a", 8.0),
        ("b", 0.0),
    ]


def test_auto_prefers_a_clip_that_two_vectors_find_to_one_that_a_single_vector_ranks_first(store: VectorStore) -> None:
    store.upsert(
        [
            clip("seen only", frame=NORTH),
            clip("both", frame=between(NORTH, EAST, 0.9), transcript=between(UP, EAST, 0.9)),
            clip("said only", transcript=UP),
        ]
    )
    hits = search_clips(store, {"frame": NORTH, "transcript": UP}, by="auto", limit=3)
    assert names(hits)[0] == "both"
    assert hits[0].score == pytest.approx(2 / 62)
    assert set(names(hits)[1:]) == {"seen only", "said only"}
    assert hits[1].score == pytest.approx(1 / 61)


def test_auto_uses_exact_words_too_and_leaves_out_what_the_index_does_not_hold(store: VectorStore) -> None:
    word = SparseVector(np.array([7], np.uint32), np.array([1.0], np.float32))
    other = SparseVector(np.array([8], np.uint32), np.array([1.0], np.float32))
    store.upsert([clip("says it", words=word), clip("says another thing", words=other)])
    hits = search_clips(store, {"words": word, "audio": NORTH}, by="auto", limit=3)
    assert (names(hits), hits[0].by) == (["says it"], "words")


def test_further_conditions_narrow_the_search(store: VectorStore) -> None:
    store.upsert([clip("a", frame=NORTH), clip("b", frame=NORTH)])
    only_b = Where(must=(Equals("uri", "file:///b"),))
    assert names(search_clips(store, {"frame": NORTH}, by="frame", limit=5, where=only_b)) == ["b"]


def test_the_best_frame_beats_a_better_mean(store: VectorStore) -> None:
    one_right_frame = np.stack([NORTH, UP, UP, UP])
    all_half_right = np.stack([between(NORTH, EAST, 0.5)] * 4)
    store.upsert(
        [
            clip("one right frame", frame=between(NORTH, UP, 0.25), frames=one_right_frame),
            clip("all half right", frame=between(NORTH, EAST, 0.5), frames=all_half_right),
        ]
    )
    query = {"frame": NORTH, "frames": NORTH}
    assert names(search_clips(store, query, by="frame", limit=2)) == ["all half right", "one right frame"]
    best = search_clips(store, query, by="frames", limit=2)
    assert names(best) == ["one right frame", "all half right"]
    assert [hit.score for hit in best] == pytest.approx([1.0, 0.5], abs=1e-3)
    assert {hit.by for hit in best} == {"frames"}


@pytest.mark.parametrize("by", ["audio", "Frame", ""])
def test_an_unknown_way_of_searching_is_refused_with_those_that_the_index_holds(store: VectorStore, by: str) -> None:
    with pytest.raises(UsageError, match="auto, rrf, weighted, dbsf, frame, frames, transcript, words"):
        search_clips(store, {"frame": NORTH}, by=by, limit=1)


def test_no_hits_at_all_cannot_be_asked_for(store: VectorStore) -> None:
    with pytest.raises(UsageError, match="limit=0"):
        search_clips(store, {"frame": NORTH}, by="frame", limit=0)


def test_a_fused_hit_names_the_vector_that_ranked_it_best() -> None:
    def ranking(by: str, *ids: str) -> list[Hit]:
        return [Hit(name, 1.0, by, {"uri": name}) for name in ids]

    fused = fuse_rankings({"frame": ranking("frame", "x", "y", "z"), "words": ranking("words", "z", "y")}, k=60)
    assert [(hit.id, hit.by) for hit in fused] == [("z", "words"), ("y", "frame"), ("x", "frame")]
    assert [hit.score for hit in fused] == pytest.approx([1 / 61 + 1 / 63, 2 / 62, 1 / 61])


def test_among_equals_of_a_fusion_the_name_that_comes_first_wins() -> None:
    rankings = {"words": [Hit("z", 1.0, "words")], "frame": [Hit("a", 1.0, "frame"), Hit("z", 0.5, "frame")]}
    assert [(hit.id, hit.by) for hit in fuse_rankings(rankings)] == [("z", "words"), ("a", "frame")]
    rankings["frame"].pop()
    assert [hit.id for hit in fuse_rankings(rankings)] == ["z", "a"]


def test_what_is_only_the_least_bad_does_not_count_in_a_fusion(store: VectorStore) -> None:
    store.upsert([clip("seen", frame=NORTH), clip("hardly", frame=EAST, transcript=between(UP, EAST, 0.1))])
    query = {"transcript": UP, "frame": NORTH}
    assert names(search_clips(store, query, by="auto", limit=2))[0] == "hardly"
    counts = {"transcript": lambda hit: hit.score > 0.3}
    assert names(search_clips(store, query, by="auto", limit=2, counts=counts)) == ["seen", "hardly"]


@pytest.mark.parametrize(("trusted", "first"), [("frame", "seen"), ("transcript", "said")])
def test_auto_weighs_a_vector_by_the_trust_in_its_best_score(store: VectorStore, trusted: str, first: str) -> None:
    store.upsert([clip("seen", frame=NORTH), clip("said", transcript=between(UP, EAST, 0.5))])
    asked: dict[str, float] = {}

    def trust(name: str, score: float) -> float:
        asked[name] = score
        return 0.9 if name == trusted else 0.1

    hits = search_clips(store, {"frame": NORTH, "transcript": UP}, by="auto", limit=2, trust=trust)
    assert names(hits)[0] == first and hits[0].score == pytest.approx(1 / 61)
    assert hits[1].score == pytest.approx(0.1 / 0.9 / 61)
    assert asked == pytest.approx({"frame": 1.0, "transcript": float(between(UP, EAST, 0.5) @ UP)}, abs=1e-3)


def ranking(by: str, **scores: float) -> list[Hit]:
    return [Hit(name, score, by, {"uri": name}) for name, score in scores.items()]


RANKINGS = {
    "frame": ranking("frame", x=0.31, y=0.30, z=0.10),
    "transcript": ranking("transcript", z=0.9, y=0.5),
    "words": ranking("words", z=12.5),
}


def test_weights_decide_what_a_weighted_sum_ranks_first() -> None:
    seen = weighted_sum(RANKINGS, {"frame": 1.0, "transcript": 0.5})
    assert [(hit.id, hit.by) for hit in seen] == [("x", "frame"), ("y", "frame"), ("z", "transcript")]
    assert [hit.score for hit in seen] == pytest.approx([2 / 3, 2 / 3 * 0.2 / 0.21, 1 / 3])
    heard = weighted_sum(RANKINGS, {"frame": 1.0, "transcript": 1.5, "words": 0.0})
    assert [hit.id for hit in heard] == ["z", "x", "y"]
    assert {hit.id for hit in weighted_sum(RANKINGS, {"words": 1.0})} == {"z"}


def test_equal_scores_and_single_hits_have_a_place_on_the_scale() -> None:
    same = {"frame": ranking("frame", x=0.3, y=0.3)}
    assert [hit.score for hit in weighted_sum(same, {"frame": 2.0})] == [1.0, 1.0]
    assert by_deviation([0.3, 0.3]) == by_deviation([0.1, 0.1]) == [0.5, 0.5]
    assert (by_deviation([7.0]), by_deviation([])) == ([0.5], [])


def test_distribution_based_fusion_is_qdrants() -> None:
    from qdrant_client import models
    from qdrant_client.hybrid.fusion import distribution_based_score_fusion

    responses = [
        [models.ScoredPoint(id=hit.id, version=0, score=hit.score) for hit in hits] for hits in RANKINGS.values()
    ]
    theirs = {str(point.id): point.score for point in distribution_based_score_fusion(responses, limit=10)}
    ours = {hit.id: hit.score for hit in distribution_based(RANKINGS)}
    assert ours == pytest.approx(theirs)


def test_every_fusion_ranks_the_clip_that_both_vectors_find_first(store: VectorStore) -> None:
    store.upsert(
        [
            clip("seen", frame=NORTH),
            clip("both", frame=between(NORTH, EAST, 0.95), transcript=UP),
            clip("neither", frame=EAST, transcript=EAST),
        ]
    )
    query = {"frame": NORTH, "transcript": UP}
    for by in ("rrf", "weighted", "dbsf"):
        assert names(search_clips(store, query, by=by, limit=3))[0] == "both"
    only_seen = search_clips(store, query, by="weighted", limit=3, weights={"frame": 1.0})
    assert names(only_seen) == ["seen", "both", "neither"]


def test_the_scores_of_chosen_clips_are_exact_in_every_vector(store: VectorStore) -> None:
    word, another = (SparseVector(np.array([i], np.uint32), np.ones(1, np.float32)) for i in (7, 8))
    frames = np.stack([UP, between(NORTH, EAST, 0.8)])
    points = [clip(f"other {n}", frame=EAST, words=another) for n in range(3)]
    points += [clip("a", frame=between(NORTH, EAST, 0.6), frames=frames, words=word), clip("b", transcript=UP)]
    store.upsert(points)
    asked: dict[str, Vector] = {"frame": NORTH, "frames": NORTH, "transcript": UP, "words": word}
    scores = exact_scores(store, [point.id for point in points[3:]], asked)
    a, b = (scores[point.id] for point in points[3:])
    assert (a["frame"], a["frames"]) == (pytest.approx(0.6, abs=1e-5), pytest.approx(0.8, abs=1e-5))
    assert a["words"] > 0 and "transcript" not in a
    assert b == {"transcript": pytest.approx(1.0, abs=1e-5)}
    assert exact_scores(store, [], asked) == {}


@pytest.mark.parametrize(("using", "limit", "ef"), [("frame", 10, 512), ("frame", 900, 900), ("clip", 200, 2048)])
def test_both_stores_walk_their_graphs_as_wide_as_a_text_needs(using: str, limit: int, ef: int) -> None:
    asked = Query(using, NORTH, limit=limit)
    edge, server = engine.query_out(asked).params, wire.query_out(asked).params
    assert edge is not None
    assert server is not None
    assert (edge.hnsw_ef, server.hnsw_ef) == (ef, ef)
