"""A whole run into a real Qdrant server, and the same answers as from a folder."""

import uuid

import pytest

from pipelines.ingest import ingest
from pipelines.search import Searcher
from pipelines.settings import IngestSettings
from pipelines.status import forget, status
from tests.test_ingest import comparable, render
from transforms.errors import RecipeMismatch
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.index.store import Where


@pytest.fixture
def server_index(qdrant_url):
    from qdrant_client import QdrantClient

    name = f"test-{uuid.uuid4().hex[:8]}"
    yield f"{qdrant_url}/{name}"
    client = QdrantClient(qdrant_url)
    for collection in client.get_collections().collections:
        if collection.name.startswith(f"{name}--"):
            client.delete_collection(collection.name)


def everything(index):
    reader = open_reader(IndexLocation.parse(index))
    try:
        return comparable(reader.scroll(Where()))
    finally:
        reader.close()


def test_a_server_holds_what_a_folder_holds_and_answers_the_same(server_index, examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for video in ("cat.mp4", "launch.mp4"):
        (corpus / video).symlink_to(examples / video)
    (corpus / "broken.mp4").write_bytes(b"\x00" * 3000)
    folder = str(tmp_path / "folder")
    for index in (server_index, folder):
        summary = ingest(IngestSettings(sources=(str(corpus),), index=index))
        assert (summary.videos_indexed, summary.videos_rejected) == (2, 1)
    assert everything(server_index) == everything(folder)
    with Searcher(server_index) as there, Searcher(folder) as here:
        for question, by in (("a rocket", "frame"), ("Canaveral", "words"), ("a cat", "auto"), ("a cat", "clip")):
            ours, theirs = (searcher.search(question, by=by, limit=5) for searcher in (here, there))
            assert ours and [hit.clip_id for hit in theirs] == [hit.clip_id for hit in ours]

    again = ingest(IngestSettings(sources=(str(corpus),), index=server_index))
    assert (again.videos_unchanged, again.videos_rejected, again.clips_written) == (2, 1, 0)
    with pytest.raises(RecipeMismatch, match="offline"):
        ingest(IngestSettings(sources=(str(corpus),), index=server_index, clip_seconds=4.0))
    assert forget(IndexLocation.parse(server_index), str(corpus / "cat.mp4")) > 0
    states = {video.video.rsplit("/", 1)[1]: video.state for video in status(IndexLocation.parse(server_index)).videos}
    assert states == {"cat.mp4": "forgotten", "launch.mp4": "committed", "broken.mp4": "rejected"}


def test_a_key_over_plain_http_is_refused(monkeypatch):
    from transforms.errors import UsageError

    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    with pytest.raises(UsageError, match="http") as refused:
        ingest(IngestSettings(sources=(".",), index="http://qdrant.example.com:6333/movies"))
    assert "secret" not in str(refused.value)


def test_a_server_that_does_not_answer_is_an_outage(tmp_path):
    from transforms.errors import Outage

    render(tmp_path / "a.mp4")
    with pytest.raises(Outage):
        ingest(IngestSettings(sources=(str(tmp_path),), index="http://127.0.0.1:9/movies"))
