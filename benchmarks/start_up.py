"""From the submission of a run to its first decoded segment: in process, and through a job endpoint with a warm pool.

Decoders are ffmpeg in processes of their own: the first one that ends below the engine has decoded the first segment.
The recipe is one whose encoder loads at once, so that this is what the engine costs; loading models comes on top.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from corpora import render
from report import figure, finish

from pipelines.ingest import ingest
from pipelines.settings import IngestSettings
from tests.job_server import job_server

RECIPE = 'name = "sounds"\n[segment]\nclip_seconds = 1.0\nsegment_seconds = 2.0\n[sound]\nencoder = "mfcc:statistics"\n'


def below(pid: int) -> set[int]:
    """The processes that descend from one."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        try:
            tasks = list(Path(f"/proc/{waiting.pop()}/task").iterdir())
            children = {int(child) for task in tasks for child in (task / "children").read_text().split()}
        except OSError:  # it ended meanwhile
            continue
        waiting += children - found
        found |= children
    return found


def decoders(pid: int) -> set[int]:
    """Those of them that are ffmpeg, not ffprobe."""
    found = set()
    for child in below(pid):
        try:
            if (Path(f"/proc/{child}/comm")).read_text().strip() == "ffmpeg":
                found.add(child)
        except OSError:
            continue
    return found


class Watch(threading.Thread):
    """Notes when the first decoder below a process has ended."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self.at = pid, 0.0

    def run(self) -> None:
        seen: set[int] = set()
        while not self.at:
            now = decoders(self._pid)
            if seen - now:
                self.at = time.perf_counter()
            seen |= now
            time.sleep(0.002)


def first_decoded_seconds(corpus: Path, index: Path, recipe: Path, options: tuple[str, ...], pid: int) -> float:
    """Seconds until the first segment of a run into a new index is decoded."""
    watch = Watch(pid)
    watch.start()
    started = time.perf_counter()
    given = {"sources": (str(corpus),), "index": str(index), "recipe": str(recipe)}
    assert ingest(IngestSettings(**given, beam_options=options)).videos_indexed == 1
    watch.join(10.0)
    assert watch.at, "no decoder was seen"
    return watch.at - started


if __name__ == "__main__":
    import os

    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if shutil.which("prism") is None:
        sys.exit("start_up: skipped: prism is not on PATH (make prism)")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        recipe = folder / "sounds.toml"
        recipe.write_text(RECIPE)
        render(folder / "corpus/film.mp4", seconds=4.0)
        with job_server(folder) as engine:
            for way, options, pid in (
                ("in process", (), os.getpid()),
                ("Prism, workers in this process", ("--runner=prism",), os.getpid()),
                ("job endpoint, warm pool", engine.options, engine.pool.pid),
            ):
                times = [
                    first_decoded_seconds(folder / "corpus", folder / f"{way[:5]} {number}", recipe, options, pid)
                    for number in range(chosen.rounds + 1)
                ]
                figure(f"{way}: submission to first segment decoded", statistics.median(times[1:]), "s")
    finish()
