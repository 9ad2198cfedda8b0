"""Dry runs and the checks before a run, over a real Edge index whose ledger was written without models."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.budget import taken_up
from pipelines.cli import app
from pipelines.cli_options import OK, OUTAGE, USAGE, WORK
from pipelines.estimates import Corpus, check_room_for, read_prices
from pipelines.planning import plan_run
from pipelines.run_log import past_runs, runs_path, speed_of
from pipelines.settings import IngestSettings
from transforms.content import content_of
from transforms.errors import DiskFull, Outage, UsageError
from transforms.index.ledger import write_entries
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.index.open import open_reader, open_writer, read_schema, release
from transforms.index.publish import publish
from transforms.recipe import load_recipe
from transforms.records import LedgerEntry, Reject, VideoRef, Work
from transforms.source import list_videos
from transforms.uris import path_of_uri, uri_of_path

RECIPE = load_recipe("offline")


def file_of(path: Path, number: int, *, size: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x00\x00\x00\x18ftypisom" + number.to_bytes(4, "big") * (size or 100 + number))
    return path


class Known:
    """A corpus of small files, and an index that says of each that it is committed with 8 clips of 8 s."""

    def __init__(self, folder: Path, videos: int = 4) -> None:
        self.corpus, self.index = folder / "corpus", folder / "index"
        self.location = IndexLocation.parse(str(self.index))
        self.files = [file_of(self.corpus / f"{number}.mp4", number) for number in range(videos)]
        self.write(*map(self.entry, list_videos([str(self.corpus)]).videos))

    def entry(self, video: VideoRef) -> LedgerEntry:
        content = content_of(path_of_uri(video.uri))
        return LedgerEntry(
            video.uri, video.size_bytes, video.version, "committed", content, RECIPE.fingerprint,
            live_content=content, clips=8, duration_seconds=64.0, origin=video.origin,
        )  # fmt: skip

    def write(self, *entries: LedgerEntry) -> None:
        store = open_writer(self.location, RECIPE.schema())
        write_entries(store, entries)
        publish(self.location, store, optimize=False)
        store.close()
        release(self.location)

    def entry_of(self, path: Path) -> LedgerEntry:
        (video,) = list_videos([str(path)]).videos
        return replace(self.entry(video), origin=uri_of_path(self.corpus))

    def note_run(self, **line) -> None:
        held = {"format": 1, "recipe": RECIPE.fingerprint, "seconds_embedded": 100.0, "wall_seconds": 50.0}
        with runs_path(self.location).open("a") as file:
            file.write(json.dumps({**held, "clips_written": 12, **line}) + "\n")


@pytest.fixture
def known(tmp_path):
    return Known(tmp_path)


def plan(known, *more, code=None, sources=None):
    given = ["plan", *map(str, sources or [known.corpus]), "--index", str(known.index), "--json", *map(str, more)]
    result = CliRunner().invoke(app, given)
    assert code is None or result.exit_code == code, result.output
    return json.loads(result.stdout)


def counts(report):
    names = ("new", "changed", "moved", "copied", "unchanged", "gone")
    return {name: report[name] for name in names if report[name]}


def tree(folder):
    skipped = {"opening.lock"}
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in skipped and "published" not in path.parts
    }


def test_nothing_to_do_is_exit_0(known):
    report = plan(known, code=OK)
    assert counts(report) == {"unchanged": 4} and report["must_decode"] == 0
    assert (report["estimated_seconds"], set(report["vectors"].values())) == (0.0, {0})


def test_every_kind_of_change_is_told_apart_and_nothing_is_written(known):
    a, b, c, d = known.files
    a.rename(known.corpus / "renamed.mp4")
    file_of(b, 999, size=101)  # other bytes of the same size
    shutil.copy(c, known.corpus / "copied.mp4")
    d.unlink()
    file_of(known.corpus / "new.mp4", 7, size=5000)
    before = tree(known.index)
    report = plan(known, code=WORK)
    assert counts(report) == {"new": 1, "changed": 1, "moved": 1, "copied": 1, "unchanged": 1, "gone": 1}
    assert report["must_decode"] == 2 and report["vectors"]["clip"] > 8
    assert "new bytes (1 videos); changed bytes (1 videos)" in report["why"]["frame"]
    assert tree(known.index) == before


def test_the_plan_is_that_of_the_run_to_the_letter(known):
    known.files[0].rename(known.corpus / "renamed.mp4")
    file_of(known.files[1], 999, size=101)
    settings = IngestSettings(sources=(str(known.corpus),), index=str(known.index))
    reader = open_reader(known.location)
    dry = plan_run(reader, known.location, settings)
    reader.close()
    store = open_writer(known.location, RECIPE.schema())
    wet = plan_run(store, known.location, settings)
    store.close()
    assert dry == wet and not dry.plan.empty


def test_a_plan_goes_on_beside_a_writer_and_names_it(known):
    with writing(known.location, command="ingest", wait=False):
        store = open_writer(known.location, RECIPE.schema())
        report = plan(known, code=OK)
        store.close()
    assert f"pid {os.getpid()}" in report["writer"]


def test_an_index_that_does_not_exist_is_planned_and_not_made(tmp_path):
    for number in range(3):
        file_of(tmp_path / "corpus" / f"{number}.mp4", number)
    result = CliRunner().invoke(app, ["plan", str(tmp_path / "corpus"), "-i", str(tmp_path / "index"), "--json"])
    report = json.loads(result.stdout)
    assert result.exit_code == WORK and counts(report) == {"new": 3}
    assert report["estimated_seconds"] is None and report["vectors"]["clip"] is None
    assert any("--max-videos" in note for note in report["notes"])
    assert not (tmp_path / "index").exists()


def test_rejects_that_a_run_would_try_again_are_counted_and_final_ones_too(known):
    entries = [known.entry_of(path) for path in known.files[:2]]
    rejects = [
        Reject(entry.uri, "decode", "DecoderCrashed", "no", transient=index == 0) for index, entry in enumerate(entries)
    ]
    known.write(
        *(
            replace(e, state="rejected", live_content="", clips=0, rejects=(r,))
            for e, r in zip(entries, rejects, strict=True)
        )
    )
    report = plan(known, code=WORK)
    assert (report["retried"], report["rejected"], report["unchanged"]) == (1, 1, 2)


def test_time_and_money_come_from_past_runs_of_this_recipe_and_a_price_table(known, tmp_path):
    file_of(known.corpus / "new.mp4", 7, size=103)
    report = plan(known)
    assert report["estimated_seconds"] is None and report["estimated_cost_usd"] is None
    known.note_run()
    known.note_run(recipe="another", seconds_embedded=1e9)
    with runs_path(known.location).open("a") as file:
        file.write('{"format": 1, "torn')
    prices = tmp_path / "prices.toml"
    prices.write_text("usd_per_machine_hour = 36.0\n")
    report = plan(known, "--prices", prices)
    assert report["estimated_seconds_of_video"] == pytest.approx(64.0, rel=0.05)
    assert report["estimated_seconds"] == pytest.approx(report["estimated_seconds_of_video"] / 2, abs=0.1)
    assert report["estimated_cost_usd"] == pytest.approx(report["estimated_seconds"] / 100, abs=1e-3)


@pytest.mark.parametrize(
    "text", ["usd_per_machine_hour = -1", "usd_per_machine_hour = 'dear'", "euro = 1", "usd_per_clip = 3", "= ="]
)
def test_a_price_table_that_is_none_is_refused_by_name(tmp_path, text):
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"prices\.toml"):
        read_prices(path)


def test_services_are_paid_by_the_clip(tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text('[usd_per_clip]\nopenai = 0.001\n"sentence-transformers" = 5.0\n')
    prices = read_prices(path)
    service = replace(RECIPE, text_encoder="openai:text-embedding-3-small")
    assert prices is not None
    assert prices.usd(service, service.encoders(), hours=2.0, clips=1000) == pytest.approx(1.0)
    assert prices.usd(RECIPE, RECIPE.encoders(), hours=2.0, clips=1000) == 0.0  # its own models cost machine time


def test_another_recipe_says_which_vectors_and_why_and_whether_it_decodes(known, tmp_path):
    def recipe(**fusion):
        path = tmp_path / "mine.toml"
        held = (Path(__file__).parents[1] / "transforms/recipes/offline.toml").read_text()
        path.write_text(held.replace("ocr = 0.6", f"ocr = {fusion['ocr']}").replace("every:1s", fusion["choice"]))
        return path

    report = plan(known, "--recipe", recipe(ocr=0.3, choice="every:1s"), code=WORK)
    assert report["how"]["clip"] == "from_stored" and report["must_decode"] == 0
    assert report["vectors"] == {name: 32 if name == "clip" else 0 for name in report["vectors"]}
    assert "ocr from 0.6 to 0.3" in report["why"]["clip"]
    report = plan(known, "--recipe", recipe(ocr=0.6, choice="every:2s"), code=WORK)
    assert report["must_decode"] == 4 and report["vectors"]["frames"] == 32 and report["vectors"]["transcript"] == 0


@pytest.mark.parametrize("emptied", [False, True])
def test_a_root_that_vanished_is_an_outage_and_the_cure_is_named(known, emptied):
    known.corpus.rename(known.corpus.with_name("unmounted"))
    if emptied:
        known.corpus.mkdir()
    assert counts(plan(known, "--max-delete", "100%", code=WORK)) == {"gone": 4}
    for command in ("plan", "reindex"):
        result = CliRunner().invoke(app, [command, str(known.corpus), "--index", str(known.index)])
        assert result.exit_code == OUTAGE and "--max-delete 100%" in result.stderr and "4 videos" in result.stderr
    result = CliRunner().invoke(app, ["plan", str(known.corpus.with_name("typo")), "--index", str(known.index)])
    assert result.exit_code == USAGE


def test_one_of_two_roots_that_vanished_is_enough(known, tmp_path):
    file_of(tmp_path / "other/x.mp4", 9)
    away = known.corpus.with_name("unmounted")
    known.corpus.rename(away)
    glob = f"{known.corpus}/*.mp4"
    for root in (known.corpus, glob):
        with pytest.raises(Outage, match="4 videos"):
            planned(known, tmp_path / "other", root)


def planned(known, *sources, **more):
    reader = open_reader(known.location)
    try:
        settings = IngestSettings(sources=tuple(map(str, sources)), index=str(known.index), **more)
        return plan_run(reader, known.location, settings).plan
    finally:
        reader.close()


def test_a_listing_that_fails_half_way_removes_nothing_of_that_half(tmp_path, monkeypatch):
    known = Known(tmp_path)
    below = file_of(known.corpus / "sub/x.mp4", 50)
    known.write(known.entry_of(below))
    shutil.rmtree(below.parent)
    assert [entry.uri for entry in planned(known, known.corpus).gone] == [uri_of_path(below)]
    below.parent.mkdir()
    scandir = os.scandir

    def failing(path):
        if str(path) == str(below.parent):
            raise OSError(5, "Input/output error")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    assert planned(known, known.corpus).gone == ()


def test_more_deletions_than_allowed_are_refused_as_before(tmp_path):
    known = Known(tmp_path, videos=30)
    for path in known.files[:20]:
        path.unlink()
    result = CliRunner().invoke(app, ["plan", str(known.corpus), "--index", str(known.index)])
    assert result.exit_code == USAGE and "20 of 30" in result.stderr


def test_room_is_asked_for_before_a_run_by_what_clips_took_so_far(known):
    schema = read_schema(known.location)
    ledger = {entry.uri: entry for entry in map(known.entry_of, known.files)}
    huge = [Work(VideoRef("file:///x/huge.mp4", 10**12, "1"))]
    with pytest.raises(DiskFull, match="--max-videos"):
        check_room_for(known.location, schema, ledger, huge, 1)
    small = [Work(VideoRef("file:///x/small.mp4", 1000, "1"))]
    check_room_for(known.location, schema, ledger, small, 1)
    check_room_for(known.location, schema, {}, huge, 1)  # nothing is known, so nothing is refused
    assert Corpus.of(ledger.values()).clips == 32


def test_a_budget_takes_the_first_videos_of_an_order():
    work = [
        Work(VideoRef(f"file:///{name}", size, version))
        for name, size, version in (("a", 3, "20"), ("b", 1, "30"), ("c", 2, "9"), ("d", 4, "an-etag"))
    ]

    def names(order, most=None):
        return "".join(each.video.uri[-1] for each in taken_up(work, order=order, max_videos=most))

    assert (names("newest"), names("oldest"), names("smallest"), names("listed")) == ("bacd", "dcab", "bcad", "abcd")
    assert names("newest", 2) == "ba" and names("listed", 0) == ""


def test_the_run_log_is_no_part_of_a_corpus_and_makes_no_folder_foreign(tmp_path):
    index = tmp_path / "corpus/index"
    index.mkdir(parents=True)
    (index / "runs.jsonl").write_text("")
    location = IndexLocation.parse(str(index))
    videos = list_videos([str(tmp_path / "corpus")], ignore=(runs_path(location),)).videos
    assert runs_path(location) not in [path_of_uri(video.uri) for video in videos]
    open_writer(location, RECIPE.schema()).close()
    release(location)
    assert past_runs(location, recipe="r") == [] and speed_of([]) is None
