"""One segment -> its clips: decode, encode, fuse, by all that the recipe names."""

from transforms import measures
from transforms.decode import Decoded, decode_segment
from transforms.encode import Models, encode_segment, heard
from transforms.fuse.stage import fuse_segment
from transforms.on_disk import on_disk
from transforms.recipe import Recipe
from transforms.records import Segment, SegmentResult
from transforms.remote.settings import RemoteSettings


def embed_segment(decoded: Decoded, models: Models, recipe: Recipe) -> SegmentResult:
    """Encode and fuse what was decoded."""
    segment, media = decoded.segment, decoded.media
    encoded = encode_segment(segment, media, models, transcript=decoded.transcript)
    with measures.timed(measures.FUSING, video=segment.video.uri):
        points = fuse_segment(segment, media, encoded, recipe)
    return SegmentResult(segment, "ok" if points else "empty", points, damaged=media.damaged)


class Embedding:
    """Segments become clips by decoding and encoding all that the recipe names."""

    def __init__(self, recipe: Recipe, device: str, remote: RemoteSettings) -> None:
        self._recipe, self._remote = recipe, remote
        self.models = Models.load(recipe, device=device)

    def decode(self, segment: Segment) -> Decoded:
        """Decode and cut a segment of the very file that was listed; several threads may ask."""
        with on_disk(segment.video, self._remote) as here:
            return decode_segment(segment, self._recipe, lambda media: heard(media, self.models), here.path)

    def embed(self, decoded: Decoded) -> SegmentResult:
        """Encode and fuse what was decoded."""
        return embed_segment(decoded, self.models, self._recipe)

    def close(self) -> None:
        """Nothing is held but models, which stay for the next run."""
