"""Which points of the store belong to a video: its clips, and the one point of the whole video."""

from transforms.index.store import AnyOf, Equals, Where
from transforms.records import Schema

CLIP, WHOLE = "clip", "whole"

LIVE_CLIPS = Where(must=(Equals("kind", CLIP), Equals("live", True)))
LIVE_WHOLES = Where(must=(Equals("kind", WHOLE), Equals("live", True)))


def clips_of(uri: str, *more: Equals) -> Where:
    """The clips of one video, of all its versions."""
    return Where((Equals("kind", CLIP), Equals("uri", uri), *more))


def points_of(uri: str, *more: Equals) -> Where:
    """The clips of one video, of all its versions, and its whole points."""
    return Where((AnyOf("kind", (CLIP, WHOLE)), Equals("uri", uri), *more))


def pooled_names(schema: Schema) -> tuple[str, ...]:
    """The named vectors that the point of a whole video may have: dense ones, one a clip."""
    return tuple(vector.name for vector in schema.dense if not vector.multi)
