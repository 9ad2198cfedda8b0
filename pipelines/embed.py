"""Segment -> SegmentResult: decode, cut, encode and fuse as one fused stage.

Pixels and samples live in this stage alone. While one segment is encoded the next ones are
decoded in threads (the work is done by ffmpeg in child processes), so both kinds of work overlap
even on a runner that hands out a single bundle.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.embed_segment import Embedding
from pipelines.refill import RefillFrom, Refilling
from transforms import heap, interrupt
from transforms.decode import Decoded
from transforms.encoders.device import halvings_count
from transforms.errors import IngestError, VideoChanged
from transforms.media.versions import decoder_version
from transforms.progress import listener
from transforms.recipe import Recipe
from transforms.records import Reject, Segment, SegmentResult
from transforms.remote.settings import DEFAULTS, RemoteSettings


@dataclass
class EmbedSegments(beam.PTransform):
    """Segments -> SegmentResults, `prefetch` of them decoded ahead; what `refill` holds of them is not made again."""

    recipe: Recipe
    device: str = "auto"
    prefetch: int = 2
    refill: RefillFrom | None = None
    remote: RemoteSettings = DEFAULTS

    def expand(self, segments: beam.PCollection[Segment]) -> beam.PCollection[SegmentResult]:
        embed = _EmbedSegments(self.recipe, self.device, self.prefetch, self.refill, self.remote)
        return segments | "DecodeEncodeFuse" >> beam.ParDo(embed).with_output_types(SegmentResult)


def rejected_segment(segment: Segment, error: IngestError) -> SegmentResult:
    """The result of a segment that could not be decoded."""
    video = segment.video
    reject = Reject(
        uri=video.uri,
        stage="decode",
        error=type(error).__name__,
        message=str(error),
        transient=error.transient,
        start_seconds=segment.start_seconds,
        end_seconds=segment.end_seconds,
        attempts=segment.attempts,
        content=segment.content,
        size_bytes=video.size_bytes,
        version=video.version,
        decoder=decoder_version(),
    )
    return SegmentResult(segment, "rejected", reject=reject)


class _EmbedSegments(beam.DoFn):
    decoded = Metrics.counter("reelvec", "segments_decoded_count")
    rejected = Metrics.counter("reelvec", "segments_rejected_count")
    halved = Metrics.counter("reelvec", "batches_halved_count")

    def __init__(
        self,
        recipe: Recipe,
        device: str,
        prefetch: int,
        refill: RefillFrom | None,
        remote: RemoteSettings = DEFAULTS,
    ) -> None:
        self._recipe, self._device, self._prefetch, self._refill = recipe, device, prefetch, refill
        self._remote = remote

    def setup(self) -> None:
        heap.share_heaps()
        self._maker = self._made()
        self._decoders = ThreadPoolExecutor(self._prefetch, thread_name_prefix="decode")

    def _made(self) -> Embedding | Refilling:
        if self._refill is None:
            return Embedding(self._recipe, self._device, self._remote)
        return Refilling(self._recipe, self._device, self._refill, self._remote)

    def teardown(self) -> None:
        self._maker.models.unregister(self)
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._maker.close()

    def start_bundle(self) -> None:
        self._halved_before = halvings_count()
        self._maker.models.register(self)
        self._ahead: deque[tuple[Segment, Future[Decoded], Any, Any]] = deque()

    def process(
        self, segment: Segment, window: Any = beam.DoFn.WindowParam, timestamp: Any = beam.DoFn.TimestampParam
    ) -> Iterator[WindowedValue]:
        if interrupt.stopping():
            return
        future = self._decoders.submit(self._maker.decode, segment)
        self._ahead.append((segment, future, window, timestamp))
        if len(self._ahead) > self._prefetch:
            yield from self._oldest()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        while self._ahead:
            yield from self._oldest()
        self._maker.models.unregister(self)
        self.halved.inc(halvings_count() - self._halved_before)

    def _oldest(self) -> Iterator[WindowedValue]:
        """The result of the segment that was sent to the decoders first; none where its file changed."""
        segment, future, window, timestamp = self._ahead.popleft()
        try:
            decoded = future.result()
        except VideoChanged as changed:
            listener().message(str(changed))
            return
        except IngestError as error:
            self.rejected.inc()
            result = rejected_segment(segment, error)
        else:
            self.decoded.inc()
            result = self._maker.embed(decoded)
            del decoded, future
            heap.give_back()
        yield WindowedValue(result, timestamp, (window,))
