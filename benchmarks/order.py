"""One thing and then another: films cut together from two pieces of real footage, each beside its mirror.

    python benchmarks/order.py --media FOLDER     # a folder with queries.tsv

Pieces are the questions about pictures of queries.tsv, in their order and in their own words, which were written by
looking at the footage: 2.5 s from where the question's span starts. A question is left out where ffmpeg cuts no second
of pictures there, or where a piece before it may answer it as well. Piece i is followed by pieces i + 7 and i + 19;
the same two the other way round are the mirror. Every film is in the index at once; each question is asked of all.

Predicted before the first run, with the packaged frame encoder: `--then` puts 0.95 above their mirrors and 0.35 first
of all (a single picture is found first for 0.3 of these questions, but two rarely fit the same wrong film); the change
layout 0.9 and 0.2; the first thing alone 0.6 and 0.1; mean pooling 0.5 and 0.2; one sentence "A, then B" 0.5 and 0.15.
"""

import argparse
import math
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from report import figure, finish

from pipelines.asked import Asked
from pipelines.evaluate import Question, read_questions
from pipelines.ingest import ingest
from pipelines.search import Searcher
from pipelines.search_order import order_query
from pipelines.settings import IngestSettings
from transforms.errors import IngestError
from transforms.fuse import mean_direction
from transforms.index.in_order import pair_in_order
from transforms.index.query import LIVE_CLIPS
from transforms.index.store import Query
from transforms.media.probe import probe
from transforms.recipe import load_recipe
from transforms.records import Float32
from transforms.uris import shown

PIECE_SECONDS, LEAST_SECONDS = 2.5, 1.0
SHIFTS = (7, 19)
GOAL_ABOVE_MIRROR, GOAL_FIRST = 0.95, 0.6


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a file, and the words for what it shows."""

    text: str
    path: Path


@dataclass(frozen=True, slots=True)
class Film:
    """Two pieces, one after the other, and the film that shows them the other way round."""

    first: str
    second: str
    path: Path
    mirror: Path


def pieces_of(questions: Sequence[Question], folder: Path) -> list[Piece]:
    """One piece a question, where no piece before answers it too, cut out into `folder`."""
    taken: list[Question] = []
    pieces: list[Piece] = []
    for question in questions:
        if any(may_be_the_same(question, other) for other in taken):
            continue
        path = folder / f"{len(pieces)}.mp4"
        if cut(question, path):
            taken.append(question)
            pieces.append(Piece(question.text, path))
    return pieces


def may_be_the_same(one: Question, other: Question) -> bool:
    """Whether what answers the one may answer the other: files in common, and no spans that tell them apart."""
    if not set(one.relevant) & set(other.relevant):
        return False
    if one.end_seconds is None or other.end_seconds is None or one.relevant[0] != other.relevant[0]:
        return True
    return (one.start_seconds or 0.0) < other.end_seconds and (other.start_seconds or 0.0) < one.end_seconds


def cut(question: Question, path: Path) -> bool:
    """Make what answers the question a film, 320 x 240, 12 frames a second; whether that gave a second of pictures."""
    start = question.start_seconds or 0.0
    seconds = min(PIECE_SECONDS, (question.end_seconds or math.inf) - start)
    shape = "scale=320:240:force_original_aspect_ratio=increase,crop=320:240,fps=12,setsar=1,format=yuv420p"
    command = ["ffmpeg", "-v", "error", "-y", "-ss", str(start), "-t", str(seconds)]
    command += [
        "-i",
        shown(question.relevant[0]),
        "-an",
        "-sn",
        "-vf",
        shape,
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        str(path),
    ]
    try:
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return probe(path).duration_seconds >= LEAST_SECONDS
    except (subprocess.CalledProcessError, IngestError):
        return False


def join(first: Path, second: Path, path: Path) -> Path:
    """Two pieces as one film."""
    names = path.with_suffix(".txt")
    names.write_text("".join(f"file '{piece}'\n" for piece in (first, second)))
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-f", "concat", "-safe", "0", "-i", str(names), "-c", "copy", str(path)],
        check=True,
    )
    names.unlink()
    return path


def films_of(pieces: Sequence[Piece], folder: Path) -> Iterator[Film]:
    """Every pair of pieces in both orders, below `folder`/films."""
    (folder / "films").mkdir()
    for shift in SHIFTS:
        for place, piece in enumerate(pieces):
            other = (place + shift) % len(pieces)
            path, mirror = (folder / "films" / f"{place}-{shift}-{name}.mp4" for name in ("film", "mirror"))
            join(piece.path, pieces[other].path, path)
            join(pieces[other].path, piece.path, mirror)
            yield Film(piece.text, pieces[other].text, path, mirror)


Ranking = Callable[[str, str], list[str]]


def ways(searcher: Searcher) -> dict[str, Ranking]:
    """Ways to look for "A, then B"; each gives the films, best first."""
    everything = searcher.reader.count(LIVE_CLIPS)
    vectors = searcher.vectors
    frames = {
        shown(str(point.payload["uri"])): np.asarray(point.vectors["frames"])
        for point in searcher.reader.scroll(LIVE_CLIPS, vectors=("frames",))
    }

    def asked(question: Asked) -> list[str]:
        return [hit.video for hit in searcher.ask(question)]

    def by_vector(name: str, vector: Float32) -> list[str]:
        (found,) = searcher.reader.query([Query(name, vector, LIVE_CLIPS, everything, exact=True)])
        return [shown(str(point.payload["uri"])) for point in found]

    def texts(first: str, second: str) -> tuple[Float32, Float32]:
        return vectors.text_in("frame", first), vectors.text_in("frame", second)

    def change(first: str, second: str) -> list[str]:
        one, two = texts(first, second)
        placed = order_query(one, two, vectors.recipe)
        return [] if placed is None else by_vector("clip", placed)

    def pair(first: str, second: str) -> list[str]:
        one, two = texts(first, second)
        score = {film: pair_in_order(own @ one, own @ two) for film, own in frames.items()}
        return sorted(score, key=score.__getitem__, reverse=True)

    def pooled(first: str, second: str) -> list[str]:
        one, two = texts(first, second)
        return by_vector("frame", mean_direction((one + two)[None]))

    return {
        "--then": lambda first, second: asked(Asked(first, then=second, limit=everything)),
        "the change layout alone": change,
        "the best pair of frames alone": pair,
        "the first thing alone": lambda first, second: asked(Asked(first, by="frames", limit=everything)),
        "mean pooling": pooled,
        "one sentence": lambda first, second: asked(Asked(f"{first}, then {second}", by="frames", limit=everything)),
    }


def rank(films: Sequence[str], film: Path) -> int:
    return films.index(str(film)) if str(film) in films else len(films)


def measure(media: Path, folder: Path) -> None:
    questions = [asked for asked in read_questions(media / "queries.tsv", media=media) if asked.kind == "visual"]
    films = list(films_of(pieces_of(questions, folder), folder))
    figure("films", len(films))
    figure("films and mirrors in the index", 2 * len(films))
    recipe = folder / "pictures.toml"
    recipe.write_text(f'name = "pictures"\n[frames]\nencoder = "{load_recipe("offline").frame_encoder}"\n')
    index = str(folder / "index")
    ingest(IngestSettings(sources=(str(folder / "films"),), index=index, recipe=str(recipe)))
    with Searcher(index) as searcher:
        for name, ranking in ways(searcher).items():
            found = [(film, ranking(film.first, film.second)) for film in films]
            above = sum(rank(ranked, film.path) < rank(ranked, film.mirror) for film, ranked in found)
            first = sum(ranked[:1] == [str(film.path)] for film, ranked in found)
            five = sum(str(film.path) in ranked[:5] for film, ranked in found)
            ours = name == "--then"
            figure(f"{name}: above its mirror", above / len(films), at_least=GOAL_ABOVE_MIRROR if ours else None)
            figure(f"{name}: first of all", first / len(films), at_least=GOAL_FIRST if ours else None)
            figure(f"{name}: among the first five", five / len(films))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--media", type=Path, default=os.environ.get("REELVEC_TEST_MEDIA"))
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.media is None:
        print("left out: name a folder of videos with questions in queries.tsv, by --media or REELVEC_TEST_MEDIA")
        raise SystemExit
    with tempfile.TemporaryDirectory() as scratch:
        measure(Path(chosen.media), Path(scratch))
    finish()
