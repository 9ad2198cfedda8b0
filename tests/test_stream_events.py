"""What messages say: our own events, those of buckets, and everything that is no event; and the order of events."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from transforms.errors import ForbiddenUri, MalformedEvent, UsageError
from transforms.order import is_older, newest, place
from transforms.stream.events import events_of
from transforms.stream.kafka import read_options
from transforms.stream.look import Places, look, mapping, places_of
from transforms.stream.offsets import Offsets

SCHEMA = Draft202012Validator(json.loads(files("transforms.stream").joinpath("event.schema.json").read_text()))
TIME = "2026-11-30T14:20:00Z"


def own(**fields):
    return {"type": "create", "uri": "file:///v/a.mp4", "time": TIME, **fields}


def read(document, **attributes):
    return events_of(json.dumps(document).encode(), attributes)


def test_an_event_says_what_happened_to_which_file_and_when():
    (event,) = read(own(type="change", size=7, generation=3, version="v", etag="e", metadata={"b": 1.5, "a": "x"}))
    assert (event.kind, event.uri, event.size_bytes) == ("change", "file:///v/a.mp4", 7)
    assert event.metadata == (("a", "x"), ("b", 1.5))
    assert event.order == place(1796048400 * 10**9, generation=3)


def test_one_file_has_one_spelling():
    spelled = ["file:///v/./a%20b.mp4", "file:///v/x/../a b.mp4", "file:///v/a%20b%2emp4"]
    assert {read(own(uri=uri))[0].uri for uri in spelled} == {"file:///v/a%20b.mp4"}


def test_times_are_told_apart_to_the_nanosecond_and_across_zones():
    first, second = (read(own(time=f"2026-11-30T14:20:00.00000000{n}Z"))[0].order for n in (1, 2))
    assert is_older(first, second)
    assert read(own(time="2026-11-30T15:20:00+01:00"))[0].order == read(own())[0].order


MALFORMED = [
    own(type="created"),
    own(type=None),
    own(uri="/v/a.mp4"),
    own(uri="a.mp4"),
    own(uri="file://"),
    own(uri="file:///"),
    own(uri="file://host/a.mp4"),
    own(uri="ftp://host/a.mp4"),
    own(uri="file:///" + "a" * 5000),
    own(uri=7),
    own(time="yesterday"),
    own(time="2026-11-30T14:20:00"),
    own(time=1796048400),
    own(size=-1),
    own(size="7"),
    own(size=2**63),
    own(generation=1.5),
    own(generation=True),
    own(version=7),
    own(metadata=["a"]),
    own(metadata={"a": [1]}),
    own(metadata={"a": None}),
    own(metadata={str(number): 1 for number in range(101)}),
    own(extra=1),
    {"uri": "file:///v/a.mp4", "time": TIME},
    {},
]


@pytest.mark.parametrize("document", MALFORMED)
def test_what_is_no_event_is_malformed_and_the_schema_says_so_too(document):
    with pytest.raises(MalformedEvent):
        read(document)
    assert not SCHEMA.is_valid(document)


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000]
    + [
        json.dumps(own(time=time)).encode()
        for time in ("2026-13-30T14:20:00Z", "9999-01-01T00:00:00Z", "1960-01-01T00:00:00Z")
    ]
    + [json.dumps(own(uri=uri)).encode() for uri in ("file:///a%00b.mp4", "file:///\udc80.mp4")]
    + [json.dumps(own(metadata={"a": value})).encode() for value in (float("nan"), 2**64, "\ud800")],
)
def test_bytes_that_no_schema_would_read_are_malformed_too(data):
    with pytest.raises(MalformedEvent):
        events_of(data)


@given(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["create", "change", "delete", "x"]),
            "uri": st.just("file:///v/a"),
            "time": st.just(TIME),
        },
        optional={
            "size": st.none() | st.integers(-2, 9) | st.text(max_size=2) | st.booleans(),
            "generation": st.none() | st.integers(-2, 9) | st.booleans(),
            "etag": st.none() | st.text(st.characters(codec="utf-8"), max_size=2) | st.integers(),
            "metadata": st.none()
            | st.dictionaries(st.sampled_from("ab"), st.integers(0, 9) | st.booleans() | st.none()),
        },
    )
)
def test_the_schema_and_the_reader_agree(document):
    try:
        read(document)
        taken = True
    except MalformedEvent:
        taken = False
    assert taken == SCHEMA.is_valid(document)


def s3(name, key="films/a%2Bb+c.mp4", **found):
    detail = {"bucket": {"name": "b"}, "object": {"key": key, "size": 9, "eTag": "e", "sequencer": "0A", **found}}
    return {
        "Records": [
            {"eventVersion": "2.1", "eventSource": "aws:s3", "eventTime": TIME, "eventName": name, "s3": detail}
        ]
    }


def test_what_s3_sends_names_its_object():
    (event,) = read(s3("ObjectCreated:Put"))
    assert (event.kind, event.uri, event.size_bytes) == ("create", "s3://b/films/a%2Bb%20c.mp4", 9)
    (gone,) = read(s3("s3:ObjectRemoved:DeleteMarkerCreated", sequencer="0A1"))
    assert gone.kind == "delete" and gone.size_bytes is None and is_older(event.order, gone.order)
    assert read(s3("ObjectRemoved:Delete", versionId="v"))[0].kind == "check"
    assert not read(s3("ObjectRestore:Completed")) and not read({"Service": "Amazon S3", "Event": "s3:TestEvent"})


def test_what_s3_sends_through_a_topic_of_messages_is_unwrapped():
    assert read({"Type": "Notification", "Message": json.dumps(s3("ObjectCreated:Put"))}) == read(
        s3("ObjectCreated:Put")
    )


@pytest.mark.parametrize(
    "document",
    [
        s3("ObjectCreated:Put", sequencer="xyz"),
        s3("ObjectCreated:Put", key=7),
        {"Records": [7]},
        {"Records": [{}]},
        {"Type": "Notification", "Message": json.dumps({"Type": "Notification", "Message": "{}"})},
    ],
)
def test_what_only_looks_like_s3_is_malformed(document):
    with pytest.raises(MalformedEvent):
        read(document)


def gcs(kind, generation="17", **more):
    named = {"bucketId": "b", "objectId": "films/a b.mp4", "objectGeneration": generation}
    return {"eventType": kind, "eventTime": "2026-11-30T14:20:00.123456Z", **named, **more}


def test_what_cloud_storage_sends_is_in_the_attributes():
    (event,) = events_of(b'{"size": "9"}', gcs("OBJECT_FINALIZE", payloadFormat="JSON_API_V1"))
    assert (event.kind, event.uri, event.size_bytes) == ("create", "gs://b/films/a%20b.mp4", 9)
    (gone,) = events_of(b"", gcs("OBJECT_DELETE"))
    assert gone.kind == "delete" and is_older(event.order, gone.order)
    assert not events_of(b"", gcs("OBJECT_METADATA_UPDATE"))
    for wrong in (gcs("OBJECT_FINALIZE", generation="x"), {"eventType": "OBJECT_FINALIZE", "bucketId": "b"}):
        with pytest.raises(MalformedEvent):
            events_of(b"", wrong)


def test_a_deletion_comes_after_the_creation_of_the_same_version_and_before_the_next():
    created, deleted, again = (
        place(time, generation=n, kind=kind) for time, n, kind in ((9, 1, "create"), (5, 1, "delete"), (1, 2, "create"))
    )
    assert is_older(created, deleted) and is_older(deleted, again) and is_older(created, again)
    assert newest(newest(deleted, again), created) == again


def test_a_place_that_is_not_known_is_before_and_after_nothing():
    some = place(5)
    assert not is_older("", some) and not is_older(some, "") and newest("", some) == newest(some, "") == some


def test_places_that_count_differently_are_compared_by_their_times():
    counted, timed, other = place(5, generation=9), place(6), place(7, sequencer="01")
    assert is_older(counted, timed) and is_older(counted, other) and not is_older(other, counted)
    assert is_older(place(9, sequencer="9"), place(1, sequencer="A")) and is_older(
        place(1, sequencer="A"), place(1, sequencer="A1")
    )


def test_nothing_is_committed_beyond_a_message_that_is_not_done():
    offsets = Offsets()
    for number in (10, 11, 13):  # a transaction's own marks take offsets too
        offsets.take(number)
    offsets.done(11)
    assert offsets.committable == 10
    offsets.done(10)
    assert offsets.committable == 13
    offsets.done(13)
    assert offsets.committable == 14
    offsets.take(12)  # the partition was away and is delivered again
    offsets.done(13)
    assert offsets.committable == 12


def test_a_secret_comes_from_the_environment():
    lines = ["# how", "", "sasl.username = me", "sasl.password = $SECRET"]
    assert read_options(lines, {"SECRET": "s"}) == {"sasl.username": "me", "sasl.password": "s"}
    for wrong in (["sasl.password"], ["a = $NONE"]):
        with pytest.raises(UsageError):
            read_options(wrong, {})


def test_events_name_files_of_their_folder_only(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir(), outside.mkdir()
    (outside / "a.mp4").write_bytes(b"x")
    (inside / "link.mp4").symlink_to(outside / "a.mp4")
    places = Places(roots=(inside,), mapped=(mapping(f"gs://b/={inside}"),))
    assert places.local("gs://b/x/a%20b.mp4") == f"file://{inside}/x/a%20b.mp4"
    for uri in (
        f"file://{outside}/a.mp4",
        f"file://{inside}/link.mp4",
        "gs://b/../out/a.mp4",
        "gs://b/%2e%2e/out/a.mp4",
        "s3://c/a",
    ):
        with pytest.raises(ForbiddenUri):
            places.local(uri)
    for wrong in ("gs://b", "b=x", f"gs://b/={tmp_path}/missing"):
        with pytest.raises(UsageError):
            mapping(wrong)


def test_events_name_objects_below_their_prefix_only(tmp_path):
    places = places_of(["s3://b/films", "gs://c"], [f"s3://b/films/disk={tmp_path}"])
    assert places.local("s3://b/films/a%2Bb%20c%25.mp4") == "s3://b/films/a+b c%.mp4"  # as an ingest spells it
    assert places.local("gs://c/a.mp4") == "gs://c/a.mp4"
    assert places.local("s3://b/films/disk/a.mp4") == f"file://{tmp_path}/a.mp4"  # --map wins
    for uri in (
        "s3://b/films2/x.mp4",
        "s3://b/films",
        "s3://b/films/",
        "gs://b/films/x.mp4",
        "s3://B/films/x.mp4",
        "s3://b/films/../films2/x.mp4",
        "s3://b/films/%2e%2e/films2/x.mp4",
        "s3://b/films/x%0a.mp4",
        "s3://b/films/x%ff.mp4",
        "s3://key@b/films/x.mp4",
        "s3://b/films/" + "x" * 1024,
        f"file://{tmp_path}/a.mp4",  # only what the mapping leads to
    ):
        with pytest.raises(ForbiddenUri):
            places.local(uri)
    with pytest.raises(ForbiddenUri, match="no --root or --map"):
        places_of([str(tmp_path)], []).local("s3://b/films/x.mp4")
    every_file = places_of(["/"], [])
    assert every_file.local("file:///v/a.mp4") == "file:///v/a.mp4"
    assert places_of(["s3://b//"], []).prefixes == ("s3://b//",)


def test_no_event_has_a_web_address_fetched():
    for places in (Places(), places_of(["/", "s3://b"], [])):
        with pytest.raises(ForbiddenUri, match="no event may have a web address fetched") as refused:
            places.local("https://user:secret@169.254.169.254/latest?token=secret")
        assert "secret" not in str(refused.value)


def test_a_look_at_a_file_tells_what_is_there_now(tmp_path):
    def looked(name):
        return look(f"file://{tmp_path}/{name}", origin="o", metadata=(("a", 1),), event="e")

    Path(tmp_path, "a.mp4").write_bytes(b"xyz")
    video = looked("a.mp4")
    assert (video.size_bytes, video.origin, video.metadata, video.event, video.expected) == (
        3,
        "o",
        (("a", 1),),
        "e",
        True,
    )
    assert looked("b.mp4") is None and looked("a.mp4/b.mp4") is None
    with pytest.raises(ForbiddenUri):
        look(f"file://{tmp_path}", origin="", metadata=(), event="")
