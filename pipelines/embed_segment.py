"""One segment -> its clips: decode, encode, fuse, by all that the recipe names."""

from transforms import measures
from transforms.content import check_unchanged
from transforms.decode import Decoded, decode_segment
from transforms.encode import Models, encode_segment, heard
from transforms.errors import IngestError
from transforms.fuse.stage import fuse_segment
from transforms.recipe import Recipe
from transforms.records import Segment, SegmentResult


def embed_segment(decoded: Decoded, models: Models, recipe: Recipe) -> SegmentResult:
    """Encode and fuse what was decoded."""
    segment, media = decoded.segment, decoded.media
    encoded = encode_segment(segment, media, models, transcript=decoded.transcript)
    with measures.timed(measures.FUSING, video=segment.video.uri):
        points = fuse_segment(segment, media, encoded, recipe)
    return SegmentResult(segment, "ok" if points else "empty", points, damaged=media.damaged)


class Embedding:
    """Segments become clips by decoding and encoding all that the recipe names."""

    def __init__(self, recipe: Recipe, device: str) -> None:
        self._recipe = recipe
        self.models = Models.load(recipe, device=device)

    def decode(self, segment: Segment) -> Decoded:
        """Decode and cut a segment of the very file that was listed; several threads may ask."""
        with UnchangedFile(segment):
            return decode_segment(segment, self._recipe, hear=lambda media: heard(media, self.models))

    def embed(self, decoded: Decoded) -> SegmentResult:
        """Encode and fuse what was decoded."""
        return embed_segment(decoded, self.models, self._recipe)

    def close(self) -> None:
        """Nothing is held but models, which stay for the next run."""


class UnchangedFile:
    """Raises VideoChanged when the file is not, or does not stay, the one that was listed: no reject is made of it."""

    def __init__(self, segment: Segment) -> None:
        self._video = segment.video

    def __enter__(self) -> None:
        check_unchanged(self._video)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None or isinstance(error, IngestError):
            check_unchanged(self._video)
