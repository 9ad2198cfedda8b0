"""How a benchmark says what it measured: one line a figure, or one JSON document with --json."""

import json
import statistics
import sys
from collections.abc import Callable
from typing import Any

_figures: list[dict[str, Any]] = []


def figure(
    name: str, value: float, unit: str = "", *, at_most: float | None = None, at_least: float | None = None
) -> None:
    """Print `name: value unit (limit, met or not)`."""
    limit = f"at most {at_most:g}" if at_most is not None else f"at least {at_least:g}" if at_least is not None else ""
    met = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
    _figures.append({"name": name, "value": value, "unit": unit, "limit": limit, "met": met})
    if "--json" not in sys.argv:
        verdict = f" ({limit}: {'met' if met else 'NOT met'})" if limit else ""
        print(f"{name}: {value:.4g} {unit}".rstrip() + verdict, flush=True)


def finish() -> None:
    """Print the document that --json asks for; call it last."""
    if "--json" in sys.argv:
        print(json.dumps(_figures, indent=1))


def paired(ours: Callable[[], float], bare: Callable[[], float], *, rounds: int = 3) -> tuple[float, float, float]:
    """Run both in turn; gives the medians of ours, of the bare one, and of their ratio round by round."""
    pairs = [(ours(), bare()) for _ in range(rounds)]
    ratio = statistics.median(own / other for own, other in pairs)
    return statistics.median(own for own, _ in pairs), statistics.median(other for _, other in pairs), ratio
