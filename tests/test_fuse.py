"""How vectors of several kinds become one, and what that one can and cannot tell."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.fuse.blocks import STILL_CHANGE, as_block, change_block, lay_out
from transforms.fuse.pooling import TEMPERATURE, pool
from transforms.fuse.positions import position_block, time_features
from transforms.fuse.stage import fuse_segment
from transforms.fuse.strategies import ClipParts, fusion_of
from transforms.fusion_settings import FusionSettings
from transforms.recipe import Recipe, load_recipe
from transforms.records import (
    AudioStream,
    Clip,
    Encoded,
    EncodedClip,
    Media,
    Pictures,
    Segment,
    SparseVector,
    VideoInfo,
    VideoRef,
)

RECIPE = load_recipe("offline")
INFO = VideoInfo("mp4", 100.0, 124.0, None, AudioStream(0, "aac", 16_000, 1, 100.0, 124.0))
CLIPS = (Clip(0, 100.0, 108.0), Clip(1, 108.0, 116.0), Clip(2, 116.0, 124.0))
SEGMENT = Segment(VideoRef("file:///v.mp4", 1, "1", metadata=(("title", "T"),)), "c" * 64, INFO, 0, 1, CLIPS)


def units(seed, count=1, size=384):
    vectors = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def unit(seed):
    return units(seed)[0]


def fused(texts=("", "", ""), frames=True):
    shown = Pictures(np.array([100.0, 104.0, 108.0, 112.0]), np.zeros((4, 260, 260, 3), np.uint8), ((0, 1), (2, 3), ()))
    (want,) = [want for want in RECIPE.frame_wants() if want == RECIPE.frame_want("frames")]
    media = Media({want: shown}, {})
    words = SparseVector(np.array([7], np.uint32), np.ones(1, np.float32))
    spoken = iter(units(2, len(texts)))
    clips = tuple(
        EncodedClip({"transcript": next(spoken), "words": words} if text else {}, transcript=text) for text in texts
    )
    return fuse_segment(SEGMENT, media, Encoded(units(1, 4) if frames else None, clips), RECIPE)


def test_text_on_screen_and_objects_are_told_in_the_payload():
    boxes = ({"label": "cat", "score": 0.9, "box": [0.1, 0.2, 0.3, 0.4], "seconds": 101.0},)
    clips = (EncodedClip({"ocr": unit(9)}, screen="EXIT", objects=boxes), EncodedClip(), EncodedClip())
    first, second, _ = fuse_segment(SEGMENT, Media({}, {}), Encoded(None, clips), RECIPE)
    assert (first.payload["screen_text"], first.payload["objects"]) == ("EXIT", [dict(boxes[0])])
    assert sorted(first.vectors) == ["clip", "ocr"]
    assert not {"screen_text", "objects"} & set(second.payload)
    block = dict(zip(*split_points(), strict=True))["ocr"]
    assert float(first.vectors["clip"][block] @ unit(9)) > 0.5


def split_points():
    names, ends = [name for name, _ in RECIPE.blocks()], np.cumsum([size for _, size in RECIPE.blocks()])
    return names, [slice(end - size, end) for (_, size), end in zip(RECIPE.blocks(), ends, strict=True)]


def test_a_multivector_goes_into_the_clip_vector_as_its_mean_direction():
    assert np.allclose(as_block(units(4, 5)), units(4, 5).mean(0) / np.linalg.norm(units(4, 5).mean(0)), atol=1e-6)
    assert as_block(unit(4)) is not None and np.array_equal(as_block(unit(4)), unit(4))


def test_a_clip_carries_the_vectors_of_the_modalities_that_it_has():
    points = fused(texts=("hello", "", "bye"))
    assert [sorted(point.vectors) for point in points] == [
        ["clip", "frame", "frames", "transcript", "words"],
        ["clip", "frame", "frames"],
        ["clip", "transcript", "words"],
    ]
    assert [point.payload.get("transcript") for point in points] == ["hello", None, "bye"]
    assert all(point.payload["vectors"] == sorted(point.vectors) for point in points)


def test_a_clip_with_nothing_to_see_or_to_hear_has_no_vector_at_all():
    assert [dict(point.vectors) for point in fused(frames=False)] == [{}, {}, {}]


def test_each_clip_keeps_its_own_frames_and_words():
    points = fused(texts=("hello", "", "bye"))
    assert np.allclose(points[0].vectors["frames"], units(1, 4)[:2])
    assert np.allclose(points[1].vectors["frames"], units(1, 4)[2:])
    assert np.allclose(points[2].vectors["transcript"], units(2, 2)[1])
    assert points[1].payload["frame_times_seconds"] == [108.0, 112.0]


def test_dense_vectors_are_of_unit_length():
    for point in fused(texts=("hello", "", "bye")):
        for name in set(point.vectors) & {"frame", "transcript", "clip"}:
            assert np.linalg.norm(point.vectors[name]) == pytest.approx(1.0, abs=1e-5)


def test_ids_depend_on_what_a_clip_is_and_on_nothing_else():
    assert [point.id for point in fused(texts=("a", "b", "c"))] == [point.id for point in fused()]
    assert len({point.id for point in fused()}) == 3


BLOCKS = ("frame", "transcript", "ocr", "audio", "change", "position")
subsets = st.lists(st.sampled_from(BLOCKS), min_size=1, unique=True)
weights = st.fixed_dictionaries({name: st.floats(0.05, 2.0) for name in BLOCKS})


def weighed(held: dict[str, float]) -> Recipe:
    """A recipe that has every block, with these weights."""
    audio = {"encoder": "conse:tf_efficientnet_lite2"}  # its dimensions are all that a layout asks for
    return Recipe.of(RECIPE.settings() | {"audio": audio, "fusion": held})


@given(query=subsets, clip=subsets, weight=weights, seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_a_lookup_is_a_weighted_mean_of_cosines_over_the_blocks_that_both_have(query, clip, weight, seed):
    """With all blocks on both sides, with any missing on either, and with any weights."""
    recipe = weighed(weight)

    def make(names, start):
        rows = {name: unit(start + place) for place, name in enumerate(names)}
        if "position" in rows:
            rows["position"] = time_features(float(start), 0.3, recipe.fusion)
        return rows

    asked, held = make(query, seed), make(clip, seed + 5000)
    score = float(lay_out(asked, recipe) @ lay_out(held, recipe))
    square = {name: weight[name] ** 2 for name in BLOCKS}
    shared = set(asked) & set(held)
    expected = sum(square[name] * float(asked[name] @ held[name]) for name in shared)
    expected /= np.sqrt(sum(square[name] for name in asked) * sum(square[name] for name in held))
    assert score == pytest.approx(expected, abs=1e-5)


def test_a_clip_with_fewer_blocks_weighs_the_others_more():
    """0.22 on a clip of pictures alone beats 0.30 on a clip that has every block: it is no exact weighted sum."""
    recipe = weighed({name: getattr(RECIPE.fusion, name) for name in BLOCKS})
    asked = {"frame": unit(1)}

    def at(cosine):
        aside = unit(2) - (unit(2) @ unit(1)) * unit(1)
        return (cosine * unit(1) + np.sqrt(1 - cosine**2) * aside / np.linalg.norm(aside)).astype(np.float32)

    full = {name: unit(10 + place) for place, name in enumerate(BLOCKS)} | {"frame": at(0.30)}
    full["position"] = time_features(3.0, 0.1, recipe.fusion)
    bare = {"frame": at(0.22), "position": full["position"]}
    lookup = lay_out(asked, recipe)
    assert float(lookup @ lay_out(bare, recipe)) > float(lookup @ lay_out(full, recipe))


blocks = st.sampled_from([("frame",), ("transcript",), ("frame", "transcript"), ("frame", "transcript", "position")])


@given(query=blocks, clip=blocks, seed=st.integers(0, 1000))
@settings(max_examples=60)
def test_the_lookup_computes_what_the_docs_say(query, clip, seed):
    """<lay_out(q), lay_out(c)> = sum_b w_b^2 <q_b, c_b> / (|w over q's blocks| |w over c's blocks|)."""

    def make(names, start):
        rows = {name: unit(start + place) for place, name in enumerate(names) if name != "position"}
        return rows | (
            {"position": time_features(float(start % 97), 0.3, RECIPE.fusion)} if "position" in names else {}
        )

    asked, held = make(query, seed), make(clip, seed + 5000)
    weight = {name: getattr(RECIPE.fusion, name) for name in ("frame", "transcript", "position")}
    shared = set(asked) & set(held)
    expected = sum(weight[name] ** 2 * float(asked[name] @ held[name]) for name in shared)
    expected /= np.sqrt(sum(weight[name] ** 2 for name in asked)) * np.sqrt(sum(weight[name] ** 2 for name in held))
    assert float(lay_out(asked, RECIPE) @ lay_out(held, RECIPE)) == pytest.approx(expected, abs=1e-5)


def docs_blocks(language: str) -> list[str]:
    text = (Path(__file__).parents[1] / "docs/fusion.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_examples_of_the_docs_are_right():
    (code,) = docs_blocks("python")
    exec(compile(code, "docs/fusion.md", "exec"), {})
    (recipe,) = docs_blocks("toml")
    assert Recipe.of({"name": "docs", **tomllib.loads(recipe)}).fusion.strategy == "joint"


def test_a_query_without_a_block_cannot_be_laid_out():
    with pytest.raises(ValueError, match="needs a block"):
        lay_out({}, RECIPE)


def test_the_change_block_points_from_what_came_first_to_what_came_later():
    a, b = unit(3), unit(4)
    forth = change_block(np.stack([a, a, b, b]))
    back = change_block(np.stack([b, b, a, a]))
    assert np.allclose(forth, -back, atol=1e-6)
    assert float(forth @ (b - a)) > 0.9 * np.linalg.norm(b - a)


def test_a_still_picture_has_no_change():
    noise = 0.01 * units(6, 8)
    still = unit(5) + noise
    still /= np.linalg.norm(still, axis=1, keepdims=True)
    assert not change_block(still.astype(np.float32)).any()
    assert not change_block(still[:1].astype(np.float32)).any()
    assert np.linalg.norm(unit(3) - unit(4)) > STILL_CHANGE


def test_nearness_in_time_depends_on_the_distance_alone():
    def at(seconds):
        return time_features(seconds, 0.5, RECIPE.fusion)

    assert float(at(10) @ at(20)) == pytest.approx(float(at(500) @ at(510)), abs=1e-5)
    assert float(at(10) @ at(12)) > float(at(10) @ at(25)) > float(at(10) @ at(40))


def test_position_counts_from_the_videos_own_start():
    shifted = position_block(SEGMENT, CLIPS[0], RECIPE.fusion)
    assert np.allclose(shifted, time_features(4.0, 4.0 / 24.0, RECIPE.fusion))
    assert np.linalg.norm(shifted) == pytest.approx(1.0, abs=1e-6)


def test_frames_are_pooled_as_the_recipe_says():
    frames = units(1, 5)
    mean = frames.mean(0) / np.linalg.norm(frames.mean(0))
    np.testing.assert_allclose(pool(frames, FusionSettings()), mean, atol=1e-6)
    top = frames.max(0)
    np.testing.assert_allclose(pool(frames, FusionSettings(pooling="max")), top / np.linalg.norm(top), atol=1e-6)
    scores = np.exp(frames @ mean / TEMPERATURE)
    attended = (scores / scores.sum()) @ frames
    found = pool(frames, FusionSettings(pooling="attention"))
    np.testing.assert_allclose(found, attended / np.linalg.norm(attended), atol=1e-5)


@given(count=st.integers(1, 6), seed=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_pooling_one_picture_gives_the_picture_and_any_number_a_unit_vector(count, seed):
    for pooling in ("mean", "max", "attention"):
        pooled = pool(units(seed, count), FusionSettings(pooling=pooling))
        assert pooled.dtype == np.float32 and np.linalg.norm(pooled) == pytest.approx(1.0, abs=1e-5)
        if count == 1:
            np.testing.assert_allclose(pooled, units(seed)[0], atol=1e-6)


def test_attention_forgets_the_frame_that_is_not_like_the_others():
    shot = unit(1) + 0.3 * units(2, 7)
    flash = unit(3)
    frames = np.stack([*shot / np.linalg.norm(shot, axis=1, keepdims=True), flash]).astype(np.float32)
    mean, attention = (pool(frames, FusionSettings(pooling=pooling)) for pooling in ("mean", "attention"))
    assert float(attention @ flash) < float(mean @ flash) - 0.05
    assert float(attention @ unit(1)) > float(mean @ unit(1))


def test_a_clip_is_fused_again_from_what_is_stored():
    for point in fused(texts=("hello", "", "bye")):
        (again,) = fusion_of(RECIPE).fuse([ClipParts.of_point(point)], RECIPE)
        np.testing.assert_allclose(again, point.vectors["clip"], atol=1e-6)


def test_a_clip_that_has_nothing_but_blocks_that_weigh_nothing_has_no_clip_vector():
    unseen = Recipe.of(RECIPE.settings() | {"fusion": {"frame": 0.0, "change": 0.0, "position": 0.0}})
    parts = ClipParts({"frames": units(1, 2), "frame": unit(1)}, (0.0, 1.0), 0.0, 8.0, 4.0, 0.5)
    assert fusion_of(unseen).fuse([parts], unseen) == [None]
    timeless = Recipe.of(RECIPE.settings() | {"fusion": {"position_kind": "none"}})
    silent = ClipParts({}, (), 0.0, 8.0, 4.0, 0.5)
    assert fusion_of(timeless).fuse([silent], timeless) == [None]
