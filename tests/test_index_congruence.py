"""One suite over every home of an index: Qdrant Edge, the client's memory mode, a real server where there is one."""

import math
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from transforms.errors import BadVectors
from transforms.index import ledger
from transforms.index.location import IndexLocation
from transforms.index.memory import memory_store
from transforms.index.open import open_writer
from transforms.index.store import AnyOf, Between, Equals, HasId, HasVector, Query, VectorStore, Where
from transforms.records import (
    ClipPoint,
    DenseVector,
    LedgerEntry,
    Receipt,
    Reject,
    Schema,
    SparseVector,
    VideoRef,
    stable_id,
)
from transforms.uris import uri_of_path

SCHEMA = Schema(
    recipe_name="tiny",
    recipe="0123456789abcdef" * 4,
    dense=(DenseVector("frame", 4), DenseVector("frames", 4, multi=True), DenseVector("clip", 8, quantization="int8")),
    sparse=("words",),
)
SERVER_URL = os.environ.get("REELVEC_TEST_QDRANT_URL", "")


@pytest.fixture(params=["edge", "memory", "server"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
    if request.param == "memory":
        opened = memory_store(SCHEMA)
    elif request.param == "edge":
        opened = open_writer(IndexLocation.parse(str(tmp_path / "index")), SCHEMA)
    else:
        if not SERVER_URL:
            pytest.skip("REELVEC_TEST_QDRANT_URL names no Qdrant server")
        opened = open_writer(IndexLocation.parse(f"{SERVER_URL}/congruence-{uuid.uuid4().hex[:12]}"), SCHEMA)
    yield opened
    if request.param == "server":
        opened._client.delete_collection(opened.collection)  # type: ignore[attr-defined]
    opened.close()


def axis(index: int, dimensions: int = 4) -> np.ndarray:
    return np.eye(dimensions, dtype=np.float32)[index]


def tilted(degrees: float, dimensions: int = 4) -> np.ndarray:
    """A unit vector so many degrees from the first axis towards the second."""
    vector = np.zeros(dimensions, np.float32)
    vector[:2] = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return vector


def words(**weights: float) -> SparseVector:
    names = {"common": 1, "rare": 2, "other": 3}
    return SparseVector(
        np.array([names[name] for name in weights], np.uint32), np.array(list(weights.values()), np.float32)
    )


def clip(index: int, *, video: str = "a", live: bool = True, **vectors: np.ndarray | SparseVector) -> ClipPoint:
    payload = {
        "kind": "clip",
        "live": live,
        "video_id": video,
        "uri": f"file:///{video}.mp4",
        "clip_index": index,
        "start_seconds": 8.0 * index,
        "end_seconds": 8.0 * (index + 1),
        "transcript": None,
        "frame_times": [8.0 * index, 8.0 * index + 1],
    }
    return ClipPoint(stable_id(video, index), vectors, payload)


def found(store: VectorStore, query: Query) -> list[int]:
    return [hit.payload["clip_index"] for hit in store.query([query])[0]]


ALL = Where()


def test_an_upserted_point_comes_back_as_it_was(store: VectorStore) -> None:
    sent = clip(3, frame=tilted(30), frames=np.stack([axis(0), tilted(60)]), words=words(common=0.5, rare=2.0))
    store.upsert([sent])
    store.flush()
    [back] = store.retrieve([sent.id], vectors=True)
    assert back.id == sent.id
    assert isinstance(back.id, str)
    assert dict(back.payload) == dict(sent.payload)
    assert set(back.vectors) == {"frame", "frames", "words"}
    np.testing.assert_allclose(back.vectors["frame"], sent.vectors["frame"], atol=1e-6)
    np.testing.assert_allclose(back.vectors["frames"], sent.vectors["frames"], atol=1e-6)
    assert back.vectors["frames"].dtype == np.float32
    held = dict(zip(back.vectors["words"].indices.tolist(), back.vectors["words"].values.tolist(), strict=True))
    assert held == {1: 0.5, 2: 2.0}
    assert store.retrieve([sent.id])[0].vectors == {}
    assert set(store.retrieve([sent.id], vectors=("frames", "words"))[0].vectors) == {"frames", "words"}
    assert set(next(iter(store.scroll(ALL, vectors=("frame",)))).vectors) == {"frame"}


def test_an_upsert_replaces_vectors_and_payload_whole(store: VectorStore) -> None:
    store.upsert([clip(0, frame=axis(0), words=words(common=1.0))])
    fresh = ClipPoint(clip(0).id, {"frame": axis(1)}, {"kind": "clip", "clip_index": 0, "language": "en"})
    store.upsert([fresh])
    [back] = store.retrieve([fresh.id], vectors=True)
    assert dict(back.payload) == dict(fresh.payload)
    assert set(back.vectors) == {"frame"}
    np.testing.assert_allclose(back.vectors["frame"], axis(1), atol=1e-6)
    assert store.count(ALL) == 1


def test_unknown_ids_are_missing_from_what_is_retrieved(store: VectorStore) -> None:
    store.upsert([clip(0, frame=axis(0))])
    assert [point.id for point in store.retrieve([stable_id("nobody"), clip(0).id])] == [clip(0).id]
    assert store.retrieve([]) == []


def test_set_payload_touches_the_matching_points_only(store: VectorStore) -> None:
    store.upsert([clip(0, live=False), clip(1, live=False), clip(2, video="b", live=False)])
    store.set_payload({"live": True, "tags": ["x", "y"]}, Where(must=(Equals("video_id", "a"), Equals("kind", "clip"))))
    assert store.count(Where(must=(Equals("live", True),))) == 2
    [back] = store.retrieve([clip(1).id])
    assert back.payload["tags"] == ["x", "y"]
    assert back.payload["start_seconds"] == 8.0
    assert "tags" not in store.retrieve([clip(2, video="b").id])[0].payload


def test_a_payload_is_replaced_whole_and_no_vector_with_it(store: VectorStore) -> None:
    before = clip(0, frame=axis(0), words=words(rare=2.0))
    store.upsert([before, clip(1, frame=axis(1))])
    held = store.retrieve([before.id], vectors=True)[0]
    payload = {name: value for name, value in before.payload.items() if name != "clip_index"}
    payload["later"] = [1, {"a": "b"}]
    store.overwrite_payloads([ClipPoint(before.id, {}, payload)])
    store.overwrite_payloads([])
    [back] = store.retrieve([before.id], vectors=True)
    assert back.payload == payload and back.vectors.keys() == {"frame", "words"}
    assert back.vectors["frame"].tobytes() == held.vectors["frame"].tobytes()
    assert store.retrieve([clip(1).id])[0].payload == clip(1).payload
    assert [point.id for point in store.scroll(Where((Equals("live", True), Equals("video_id", "a"))))] == sorted(
        [before.id, clip(1).id]
    )
    with pytest.raises(ValueError, match="plain JSON"):
        store.overwrite_payloads([ClipPoint(before.id, {}, {"value": math.nan})])


def test_delete_takes_the_matching_points_only(store: VectorStore) -> None:
    store.upsert([clip(index, video=video) for video in "ab" for index in range(3)])
    store.delete(Where(must=(Equals("video_id", "a"),), must_not=(Between("start_seconds", at_least=16.0),)))
    assert sorted((p.payload["video_id"], p.payload["clip_index"]) for p in store.scroll(ALL)) == [
        ("a", 2),
        ("b", 0),
        ("b", 1),
        ("b", 2),
    ]
    store.delete(ALL)
    assert store.count(ALL) == 0


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (ALL, 6),
        (Where(must=(Equals("live", False),)), 3),
        (Where(must=(Equals("clip_index", 1),)), 2),
        (Where(must=(AnyOf("uri", ("file:///b.mp4", "file:///c.mp4")),)), 3),
        (Where(must=(Between("start_seconds", at_least=8.0, below=16.0),)), 2),
        (Where(must=(Between("start_seconds", below=8.0),)), 2),
        (Where(must=(HasVector("frame"),)), 3),
        (Where(must_not=(HasVector("frame"),)), 3),
        (Where(must=(Equals("video_id", "a"),), must_not=(Equals("clip_index", 0), Equals("clip_index", 1))), 1),
        (Where(must=(Equals("video_id", "nobody"),)), 0),
        (Where(must=(HasId((stable_id("a", 0), stable_id("b", 2), stable_id("nobody"))),)), 2),
        (Where(must_not=(HasId((stable_id("a", 0),)),)), 5),
    ],
)
def test_counts_are_exact(store: VectorStore, where: Where, expected: int) -> None:
    store.upsert([clip(index, video="a", frame=axis(index)) for index in range(3)])
    store.upsert([clip(index, video="b", live=False, clip=axis(index, 8)) for index in range(3)])
    assert store.count(where) == expected


def test_a_scroll_over_several_pages_gives_every_point_once_in_the_order_of_ids(store: VectorStore) -> None:
    points = [clip(index, frame=axis(index % 4)) for index in range(57)]
    store.upsert(points)
    ids = [point.id for point in store.scroll(ALL, batch=10)]
    assert ids == sorted(point.id for point in points)
    some = list(store.scroll(Where(must=(Between("start_seconds", below=160.0),)), batch=7, vectors=True))
    assert len(some) == 20
    assert all("frame" in point.vectors for point in some)
    assert next(iter(store.scroll(ALL))).vectors == {}


@pytest.mark.parametrize("exact", [False, True])
def test_a_dense_query_ranks_by_cosine_among_the_points_of_its_filter(store: VectorStore, exact: bool) -> None:
    store.upsert([clip(index, live=index != 1, frame=tilted(20.0 * index)) for index in range(4)])
    store.upsert([clip(9, clip=axis(0, 8))])
    live = Where(must=(Equals("live", True),))
    [hits] = store.query([Query("frame", tilted(15), where=live, limit=2, exact=exact)])
    assert [hit.payload["clip_index"] for hit in hits] == [0, 2]
    assert hits[0].score == pytest.approx(math.cos(math.radians(15)), abs=1e-5)
    assert found(store, Query("frame", tilted(15), limit=10, exact=exact)) == [1, 0, 2, 3]


def test_a_quantized_vector_ranks_as_the_full_one(store: VectorStore) -> None:
    store.upsert([clip(index, clip=tilted(15.0 * index, 8)) for index in range(5)])
    [hits] = store.query([Query("clip", tilted(31, 8), limit=3)])
    assert [hit.payload["clip_index"] for hit in hits] == [2, 3, 1]
    assert hits[0].score == pytest.approx(math.cos(math.radians(1)), abs=1e-3)


def test_a_multivector_query_ranks_by_its_best_frame(store: VectorStore) -> None:
    store.upsert([clip(0, frames=np.stack([axis(2), tilted(40)])), clip(1, frames=np.stack([tilted(10), axis(3)]))])
    [hits] = store.query([Query("frames", axis(0)[np.newaxis])])
    assert [hit.payload["clip_index"] for hit in hits] == [1, 0]
    assert hits[1].score == pytest.approx(math.cos(math.radians(40)), abs=1e-5)


def test_a_sparse_query_weighs_rare_words_more(store: VectorStore) -> None:
    store.upsert([clip(index, words=words(common=1.0)) for index in range(8)])
    store.upsert([clip(8, words=words(rare=1.0)), clip(9, words=words(other=1.0))])
    [hits] = store.query([Query("words", words(common=1.0, rare=1.0), limit=3)])
    assert hits[0].payload["clip_index"] == 8
    assert hits[0].score > hits[1].score > 0
    assert 9 not in found(store, Query("words", words(common=1.0, rare=1.0), limit=20))


def test_several_queries_are_answered_in_their_order(store: VectorStore) -> None:
    store.upsert([clip(index, frame=axis(index)) for index in range(3)])
    answers = store.query([Query("frame", axis(index), limit=1) for index in (2, 0)])
    assert [hits[0].payload["clip_index"] for hits in answers] == [2, 0]
    assert store.query([]) == []


def test_a_clip_without_a_vector_is_not_found_by_it(store: VectorStore) -> None:
    store.upsert([clip(0, frame=axis(0)), clip(1, clip=axis(0, 8))])
    assert found(store, Query("frame", axis(0))) == [0]
    assert found(store, Query("clip", axis(0, 8))) == [1]


NAN = np.array([np.nan, 0, 0, 1], np.float32)


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ({"frame": NAN}, "not finite.*'frame'"),
        ({"frame": np.array([np.inf, 0, 0, 0], np.float32)}, "not finite"),
        ({"frame": axis(0) * 1.01}, "unit length"),
        ({"frame": np.zeros(4, np.float32)}, "unit length"),
        ({"frame": axis(0, 8)}, "another shape.*'frame'"),
        ({"frame": axis(0).astype(np.float64)}, "float64"),
        ({"frames": axis(0)}, "another shape.*'frames'"),
        ({"frames": np.stack([axis(0), NAN])}, "not finite.*'frames'"),
        ({"frames": np.zeros((0, 4), np.float32)}, "another shape"),
        ({"sound": axis(0)}, "no such vector.*'sound'"),
        ({"words": words(common=float("nan"))}, "not finite.*'words'"),
        ({"words": SparseVector(np.array([1, 1], np.uint32), np.ones(2, np.float32))}, "twice"),
        ({"frame": words(common=1.0)}, "no such vector"),
    ],
)
def test_vectors_that_must_not_be_stored_are_refused_before_anything_is_written(
    store: VectorStore, vectors: dict[str, np.ndarray | SparseVector], said: str
) -> None:
    with pytest.raises(BadVectors, match=said) as refused:
        store.upsert([clip(0, frame=axis(0)), clip(7, video="named", **vectors)])
    assert "file:///named.mp4" in str(refused.value)
    assert "clip=7" in str(refused.value)
    assert store.count(ALL) == 0


def test_a_payload_that_json_cannot_hold_is_refused(store: VectorStore) -> None:
    for value in (float("nan"), "\udcff", object()):
        with pytest.raises(ValueError, match="plain JSON"):
            store.upsert([ClipPoint(stable_id("x"), {}, {"kind": "clip", "value": value})])
        with pytest.raises(ValueError, match="plain JSON"):
            store.set_payload({"value": value}, ALL)  # type: ignore[dict-item]
    assert store.count(ALL) == 0


def test_a_query_that_fits_no_vector_is_refused(store: VectorStore) -> None:
    for query in (Query("frame", axis(0, 8)), Query("nothing", axis(0)), Query("frame", NAN)):
        with pytest.raises(BadVectors, match="cannot be asked"):
            store.query([query])


ODD_NAMES = [b"plain.mp4", b"with space.mp4", b"quo\"te's.mp4", b"new\nline.mp4", b"latin\xe9\xff.mp4", b"-dash.mp4"]


def test_a_ledger_entry_comes_back_as_it_was_whatever_its_file_is_called(store: VectorStore) -> None:
    uris = [uri_of_path(b"/films/" + name) for name in ODD_NAMES]  # type: ignore[arg-type]
    entries = [
        LedgerEntry(
            uri=uri,
            size_bytes=2**40 + index,
            version=str(time_ns := 1763698259000000000 + index),
            state="partial",
            content="c0ffee" * 10,
            recipe=SCHEMA.recipe,
            vectors=(("words", "w1"), ("frame", "f1")),
            live_content="beef",
            clips=index,
            duration_seconds=0.1 * index,
            rejects=(Reject(uri, "decode", "UnreadableVideo", "bröken", False, 1.5, 2.5, 2, "c", 9, str(time_ns)),),
            searchable_since="2026-11-21T04:00:00+00:00",
            origin="file:///films/",
            metadata=(("zeta", "ü"), ("alpha", 3), ("ok", True), ("none", None), ("share", 0.25)),
        )
        for index, uri in enumerate(uris)
    ]
    ledger.write_entries(store, entries)
    store.flush()
    read = ledger.read_entries(store)
    assert read == {entry.uri: entry for entry in entries}
    assert len({id(entry.vectors) for entry in read.values()}) == 1  # what all have in common is held once
    assert ledger.read_entry(store, uris[4]) == entries[4]
    assert ledger.read_entry(store, "file:///nobody") is None
    assert ledger.read_some(store, [uris[1], "file:///nobody"]) == {uris[1]: entries[1]}
    ledger.write_entries(store, [replace(entries[0], state="committed")])
    ledger.delete_entries(store, uris[1:])
    assert ledger.read_entries(store) == {uris[0]: replace(entries[0], state="committed")}


def test_receipts_are_read_by_version_in_the_order_of_their_segments(store: VectorStore) -> None:
    reject = Reject("file:///a", "encode", "LimitExceeded", "too much", True, 0.0, 64.0)
    video, another = VideoRef("file:///a", 9, "1", metadata=(("z", 1), ("a", None))), VideoRef("file:///b", 9, "1")
    one = [Receipt(video, "c1", "r1", index, 12, 8, "ok", damaged=index == 1) for index in reversed(range(12))]
    rejected = Receipt(video, "c2", "r1", 0, 1, 0, "rejected", reject=reject)
    other = Receipt(another, "c1", "r1", 0, 1, 3, "empty")
    ledger.write_receipts(store, [*one, rejected, other])
    ledger.write_receipts(store, one[:3])
    assert ledger.read_receipts(store, "file:///a", "c1", "r1") == one[::-1]
    assert ledger.read_receipts(store, "file:///a", "c2", "r1") == [rejected]
    assert ledger.read_receipts(store, "file:///a", "c1", "r2") == []
    assert len(ledger.read_all_receipts(store)) == 14
    ledger.delete_receipts(store, "file:///a", content="c1")
    assert {receipt.id for receipt in ledger.read_all_receipts(store)} == {rejected.id, other.id}
    ledger.delete_receipts(store, "file:///a")
    assert ledger.read_all_receipts(store) == [other]


def test_clips_entries_and_receipts_of_one_video_keep_apart(store: VectorStore) -> None:
    store.upsert([clip(0, frame=axis(0))])
    ledger.write_entries(store, [LedgerEntry("file:///a.mp4", 1, "1", "committed")])
    ledger.write_receipts(store, [Receipt(VideoRef("file:///a.mp4", 1, "1"), "c", "r", 0, 1, 1, "ok")])
    store.delete(Where(must=(Equals("kind", "clip"), Equals("uri", "file:///a.mp4"))))
    assert store.count(ALL) == 2
    assert list(ledger.read_entries(store)) == ["file:///a.mp4"]
