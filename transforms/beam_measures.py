"""What was measured in a worker's process, handed to Beam, which carries it to whoever launched the pipeline."""

from functools import cache
from typing import Any

from apache_beam.metrics import Metrics

from transforms.measures import MEASURES, Measure, Total, hand_over

_NAMESPACE = "reelvec"


def report_to_beam() -> None:
    """Add what was measured since the last report to Beam's counters; call it inside a bundle, from its own thread."""
    counts, values = hand_over()
    for (measure, of), by in counts.items():
        _counter(measure.in_beam(of)).inc(round(by))
    for measure, of, value in values:
        _distribution(measure.in_beam(of)).update(round(value))


def totals_of(result: Any) -> dict[tuple[Measure, str], Total]:
    """What the workers of a pipeline measured so far, from its PipelineResult."""
    by_name = {measure.name: measure for measure in MEASURES}
    if "_metrics" in vars(result):
        result._metrics = None  # a portable result keeps the first answer, which is old as long as the job goes on
    found = result.metrics().query()
    totals: dict[tuple[Measure, str], Total] = {}
    for kind in ("counters", "distributions"):
        for metric in found[kind]:
            name, _, of = metric.key.metric.name.partition("-")
            if metric.key.metric.namespace != _NAMESPACE or name not in by_name or metric.result is None:
                continue
            totals.setdefault((by_name[name], of), Total()).add(_total(kind, metric.result))
    return totals


def _total(kind: str, held: Any) -> Total:
    if kind == "counters":
        return Total(sum=float(held), count=1)
    return Total(sum=float(held.sum or 0), count=int(held.count or 0), max=float(held.max or 0))


@cache
def _counter(name: str) -> Any:
    return Metrics.counter(_NAMESPACE, name)


@cache
def _distribution(name: str) -> Any:
    return Metrics.distribution(_NAMESPACE, name)
