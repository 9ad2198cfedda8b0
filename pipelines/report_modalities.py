"""The modality report as an HTML page."""

from typing import Any

from pipelines.charts import bars, heat
from pipelines.modalities import ModalityReport
from pipelines.report_html import page
from pipelines.show_reports import sentences, with_interval


def modalities_page(report: ModalityReport, *, index: str) -> str:
    """The whole report as HTML text."""
    names = list(report.redundancy)
    coverage = {
        what: [(row[f"{what}_share"], None) for row in report.coverage.values()]
        for what in ("clips", "videos", "seconds")
    }
    blocks = [
        block
        for block in (
            _block("The user's questions", report.questions, ("mrr", "recall@5")),
            _block("The corpus's own questions", report.contribution, ("same_video_map", "neighbour_mrr")),
        )
        if block is not None
    ]
    return page(
        "modalities.html",
        title="Modalities",
        subtitle=f"{index}: {report.clips} clips of {report.videos} videos; "
        f"{report.sampled_clips} clips of {report.sampled_videos} videos compared, seed {report.seed}",
        notes=report.notes,
        sentences=sentences(report),
        coverage=report.coverage,
        coverage_chart=bars(list(report.coverage), coverage, label="share"),
        blocks=blocks,
        redundancy_chart=heat(names, _overlaps(report), label="shared neighbours") if len(names) > 1 else None,
        health=report.health,
        imbalance=report.imbalance,
    )


def _block(title: str, found: dict[str, Any] | None, measures: tuple[str, ...]) -> dict[str, Any] | None:
    """One table of contributions with its chart; None where nothing was asked."""
    if not found:
        return None
    modalities = found["modalities"]
    alone = [(own["alone"][measures[0]], own["alone"][f"{measures[0]}_ci95"]) for own in modalities.values()]
    together = (found["together"][measures[0]], found["together"][f"{measures[0]}_ci95"])
    return {
        "title": title,
        "queries": found["queries"],
        "measures": measures,
        "modalities": modalities,
        "together": found["together"],
        "auto": found.get("auto"),
        "added": {
            name: {what: with_interval(own["added_to_the_others"], what) for what in measures}
            for name, own in modalities.items()
        },
        "chart": bars([*modalities, "together"], {"alone": [*alone, together]}, label=measures[0]),
    }


def _overlaps(report: ModalityReport) -> list[list[float | None]]:
    rows: list[list[float | None]] = []
    for one in report.redundancy:
        pairs = {other: pair["overlap"] if pair else None for other, pair in report.redundancy[one].items()}
        rows.append([pairs.get(other) for other in report.redundancy])
    return rows
