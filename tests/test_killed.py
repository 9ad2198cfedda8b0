"""Killed at random moments and run again, a run ends where an undisturbed one does."""

import json
import random
import signal
import subprocess
import sys
import time

from pipelines.ingest import ingest
from pipelines.settings import IngestSettings
from tests.chaos import cheap_recipes, make_corpus, storm
from tests.test_ingest import render

COMMANDS = ("ingest", "reindex", "recipe", "migrate")


def start(corpus, index, *options, stdout=subprocess.DEVNULL):
    command = [sys.executable, "-m", "pipelines.cli", "ingest", str(corpus), "--index", str(index), *options]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, text=True)


def test_ctrl_c_finishes_what_is_in_flight_and_defers_the_rest(tmp_path):
    corpus, index = tmp_path / "corpus", tmp_path / "index"
    for number in range(4):
        render(corpus / f"{number}.mp4", seconds=130)
    process = start(corpus, index, "--json", stdout=subprocess.PIPE)
    receipts = index / "live"
    until = time.monotonic() + 120
    while time.monotonic() < until and not decoding(process):
        time.sleep(0.05)
    assert receipts.exists() and process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    summary = json.loads(out)
    assert summary["videos_found"] == 4 and 1 <= summary["videos_deferred"] <= 4
    assert summary["videos_indexed"] + summary["videos_deferred"] == 4

    again = ingest(IngestSettings(sources=(str(corpus),), index=str(index)))
    assert (again.videos_deferred, again.videos_rejected) == (0, 0)
    assert again.videos_indexed + again.videos_unchanged == 4


def decoding(process):
    """Whether the run has come to where ffmpeg gives it pictures."""
    children = ["ps", "-ww", "-o", "args=", "--ppid", str(process.pid)]
    return "rawvideo" in subprocess.run(children, capture_output=True, text=True).stdout


def test_killed_at_any_moment_and_run_again_the_index_is_the_same(tmp_path):
    """The short form of `make chaos`: every command that writes is killed, and the corpus changes in between."""
    corpus = tmp_path / "corpus"
    make_corpus(corpus)
    rows, equal = storm(
        corpus,
        str(tmp_path / "index"),
        str(tmp_path / "calm"),
        commands=COMMANDS,
        recipes=cheap_recipes(tmp_path),
        kills=2 * len(COMMANDS),
        chance=random.Random(1),
    )
    assert equal, rows
    assert any(row.doing != "ended before" for row in rows), rows
