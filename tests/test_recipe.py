"""What a fingerprint depends on, and how a recipe is read."""

import pytest

from transforms.errors import MissingWeights, UsageError
from transforms.recipe import Recipe, load_recipe

FRAMES = "conse:tf_efficientnet_lite2"
OFFLINE = load_recipe("offline")


def test_a_recipe_survives_its_settings():
    assert Recipe.of(OFFLINE.settings()) == OFFLINE


def test_another_way_of_choosing_frames_changes_what_is_seen_and_nothing_that_is_heard():
    before, after = OFFLINE.vector_fingerprints(), OFFLINE.changed(choice="uniform:8").vector_fingerprints()
    assert {name for name in before if before[name] != after[name]} == {"frame", "frames", "clip"}


def test_other_windows_change_every_vector():
    before, after = OFFLINE.vector_fingerprints(), OFFLINE.changed(clip_seconds=4.0).vector_fingerprints()
    assert all(before[name] != after[name] for name in before)


def test_a_name_is_no_part_of_the_fingerprint():
    settings = OFFLINE.settings() | {"name": "mine"}
    assert Recipe.of(settings).fingerprint == OFFLINE.fingerprint


def test_the_schema_has_the_size_of_the_blocks():
    clip = next(vector for vector in OFFLINE.schema().dense if vector.name == "clip")
    assert clip.dimensions == 4 * 384 + 16  # frame, transcript, ocr, change; position


def test_reading_a_recipe_needs_no_weights_and_using_it_names_the_cure():
    recipe = load_recipe("standard")
    assert recipe.encoders()["frames"] == "open_clip:ViT-B-32/laion2b_s34b_b79k"
    with pytest.raises(MissingWeights, match="reelvec weights pull"):
        recipe.schema()


def test_the_other_settings_of_a_section_are_options_of_its_encoder():
    settings = {"name": "x", "motion": {"encoder": "motion:dis", "cells": 4, "fast": True}}
    assert Recipe.of(settings).motion_encoder == "motion:dis?cells=4&fast=true"
    with pytest.raises(UsageError, match="names no encoder"):
        Recipe.of({"name": "x", "motion": {"cells": 4}})


def test_screen_text_changes_the_words_and_leaves_what_is_heard_alone():
    settings = OFFLINE.settings()
    before, after = Recipe.of(settings | {"ocr": {}}).vector_fingerprints(), OFFLINE.vector_fingerprints()
    assert {name for name in after if before.get(name) != after[name]} == {"ocr", "words", "clip"}


def test_every_packaged_recipe_can_be_read():
    names = ("offline", "standard", "multilingual", "max")
    assert [load_recipe(name).name for name in names] == list(names)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ocr": {"encoder": "motion:dis"}}, "encoder for motion"),
        ({"frames": {"encoder": "faster-whisper:tiny.en"}}, "encoder for speech"),
        ({"audio": {"encoder": "conse:tf_efficientnet_lite2"}}, "wants an encoder for sound"),
        ({"motion": {"encoder": "conse:tf_efficientnet_lite2"}}, "wants an encoder for clip"),
        ({"speech": {"encoder": "faster-whisper:tiny.en"}}, "needs a text encoder"),
        ({"quantization": {"clip": "int3"}}, "int3"),
    ],
)
def test_an_encoder_in_the_wrong_section_is_named(settings, says):
    with pytest.raises(UsageError, match=says):
        Recipe.of({"name": "x"} | settings).schema()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": "x", "colour": {}}, "colour"),
        ({"name": "x", "frames": {"encoder": "conse:tf_eficientnet_lite2"}}, "conse:tf_efficientnet_lite2"),
        ({"name": "x", "segment": {"clip_seconds": 0.2}}, "clip_seconds=0.2"),
        ({"name": "x", "segment": {"overlap_seconds": 7.0}}, "overlap_seconds=7.0"),
        ({"name": "x", "frames": {"choice": "now and then"}}, "now and then"),
        ({"name": "x", "segment": {"length": 1}}, "length"),
        ({}, "name"),
    ],
)
def test_a_wrong_setting_is_named(settings, says):
    with pytest.raises(UsageError, match=says):
        Recipe.of(settings).schema()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": None}, "name is|has a name.*None"),
        ({"name": 5}, "a text.*name=5"),
        ({"name": ""}, "has a name"),
        ({"speech": ["a"]}, r"\[speech\] with a key.*\['a'\]"),
        ({"frames": "x"}, r"\[frames\] with a key.*'x'"),
        ({"frames": {"encoder": 5}}, r"\[frames\] encoder is a text in quotes: encoder=5"),
        ({"frames": {"choice": 5}}, r"\[frames\] choice is a text in quotes: choice=5"),
        ({"quantization": "int8"}, r"\[quantization\] with a key"),
        ({"quantization": {"clip": ["int8"]}}, r"\[quantization\] clip is a text"),
        ({"fusion": 5}, r"\[fusion\] with a key"),
        ({"fusion": {"frame": "1.0"}}, r"\[fusion\] frame is a finite number: frame='1.0'"),
        ({"fusion": {"frame": True}}, r"\[fusion\] frame is a finite number: frame=True"),
        ({"fusion": {"frame": [1.0]}}, r"\[fusion\] frame is a finite number"),
        ({"fusion": {"position_periods_seconds": 5.0}}, r"position_periods_seconds is a list of numbers"),
        ({"fusion": {"position_periods_seconds": ["a"]}}, r"position_periods_seconds is a list of numbers"),
        ({"segment": "8"}, r"\[segment\] with a key"),
        ({"segment": {"clip_seconds": "8"}}, r"clip_seconds is a finite number: clip_seconds='8'"),
        ({"segment": {"clip_seconds": True}}, r"clip_seconds is a finite number: clip_seconds=True"),
        ({"segment": {"segment_seconds": float("inf")}}, r"segment_seconds is a finite number: segment_seconds=inf"),
        ({"segment": {"clip_seconds": float("nan")}}, r"clip_seconds is a finite number"),
        ({"frames": {"encoder": FRAMES, "precision": {"a": 1}}}, r"\[frames\] precision is a text.*\{'a': 1\}"),
        ({"frames": {"encoder": FRAMES, "top_k": [[1]]}}, r"\[frames\] top_k is"),
    ],
)
def test_a_value_of_another_kind_is_named_with_its_section_and_key(settings, says):
    with pytest.raises(UsageError, match=says):
        Recipe.of({"name": "x", "frames": {"encoder": FRAMES}} | settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"frames": {}}, "names no encoder"),
        ({"quantization": {"frmae": "int8"}}, "'frmae'.*it has frame, frames, clip"),
        ({"quantization": {"transcript": "int8"}}, "'transcript'.*it has frame, frames, clip"),
        ({"quantization": {"words": "int8"}}, "'words', which is no dense vector"),
        ({"text": {"encoder": "sentence-transformers:all-MiniLM-L6-v2"}}, r"\[text\] has no text.*\[speech\] or"),
        ({"words": {"encoder": "bm25:english"}}, r"\[words\] has no text.*\[speech\] or"),
    ],
)
def test_a_setting_without_effect_is_refused(settings, says):
    with pytest.raises(UsageError, match=says):
        Recipe.of({"name": "x", "frames": {"encoder": FRAMES}} | settings).schema()


def test_a_recipe_file_of_another_encoding_is_named(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_bytes('name = "für"\n'.encode("latin-1"))
    with pytest.raises(UsageError, match=r"mine\.toml.*UTF-8"):
        load_recipe(str(mine))


def test_an_unknown_recipe_names_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match="offline"):
        load_recipe("online")
    with pytest.raises(UsageError, match="no recipe file"):
        load_recipe(str(tmp_path / "mine.toml"))


def test_a_recipe_of_ones_own_is_a_file(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('name = "mine"\n[frames]\nchoice = "uniform:4"\nencoder = "conse:tf_efficientnet_lite2"\n')
    recipe = load_recipe(str(mine))
    assert (recipe.choice, recipe.speech_encoder) == ("uniform:4", "")
    assert set(recipe.schema().vector_names) == {"frame", "frames", "clip"}
