"""A change of recipe: filled beside what is in use, checked, switched in one step, and taken back."""

import errno
import json
import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from pipelines import carry
from pipelines.ingest import ingest
from pipelines.migrate import migrate, plan_migration, roll_back
from pipelines.search import Searcher
from pipelines.status import status
from tests.cheap_index import CHEAP, CLIPS, Template, assert_equal_indexes, points, recipe_file, settings
from tests.test_ingest import render
from transforms.encoders import registry
from transforms.errors import IndexFormatError, IndexLocked, Outage, RecipeMismatch, StoreUnavailable, UsageError
from transforms.index.edge import EdgeStore
from transforms.index.ledger import read_entries
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.index.open import open_reader, read_schema
from transforms.index.spaces import drop_expired, home_of, spaces_of
from transforms.recipe import load_recipe

SPEECH = """
[speech]
encoder = "faster-whisper:tiny.en"
[text]
encoder = "sentence-transformers:all-MiniLM-L6-v2"
"""


def films(folder):
    render(folder / "red.mp4", seconds=5)
    render(folder / "blue.mp4", colour="blue", seconds=11)
    render(folder / "mute.mp4", colour="green", seconds=3, sound=False)
    (folder / "broken.mp4").write_bytes(b"\x00" * 3000)
    shutil.copy(folder / "red.mp4", folder / "copy of red.mp4")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return Template(tmp_path_factory.mktemp("template"), films)


@pytest.fixture
def corpus(template):
    return template.corpus_anew()


@pytest.fixture
def index(tmp_path, template, corpus):
    return template.index_in(tmp_path)


def test_new_fusion_weights_need_no_file_and_give_what_a_new_index_would(tmp_path, corpus, index):
    other = recipe_file(tmp_path, change=0.1, position=0.9)
    ingest(settings(tmp_path / "anew", corpus, recipe=other))
    corpus.rename(tmp_path / "away")
    assert plan_migration(IndexLocation.parse(index), load_recipe(other)).must_decode == 0
    done = migrate(settings(index), other)
    assert done.state == "switched" and all(check.passed for check in done.checks)
    assert_equal_indexes(index, tmp_path / "anew")


def test_only_the_vector_of_the_changed_encoder_is_made_again(tmp_path, corpus, index, monkeypatch):
    before = points(index, CLIPS, vectors=True)
    other = recipe_file(tmp_path, choice="uniform:1")
    loaded: list[str] = []

    def noted(name, **more):
        loaded.append(name)
        return registry.loaded(name, **more)

    monkeypatch.setattr("transforms.encode.loaded", noted)
    done = migrate(settings(index), other)
    assert done.state == "switched"
    assert dict(done.vectors) == {"frame": "decode", "frames": "decode", "speech": "keep", "clip": "decode"}
    assert {name.partition(":")[0] for name in loaded} == {"conse"}
    after = points(index, CLIPS, vectors=True)
    assert after.keys() == before.keys()
    heard = [id_ for id_, point in after.items() if "speech" in point.vectors]
    assert heard
    assert all(after[id_].vectors["speech"].tobytes() == before[id_].vectors["speech"].tobytes() for id_ in heard)
    ingest(settings(tmp_path / "anew", corpus, recipe=other))
    assert_equal_indexes(index, tmp_path / "anew")


def test_another_cut_makes_every_clip_anew(tmp_path, corpus, index):
    other = recipe_file(tmp_path, clip=4.0)
    assert migrate(settings(index), other).state == "switched"
    ingest(settings(tmp_path / "anew", corpus, recipe=other))
    assert_equal_indexes(index, tmp_path / "anew")


def test_texts_are_encoded_again_from_what_is_stored(tmp_path, examples):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    shutil.copy(examples / "launch.mp4", corpus)
    spoken = 'name = "spoken"\n[speech]\nencoder = "faster-whisper:tiny.en"\n[text]\nencoder = "sentence-transformers:'
    first = recipe_file(tmp_path, text=spoken + 'all-MiniLM-L6-v2"\n[words]\nencoder = "bm25:english"\n')
    small = recipe_file(
        tmp_path,
        text=spoken + 'all-MiniLM-L6-v2"\nmatryoshka = true\ndimensions = 128\n[words]\nencoder = "bm25:english"\n',
    )
    index = tmp_path / "index"
    ingest(settings(index, corpus, recipe=first))
    ingest(settings(tmp_path / "anew", corpus, recipe=small))
    shutil.rmtree(corpus)
    done = migrate(settings(index), small)
    assert dict(done.vectors) == {"transcript": "from_stored", "words": "keep", "clip": "from_stored"}
    assert done.state == "switched"
    assert any(check.name == "canaries" for check in done.checks)
    assert_equal_indexes(index, tmp_path / "anew")
    with Searcher(str(index)) as searcher:
        assert searcher.search("the rocket leaves the launch pad", by="transcript", limit=1)


def test_a_recipe_that_finds_less_is_not_switched_to_unless_forced(tmp_path, examples):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    shutil.copy(examples / "launch.mp4", corpus)
    index = tmp_path / "index"
    deaf = recipe_file(tmp_path, text='name = "deaf"\n[sound]\nencoder = "mfcc:statistics"\n')
    ingest(settings(index, corpus, recipe=recipe_file(tmp_path, text=CHEAP + SPEECH)))
    more = render(corpus / "more.mp4", seconds=30)
    for number in range(12):  # so many clips that ten hits are not all of them
        shutil.copy(more, corpus / f"{number}.mp4")
    ingest(settings(index, corpus))
    before = read_schema(IndexLocation.parse(str(index)))
    refused = migrate(settings(index), deaf)
    assert refused.state == "refused"
    assert [check.name for check in refused.checks if not check.passed] == ["canaries"]
    assert read_schema(IndexLocation.parse(str(index))) == before
    forced = migrate(settings(index), deaf, force=True)
    assert (forced.state, forced.clips_written) == ("switched", 0)  # what was filled stayed


def test_the_same_recipe_is_nothing_to_do(tmp_path, index):
    assert migrate(settings(index), recipe_file(tmp_path)).state == "unchanged"
    assert spaces_of(IndexLocation.parse(index)) == ("",)


def test_rolling_back_is_one_step_and_the_next_run_makes_it_true(tmp_path, corpus, index):
    before = points(index, vectors=True)
    location = IndexLocation.parse(index)
    done_before = migrate(settings(index), recipe_file(tmp_path, position=0.9))
    render(corpus / "late.mp4", colour="yellow")
    assert ingest(settings(index, corpus)).videos_indexed == 1
    done = roll_back(location, wait=False)
    assert done.state == "rolled back"
    after = points(index, vectors=True)
    assert after.keys() == before.keys()
    assert all(after[id_].payload == before[id_].payload for id_ in before)
    again = ingest(settings(index, corpus))
    assert (again.videos_indexed, again.videos_unchanged) == (1, 4)
    assert drop_expired(location, now=datetime.now(UTC) + timedelta(days=8)) == (done_before.space,)
    assert spaces_of(location) == ("",)


def test_without_a_migration_there_is_nothing_to_go_back_to(index):
    with pytest.raises(UsageError, match="never migrated"):
        roll_back(IndexLocation.parse(index), wait=False)


def test_the_space_before_goes_when_its_time_is_over(tmp_path, index, corpus):
    location = IndexLocation.parse(index)
    migrate(settings(index), recipe_file(tmp_path, position=0.9), keep_days=7)
    assert drop_expired(location) == ()
    assert drop_expired(location, now=datetime.now(UTC) + timedelta(days=8)) == ("",)
    assert not (location.path / "live").exists()
    with pytest.raises(UsageError, match="is gone"):
        roll_back(location, wait=False)
    assert ingest(settings(index, corpus)).videos_unchanged == 4
    assert status(location).totals["clips"] == len(points(index, CLIPS))


def test_a_space_that_cannot_be_deleted_is_told(tmp_path, index, monkeypatch):
    location = IndexLocation.parse(index)
    migrate(settings(index), recipe_file(tmp_path, position=0.9))
    held = PermissionError(errno.EPERM, "Operation not permitted", "segment")
    monkeypatch.setattr(shutil, "rmtree", Mock(side_effect=held))  # root may delete anything
    with pytest.raises(StoreUnavailable, match="segment: Operation not permitted"):
        drop_expired(location, now=datetime.now(UTC) + timedelta(days=8))
    assert (location.path / "live").exists()


def test_there_and_back_again_reuses_the_folder_of_the_index(tmp_path, index, corpus):
    location = IndexLocation.parse(index)
    first = points(index, CLIPS, vectors=True)
    migrate(settings(index), recipe_file(tmp_path, position=0.9))
    migrate(settings(index), recipe_file(tmp_path))
    assert len(spaces_of(location)) == 3 and home_of(location).space.startswith("spaces/")
    assert points(index, CLIPS).keys() == first.keys()


def test_searches_all_through_a_migration_never_fail_and_never_mix(tmp_path, corpus, index):
    other = recipe_file(tmp_path, choice="uniform:1", position=0.9)
    fingerprints = {load_recipe(recipe_file(tmp_path)).fingerprint, load_recipe(other).fingerprint}
    seen: list[frozenset[str]] = []
    failures: list[BaseException] = []
    over = threading.Event()

    def search() -> None:
        with Searcher(index) as searcher:
            while not over.is_set():
                try:
                    with searcher.pinned() as space:
                        hits = searcher.search("a red wall", by="frame", limit=20)
                        held = [point.payload["recipe"] for point in space.reader.scroll(CLIPS)]
                        seen.append(frozenset(held))
                    assert len(hits) == len(held)
                except BaseException as error:
                    failures.append(error)
                    return

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert migrate(settings(index), other).state == "switched"
        until = time.monotonic() + 30
        while len(set(seen)) < 2 and time.monotonic() < until and not failures:
            time.sleep(0.05)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert all(len(recipes) == 1 for recipes in seen)
    assert set().union(*seen) == fingerprints


@pytest.mark.parametrize("choice", ["every:1s", "uniform:1"])
@pytest.mark.parametrize("call", [1, 3, 6])
def test_a_migration_that_dies_goes_on_where_it_was(tmp_path, corpus, index, monkeypatch, choice, call):
    other = recipe_file(tmp_path, choice=choice, position=0.9)
    before = points(index)
    upsert, calls = EdgeStore.upsert, []

    def dying(self, some):
        calls.append(1)
        if len(calls) == call:
            raise StoreUnavailable("the machine was switched off")
        upsert(self, some)

    with monkeypatch.context() as patched:
        patched.setattr(EdgeStore, "upsert", dying)
        patched.setattr(carry, "_GROUP_CLIPS", 2)
        patched.setattr("pipelines.filling.only_weights_change", lambda *_: False)  # see test_reweigh.py for that way
        with pytest.raises(Outage):
            migrate(settings(index), other)
    assert points(index).keys() == before.keys()
    assert migrate(settings(index), other).state == "switched"
    ingest(settings(tmp_path / "anew", corpus, recipe=other))
    assert_equal_indexes(index, tmp_path / "anew")


def test_a_fill_that_was_overtaken_by_changes_of_the_corpus_ends_true(tmp_path, corpus, index, monkeypatch):
    other = recipe_file(tmp_path, position=0.9)
    monkeypatch.setattr("pipelines.filling.switch", lambda *_: (_ for _ in ()).throw(StoreUnavailable("gone")))
    with pytest.raises(StoreUnavailable):
        migrate(settings(index), other)
    monkeypatch.undo()
    (corpus / "blue.mp4").unlink()
    render(corpus / "red.mp4", colour="white", seconds=4)
    render(corpus / "new.mp4", colour="yellow", seconds=4)
    ingest(settings(index, corpus, max_delete="100%"))
    assert migrate(settings(index), other).state == "switched"
    ingest(settings(tmp_path / "anew", corpus, recipe=other))
    assert {p.payload["uri"] for p in points(index, CLIPS).values()} == {
        p.payload["uri"] for p in points(tmp_path / "anew", CLIPS).values()
    }


def test_a_file_that_cannot_be_decoded_any_more_stops_the_switch(tmp_path, corpus, index):
    (corpus / "blue.mp4").unlink()
    done = migrate(settings(index), recipe_file(tmp_path, choice="uniform:1"))
    assert done.state == "refused"
    said = next(check.sentence for check in done.checks if check.name == "count")
    assert "blue.mp4" in said and "reelvec reindex" in said


def test_a_migration_waits_for_no_other_run_unasked(tmp_path, index):
    location = IndexLocation.parse(index)
    with writing(location, command="ingest", wait=False), pytest.raises(IndexLocked):
        migrate(settings(index), recipe_file(tmp_path, position=0.9))


def test_ingest_with_another_recipe_names_the_way_to_change_it(tmp_path, corpus, index):
    with pytest.raises(RecipeMismatch, match="reelvec migrate"):
        ingest(settings(index, corpus, recipe=recipe_file(tmp_path, position=0.9)))


def test_an_index_of_a_newer_format_is_refused_by_migrate_too(tmp_path, index):
    manifest = Path(index, "reelvec.json")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(IndexFormatError, match="newer Reelvec"):
        migrate(settings(index), recipe_file(tmp_path, position=0.9))


def test_what_has_no_clips_stays_known(tmp_path, corpus, index):
    before = {uri: entry.state for uri, entry in entries(index).items()}
    migrate(settings(index), recipe_file(tmp_path, choice="uniform:1"))
    assert {uri: entry.state for uri, entry in entries(index).items()} == before
    assert ingest(settings(index, corpus)).videos_unchanged == 4


def entries(index):
    reader = open_reader(IndexLocation.parse(str(index)))
    try:
        return read_entries(reader)
    finally:
        reader.close()
