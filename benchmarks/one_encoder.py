"""One encoder of three changed: the time of the migration against that of a first run, and what that encoder takes.

The share of the encoder is that of a first run with it alone over the same films, decoding included: there is no less
to be done for it. Processor seconds, with those of decoders and publishers, so that other work on the machine counts
for little; every run is a process of its own, so each loads its models.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from corpora import render
from report import figure, finish

FRAMES = '[frames]\nchoice = "{choice}"\nencoder = "conse:tf_efficientnet_lite2"\n'
SOUND = '[sound]\nencoder = "mfcc:statistics"\n'
OCR = '[ocr]\nencoder = "rapidocr:ppocr-v4"\n'
TEXT = '[text]\nencoder = "sentence-transformers:all-MiniLM-L6-v2"\n'
HEAD = 'name = "{name}"\n[segment]\nclip_seconds = 8.0\n'
#: By the name of a recipe its sections; `three` becomes `changed`, whose frames are chosen otherwise.
RECIPES = {
    "three": FRAMES.format(choice="every:1s") + SOUND + OCR + TEXT,
    "changed": FRAMES.format(choice="uniform:4") + SOUND + OCR + TEXT,
    "alone": FRAMES.format(choice="uniform:4"),
}


def spent(*command: str) -> tuple[float, float]:
    """Seconds on the clock and of the processor that a command of Reelvec takes."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "pipelines.cli", *command], check=True, stdout=subprocess.DEVNULL, stderr=2)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, help="a folder of films; rendered ones otherwise")
    parser.add_argument("--videos", type=int, default=6, help="rendered films of 24 s")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = folder / "corpus"
        if given.corpus:
            shutil.copytree(given.corpus, corpus)
        for number in range(0 if given.corpus else given.videos):
            render(corpus / f"{number}.mp4", seconds=24, size="640x360", seed=number)
        for recipe, sections in RECIPES.items():
            (folder / f"{recipe}.toml").write_text(HEAD.format(name=recipe) + sections)
        index, alone, changed = f"{folder}/index", f"{folder}/alone", f"{folder}/changed.toml"
        full = spent("ingest", str(corpus), "--index", index, "--recipe", f"{folder}/three.toml")
        own = spent("ingest", str(corpus), "--index", alone, "--recipe", f"{folder}/alone.toml")
        migration = spent("migrate", "--index", index, "--recipe", changed, "--force")
    for place, unit in ((0, "s"), (1, "processor s")):
        share = own[place] / full[place]
        figure("first run with three encoders", full[place], unit)
        figure("first run with the changed encoder alone", own[place], unit)
        figure("migration to the changed encoder", migration[place], unit)
        figure("that encoder's own share", share)
        figure(f"migration / first run ({unit})", migration[place] / full[place], at_most=round(share + 0.1, 3))
    finish()


if __name__ == "__main__":
    main()
