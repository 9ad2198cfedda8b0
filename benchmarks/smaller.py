"""What smaller vectors and lesser precision cost in recall, and what they save in bytes.

Every variant answers the same labelled questions (`queries.tsv` beside the videos) over the same clips, by the
nearest clips' files. Half of the dimensions are components fitted on the clips themselves. The store's quantization
is Qdrant's, with what it finds scored again by the full vectors; a store of a few hundred clips scans them as they are,
so the clips lie among 20,000 blends of two of them each, which belong to no file.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from report import figure, finish

from pipelines.evaluate import Question, read_questions
from pipelines.ingest import ingest
from pipelines.search import Searcher
from pipelines.settings import IngestSettings
from transforms.encoders.reduce import fit_components
from transforms.encoders.registry import loaded
from transforms.encoders.windows import unit_length
from transforms.fuse.blocks import as_block
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader, open_writer, release
from transforms.index.publish import publish
from transforms.index.query import LIVE_CLIPS
from transforms.index.store import Query
from transforms.records import ClipPoint, DenseVector, Float32, Quantization, Schema, SparseVector

FIRST = 5
CROWD = 20_000
KINDS = {"frame": "visual", "transcript": "speech"}


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """The clips of one named vector, and the questions that it is asked."""

    vectors: Float32  # (clips, dim)
    uris: Sequence[str]
    texts: Sequence[str]  # what each clip says
    questions: Sequence[Question]
    asked: Float32  # (questions, dim)

    def recall(self, vectors: Float32, asked: Float32) -> float:
        """The share of questions with a right file among the first five, by exact search."""
        order = np.argsort(-(asked @ vectors.T), axis=1, kind="stable")
        return float(np.mean([self._found(row, question) for row, question in zip(order, self.questions, strict=True)]))

    def recall_of(self, rank: Callable[[Float32], Sequence[int]]) -> float:
        """The same, with the store's own ranking of clips."""
        found = [self._found(rank(row), question) for row, question in zip(self.asked, self.questions, strict=True)]
        return float(np.mean(found))

    def _found(self, ranking: Sequence[int], question: Question) -> bool:
        files = list(dict.fromkeys(self.uris[place] for place in ranking if self.uris[place]))[:FIRST]
        return bool(set(files) & set(question.relevant))


def corpora(index: str, questions: Sequence[Question]) -> Iterator[tuple[str, Corpus]]:
    """The clips of an index by named vector."""
    with Searcher(index) as searcher:
        points = list(searcher.reader.scroll(LIVE_CLIPS, vectors=True))
        for name, kind in KINDS.items():
            rows = [point for point in points if name in point.vectors]
            own = [question for question in questions if question.kind == kind]
            asked = [searcher.query_vectors(question.text, by=name)[name] for question in own]
            yield (
                name,
                Corpus(
                    np.stack([as_block(point.vectors[name]) for point in rows]),
                    [str(point.payload["uri"]) for point in rows],
                    [str(point.payload.get("transcript", "")) for point in rows],
                    own,
                    np.stack([row for row in asked if not isinstance(row, SparseVector)]),
                ),
            )


def quantized(name: str, corpus: Corpus, kind: Quantization, folder: Path) -> tuple[float, float, int]:
    """(recall, share of the exact first ten that it finds, bytes of its quantized vectors)."""
    schema = Schema("smaller", "smaller", (DenseVector(name, corpus.vectors.shape[1], quantization=kind),))
    location = IndexLocation.parse(str(folder))
    store = open_writer(location, schema)
    ids = [f"00000000-0000-0000-0000-{place:012d}" for place in range(len(corpus.uris))]
    store.upsert(
        [
            ClipPoint(one, {name: row}, {"kind": "clip", "live": True, "uri": uri or "none", "start_seconds": 0.0})
            for one, row, uri in zip(ids, corpus.vectors, corpus.uris, strict=True)
        ]
    )
    store.flush()
    publish(location, store, optimize=True)
    store.close()
    release(location)
    reader = open_reader(location)

    def rank(row: Float32) -> list[int]:
        return [int(hit.id[-12:]) for hit in reader.query([Query(name, row, LIVE_CLIPS, limit=1000)])[0]]

    exact = np.argsort(-(corpus.asked @ corpus.vectors.T), axis=1)[:, :10]
    same = np.mean([len({*rank(row)[:10]} & {*best}) / 10 for row, best in zip(corpus.asked, exact, strict=True)])
    newest = max((folder / "published").glob("[0-9]*"), key=lambda version: int(version.name))
    size = sum(file.stat().st_size for file in newest.rglob("quantized*") if file.is_file())
    recall = corpus.recall_of(rank)
    reader.close()
    return recall, float(same), size


def crowded(corpus: Corpus) -> Corpus:
    """The corpus among blends of its own clips."""
    chance = np.random.default_rng(0)
    pairs = chance.integers(0, len(corpus.vectors), (CROWD, 2))
    blends = corpus.vectors[pairs].sum(1) + chance.normal(0, 0.02, (CROWD, corpus.vectors.shape[1]))
    vectors = np.concatenate([corpus.vectors, unit_length(blends.astype(np.float32))])
    return replace(corpus, vectors=vectors, uris=[*corpus.uris, *[""] * CROWD])


def with_text_precision(corpus: Corpus, encoder: str, precision: str) -> float:
    """Recall when the clips' words are embedded in another precision; questions stay as they are."""
    model = loaded(f"{encoder}?precision={precision}", device="cpu").model
    return corpus.recall(np.stack(model.texts(corpus.texts)), corpus.asked)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--media", type=Path, default=os.environ.get("REELVEC_TEST_MEDIA"), help="holds queries.tsv")
    parser.add_argument("--index", help="an index of that folder; made for the occasion where none is named")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.media is None:
        print("left out: name a folder of videos with questions in queries.tsv, by --media or REELVEC_TEST_MEDIA")
        raise SystemExit
    scratch = tempfile.TemporaryDirectory()
    if arguments.index is None:
        arguments.index = str(Path(scratch.name, "media.reelvec"))
        ingest(IngestSettings(sources=(str(arguments.media),), index=arguments.index))
    with Searcher(arguments.index) as searcher:
        text_encoder = searcher.recipe.text_encoder
    for name, corpus in corpora(
        arguments.index, read_questions(arguments.media / "queries.tsv", media=arguments.media)
    ):
        count, size = corpus.vectors.shape
        base = corpus.recall(corpus.vectors, corpus.asked)
        figure(f"{name}: recall@{FIRST} of {len(corpus.questions)} questions, fp32, {count} clips", base)
        half = fit_components(corpus.vectors, min(count, size // 2))
        figure(
            f"{name}: half the dimensions (PCA), recall",
            corpus.recall(half.apply(corpus.vectors), half.apply(corpus.asked)),
        )
        assert half.components is not None
        figure(f"{name}: half the dimensions (PCA), bytes / full", len(half.components) / size)
        many = crowded(corpus)
        figure(f"{name}: the same among {CROWD} blends, exact", many.recall(many.vectors, many.asked))
        for kind in ("none", "int8", "binary", "product"):
            with tempfile.TemporaryDirectory() as folder:
                recall, same, held = quantized(name, many, kind, Path(folder, "index"))
            figure(f"{name}: store quantization {kind}, recall", recall)
            figure(f"{name}: store quantization {kind}, of the exact first ten", same)
            if kind != "none":
                figure(f"{name}: store quantization {kind}, its bytes / the vectors'", held / many.vectors.nbytes)
        if name == "transcript":
            for precision in ("bf16", "int8"):
                figure(
                    f"{name}: text encoder in {precision}, recall", with_text_precision(corpus, text_encoder, precision)
                )
    finish()
    scratch.cleanup()
