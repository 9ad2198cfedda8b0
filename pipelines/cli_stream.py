"""`reelvec stream`: follow Kafka, Pub/Sub or a folder, one line a batch that did something."""

import json
import os
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli_engines import Runner, engine_settings
from pipelines.cli_groups import grouped
from pipelines.cli_ingest import settings_of
from pipelines.cli_options import DEFAULT_INDEX, INTERRUPTED, Device, Index, Json, Recipe, a_time, say
from pipelines.cli_watch import stopped_by_signals
from transforms.errors import MissingIndex, ReelvecError, UsageError

if TYPE_CHECKING:
    from pipelines.settings import IngestSettings
    from pipelines.stream import Batch, StreamSettings
    from transforms.records import LedgerEntry
    from transforms.stream.messages import EventSource


@dataclass(frozen=True, slots=True)
class Source:
    """Where events come from: one of three."""

    kafka: Annotated[str | None, typer.Option(help="Brokers, host:port[,host:port].", metavar="BROKERS")] = None
    topic: Annotated[str | None, typer.Option(help="The topic of --kafka.")] = None
    group: Annotated[str | None, typer.Option(help="The consumer group of --kafka.")] = None
    kafka_options: Annotated[
        Path | None, typer.Option(help="A file of client options, name = value; $NAME is an environment variable.")
    ] = None
    pubsub: Annotated[str | None, typer.Option(help="A subscription.", metavar="projects/P/subscriptions/S")] = None
    folder: Annotated[str | None, typer.Option(help="A folder that is looked at again and again.")] = None
    every: Annotated[float, a_time("From one look at --folder to the next.")] = 1.0
    settle: Annotated[float, a_time("In --folder, leave files alone that changed so lately.")] = 2.0

    def check(self, events: "Events") -> None:
        """Raise UsageError for more sources than one, or none, and for events that may name anything."""
        given = {"--kafka": self.kafka, "--pubsub": self.pubsub, "--folder": self.folder}
        if sum(value is not None for value in given.values()) != 1:
            raise UsageError(f"name one source of events: {', '.join(given)}")
        if self.folder is None and not events.root and not events.lead:
            raise UsageError(
                "events of a broker may name anything, so say which files are meant: "
                "--root FOLDER or s3://bucket/prefix or gs://bucket/prefix; --root / for every file of this machine"
            )

    def opened(self, settings: "IngestSettings") -> "EventSource":
        """The source, not connected yet."""
        if self.kafka is not None:
            return _kafka(self.kafka, self.topic, self.group, self.kafka_options)
        if self.pubsub is not None:
            from transforms.stream.pubsub import PubSubSource

            return PubSubSource(self.pubsub, tell=say)
        from pipelines.stream_folder import FolderSource

        assert self.folder is not None
        return FolderSource(
            self.folder,
            every_seconds=self.every,
            settle_seconds=self.settle,
            max_delete=settings.max_delete,
            entries=lambda: _entries(settings.index),
            tell=say,
        )


@dataclass(frozen=True, slots=True)
class Events:
    """How events are taken up."""

    root: Annotated[
        list[str] | None,
        typer.Option(
            help="Events may name files here only; may be given again. / is every file of this machine.",
            metavar="FOLDER|s3://BUCKET/PREFIX|gs://BUCKET/PREFIX",
        ),
    ] = None
    lead: Annotated[
        list[str] | None,
        typer.Option(
            "--map", help="A folder that holds what URIs name: gs://bucket/=/mnt/bucket.", metavar="PREFIX=FOLDER"
        ),
    ] = None
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Most events in one batch.")] = 256
    tries: Annotated[int, typer.Option(min=1, max=20, help="For a file that is not there yet.")] = 5
    retry: Annotated[float, a_time("Before the second try; each further one doubles it.")] = 2.0
    end_when_idle: Annotated[float | None, a_time("End when nothing came for so long.")] = None
    max_failures: Annotated[
        int | None, typer.Option(min=1, help="End after so many failed batches in a row; without it, never.")
    ] = None
    keep_tombstones_days: Annotated[
        float, typer.Option(min=0.0, max=36_500.0, help="How long a deletion keeps late creations of its video out.")
    ] = 30.0
    keep_dead_letters: Annotated[
        int, typer.Option(min=1, help="Most dead letters of events that are kept; the oldest are dropped.")
    ] = 10_000

    def settings(self) -> "StreamSettings":
        """The same, checked; raises UsageError."""
        from pipelines.stream import StreamSettings
        from transforms.stream.look import places_of

        return StreamSettings(
            batch_events=self.batch,
            tries=self.tries,
            wait_seconds=self.retry,
            idle_seconds=self.end_when_idle,
            max_failures=self.max_failures,
            places=places_of(self.root or (), self.lead or ()),
            keep_tombstones_days=self.keep_tombstones_days,
            keep_dead_letters=self.keep_dead_letters,
        )


@grouped
def stream_command(
    ctx: typer.Context,
    index: Index = DEFAULT_INDEX,
    *,
    source: Source,
    events: Events,
    recipe: Recipe = None,
    device: Device = None,
    max_delete: Annotated[
        str | None, typer.Option(help="Most videos that may go from --folder at once: a share or a number.")
    ] = None,
    runner: Runner = None,
    as_json: Json = False,
) -> None:
    """Keep an index true by events: a file came, changed or went. Models stay loaded.

    Ctrl-C (exit code 130) and SIGTERM (0) finish what is in flight; a second one ends at once.
    """
    from pipelines.lines import LineProgress
    from pipelines.stream import stream

    source.check(events)
    how = events.settings()
    given: dict[str, Any] = {"index": index, "recipe": recipe, "device": device, "max_delete": max_delete}
    given |= {"publish_every_seconds": 5.0, "command": "stream", **engine_settings(ctx, runner, detach=False)}
    settings = settings_of(given)
    total: Counter[str] = Counter()
    problem = ""
    with stopped_by_signals() as stop:
        for one in stream(settings, source.opened(settings), how=how, stop=stop, listen=LineProgress):
            total["events"] += one.events if one.error is None else 0
            total.update(one.counts)
            if not problem or problem != str(one.error):  # the same thing is said once
                _tell(one, as_json=as_json)
            problem = str(one.error) if one.error is not None else ""
        said = ", ".join(f"{count} {name}" for name, count in total.items() if count)
        say(f"the stream ended: {said or 'no events'}")
        if stop.signum == signal.SIGINT:
            raise typer.Exit(INTERRUPTED)


def _kafka(brokers: str, topic: str | None, group: str | None, options: Path | None) -> "EventSource":
    from transforms.stream.kafka import KafkaSource, read_options

    if not topic or not group:
        raise UsageError("--kafka wants the --topic to read and the --group to read it as")
    try:
        lines = options.read_text().splitlines() if options is not None else []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the Kafka options cannot be read: {options}: {error}") from error
    return KafkaSource(brokers, topic, group, options=read_options(lines, os.environ), tell=say)


def _entries(index: str) -> Mapping[str, "LedgerEntry"]:
    from transforms.index.ledger import read_entries
    from transforms.index.location import IndexLocation
    from transforms.index.open import open_reader

    try:
        reader = open_reader(IndexLocation.parse(index))
    except MissingIndex:
        return {}
    try:
        return read_entries(reader)
    finally:
        reader.close()


def _tell(one: "Batch", *, as_json: bool) -> None:
    from pipelines.times import lasting

    if one.error is not None:
        error = one.error
        what = str(error) if isinstance(error, ReelvecError) else f"{type(error).__name__}: {error}"
        say(f"batch {one.number} failed: {what}; the next try comes in {lasting(one.pause_seconds)}")
        return
    counts = {name: count for name, count in sorted(one.counts.items()) if count}
    if as_json:
        told = {
            "batch": one.number,
            "events": one.events,
            **{name.replace(" ", "_"): count for name, count in counts.items()},
            "clips_written": one.clips,
            "waiting": one.waiting,
            "seconds": round(one.seconds, 3),
        }
        print(json.dumps(told), flush=True)
        return
    parts = [f"{one.events} events", *(f"{count} {name}" for name, count in counts.items())]
    if one.waiting:
        parts.append(f"{one.waiting} waiting")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    print(f"{now} batch {one.number}: {', '.join(parts)}; {one.clips} clips in {lasting(one.seconds)}", flush=True)
