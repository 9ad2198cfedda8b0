"""Segment -> Media: the frames and the sound that the recipe's encoders want, in memory only.

Where a recipe cuts by what is in the video, this is where its clips are decided: only who decodes a segment can see
its shots and hear its pauses.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transforms.cut import cut_at_pauses, cut_at_shots, cut_into_windows
from transforms.errors import UnreadableVideo
from transforms.media.decode import decode, decode_shots
from transforms.recipe import Recipe
from transforms.records import Clip, ClipPoint, Media, Segment, Transcript
from transforms.uris import path_of_uri

#: What is said in the sound of a segment.
Hear = Callable[[Media], Transcript]


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What decoding one segment gave, and the segment with its final clips."""

    segment: Segment
    media: Media
    transcript: Transcript | None = None  # where cutting needed it
    held: tuple[ClipPoint, ...] = ()  # the clips as another recipe left them, where they are not made from nothing


def decode_clips(segment: Segment, recipe: Recipe, only: Collection[str], path: Path | None = None) -> Media:
    """Decode the clips of a segment where they are, for some sections of the recipe alone. Raises IngestError."""
    return decode(
        path or path_of_uri(segment.video.uri),
        segment.info,
        segment.clips,
        wants=recipe.frame_wants(only),
        sample_rates_hz=recipe.sample_rates_hz(only),
    )


def decode_segment(segment: Segment, recipe: Recipe, hear: Hear, path: Path | None = None) -> Decoded:
    """Decode one segment and cut it as the recipe says; `path` is where a remote file lies. Raises IngestError."""
    path = path or path_of_uri(segment.video.uri)
    if recipe.segment.kind == "shots":
        return _at_shots(segment, recipe, path)
    if recipe.segment.kind == "speech":
        return _at_pauses(segment, recipe, hear, path)
    media = decode(
        path,
        segment.info,
        segment.clips,
        wants=recipe.frame_wants(),
        sample_rates_hz=recipe.sample_rates_hz(),
    )
    return Decoded(segment, media)


def _at_shots(segment: Segment, recipe: Recipe, path: Path) -> Decoded:
    def cut(shot_starts_seconds: Sequence[float] | None) -> Sequence[Clip]:
        if shot_starts_seconds is None:
            return cut_into_windows(segment, recipe.segment).clips
        return cut_at_shots(segment, shot_starts_seconds, recipe.segment).clips

    clips, media = decode_shots(
        path,
        segment.info,
        segment.clips[0],
        cut,
        wants=recipe.frame_wants(),
        sample_rates_hz=recipe.sample_rates_hz(),
    )
    return Decoded(replace(segment, clips=tuple(clips)), media)


def _at_pauses(segment: Segment, recipe: Recipe, hear: Hear, path: Path) -> Decoded:
    """First the sound, then the pictures of the clips that it is cut into: each is decoded once."""
    info = segment.info
    heard, deaf = Media({}, {}), info.audio is None
    if not deaf:
        try:
            heard = decode(path, info, segment.clips, wants=(), sample_rates_hz=recipe.sample_rates_hz())
        except UnreadableVideo:
            if info.video is None:
                raise
            deaf = True
    transcript = hear(heard)
    sound = heard.sounds[min(heard.sounds)] if heard.sounds else None
    segment = cut_at_pauses(segment, transcript.words, recipe.segment, sound)
    seen, blind = Media({}, {}), info.video is None
    if not blind:
        try:
            seen = decode(path, info, segment.clips, wants=recipe.frame_wants(), sample_rates_hz=())
        except UnreadableVideo:
            if not heard.sounds:
                raise
            blind = True
    lost = (deaf and info.audio is not None) or (blind and info.video is not None)
    return Decoded(segment, Media(seen.pictures, heard.sounds, heard.damaged or seen.damaged or lost), transcript)
