"""An index on a Qdrant server: names, recipes and failures. What all homes share is in the congruence suite."""

import os
import uuid
from dataclasses import replace

import grpc
import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from transforms.errors import BadVectors, IndexFormatError, MissingIndex, RecipeMismatch, StoreUnavailable, UsageError
from transforms.index import retry
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader, open_writer, read_schema
from transforms.index.store import Where
from transforms.records import ClipPoint, DenseVector, Schema, stable_id

SERVER_URL = os.environ.get("REELVEC_TEST_QDRANT_URL", "")
SCHEMA = Schema(
    "tiny", "0123456789abcdef" * 4, (DenseVector("frame", 4),), ("words",), {"frame": "f1"}, {"b": 1, "a": 2}
)
EVERYTHING = Where()


@pytest.fixture
def location():
    if not SERVER_URL:
        pytest.skip("REELVEC_TEST_QDRANT_URL names no Qdrant server")
    place = IndexLocation.parse(f"{SERVER_URL}/server-{uuid.uuid4().hex[:12]}")
    yield place
    with admin() as client:
        for held in client.get_collections().collections:
            if held.name.startswith(place.name):
                client.delete_collection(held.name)


class admin:
    def __enter__(self) -> QdrantClient:
        self.client = QdrantClient(url=SERVER_URL, check_compatibility=False)
        return self.client

    def __exit__(self, *_: object) -> None:
        self.client.close()


def point(index: int, dimensions: int = 4) -> ClipPoint:
    vector = np.eye(dimensions, dtype=np.float32)[index % dimensions]
    return ClipPoint(stable_id(index), {"frame": vector}, {"kind": "clip", "clip_index": index})


def test_the_name_is_an_alias_of_the_recipes_collection_from_the_first_run_on(location):
    assert read_schema(location) is None
    with pytest.raises(MissingIndex, match="no index"):
        open_reader(location)
    store = open_writer(location, SCHEMA)
    store.upsert([point(0), point(1)])
    with admin() as client:
        aliases = {alias.alias_name: alias.collection_name for alias in client.get_aliases().aliases}
        assert aliases[location.name] == f"{location.name}--0123456789ab"
        info = client.get_collection(location.name)
        assert set(info.payload_schema) >= {"kind", "live", "video_id", "uri", "content", "start_seconds"}
    store.close()
    assert read_schema(location) == SCHEMA
    again, reader = open_writer(location, SCHEMA), open_reader(location)
    assert again.count(EVERYTHING) == reader.count(EVERYTHING) == 2
    again.close()
    reader.close()
    reader.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        reader.count(EVERYTHING)


def test_an_index_of_another_recipe_is_refused_and_both_are_named(location):
    open_writer(location, SCHEMA).close()
    with pytest.raises(RecipeMismatch, match=r"'tiny' \(0123456789ab.*'better' \(bbbbbbbbbbbb"):
        open_writer(location, replace(SCHEMA, recipe="b" * 64, recipe_name="better"))


def test_a_collection_that_is_not_what_it_says_is_refused(location):
    open_writer(location, SCHEMA).close()
    collection = f"{location.name}--0123456789ab"
    with admin() as client:
        metadata = client.get_collection(collection).config.metadata
        client.delete_collection(collection)
        client.create_collection(
            collection,
            vectors_config={"frame": models.VectorParams(size=8, distance=models.Distance.DOT)},
            metadata=metadata,
        )
        alias = models.CreateAlias(collection_name=collection, alias_name=location.name)
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    for opened in (lambda: open_writer(location, SCHEMA), lambda: open_reader(location)):
        with pytest.raises(RecipeMismatch, match=r"differs in frame \(8, Dot\), words"):
            opened()


def test_somebody_elses_collection_is_left_alone(location):
    with admin() as client:
        client.create_collection(location.name, vectors_config={})
    with pytest.raises(IndexFormatError, match="not made by Reelvec"):
        open_writer(location, SCHEMA)


def test_a_creation_that_was_killed_half_way_is_made_whole(location):
    open_writer(location, SCHEMA).close()
    with admin() as client:
        deleted = models.DeleteAlias(alias_name=location.name)
        client.update_collection_aliases([models.DeleteAliasOperation(delete_alias=deleted)])
        client.delete_payload_index(f"{location.name}--0123456789ab", "live")
    store = open_writer(location, SCHEMA)
    store.upsert([point(0)])
    with admin() as client:
        assert "live" in client.get_collection(location.name).payload_schema
    store.close()


def test_more_than_one_request_holds_is_sent_in_several(location, monkeypatch):
    monkeypatch.setattr("transforms.index.server._BATCH_BYTES", 1000)
    store = open_writer(location, SCHEMA)
    store.upsert([point(index) for index in range(50)])
    assert store.count(EVERYTHING) == 50
    store.close()


def test_a_server_that_is_not_there_is_an_outage_after_several_tries(monkeypatch):
    monkeypatch.setattr(retry, "_FIRST_PAUSE_SECONDS", 0.001)
    with pytest.raises(StoreUnavailable, match=r"after 5 tries.*127.0.0.1:9"):
        open_reader(IndexLocation.parse("http://127.0.0.1:9/films"))


class Refused(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "the server's own words"


def response(status: int) -> UnexpectedResponse:
    return UnexpectedResponse(status, "", b"the server's own words", httpx.Headers())


@pytest.mark.parametrize(
    "error",
    [
        Refused(grpc.StatusCode.UNAVAILABLE),
        Refused(grpc.StatusCode.DEADLINE_EXCEEDED),
        response(500),
        response(503),
        response(429),
        ResponseHandlingException(httpx.ConnectError("connection refused")),
        ResourceExhaustedResponse("too many", 0),
    ],
)
def test_what_can_pass_is_tried_again(error, monkeypatch):
    monkeypatch.setattr(retry, "_FIRST_PAUSE_SECONDS", 0.001)
    answers = iter([error, error, "done"])

    def work() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retry.call("writing", "films", work) == "done"


def test_a_writer_waits_longer_than_a_search_for_a_server_that_starts_again(monkeypatch):
    monkeypatch.setattr(retry, "_FIRST_PAUSE_SECONDS", 0.001)
    answers = iter([Refused(grpc.StatusCode.UNAVAILABLE)] * 9 + ["done"] * 9)

    def work() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(StoreUnavailable, match="after 5 tries"):
        retry.call("searching", "films", work)
    assert retry.call("writing", "films", work, patient=True) == "done"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Refused(grpc.StatusCode.INVALID_ARGUMENT), BadVectors),
        (Refused(grpc.StatusCode.NOT_FOUND), MissingIndex),
        (Refused(grpc.StatusCode.UNAUTHENTICATED), UsageError),
        (response(400), BadVectors),
        (response(404), MissingIndex),
        (response(403), UsageError),
    ],
)
def test_what_cannot_pass_is_raised_at_once_with_the_servers_words(error, kind):
    tries = []

    def work() -> None:
        tries.append(1)
        raise error

    with pytest.raises(kind, match="the server's own words"):
        retry.call("writing", "films", work)
    assert len(tries) == 1


def test_a_wait_longer_than_the_limit_is_not_waited(monkeypatch):
    def work() -> None:
        raise ResourceExhaustedResponse("too many", 3600)

    with pytest.raises(StoreUnavailable, match=r"after 1 tries.*too many"):
        retry.call("writing", "films", work)
