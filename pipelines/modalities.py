"""What each modality of an index is worth: coverage, contribution, redundancy, imbalance, health, weights."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipelines.clip_sample import SampledClip, draw
from pipelines.modality_weights import ask, question_contributions, recommend, shares_of_hits
from pipelines.neighbours import Modality, contributions, mass, modalities, redundancy
from pipelines.questions import Copies, Question
from pipelines.search import Searcher
from transforms.errors import UsageError
from transforms.index.query import AUTO
from transforms.records import SparseVector

#: Clips that are compared with each other unless told otherwise; memory and time grow with its square.
SAMPLE_CLIPS = 2000

#: Vectors whose mean cosine with each other reaches this do not tell clips apart.
COLLAPSED = 0.999

#: How far a dense vector's length may lie from 1; the store refuses to write more.
LENGTH_TOLERANCE = 1e-3

NO_QUESTIONS = {"recommended": None, "reason": "there are no labelled questions to measure them by"}

#: Named vectors that are made of others, and therefore no modalities of their own.
DERIVED = ("clip", "frames")


@dataclass(frozen=True, slots=True)
class ModalityReport:
    """The report as plain values; docs/evaluation.md defines each."""

    clips: int
    videos: int
    sampled_clips: int
    sampled_videos: int
    seed: int
    coverage: dict[str, dict[str, Any]]  # by named vector
    contribution: dict[str, Any]  # of the corpus's own questions: clips that ask for the rest of their video
    questions: dict[str, Any] | None  # of the user's questions; None without
    redundancy: dict[str, dict[str, dict[str, Any] | None]]
    imbalance: dict[str, Any]
    health: dict[str, dict[str, Any]]
    weights: dict[str, Any]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The report as `report modalities --json` prints it."""
        return asdict(self)


def modality_report(
    searcher: Searcher,
    questions: Sequence[Question] = (),
    *,
    copies: Copies | None = None,
    most_clips: int = SAMPLE_CLIPS,
    seed: int = 0,
) -> ModalityReport:
    """Measure the modalities of an index on a sample of its clips and, where given, on labelled questions.

    Raises UsageError for an index without clips.
    """
    sample = draw(searcher.reader, most_clips=most_clips, seed=seed)
    if not sample.clips:
        raise UsageError(f"there is nothing to report on: no clip of {searcher.location} can be searched")
    names = [name for name in searcher.reader.schema.vector_names if name not in DERIVED]
    held = modalities(sample.clips, names)
    by_name = {one.name: one for one in held}
    told = contributions(sample.clips, held) if held else {}
    asked_names = [name for name in by_name if searcher.takes_text(name)]
    plain = [question for question in questions if not question.options]
    asked = ask(searcher, plain, asked_names, copies or Copies()) if plain and asked_names else []
    weights = recommend(asked, asked_names, seed=seed) if asked else NO_QUESTIONS
    imbalance: dict[str, Any] = {"of": "questions" if asked else "clips"}
    imbalance["share_of_score"] = shares_of_hits(asked, asked_names) if asked else mass(held) if held else {}
    imbalance["evenness"] = evenness(list(imbalance["share_of_score"].values()))
    imbalance["auto_hits_by"] = _auto_hits_by(searcher, plain) if asked else None
    notes = [*sample.notes, *_notes(len(sample.clips), names, list(by_name), told)]
    if len(plain) < len(questions):
        notes.append(f"{len(questions) - len(plain)} questions that say more than a text are left out")
    return ModalityReport(
        clips=sample.clips_total,
        videos=sample.videos_total,
        sampled_clips=len(sample.clips),
        sampled_videos=len({clip.uri for clip in sample.clips}),
        seed=seed,
        coverage={name: dict(row) for name, row in sample.coverage.items()},
        contribution=told,
        questions=question_contributions(asked, asked_names) if asked else None,
        redundancy=redundancy(held),
        imbalance=imbalance,
        health={name: health(sample.clips, by_name, name) for name in searcher.reader.schema.vector_names},
        weights=weights,
        notes=tuple(notes),
    )


def health(clips: Sequence[SampledClip], held: Mapping[str, Modality], name: str) -> dict[str, Any]:
    """Whether the sampled vectors of that name are finite, of unit length (dense ones) and different."""
    vectors = [clip.vectors[name] for clip in clips if name in clip.vectors]
    if not vectors:
        return {"clips": 0, "problems": []}
    sparse = isinstance(vectors[0], SparseVector)
    values = [vector.values if isinstance(vector, SparseVector) else np.atleast_2d(vector) for vector in vectors]
    norms = np.concatenate([np.atleast_1d(np.linalg.norm(value, axis=-1)) for value in values])
    distinct = len({value.tobytes() for value in values}) if not sparse else None
    told: dict[str, Any] = {
        "clips": len(vectors),
        "not_finite": sum(not np.isfinite(value).all() for value in values),
        "norm_min": round(float(norms.min()), 4) if np.isfinite(norms).all() else None,
        "norm_max": round(float(norms.max()), 4) if np.isfinite(norms).all() else None,
        "distinct": distinct,
        "mean_cosine": None,
        "problems": [],
    }
    if told["not_finite"]:
        told["problems"].append(f"{told['not_finite']} of {len(vectors)} vectors are not finite")
    elif not sparse and np.abs(norms - 1).max() > LENGTH_TOLERANCE:
        told["problems"].append(f"lengths lie between {norms.min():.4g} and {norms.max():.4g} instead of at 1")
    if name in held and (mean := held[name].mean_similarity) is not None:
        told["mean_cosine"] = round(mean, 4)
        if mean >= COLLAPSED:
            told["problems"].append("all clips have practically the same vector: it cannot tell them apart")
    return told


def evenness(shares: Sequence[float]) -> float | None:
    """Pielou's evenness (1966): the entropy of the shares over that of equal ones, 0 to 1; None below two shares."""
    if len(shares) < 2:
        return None
    positive = np.array([share for share in shares if share > 0.0])
    return round(abs(float(-(positive * np.log(positive)).sum() / np.log(len(shares)))), 4)


def _auto_hits_by(searcher: Searcher, questions: Sequence[Question]) -> dict[str, float]:
    """The share of `auto`'s first ten hits that each modality ranked best."""
    deciding = Counter(hit.by for question in questions for hit in searcher.search(question.text, by=AUTO, limit=10))
    whole = sum(deciding.values())
    return {name: round(count / whole, 4) for name, count in deciding.most_common()}


def _notes(clips: int, names: Sequence[str], held: Sequence[str], told: dict[str, Any]) -> list[str]:
    """What a reader has to know about tables that are empty or short."""
    notes = []
    if clips == 1:
        notes.append("one clip only: there is nothing to compare it with")
    elif held and not told:
        notes.append("no video has two sampled clips: the corpus has no questions of its own")
    if absent := [name for name in names if name not in held]:
        notes.append(f"carried by no sampled clip: {', '.join(absent)}")
    if len(held) == 1:
        notes.append(f"{held[0]} is the only modality: it is redundant with nothing, and nothing is left without it")
    return notes
