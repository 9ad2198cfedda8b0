"""What `evaluate` and `report` print for people."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from pipelines.printable import printable
from pipelines.show import out

if TYPE_CHECKING:
    from pipelines.evaluate import Evaluation
    from pipelines.modalities import ModalityReport

#: A p-value up to which a difference is called one.
SIGNIFICANT = 0.05


def show_evaluation(evaluation: "Evaluation") -> None:
    """A row a way of searching, a column a kind of question; then who is best, and whether by more than luck."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("questions", overflow="fold")
    first = next(iter(evaluation.figures.values()))
    for kind in first:
        table.add_column(Text(printable(kind)), justify="right", overflow="fold")
    table.add_row("", *(Text(str(figures["queries"]), style="dim") for figures in first.values()))
    for by, kinds in evaluation.figures.items():
        table.add_row(by, *map(_cell, kinds.values()))
    console = out()
    console.print(table)
    console.print("recall@1 / @5 over distinct files; --json and --html have the other figures", style="dim")
    for by, kinds in evaluation.figures.items():
        console.print(Text(f"{by}, all questions: {_in_words(kinds['all'])}"))
    console.print("compared with the best, all questions (paired test, corrected for their number):", style="dim")
    for by, kinds in evaluation.figures.items():
        if sentence := compared(by, kinds["all"]["versus_best"]):
            console.print(Text(sentence))


def compared(by: str, versus: Mapping[str, Any] | None) -> str:
    """A sentence on how far a way of searching lies behind the best one; "" for that one."""
    if versus is None:
        return ""
    low, high = versus["recall@5_difference_ci95"]
    p_value = versus["recall@5_p_holm"]
    verdict = "a difference" if p_value <= SIGNIFICANT else "no difference that these questions can show"
    return (
        f"{by} against {versus['strategy']}: recall@5 {versus['recall@5_difference']:+.2f} "
        f"({low:+.2f} to {high:+.2f}), p = {p_value:.3g}: {verdict}"
    )


def _in_words(figures: Mapping[str, Any]) -> str:
    named = [
        f"{name} {figure(figures[name])} ({figure(figures[f'{name}_ci95'][0])} to {figure(figures[f'{name}_ci95'][1])})"
        for name in ("recall@5", "map", "ndcg@10")
    ]
    rank = figures["median_rank"]
    return f"{', '.join(named)}, median rank {'beyond the files looked at' if rank is None else f'{rank:g}'}"


def _cell(figures: Mapping[str, Any]) -> str:
    return " / ".join(figure(figures[f"recall@{depth}"]) for depth in (1, 5))


def figure(value: float | int | None) -> str:
    """A share as tables show it."""
    return "-" if value is None else f"{value:.2f}"


def show_modalities(report: "ModalityReport") -> None:
    """A row a named vector; then what the modalities repeat of each other, and the weights."""
    console = out()
    console.print(Text(f"{report.clips} clips of {report.videos} videos; {report.sampled_clips} clips compared"))
    found = report.questions or report.contribution
    measure = "mrr" if report.questions else "same_video_map"
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("vector")
    for title in ("clips", "videos", "seconds", "alone", "added (95 %)", "share of score"):
        table.add_column(title, justify="right")
    for name, row in report.coverage.items():
        own = found.get("modalities", {}).get(name, {"alone": {}, "added_to_the_others": {}})
        table.add_row(
            name,
            *(figure(row[f"{what}_share"]) for what in ("clips", "videos", "seconds")),
            figure(own["alone"].get(measure)),
            with_interval(own["added_to_the_others"], measure),
            figure(report.imbalance["share_of_score"].get(name)),
        )
    console.print(table)
    if found:
        of = "questions" if report.questions else "clips that ask for the rest of their video"
        whole = figure(found["together"][measure])
        chance = f", by chance {figure(found['chance'][measure])}" if "chance" in found else ""
        line = f"alone, added: {measure} of {found['queries']} {of}; all together {whole}{chance}"
        console.print(Text(line, style="dim"))
    for sentence in sentences(report):
        console.print(Text(sentence))


def sentences(report: "ModalityReport") -> list[str]:
    """What the tables do not say: repetition, faulty vectors, weights."""
    told = []
    pairs = [
        (pair["overlap"], f"{one} and {other}", pair["chance"])
        for at, (one, others) in enumerate(report.redundancy.items())
        for other, pair in others.items()
        if pair is not None and other in list(report.redundancy)[at + 1 :]
    ]
    for overlap, both, chance in sorted(pairs, reverse=True):
        told.append(f"{both}: {overlap:.2f} of the neighbours shared, {chance:.2f} by chance")
    told += [f"{name}: {problem}" for name, row in report.health.items() for problem in row["problems"]]
    if (even := report.imbalance["evenness"]) is not None:
        told.append(f"evenness of the modalities' shares of score: {even:.2f} (1 is balanced)")
    if hits := report.imbalance["auto_hits_by"]:
        told.append("auto's first ten hits are decided by " + ", ".join(f"{name} {hits[name]:.2f}" for name in hits))
    weights = report.weights
    chosen = weights["recommended"]
    named = ",".join(f"{name}={weight:g}" for name, weight in chosen.items()) if chosen else "no recommendation"
    told.append(f"weights: {named}: {weights['reason']}")
    return told


def with_interval(figures: Mapping[str, Any], name: str) -> str:
    """+0.12 (+0.03 to +0.20), or "-" where there is no such figure."""
    if figures.get(name) is None:
        return "-"
    low, high = figures[f"{name}_ci95"]
    return f"{figures[name]:+z.2f} ({low:+z.2f} to {high:+z.2f})"
