"""Sound encoders: windows of any lengths side by side, layers, pooling, and folders that are not theirs."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.families import sound as tiny
from tests.families.tiny import pickled, without
from tests.real_whisper import save_real_whisper
from transforms.encoders.catalog import card, describe
from transforms.encoders.encoder import Encoder
from transforms.encoders.families import mfcc, vggish
from transforms.encoders.network import Network
from transforms.encoders.registry import loaded
from transforms.errors import MissingPackage, MissingWeights, UsageError
from transforms.records import Audio, Float32

RATE = 16_000


def noise(seconds: float, *, seed: int = 0, rate: int = RATE) -> Audio:
    """Noise that swells and falls."""
    random = np.random.default_rng(seed)
    count = round(seconds * rate)
    swell = 0.2 + 0.1 * np.sin(np.arange(count) / rate * 9)
    return Audio((swell * random.normal(size=count)).clip(-1, 1).astype(np.float32), rate, 0.0)


SAVED = {str(one): one for one in tiny.TINY}


@pytest.mark.parametrize("label", [label for label in SAVED if "attention" not in label or "wavlm" in label])
def test_sounds_of_unequal_length_do_not_change_one_another(label, tmp_path):
    encoder = loaded(SAVED[label].save(tmp_path), device="cpu").model
    rate = encoder.card.sample_rate_hz
    sounds = [noise(seconds, seed=place, rate=rate) for place, seconds in enumerate((0.4, 0.93, 0.4, 0.71))]
    together = encoder.sounds(sounds)
    for sound, row in zip(sounds, together, strict=True):
        np.testing.assert_allclose(encoder.sounds([sound])[0], row, atol=1e-5)


@pytest.mark.parametrize("label", [label for label in SAVED if "attention" not in label])
def test_no_samples_and_one_sample_are_sound_too(label, tmp_path):
    encoder = loaded(SAVED[label].save(tmp_path), device="cpu").model
    rows = encoder.sounds([Audio(np.zeros(count, np.float32), encoder.card.sample_rate_hz, 0.0) for count in (0, 1)])
    assert rows.shape == (2, encoder.card.dimensions) and np.isfinite(rows).all()


def test_silence_that_fills_a_window_up_is_not_pooled(tmp_path):
    encoder = loaded(tiny.save_whisper_encoder(tmp_path), device="cpu").model
    short = noise(0.5)
    padded = replace(short, samples=np.pad(short.samples, (0, RATE)))
    assert np.abs(encoder.sounds([short]) - encoder.sounds([padded])).max() > 1e-3


def test_layers_count_from_what_goes_into_the_first_one(tmp_path):
    name = tiny.save_waves(tmp_path, kind="hubert")
    rows = {layer: loaded(f"{name}?layer={layer}", device="cpu").model.sounds([noise(0.5)]) for layer in (0, 1, 2, -1)}
    np.testing.assert_array_equal(rows[2], rows[-1])
    assert all(np.abs(rows[a] - rows[b]).max() > 1e-3 for a, b in ((0, 1), (1, 2)))
    assert card(f"{name}?layer=2").fingerprint == card(name).fingerprint != card(f"{name}?layer=1").fingerprint


@pytest.mark.parametrize("options", ["layer=3", "layer=-4", "layer=last", "pooling=median", "pooling=tokens", "head=1"])
def test_what_the_model_does_not_have_is_refused(options, tmp_path):
    name = tiny.save_waves(tmp_path, kind="wavlm")
    with pytest.raises(UsageError, match=options.split("=")[0]):
        card(f"{name}?{options}")


def test_a_model_of_another_kind_is_refused(tmp_path):
    tiny.save_clap(tmp_path)
    with pytest.raises(UsageError, match="of the kind 'clap'"):
        card(f"transformers-audio:{tmp_path}")
    tiny.edit_json(tmp_path / "config.json", model_type="bert")
    with pytest.raises(UsageError, match="one of 'bert'"):
        describe(f"clap:{tmp_path}")


def test_tensors_that_are_missing_are_not_made_up(tmp_path):
    from safetensors.torch import load_file, save_file

    name = tiny.save_waves(tmp_path, kind="wav2vec2")
    tensors = load_file(tmp_path / "model.safetensors")
    gone = next(key for key in tensors if "layers.1" in key)
    save_file({key: value for key, value in tensors.items() if key != gone}, tmp_path / "model.safetensors")
    with pytest.raises(MissingWeights, match="are not in"):
        loaded(name, device="cpu")


def test_the_processors_file_takes_the_place_of_the_extractors(tmp_path):
    from transformers import AutoFeatureExtractor

    name = tiny.save_waves(tmp_path, kind="wav2vec2")
    wanted = loaded(name, device="cpu").model.sounds([noise(0.5)])
    settings = AutoFeatureExtractor.from_pretrained(tmp_path).to_dict()
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "processor_config.json").write_text("{}")
    tiny.edit_json(tmp_path / "processor_config.json", feature_extractor=settings)
    assert describe(name).sample_rate_hz == RATE
    again = tmp_path / "copy"
    again.mkdir()
    for path in tmp_path.glob("*.*"):
        (again / path.name).write_bytes(path.read_bytes())
    np.testing.assert_array_equal(
        loaded(f"transformers-audio:{again}", device="cpu").model.sounds([noise(0.5)]), wanted
    )


def test_no_window_of_a_fused_clap_is_drawn_to_be_a_longer_one(tmp_path):
    encoder = loaded(tiny.save_clap(tmp_path, fused=True), device="cpu").model
    sounds = [noise(0.9, seed=seed, rate=48_000) for seed in range(3)]
    first = encoder.sounds(sounds)
    for _ in range(4):
        np.testing.assert_array_equal(encoder.sounds(sounds), first)


def test_long_sound_is_the_mean_of_its_windows_weighed_by_their_length(tmp_path):
    encoder = loaded(tiny.save_clap(tmp_path), device="cpu").model
    whole = noise(2.5, rate=48_000)
    bounds = np.linspace(0, len(whole.samples), 4).round().astype(int)
    parts = [replace(whole, samples=whole.samples[start:end]) for start, end in pairwise(bounds)]
    mean = (encoder.sounds(parts) * np.diff(bounds)[:, None]).sum(0)
    np.testing.assert_allclose(encoder.sounds([whole])[0], mean / np.linalg.norm(mean), atol=1e-5)


class Counting(Network):
    """Two numbers a window, and how many samples went through at once at most."""

    most = 0
    windows = 0

    def sounds(self, windows: Sequence[Float32]) -> Float32:
        self.most = max(self.most, sum(len(window) for window in windows))
        self.windows += len(windows)
        return np.array([(window.mean() + 2, window.std()) for window in windows], np.float32)


def test_ten_hours_of_sound_go_through_in_batches_of_windows_and_take_no_memory_of_their_own():
    import tracemalloc

    rate, hours = 100, 10
    long = Audio(np.ones(hours * 3600 * rate, np.float32), rate, 0.0)
    network = Counting()
    about = replace(card("mfcc:statistics"), dimensions=2, sample_rate_hz=rate)
    encoder = Encoder(about, network)
    tracemalloc.start()
    rows = encoder.sounds([long])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows.shape == (1, 2) and network.windows == hours * 3600 / mfcc.LONGEST_SECONDS
    assert network.most <= network.batch_items("sound") * mfcc.LONGEST_SECONDS * rate
    assert peak < 5 * long.samples.nbytes


def test_a_tone_moves_the_coefficients_and_loudness_only_the_first():
    network = mfcc.load(card("mfcc:statistics"), Network.where)
    soft, loud = (network.coefficients(scale * noise(0.5).samples) for scale in (0.25, 0.5))
    np.testing.assert_allclose(soft[:, 1:], loud[:, 1:], atol=1e-3)
    assert (loud[:, 0] - soft[:, 0]).min() > 1


@pytest.mark.parametrize(
    ("count", "held"),
    [
        (1, [1]),
        (15_360, [15_360]),
        (15_600, [15_360]),
        (15_601, [15_360, 241]),
        (31_000, [15_360, 15_360, 280]),
        (480_000, [15_360] * 31 + [3_840]),
    ],
)
def test_every_sample_is_in_a_patch_of_vggish(count, held):
    pytest.importorskip("torchvggish")
    examples, found = vggish.patches(np.zeros(count, np.float32))
    assert found == held and len(examples) == len(held)


def test_other_tensors_are_not_vggish(tmp_path):
    pytest.importorskip("torchvggish")
    import torch
    from safetensors.torch import save_file

    save_file({"features.0.weight": torch.zeros(64, 1, 3, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(MissingWeights, match="not those of torchvggish's network"):
        loaded(f"vggish:{tmp_path}", device="cpu")


def test_passt_says_why_it_cannot_be_used():
    with pytest.raises(MissingPackage, match="torchaudio"):
        card("passt:any")


def test_the_real_whisper_encoder_tells_speech_from_noise(tmp_path: Path):
    encoder = loaded(f"transformers-audio:{save_real_whisper(tmp_path)}", device="cpu").model
    seconds = np.arange(2 * RATE) / RATE
    tones = [Audio((0.3 * np.sin(2 * np.pi * hertz * seconds)).astype(np.float32), RATE, 0.0) for hertz in (440, 523)]
    first, second, other = encoder.sounds([*tones, noise(2)])
    assert encoder.card.dimensions == 384 and first @ second > first @ other


def test_a_pooler_that_the_text_projection_reads_is_never_random(tmp_path):
    name = SAVED["clap-unfused"].save(tmp_path)
    without(tmp_path, "text_model.pooler.")
    with pytest.raises(MissingWeights, match=r"pooler.*would be random numbers"):
        loaded(name, device="cpu")


def test_pickled_weights_are_read_where_they_are_trusted(tmp_path):
    name = SAVED["vggish"].save(tmp_path)
    wanted = loaded(name, device="cpu").model.sounds([noise(1.0)])
    pickled(tmp_path)
    found = loaded(f"{name}?unsafe=true", device="cpu").model.sounds([noise(1.0)])
    np.testing.assert_allclose(found, wanted, atol=1e-6)
