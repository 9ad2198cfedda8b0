"""When a video became searchable is the time at which a reader found it, not that of its commit."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import pipelines.searchable as searchable
from pipelines.searchable import log_path, note_searchable, prove, prove_committed, read_log
from pipelines.status import forget, status
from pipelines.times import parse_since
from tests.test_cli import run as reelvec
from tests.test_fsck import Place, folder, place  # noqa: F401  fixtures
from tests.test_write import result, segments, write
from transforms.errors import UsageError
from transforms.index.kinds import clips_of
from transforms.index.ledger import read_entry, write_entries
from transforms.index.open import open_reader


def since(held: Place, **options):
    return {video.video for video in status(held.location, **options).videos}


def test_the_log_says_when_a_reader_first_found_each_version_and_when_it_left(folder, monkeypatch):  # noqa: F811
    monkeypatch.setattr(searchable, "now", lambda: "2030-01-01T00:00:00+00:00")
    assert note_searchable(folder.location) == [] and note_searchable(folder.location) == []
    assert {seen.at for seen in read_log(folder.location).values()} == {"2030-01-01T00:00:00+00:00"}
    assert len(log_path(folder.location).read_text().splitlines()) == 2
    monkeypatch.setattr(searchable, "now", lambda: "2030-01-02T00:00:00+00:00")
    with folder.change() as store:
        write(store, [result(segment) for segment in segments(version="2", content="B")])
    note_searchable(folder.location)
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert since(folder, since=noon) == {"/c/a"} and len(since(folder)) == 2
    monkeypatch.setattr(searchable, "now", lambda: "2030-01-03T00:00:00+00:00")
    forget(folder.location, folder.a)
    report = status(folder.location, since=noon)
    assert (report.videos, report.left) == ((), ("/c/a",))


def test_what_a_reader_does_not_find_is_not_called_searchable(place):  # noqa: F811
    with place.change() as store:
        store.set_payload({"live": False}, clips_of(place.a))
    reader = open_reader(place.location)
    entries = [read_entry(reader, uri) for uri in (place.a, place.here)]
    assert [entry.uri for entry in prove(reader, entries)] == [place.a]
    reader.close()
    assert [entry.uri for entry in prove_committed(place.location, [place.a, place.here, "file:///no"])] == [place.a]
    if place.location.kind == "edge":
        assert [entry.uri for entry in note_searchable(place.location)] == [place.a]
        assert set(read_log(place.location)) == {place.here}


def test_an_index_without_a_log_keeps_the_times_of_its_commits(folder):  # noqa: F811
    with folder.change() as store:
        entry = read_entry(store, folder.a)
        assert entry is not None
        write_entries(store, [replace(entry, searchable_since="2020-01-01T00:00:00+00:00")])
    note_searchable(folder.location, committed_before="2021-01-01T00:00:00+00:00")
    seen = read_log(folder.location)
    assert (seen[folder.a].at, seen[folder.a].proven) == ("2020-01-01T00:00:00+00:00", False)
    assert seen[folder.here].proven


def test_a_torn_line_is_left_out_and_a_long_log_is_written_anew(folder, monkeypatch):  # noqa: F811
    note_searchable(folder.location)
    with log_path(folder.location).open("a") as file:
        file.write('{"uri": "file:///c/torn", "at"')
    assert set(read_log(folder.location)) == {folder.a, folder.here}
    forget(folder.location, folder.a)
    assert read_log(folder.location)[folder.a].content == ""
    line = log_path(folder.location).read_text().splitlines()[0] + "\n"
    with log_path(folder.location).open("a") as file:
        file.write(line * 2000)
    before = read_log(folder.location)
    forget(folder.location, folder.here)
    assert len(log_path(folder.location).read_text().splitlines()) == len(before) == 2


def test_moments_are_read_as_people_write_them():
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert parse_since("1h", now=now) == now - timedelta(hours=1)
    assert parse_since("1h30m", now=now) == now - timedelta(minutes=90)
    assert parse_since("2d", now=now) == now - timedelta(days=2)
    assert parse_since("2026-11-30T06:00:00+00:00", now=now) == now - timedelta(hours=6)
    assert timedelta(0) < now - parse_since("yesterday", now=now) < timedelta(days=2)
    for wrong in ("soon", "", "5", "-1h", "2026-13-01"):
        with pytest.raises(UsageError, match="a moment is written as"):
            parse_since(wrong, now=now)


def test_the_command_lists_what_became_searchable(folder):  # noqa: F811
    index = str(folder.location.path)
    note_searchable(folder.location)
    report = json.loads(reelvec("status", "--since", "1h", "--json", "--index", index)[1])
    assert len(report["videos"]) == 2 and report["left"] == [] and report["since"]
    later = json.loads(reelvec("status", "--since", "2099-01-01", "--json", "--index", index)[1])
    assert later["videos"] == [] and later["totals"]["videos"] == 2
    code, _, err = reelvec("status", "--since", "soon", "--index", index)
    assert code == 2 and "a moment is written as" in err
