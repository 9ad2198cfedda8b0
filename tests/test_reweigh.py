"""New fusion weights weigh the stored clip vectors again; where that cannot be, they are made anew."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.filling import Filling
from pipelines.migrate import migrate
from pipelines.recipe_change import changes
from pipelines.reweigh import only_weights_change
from pipelines.settings import IngestSettings
from transforms.errors import StoreUnavailable
from transforms.fuse.strategies import ClipParts, fusion_of
from transforms.index.edge import EdgeStore
from transforms.index.kinds import LIVE_CLIPS, LIVE_WHOLES
from transforms.index.ledger import read_entries, write_entries
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.index.open import open_reader, open_writer, release
from transforms.index.publish import publish
from transforms.recipe import load_recipe
from transforms.records import ClipPoint, LedgerEntry, stable_id
from transforms.write.whole import whole_from

CLIPS = 3


def recipe_file(folder, **weights):
    name = "-".join(f"{key}{value}" for key, value in weights.items()) or "plain"
    lines = "".join(
        f"{key} = {value}\n" for key, value in ({"frame": 1.0, "change": 0.4, "position": 0.4} | weights).items()
    )
    text = f'name = "{name}"\n[frames]\nchoice = "every:1s"\nencoder = "conse:tf_efficientnet_lite2"\n[fusion]\n{lines}'
    path = folder / f"{name}.toml"
    path.write_text(text)
    return str(path)


def unit(chance, *shape):
    rows = chance.standard_normal(shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def stored(recipe, uri, *, metadata=()):
    """The clips, the whole and the entry of one film, as a run leaves them."""
    chance = np.random.default_rng(sum(uri.encode()))
    points = []
    for number in range(CLIPS):
        start = 8.0 * number
        payload = {
            "kind": "clip", "live": True, "uri": uri, "content": uri, "recipe": recipe.fingerprint,
            "segmenter": recipe.segmenter, "clip_index": number, "segment_index": 0, "start_seconds": start,
            "end_seconds": start + 8.0, "media_start_seconds": 0.0, "duration_seconds": 8.0 * CLIPS,
            "frame_times_seconds": [start, start + 4.0], "metadata": dict(metadata),
            "vectors": ["clip", "frame", "frames"],
        }  # fmt: skip
        vectors = {"frames": unit(chance, 2, 384), "frame": unit(chance, 384)}
        points.append(ClipPoint(stable_id(uri, number), vectors, payload))
    fused = fusion_of(recipe).fuse([ClipParts.of_point(point) for point in points], recipe)
    assert all(clip is not None for clip in fused)
    points = [
        replace(p, vectors={**p.vectors, "clip": clip})
        for p, clip in zip(points, fused, strict=True)
        if clip is not None
    ]
    entry = LedgerEntry(uri, 1, "1", "committed", uri, recipe.fingerprint, live_content=uri, live_whole=True)
    prints = tuple(sorted(recipe.vector_fingerprints().items()))
    entry = replace(entry, clips=CLIPS, duration_seconds=8.0 * CLIPS, vectors=prints, metadata=metadata)
    return [*points, whole_from(entry, points)], entry


def fill(folder, recipe, *uris):
    location = IndexLocation.parse(str(folder))
    store = open_writer(location, load_recipe(recipe).schema())
    for uri in uris:
        points, entry = stored(load_recipe(recipe), uri)
        store.upsert(points)
        write_entries(store, [entry])
    store.flush()
    publish(location, store, optimize=False)
    store.close()
    release(location)
    return location


def held(location):
    reader = open_reader(location)
    try:
        points = [*reader.scroll(LIVE_CLIPS, vectors=True), *reader.scroll(LIVE_WHOLES, vectors=True)]
        return {point.id: point for point in points}, read_entries(reader)
    finally:
        reader.close()


def assert_as_made_anew(location, recipe, *uris):
    wanted: dict[str, ClipPoint] = {}
    entries = {}
    for uri in uris:
        points, entries[uri] = stored(load_recipe(recipe), uri)
        wanted |= {point.id: point for point in points}
    found, ledger = held(location)
    assert found.keys() == wanted.keys()
    for id_, point in wanted.items():
        assert found[id_].payload == point.payload
        assert found[id_].vectors.keys() == point.vectors.keys()
        for name, vector in point.vectors.items():
            assert np.all(np.sum(vector * found[id_].vectors[name], axis=-1) > 0.99999), name
    assert {uri: (e.recipe, e.vectors, e.clips) for uri, e in ledger.items()} == {
        uri: (e.recipe, e.vectors, e.clips) for uri, e in entries.items()
    }


def other_settings(location):
    return IngestSettings(sources=(), index=str(location))


@pytest.fixture
def index(tmp_path):
    return fill(tmp_path / "index", recipe_file(tmp_path), "file:///a.mp4", "file:///b.mp4")


def test_weighing_again_gives_what_making_anew_would(tmp_path, index, monkeypatch):
    monkeypatch.setattr("pipelines.carry.made_again", lambda *_: pytest.fail("made anew"))
    other = recipe_file(tmp_path, change=0.9, position=0.1)
    assert migrate(other_settings(index), other).state == "switched"
    assert_as_made_anew(index, other, "file:///a.mp4", "file:///b.mp4")


def test_a_block_that_weighs_nothing_any_more_is_gone_and_one_that_weighed_nothing_is_made_anew(tmp_path, index):
    less = recipe_file(tmp_path, change=0.0)
    assert migrate(other_settings(index), less).state == "switched"
    assert_as_made_anew(index, less, "file:///a.mp4", "file:///b.mp4")
    more = recipe_file(tmp_path, change=0.5)
    old, new = load_recipe(less), load_recipe(more)
    assert not only_weights_change(old.schema(), new, changes(old, new))
    assert migrate(other_settings(index), more).state == "switched"
    assert_as_made_anew(index, more, "file:///a.mp4", "file:///b.mp4")


def test_other_periods_of_the_position_are_more_than_weights(tmp_path):
    old = load_recipe(recipe_file(tmp_path))
    new = replace(old, fusion=replace(old.fusion, change=0.9, position_periods_seconds=(60.0, 600.0, 3600.0, 7200.0)))
    assert not only_weights_change(old.schema(), new, changes(old, new))


def test_a_vector_of_another_program_is_not_trusted_to_be_weighed(tmp_path):
    old, new = load_recipe(recipe_file(tmp_path)), load_recipe(recipe_file(tmp_path, change=0.9))
    schema = old.schema()
    assert only_weights_change(schema, new, changes(old, new))
    prints = {**schema.vector_fingerprints, "clip": "0" * 32}
    other = replace(schema, vector_fingerprints=prints)
    assert not only_weights_change(other, new, changes(old, new, held=prints))


@pytest.mark.parametrize("method", ["update_vectors", "flush"])
def test_a_fill_that_dies_goes_on(tmp_path, index, monkeypatch, method):
    other = recipe_file(tmp_path, change=0.9)

    def dying(*_):
        raise StoreUnavailable("the machine was switched off")

    with monkeypatch.context() as patched:
        patched.setattr(EdgeStore, method, dying)
        with pytest.raises(StoreUnavailable):
            migrate(other_settings(index), other)
    assert migrate(other_settings(index), other).state == "switched"
    assert_as_made_anew(index, other, "file:///a.mp4", "file:///b.mp4")


def test_an_index_that_grew_since_it_was_copied_is_copied_again(tmp_path, index, monkeypatch):
    other = recipe_file(tmp_path, change=0.9)
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.filling.switch", lambda *_: (_ for _ in ()).throw(StoreUnavailable("gone")))
        with pytest.raises(StoreUnavailable):
            migrate(other_settings(index), other)
    fill(tmp_path / "index", recipe_file(tmp_path), "file:///c.mp4")
    assert migrate(other_settings(index), other).state == "switched"
    assert_as_made_anew(index, other, "file:///a.mp4", "file:///b.mp4", "file:///c.mp4")


def test_videos_that_are_not_carried_over_are_not_in_the_copy(tmp_path, index):
    other = load_recipe(recipe_file(tmp_path, change=0.9))
    with (
        writing(index, command="test", wait=False) as turn,
        Filling(other_settings(index), index, other, turn) as filling,
    ):
        filling.fill({uri: entry for uri, entry in filling.before.items() if uri == "file:///a.mp4"})
        uris = {point.payload["uri"] for point in filling.run.store.scroll(LIVE_CLIPS)}
    assert uris == {"file:///a.mp4"}


def test_clips_that_were_deleted_from_the_copy_are_carried_over_again(tmp_path, index):
    path = recipe_file(tmp_path, change=0.9)
    with (
        writing(index, command="test", wait=False) as turn,
        Filling(other_settings(index), index, load_recipe(path), turn) as filling,
    ):
        filling.run.store.delete(LIVE_CLIPS)
        filling.run.store.flush()
    assert migrate(other_settings(index), path).state == "switched"
    assert_as_made_anew(index, path, "file:///a.mp4", "file:///b.mp4")
