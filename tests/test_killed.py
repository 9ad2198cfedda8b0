"""Killed at random moments and run again, a run ends where an undisturbed one does."""

import json
import random
import signal
import subprocess
import sys
import time

from pipelines.ingest import ingest
from pipelines.settings import IngestSettings
from tests.test_ingest import comparable, render
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.index.store import Where

KILLS = 10


def start(corpus, index, *options, stdout=subprocess.DEVNULL):
    command = [sys.executable, "-m", "pipelines.cli", "ingest", str(corpus), "--index", str(index), *options]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, text=True)


def test_ctrl_c_finishes_what_is_in_flight_and_defers_the_rest(tmp_path):
    corpus, index = tmp_path / "corpus", tmp_path / "index"
    for number in range(6):
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
    assert summary["videos_found"] == 6 and 1 <= summary["videos_deferred"] <= 6
    assert summary["videos_indexed"] + summary["videos_deferred"] == 6

    again = ingest(IngestSettings(sources=(str(corpus),), index=str(index)))
    assert (again.videos_deferred, again.videos_rejected) == (0, 0)
    assert again.videos_indexed + again.videos_unchanged == 6


def decoding(process):
    """Whether the run has come to where ffmpeg gives it pictures."""
    children = ["ps", "-ww", "-o", "args=", "--ppid", str(process.pid)]
    return "rawvideo" in subprocess.run(children, capture_output=True, text=True).stdout


def everything(index):
    reader = open_reader(IndexLocation.parse(str(index)))
    try:
        return comparable(reader.scroll(Where()))
    finally:
        reader.close()


def test_killed_ten_times_and_run_again_the_index_is_the_same(tmp_path):
    corpus, calm, killed = tmp_path / "corpus", tmp_path / "calm", tmp_path / "killed"
    colours = ["red", "blue", "green", "white", "black", "yellow", "purple", "orange"]
    for number, colour in enumerate(colours):
        render(corpus / f"{number}.mp4", colour=colour, seconds=70 if number == 3 else 3 + number)
    (corpus / "broken.mp4").write_bytes(b"\x00" * 3000)

    process = start(corpus, calm)
    began = time.monotonic()
    assert process.wait(timeout=300) == 0
    undisturbed_seconds = time.monotonic() - began

    chance = random.Random(1)
    for kill in range(KILLS):
        process = start(corpus, killed)
        try:  # the first kills fall while the run starts, the later ones ever deeper into the work
            process.wait(timeout=undisturbed_seconds * chance.uniform(0.3, 0.5 + 0.05 * kill))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()

    summary = ingest(IngestSettings(sources=(str(corpus),), index=str(killed)))
    assert (summary.videos_found, summary.videos_rejected, summary.videos_deferred) == (9, 1, 0)
    assert everything(killed) == everything(calm)
