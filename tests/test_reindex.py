"""`reelvec reindex`: budgets, the line at its end, and what a run leaves in the run log."""

import json
import os
import shutil
import time

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.cli_options import LOCKED, OK, OUTAGE, USAGE
from pipelines.run_log import runs_path
from tests.test_ingest import Box, render
from transforms import interrupt, progress
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.records import VideoRef, Work
from transforms.segment import SegmentVideos, segment_video
from transforms.segment_settings import SegmentSettings
from transforms.uris import uri_of_path


@pytest.fixture
def box(tmp_path):
    made = Box(tmp_path)
    made.corpus.mkdir()
    return made


def reindex(box, *more, command="reindex"):
    return CliRunner().invoke(app, [command, str(box.corpus), "--index", str(box.index), *map(str, more)])


def runs(box):
    return [json.loads(line) for line in runs_path(box.location).read_text().splitlines()]


def test_a_budget_defers_the_rest_and_later_runs_take_it_up_newest_first(box):
    for age, (name, colour) in enumerate((("new", "red"), ("older", "blue"), ("oldest", "green"))):
        path = render(box.corpus / f"{name}.mp4", colour=colour, sound=False)
        os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))
    shutil.copy(box.corpus / "oldest.mp4", box.corpus / "copy.mp4")
    os.utime(box.corpus / "copy.mp4", (1, 1))
    first = reindex(box, "--max-videos", 1, "--json")
    summary = json.loads(first.stdout)
    assert first.exit_code == OK and (summary["videos_indexed"], summary["videos_deferred"]) == (1, 3)
    assert list(box.videos()) == ["new.mp4"]
    last_line = first.stderr.splitlines()[-1]
    assert last_line.startswith("reelvec: reindex ok: 1 indexed, 3 deferred in ")
    over = reindex(box, "--max-hours", 1e-9, "--json")  # its time is over before a segment could begin
    assert over.exit_code == OK and json.loads(over.stdout)["videos_deferred"] == 3
    rest = json.loads(reindex(box, "--json").stdout)
    assert (rest["videos_indexed"], rest["videos_copied"], rest["videos_deferred"]) == (3, 1, 0)
    assert reindex(box, command="plan").exit_code == OK
    noted = runs(box)
    assert [run["outcome"] for run in noted] == ["ok"] * 3
    assert [run["seconds_embedded"] for run in noted] == [2.0, 0.0, 4.0]
    assert noted[0]["command"] == "reindex" and noted[0]["videos_deferred"] == 3 and noted[0]["host"]


def test_segments_in_flight_are_finished_when_the_time_is_over(box):
    for colour in ("red", "blue", "green"):
        render(box.corpus / f"{colour}.mp4", colour=colour, sound=False)

    class Hurried(progress.Silent):
        def segment_done(self, seconds, clips):
            interrupt.end_in_time()

    from pipelines.ingest import ingest
    from pipelines.settings import IngestSettings

    settings = {"sources": (str(box.corpus),), "index": str(box.index), "command": "reindex", "prefetch": 1}
    summary = ingest(IngestSettings(**settings, beam_options=("--direct_num_workers=1",)), listen=Hurried())
    assert not summary.interrupted and summary.videos_indexed + summary.videos_deferred == 3
    assert summary.videos_indexed == len(box.videos()) >= 1


def test_every_failure_ends_with_one_line_that_says_which_run_and_why(box, tmp_path):
    assert not box.index.exists()
    gone = CliRunner().invoke(app, ["reindex", str(tmp_path / "typo"), "--index", str(box.index)])
    assert gone.exit_code == USAGE and "reelvec: reindex refused after" in gone.stderr.splitlines()[-1]
    assert not box.index.exists()  # nothing is noted of an index that does not exist
    render(box.corpus / "a.mp4", sound=False)
    full = CliRunner(env={"REELVEC_MIN_FREE_MEGABYTES": str(10**9)}).invoke(
        app, ["reindex", str(box.corpus), "--index", str(box.index)]
    )
    assert full.exit_code == OUTAGE and "reindex outage after" in full.stderr and "MB are free" in full.stderr
    with writing(IndexLocation.parse(str(box.index)), command="ingest", wait=False):
        locked = reindex(box)
    assert locked.exit_code == LOCKED and "reindex refused after" in locked.stderr.splitlines()[-1]


@pytest.mark.parametrize("bad", [("--order", "fastest"), ("--max-hours", "0"), ("--max-videos", "-1")])
def test_a_budget_that_is_none_is_refused_by_name(box, bad):
    result = reindex(box, *bad)
    assert result.exit_code == USAGE and bad[0] in result.stderr


def test_a_file_that_is_replaced_while_it_is_read_is_left_to_the_next_run(box):
    """The listing saw other bytes: neither a segment nor a reject comes of it, whichever way the clock went."""
    path = render(box.corpus / "a.mp4", sound=False)
    found = path.stat()
    listed = Work(VideoRef(uri_of_path(path), found.st_size, str(found.st_mtime_ns)))
    assert segment_video(listed, SegmentSettings())
    cut = SegmentVideos(SegmentSettings())
    from transforms.segment import _SegmentVideos

    for seconds in (time.time() + 10**9, 10**9):
        os.utime(path, (seconds, seconds))
        assert list(_SegmentVideos(cut.settings).process(listed)) == []
