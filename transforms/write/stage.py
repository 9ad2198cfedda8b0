"""The Beam side of writing: results are stored in groups, which wait longer the longer storing one takes."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.utils.windowed_value import WindowedValue

from transforms import (
    coders,  # noqa: F401  registers them
    measures,
)
from transforms.beam_measures import report_to_beam
from transforms.index.location import IndexLocation
from transforms.index.open import open_writer
from transforms.index.store import VectorStore
from transforms.progress import listener
from transforms.records import Receipt, RejectedVideo, Schema, SegmentResult
from transforms.write.commit import record_reject, write_results

_log = logging.getLogger(__name__)

#: One upsert, one check and one flush for as many clips as come within this time, and no more than this number.
GROUP_SECONDS = 0.5
GROUP_CLIPS = 512
#: Where a store answers slowly more come together, so that a twentieth of the time goes into waiting for it. What is
#: lost with a worker, and how late a search sees a video, is bounded by the longest time.
GROUP_PER_WRITE = 20.0
LONGEST_GROUP_SECONDS = 5.0


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
    def setup(self) -> None:
        super().setup()
        self._wait_seconds = GROUP_SECONDS

    def start_bundle(self) -> None:
        self._group: list[tuple[SegmentResult, Callable[[Receipt], WindowedValue]]] = []
        self._written_at = time.monotonic()

    def process(
        self, result: SegmentResult, window: Any = beam.DoFn.WindowParam, timestamp: Any = beam.DoFn.TimestampParam
    ) -> Iterator[WindowedValue]:
        self._group.append((result, lambda receipt: WindowedValue(receipt, timestamp, (window,))))
        clips = sum(len(held.points) for held, _ in self._group)
        if clips >= GROUP_CLIPS or time.monotonic() - self._written_at >= self._wait_seconds:
            yield from self._write()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from self._write()

    def _write(self) -> Iterator[WindowedValue]:
        group, self._group = self._group, []
        if group:
            began = time.monotonic()
            with measures.timed(measures.WRITING):
                receipts = write_results(self._store, [result for result, _ in group], self._schema.recipe)
            self._wait_seconds = group_seconds(time.monotonic() - began)
            self._report(receipts)
            in_window = {id_of(result): windowed for result, windowed in group}
            for receipt in receipts:
                yield in_window[receipt.uri, receipt.content, receipt.index](receipt)
        self._written_at = time.monotonic()

    def _report(self, receipts: list[Receipt]) -> None:
        for receipt in receipts:
            seconds = receipt.duration_seconds / receipt.count
            measures.count(measures.CLIPS_WRITTEN, receipt.clips)
            measures.count(measures.SEGMENTS_WRITTEN)
            measures.count(measures.VIDEO_WRITTEN, seconds * 1000)
            said: dict[str, Any] = {"event": "segment_stored", "video": receipt.uri, "content": receipt.content}
            said |= {"segment": receipt.index, "segments": receipt.count, "clips": receipt.clips}
            _log.info("segment %d of %s: %d clips", receipt.index, receipt.uri, receipt.clips, extra=said)
            listener().segment_done(seconds, receipt.clips)
        report_to_beam()


class _RecordRejects(_WithStore):
    def process(self, rejected: RejectedVideo) -> Iterator[RejectedVideo]:
        if record_reject(self._store, rejected).state != "skipped":
            measures.count(measures.REJECTED, of=rejected.reject.error)
        report_to_beam()
        listener().message(f"rejected: {rejected.reject.message}")
        yield rejected


def group_seconds(write_seconds: float) -> float:
    """How long results wait for others to be stored with, after a group that took so long to store."""
    return min(LONGEST_GROUP_SECONDS, max(GROUP_SECONDS, GROUP_PER_WRITE * write_seconds))


def id_of(result: SegmentResult) -> tuple[str, str, int]:
    """What tells one result of a group from another."""
    return result.segment.video.uri, result.segment.content, result.segment.index
