"""Which video is found: by one pooled vector a video, or by its best clip?

    python benchmarks/video_level.py --media FOLDER [--index I]     # a folder with queries.tsv, an index of it

The right answer is the video of the question, or one of its copies (duplicates.tsv); which clip of it, nobody asks.
The stored vectors of the clips are pooled again, so nothing is decoded, and compared exactly. *mean* is that of
transforms/write/whole.py; *attention* by distinctiveness is `attended` below; *best clip* ranks videos by their best
clip. Each modality is asked its own
kind of question, `clip` all of them. `auto` fuses by reciprocal rank: the pooled picture, speech and screen text, the
latter two from the cosine on from which they count for clips; the same with the best clip's exact words; and the
clips' own `auto`, whose hits are grouped by video. The interval is of the difference to the mean (bootstrap over
questions). Chance draws videos blindly.

Four videos in five of that folder last one clip, where all three ways are the same vector. So the questions whose right
video has more clips are counted apart, and a second table asks for *joined films*: films of as many clips as the first
column says, clips of one modality drawn without replacement from different videos, so that a question is answered by
one clip of its film. That is the hardest case for pooling: nothing but chance unites such a film.

Predictions, written before the first run:
- pictures (60 questions): mean 0.25 and 0.45 (first, first five); attention the same within one question; best clip
  0.28 and 0.48. No interval excludes zero;
- speech (27): mean 0.80 and 0.90; attention within one question; best clip 0.85 and 0.95;
- screen text (16): all three alike within one question, since stills and titles last a clip;
- `clip`, all 119: 0.30 and 0.45; best clip three questions ahead;
- `auto`: 0.40 and 0.60 for the mean without words, 0.5 and 0.7 with them, 0.5 and 0.7 for the clips;
- joined films of four clips, pictures: mean 0.10 first, attention 0.12, best clip 0.25; of sixteen: mean 0.05, best
  clip 0.25. The best clip wins clearly, and attention gains on the mean, since it leans to what stands out.
What the first run gave stands in docs/video-level.md.
"""

import argparse
import csv
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import comb
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from report import figure, finish

from pipelines.evaluate import Question, answer, read_questions
from pipelines.ingest import ingest
from pipelines.search import Searcher
from pipelines.settings import IngestSettings
from transforms.encoders.fusion.held_out import change
from transforms.fuse.pooling import mean_direction, unit
from transforms.index.hits import Hit, ordered
from transforms.index.late import fuse_rankings
from transforms.index.query import LIVE_CLIPS, search_clips
from transforms.records import ClipPoint, Float32, SparseVector
from transforms.uris import uri_of_path

#: Of the softmax over the distances from the mean: at 0.1 a clip that is 0.2 further off weighs e^2 = 7 times as much.
TEMPERATURE = 0.1
FIRST = (1, 5)
KINDS = {"frame": "visual", "transcript": "speech", "ocr": "ocr", "clip": ""}  # "": all of them
FILM_CLIPS = (4, 16)
DRAWS = 20
FEWEST_FILMS = 5

Rows = dict[str, Float32]  # by URI, (clips, dim)
Found = NDArray[np.float64]  # for each question, 1.0 where a right video is among the first


def attended(clips: Float32) -> Float32:
    """unit(sum_i a_i v_i), a = softmax((1 - <v_i, unit(mean)>) / 0.1), (n, dim) -> (dim,).

    What sets a clip apart from the rest of its video weighs more, what is in every clip less.
    """
    distances = (1 - clips @ mean_direction(clips)) / np.float32(TEMPERATURE)
    weights = np.exp(distances - distances.max())
    return unit((weights / weights.sum()) @ clips)


POOLINGS: Mapping[str, Callable[[Float32], Float32]] = {"mean": mean_direction, "attention": attended}


def of_modality(points: Sequence[ClipPoint], name: str) -> Rows:
    """The clips' vectors of one name, video by video."""
    rows: dict[str, list[Float32]] = defaultdict(list)
    for point in points:
        vector = point.vectors.get(name)
        if vector is not None and not isinstance(vector, SparseVector):
            rows[str(point.payload["uri"])].append(vector)
    return {uri: np.stack(own) for uri, own in rows.items()}


def pooled(rows: Rows, pooling: str) -> Rows:
    """One vector a video."""
    return {uri: POOLINGS[pooling](own)[None] for uri, own in rows.items()}


def ranking(asked: Float32 | None, rows: Rows, by: str) -> list[Hit]:
    """Videos by their best vector; none where the question cannot be asked."""
    if asked is None:
        return []
    return ordered(Hit(uri, float((own @ asked).max()), by, {"uri": uri}) for uri, own in rows.items())


def right(rankings: Sequence[Sequence[Hit]], questions: Sequence[Question], first: int) -> Found:
    """Which questions find one of their videos among the first."""
    answers = [{hit.uri for hit in own[:first]} for own in rankings]
    return np.array([float(bool(own & set(one.relevant))) for own, one in zip(answers, questions, strict=True)])


def by_chance(questions: Sequence[Question], videos: int, first: int) -> float:
    """The share that drawing videos blindly finds."""
    return float(np.mean([1 - comb(videos - len(one.relevant), first) / comb(videos, first) for one in questions]))


def show(title: str, ways: Mapping[str, Sequence[Sequence[Hit]]], questions: Sequence[Question]) -> None:
    """The figures of each way, and the difference of each later way to the first one."""
    for first in FIRST:
        before: Found | None = None
        for way, rankings in ways.items():
            found = right(rankings, questions, first)
            figure(f"{title}, {way}: first {first} of {len(questions)} questions", float(found.mean()))
            if before is None:
                before = found
                continue
            gain = change(before, found, [one.text for one in questions])
            figure(f"{title}, {way}: first {first}, more than the mean has", gain.after - gain.before)
            figure(f"{title}, {way}: first {first}, 95 % from", gain.gain_low)
            figure(f"{title}, {way}: first {first}, 95 % to", gain.gain_high)


def modality(searcher: Searcher, points: Sequence[ClipPoint], name: str, questions: Sequence[Question]) -> None:
    """One named vector asked its own kind of question."""
    rows = of_modality(points, name)
    own = [one for one in questions if KINDS[name] in ("", one.kind)]
    asked = [query(searcher, one.text, name) for one in own]
    by_pooling = {pooling: pooled(rows, pooling) for pooling in POOLINGS}
    ways = {way: [ranking(one, kept, name) for one in asked] for way, kept in {**by_pooling, "best clip": rows}.items()}
    figure(f"{name}: videos that have it", len(rows))
    show(name, ways, own)
    places = [n for n, one in enumerate(own) if any(len(rows.get(uri, ())) > 1 for uri in one.relevant)]
    if places:
        longer = {way: [found[n] for n in places] for way, found in ways.items()}
        show(f"{name}, right video of several clips", longer, [own[n] for n in places])


def query(searcher: Searcher, text: str, name: str) -> Float32 | None:
    """The text in the space of the named vector."""
    found = searcher.query_vectors(text, by=name).get(name)
    return None if found is None or isinstance(found, SparseVector) else found


def fused(searcher: Searcher, points: Sequence[ClipPoint], questions: Sequence[Question]) -> None:
    """`auto` over pooled vectors, the same with the best clip's words, and over clips."""
    names = ("transcript", "ocr", "frame")
    rows = {name: of_modality(points, name) for name in names}
    ways: dict[str, list[list[Hit]]] = {}
    for pooling in POOLINGS:
        kept = {name: pooled(own, pooling) for name, own in rows.items()}
        lists = [auto_lists(searcher, one.text, kept) for one in questions]
        ways[f"{pooling}, no words"] = [fuse_rankings(own) for own in lists]
        ways[f"{pooling} and the best clip's words"] = [
            fuse_rankings({"words": best_words(searcher, one.text), **own})
            for one, own in zip(questions, lists, strict=True)
        ]
    ways["the clips' auto"] = [
        [Hit(uri_of_path(hit.video), hit.score, hit.by, {"uri": uri_of_path(hit.video)}) for hit in found.hits]
        for found in (answer(searcher.ask, one, by="auto") for one in questions)
    ]
    show("auto", ways, questions)


def auto_lists(searcher: Searcher, text: str, kept: Mapping[str, Rows]) -> dict[str, list[Hit]]:
    """The rankings that `auto` fuses, without what is only the least bad."""
    counts: Mapping[str, Callable[[Hit], bool]] = searcher.vectors.counting(text)
    lists = {name: ranking(query(searcher, text, name), own, name) for name, own in kept.items()}
    return {name: list(filter(counts.get(name), own))[:100] for name, own in lists.items()}


def best_words(searcher: Searcher, text: str) -> list[Hit]:
    """Videos by the exact words of their best clip, as `auto` counts them."""
    vectors = searcher.query_vectors(text, by="words")
    found = search_clips(searcher.reader, vectors, by="words", limit=500) if vectors else []
    best: dict[str, Hit] = {}
    for hit in filter(searcher.vectors.counting(text)["words"], found):
        best.setdefault(hit.uri, replace(hit, id=hit.uri))
    return list(best.values())


def joined(searcher: Searcher, points: Sequence[ClipPoint], name: str, questions: Sequence[Question]) -> None:
    """Films of clips of different videos; one film of each draw holds the clip that a question is about."""
    rows = of_modality(points, name)
    own = [one for one in questions if one.kind == KINDS[name] and any(uri in rows for uri in one.relevant)]
    asked = [query(searcher, one.text, name) for one in own]
    chance = np.random.default_rng(0)
    for size in FILM_CLIPS:
        found: dict[str, list[Found]] = defaultdict(list)
        films = len(rows) // size
        if films < FEWEST_FILMS:
            continue
        for _ in range(DRAWS):
            order = [str(uri) for uri in chance.permutation(sorted(rows))]
            groups = {f"film {n}": order[n * size : (n + 1) * size] for n in range(films)}
            held = {uri: film for film, members in groups.items() for uri in members}
            clips = {film: np.stack([chance.choice(rows[uri]) for uri in members]) for film, members in groups.items()}
            there = [
                (vector, replace(one, relevant=tuple({held[uri] for uri in one.relevant if uri in held})))
                for vector, one in zip(asked, own, strict=True)
                if any(uri in held for uri in one.relevant)
            ]
            ways = {pooling: pooled(clips, pooling) for pooling in POOLINGS} | {"best clip": clips}
            for way, kept in ways.items():
                rankings = [ranking(vector, kept, name) for vector, _ in there]
                found[way].append(right(rankings, [one for _, one in there], 1))
        figure(f"joined films of {size} clips, {name}: films", films)
        figure(f"joined films of {size} clips, {name}, chance: first 1", 1 / films)
        for way, answers in found.items():
            share = float(np.concatenate(answers).mean())
            figure(f"joined films of {size} clips, {name}, {way}: first 1 of {DRAWS} draws", share)


def with_copies(questions: Sequence[Question], media: Path) -> list[Question]:
    """The questions, answered by copies of their videos too, where duplicates.tsv names some."""
    groups: dict[str, set[str]] = defaultdict(set)
    table = media / "duplicates.tsv"
    if table.is_file():
        with open(table, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                groups[row["group"]].add(uri_of_path(media / row["file"]))
    copies = {uri: members for members in groups.values() for uri in members}
    return [
        replace(one, relevant=tuple(sorted({own for uri in one.relevant for own in copies.get(uri, {uri})})))
        for one in questions
    ]


def measure(index: str, media: Path) -> None:
    questions = with_copies(read_questions(media / "queries.tsv", media=media), media)
    with Searcher(index) as searcher:
        points = list(searcher.reader.scroll(LIVE_CLIPS, vectors=True))
        videos = {str(point.payload["uri"]) for point in points}
        figure("videos", len(videos))
        figure("clips", len(points))
        for first in FIRST:
            figure(f"chance: first {first} of {len(questions)} questions", by_chance(questions, len(videos), first))
        for name in KINDS:
            if name in searcher.names:
                modality(searcher, points, name, questions)
        fused(searcher, points, questions)
        for name in ("frame", "transcript"):
            if name in searcher.names:
                joined(searcher, points, name, questions)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, default=os.environ.get("REELVEC_TEST_MEDIA"), help="holds queries.tsv")
    parser.add_argument("--index", help="an index of that folder; made for the occasion where none is named")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.media is None:
        print("left out: name a folder of videos with questions in queries.tsv, by --media or REELVEC_TEST_MEDIA")
        raise SystemExit
    with tempfile.TemporaryDirectory() as scratch:
        index = arguments.index or str(Path(scratch, "media.reelvec"))
        if arguments.index is None:
            ingest(IngestSettings(sources=(str(arguments.media),), index=index))
        measure(index, arguments.media)
    finish()
