"""The drift report for people: an HTML page, and a table."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from pipelines.charts import bars, histogram
from pipelines.drift import EDGES, SAME, DriftReport, sentences
from pipelines.report_html import page
from pipelines.show import out
from pipelines.show_reports import figure

#: Where on the axis of cosines a number stands.
_BINS = [f"{edge:g}" if round(edge * 10) % 2 == 0 else "" for edge in EDGES[:-1]]


def drift_page(report: DriftReport) -> str:
    """The whole report as HTML text."""
    coverage = {side: [(row[side], None) for row in report.coverage.values()] for side in ("index", "against")}
    return page(
        "drift.html",
        title="Drift",
        subtitle=f"{report.index} ({report.clips['index']} clips) against {report.against} "
        f"({report.clips['against']} clips); {report.common} sampled clips are on both sides",
        notes=report.notes,
        sentences=sentences(report),
        vectors=report.vectors,
        same=SAME,
        coverage=report.coverage,
        coverage_chart=bars(list(report.coverage), coverage, label="share of clips"),
        charts={name: _scores(own) for name, own in report.vectors.items() if own.get("histogram")},
        queries=report.queries,
        thresholds=report.thresholds,
    )


def show_drift(report: DriftReport) -> None:
    """A row a vector, then the sentences."""
    console = out()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("vector")
    for title in ("verdict", "same clip", "neighbours", "centroid", "scores (KS)", "collapsed"):
        table.add_column(title, justify="right")
    for name, own in report.vectors.items():
        shared, collapsed = own.get("overlap"), own.get("collapsed_share") or {}
        table.add_row(
            name,
            own["verdict"],
            figure(own.get("same_clip_cosine")),
            figure(shared["overlap"] if shared else None),
            figure(own.get("centroid_shift")),
            figure(own.get("ks")),
            figure(collapsed.get("index")),
        )
    console.print(table)
    console.print(Text(f"{report.common} sampled clips are on both sides", style="dim"))
    for sentence in sentences(report):
        console.print(Text(sentence))


def _scores(own: Mapping[str, Any]) -> Any:
    """Both histograms in per mille, since the sides may have samples of different sizes."""
    series = {side: _per_mille(counts) for side, counts in own["histogram"].items()}
    return histogram(_BINS, series, label="pairs of clips, per mille", across="cosine")


def _per_mille(counts: list[int]) -> list[int]:
    whole = sum(counts)
    return [round(1000 * count / whole) for count in counts] if whole else counts
