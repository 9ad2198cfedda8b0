"""A small published index with hand-made vectors, for tests that search."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.search import Searcher
from transforms.encoders.light import text_vectors
from transforms.encoders.words import document_vector
from transforms.fuse.blocks import lay_out
from transforms.index.edge import EdgeStore
from transforms.index.ledger import write_entries
from transforms.index.location import IndexLocation
from transforms.index.publish import publish
from transforms.recipe import Recipe, load_recipe
from transforms.records import ClipPoint, LedgerEntry, Reject, Schema, Vector, stable_id
from transforms.uris import uri_of_path

#: (file, what is seen, what is said, where its clock starts)
CLIPS = (
    (b"/films/launch.mp4", "a rocket on the launch pad", "", 0.0),
    (b"/films/kitchen \xff.mp4", "a cup of coffee on a table", "the espresso is ready", 0.0),
    (b"/films/zoo.ts", "a cat sleeping on a sofa", "my name is Zaphod Quimby", 70910.8),
    (b"/films/speech.mp3", "", "ask not what your country can do for you", 0.0),
)


def point(recipe: Recipe, path: bytes, seen: str, said: str, clock_starts: float, *, live: bool = True) -> ClipPoint:
    vectors: dict[str, Vector] = {}
    if seen:
        frame = text_vectors(recipe.frame_encoder, [seen])[0]
        vectors |= {"frame": frame, "frames": frame[None, :]}
    if said:
        vectors["transcript"] = text_vectors(recipe.text_encoder, [said])[0]
        vectors["words"] = document_vector(said)
    blocks = {name: vector for name, vector in vectors.items() if name in ("frame", "transcript")}
    vectors["clip"] = lay_out(blocks, recipe)  # type: ignore[arg-type]
    uri = uri_of_path(os.fsdecode(path))
    payload = {
        "kind": "clip",
        "live": live,
        "uri": uri,
        "start_seconds": clock_starts + 8.0,
        "end_seconds": clock_starts + 16.0,
        "media_start_seconds": clock_starts,
    }
    return ClipPoint(stable_id(uri, seen), vectors, payload | ({"transcript": said} if said else {}))


def make_index(folder: Path, recipe: Recipe, schema: Schema | None = None) -> str:
    location = IndexLocation.parse(str(folder))
    store = EdgeStore(location, schema or recipe.schema())
    store.upsert([point(recipe, *clip) for clip in CLIPS])
    store.upsert([point(recipe, b"/films/old.mp4", "a rocket on the launch pad, again", "", 0.0, live=False)])
    write_entries(store, list(entries(recipe)))
    publish(location, store, optimize=False)
    store.close()
    return str(folder)


def entries(recipe: Recipe) -> Iterator[LedgerEntry]:
    for path, *_ in CLIPS:
        uri, vectors = uri_of_path(os.fsdecode(path)), tuple(recipe.vector_fingerprints().items())
        yield LedgerEntry(uri, 5, "1", "committed", vectors=vectors, clips=1, duration_seconds=90.5, live_content="c")
    uri = uri_of_path("/films/broken.mp4")
    reject = Reject(uri, "probe", "UnreadableVideo", "it is cut off", transient=False)
    yield LedgerEntry(uri, 5, "1", "rejected", rejects=(reject,))


@pytest.fixture(name="recipe", scope="module")
def the_recipe() -> Recipe:
    return load_recipe("offline")


@pytest.fixture(name="index", scope="module")
def the_index(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> str:
    return make_index(tmp_path_factory.mktemp("search") / "small.reelvec", recipe)


@pytest.fixture(name="searcher")
def the_searcher(index: str) -> Iterator[Searcher]:
    with Searcher(index) as opened:
        yield opened
