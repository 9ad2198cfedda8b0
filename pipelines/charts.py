"""Charts as SVG that stands in an HTML page, drawn by matplotlib without a display or global state."""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.printable import printable

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that people who see few of them can tell apart (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#666666")

#: Texts stay texts, so that a browser shows any script in its own fonts; a "$" in a name starts no formula.
_STYLE: Any = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 9, "font.family": "sans-serif"}

Bar = tuple[float | None, Sequence[float | None] | None]  # value, and [low, high] of its interval


def bars(groups: Sequence[str], series: Mapping[str, Sequence[Bar]], *, label: str) -> "Markup":
    """Bars side by side for each group, one a series, with their intervals; values of 0 to 1."""
    figure, axes = _canvas(width=max(5.0, 0.5 + 0.19 * len(groups) * (len(series) + 1.5)))
    wide = 0.82 / max(1, len(series))
    for place, (name, values) in enumerate(series.items()):
        at = [group + (place + 0.5) * wide - 0.41 for group in range(len(groups))]
        heights = [value or 0.0 for value, _ in values]
        ends = [interval or (value, value) for value, interval in values]
        below = [max(0.0, height - (low if low is not None else height)) for height, (low, _) in zip(heights, ends)]  # noqa: B905
        above = [max(0.0, (high if high is not None else height) - height) for height, (_, high) in zip(heights, ends)]  # noqa: B905
        axes.bar(at, heights, wide * 0.9, label=printable(name), color=COLOURS[place % len(COLOURS)])
        if any(interval for _, interval in values):
            axes.errorbar(at, heights, yerr=[below, above], fmt="none", ecolor="#222222", elinewidth=0.8, capsize=1.5)
    axes.set_xticks(range(len(groups)), [printable(group) for group in groups])
    axes.set_ylim(0, 1.02)
    axes.set_ylabel(label)
    if len(series) > 1:
        axes.legend(ncols=min(4, len(series)), loc="lower left", bbox_to_anchor=(0, 1.01), frameon=False)
    return _svg(figure)


def histogram(bins: Sequence[str], series: Mapping[str, Sequence[int]], *, label: str, across: str) -> "Markup":
    """How many fall into each bin, one row of bars a series."""
    figure, first = _canvas(width=6.5, height=0.7 + 0.75 * len(series), rows=len(series))
    highest = max((max(counts) for counts in series.values()), default=1)
    for place, (axes, (name, counts)) in enumerate(zip(first.figure.axes, series.items(), strict=True)):
        axes.bar(range(len(bins)), counts, 0.85, color=COLOURS[place % len(COLOURS)])
        axes.set_ylim(0, max(1, highest) * 1.25)
        axes.set_yticks([])
        axes.set_ylabel(printable(name), rotation=0, ha="right", va="center")
        axes.set_xticks(range(len(bins)), bins if place == len(series) - 1 else [""] * len(bins))
        for at, count in enumerate(counts):
            if count:
                axes.text(at, count, str(count), ha="center", va="bottom", fontsize=7)
    first.figure.axes[-1].set_xlabel(across)
    figure.suptitle(label, fontsize=9, x=0.02, ha="left")
    return _svg(figure)


def heat(names: Sequence[str], rows: Sequence[Sequence[float | None]], *, label: str) -> "Markup":
    """A square table of shares as colours with their numbers; what is None stays blank."""
    side = 1.6 + 0.62 * len(names)
    figure, axes = _canvas(width=side + 0.8, height=side)
    shown = [[float("nan") if value is None else value for value in row] for row in rows]
    axes.pcolormesh(shown, cmap="Blues", vmin=0.0, vmax=1.0)  # shapes; an image would be a resource of its own
    axes.invert_yaxis()
    ticks = [printable(name) for name in names]
    middles = [place + 0.5 for place in range(len(names))]
    axes.set_xticks(middles, ticks, rotation=40, ha="right")
    axes.set_yticks(middles, ticks)
    for down, row in enumerate(rows):
        for right, value in enumerate(row):
            if value is not None:
                dark = "white" if value > 0.6 else "#222222"
                axes.text(right + 0.5, down + 0.5, f"{value:.2f}", ha="center", va="center", color=dark, fontsize=8)
    axes.set_title(label, fontsize=9)
    return _svg(figure)


def spans(parts: Sequence[tuple[str, float, float]], *, upto: float, label: str) -> "Markup":
    """When each part of something went on: (name, start, length), a row a name, on an axis of 0 to `upto`."""
    names = list(dict.fromkeys(name for name, _, _ in parts))
    figure, axes = _canvas(width=8.0, height=0.9 + 0.24 * len(names))
    for row, name in enumerate(names):
        own = [(start, length) for each, start, length in parts if each == name]
        axes.broken_barh(own, (row - 0.35, 0.7), color=COLOURS[row % len(COLOURS)])
    axes.set_yticks(range(len(names)), [printable(name) for name in names])
    axes.invert_yaxis()
    axes.set_xlim(0, max(upto, 1e-3))
    axes.set_xlabel(label)
    return _svg(figure)


def stacked(series: Mapping[str, Sequence[float]], *, step_seconds: float, label: str, across: str) -> "Markup":
    """Busy seconds of each step on top of each other, as so many at once."""
    figure, axes = _canvas(width=8.0, height=2.6 + 0.16 * len(series))
    steps = max(map(len, series.values()), default=0)
    below = [0.0] * steps
    for place, (name, busy) in enumerate(series.items()):
        heights = [seconds / step_seconds for seconds in [*busy, *[0.0] * (steps - len(busy))]]
        hatch = "//" if place >= len(COLOURS) else None
        starts = [step * step_seconds for step in range(steps)]
        colour = COLOURS[place % len(COLOURS)]
        axes.bar(
            starts, heights, step_seconds, bottom=below, align="edge", label=printable(name), color=colour, hatch=hatch
        )
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.set_xlim(0, max(steps * step_seconds, step_seconds))
    axes.set_ylabel(label)
    axes.set_xlabel(across)
    axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1.01), frameon=False)
    return _svg(figure)


def _canvas(*, width: float, height: float = 3.2, rows: int = 1) -> "tuple[Figure, Axes]":
    """A figure of so many inches and its first axes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, 1, squeeze=False)
    for one in axes[:, 0]:
        one.spines[["top", "right"]].set_visible(False)
    first: Axes = axes[0, 0]
    return figure, first


def _svg(figure: "Figure") -> "Markup":
    """The figure as an <svg> element; the same bytes for the same figure."""
    import matplotlib as mpl
    from markupsafe import Markup

    text = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": "reelvec"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the browser has fonts of its own
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    drawn = text.getvalue()
    return Markup(drawn[drawn.index("<svg") :])
