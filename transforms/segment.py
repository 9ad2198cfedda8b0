"""VideoRef -> Segments: a grid over the time that a look inside the file found."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import apache_beam as beam

from transforms import (
    coders,  # noqa: F401  registers them
    interrupt,
    measures,
)
from transforms.beam_measures import report_to_beam
from transforms.cut import fixed_windows, most_clips
from transforms.errors import IngestError, LimitExceeded, RemoteRefused, RemoteUnavailable, VideoChanged
from transforms.media.probe import probe
from transforms.media.versions import decoder_version
from transforms.on_disk import on_disk
from transforms.progress import listener
from transforms.records import Reject, RejectedVideo, Segment, VideoInfo, VideoRef, Work
from transforms.remote.names import is_remote
from transforms.remote.settings import DEFAULTS, RemoteSettings
from transforms.segment_settings import SegmentSettings


def segments_of(work: Work, content: str, info: VideoInfo, settings: SegmentSettings) -> list[Segment]:
    """The segments of one video, each holding the clips that start in it.

    Where clips are cut by what is in the video, each segment holds one clip as long as itself: nothing is decoded
    here, and whoever decodes the segment cuts it.
    """
    if settings.kind != "windows":
        stretches = fixed_windows(info.start_seconds, info.end_seconds, clip_seconds=settings.segment_seconds)
        whole = [replace(stretch, index=stretch.index * most_clips(settings)) for stretch in stretches]
        return [
            Segment(work.video, content, info, index, len(whole), (stretch,), work.attempts, work.run)
            for index, stretch in enumerate(whole)
        ]
    clips = fixed_windows(
        info.start_seconds,
        info.end_seconds,
        clip_seconds=settings.clip_seconds,
        overlap_seconds=settings.overlap_seconds,
    )
    per_segment = max(1, int(settings.segment_seconds // (settings.clip_seconds - settings.overlap_seconds)))
    groups = [tuple(clips[start : start + per_segment]) for start in range(0, len(clips), per_segment)]
    return [
        Segment(work.video, content, info, index, len(groups), group, work.attempts, work.run)
        for index, group in enumerate(groups)
    ]


def segment_video(work: Work, settings: SegmentSettings, remote: RemoteSettings = DEFAULTS) -> list[Segment]:
    """Look into one file and cut it into segments.

    Raises IngestError where it cannot be read, VideoChanged where it is not the file that was listed.
    """
    with on_disk(work.video, remote) as here:
        info = probe(here.path)
        content = work.content or here.content
    return segments_of(work, content, info, settings)


@dataclass
class SegmentVideos(beam.PTransform):
    """Work -> Segments, and on the output `rejected` the videos that could not be looked into."""

    settings: SegmentSettings
    ends_at: float | None = None  # after which no video is looked into, in Unix seconds
    remote: RemoteSettings = DEFAULTS

    def expand(self, work: beam.PCollection[Work]):  # type: ignore[no-untyped-def]  # Beam reads the hint as one output
        cut = beam.ParDo(_SegmentVideos(self.settings, self.ends_at, self.remote))
        return work | "Probe" >> cut.with_outputs("rejected", main="segments")


class _SegmentVideos(beam.DoFn):
    def __init__(
        self, settings: SegmentSettings, ends_at: float | None = None, remote: RemoteSettings = DEFAULTS
    ) -> None:
        self._settings, self._ends_at, self._remote = settings, ends_at, remote

    def process(self, work: Work) -> Iterable[Segment | beam.pvalue.TaggedOutput[Literal["rejected"], RejectedVideo]]:
        if interrupt.stopping(self._ends_at):
            return
        measures.count(measures.PROBED)
        try:
            with measures.timed(measures.PROBING, video=work.video.uri):
                segments = segment_video(work, self._settings, self._remote)
        except VideoChanged as changed:
            listener().message(str(changed))
        except IngestError as error:
            yield beam.pvalue.TaggedOutput(
                "rejected", RejectedVideo(work.video, reject_of(work, error, self._remote), work.run)
            )
            listener().video_done()
        else:
            listener().video_found(segments[0].info.duration_seconds)
            yield from (segment for segment in segments if (segment.content, segment.index) not in work.done)

    def finish_bundle(self) -> None:
        report_to_beam()


@dataclass
class SpreadSegments(beam.PTransform):
    """Hand segments to all workers, but for those of a small remote file: they stay with who fetched it.

    Otherwise each of ten workers would fetch the whole file for its part of it.
    """

    together_bytes: int

    def expand(self, segments: beam.PCollection[Segment]) -> beam.PCollection[Segment]:
        bound, free = segments | "Part" >> beam.Partition(self._part, 2)
        return (bound, free | "Shuffle" >> beam.Reshuffle()) | "Join" >> beam.Flatten()

    def _part(self, segment: Segment, _parts: int) -> int:
        return 0 if stays_together(segment.video, self.together_bytes) else 1


def stays_together(video: VideoRef, together_bytes: int) -> bool:
    """Whether fetching a video once more costs more than decoding it on several workers saves."""
    return is_remote(video.uri) and video.size_bytes <= together_bytes


def reject_of(work: Work, error: IngestError, remote: RemoteSettings = DEFAULTS) -> Reject:
    """The record of a video that could not be looked into; of one that could not even be fetched no bytes are known."""
    content = work.content
    fetched = not is_remote(work.video.uri) or not isinstance(error, RemoteRefused | RemoteUnavailable | LimitExceeded)
    if not content and fetched:
        try:
            with on_disk(work.video, remote) as here:
                content = here.content
        except (OSError, IngestError):
            content = ""
    return Reject(
        uri=work.video.uri,
        stage="probe",
        error=type(error).__name__,
        message=str(error),
        transient=error.transient,
        attempts=work.attempts,
        content=content,
        size_bytes=work.video.size_bytes,
        version=work.video.version,
        decoder=decoder_version() if fetched else "",
    )
