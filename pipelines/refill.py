"""Clips of one recipe -> the same clips of another: what is the same is kept, the rest is made anew.

Texts, pooled frames and fused vectors are made from what is stored; only what nothing stored can give is decoded, and
then nothing else is.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines.embed_segment import Embedding
from pipelines.recipe_change import READINGS, RecipeChange
from transforms.decode import Decoded, decode_clips
from transforms.encode import KnownTexts, Models, encode_segment, text_vectors, word_vectors
from transforms.fuse.pooling import pool
from transforms.fuse.strategies import ClipParts, fusion_of
from transforms.index.kinds import CLIP, clips_of
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.index.store import Equals, Reader, Where
from transforms.on_disk import on_disk
from transforms.recipe import Recipe
from transforms.records import Clip, ClipPoint, Encoded, Media, Segment, SegmentResult, Vector
from transforms.remote.settings import RemoteSettings
from transforms.write.copies import renamed

#: Sections that make vectors from stored texts.
_OF_TEXTS = ("text", "words")


@dataclass(frozen=True, slots=True)
class RefillFrom:
    """Where the clips of another recipe lie, and what becomes of their vectors."""

    location: IndexLocation
    change: RecipeChange

    @property
    def kept(self) -> tuple[str, ...]:
        """The named vectors that are taken as they are, and that others are made from."""
        return tuple(vector.name for vector in self.change.of("keep"))


def made_again(points: Sequence[ClipPoint], recipe: Recipe, change: RecipeChange, models: Models) -> list[ClipPoint]:
    """Points of `recipe` from points that have its kept vectors and its texts, and those that were decoded anew."""
    spoken = [str(point.payload.get("transcript", "")) for point in points]
    screen = [str(point.payload.get("screen_text", "")) for point in points]
    wanted = {vector.name for vector in change.vectors if vector.how != "keep"}
    columns: dict[str, Sequence[Vector | None]] = {}
    if "transcript" in wanted:
        columns["transcript"] = text_vectors(spoken, models)
    if "ocr" in wanted:
        columns["ocr"] = text_vectors(screen, models)
    if "words" in wanted:
        columns["words"] = word_vectors(spoken, screen, models)
    made = []
    for place, point in enumerate(points):
        vectors = dict(point.vectors)
        vectors |= {name: vector for name, column in columns.items() if (vector := column[place]) is not None}
        if "frame" in wanted and "frames" in vectors:
            vectors["frame"] = pool(np.asarray(vectors["frames"]), recipe.fusion)
        made.append(ClipPoint(point.id, vectors, point.payload))
    if "clip" in wanted and recipe.fusion.strategy != "joint":
        fused = fusion_of(recipe).fuse([ClipParts.of_point(point) for point in made], recipe)
        made = [
            ClipPoint(point.id, {**point.vectors, **({} if clip is None else {"clip": clip})}, point.payload)
            for point, clip in zip(made, fused, strict=True)
        ]
    return [_labelled(point, recipe, change) for point in made]


def seen_again(
    held: Sequence[ClipPoint], segment: Segment, media: Media, encoded: Encoded, recipe: Recipe, change: RecipeChange
) -> list[ClipPoint]:
    """The held clips of a segment with the vectors and texts that were decoded anew."""
    want = recipe.frame_want("frames") if "frames" in change.sections else None
    shown = media.pictures.get(want) if want else None
    decoded = {vector.name for vector in change.of("decode")}
    seen = []
    for place, (point, own) in enumerate(zip(held, encoded.clips, strict=True)):
        vectors = {name: vector for name, vector in point.vectors.items() if name not in decoded}
        vectors |= {name: vector for name, vector in own.vectors.items() if name in decoded}
        payload = dict(point.payload)
        if shown is not None and encoded.frames is not None:
            chosen = list(shown.clip_frames[place])
            payload["frame_times_seconds"] = [round(float(shown.pts_seconds[index]), 6) for index in chosen]
            if chosen:
                vectors["frames"] = encoded.frames[chosen]
        texts = {"transcript": own.transcript, "screen_text": own.screen}
        for section in change.reread:
            field = READINGS[section][1]
            payload.pop(field, None)
            payload |= {field: texts[field]} if texts[field] else {}
        if "speech" in change.reread:
            payload.pop("language", None)
            payload |= {"language": encoded.language} if own.transcript and encoded.language else {}
        if "objects" in change.sections:
            payload.pop("objects", None)
            payload |= {"objects": [dict(found) for found in own.objects]} if own.objects else {}
        payload |= {"live": False, "metadata": dict(segment.video.metadata)}
        seen.append(ClipPoint(point.id, vectors, payload))
    return seen


def _labelled(point: ClipPoint, recipe: Recipe, change: RecipeChange) -> ClipPoint:
    """The point with what its payload says of its vectors, and without what the recipe does not have."""
    payload: dict[str, Any] = {**point.payload, "recipe": recipe.fingerprint, "vectors": sorted(point.vectors)}
    for section in change.unread:
        payload.pop(READINGS[section][1], None)
        if section == "speech":
            payload.pop("language", None)
    if "objects" in change.dropped:
        payload.pop("objects", None)
    if "frames" in change.dropped:
        payload.pop("frame_times_seconds", None)
    return ClipPoint(point.id, point.vectors, payload)


class Refilling:
    """Segments become clips by what another space holds of them; what it lacks is embedded as if it were new."""

    def __init__(self, recipe: Recipe, device: str, refill: RefillFrom, remote: RemoteSettings) -> None:
        self._recipe, self._device, self._refill, self._remote = recipe, device, refill, remote
        sections = refill.change.sections
        self._seeing = tuple(section for section in sections if section not in _OF_TEXTS)
        self.models = Models.load(recipe, device=device, only=sections)
        self._see = Models.load(recipe, device=device, only=self._seeing)
        self._donor: Reader = open_reader(refill.location)
        self._embedding: Embedding | None = None
        self._lock = threading.Lock()

    def decode(self, segment: Segment) -> Decoded:
        """Decode what the other recipe's clips lack; everything, where there are none. Several threads may ask."""
        held = self._held(segment)
        if not held:
            return self._whole().decode(segment)
        clips = tuple(_clip_of(point) for point in held)
        segment = replace(segment, clips=clips)
        with on_disk(segment.video, self._remote) as here:
            media = decode_clips(segment, self._recipe, self._seeing, here.path)
        return Decoded(segment, media, held=tuple(held))

    def embed(self, decoded: Decoded) -> SegmentResult:
        """Encode what was decoded and put it beside what is kept."""
        if not decoded.held:
            return self._whole().embed(decoded)
        segment, media, held = decoded.segment, decoded.media, decoded.held
        encoded = encode_segment(segment, media, self._see, known=self._known(held))
        seen = seen_again(held, segment, media, encoded, self._recipe, self._refill.change)
        points = made_again(seen, self._recipe, self._refill.change, self.models)
        return SegmentResult(segment, "ok", points, damaged=bool(held[0].payload.get("partial")))

    def close(self) -> None:
        """Let go of the other space."""
        self._donor.close()

    def _held(self, segment: Segment) -> list[ClipPoint]:
        """The live clips of this segment in the other space, in their order.

        A file that was moved or copied since has those of the same bytes under another name, as its own.
        """
        version = (
            Equals("content", segment.content),
            Equals("live", True),
            Equals("segment_index", segment.index),
        )
        found = self._clips(segment.video.uri, version)
        if not found:
            same_bytes = Where((Equals("kind", CLIP), *version))
            twin = next(self._donor.scroll(same_bytes, batch=1), None)
            others = [] if twin is None else self._clips(twin.payload["uri"], version)
            found = [renamed(point, segment.video, segment.content) for point in others]
        return sorted(found, key=lambda point: float(point.payload["start_seconds"]))

    def _clips(self, uri: str, version: Sequence[Equals]) -> list[ClipPoint]:
        return list(self._donor.scroll(clips_of(uri, *version), vectors=self._refill.kept))

    def _known(self, held: Sequence[ClipPoint]) -> KnownTexts:
        reread = self._refill.change.reread
        spoken = tuple(str(point.payload.get("transcript", "")) for point in held)
        screen = tuple(str(point.payload.get("screen_text", "")) for point in held)
        return KnownTexts(None if "speech" in reread else spoken, None if "ocr" in reread else screen)

    def _whole(self) -> Embedding:
        with self._lock:
            if self._embedding is None:
                self._embedding = Embedding(self._recipe, self._device, self._remote)
            return self._embedding


def _clip_of(point: ClipPoint) -> Clip:
    held: Mapping[str, Any] = point.payload
    return Clip(int(held["clip_index"]), float(held["start_seconds"]), float(held["end_seconds"]))
