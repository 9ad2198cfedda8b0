"""The report of one run for people: where its time went, what was rejected and why, which videos took longest.

Everything comes from the run's line in `runs.jsonl`, so that a past run has a report too.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.charts import spans, stacked
from pipelines.report_html import page
from pipelines.times import lasting
from transforms import measures
from transforms.errors import UsageError
from transforms.measures import MEASURES, Measure
from transforms.uris import shown

#: Busy time of workers, in the order in which the data goes.
_STAGES = (
    measures.LOADING,
    measures.PROBING,
    measures.DECODING,
    measures.DECODE_WAIT,
    measures.ENCODING,
    measures.FUSING,
    measures.WRITING,
)
_NEEDED = {"measured", "phases", "step_seconds", "busy_msec", "slowest"}
#: What takes less than this share of the busy time cannot be seen in a time line.
_LEAST_SHOWN = 0.005
_TITLES = {
    "models_load": "loading models",
    "probe": "looking into videos",
    "decode": "decoding",
    "decode_wait": "waiting for decoded segments",
    "encode": "encoding",
    "fuse": "fusing",
    "write": "storing and committing",
}
_COUNTS = (
    ("videos_found", "videos found"),
    ("videos_indexed", "indexed"),
    ("videos_unchanged", "unchanged"),
    ("videos_moved", "moved"),
    ("videos_deferred", "left to the next run"),
    ("videos_rejected", "rejected"),
    ("videos_removed", "removed"),
    ("clips_written", "clips written"),
)


def run_page(line: Mapping[str, Any], *, index: str) -> str:
    """The report as HTML text; `line` is a run's line of the log. Raises UsageError for one of an older Reelvec."""
    if not line.keys() >= _NEEDED:
        raise UsageError(f"the run of {line.get('started')} was logged by a Reelvec that did not note where time went")
    values = _by_measure(line["measured"])
    wall = float(line["wall_seconds"])
    phases = [(name, start, seconds) for name, start, seconds in line["phases"]]
    return page(
        "run.html",
        title=f"A run of {line['command']}",
        subtitle=f"{index}, {line['started']}, {lasting(wall)} on {line['host']}, reelvec {line['reelvec']}",
        outcome=line["outcome"],
        error=line.get("error", ""),
        counts=[(title, line[key]) for key, title in _COUNTS if key in line],
        speed=f"{line['seconds_embedded'] / wall:.2f}" if wall else "-",
        embedded=lasting(line["seconds_embedded"]),
        phases=_phase_rows(phases, wall),
        phase_chart=spans(phases, upto=wall, label="seconds since the run began") if phases else None,
        busy_chart=_busy_chart(line),
        stages=[row for measure in _STAGES for row in _stage_rows(measure, values[measure], wall)],
        fill=_fill(values[measures.BATCH_FILL].get("")),
        counters=_counter_rows(values),
        causes=sorted(values[measures.REJECTED].items(), key=lambda item: -_sum(item[1])),
        slowest=[_slow_row(one) for one in line["slowest"]],
    )


def _by_measure(measured: Mapping[str, Any]) -> dict[Measure, dict[str, Any]]:
    """Values by measure and label; names that this version does not know are left out."""
    by_name = {measure.name: measure for measure in MEASURES}
    values: dict[Measure, dict[str, Any]] = defaultdict(dict)
    for name, value in measured.items():
        stem, _, of = name.partition("-")
        if stem in by_name:
            values[by_name[stem]][of] = value
    return values


def _phase_rows(phases: Sequence[tuple[str, float, float]], wall: float) -> list[tuple[str, str, str]]:
    """Phases by name with their share of the run; what lies between them is starting up and bookkeeping."""
    taken: defaultdict[str, float] = defaultdict(float)
    for name, _, seconds in phases:
        taken[name] += seconds
    taken["starting up and between"] = max(0.0, wall - _covered(phases))
    return [(name, lasting(seconds), _percent(seconds, wall)) for name, seconds in taken.items()]


def _covered(phases: Sequence[tuple[str, float, float]]) -> float:
    """Seconds in which some phase went on; two at once count once."""
    covered, until = 0.0, 0.0
    for start, end in sorted((start, start + seconds) for _, start, seconds in phases):
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return covered


def _stage_rows(measure: Measure, values: Mapping[str, Any], wall: float) -> list[tuple[str, str, int, str, str, str]]:
    title = _TITLES[measure.name.removesuffix("_msec")]
    return [
        (
            f"{title}: {of}" if of else title,
            lasting(value["sum"] / 1000),
            value["count"],
            f"{value['sum'] / value['count'] / 1000:.3f}",
            f"{value['max'] / 1000:.3f}",
            _percent(value["sum"] / 1000, wall),
        )
        for of, value in sorted(values.items(), key=lambda item: -item[1]["sum"])
        if value["count"]
    ]


def _counter_rows(values: Mapping[Measure, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    shown_apart = (measures.REJECTED, measures.VIDEO_WRITTEN)
    return [
        (measure.help.rstrip("."), of, f"{value:g}")
        for measure in MEASURES
        if measure.kind == "counter" and measure not in shown_apart
        for of, value in values.get(measure, {}).items()
        if value
    ]


def _fill(value: Mapping[str, Any] | None) -> str:
    return "" if not value or not value["count"] else f"{value['sum'] / value['count']:.0f} % of {value['count']}"


def _busy_chart(line: Mapping[str, Any]) -> Any:
    busy: Mapping[str, Sequence[float]] = line["busy_msec"]
    if not busy:
        return None
    least = _LEAST_SHOWN * sum(map(sum, busy.values()))
    named = {_named(name): [msec / 1000 for msec in steps] for name, steps in busy.items() if sum(steps) >= least}
    return stacked(named, step_seconds=float(line["step_seconds"]), label="busy at once", across="seconds")


def _named(series: str) -> str:
    name, _, of = series.partition(" ")
    return f"{_TITLES.get(name, name)}: {of}" if of else _TITLES.get(name, name)


def _slow_row(one: Mapping[str, Any]) -> tuple[str, str, str]:
    spent = {name: seconds for name, seconds in one.items() if name != "uri"}
    parts = ", ".join(f"{_TITLES.get(name, name)} {seconds:.2f} s" for name, seconds in spent.items())
    return shown(str(one["uri"])), f"{sum(spent.values()):.2f}", parts


def _sum(value: Any) -> float:
    return float(value["sum"] if isinstance(value, Mapping) else value)


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"
