"""Gates: the least (or most) that a figure of an evaluation must be for a script to go on."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.metrics import MEANS
from transforms.errors import UsageError
from transforms.index.query import AUTO

ALL = "all"

#: The figures that a gate can be put on.
FIGURES = (*MEANS, "median_rank", "span_hit")

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_GATE = re.compile(r"(?P<name>[^<>=]+?)\s*(?P<operator>[<>]=?)\s*(?P<limit>[-+0-9.eE]+)")


@dataclass(frozen=True, slots=True)
class Gate:
    """One figure and its limit, e.g. auto.visual.recall@5 >= 0.6."""

    strategy: str
    kind: str
    figure: str
    operator: str
    limit: float

    def __str__(self) -> str:
        return f"{self.strategy}.{self.kind}.{self.figure} {self.operator} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a gate was met, with the sentence that says so."""

    gate: Gate
    met: bool
    sentence: str


def parse_gate(text: str, *, strategies: Sequence[str], kinds: Sequence[str]) -> Gate:
    """A gate from "recall@5>=0.6" or "auto.visual.recall@5>=0.6".

    Without a way of searching `auto` is meant, without a kind of question all of them. Raises UsageError for what
    is no gate, and for a figure that this evaluation will not have.
    """
    written = _GATE.fullmatch(text.strip())
    try:
        limit = float(written["limit"]) if written else float("nan")
    except ValueError:
        limit = float("nan")
    if written is None or limit != limit:
        raise UsageError(f"a gate is written as recall@5>=0.6 or auto.visual.recall@5>=0.6: {text!r}")
    *before, figure = (part.strip() for part in written["name"].split("."))
    if figure not in FIGURES:
        raise UsageError(f"the gate {text!r} is on {figure!r}, which is no figure; there are: {', '.join(FIGURES)}")
    strategy, kind = _whose(text, before, strategies=strategies, kinds=kinds)
    return Gate(strategy, kind, figure, written["operator"], limit)


def judge(gate: Gate, figures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Verdict:
    """Whether the figure meets its limit; the interval is told and does not count.

    Raises UsageError for a figure without a value: a span hit where no right file with a span was found.
    """
    own = figures[gate.strategy][gate.kind]
    value, interval = own[gate.figure], own[f"{gate.figure}_ci95"]
    if value is None and gate.figure != "median_rank":
        having = [name for name in FIGURES if own[name] is not None]
        raise UsageError(f"the gate {gate} is on a figure that has no value; those that have: {', '.join(having)}")
    met = _OPERATORS[gate.operator](float("inf") if value is None else value, gate.limit)
    low, high = (_shown(end) for end in interval)
    sentence = (
        f"{'met' if met else 'NOT met'}: {gate}: it is {_shown(value)}, "
        f"95 % interval {low} to {high}, {own['queries']} questions"
    )
    return Verdict(gate, met, sentence)


def _whose(text: str, parts: Sequence[str], *, strategies: Sequence[str], kinds: Sequence[str]) -> tuple[str, str]:
    """The way of searching and the kind of question that the parts before a figure name."""
    if len(parts) == 1 and parts[0] in strategies and parts[0] in kinds:
        raise UsageError(
            f"the gate {text!r}: {parts[0]!r} is a way of searching and a kind of question; "
            f"write {AUTO}.{parts[0]}. or {parts[0]}.{ALL}. before the figure"
        )
    if len(parts) == 2:
        strategy, kind = parts
    elif len(parts) == 1:
        strategy, kind = (AUTO, parts[0]) if parts[0] in kinds else (parts[0], ALL)
    else:
        strategy, kind = AUTO, ALL
    if len(parts) > 2 or strategy not in strategies or kind not in kinds:
        raise UsageError(
            f"the gate {text!r} is on {strategy}.{kind}, which is not measured; "
            f"ways of searching: {', '.join(strategies)}; kinds of questions: {', '.join(kinds)}"
        )
    return strategy, kind


def _shown(value: float | None) -> str:
    return "beyond the files looked at" if value is None else f"{value:.4g}"
