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
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.embed_segment import Embedding
from pipelines.refill import RefillFrom, Refilling
from transforms import heap, interrupt, measures
from transforms.beam_measures import report_to_beam
from transforms.decode import Decoded
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
    ends_at: float | None = None
    remote: RemoteSettings = DEFAULTS

    def expand(self, segments: beam.PCollection[Segment]) -> beam.PCollection[SegmentResult]:
        embed = _EmbedSegments(self.recipe, self.device, self.prefetch, self.refill, self.ends_at, self.remote)
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
    def __init__(
        self,
        recipe: Recipe,
        device: str,
        prefetch: int,
        refill: RefillFrom | None,
        ends_at: float | None = None,
        remote: RemoteSettings = DEFAULTS,
    ) -> None:
        self._recipe, self._device, self._prefetch, self._refill = recipe, device, prefetch, refill
        self._ends_at, self._remote = ends_at, remote

    def setup(self) -> None:
        heap.share_heaps()
        with measures.timed(measures.LOADING):
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
        self._maker.models.register(self)
        self._ahead: deque[tuple[Segment, Future[Decoded], Any, Any]] = deque()

    def process(
        self, segment: Segment, window: Any = beam.DoFn.WindowParam, timestamp: Any = beam.DoFn.TimestampParam
    ) -> Iterator[WindowedValue]:
        if interrupt.stopping(self._ends_at):
            return
        future = self._decoders.submit(self._decode, segment)
        self._ahead.append((segment, future, window, timestamp))
        if len(self._ahead) > self._prefetch:
            yield from self._oldest()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        while self._ahead:
            yield from self._oldest()
        self._maker.models.unregister(self)
        report_to_beam()

    def _decode(self, segment: Segment) -> Decoded:
        with measures.timed(measures.DECODING, video=segment.video.uri):
            return self._maker.decode(segment)

    def _oldest(self) -> Iterator[WindowedValue]:
        """The result of the segment that was sent to the decoders first; none where its file changed."""
        segment, future, window, timestamp = self._ahead.popleft()
        try:
            with measures.timed(measures.DECODE_WAIT):
                decoded = future.result()
        except VideoChanged as changed:
            listener().message(str(changed))
            return
        except IngestError as error:
            measures.count(measures.SEGMENTS_REJECTED)
            measures.count(measures.REJECTED, of=type(error).__name__)
            result = rejected_segment(segment, error)
        else:
            measures.count(measures.DECODED)
            result = self._maker.embed(decoded)
            del decoded, future
            heap.give_back()
        yield WindowedValue(result, timestamp, (window,))
