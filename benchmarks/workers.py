"""Two worker processes against one, each with a core of its own, on decode-bound work, into a Qdrant server.

One long video, which is cut into segments, and many short ones; both have to keep two workers busy. Pictures are
decoded to find shots, and only the sound is encoded, which costs next to nothing. A run over a second of sound tells
what starting costs; it is taken off. Needs REELVEC_TEST_QDRANT_URL and two idle cores.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from corpora import lengthened, render
from report import figure, finish

RECIPE = 'name = "sounds"\n[segment]\nkind = "shots"\nsegment_seconds = 20.0\n[sound]\nencoder = "mfcc:statistics"\n'


def ingested(corpus: str, index: str, recipe: str, workers: int) -> None:
    """Ingest by so many worker processes, which have as many cores, and print the seconds that it took."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:workers]))
    from pipelines.ingest import ingest
    from pipelines.settings import IngestSettings

    options = (f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing")
    given = {"sources": (corpus,), "index": index, "recipe": recipe, "prefetch": 1, "max_delete": "100%"}
    started = time.perf_counter()
    summary = ingest(IngestSettings(**given, beam_options=options))
    assert summary.videos_indexed and not summary.videos_rejected, summary
    print(time.perf_counter() - started)


def seconds_of(corpus: Path, recipe: Path, workers: int, url: str) -> float:
    """One run into a new index, in a process of its own."""
    from qdrant_client import QdrantClient

    name = f"bench-{uuid.uuid4().hex[:8]}"
    command = [sys.executable, __file__, "--child", str(corpus), f"{url}/{name}", str(recipe), str(workers)]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=recipe.parent)
        return float(done.stdout.split()[-1])
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.stderr[-2000:]) from error
    finally:
        client = QdrantClient(url)
        for collection in client.get_collections().collections:
            if collection.name.startswith(f"{name}--"):
                client.delete_collection(collection.name)


def corpora(folder: Path, *, seconds: float, short_seconds: float) -> dict[str, Path]:
    """Films of the same length altogether: one, and many whose bytes differ."""
    film = render(folder / "film.mp4", seconds=20.0, size="1280x720")
    lengthened(film, folder / "long/film.mp4", seconds=seconds)
    (folder / "short").mkdir()
    for number in range(int(seconds / short_seconds)):
        cut = ["ffmpeg", "-v", "error", "-t", str(short_seconds), "-i", str(film), "-c", "copy"]
        told = ["-metadata", f"title={number}", str(folder / f"short/{number:04}.mp4")]
        subprocess.run([*cut, *told], check=True)
    lengthened(film, folder / "start/film.mp4", seconds=1.0)
    return {"one long video": folder / "long", "many short videos": folder / "short", "start": folder / "start"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", nargs=4)
    parser.add_argument("--minutes", type=float, default=10.0, help="of video in each corpus")
    parser.add_argument("--short-seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.child:
        corpus_of, index_of, recipe_of, workers_of = chosen.child
        ingested(corpus_of, index_of, recipe_of, int(workers_of))
        sys.exit()
    server = os.environ.get("REELVEC_TEST_QDRANT_URL")
    if not server:
        sys.exit("workers: skipped: REELVEC_TEST_QDRANT_URL names no Qdrant server; a folder admits one process")
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("workers: skipped: two workers need two cores")
    with tempfile.TemporaryDirectory() as made:
        sounds = Path(made) / "sounds.toml"
        sounds.write_text(RECIPE)
        kinds = corpora(Path(made), seconds=60 * chosen.minutes, short_seconds=chosen.short_seconds)
        start = kinds.pop("start")
        for kind, corpus in kinds.items():
            ratios = []
            for _ in range(chosen.rounds):
                one, two = (
                    seconds_of(corpus, sounds, workers, server) - seconds_of(start, sounds, workers, server)
                    for workers in (1, 2)
                )
                ratios.append(one / two)
            figure(f"{kind}: one worker, start taken off", one, "s")
            figure(f"{kind}: two workers, start taken off", two, "s")
            figure(f"{kind}: one / two", statistics.median(ratios), at_least=1.7)
    finish()
