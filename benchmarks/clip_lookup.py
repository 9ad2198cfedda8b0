"""One lookup of `clip` (int8) against the fusion of four named vectors, and what either way of looking up misses.

    python benchmarks/clip_lookup.py [--index I] [--clips 100000]

The clips are mixtures around the real clips of an index (benchmarks/mixed_clips.py): of --index, else of the example
videos, indexed for the occasion. They are published as an ingest does it, with graphs. Texts are the packaged
questions of the calibration, which nobody wrote about these videos, each as the recipe's encoders lay it out; they are
encoded before anything is timed. Both ways go through the function that `reelvec search` calls, 10 hits, in turn.

recall@10 is the share of the ten clips nearest to a query vector by exact search, over full vectors, that stand first
in what the graph over int8 finds, scored again with the full vectors by the store: 100 deep, which is the least that
any search asks for. What ten deep gives is printed beside it. The layouts:

    one block      a text in the block of the pictures
    two blocks     the same, and in the block of speech
    with time      in the block of the pictures, and near a moment
    clip to clip   the `clip` vector of a clip that the index holds, which is among its own ten

Predictions, written before the first run, for 100,000 clips: the ratio 0.55, since three of the four vectors are
carried by few clips and the fusion reads four times as many payloads; in the store alone, ten hits each, 0.9.
recall@10: clip to clip 0.99; one block 0.94, below the goal, since a text is no clip and its other blocks are zero, so
that distances hardly differ; two blocks 0.95; with time 0.9, since many clips lie at the same moment. They were made
for ten deep; a trial with 3,000 clips then showed that int8 itself loses a tenth there, and 100 deep, as searches
are, was added, with the prediction that all four reach 0.95.

The first run of 100,000 gave 0.10 and, deep, 0.75, 0.72 (two blocks), 0.89 and 1.00: walks that are wide enough from
clip to clip were too narrow from a text. They were widened (LEAST_EF_OF in transforms/index/store.py), by half of the
questions below; what came of it for all of them stands in docs/evaluation.md.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from corpora import EXAMPLES
from mixed_clips import mixed_clips, moment, sources_of
from report import figure, finish, paired

from pipelines.confidence import generic_questions
from pipelines.ingest import ingest
from pipelines.query_vectors import QueryVectors
from pipelines.search import Searcher
from pipelines.settings import IngestSettings
from transforms.fuse import lay_out, position_query
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader, open_writer, release
from transforms.index.publish import publish
from transforms.index.query import FUSION_DEPTH, LIVE_CLIPS, search_clips
from transforms.index.store import Query, Reader
from transforms.recipe import Recipe
from transforms.records import Float32, Vector

HITS = 10
GOAL_RATIO, GOAL_RECALL = 0.8, 0.95
GIGABYTES = 2**20  # ru_maxrss counts in KiB


def fill(index: str, real: str, clips: int) -> Recipe:
    """Make an index of so many mixtures around the real clips of another, with graphs; gives its recipe."""
    with Searcher(real) as searcher:
        recipe, sources = searcher.recipe, sources_of(searcher.reader)
    figure("real clips that the others are mixed of", len(sources))
    location = IndexLocation.parse(index)
    store = open_writer(location, recipe.schema())
    for batch in mixed_clips(sources, recipe, clips):
        store.upsert(batch)
    store.flush()
    published = publish(location, store, optimize=True)
    store.close()
    release(location)
    figure("clips", clips)
    figure("building their graphs", published.optimise_seconds, "s")
    return recipe


def layouts(reader: Reader, recipe: Recipe, texts: QueryVectors, count: int) -> dict[str, list[Float32]]:
    """Queries to `clip`, by the way in which they are laid out."""
    chance = np.random.default_rng(3)
    blocks = [texts.blocks(text) for text in generic_questions()[:count]]
    times = [position_query(recipe, seconds=moment(chance)[0]) for _ in blocks]
    held = reader.scroll(LIVE_CLIPS, vectors=("clip",), batch=count)
    clips = [np.asarray(point.vectors["clip"], np.float32) for point, _ in zip(held, blocks, strict=False)]
    return {
        "text in one block": [lay_out({"frame": own["frame"]}, recipe) for own in blocks],
        "text in two blocks": [
            lay_out({name: own[name] for name in ("frame", "transcript")}, recipe) for own in blocks
        ],
        "text with a time": [
            lay_out({"frame": own["frame"], "position": when}, recipe) for own, when in zip(blocks, times, strict=True)
        ],
        "clip to clip": clips,
    }


def recalls(reader: Reader, queries: Sequence[Float32]) -> dict[int, float]:
    """The share of the exact ten that are found by a search so deep, mean over queries."""
    shares: dict[int, list[float]] = {depth: [] for depth in (FUSION_DEPTH, HITS)}
    for vector in queries:
        exact = Query("clip", vector, LIVE_CLIPS, HITS, exact=True)
        right, *found = reader.query([exact, *(Query("clip", vector, LIVE_CLIPS, depth) for depth in shares)])
        for own, hits in zip(shares.values(), found, strict=True):
            own.append(len({hit.id for hit in right} & {hit.id for hit in hits[:HITS]}) / len(right))
    return {depth: float(np.mean(own)) for depth, own in shares.items()}


def seconds_of(search: Callable[[Mapping[str, Vector]], object], questions: Sequence[Mapping[str, Vector]]) -> float:
    """A question, mean."""
    began = time.perf_counter()
    for vectors in questions:
        search(vectors)
    return (time.perf_counter() - began) / len(questions)


def compare(reader: Reader, texts: QueryVectors, count: int, rounds: int) -> None:
    """Print both times and their ratio, through our search and in the store alone."""
    names = texts.modalities
    questions = generic_questions()[:count]
    whole = [texts.of(text, ("clip",)) for text in questions]
    parts = [texts.of(text, names) for text in questions]
    figure("named vectors that are fused", len(names))

    def searched(by: str) -> Callable[[Mapping[str, Vector]], object]:
        return lambda vectors: search_clips(reader, vectors, by=by, limit=HITS)

    def in_store(vectors: Mapping[str, Vector]) -> object:
        return reader.query([Query(name, vector, LIVE_CLIPS, HITS) for name, vector in vectors.items()])

    ways = (("", searched("clip"), searched("rrf")), (" in the store alone", in_store, in_store))
    for told, one, many in ways:
        seconds_of(one, whole), seconds_of(many, parts)  # what is read for the first time is not timed
        clip, fused, ratio = paired(lambda: seconds_of(one, whole), lambda: seconds_of(many, parts), rounds=rounds)  # noqa: B023
        figure(f"clip{told}", 1000 * clip, "ms")
        figure(f"fusion of {len(names)} named vectors{told}", 1000 * fused, "ms")
        figure(f"clip / fusion{told}", ratio, at_most=None if told else GOAL_RATIO)
    for name in names:
        alone = [{name: vectors[name]} for vectors in parts if name in vectors]
        figure(f"{name} in the store alone", 1000 * seconds_of(in_store, alone), "ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", help="an index of real videos; of the examples where none is named")
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        real = given.index or str(scratch / "examples")
        if given.index is None:
            ingest(IngestSettings(sources=(str(EXAMPLES),), index=real))
        recipe = fill(str(scratch / "mixed"), real, given.clips)
        reader = open_reader(IndexLocation.parse(str(scratch / "mixed")))
        stack.callback(reader.close)
        texts = QueryVectors(recipe, reader.schema, shown="mixed")
        compare(reader, texts, given.questions, given.rounds)
        for name, queries in layouts(reader, recipe, texts, given.questions).items():
            found = recalls(reader, queries)
            figure(f"recall@{HITS} of clip, {name}", found[FUSION_DEPTH], at_least=GOAL_RECALL)
            figure(f"recall@{HITS} of clip, {name}, searched only ten deep", found[HITS])
    for who, whose in (("this process", resource.RUSAGE_SELF), ("building graphs", resource.RUSAGE_CHILDREN)):
        figure(f"memory at most, {who}", resource.getrusage(whose).ru_maxrss / GIGABYTES, "GiB")
    finish()


if __name__ == "__main__":
    main()
