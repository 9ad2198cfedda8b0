"""What of an index another recipe keeps, makes from what is stored, or has to decode."""

from dataclasses import replace

import pytest

from pipelines.recipe_change import changes
from transforms.recipe import Recipe, load_recipe

OFFLINE = load_recipe("offline")
EVERYTHING = replace(
    OFFLINE,
    audio_encoder="sound-events:synthetic-v1",
    sound_encoder="mfcc:statistics",
    motion_encoder="motion:dis",
)
OTHER_TEXT = "sentence-transformers:all-MiniLM-L6-v2?dimensions=128&matryoshka=true"


def hows(old, new, **more):
    return {change.name: change.how for change in changes(old, new, **more).vectors}


def reasons(old, new, **more):
    return {change.name: change.reason for change in changes(old, new, **more).vectors}


def fusion(recipe, **settings):
    return replace(recipe, fusion=replace(recipe.fusion, **settings))


def test_the_same_recipe_under_another_name_changes_nothing():
    change = changes(OFFLINE, replace(OFFLINE, name="mine"))
    assert change.empty and not change.must_decode and change.sections == ()


def test_other_clips_change_everything_and_say_so():
    change = changes(OFFLINE, OFFLINE.changed(clip_seconds=4.0))
    assert change.recut and {vector.how for vector in change.vectors} == {"decode"}
    assert all("cut otherwise" in vector.reason for vector in change.vectors)
    assert set(change.sections) == {"frames", "speech", "ocr", "text", "words"}


def test_one_encoder_of_many_costs_its_own_vectors_and_the_fused_one():
    found = hows(EVERYTHING, replace(EVERYTHING, sound_encoder="mfcc:statistics?dimensions=40&matryoshka=true"))
    assert found.pop("speech") == "decode"
    assert set(found.values()) == {"keep"}  # sound that is like it is no block of clip


def test_another_choice_of_frames_decodes_what_is_seen_alone():
    change = changes(OFFLINE, OFFLINE.changed(choice="uniform:4"))
    assert {vector.name for vector in change.of("decode")} == {"frame", "frames", "clip"}
    assert "every:1s to uniform:4" in reasons(OFFLINE, OFFLINE.changed(choice="uniform:4"))["frames"]
    assert change.sections == ("frames",)  # the one frame a clip that is read for text is chosen in its own way


def test_fusion_weights_need_no_decoding_and_are_named():
    new = fusion(OFFLINE, ocr=0.2)
    change = changes(OFFLINE, new)
    assert [(one.name, one.how) for one in change.vectors if one.how != "keep"] == [("clip", "from_stored")]
    assert reasons(OFFLINE, new)["clip"] == "fusion weights changed: ocr from 0.6 to 0.2"
    assert not change.must_decode and change.sections == ()


def test_another_pooling_is_made_from_the_stored_frames():
    found = hows(OFFLINE, fusion(OFFLINE, pooling="max"))
    assert (found["frames"], found["frame"], found["clip"]) == ("keep", "from_stored", "from_stored")
    assert reasons(OFFLINE, fusion(OFFLINE, pooling="max"))["frame"].endswith("from mean to max")


def test_position_settings_fuse_again_and_are_named():
    new = fusion(OFFLINE, position_kind="relative")
    assert hows(OFFLINE, new)["clip"] == "from_stored" and "position_kind" in reasons(OFFLINE, new)["clip"]


def test_another_text_encoder_reads_the_stored_texts():
    new = replace(OFFLINE, text_encoder=OTHER_TEXT)
    change = changes(OFFLINE, new)
    assert {one.name for one in change.of("from_stored")} == {"transcript", "ocr", "clip"}
    assert {one.name for one in change.of("keep")} == {"frame", "frames", "words"}
    assert change.sections == ("text",) and change.reread == ()
    assert reasons(OFFLINE, new)["transcript"] == (
        f"the encoder of [text] changed from {OFFLINE.text_encoder} to {OTHER_TEXT}"
    )


def test_a_text_encoder_whose_weights_are_gone_is_no_obstacle_where_words_prove_what_was_heard():
    gone = replace(OFFLINE, text_encoder="sentence-transformers:nobody/has-this-here")
    held = {**OFFLINE.vector_fingerprints(), "transcript": "of the model", "ocr": "that is gone", "clip": "and fused"}
    found = changes(gone, OFFLINE, held=held)
    assert {one.name for one in found.of("from_stored")} == {"transcript", "ocr", "clip"}
    unproven = {name: value for name, value in held.items() if name != "words"}
    assert changes(replace(gone, words_encoder=""), OFFLINE, held=unproven).must_decode


def test_other_words_come_from_stored_texts():
    new = replace(OFFLINE, words_encoder="bm25:multilingual")
    change = changes(OFFLINE, new)
    assert [one.name for one in change.of("from_stored")] == ["words"] and not change.must_decode
    assert change.sections == ("words",)


def test_another_speech_encoder_hears_again_and_reads_the_screen_no_more_than_before():
    new = replace(OFFLINE, speech_encoder="faster-whisper:tiny.en?beam_size=2")
    change = changes(OFFLINE, new)
    assert {one.name for one in change.of("decode")} == {"transcript", "words", "clip"}
    assert {one.name for one in change.of("keep")} == {"frame", "frames", "ocr"}
    assert change.reread == ("speech",)


def test_leaving_a_modality_out_drops_its_vector_and_decodes_nothing():
    new = replace(OFFLINE, ocr_encoder="")
    change = changes(OFFLINE, new)
    assert change.dropped == ("ocr",) and change.unread == ("ocr",) and not change.must_decode
    assert {one.name for one in change.of("from_stored")} == {"words", "clip"}
    assert "[ocr]" in reasons(OFFLINE, new)["words"] and "ocr is no part" in reasons(OFFLINE, new)["clip"]


def test_a_new_modality_is_decoded_and_the_others_are_kept():
    change = changes(OFFLINE, EVERYTHING)
    assert {one.name for one in change.of("decode")} == {"audio", "speech", "motion", "clip"}
    assert reasons(OFFLINE, EVERYTHING)["audio"] == "the index has no vector 'audio'"
    assert set(change.sections) == {"audio", "sound", "motion"}


def test_the_same_settings_with_other_weights_are_decoded():
    held = {**OFFLINE.vector_fingerprints(), "frames": "other weights", "frame": "other weights", "clip": "so too"}
    found = changes(OFFLINE, OFFLINE, held=held)
    assert {one.name for one in found.of("decode")} == {"frames", "frame", "clip"}
    assert "made otherwise" in reasons(OFFLINE, OFFLINE, held=held)["frames"]


def test_texts_of_other_weights_under_the_same_name_are_not_trusted():
    held = {name: f"old {value}" for name, value in OFFLINE.vector_fingerprints().items()}
    new = replace(OFFLINE, words_encoder="bm25:multilingual")
    assert changes(OFFLINE, new, held=held).must_decode
    assert hows(OFFLINE, new, held=held)["words"] == "decode"


def test_quantization_changes_no_vector():
    new = replace(OFFLINE, quantization=(("clip", "none"), ("frame", "int8")))
    change = changes(OFFLINE, new)
    assert set(change.requantized) == {"clip", "frame"} and not change.empty and not change.must_decode


@pytest.mark.parametrize("choice", ["every:2s", "keyframes"])
def test_every_vector_of_the_new_recipe_has_one_answer(choice):
    change = changes(OFFLINE, EVERYTHING.changed(choice=choice))
    assert [one.name for one in change.vectors] == list(EVERYTHING.vector_fingerprints())
    assert all(bool(one.reason) is (one.how != "keep") for one in change.vectors)


def test_a_recipe_read_back_from_an_index_is_the_same():
    assert changes(Recipe.of(OFFLINE.settings()), OFFLINE, held=OFFLINE.schema().vector_fingerprints).empty
