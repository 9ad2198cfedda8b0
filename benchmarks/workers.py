"""Two worker processes against one, each with a core of its own, on decode-bound work, into a Qdrant server.

One long video, which is cut into segments, and many short ones; both have to keep two workers busy, and so has one long
video beside many short ones. Pictures are decoded to find shots, and only the sound is encoded, which costs next to
nothing. A run over a few seconds of film tells what starting costs; it is taken off. Needs REELVEC_TEST_QDRANT_URL and
two idle cores. With --server-pid the server is held to the cores of the workers; without it the one worker, but not the
two, leaves it a core of its own. Processor times say more than the clock where other work runs beside.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpora import lengthened, render
from report import figure, finish

RECIPE = 'name = "sounds"\n[segment]\nkind = "shots"\nsegment_seconds = 20.0\n[sound]\nencoder = "mfcc:statistics"\n'


_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Took:
    """What one run took: by the clock, and of the processor, its server too; the workers' with the ffmpegs they ran."""

    seconds: float
    workers_seconds: tuple[float, ...]  # rising
    busy: tuple[float, ...]  # for each worker, the share of the time of work in which it had something to run
    server_seconds: float = 0.0


def cores(workers: int) -> set[int]:
    """As many of this process's cores as there are workers."""
    return set(sorted(os.sched_getaffinity(0))[:workers])


def ingested(corpus: str, index: str, recipe: str, workers: int) -> None:
    """Ingest by so many worker processes, which have as many cores, and print the seconds that it took."""
    os.sched_setaffinity(0, cores(workers))
    from pipelines.ingest import ingest
    from pipelines.settings import IngestSettings

    options = (f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing")
    given = {"sources": (corpus,), "index": index, "recipe": recipe, "prefetch": 1, "max_delete": "100%"}
    started = time.perf_counter()
    summary = ingest(IngestSettings(**given, beam_options=options))
    assert summary.videos_indexed and not summary.videos_rejected, summary
    print(time.perf_counter() - started)


def processor_seconds(pid: int) -> float:
    """Of a process and of those that it ran and waited for; 0.0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def workers_of(pid: int) -> list[int]:
    """The worker processes that a run has started."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if "sdk_worker_main" in (place / "cmdline").read_text() and pid in (parent, _parent(parent)):
                found.append(int(place.name))
        except OSError:
            continue
    return found


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Watched:
    """What the workers of a run do, looked at twenty times a second.

    A worker is busy while one of its threads, or one of the ffmpegs that it started, runs, could run if there were a
    processor for it, or waits for the disk: so other work on the same cores makes no worker idle.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.spent: dict[int, float] = {}
        self._looks: list[tuple[bool, frozenset[int]]] = []  # whether anything is decoded, which workers are busy

    def watch(self, over: threading.Event) -> None:
        """Look until it is over."""
        workers: list[int] = []
        for number in itertools.count():
            if over.wait(0.05):
                return
            if number % 20 == 0:
                workers = workers_of(self._pid)
            decoding, busy = False, set()
            for worker in workers:
                self.spent[worker] = max(self.spent.get(worker, 0.0), processor_seconds(worker))
                states, started = _states(worker)
                decoding = decoding or started
                if states & set("RD"):
                    busy.add(worker)
            self._looks.append((decoding, frozenset(busy)))

    def shares(self, workers: Sequence[int]) -> tuple[float, ...]:
        """How busy these workers were from the first file that was decoded, by any of them, to the last one."""
        at = [place for place, (decoding, _) in enumerate(self._looks) if decoding]
        looks = self._looks[at[0] : at[-1] + 1] if at else []
        return tuple(sum(worker in busy for _, busy in looks) / max(1, len(looks)) for worker in workers)


def _states(pid: int) -> tuple[set[str], bool]:
    """The states of a process's threads and of what it started; and whether it started anything."""
    states, started = set(), False
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            states.add((thread / "stat").read_text().rpartition(")")[2].split()[0])
            for child in (thread / "children").read_text().split():
                started = True
                states |= _states(int(child))[0]
    except OSError:
        pass  # it has ended meanwhile
    return states, started


def run_of(corpus: Path, recipe: Path, workers: int, url: str, server_pid: int | None) -> Took:
    """One run into a new index, in a process of its own."""
    from qdrant_client import QdrantClient

    name = f"bench-{uuid.uuid4().hex[:8]}"
    command = [sys.executable, __file__, "--child", str(corpus), f"{url}/{name}", str(recipe), str(workers)]
    if server_pid is not None:
        for thread in Path(f"/proc/{server_pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores(workers))
    server_before = processor_seconds(server_pid or 0)
    over = threading.Event()

    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=recipe.parent)
        watched = Watched(child.pid)
        watching = threading.Thread(target=watched.watch, args=(over,))
        watching.start()
        out, errors = child.communicate()
        over.set()
        watching.join()
        if child.returncode:
            raise SystemExit(errors[-2000:])
        chosen = sorted(watched.spent, key=lambda worker: watched.spent[worker])[-workers:]
        spent = tuple(watched.spent[worker] for worker in chosen)
        server_seconds = processor_seconds(server_pid or 0) - server_before
        return Took(float(out.split()[-1]), spent, watched.shares(chosen), server_seconds)
    finally:
        client = QdrantClient(url)
        for collection in client.get_collections().collections:
            if collection.name.startswith(f"{name}--"):
                client.delete_collection(collection.name)


def corpora(folder: Path, *, seconds: float, short_seconds: float) -> dict[str, Path]:
    """Films of the same length altogether: one, and many whose bytes differ; and what starting is measured with."""
    film = render(folder / "film.mp4", seconds=20.0, size="1280x720")
    lengthened(film, folder / "long/film.mp4", seconds=seconds)
    shorts(film, folder / "short", number=int(seconds / short_seconds), seconds=short_seconds)
    shorts(film, folder / "start", number=4, seconds=1.0)
    return {"one long video": folder / "long", "many short videos": folder / "short", "start": folder / "start"}


def shorts(film: Path, folder: Path, *, number: int, seconds: float) -> None:
    """The beginning of a film in so many files whose bytes differ."""
    folder.mkdir(exist_ok=True)
    for one in range(number):
        cut = ["ffmpeg", "-v", "error", "-t", str(seconds), "-i", str(film), "-c", "copy"]
        subprocess.run([*cut, "-metadata", f"title={one}", str(folder / f"{one:04}.mp4")], check=True)


def mixed(folder: Path, *, minutes: float, videos: int) -> Path:
    """One long film and many of five seconds in one folder, in small pictures."""
    film = render(folder / "small.mp4", seconds=20.0)
    lengthened(film, folder / "mixed/film.mp4", seconds=60 * minutes)
    shorts(film, folder / "mixed", number=videos, seconds=5.0)
    return folder / "mixed"


def tell_shares(kind: str, two: Took, start: Took) -> None:
    """How busy each of two workers was, and with how much of the work, start taken off."""
    own = [spent - min(start.workers_seconds) for spent in two.workers_seconds]
    for number, (spent, busy) in enumerate(zip(own, two.busy, strict=True), 1):
        figure(f"{kind}: worker {number} of two, processor", spent, "s")
        figure(f"{kind}: worker {number} of two, share of the time in which it was busy", busy, at_least=0.85)
    figure(f"{kind}: work of the less busy worker / of the busier one", own[0] / own[1], at_least=0.8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", nargs=4)
    parser.add_argument("--minutes", type=float, default=5.0, help="of video in each corpus")
    parser.add_argument("--short-seconds", type=float, default=5.0)
    parser.add_argument("--mixed-minutes", type=float, default=20.0, help="of the long film beside short ones; 0: none")
    parser.add_argument("--mixed-videos", type=int, default=200, help="of five seconds beside it")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--server-pid", type=int)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.child:
        corpus_of, index_of, recipe_of, workers_of_run = chosen.child
        ingested(corpus_of, index_of, recipe_of, int(workers_of_run))
        sys.exit()
    server = os.environ.get("REELVEC_TEST_QDRANT_URL")
    if not server:
        sys.exit("workers: skipped: REELVEC_TEST_QDRANT_URL names no Qdrant server; a folder admits one process")
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("workers: skipped: two workers need two cores")
    with tempfile.TemporaryDirectory() as made:
        sounds = Path(made) / "sounds.toml"
        sounds.write_text(RECIPE)

        def run(corpus: Path, workers: int) -> Took:
            """One run by so many workers."""
            return run_of(corpus, sounds, workers, server, chosen.server_pid)

        kinds = corpora(Path(made), seconds=60 * chosen.minutes, short_seconds=chosen.short_seconds)
        start = kinds.pop("start")
        starts = {workers: run(start, workers) for workers in (1, 2)}
        for kind, corpus in kinds.items():
            ratios, costs = [], []
            for _ in range(chosen.rounds):
                one, two = (run(corpus, workers) for workers in (1, 2))
                ratios.append((one.seconds - starts[1].seconds) / (two.seconds - starts[2].seconds))
                costs.append(
                    (sum(two.workers_seconds) - sum(starts[2].workers_seconds))
                    / (sum(one.workers_seconds) - sum(starts[1].workers_seconds))
                )
            figure(f"{kind}: one worker, start taken off", one.seconds - starts[1].seconds, "s")
            figure(f"{kind}: two workers, start taken off", two.seconds - starts[2].seconds, "s")
            figure(f"{kind}: one / two", statistics.median(ratios), at_least=1.7)
            figure(f"{kind}: processor time of two workers / of one", statistics.median(costs), at_most=1.1)
            if chosen.server_pid:
                figure(f"{kind}: processor time of the server, one worker", one.server_seconds, "s")
                figure(f"{kind}: processor time of the server, two workers", two.server_seconds, "s")
            tell_shares(kind, two, starts[2])
        if chosen.mixed_minutes:
            both = mixed(Path(made), minutes=chosen.mixed_minutes, videos=chosen.mixed_videos)
            tell_shares("a long video beside short ones", run(both, 2), starts[2])
    finish()
