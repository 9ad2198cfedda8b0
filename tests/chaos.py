"""`make chaos`: kill runs at random moments, run again, and compare with an index that nobody disturbed.

    python -m tests.chaos [--kills 50] [--seed 1] [--server URL] [ingest] [reindex] [recipe] ...

Each command is started as `reelvec COMMAND CORPUS --index I --json`, or as it stands where it has {index} or {corpus}
in it; `recipe` is a `reindex --recipe` with another recipe than the kill before, and `migrate` a `migrate --recipe` to
one, which may be refused where the corpus lost what it has to decode. It is killed with SIGKILL at a random
moment and started again; between two kills the corpus changes. At the end one run goes to its end and the index is
compared with one built from scratch: ids, payloads without times, ledger. Prints a row a kill and exits 1 where
anything differs.
"""

import argparse
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.cli_options import REJECTS
from tests.test_ingest import render
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.index.store import AnyOf, Where

VOLATILE = {"searchable_since", "run", "attempts"}
ROOT = Path(__file__).parents[1]
COLOURS = ("red", "blue", "green", "white", "black", "yellow", "purple", "orange")


@dataclass(frozen=True)
class Kill:
    """One run that was killed, and what the run after it did."""

    command: str
    after_seconds: float
    doing: str
    before: str  # what had happened to the corpus
    next_run: str


def make_corpus(corpus: Path) -> None:
    """Eight short films of one colour, one of them of several segments, and a broken file."""
    for number, colour in enumerate(COLOURS):
        render(corpus / f"{number}.mp4", colour=colour, seconds=70 if number == 3 else 3 + number)
    (corpus / "broken.mp4").write_bytes(b"\x00" * 3000)


def change(corpus: Path, chance: random.Random) -> str:
    """One thing happens to the corpus; gives it in words."""
    videos = sorted(path for path in corpus.glob("*.mp4") if path.name != "broken.mp4")
    one, other = chance.sample(videos, 2)
    what = chance.choice(["nothing", "new", "changed", "moved", "copied", "gone", "touched"])
    fresh = corpus / f"{chance.randrange(10**6)}.mp4"
    if what in ("new", "changed"):
        render(fresh if what == "new" else one, colour=chance.choice(COLOURS), seconds=chance.randint(2, 9))
    elif what == "moved":
        os.replace(one, fresh)
    elif what == "copied":
        shutil.copy(one, fresh)
    elif what == "gone" and len(videos) > 5:
        other.unlink()
    elif what == "touched":
        one.touch()
    else:
        return "nothing"
    return what


def start(command: str, corpus: Path, index: str, recipe: str) -> subprocess.Popen[str]:
    if "{" in command:
        arguments = shlex.split(command.format(corpus=corpus, index=index, recipe=recipe))
    else:
        verb = "reindex" if command == "recipe" else command
        arguments = [verb, *([] if verb == "migrate" else [str(corpus), "--max-delete", "100%"])]
        arguments += ["--index", index, "--json", "--wait", *(["--recipe", recipe] if recipe else [])]
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What a run that nobody kills says of itself; raises when it fails."""
    out, errors = process.communicate(timeout=600)
    said = json.loads(out) if out.lstrip().startswith("{") else {}
    refused = process.returncode == REJECTS and said.get("state") == "refused"
    if process.returncode != 0 and not refused:
        raise RuntimeError(f"the run after a kill failed with exit code {process.returncode}: {errors.strip()[-800:]}")
    if "state" in said:
        return str(said["state"])
    named = (("indexed", "videos_indexed"), ("moved", "videos_moved"), ("removed", "videos_removed"))
    done = ", ".join(f"{said[key]} {word}" for word, key in named if said.get(key))
    return done or "nothing to do"


def timed(process: subprocess.Popen[str]) -> tuple[str, float]:
    """What a run says of itself, and the seconds that it took."""
    began = time.monotonic()
    return finish(process), time.monotonic() - began


def doing(process: subprocess.Popen[str]) -> str:
    """What a run is at, by the programs that it has started."""
    listed = ["ps", "-ww", "-o", "args=", "-g", str(process.pid)]
    children = subprocess.run(listed, capture_output=True, text=True, check=False).stdout
    for word, what in (("copying.py", "publishing"), ("rawvideo", "decoding"), ("ffprobe", "probing")):
        if word in children:
            return what
    return "other work" if "ffmpeg" not in children else "decoding sound"


def everything(index: str) -> dict[str, object]:
    """Points of clips, whole videos, ledger and receipts by id."""
    reader = open_reader(IndexLocation.parse(index))
    try:
        kinds = Where((AnyOf("kind", ("clip", "whole", "video", "receipt")),))
        return {point.id: _lasting(dict(point.payload)) for point in reader.scroll(kinds)}
    finally:
        reader.close()


def storm(
    corpus: Path,
    index: str,
    calm: str,
    *,
    commands: Sequence[str],
    recipes: Sequence[str],
    kills: int,
    chance: random.Random,
) -> tuple[list[Kill], bool]:
    """Kill that many runs, and tell whether the index ends as an undisturbed one of the first recipe.

    Every third kill is followed by another kill at once; the others by a run that goes to its end.
    """
    _, usual_seconds = timed(start("ingest", corpus, index, recipes[0]))
    rows: list[Kill] = []
    for number in range(kills):
        command = commands[number % len(commands)]
        other = command in ("recipe", "migrate")
        recipe = recipes[(number + 1) % len(recipes)] if other else ""  # "": that of the index
        changes = 0 if command == "migrate" else 3  # what it has to decode must still be there
        happened = ", ".join(change(corpus, chance) for _ in range(changes)) or "nothing"
        process = start(command, corpus, index, recipe)
        after_seconds, was = chance.uniform(0.2, 1.0) * usual_seconds, "ended before"
        try:
            process.wait(timeout=after_seconds)
        except subprocess.TimeoutExpired:
            was = doing(process)
            os.kill(process.pid, signal.SIGKILL)  # its children are on their own, as after a crash
        process.communicate()
        next_run = "killed too"
        if number % 3 != 2:
            next_run, usual_seconds = timed(start(command, corpus, index, recipe))
        rows.append(Kill(command, after_seconds, was, happened, next_run))
        print(_row(number + 1, rows[-1]), flush=True)
    finish(start("recipe", corpus, index, recipes[0]))
    finish(start("ingest", corpus, calm, recipes[0]))
    return rows, everything(index) == everything(calm)


def _row(number: int, kill: Kill) -> str:
    when = f"{number:>4}  {kill.command.split()[0]:<8} {kill.after_seconds:>6.2f} s"
    return f"{when}  {kill.doing:<15} {kill.before:<24} {kill.next_run}"


def _lasting(value: object) -> object:
    if isinstance(value, dict):
        return {key: _lasting(held) for key, held in value.items() if key not in VOLATILE}
    return [_lasting(item) for item in value] if isinstance(value, list) else value


def cheap_recipes(folder: Path) -> list[str]:
    """Recipes of sound and motion alone: as it is, with another cut, and without motion."""
    sound = '[sound]\nencoder = "mfcc:statistics"\n'
    motion = '[motion]\nencoder = "motion:dis"\n'
    texts = {"both": sound + motion, "cut": sound + motion + "[segment]\nclip_seconds = 4.0\n", "sound": sound}
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(f'name = "{name}"\n{text}')
    return [str(folder / f"{name}.toml") for name in texts]


def main() -> int:
    """Parse, storm, say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("commands", nargs="*", default=["ingest"], help="subcommands that take CORPUS --index I --json")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recipe", help="default: three of sound and motion, which cost little")
    parser.add_argument("--server", help="a Qdrant server, http://host:port; default: folders")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        make_corpus(corpus)
        if given.server:
            name = f"chaos-{uuid.uuid4().hex[:8]}"
            index, calm = f"{given.server}/{name}", f"{given.server}/{name}-calm"
        else:
            index, calm = str(Path(folder, "index")), str(Path(folder, "calm"))
        os.chdir(folder)
        recipes = [given.recipe] if given.recipe else cheap_recipes(Path(folder))
        print("kill  command   killed after  while it was    corpus                   the next run", flush=True)
        _, equal = storm(
            corpus,
            index,
            calm,
            commands=given.commands,
            recipes=recipes,
            kills=given.kills,
            chance=random.Random(given.seed),
        )
    print("the index is the one that nobody disturbed" if equal else "THE INDEX DIFFERS from one built from scratch")
    return 0 if equal else 1


if __name__ == "__main__":
    raise SystemExit(main())
