"""Objects: what a detector finds, each with its label, its box and the vector of its crop."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing

from tests.families.tiny import pickled, without
from tests.families.tokenizers import save_bpe_tokenizer
from transforms.encoders.catalog import card, text_encoder_of
from transforms.encoders.encoder import Encoder
from transforms.encoders.families.object_crops import crop
from transforms.encoders.network import Detected
from transforms.encoders.objects import best_of_clip, overlap
from transforms.encoders.pictures import prepared
from transforms.encoders.registry import handler, loaded
from transforms.errors import BadVectors, MissingWeights, UsageError

CROPS = "conse:tf_efficientnet_lite2"
LABELS = {0: "cat", 1: "dog", 2: "rocket"}
TEXTS = "a cat,a rocket"
NAMES = {"id2label": LABELS, "label2id": {label: place for place, label in LABELS.items()}}
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "layer_type": "basic"}


def save_rt_detr(folder: Path) -> str:
    """RT-DETR with a backbone of its own kind."""
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor

    torch.manual_seed(0)
    config = RTDetrConfig(
        backbone_config={"model_type": "rt_detr_resnet", **RESNET, "out_indices": [2, 3, 4]},
        encoder_in_channels=[8, 16, 16],
        encoder_hidden_dim=32,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        d_model=32,
        decoder_in_channels=[32, 32, 32],
        decoder_ffn_dim=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        num_queries=8,
        initializer_bias_prior_prob=0.3,
        **NAMES,
    )
    RTDetrForObjectDetection(config).save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return f"objects:{folder}?least_score=0.2"


def save_detr(folder: Path) -> str:
    """DETR over a small ResNet."""
    from transformers import DetrConfig, DetrForObjectDetection, DetrImageProcessor

    torch.manual_seed(1)
    config = DetrConfig(
        backbone_config={"model_type": "resnet", **RESNET, "out_features": ["stage4"]},
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=6,
        **NAMES,
    )
    DetrForObjectDetection(config).save_pretrained(folder)
    DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 192}).save_pretrained(folder)
    return f"objects:{folder}?least_score=0.1"


def save_yolos(folder: Path) -> str:
    """YOLOS."""
    from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

    torch.manual_seed(2)
    config = YolosConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=37,
        image_size=[64, 96],
        num_detection_tokens=6,
        **NAMES,
    )
    YolosForObjectDetection(config).save_pretrained(folder)
    YolosImageProcessor(size={"shortest_edge": 64, "longest_edge": 192}).save_pretrained(folder)
    return f"objects:{folder}?least_score=0.1"


def save_owlv2(folder: Path) -> str:
    """OWLv2, which looks for texts."""
    from transformers import AutoTokenizer, Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    torch.manual_seed(3)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 37}
    config = Owlv2Config(
        text_config={**small, "vocab_size": 300, "max_position_embeddings": 16, "pad_token_id": 1},
        vision_config={**small, "image_size": 64, "patch_size": 16},
        projection_dim=32,
    )
    model = Owlv2ForObjectDetection(config)
    with torch.no_grad():
        model.box_head.dense2.weight *= 0.01  # else most boxes are of no width at the border
    model.save_pretrained(folder)
    save_bpe_tokenizer(folder, size=300)
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=16)
    # The model takes a text that begins with token 0 for padding.
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="</s> $A </s>", special_tokens=[("</s>", 2)])
    Owlv2Processor(Owlv2ImageProcessor(size={"height": 64, "width": 64}), tokenizer).save_pretrained(folder)
    return f"objects:{folder}?labels={TEXTS}&least_score=0.02"


SAVED = {"rt_detr": save_rt_detr, "detr": save_detr, "yolos": save_yolos, "owlv2": save_owlv2}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The name of each tiny detector."""
    return {kind: save(tmp_path_factory.mktemp(kind)) for kind, save in SAVED.items()}


@pytest.fixture(scope="module", params=SAVED)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def encoder(kind: str, folders: dict[str, str]) -> Encoder:
    return loaded(folders[kind], device="cpu").model


def frames(count: int = 3, height: int = 96, width: int = 128) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def found_by_the_library(folder: Path, kind: str, pixels: np.ndarray, least_score: float) -> list[Any]:
    """transformers' own way, a frame at a time: boxes in pixels."""
    from transformers import (
        AutoImageProcessor,
        AutoModelForObjectDetection,
        AutoModelForZeroShotObjectDetection,
        AutoProcessor,
    )

    size = [pixels.shape[1:3]]
    rows = []
    for frame in pixels:
        with torch.inference_mode():
            if kind == "owlv2":
                processor = AutoProcessor.from_pretrained(folder)
                inputs = processor(text=[TEXTS.split(",")], images=[frame], return_tensors="pt")
                outputs = AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()(**inputs)
                (own,) = processor.post_process_grounded_object_detection(outputs, least_score, size)
            else:
                processor = AutoImageProcessor.from_pretrained(folder)
                inputs = processor(images=[frame], return_tensors="pt")
                outputs = AutoModelForObjectDetection.from_pretrained(folder).eval()(**inputs)
                (own,) = processor.post_process_object_detection(outputs, least_score, size)
        rows.append(own)
    return rows


def test_objects_are_those_of_the_library_itself(kind: str, encoder: Encoder):
    pixels = frames()
    labels = TEXTS.split(",") if kind == "owlv2" else list(LABELS.values())
    least_score = encoder.card.setting("least_score")
    theirs = found_by_the_library(encoder.card.folder, kind, pixels, least_score)
    assert any(len(own["scores"]) for own in theirs)
    scale = np.array([128, 96, 128, 96])
    for ours, own in zip(encoder.detect(pixels), theirs, strict=True):
        boxes = np.clip(own["boxes"].numpy() / scale, 0, 1)
        for one in ours:
            near = np.abs(boxes - np.array(one.box)).max(1) < 1e-5
            same = near & (np.abs(own["scores"].numpy() - one.score) < 1e-5)
            assert one.label in [labels[place] for place in own["labels"][same]]
        has_size = (boxes[:, :2] < boxes[:, 2:]).all(1)
        if has_size.any():
            assert ours[0].score == pytest.approx(float(own["scores"][has_size].max()), abs=1e-5)


def test_the_surest_come_first_and_none_is_below_the_least_score(encoder: Encoder):
    for own in encoder.detect(frames()):
        scores = [one.score for one in own]
        assert scores == sorted(scores, reverse=True) and len(own) <= 8
        assert all(score > encoder.card.setting("least_score") for score in scores)


def test_boxes_are_shares_of_the_picture(encoder: Encoder):
    for one in (one for own in encoder.detect(frames()) for one in own):
        left, top, right, bottom = one.box
        assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1


def test_a_vector_is_that_of_the_crop_by_the_image_encoder(encoder: Encoder):
    pixels = frames()
    crops = loaded(CROPS, device="cpu").model
    found = encoder.detect(pixels)
    one, frame = next((own[0], frame) for own, frame in zip(found, pixels, strict=True) if own)
    wanted = crops.frames(prepared(crop(frame, one.box), crops.card.frame_spec)[None])[0]
    assert one.vector.dtype == np.float32 and np.linalg.norm(one.vector) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(one.vector, wanted, atol=1e-5)


def test_a_frame_gives_the_same_whatever_its_neighbours(encoder: Encoder):
    pixels = frames()
    together = encoder.detect(pixels)
    for place in range(len(pixels)):
        (alone,) = encoder.detect(pixels[place : place + 1])
        for one, other in zip(alone, together[place], strict=True):
            assert one.label == other.label
            np.testing.assert_allclose([one.score, *one.box], [other.score, *other.box], atol=1e-5)


def test_frames_of_any_size_go(encoder: Encoder):
    for shape in ((1, 1), (3, 500), (300, 40), (2000, 3)):
        (found,) = encoder.detect(frames(1, *shape))
        assert all(0 <= side <= 1 for one in found for side in one.box)
    assert encoder.detect(frames(0)) == []


def test_the_card_is_in_the_space_of_the_crops(kind: str, folders: dict[str, str]):
    found, crops = card(folders[kind]), card(CROPS)
    assert (found.space, found.dimensions, found.languages) == (crops.space, crops.dimensions, crops.languages)
    assert found.modality == "objects" and found.multivector and found.text_queries
    assert text_encoder_of(folders[kind]).name == text_encoder_of(CROPS).name
    assert crops.licence in found.licence


def test_what_decides_the_objects_decides_the_fingerprint(folders: dict[str, str]):
    plain = folders["rt_detr"]
    prints = {card(plain + more).fingerprint for more in ("", "&top_k=3", "&labels=cat")}
    assert len(prints) == 3
    assert card(plain).fingerprint == card(plain + f"&crops={CROPS}").fingerprint


def test_top_k_bounds_the_objects_of_a_frame(folders: dict[str, str]):
    few = loaded(folders["rt_detr"] + "&top_k=1", device="cpu").model.detect(frames())
    many = loaded(folders["rt_detr"], device="cpu").model.detect(frames())
    assert max(map(len, few)) == 1 < max(map(len, many))


def test_labels_keep_some_classes_of_a_detector(folders: dict[str, str]):
    every = loaded(folders["rt_detr"], device="cpu").model.detect(frames())
    some = {one.label for own in every for one in own}
    wanted = sorted(some)[0]
    kept = loaded(f"{folders['rt_detr']}&labels={wanted}", device="cpu").model.detect(frames())
    assert {one.label for own in kept for one in own} == {wanted}


def test_the_handler_gives_a_list_a_frame(folders: dict[str, str]):
    found = handler(folders["rt_detr"], device="cpu")
    first, second = found.run_inference([frames(2), frames(1)], found.load_model())
    assert (len(first), len(second)) == (2, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("least_score=2", "between 0 and 1"),
        ("least_score=high", "between 0 and 1"),
        ("top_k=0", "above zero"),
        ("labels=unicorn", "unicorn"),
        ("crops=sentence-transformers:all-MiniLM-L6-v2", "a picture one vector"),
        ("crops=motion:dis", "a picture one vector"),
        ("dimensions=64", "belongs to the encoder of crops"),
        ("threshold=1", "threshold"),
    ],
)
def test_options_that_cannot_be_are_refused(folders: dict[str, str], options: str, said: str):
    folder = folders["rt_detr"].partition("?")[0]
    with pytest.raises(UsageError, match=said):
        card(f"{folder}?{options}")


def test_a_detector_without_classes_of_its_own_must_be_told_what_to_look_for(folders: dict[str, str]):
    with pytest.raises(UsageError, match="labels="):
        card(folders["owlv2"].partition("?")[0])


def test_a_label_that_would_be_cut_off_is_refused(folders: dict[str, str]):
    folder = folders["owlv2"].partition("?")[0]
    with pytest.raises(UsageError, match="16 tokens"):
        loaded(f"{folder}?labels=a cat,{'a very long description of a thing ' * 4}", device="cpu")


def test_a_folder_of_another_model_is_no_detector(tmp_path: Path):
    from transformers import BertConfig, BertModel

    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 37}
    BertModel(BertConfig(**small, vocab_size=50)).save_pretrained(tmp_path)
    with pytest.raises(MissingWeights, match="no detector"):
        card(f"objects:{tmp_path}")


def test_a_backbone_that_is_only_named_is_never_looked_up(tmp_path: Path):
    import json

    save_detr(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config.update(backbone="microsoft/resnet-50", backbone_config=None, use_timm_backbone=False)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="microsoft/resnet-50"):
        loaded(f"objects:{tmp_path}", device="cpu")


def test_a_detector_that_gives_no_numbers_is_stopped(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    name = save_yolos(tmp_path)
    tensors = {
        key: torch.full_like(tensor, torch.nan) for key, tensor in load_file(tmp_path / "model.safetensors").items()
    }
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadVectors, match="broken"):
        loaded(name, device="cpu").model.detect(frames(1))


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        ((0.4, 0.4, 0.6, 0.6), (26, 26)),  # 25.6 pixels wide and 20 high
        ((0.0, 0.0, 0.1, 0.5), (48, 48)),  # moved in from the border
        ((0.0, 0.4, 1.0, 0.5), (96, 128)),  # as far as the frame reaches
        ((0.5, 0.5, 0.5, 0.5), (1, 1)),
        ((0.999, 0.999, 1.0, 1.0), (1, 1)),
    ],
)
def test_a_crop_is_the_square_around_its_box(box: tuple[float, float, float, float], shape: tuple[int, int]):
    assert crop(np.zeros((96, 128, 3), np.uint8), box).shape[:2] == shape


def test_a_crop_holds_what_its_box_holds():
    frame = np.zeros((100, 100, 3), np.uint8)
    frame[10:30, 70:95] = 255
    assert (crop(frame, (0.7, 0.1, 0.95, 0.3)) == 255).sum() == (frame == 255).sum()


def detected(label: str, score: float, *box: float) -> Detected:
    left, top, right, bottom = box
    return Detected(label, score, (left, top, right, bottom), np.ones(1, np.float32))


def test_a_thing_in_two_frames_is_taken_once_where_it_is_surest():
    early, late = detected("cat", 0.7, 0.1, 0.1, 0.5, 0.5), detected("cat", 0.9, 0.12, 0.1, 0.52, 0.5)
    assert best_of_clip([[early], [late]], 8) == [(late, 1)]


def test_two_things_of_one_label_and_two_labels_of_one_place_are_kept():
    one, other = detected("cat", 0.9, 0, 0, 0.4, 0.4), detected("cat", 0.8, 0.5, 0.5, 0.9, 0.9)
    dog = detected("dog", 0.7, 0, 0, 0.4, 0.4)
    assert [found for found, _ in best_of_clip([[dog, one], [other]], 8)] == [one, other, dog]


def test_the_surest_win_when_there_are_too_many_and_the_earlier_of_equals():
    many = [[detected(str(place), 0.5, 0, 0, 1, 1)] for place in range(4)] + [[detected("sure", 0.9, 0, 0, 1, 1)]]
    assert [(found.label, frame) for found, frame in best_of_clip(many, 3)] == [("sure", 4), ("0", 0), ("1", 1)]
    assert best_of_clip([], 3) == [] and best_of_clip([[], []], 3) == []


def test_overlap_is_the_share_of_the_union():
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (1, 1, 2, 2)) == 0.0
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0
    assert overlap((0, 0, 1, 1), (0, 0, 1, 1)) == 1.0


def test_a_detector_without_a_part_of_its_tensors_finds_nothing_at_random(tmp_path: Path):
    name = save_rt_detr(tmp_path)
    without(tmp_path, "class_embed")
    with pytest.raises(MissingWeights, match="would be random numbers"):
        loaded(name, device="cpu")


def test_a_pickled_detector_is_read_where_it_is_trusted(tmp_path: Path):
    name = save_detr(tmp_path)
    wanted = loaded(name, device="cpu").model.detect(frames(1))[0]
    pickled(tmp_path)
    found = loaded(f"{name}&unsafe=true", device="cpu").model.detect(frames(1))[0]
    assert [(one.label, one.box) for one in found] == [(one.label, one.box) for one in wanted]
