"""A watch: rounds that follow the folder, files that still grow, failures that pass, signals that end it in order."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.settings import IngestSettings
from pipelines.settling import Settling
from pipelines.status import forget
from pipelines.watch import GAP_SECONDS, LONGEST_PAUSE_SECONDS, pause_seconds, watch
from tests.test_ingest import Box, render
from transforms import interrupt
from transforms.encoders import registry
from transforms.errors import IndexLocked, Outage, UsageError
from transforms.index.lock import holder, writing
from transforms.plan import leave, plan_work
from transforms.records import LedgerEntry, VideoRef

HERE = Path(__file__).parents[1]
NO_TIME = 0.01


@pytest.fixture
def box(tmp_path):
    made = Box(tmp_path)
    made.corpus.mkdir()
    return made


def rounds_of(box, count, **options):
    settings = IngestSettings(sources=(str(box.corpus),), index=str(box.index), command="watch")
    options = {"every_seconds": NO_TIME, "settle_seconds": 0.0, "stop": threading.Event(), **options}
    return watch(settings, rounds=count, **options)


def test_each_round_takes_up_what_is_new_and_loads_no_model_again(box, monkeypatch):
    loads = []
    really_load = registry._load

    def counted(*given):
        loads.append(given)
        return really_load(*given)

    monkeypatch.setattr(registry, "_load", counted)
    rounds = rounds_of(box, 4)
    assert next(rounds).summary.videos_found == 0
    render(box.corpus / "a.mp4", colour="red")
    assert next(rounds).summary.videos_indexed == 1
    loaded_first = len(loads)
    render(box.corpus / "b.mp4", colour="blue")
    (second,) = [one.summary for one in rounds if one.summary.videos_indexed]
    assert (second.videos_indexed, second.videos_unchanged) == (1, 1)
    assert len(loads) == loaded_first
    assert {point.payload["uri"].rsplit("/", 1)[1] for point in box.points()} == {"a.mp4", "b.mp4"}


def test_a_file_that_is_being_copied_is_left_alone_until_it_rests(box, tmp_path):
    whole = render(tmp_path / "whole.mp4", seconds=4).read_bytes()
    target = box.corpus / "copied.mp4"
    done = threading.Event()

    def copy_slowly():
        with target.open("wb") as file:
            for start in range(0, len(whole), len(whole) // 12):
                file.write(whole[start : start + len(whole) // 12])
                file.flush()
                time.sleep(0.25)
        done.set()

    thread = threading.Thread(target=copy_slowly)
    thread.start()
    seen = []
    for one in rounds_of(box, 200, every_seconds=0.2, settle_seconds=1.0):
        seen.append((done.is_set(), one.growing, one.summary))
        assert one.summary.videos_rejected == 0
        if one.summary.videos_indexed:
            break
    thread.join()
    assert any(growing == 1 and summary.videos_deferred == 1 for _, growing, summary in seen[:-1])
    assert seen[-1][0] and seen[-1][2].videos_indexed == 1


def test_a_moved_file_keeps_its_vectors_while_another_grows(box):
    video = render(box.corpus / "a.mp4", colour="red")
    next(rounds_of(box, 1))
    video.rename(box.corpus / "b.mp4")
    render(box.corpus / "new.mp4", colour="blue")
    (one,) = rounds_of(box, 1, settle_seconds=3600.0)
    # b.mp4 is as old as a.mp4 was, which is too young for an hour of rest: it waits, and its vectors with it
    assert (one.growing, one.summary.videos_deferred, one.summary.videos_removed) == (2, 2, 0)
    os.utime(box.corpus / "b.mp4", (0, 0))
    (one,) = rounds_of(box, 1, settle_seconds=3600.0)
    assert (one.summary.videos_moved, one.summary.videos_deferred, one.growing) == (1, 1, 1)


def video(name="file:///c/a.mp4", size=10, age_seconds=0.0):
    return VideoRef(name, size, str(int((time.time() - age_seconds) * 1e9)))


def test_a_file_rests_when_its_time_stamp_is_old_enough():
    settling = Settling(5.0)
    old, young = video("file:///c/old.mp4", age_seconds=60), video("file:///c/young.mp4", age_seconds=1)
    assert settling.growing([old, young], {}) == {young.uri}
    assert settling.growing_count == 1


def test_a_file_that_changed_since_the_last_look_waits_for_another_look():
    settling = Settling(0.5)
    settling.growing([video(size=10, age_seconds=60)], {})
    stalled = video(size=20, age_seconds=30)
    assert settling.growing([stalled], {}) == {stalled.uri}
    assert not settling.growing([stalled], {})


def test_a_time_stamp_of_the_future_does_not_keep_a_file_out():
    settling, ahead = Settling(0.2), video(age_seconds=-3600)
    assert settling.growing([ahead], {}) == {ahead.uri}
    time.sleep(0.25)
    assert not settling.growing([ahead], {})


def test_what_the_ledger_knows_and_what_lies_in_a_bucket_never_waits():
    known, bucket = video(), VideoRef("s3://bucket/a.mp4", 10, "etag")
    entry = LedgerEntry(known.uri, known.size_bytes, known.version, state="live")
    assert not Settling(5.0).growing([known, bucket], {known.uri: entry})
    assert not Settling(0.0).growing([known], {})


def test_what_may_have_been_moved_to_a_growing_file_is_not_gone():
    entries = {
        uri: LedgerEntry(uri, size, "1", state="live", content=uri, live_content=uri, clips=1, origin="file:///c")
        for uri, size in (("file:///c/same.mp4", 10), ("file:///c/other.mp4", 11))
    }
    new = video("file:///c/new.mp4", size=10)
    plan = plan_work([new], entries, hash_content=lambda video: "", covered=lambda uri, origin: True)
    left = leave(plan, {new.uri})
    assert not left.to_embed and left.growing == (new,)
    assert [entry.uri for entry in left.gone] == ["file:///c/other.mp4"]


def test_a_failed_round_is_told_and_the_next_one_tries_again(box):
    render(box.corpus / "a.mp4")
    rounds = rounds_of(box, 10)
    assert next(rounds).summary.videos_indexed == 1
    away = box.corpus.with_name("unmounted")
    box.corpus.rename(away)
    first, second = next(rounds), next(rounds)
    assert isinstance(first.error, Outage) and "mounted" in str(second.error)
    assert second.pause_seconds >= 2 * NO_TIME
    away.rename(box.corpus)
    back = next(rounds)
    assert back.error is None and back.summary.videos_unchanged == 1 and len(box.points()) == 1


def test_wrong_usage_ends_a_watch_before_its_first_round_only(box):
    box.corpus.rmdir()
    with pytest.raises(UsageError, match="nothing to read"):
        next(rounds_of(box, 2))


def test_a_watch_ends_after_so_many_failures_in_a_row(box):
    rounds = rounds_of(box, None, max_failures=2)
    next(rounds)
    box.corpus.rmdir()
    assert [bool(one.error) for one in rounds] == [True, True]


def test_the_index_is_free_between_rounds_and_a_round_that_finds_it_taken_comes_again(box):
    video = render(box.corpus / "a.mp4")
    rounds = rounds_of(box, 3)
    next(rounds)
    assert holder(box.location) is None
    assert forget(box.location, str(video)) == 1
    with writing(box.location, command="another", wait=False):
        taken = next(rounds)
    assert taken.locked and isinstance(taken.error, IndexLocked) and taken.pause_seconds <= max(GAP_SECONDS, NO_TIME)
    assert next(rounds).error is None


def test_the_interval_counts_from_start_to_start():
    assert pause_seconds(60, spent_seconds=20, failures=0, more=False) == 40
    assert pause_seconds(60, spent_seconds=70, failures=0, more=False) == GAP_SECONDS
    assert pause_seconds(60, spent_seconds=20, failures=0, more=True) == GAP_SECONDS


def test_pauses_after_failures_double_and_have_a_limit_and_some_chance():
    pauses = [pause_seconds(60, spent_seconds=0, failures=number, more=False) for number in range(1, 2000)]
    for number, pause in enumerate(pauses):
        usual = min(LONGEST_PAUSE_SECONDS, 60 * 2.0 ** min(number, 40))
        assert usual <= pause <= 1.5 * usual
    assert len(set(pauses[10:])) > 1
    assert pause_seconds(7200, spent_seconds=0, failures=9, more=False) >= 7200


def test_a_request_for_good_outlasts_the_start_of_a_run():
    try:
        interrupt.request()
        interrupt.reset()
        assert not interrupt.requested()
        interrupt.request(for_good=True)
        interrupt.reset()
        assert interrupt.requested()
    finally:
        interrupt.reset(for_good=True)
    assert not interrupt.requested()


@pytest.mark.skipif("max_videos" not in IngestSettings.model_fields, reason="this version's runs have no budget")
def test_a_round_takes_up_no_more_than_its_budget_and_the_next_follows_at_once(box):
    for number, colour in enumerate(("red", "blue", "green")):
        render(box.corpus / f"{number}.mp4", colour=colour)
    budget = {"max_videos": 2}
    settings = IngestSettings(sources=(str(box.corpus),), index=str(box.index), **budget)
    rounds = watch(settings, every_seconds=3600, stop=threading.Event(), settle_seconds=0.0, rounds=2)
    first = next(rounds)
    assert (first.summary.videos_indexed, first.pause_seconds) == (2, GAP_SECONDS)
    assert next(rounds).summary.videos_indexed == 1


def run(*args):
    result = CliRunner().invoke(app, ["watch", *map(str, args)])
    return result.exit_code, result.stdout, result.stderr


def test_idle_rounds_print_nothing_unless_they_are_asked_to(box):
    render(box.corpus / "a.mp4")
    (box.corpus / "broken.mp4").write_bytes(b"\x00" * 3000)
    common = (box.corpus, "--index", box.index, "--every", "10ms", "--settle", "0", "--rounds", "3")
    code, out, err = run(*common)
    assert code == 0 and len(out.splitlines()) == 1 and "round 1: 1 indexed, 1 rejected" in out
    assert "after 3 rounds, 0 of them failed" in err
    assert len(run(*common, "--verbose")[1].splitlines()) == 3
    code, out, _ = run(*common, "--json")
    summaries = [json.loads(line) for line in out.splitlines()]
    assert (code, len(summaries)) == (0, 3)
    assert all(
        (one["videos_unchanged"], one["videos_rejected"], one["clips_written"]) == (1, 1, 0) for one in summaries
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--every", "0"), "--every"),
        (("--every", "soon"), "soon"),
        (("--rounds", "0"), "--rounds"),
        (("--settle", "-1s"), "-1s"),
        (("--max-delete", "some"), "--max-delete"),
        (("--recipe", "no-such-recipe"), "no-such-recipe"),
    ],
)
def test_wrong_options_are_wrong_usage(box, options, told):
    render(box.corpus / "a.mp4")
    code, out, err = run(box.corpus, "--index", box.index, "--rounds", "1", *options)
    assert (code, out) == (2, "") and told in err


def test_nothing_to_watch_and_a_missing_folder_are_wrong_usage(tmp_path):
    assert run("--index", tmp_path / "index")[0] == 2
    assert run(tmp_path / "missing", "--index", tmp_path / "index")[0] == 2


def test_a_last_round_that_found_the_index_taken_exits_with_4(box):
    with writing(box.location, command="another", wait=False):
        code, out, err = run(box.corpus, "--index", box.index, "--rounds", "1")
    assert (code, out) == (4, "") and "another" in err


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_between_rounds_ends_the_watch(box, number, expected):
    process = started(box, "--every", "1h", "--json")
    assert json.loads(process.stdout.readline())["videos_found"] == 0
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == expected and "after 1 rounds" in err


def test_sigterm_in_a_round_finishes_what_is_in_flight_and_publishes_it(box):
    for number in range(4):
        render(box.corpus / f"{number}.mp4", seconds=70)
    process = started(box, "--every", "1h", "--json", "--settle", "0")
    until = time.monotonic() + 200
    while time.monotonic() < until and not decoding(process):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    summary = json.loads(out.splitlines()[-1])
    assert summary["interrupted"] and summary["videos_indexed"] + summary["videos_deferred"] == 4
    assert len({point.payload["uri"] for point in box.points()}) == summary["videos_indexed"]


def started(box, *options):
    command = [sys.executable, "-m", "pipelines.cli", "watch", str(box.corpus), "--index", str(box.index), *options]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def decoding(process):
    children = ["ps", "-ww", "-o", "args=", "--ppid", str(process.pid)]
    return "rawvideo" in subprocess.run(children, capture_output=True, text=True).stdout
