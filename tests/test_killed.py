"""Killed at random moments and run again, a run ends where an undisturbed one does."""

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


def start(corpus, index):
    command = [sys.executable, "-m", "pipelines.cli", "ingest", str(corpus), "--index", str(index)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


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
