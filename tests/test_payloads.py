"""Payloads have a revision of their own: a newer one is rewritten where it lies, and no vector with it."""

import json
import uuid
from dataclasses import replace
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from pipelines.archive import check, import_archive
from pipelines.cli import app
from pipelines.cli_options import OK, OUTAGE, WORK
from pipelines.fsck.run import fsck
from pipelines.ingest import ingest
from pipelines.migrate import migrate
from tests.cheap_index import CLIPS, points, recipe_file, settings
from tests.test_ingest import render
from tests.test_write import LIVE, SCHEMA, result, segments
from transforms.errors import IndexFormatError, Outage
from transforms.index import payloads
from transforms.index.ledger import entry_of, entry_payload, read_entries, read_entry
from transforms.index.location import IndexLocation
from transforms.index.manifest import manifest_of, redirect_of, schema_of
from transforms.index.open import open_reader, open_writer, read_schema
from transforms.index.spaces import home_of
from transforms.index.store import Equals, Where
from transforms.records import LedgerEntry, SegmentResult
from transforms.write import upgrade
from transforms.write.commit import write_results
from transforms.write.upgrade import upgrade_payloads

SOUND = 'name = "sound"\n[segment]\nclip_seconds = 2.0\n[sound]\nencoder = "mfcc:statistics"\n'
WHOLES = Where((Equals("kind", "whole"),))


def longer(payload, entry):
    """A step as a later Reelvec may have it: a field more, one fewer, and what only the ledger knows."""
    kept = {name: value for name, value in payload.items() if name != "partial"}
    return {**kept, "lasts_seconds": payload["end_seconds"] - payload["start_seconds"], "bytes": entry.size_bytes}


@pytest.fixture
def store(tmp_path):
    opened = open_writer(IndexLocation.parse(str(tmp_path / "i")), SCHEMA)
    yield opened
    opened.close()


@pytest.fixture
def corpus(tmp_path):
    render(tmp_path / "corpus" / "red.mp4", seconds=4)
    return tmp_path / "corpus"


def call(*args):
    return CliRunner().invoke(app, list(map(str, args)))


def bits(held):
    return {id_: {name: v.tobytes() for name, v in point.vectors.items()} for id_, point in held.items()}


def test_payloads_alone_are_rewritten_once_and_the_archive_follows(tmp_path, corpus, monkeypatch):
    index, archive = tmp_path / "index", tmp_path / "archive"
    location = IndexLocation.parse(str(index))
    ingest(settings(index, corpus, recipe=recipe_file(tmp_path, text=SOUND), archive=archive))
    before, described = points(index, vectors=True), (index / "reelvec.json").read_text()
    assert "payloads" not in described and call("plan", corpus, "--index", index).exit_code == OK
    monkeypatch.setitem(payloads.STEPS, 2, longer)

    planned = call("plan", corpus, "--index", index, "--json")
    report = json.loads(planned.stdout)
    assert planned.exit_code == WORK and (report["payloads"], report["must_decode"]) == (2, 0)
    assert set(report["vectors"].values()) == {0} and report["unchanged"] == 1
    assert "payloads of 2 clips to rewrite, no vectors" in call("plan", corpus, "--index", index).stdout

    with monkeypatch.context() as dying:  # killed between the points and the ledger that vouches for them
        dying.setattr(upgrade, "write_entries", Mock(side_effect=Outage("the disk is gone")))
        assert call("reindex", corpus, "--index", index).exit_code == OUTAGE
    assert {id_: point.payload for id_, point in points(index).items()} == {i: p.payload for i, p in before.items()}
    assert json.loads(call("plan", corpus, "--index", index, "--json").stdout)["payloads"] == 2

    done = call("reindex", corpus, "--index", index, "--archive", archive, "--json")
    summary = json.loads(done.stdout)
    assert done.exit_code == OK and (summary["payloads_rewritten"], summary["clips_written"]) == (2, 0)
    after = points(index, vectors=True)
    assert bits(after) == bits(before)
    for id_, point in points(index, CLIPS).items():
        entry = read_ledger(location)[point.payload["uri"]]
        assert entry.payloads == 2
        assert point.payload == {**longer(before[id_].payload, entry), payloads.MARK: 2}
    assert {i: p.payload for i, p in points(index, WHOLES).items()} == {
        i: p.payload for i, p in before.items() if p.payload["kind"] == "whole"
    }
    assert call("plan", corpus, "--index", index).exit_code == OK
    assert json.loads(call("reindex", corpus, "--index", index, "--json").stdout)["payloads_rewritten"] == 0
    assert not fsck(location).problems and not check(archive, location)
    restored = IndexLocation.parse(str(tmp_path / "restored"))
    import_archive(archive, restored, wait=False)
    assert {i: p.payload for i, p in points(tmp_path / "restored", CLIPS).items()} == {
        i: p.payload for i, p in points(index, CLIPS).items()
    }

    monkeypatch.delitem(payloads.STEPS, 2)  # the Reelvec of before comes back
    for read in (lambda: read_schema(location), lambda: open_reader(location), lambda: check(archive, None)):
        with pytest.raises(IndexFormatError, match=r"newer revision.*use a newer Reelvec"):
            read()


def test_a_change_of_recipe_brings_payloads_up_to_date_in_the_space_that_is_switched_to(tmp_path, corpus, monkeypatch):
    index = tmp_path / "index"
    ingest(settings(index, corpus, recipe=recipe_file(tmp_path, text=SOUND)))
    monkeypatch.setitem(payloads.STEPS, 2, longer)
    done = migrate(settings(index), recipe_file(tmp_path, text=SOUND + "[fusion]\nposition = 0.7\n"))
    assert done.state == "switched"
    held = points(index, CLIPS).values()
    assert held and all(point.payload["bytes"] and point.payload[payloads.MARK] == 2 for point in held)
    assert read_schema(IndexLocation.parse(str(index))).payloads == 2
    assert json.loads((index / "reelvec.json").read_text())["format"] == 3
    assert call("plan", corpus, "--index", index).exit_code == OK


def read_ledger(location):
    reader = open_reader(location)
    try:
        return read_entries(reader)
    finally:
        reader.close()


def marked(one, number):
    """What a Reelvec of a later revision writes of a segment."""
    newer = [replace(point, payload={**point.payload, payloads.MARK: number}) for point in one.points]
    return SegmentResult(one.segment, "ok", newer)


def test_a_video_that_two_revisions_of_reelvec_wrote_is_brought_up_to_the_newer(store, monkeypatch):
    first, second, third = segments()
    write_results(store, [result(first)], "r1")
    monkeypatch.setitem(payloads.STEPS, 2, lambda payload, entry: {**payload, "times": payload.get("times", 0) + 1})
    write_results(store, [marked(result(one), 2) for one in (second, third)], "r1")
    entry = read_entry(store, first.video.uri)
    assert entry is not None and entry.payloads == 1 and payloads.is_outdated(entry)
    assert upgrade_payloads(store, [entry]) == {entry.uri: 6}
    assert read_entry(store, entry.uri).payloads == 2
    assert sorted(point.payload.get("times", 0) for point in store.scroll(LIVE)) == [0, 0, 0, 0, 1, 1]
    assert upgrade_payloads(store, read_entries(store).values()) == {}
    fresh = segments("b")
    write_results(store, [marked(result(one), 2) for one in fresh], "r1")
    assert read_entry(store, fresh[0].video.uri).payloads == 2


def test_steps_are_taken_one_after_the_other_and_none_twice(store, monkeypatch):
    write_results(store, list(map(result, segments(count=1))), "r1")
    monkeypatch.setitem(payloads.STEPS, 2, lambda payload, _: {**payload, "steps": "2"})
    upgrade_payloads(store, read_entries(store).values())
    monkeypatch.setitem(payloads.STEPS, 3, lambda payload, _: {**payload, "steps": payload["steps"] + "3"})
    upgrade_payloads(store, read_entries(store).values())
    assert {point.payload["steps"] for point in store.scroll(LIVE)} == {"23"}


def test_a_step_that_would_lose_its_clip_is_refused(store, monkeypatch):
    write_results(store, list(map(result, segments(count=1))), "r1")
    monkeypatch.setitem(payloads.STEPS, 2, lambda payload, _: {**payload, "uri": "file:///elsewhere"})
    with pytest.raises(ValueError, match="found by: uri"):
        upgrade_payloads(store, read_entries(store).values())
    assert {entry.payloads for entry in read_entries(store).values()} == {1}


def test_what_was_made_before_payloads_had_revisions_reads_as_it_was_and_is_written_as_it_was():
    entry = LedgerEntry("file:///a.mp4", 1, "1", "committed")
    assert "payloads" not in entry_payload(entry) and entry_of(entry_payload(entry)) == entry
    newer = replace(entry, payloads=2)
    assert entry_of(entry_payload(newer)) == newer
    manifest = json.loads(json.dumps(manifest_of(SCHEMA)))
    assert manifest["format"] == 1 and "payloads" not in manifest and "payloads" not in manifest["schema"]
    assert redirect_of(manifest, "spaces/x")["format"] == 2 and schema_of(manifest, shown="i") == SCHEMA


def test_payloads_of_a_later_revision_keep_a_reelvec_of_before_from_an_index_and_all_its_spaces(tmp_path, monkeypatch):
    location = IndexLocation.parse(str(tmp_path / "i"))
    open_writer(location, SCHEMA).close()
    monkeypatch.setitem(payloads.STEPS, 2, longer)
    open_writer(location, SCHEMA).close()  # as the index says of itself: nothing newer is written
    assert read_schema(location).payloads == 1
    later = replace(SCHEMA, payloads=2)
    space = location.at("spaces/r1")
    open_writer(space, SCHEMA).close()
    (location.path / "reelvec.json").write_text(json.dumps(redirect_of(manifest_of(SCHEMA), "spaces/r1")))
    open_writer(location, later).close()
    assert home_of(location).space == "spaces/r1" and read_schema(location) == later
    for folder in (location.path, space.path):
        held = json.loads((folder / "reelvec.json").read_text())
        assert (held["format"], held["payloads"]) == (3, 2)
    monkeypatch.delitem(payloads.STEPS, 2)
    with pytest.raises(IndexFormatError, match=r"payloads=2.*use a newer Reelvec"):
        open_writer(location, SCHEMA)


def test_a_servers_collection_says_so_too_and_its_payloads_are_replaced(qdrant_url, monkeypatch):
    location = IndexLocation.parse(f"{qdrant_url}/payloads-{uuid.uuid4().hex[:12]}")
    old = open_writer(location, SCHEMA)
    try:
        write_results(old, list(map(result, segments(count=1))), "r1")
        before = {point.id: point.vectors["frame"].tobytes() for point in old.scroll(LIVE, vectors=True)}
        monkeypatch.setitem(payloads.STEPS, 2, lambda payload, _: {**payload, "later": True})
        store = open_writer(location, replace(SCHEMA, payloads=2))
        upgrade_payloads(store, read_entries(store).values())
        held = list(store.scroll(LIVE, vectors=True))
        assert {point.id: point.vectors["frame"].tobytes() for point in held} == before
        assert all(point.payload["later"] for point in held) and read_schema(location).payloads == 2
        store.close()
        monkeypatch.delitem(payloads.STEPS, 2)
        with pytest.raises(IndexFormatError, match="use a newer Reelvec"):
            open_reader(location)
    finally:
        old._client.delete_collection(old.collection)
        old.close()
