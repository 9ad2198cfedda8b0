"""Segment, media and vectors -> one ClipPoint a clip."""

from transforms.fuse.pooling import pool
from transforms.fuse.strategies import ClipParts, fusion_of
from transforms.index.payloads import mark
from transforms.recipe import Recipe
from transforms.records import Clip, ClipPoint, Encoded, EncodedClip, Media, Segment, Vector, clip_id, stable_id


def fuse_segment(segment: Segment, media: Media, encoded: Encoded, recipe: Recipe) -> list[ClipPoint]:
    """One point a clip, with the vectors of the modalities that the clip has."""
    want = recipe.frame_want("frames")
    shown = media.pictures.get(want) if want else None
    parts, payloads = [], []
    for place, (clip, own) in enumerate(zip(segment.clips, encoded.clips, strict=True)):
        chosen = list(shown.clip_frames[place]) if shown is not None and encoded.frames is not None else []
        vectors: dict[str, Vector] = dict(own.vectors)
        if encoded.frames is not None and chosen:
            vectors["frames"] = encoded.frames[chosen]
            vectors["frame"] = pool(encoded.frames[chosen], recipe.fusion)
        payload = _payload(segment, clip, media, encoded.language, own, recipe)
        times_seconds: list[float] = []
        if shown is not None:
            times_seconds = [round(float(shown.pts_seconds[index]), 6) for index in chosen]
            payload["frame_times_seconds"] = times_seconds
        parts.append(ClipParts.of_clip(clip, segment.info, vectors, times_seconds))
        payloads.append(payload)
    points = []
    for own_parts, fused, payload in zip(parts, fusion_of(recipe).fuse(parts, recipe), payloads, strict=True):
        vectors = dict(own_parts.vectors) | ({"clip": fused} if fused is not None else {})
        payload["vectors"] = sorted(vectors)
        name = clip_id(segment.video.uri, segment.content, recipe.segmenter, own_parts.start_seconds)
        points.append(ClipPoint(name, vectors, payload))
    return points


def _payload(
    segment: Segment, clip: Clip, media: Media, language: str | None, own: EncodedClip, recipe: Recipe
) -> dict[str, object]:
    info = segment.info
    payload: dict[str, object] = {
        "kind": "clip",
        "live": False,
        "video_id": stable_id("video", segment.video.uri),
        "uri": segment.video.uri,
        "content": segment.content,
        "recipe": recipe.fingerprint,
        "segmenter": recipe.segmenter,
        "segment_index": segment.index,
        "clip_index": clip.index,
        "start_seconds": round(clip.start_seconds, 6),
        "end_seconds": round(clip.end_seconds, 6),
        "media_start_seconds": round(info.start_seconds, 6),
        "duration_seconds": round(info.duration_seconds, 6),
        "partial": info.damaged or media.damaged,
        "metadata": dict(segment.video.metadata),
        **mark(),
    }
    if own.transcript:
        payload["transcript"] = own.transcript
    if own.transcript and language:
        payload["language"] = language
    if own.screen:
        payload["screen_text"] = own.screen
    if own.objects:
        payload["objects"] = [dict(found) for found in own.objects]
    return payload
