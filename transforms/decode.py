"""Segment -> Media: the frames and the sound that the recipe's encoders want, in memory only."""

from transforms.media.decode import decode
from transforms.recipe import Recipe
from transforms.records import Media, Segment
from transforms.uris import path_of_uri


def decode_segment(segment: Segment, recipe: Recipe) -> Media:
    """Decode one segment of a local file in one pass. Raises IngestError."""
    return decode(
        path_of_uri(segment.video.uri),
        segment.info,
        segment.clips,
        wants=recipe.frame_wants(),
        sample_rates_hz=recipe.sample_rates_hz(),
    )
