"""The Beam side of writing: results are stored in groups, and never wait longer than half a second of work."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.windowed_value import WindowedValue

from transforms import coders  # noqa: F401  registers them
from transforms.index.location import IndexLocation
from transforms.index.open import open_writer
from transforms.index.store import VectorStore
from transforms.progress import listener
from transforms.records import Receipt, RejectedVideo, Schema, SegmentResult
from transforms.write.commit import record_reject, write_results

#: One upsert, one check and one flush for as many clips as come within this time, and no more than this number.
GROUP_SECONDS = 0.5
GROUP_CLIPS = 512


@dataclass
class WriteSegments(beam.PTransform):
    """SegmentResults -> Receipts; the last receipt of a video commits it."""

    location: IndexLocation
    schema: Schema

    def expand(self, results: beam.PCollection[SegmentResult]) -> beam.PCollection[Receipt]:
        return results | "Upsert" >> beam.ParDo(_WriteSegments(self.location, self.schema)).with_output_types(Receipt)


@dataclass
class RecordRejects(beam.PTransform):
    """RejectedVideos -> ledger entries in the store; gives the rejects back."""

    location: IndexLocation
    schema: Schema

    def expand(self, rejected: beam.PCollection[RejectedVideo]) -> beam.PCollection[RejectedVideo]:
        return rejected | "Enter" >> beam.ParDo(_RecordRejects(self.location, self.schema)).with_output_types(
            RejectedVideo
        )


class _WithStore(beam.DoFn):
    """A worker's handle on the store: opened in setup, let go in teardown."""

    def __init__(self, location: IndexLocation, schema: Schema) -> None:
        self._location, self._schema = location, schema

    def setup(self) -> None:
        self._store: VectorStore = open_writer(self._location, self._schema)

    def teardown(self) -> None:
        self._store.close()


class _WriteSegments(_WithStore):
    clips = Metrics.counter("reelvec", "clips_written_count")
    segments = Metrics.counter("reelvec", "segments_written_count")
    video = Metrics.counter("reelvec", "video_written_msec")

    def start_bundle(self) -> None:
        self._group: list[tuple[SegmentResult, Callable[[Receipt], WindowedValue]]] = []
        self._written_at = time.monotonic()

    def process(
        self, result: SegmentResult, window: Any = beam.DoFn.WindowParam, timestamp: Any = beam.DoFn.TimestampParam
    ) -> Iterator[WindowedValue]:
        self._group.append((result, lambda receipt: WindowedValue(receipt, timestamp, (window,))))
        clips = sum(len(held.points) for held, _ in self._group)
        if clips >= GROUP_CLIPS or time.monotonic() - self._written_at >= GROUP_SECONDS:
            yield from self._write()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from self._write()

    def _write(self) -> Iterator[WindowedValue]:
        group, self._group = self._group, []
        if group:
            receipts = write_results(self._store, [result for result, _ in group], self._schema.recipe)
            self._report(receipts)
            in_window = {id_of(result): windowed for result, windowed in group}
            for receipt in receipts:
                yield in_window[receipt.uri, receipt.content, receipt.index](receipt)
        self._written_at = time.monotonic()

    def _report(self, receipts: list[Receipt]) -> None:
        for receipt in receipts:
            self.clips.inc(receipt.clips)
            self.segments.inc()
            seconds = receipt.duration_seconds / receipt.count
            self.video.inc(round(1000 * seconds))
            listener().segment_done(seconds, receipt.clips)


class _RecordRejects(_WithStore):
    def process(self, rejected: RejectedVideo) -> Iterator[RejectedVideo]:
        record_reject(self._store, rejected)
        listener().message(f"rejected: {rejected.reject.message}")
        yield rejected


def id_of(result: SegmentResult) -> tuple[str, str, int]:
    """What tells one result of a group from another."""
    return result.segment.video.uri, result.segment.content, result.segment.index
