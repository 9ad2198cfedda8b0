"""What a command measures, as Prometheus reads it: from a port while it runs, from a file after a run of a schedule."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.tally import Tally
from transforms import measures
from transforms.errors import MissingPackage, UsageError
from transforms.measures import MEASURES, Measure, Total

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

DEFAULT_HOST = "127.0.0.1"
#: The gauges that the summary of the last run fills, by its keys.
_OF_SUMMARY = {
    measures.FOUND: "videos_found",
    measures.DEFERRED: "videos_deferred",
    measures.STAY_REJECTED: "videos_rejected",
}
_OUTCOMES = ("ok", "outage", "interrupted", "refused")


class Exported(Tally):
    """The tally of a command, and what stands of its runs; a collector of prometheus_client."""

    def __init__(self, *, index: str, command: str, last_ok: datetime | None = None) -> None:
        super().__init__()
        self._names = {"index": index, "command": command}
        self._last_ok = last_ok.timestamp() if last_ok is not None else None
        self._outcomes: defaultdict[str, int] = defaultdict(int)
        self.going = True

    def run_ended(self, line: Mapping[str, Any]) -> None:
        super().run_ended(line)
        self._outcomes[str(line["outcome"])] += 1
        if line["outcome"] == "ok":
            self._last_ok = datetime.fromisoformat(line["ended"]).timestamp()

    def values(self) -> dict[tuple[Measure, str], Total]:
        """Every measure with its labels, the gauges too, in the units of Beam."""
        totals = self.totals()
        for outcome in _OUTCOMES:
            totals[measures.RUNS, outcome] = Total(self._outcomes[outcome], 1)
        gauges: dict[Measure, float] = {measures.GOING: float(self.going)}
        if ended := self.ended:
            gauges[measures.LAST_ENDED] = datetime.fromisoformat(ended["ended"]).timestamp()
            gauges[measures.LAST_TOOK] = float(ended["wall_seconds"])
            gauges |= {measure: float(ended[key]) for measure, key in _OF_SUMMARY.items() if key in ended}
        if self._last_ok is not None:
            gauges[measures.LAST_OK] = self._last_ok
        return totals | {(measure, ""): Total(value, 1) for measure, value in gauges.items()}

    def collect(self) -> "Iterator[Metric]":
        """What prometheus_client asks for: counters that never counted are there with 0, so that rates begin there."""
        by_measure: dict[Measure, dict[str, Total]] = {
            measure: {} if measure.label or measure.kind != "counter" else {"": Total()} for measure in MEASURES
        }
        for (measure, of), total in self.values().items():
            by_measure[measure][of] = total
        for measure, totals in by_measure.items():
            if totals:
                yield from self._families(measure, totals)

    def _families(self, measure: Measure, totals: Mapping[str, Total]) -> "Iterator[Metric]":
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily

        labels = [*self._names, *filter(None, [measure.label])]
        name, per_unit = measure.exported, measure.per_unit
        rows = {(*self._names.values(), *([of] if measure.label else [])): total for of, total in totals.items()}
        if measure.kind == "distribution":
            summary = SummaryMetricFamily(name, measure.help, labels=labels)
            longest = GaugeMetricFamily(f"{name}_max", f"The largest: {measure.help}", labels=labels)
            for row, total in rows.items():
                summary.add_metric(row, count_value=total.count, sum_value=total.sum / per_unit)
                longest.add_metric(row, total.max / per_unit)
            yield from (summary, longest)
            return
        family: CounterMetricFamily | GaugeMetricFamily
        family = (CounterMetricFamily if measure.kind == "counter" else GaugeMetricFamily)(
            name, measure.help, labels=labels
        )
        for row, total in rows.items():
            family.add_metric(row, total.sum / per_unit)
        yield family


def check_prometheus() -> None:
    """Raise MissingPackage before any work is done."""
    try:
        import prometheus_client  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "metrics for Prometheus need prometheus_client, which is not installed: pip install 'reelvec[metrics]'"
        ) from error


def address_of(text: str) -> tuple[str, int]:
    """Host and port of `[HOST:]PORT`; this machine alone where no host is named. Raises UsageError."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) < 65536:
        raise UsageError(f"a port for metrics is [HOST:]PORT, as 9464 or 0.0.0.0:9464: {text!r}")
    return host.strip("[]") or DEFAULT_HOST, int(port)


@contextmanager
def served(exported: Exported, address: str) -> Iterator[int]:
    """Answer `GET /metrics` at this address during the block; gives the port. Raises UsageError where it is taken."""
    from prometheus_client import start_http_server

    host, port = address_of(address)
    try:
        server, thread = start_http_server(port, addr=host, registry=_registry(exported))
    except OSError as error:
        raise UsageError(
            f"metrics cannot be served at {host}:{port}: {error.strerror}; name another --metrics-port"
        ) from error
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_file(exported: Exported, path: Path) -> None:
    """Replace the file whole, as the textfile collector of node_exporter reads it. Raises UsageError."""
    from prometheus_client import write_to_textfile

    try:
        write_to_textfile(str(path), _registry(exported))
    except OSError as error:
        raise UsageError(f"the metrics cannot be written to {path}: {error.strerror}") from error


@contextmanager
def written_now_and_then(exported: Exported, path: Path, *, every_seconds: float = 60.0) -> Iterator[None]:
    """Write the file every so often while the block runs, and when it is over, whatever came of it."""
    over = threading.Event()

    def keep_writing() -> None:
        while not over.wait(every_seconds):
            write_file(exported, path)

    write_file(exported, path)
    thread = threading.Thread(target=keep_writing, name="metrics file", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        exported.going = False
        write_file(exported, path)


def _registry(exported: Exported) -> "CollectorRegistry":
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    registry.register(exported)
    return registry
