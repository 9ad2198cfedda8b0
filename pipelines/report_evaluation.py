"""An evaluation as an HTML page: figures, comparisons, plots, and every question with what was found."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.charts import bars, histogram
from pipelines.evaluate import Answer, Evaluation
from pipelines.gates import ALL, FIGURES, Verdict
from pipelines.report_html import page
from pipelines.search import SearchHit
from pipelines.times import clock
from transforms.uris import shown

#: Ranks as the histogram groups them: (its label, the last rank of it).
BINS = (("1", 1), ("2", 2), ("3", 3), ("4-5", 5), ("6-10", 10), ("11-20", 20), ("21-100", 100), ("not found", math.inf))

_SHOWN_HITS = 3


def evaluation_page(evaluation: Evaluation, verdicts: Sequence[Verdict], *, index: str) -> str:
    """The whole report as HTML text."""
    names = list(evaluation.answers)
    kinds = list(evaluation.figures[names[0]])
    notes = [*evaluation.refused]
    if evaluation.not_indexed:
        missing = ", ".join(shown(uri) for uri in evaluation.not_indexed)
        notes.append(f"{len(evaluation.not_indexed)} right files are not in the index: {missing}")
    recall = {
        name: [(figures["recall@5"], figures["recall@5_ci95"]) for figures in evaluation.figures[name].values()]
        for name in names
    }
    return page(
        "evaluation.html",
        title="Evaluation",
        subtitle=f"{index}, {len(evaluation.answers[names[0]])} questions",
        notes=notes,
        verdicts=verdicts,
        columns=FIGURES,
        tables={kind: {name: evaluation.figures[name][kind] for name in names} for kind in (ALL, *kinds[:-1])},
        counts={kind: evaluation.figures[names[0]][kind]["queries"] for kind in kinds},
        recall_chart=bars(kinds, recall, label="recall@5"),
        rank_chart=histogram(
            [label for label, _ in BINS],
            {name: binned([one.judged.first_rank for one in evaluation.answers[name]]) for name in names},
            label="questions",
            across="rank of the first right file",
        ),
        questions=list(_questions(evaluation.answers)),
    )


def binned(ranks: Sequence[float]) -> list[int]:
    """How many ranks fall into each of BINS."""
    counts = [0] * len(BINS)
    for rank in ranks:
        counts[next(place for place, (_, last) in enumerate(BINS) if rank <= last)] += 1
    return counts


def _questions(answers: Mapping[str, Sequence[Answer]]) -> list[dict[str, Any]]:
    rows = []
    for together in zip(*answers.values(), strict=True):
        question = together[0].question
        ranks = {name: one.judged.first_rank for name, one in zip(answers, together, strict=True)}
        rows.append(
            {
                "text": "; ".join([question.text, *(f"{name}: {value}" for name, value in question.options.items())]),
                "kind": question.kind,
                "relevant": ", ".join(shown(uri) for uri in question.relevant),
                "span": _span(question.start_seconds, question.end_seconds),
                "ranks": {name: "-" if rank == math.inf else f"{rank:g}" for name, rank in ranks.items()},
                "hits": {name: _hits(one) for name, one in zip(answers, together, strict=True)},
            }
        )
    return rows


def _hits(answer: Answer) -> list[dict[str, Any]]:
    pairs = list(zip(answer.hits, answer.judged.right, strict=True))[:_SHOWN_HITS]
    return [{"video": hit.video, "right": right, "span": _span(*_played(hit))} for hit, right in pairs]


def _played(hit: SearchHit) -> tuple[float, float]:
    """The clip's span on a player's clock."""
    return hit.start_seconds - hit.media_start_seconds, hit.end_seconds - hit.media_start_seconds


def _span(start: float | None, end: float | None) -> str:
    if start is None:
        return ""
    return f"{clock(max(0.0, start))} - {'' if end is None else clock(max(0.0, end))}"
