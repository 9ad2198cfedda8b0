"""How well an index answers labelled questions, by every way of searching that it offers."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.asked import Asked
from pipelines.compare import against_best
from pipelines.gates import ALL
from pipelines.metrics import SPAN_DEPTH, Judged, figures_over
from pipelines.questions import Copies, Question, lengths_of, read_questions
from pipelines.search import Searcher, SearchHit
from transforms.errors import UsageError
from transforms.uris import shown

__all__ = [
    "Answer",
    "Evaluation",
    "Question",  # and read_questions: of pipelines.questions, offered here to whoever only evaluates
    "answer",
    "evaluate",
    "figures_of",
    "read_questions",
    "strategies",
]

#: Distinct files that a ranking is followed to; what comes later counts as not found.
DEPTH = 100

#: Clips asked for at first, as for every search of up to so many hits, and after that where they lie in too few files.
_LIMITS = (50, 400, 3200)

Figures = dict[str, dict[str, dict[str, Any]]]  # by way of searching, kind of question and name


@dataclass(frozen=True, slots=True)
class Answer:
    """The first distinct files that were found, each with its best clip; of copies only the first."""

    question: Question
    hits: tuple[SearchHit, ...]
    copies: Copies = field(default_factory=Copies)
    refused: str = ""  # why this way of searching cannot be asked so

    @property
    def judged(self) -> Judged:
        """Which hits are right: those in a right file or in a copy of one."""
        right_groups = {shown(self.copies.of(uri)) for uri in self.question.relevant}
        group_of = {shown(uri): group for uri, group in self.copies.group_of.items()}
        right = tuple(group_of.get(hit.video, hit.video) in right_groups for hit in self.hits)
        named = {shown(uri) for uri in self.question.relevant}
        spans = [_overlaps(hit, self.question) for hit in self.hits[:SPAN_DEPTH] if hit.video in named]
        has_span = self.question.start_seconds is not None
        return Judged(right, len(right_groups), tuple(spans) if has_span else ())


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures by way of searching and kind of question, the rankings behind them, and what makes them smaller."""

    figures: Figures
    not_indexed: tuple[str, ...]  # URIs of right files that the index does not hold
    answers: Mapping[str, Sequence[Answer]] = field(default_factory=dict)  # by way of searching

    @property
    def refused(self) -> tuple[str, ...]:
        """What could not be asked, a sentence a way of searching and reason."""
        counts: dict[tuple[str, str], int] = defaultdict(int)
        for name, answers in self.answers.items():
            for one in answers:
                counts[name, one.refused] += bool(one.refused)
        return tuple(f"{count} questions not asked by {name}: {why}" for (name, why), count in counts.items() if why)


def strategies(searcher: Searcher, by: Sequence[str] = ()) -> tuple[str, ...]:
    """The ways of searching to measure: those of `by`, or all of the index that take a text.

    `frames`, which `auto` holds already, is left out unless it is named. Raises UsageError for an unknown one.
    """
    unknown = [name for name in by if name not in searcher.names]
    if unknown:
        raise UsageError(f"this index cannot be searched by {unknown[0]!r}; it can by {', '.join(searcher.names)}")
    held = searcher.reader.schema.vector_names  # the other names are fusions of these
    asked = by or [
        name for name in searcher.names if name != "frames" and (name not in held or searcher.takes_text(name))
    ]
    return tuple(dict.fromkeys(asked))


def evaluate(
    searcher: Searcher, questions: Sequence[Question], *, by: Sequence[str] = (), copies: Copies | None = None
) -> Evaluation:
    """Ask every question in every way of `by` (default: all that the index offers)."""
    if not questions:
        raise UsageError("there are no questions to ask")
    names = strategies(searcher, by)
    not_indexed = frozenset(uri for uri, length in lengths_of(searcher.reader, questions).items() if length is None)
    answers = {
        name: [answer(searcher.ask, question, by=name, copies=copies or Copies()) for question in questions]
        for name in names
    }
    figures = {name: figures_of(own, not_indexed=not_indexed) for name, own in answers.items()}
    for kind in figures[names[0]]:
        judged = {name: [one.judged for one in _of_kind(own, kind)] for name, own in answers.items()}
        for name, comparison in against_best(judged).items():
            figures[name][kind]["versus_best"] = comparison
    return Evaluation(figures, tuple(sorted(not_indexed)), answers)


def answer(
    ask: Callable[[Asked], Sequence[SearchHit]], question: Question, *, by: str, copies: Copies | None = None
) -> Answer:
    """Ask until enough distinct files are found or there are no more clips.

    The files that a shallow search finds stand first, in its order, as a user sees them; deeper ones, which may
    fuse more clips, only add files behind them.
    """
    known = copies or Copies()
    group_of = {shown(uri): group for uri, group in known.group_of.items()}
    found: dict[str, SearchHit] = {}
    for limit in _LIMITS:
        asked = question.asked(by=by, limit=limit)
        try:
            hits = ask(asked)
        except UsageError as error:
            if not question.options:
                raise
            return Answer(question, (), known, str(error))
        for hit in hits:
            found.setdefault(group_of.get(hit.video, hit.video), hit)
        if len(found) >= DEPTH or len(hits) < limit:
            break
    return Answer(question, tuple(found.values())[:DEPTH], known)


def figures_of(answers: Sequence[Answer], *, not_indexed: frozenset[str] = frozenset()) -> dict[str, dict[str, Any]]:
    """Figures for each kind of question, in the order in which they come, and for all together."""
    kinds = tuple(dict.fromkeys(one.question.kind for one in answers))
    if ALL in kinds:
        clash = next(one.question for one in answers if one.question.kind == ALL)
        raise UsageError(f'{clash}: a kind of question cannot be called "{ALL}"')
    figures = {kind: figures_over([one.judged for one in _of_kind(answers, kind)]) for kind in (*kinds, ALL)}
    for kind, own in figures.items():
        relevant = {uri for one in _of_kind(answers, kind) for uri in one.question.relevant}
        own["files_not_indexed"] = len(relevant & not_indexed)
    return figures


def _of_kind(answers: Sequence[Answer], kind: str) -> list[Answer]:
    return [one for one in answers if kind in (ALL, one.question.kind)]


def _overlaps(hit: SearchHit, question: Question) -> bool:
    """Whether the clip and the labelled span share a moment; both half-open."""
    start, end = (value - hit.media_start_seconds for value in (hit.start_seconds, hit.end_seconds))
    asked_start = question.start_seconds or 0.0
    return end > asked_start and (question.end_seconds is None or start < question.end_seconds)
