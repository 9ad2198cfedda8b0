"""Where an index lives, as a person writes it."""

import pickle

import pytest

from transforms.errors import UsageError
from transforms.index.location import IndexLocation


def test_a_path_is_a_folder_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    location = IndexLocation.parse("movies.reelvec")
    assert (location.kind, location.folder) == ("edge", str(tmp_path / "movies.reelvec"))
    assert str(location) == str(tmp_path / "movies.reelvec")


@pytest.mark.parametrize(
    ("text", "url", "name", "grpc_port"),
    [
        ("http://127.0.0.1:6333/films", "http://127.0.0.1:6333", "films", 6334),
        ("http://localhost/films", "http://localhost:6333", "films", 6334),
        ("https://qdrant.example.org:7000/a_b-c.d/", "https://qdrant.example.org:7000", "a_b-c.d", 7001),
        ("http://[::1]:6333/films?grpc_port=9000", "http://[::1]:6333", "films", 9000),
    ],
)
def test_a_url_names_server_and_collection(text, url, name, grpc_port):
    location = IndexLocation.parse(text)
    assert (location.kind, location.url, location.name, location.grpc_port) == ("server", url, name, grpc_port)
    assert IndexLocation.parse(str(location)) == location


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "ftp://host/films",
        "http://host:6333",
        "http://host:6333/",
        "http:///films",
        "http://host:6333/a/b",
        "http://host:6333/a--b",
        "http://host:notaport/films",
        "http://host:99999/films",
        "http://host:6333/films?grpc_port=0",
        "http://host:6333/films?grpc_port=x",
        "http://host:6333/films?key=secret",
        "http://user:secret@host:6333/films",
        "a\x00b",
    ],
)
def test_nonsense_is_refused(text):
    with pytest.raises(UsageError) as refused:
        IndexLocation.parse(text)
    assert "user:secret" not in str(refused.value)


def test_a_key_is_not_sent_over_plain_http(monkeypatch):
    monkeypatch.setenv("QDRANT_API_KEY", "s3cret")
    for text in ("http://127.0.0.1:6333/films", "http://localhost:6333/films", "https://qdrant.example.org/films"):
        assert IndexLocation.parse(text).api_key() == "s3cret"
    with pytest.raises(UsageError, match="plain http") as refused:
        IndexLocation.parse("http://qdrant.example.org:6333/films").api_key()
    assert "s3cret" not in str(refused.value)
    monkeypatch.delenv("QDRANT_API_KEY")
    assert IndexLocation.parse("http://qdrant.example.org:6333/films").api_key() is None


def test_a_location_travels_to_workers_without_the_key(monkeypatch):
    monkeypatch.setenv("QDRANT_API_KEY", "s3cret")
    location = IndexLocation.parse("https://qdrant.example.org/films")
    pickled = pickle.dumps(location)
    assert pickle.loads(pickled) == location
    assert b"s3cret" not in pickled
