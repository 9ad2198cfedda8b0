"""Image networks of open_clip, timm and torchvision: what a folder must hold, and what a name may ask for."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.families.image import save_open_clip, save_siglip, save_timm, save_torchvision, torchvision_reference
from tests.families.tiny import inputs_of
from transforms.encoders.catalog import card, describe
from transforms.encoders.encoder import Encoder
from transforms.encoders.families.conse import ConseNetwork
from transforms.encoders.families.torchvision_images import check_size
from transforms.encoders.names import Name
from transforms.encoders.registry import loaded
from transforms.errors import BadVectors, MissingWeights, UsageError
from transforms.records import FrameSpec


def save_resnet(folder: Path) -> str:
    return save_torchvision(folder, "resnet18")


def save_vit(folder: Path) -> str:
    return save_timm(folder, "test_vit")


SAVED = pytest.mark.parametrize(
    "save", [save_open_clip, save_vit, save_resnet], ids=["open_clip", "timm", "torchvision"]
)
Save = Callable[[Path], str]


def encoder(name: str) -> Encoder:
    return loaded(name, device="cpu").model


def weights_in(folder: Path) -> Path:
    return next(folder.glob("*.safetensors"))


def rows(name: str) -> np.ndarray:
    found = encoder(name)
    return found.frames(np.stack(inputs_of(found.card, "image")))


@SAVED
def test_frames_of_another_size_are_refused(save: Save, tmp_path: Path):
    found = encoder(save(tmp_path))
    spec = found.card.frame_spec
    assert spec is not None
    for shape in ((1, 1, 1, 3), (1, spec.height + 1, spec.width, 3), (1, spec.height, spec.width, 4)):
        with pytest.raises(ValueError, match="decode them with the card's frame_spec"):
            found.frames(np.zeros(shape, np.uint8))


@SAVED
def test_weights_that_can_run_code_are_refused(save: Save, tmp_path: Path):
    name = save(tmp_path)
    weights_in(tmp_path).rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(MissingWeights, match=r"pytorch_model\.bin only"):
        card(name)


@SAVED
def test_a_folder_without_weights_says_so(save: Save, tmp_path: Path):
    name = save(tmp_path)
    weights_in(tmp_path).unlink()
    with pytest.raises(MissingWeights, match="no weights"):
        card(name)


@SAVED
def test_weights_that_were_cut_short_are_refused(save: Save, tmp_path: Path):
    name = save(tmp_path)
    path = weights_in(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MissingWeights, match="the weights are damaged"):
        card(name)


@SAVED
def test_vectors_that_are_not_finite_never_come_out(save: Save, tmp_path: Path):
    name = save(tmp_path)
    path = weights_in(tmp_path)
    tensors = {
        key: torch.full_like(one, torch.nan) if one.is_floating_point() else one for key, one in load_file(path).items()
    }
    save_file(tensors, path)
    with pytest.raises(BadVectors, match="not finite"):
        rows(name)


@SAVED
@pytest.mark.parametrize("change", ["missing", "of another shape", "not of this network"])
def test_every_tensor_has_its_place(save: Save, change: str, tmp_path: Path):
    name = save(tmp_path)
    path = weights_in(tmp_path)
    tensors = load_file(path)
    key = next(key for key, one in tensors.items() if one.ndim == 4)
    if change == "missing":
        del tensors[key]
    elif change == "of another shape":
        tensors[key] = torch.zeros(1, 1, 1, 1)
    else:
        tensors["another.weight"] = torch.zeros(2)
    save_file(tensors, path)
    with pytest.raises(MissingWeights, match="are not those of"):
        encoder(name)


@SAVED
def test_half_precision_gives_nearly_the_same_vectors(save: Save, tmp_path: Path):
    name = save(tmp_path)
    half = str(Name.parse(name).with_options({"precision": "bf16"}))
    assert card(half).fingerprint != card(name).fingerprint
    assert (rows(name) * rows(half)).sum(1).min() > 0.99


@SAVED
def test_an_unknown_option_is_refused(save: Save, tmp_path: Path):
    name = save(tmp_path)
    with pytest.raises(UsageError, match="has no option 'colour'"):
        card(str(Name.parse(name).with_options({"colour": "red"})))


@SAVED
def test_a_card_is_made_without_torch(save: Save, tmp_path: Path):
    name = save(tmp_path)
    code = f"import sys; from transforms.encoders.catalog import card; card({name!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[1]).returncode == 0


# open_clip


def test_a_model_and_its_tag_lie_on_the_hub():
    from transforms.encoders.families.open_clip_models import repository

    known = repository(Name.parse("open_clip:ViT-B-32/laion2b_s34b_b79k"))
    assert known == "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    assert repository(Name.parse("open_clip:ViTamin-S/datacomp1b")).count("/") == 1
    assert repository(Name.parse("open_clip:hf-hub:org/model")) == "org/model"
    with pytest.raises(UsageError, match="ViT-B-32/laion2b_s34b_b79k"):
        repository(Name.parse("open_clip:ViT-B-32/laion2b_s34b"))


def test_what_open_clip_cannot_compute_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="one of fp32, bf16, fp16: precision='int8'"):
        encoder(f"{save_open_clip(tmp_path)}?precision=int8")


def test_nobody_is_told_that_read_weights_are_random(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    encoder(save_open_clip(tmp_path))
    assert not caplog.records


def test_a_long_text_is_never_cut_off(tmp_path: Path):
    for save, long in ((save_open_clip, "rain "), (save_siglip, "rain on the roof ")):
        folder = tmp_path / save.__name__
        folder.mkdir()
        found = encoder(save(folder))
        plain, changed = found.texts([long * 60 + "cats", long * 60 + "dogs"])
        assert np.abs(plain - changed).max() > 1e-4


def test_characters_of_many_tokens_are_never_cut_off(tmp_path: Path):
    found = encoder(save_open_clip(tmp_path))
    cat, dog = "𒀀" * 18 + "cat", "𒀀" * 18 + "dog"
    assert len(cat) < found.card.longest_tokens
    plain, changed = found.texts([cat, dog])
    assert np.abs(plain - changed).max() > 1e-4


def test_the_config_says_how_pictures_get_their_size(tmp_path: Path):
    name = save_open_clip(tmp_path)
    path = tmp_path / "open_clip_config.json"
    config = json.loads(path.read_text())
    for mode, fit in (("shortest", "crop"), ("longest", "pad"), ("squash", "stretch")):
        path.write_text(json.dumps({**config, "preprocess_cfg": {"resize_mode": mode}}))
        spec = describe(name).frame_spec
        assert spec is not None and (spec.width, spec.height, spec.fit) == (32, 32, fit)


def test_of_several_files_open_clips_own_is_read(tmp_path: Path):
    name = save_open_clip(tmp_path)
    save_file({"another": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert rows(name).shape == (4, 24)


# timm


def test_unknown_pooling_and_layers_are_refused(tmp_path: Path):
    name = save_timm(tmp_path, "test_resnet")
    for options, said in (
        ("pooling=sum", "one of library, avg, max, cls, patch, attention"),
        ("layers=first", "whole numbers"),
        ("layers=3,1", "stand once each"),
        *((f"layers={twice}", "stand once each") for twice in ("-1,-1", "-2,-2", "-1,-3", "-1,2", "1,1")),
        ("layers=1,9", "does not give these layers"),
        ("layers=1,2&pooling=cls", "no CLS token"),
    ):
        with pytest.raises(UsageError, match=said):
            card(f"{name}?{options}")
    with pytest.raises(UsageError, match="no CLS token"):
        rows(f"{name}?pooling=cls")


def test_a_network_pools_over_its_patches_with_the_norm_of_its_head(tmp_path: Path):
    name = save_timm(tmp_path, "test_vit", global_pool="avg")  # has its last norm behind the pooling
    plain, average, patch = (rows(f"{name}?pooling={one}") for one in ("library", "avg", "patch"))
    np.testing.assert_allclose(average, plain, atol=1e-6)
    assert np.abs(average - patch).max() > 1e-4


def test_a_pooling_that_timm_does_not_have_is_refused(tmp_path: Path):
    name = save_timm(tmp_path, "mixer_s32_224")
    with pytest.raises(UsageError, match=r"MlpMixer has no pooling=max: Only avg .*; take pooling=library"):
        card(f"{name}?pooling=max")


def test_the_last_layer_written_in_another_way_is_the_same(tmp_path: Path):
    name = save_timm(tmp_path, "test_resnet")
    assert card(f"{name}?layers=-01").fingerprint == card(name).fingerprint


@pytest.mark.parametrize(
    "architecture", ["test_resnet", "test_vit", "test_vit2", "test_convnext", "test_efficientnet", "test_byobnet"]
)
def test_a_card_knows_the_size_of_every_pooling(architecture: str, tmp_path: Path):
    name = save_timm(tmp_path, architecture)
    for options in ("pooling=library", "pooling=avg", "pooling=attention", "layers=0,2", "layers=-2,-1&pooling=max"):
        found = encoder(f"{name}?{options}")
        assert rows(f"{name}?{options}").shape == (4, found.card.dimensions)


def test_a_head_between_features_and_classes_counts(tmp_path: Path):
    name = save_timm(tmp_path, "mobilenetv3_small_050")
    plain = card(name)
    assert json.loads((tmp_path / "config.json").read_text())["num_features"] != plain.dimensions
    assert rows(name).shape == (4, plain.dimensions)


def test_the_crop_is_the_networks_own(tmp_path: Path):
    name = save_vit(tmp_path)
    assert card(name).frame_spec == FrameSpec(160, 160, "crop", 0.95)


# torchvision


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        ("alexnet", "classifier.6"),
        ("mobilenet_v3_small", "classifier.3"),
        ("shufflenet_v2_x0_5", "fc"),
        ("densenet121", "classifier"),
    ],
)
def test_the_vector_is_what_the_classifier_would_see(model: str, layer: str, tmp_path: Path):
    name = save_torchvision(tmp_path, model)
    found = encoder(name)
    inputs = inputs_of(found.card, "image")
    wanted = torchvision_reference(model, layer)(tmp_path, "image", inputs).numpy()
    wanted = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(found.frames(np.stack(inputs)), wanted, atol=1e-5)


def test_googlenet_is_read_without_its_classifiers_for_training(tmp_path: Path):
    from torchvision import models
    from torchvision.transforms.functional import normalize, to_tensor

    torch.manual_seed(0)
    network = models.googlenet(weights=None, init_weights=False, num_classes=10, transform_input=True)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    assert any(key.startswith("aux1.") for key in network.state_dict())
    found = encoder(f"torchvision:{tmp_path}?model=googlenet&resize=64&size=64")
    inputs = inputs_of(found.card, "image")
    network.fc = torch.nn.Identity()
    shown = [normalize(to_tensor(one), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) for one in inputs]
    with torch.inference_mode():
        wanted = network.eval()(torch.stack(shown)).numpy()
    wanted = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(found.frames(np.stack(inputs)), wanted, atol=1e-5)


def test_torchvisions_own_file_is_read_where_it_is_trusted(tmp_path: Path):
    name = save_resnet(tmp_path)
    wanted = rows(name)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "saved.pth")
    (tmp_path / "model.safetensors").unlink()
    sha256 = hashlib.sha256((tmp_path / "saved.pth").read_bytes()).hexdigest()
    path = (tmp_path / "saved.pth").rename(tmp_path / f"resnet18-{sha256[:8]}.pth")
    trusted = str(Name.parse(name).with_options({"unsafe": "true"}))
    np.testing.assert_allclose(rows(trusted), wanted, atol=1e-6)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(MissingWeights, match="by its SHA-256"):
        describe(trusted)


def test_a_file_of_torchvision_that_wants_other_sizes_says_so():
    usual = FrameSpec(224, 224, "crop", crop_fraction=0.875)
    check_size("resnet50", Path("resnet50-0676ba61.pth"), usual)
    check_size("resnet50", Path("of-my-own.pth"), usual)
    with pytest.raises(UsageError, match="size=224&resize=232"):
        check_size("resnet50", Path("resnet50-11ad3fa6.pth"), usual)


def test_a_name_without_a_folder_says_where_the_weights_go():
    with pytest.raises(MissingWeights, match=r"torchvision:./FOLDER\?model=resnet50"):
        card("torchvision:resnet50")


def test_an_unknown_network_suggests_the_nearest(tmp_path: Path):
    save_resnet(tmp_path)
    with pytest.raises(UsageError, match="say which network lies in the folder"):
        card(f"torchvision:{tmp_path}")
    with pytest.raises(UsageError, match="resnet18"):
        encoder(f"torchvision:{tmp_path}?model=resnet-18")
    with pytest.raises(MissingWeights, match="not those of resnet34"):
        encoder(f"torchvision:{tmp_path}?model=resnet34")


# conse


def test_any_classifier_of_timm_is_asked_by_words(tmp_path: Path):
    save_timm(tmp_path, "test_resnet", classes=1000)
    name = f"conse:{tmp_path}?temperature=1.5&top_k=3"
    found = card(name)
    text = card("sentence-transformers:all-MiniLM-L6-v2")
    assert (found.dimensions, found.space, found.text_encoder) == (text.dimensions, text.space, text.name)
    assert found.fingerprint != card(f"conse:{tmp_path}").fingerprint
    network = encoder(name).network
    pixels = np.stack(inputs_of(found, "image"))
    assert isinstance(network, ConseNetwork)
    trained = json.loads((tmp_path / "config.json").read_text())["pretrained_cfg"]
    mean, deviation = (torch.tensor(trained[key]).view(3, 1, 1) for key in ("mean", "std"))
    shown = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / deviation
    best = (network.classifier(shown) / 1.5).softmax(1).topk(3)
    wanted = (best.values[:, :, None] * network.class_vectors[best.indices]).sum(1)
    wanted = (wanted / wanted.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(rows(name), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"), [("temperature=0", "above zero"), ("top_k=1001", "1000 at most"), ("layers=1", "no option")]
)
def test_settings_that_conse_cannot_use_are_refused(options: str, said: str, tmp_path: Path):
    save_timm(tmp_path, "test_resnet", classes=1000)
    with pytest.raises(UsageError, match=said):
        card(f"conse:{tmp_path}?{options}")


def test_a_network_of_other_classes_has_no_names(tmp_path: Path):
    save_timm(tmp_path, "test_resnet")
    with pytest.raises(UsageError, match="this network has 10"):
        card(f"conse:{tmp_path}")
