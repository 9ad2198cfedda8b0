"""Memory and time of the rounds of a watch: one new video a round, all in one process."""

import argparse
import os
import resource
import tempfile
import threading
from pathlib import Path
from statistics import median

from corpora import render
from report import figure, finish

from pipelines.settings import IngestSettings
from pipelines.watch import watch

WARM_ROUNDS = 5  # models, their buffers and the allocator have what they want by then


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    resident, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        made = [render(Path(folder) / f"{n}.mp4", seconds=4, seed=n) for n in range(chosen.rounds)]
        settings = IngestSettings(sources=(str(corpus),), index=f"{folder}/index", command="watch")
        made[0].rename(corpus / made[0].name)
        for one in watch(settings, every_seconds=0.1, settle_seconds=0.0, rounds=chosen.rounds, stop=threading.Event()):
            assert one.summary is not None and one.summary.videos_indexed == 1, one
            resident.append(resident_megabytes())
            seconds.append(one.summary.wall_seconds)
            if not chosen.json:
                print(f"round {one.number}: {resident[-1]:.0f} MB, {seconds[-1]:.1f} s", flush=True)
            if one.number < chosen.rounds:
                made[one.number].rename(corpus / made[one.number].name)
    warm = min(WARM_ROUNDS, chosen.rounds - 1)
    figure("first round, models loaded in it", seconds[0], "s")
    figure("later rounds, median", median(seconds[1:]), "s")
    figure("later / first", median(seconds[1:]) / seconds[0], "", at_most=0.5)
    figure("memory, all but warm", resident[warm], "MB")
    figure(f"memory after {chosen.rounds} rounds", resident[-1], "MB")
    figure(
        "growth since then, per round",
        (resident[-1] - resident[warm]) / max(1, chosen.rounds - 1 - warm),
        "MB",
        at_most=2,
    )
    figure("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB")
    finish()
