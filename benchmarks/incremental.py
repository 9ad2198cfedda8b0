"""What a run costs after one video in a hundred changed, against the first run over all of them."""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from subprocess import DEVNULL, run

from corpora import render
from report import figure, finish

#: Pictures alone: what is compared is how a run's time follows its work, not how long an encoder takes.
RECIPE = """
name = "pictures"
[segment]
clip_seconds = 8.0
[frames]
choice = "uniform:1"
encoder = "conse:tf_efficientnet_lite2"
[fusion]
frame = 1.0
"""
KINDS = 20  # so many are rendered; the others are those with bytes of their own behind the end, which decoders ignore


def make(corpus: Path, videos: int) -> None:
    made = [render(corpus.parent / f"kind{n}.mp4", seconds=2, size="160x90", seed=n).read_bytes() for n in range(KINDS)]
    corpus.mkdir()
    for number in range(videos):
        change(corpus / f"{number:05d}.mp4", made[number % KINDS], number)


def change(path: Path, video: bytes, seed: int) -> None:
    """The same film as other bytes: a box of type `free` at the end of an mp4 is passed over."""
    path.write_bytes(video + (16).to_bytes(4, "big") + b"free" + seed.to_bytes(8, "big"))


def seconds_of_run(corpus: Path, index: str, recipe: Path) -> float:
    command = [sys.executable, "-m", "pipelines.cli", "ingest", str(corpus), "--index", index, "--recipe", str(recipe)]
    began = time.perf_counter()
    run(command, check=True, stdout=DEVNULL, stderr=DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus, index, recipe = Path(folder) / "corpus", f"{folder}/index", Path(folder) / "pictures.toml"
        recipe.write_text(RECIPE)
        make(corpus, chosen.videos)
        whole = seconds_of_run(corpus, index, recipe)
        idle = seconds_of_run(corpus, index, recipe)
        changed = max(1, chosen.videos // 100)
        for number in range(changed):
            path = corpus / f"{number * 100 % chosen.videos:05d}.mp4"
            change(path, path.read_bytes()[:-16], chosen.videos + number)
        some = seconds_of_run(corpus, index, recipe)
    figure(f"first run over {chosen.videos} videos of 2 s", whole, "s")
    figure("second run, nothing to do", idle, "s")
    figure(f"run after {changed} changed", some, "s")
    figure("no-op share", idle / whole)
    figure("changed / first", some / whole, "", at_most=round(0.03 + idle / whole, 4))
    finish()
