"""What `evaluate` and `report` print for people."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from pipelines.printable import printable
from pipelines.show import out

if TYPE_CHECKING:
    from pipelines.evaluate import Evaluation

#: A p-value up to which a difference is called one.
SIGNIFICANT = 0.05


def show_evaluation(evaluation: "Evaluation") -> None:
    """A row a kind of question, a column a way of searching; then who is best, and whether by more than luck."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("questions")
    table.add_column("", justify="right")
    for by in evaluation.figures:
        table.add_column(by, justify="right")
    first = next(iter(evaluation.figures.values()))
    for kind, figures in first.items():
        cells = [_cell(by[kind]) for by in evaluation.figures.values()]
        table.add_row(Text(printable(kind)), str(figures["queries"]), *cells)
    console = out()
    console.print(table)
    console.print(
        "recall@1 / @5 / @10 over distinct files (share of right files whose clip overlaps the span)", style="dim"
    )
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
    recalls = " / ".join(figure(figures[f"recall@{depth}"]) for depth in (1, 5, 10))
    return f"{recalls} ({figure(figures['span_hit'])})"


def figure(value: float | int | None) -> str:
    """A share as tables show it."""
    return "-" if value is None else f"{value:.2f}"
