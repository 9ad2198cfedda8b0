"""VideoRef -> Segments: fixed windows over what a look inside the file found."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from transforms.errors import VideoChanged
from transforms.media.probe import probe
from transforms.recipe import SegmentSettings
from transforms.records import Clip, Segment, VideoInfo, VideoRef
from transforms.uris import path_of_uri

#: A last piece shorter than this belongs to the clip before it.
SHORTEST_CLIP_SECONDS = 1.0


def fixed_windows(
    start_seconds: float, end_seconds: float, *, clip_seconds: float, overlap_seconds: float = 0.0
) -> list[Clip]:
    """Clips of `clip_seconds` from the start on, the last one cut at the end.

    A last piece shorter than `SHORTEST_CLIP_SECONDS` of new time belongs to the clip before it.
    """
    step_seconds = clip_seconds - overlap_seconds
    further_seconds = round(end_seconds - start_seconds - clip_seconds - SHORTEST_CLIP_SECONDS, 6)
    count = 1 if further_seconds < 0 else 2 + math.floor(further_seconds / step_seconds)
    starts = [start_seconds + index * step_seconds for index in range(count)]
    ends = [start + clip_seconds for start in starts[:-1]] + [end_seconds]
    return [Clip(index, start, end) for index, (start, end) in enumerate(zip(starts, ends, strict=True))]


def segments_of(video: VideoRef, content: str, info: VideoInfo, settings: SegmentSettings) -> list[Segment]:
    """The segments of one video, each holding the clips that start in it."""
    clips = fixed_windows(
        info.start_seconds,
        info.end_seconds,
        clip_seconds=settings.clip_seconds,
        overlap_seconds=settings.overlap_seconds,
    )
    per_segment = max(1, int(settings.segment_seconds // (settings.clip_seconds - settings.overlap_seconds)))
    groups = list(_batched(clips, per_segment))
    return [Segment(video, content, info, index, len(groups), tuple(group)) for index, group in enumerate(groups)]


def segment_video(video: VideoRef, settings: SegmentSettings, *, content: str = "") -> list[Segment]:
    """Look into one file and cut it into segments.

    Raises IngestError where it cannot be read, VideoChanged where it is not the file that was listed.
    """
    path = path_of_uri(video.uri)
    info = probe(path)
    content = content or content_of(path)
    check_unchanged(video)
    return segments_of(video, content, info, settings)


def check_unchanged(video: VideoRef) -> None:
    """Raise VideoChanged unless the file still has the size and the time that were listed."""
    try:
        found = path_of_uri(video.uri).stat()
    except FileNotFoundError as error:
        raise VideoChanged(f"the file vanished while it was read: {video.uri}") from error
    if (found.st_size, str(found.st_mtime_ns)) != (video.size_bytes, video.version):
        raise VideoChanged(
            f"the file changed while it was read: {video.uri}, size_bytes={video.size_bytes} then {found.st_size}; "
            "it is taken up by the next run"
        )


def content_of(path: Path) -> str:
    """SHA-256 of the file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _batched(clips: Sequence[Clip], size: int) -> Iterator[Sequence[Clip]]:
    for start in range(0, len(clips), size):
        yield clips[start : start + size]
