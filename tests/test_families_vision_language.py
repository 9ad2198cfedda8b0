"""Pictures and words by transformers: long texts stay whole, frames get the size that the settings name."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.families.image_language import TINY
from tests.families.tiny import Tiny, inputs_of
from transforms.encoders.catalog import card, describe
from transforms.encoders.encoder import Encoder
from transforms.encoders.families.vision_language import frame_spec_of
from transforms.encoders.registry import loaded
from transforms.errors import BadVectors, MissingWeights, UsageError
from transforms.records import FrameSpec

MODELS = {one.label: one for one in TINY}
EACH = pytest.mark.parametrize("tiny", TINY, ids=str)


def encoder(tiny: Tiny, folder: Path) -> Encoder:
    return loaded(tiny.save(folder), device="cpu").model


def unlike(encoder: Encoder, texts: Sequence[str]) -> float:
    one, other = encoder.texts(texts)
    return float(np.abs(one - other).max())


@EACH
def test_the_end_of_a_long_text_counts(tiny: Tiny, tmp_path: Path):
    assert (
        unlike(encoder(tiny, tmp_path), ["rain on the roof " * 60 + "cats", "rain on the roof " * 60 + "dogs"]) > 1e-4
    )


@pytest.mark.parametrize("label", ["clip", "metaclip-2", "siglip", "siglip2-naflex"])
def test_signs_of_many_tokens_stay_whole_at_every_length(label: str, tmp_path: Path):
    found = encoder(MODELS[label], tmp_path)
    longest = found.card.longest_tokens
    for count in range(longest // 4 - 2, longest // 4 + 3):
        assert unlike(found, ["😀" * count + "cat", "😀" * count + "dog"]) > 1e-4
    found.texts(["é😀" * count for count in range(1, 40)])


def test_blip_counts_the_positions_of_the_tower_that_reads(tmp_path: Path):
    name = MODELS["blip-2"].save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["text_config"]["max_position_embeddings"] > config["qformer_config"]["max_position_embeddings"]
    assert card(name).longest_tokens < config["qformer_config"]["max_position_embeddings"]


SIDES = {"height": 224, "width": 224}


@pytest.mark.parametrize(
    ("seen", "by_short_side", "wanted"),
    [
        (
            {"size": {"shortest_edge": 256}, "crop_size": SIDES},
            True,
            FrameSpec(224, 224, "crop", 0.875, cut_rounds_down=True),
        ),
        ({"size": 224, "crop_size": 224}, True, FrameSpec(224, 224, "crop", cut_rounds_down=True)),
        ({"size": 224, "crop_size": 224}, False, FrameSpec(224, 224, "stretch")),
        ({"size": SIDES, "crop_size": SIDES}, True, FrameSpec(224, 224, "stretch")),
        ({"size": {"height": 346, "width": 346}, "crop_size": SIDES}, False, FrameSpec(1280, 1280, "whole")),
        ({"size": SIDES, "do_center_crop": False}, False, FrameSpec(224, 224, "stretch")),
        ({"max_num_patches": 256}, False, FrameSpec(512, 512, "whole")),
        (
            {"size": SIDES, "do_center_crop": False, "resample": 2},
            *(False, FrameSpec(224, 224, "stretch", interpolation="bilinear")),
        ),
    ],
)
def test_settings_say_how_frames_get_their_size(seen: dict[str, Any], by_short_side: bool, wanted: FrameSpec):
    assert frame_spec_of({"do_center_crop": True} | seen, by_short_side=by_short_side) == wanted


def test_a_processor_that_stretches_and_cuts_gets_whole_frames(tmp_path: Path):
    from transformers import AutoImageProcessor

    name = MODELS["align"].save(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"size": {"height": 40, "width": 40}}))
    found = loaded(name, device="cpu").model
    pixels = np.random.default_rng(0).integers(0, 256, (2, 60, 90, 3), np.uint8)
    seen = AutoImageProcessor.from_pretrained(tmp_path)(list(pixels), return_tensors="pt")
    assert seen["pixel_values"].shape[2:] == (32, 32)
    with torch.inference_mode():
        wanted = found.network.model.get_image_features(**seen).pooler_output
    wanted = (wanted / wanted.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(found.frames(pixels), wanted, atol=1e-4)


def test_a_folder_with_one_file_for_both_processors_is_read(tmp_path: Path):
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPProcessor

    name = MODELS["clip"].save(tmp_path)
    plain = loaded(name, device="cpu").model
    pixels = np.stack(inputs_of(plain.card, "image"))
    wanted = plain.frames(pixels)
    seen, tokens = CLIPImageProcessor.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    CLIPProcessor(seen, tokens).save_pretrained(tmp_path)
    assert describe(name).frame_spec == plain.card.frame_spec
    np.testing.assert_allclose(loaded(f"{name}?query_prompt=", device="cpu").model.frames(pixels), wanted, atol=1e-6)


def test_frames_of_many_shapes_go_through_a_flexible_model(tmp_path: Path):
    found = encoder(MODELS["siglip2-naflex"], tmp_path)
    for height, width in ((1, 1), (512, 16), (90, 300)):
        assert found.frames(np.full((1, height, width, 3), 80, np.uint8)).shape == (1, found.card.dimensions)


@EACH
def test_frames_of_another_size_are_refused(tiny: Tiny, tmp_path: Path):
    found = encoder(tiny, tmp_path)
    broken = [np.zeros((1, 32, 32, 4), np.uint8), np.zeros((32, 32, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32)]
    if found.card.frame_spec is not None and found.card.frame_spec.fit != "whole":
        broken.append(np.zeros((1, 1, 1, 3), np.uint8))
    for pixels in broken:
        with pytest.raises(ValueError, match="decode them with the card's frame_spec"):
            found.frames(pixels)


def test_a_model_of_another_kind_is_refused(tmp_path: Path):
    name = MODELS["clip"].save(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "clvp"}))
    with pytest.raises(UsageError, match="clip, siglip, siglip2"):
        card(name)


def test_vectors_that_are_not_finite_never_come_out(tmp_path: Path):
    name = MODELS["clip"].save(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({key: torch.full_like(one, torch.nan) for key, one in load_file(path).items()}, path, {"format": "pt"})
    found = loaded(name, device="cpu").model
    with pytest.raises(BadVectors, match="not finite"):
        found.frames(np.stack(inputs_of(found.card, "image")))
    with pytest.raises(BadVectors, match="not finite"):
        found.texts(["a cat"])


def test_a_tower_without_its_tensors_is_refused(tmp_path: Path):
    name = MODELS["clip"].save(tmp_path)
    path = tmp_path / "model.safetensors"
    kept = {key: one for key, one in load_file(path).items() if not key.startswith("visual_projection")}
    save_file(kept, path, {"format": "pt"})
    with pytest.raises(MissingWeights, match="they would be random numbers"):
        loaded(name, device="cpu")


def test_a_way_of_scaling_that_is_not_known_is_named():
    with pytest.raises(UsageError, match="scale pictures in a way that is not known here: 5; known are nearest"):
        frame_spec_of({"size": SIDES, "do_center_crop": False, "resample": 5})
