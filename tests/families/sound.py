"""Tiny sound encoders."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.families.tiny import Tiny
from transforms.encoders.network import Kind

WAVES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio")


def save_clap(folder: Path, *, fused: bool = False) -> str:
    """A CLAP of two small towers."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    from tests.families.tokenizers import save_bpe_tokenizer

    torch.manual_seed(0)
    config = ClapConfig(
        text_config={
            "vocab_size": 300,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 37,
            "max_position_embeddings": 64,
        },
        audio_config={
            "spec_size": 32,
            "num_mel_bins": 8,
            "patch_size": 2,
            "patch_stride": [2, 2],
            "patch_embeds_hidden_size": 16,
            "depths": [1, 1],
            "num_attention_heads": [2, 2],
            "hidden_size": 32,
            "window_size": 2,
            "enable_fusion": fused,
            "fusion_type": "aff_2d" if fused else None,
        },
        projection_dim=32,
    )
    ClapModel(config).save_pretrained(folder)
    ClapFeatureExtractor(
        feature_size=8,
        max_length_s=1,
        fft_window_size=512,
        hop_length=480,
        truncation="fusion" if fused else "rand_trunc",
    ).save_pretrained(folder)
    save_bpe_tokenizer(folder, size=300)
    return f"clap:{folder}"


def clap_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """transformers' own way; one that is not longer than its window is not, whatever the extractor draws."""
    from transformers import AutoFeatureExtractor, AutoTokenizer, ClapModel

    model = ClapModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        if kind == "text":
            tokens = AutoTokenizer.from_pretrained(folder)(list(inputs), padding=True, return_tensors="pt")
            return model.get_text_features(**tokens).pooler_output
        samples = [audio.samples for audio in inputs]
        extractor = AutoFeatureExtractor.from_pretrained(folder)
        heard = extractor(samples, sampling_rate=inputs[0].sample_rate_hz, return_tensors="pt")
        heard["is_longer"] = torch.zeros(len(samples), 1, dtype=torch.bool)
        return model.get_audio_features(**heard).pooler_output


def save_waves(folder: Path, *, kind: str, norm: str = "group", options: str = "") -> str:
    """A small model of wav2vec 2.0's kind."""
    from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=37,
        conv_dim=(16, 16, 16),
        conv_kernel=(10, 8, 4),
        conv_stride=(5, 8, 4),
        num_feat_extract_layers=3,
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
        num_conv_pos_embeddings=16 if kind != "data2vec-audio" else 3,
        conv_pos_kernel_size=5,
        num_conv_pos_embedding_groups=2,
        mask_time_prob=0.0,
    )
    AutoModel.from_config(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer").save_pretrained(folder)
    return f"transformers-audio:{folder}{options}"


def waves_reference(folder: Path, kind: Kind, inputs: Sequence[Any], *, layer: int = -1, maximum: bool = False) -> Any:
    """transformers' own way, one sound at a time."""
    from transformers import AutoFeatureExtractor, AutoModel

    model, extractor = AutoModel.from_pretrained(folder).eval(), AutoFeatureExtractor.from_pretrained(folder)
    rows = []
    for audio in inputs:
        values = extractor(audio.samples, sampling_rate=16_000, return_tensors="pt").input_values
        with torch.inference_mode():
            given = model(values, output_hidden_states=True)
        frames = (given.last_hidden_state if layer == -1 else given.hidden_states[layer])[0]
        rows.append(frames.amax(0) if maximum else frames.mean(0))
    return torch.stack(rows)


def save_whisper_encoder(folder: Path, *, options: str = "") -> str:
    """A Whisper with windows of two seconds."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=60,
        d_model=32,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        max_source_positions=100,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=1,
    )
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor(chunk_length=2).save_pretrained(folder)
    return f"transformers-audio:{folder}{options}"


def whisper_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """transformers' own way; a second is the first 50 frames of the window."""
    from transformers import WhisperFeatureExtractor, WhisperModel

    encoder = WhisperModel.from_pretrained(folder).eval().get_encoder()
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    with torch.inference_mode():
        heard = extractor([audio.samples for audio in inputs], sampling_rate=16_000, return_tensors="pt")
        return encoder(heard.input_features).last_hidden_state[:, :50].mean(1)


def save_spectrogram(folder: Path, *, options: str = "") -> str:
    """An Audio Spectrogram Transformer with windows of 2.6 s."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

    torch.manual_seed(0)
    config = ASTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=37,
        max_length=256,
        num_mel_bins=32,
    )
    ASTModel(config).save_pretrained(folder)
    ASTFeatureExtractor(max_length=256, num_mel_bins=32).save_pretrained(folder)
    return f"transformers-audio:{folder}{options}"


def spectrogram_reference(folder: Path, kind: Kind, inputs: Sequence[Any], *, patches: bool = False) -> Any:
    """transformers' own way; of 256 frames a second has 98, in 10 of 25 patches from left to right."""
    from transformers import ASTFeatureExtractor, ASTModel

    heard = ASTFeatureExtractor.from_pretrained(folder)(
        [audio.samples for audio in inputs], sampling_rate=16_000, return_tensors="pt"
    )
    with torch.inference_mode():
        given = ASTModel.from_pretrained(folder).eval()(**heard)
    if not patches:
        return given.pooler_output
    grid = given.last_hidden_state[:, 2:].reshape(len(inputs), -1, 25, 32)  # from low to high, from left to right
    return grid[:, :, :10].mean((1, 2))


def save_vggish(folder: Path) -> str:
    """VGGish at its own size: the package makes no other."""
    from safetensors.torch import save_file
    from torchvggish.torchvggish import VGG, make_layers

    torch.manual_seed(0)
    save_file(VGG(make_layers(), postprocess=False).state_dict(), folder / "model.safetensors")
    return f"vggish:{folder}"


def vggish_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """torchvggish's own way: a patch of 0.96 s, and one of what is left and silence, weighed by what they hold."""
    from safetensors.torch import load_file
    from torchvggish.torchvggish import VGG, make_layers
    from torchvggish.vggish_input import waveform_to_examples

    model = VGG(make_layers(), postprocess=False).eval()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    rows = []
    for audio in inputs:
        patches = waveform_to_examples(np.pad(audio.samples, (0, 30_960 - 16_000)), 16_000)
        with torch.inference_mode():
            first, second = model(patches)
        rows.append((first * 15_360 + second * 640) / 16_000)
    return torch.stack(rows)


def save_mfcc(folder: Path) -> str:
    """There is nothing to save."""
    return "mfcc:statistics"


def mfcc_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """By hand, from torch's Fourier transform."""
    from scipy.fft import dct
    from transformers.audio_utils import mel_filter_bank

    bands = mel_filter_bank(257, 40, 20.0, 8000.0, 16_000, norm=None, mel_scale="htk")
    rows = []
    for audio in inputs:
        frames = torch.from_numpy(audio.samples).double().unfold(0, 400, 160) * torch.hann_window(400).double()
        power = torch.fft.rfft(frames, 512).abs().numpy() ** 2
        found = dct(np.log(np.maximum(power @ bands, 1e-10)), type=2, norm="ortho", axis=1)[:, :20]
        change = np.concatenate([np.zeros((1, 20)), found[1:] - found[:-1]])
        rows.append(np.concatenate([found.mean(0), found.std(0), change.mean(0), change.std(0)]))
    return np.stack(rows)


def save_sound_events(folder: Path) -> str:
    """Its real weights are packaged."""
    return "sound-events:synthetic-v1"


def sound_events_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """transformers' spectrogram, one sound at a time, and the packaged tensors."""
    from safetensors.torch import load_file
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    from transforms.encoders.cards import SOUND_LABELS, SOUND_WEIGHTS
    from transforms.encoders.catalog import card
    from transforms.encoders.sound_network import SoundNetwork
    from transforms.encoders.weights import locate

    files = {one.file: locate(one) for one in card("sound-events:synthetic-v1").weights}
    sentences = json.loads(files[SOUND_LABELS].read_text())
    network = SoundNetwork(len(sentences), 384).eval()
    network.load_state_dict(load_file(files[SOUND_WEIGHTS]))
    bands = mel_filter_bank(257, 64, 40.0, 7800.0, 16_000, norm=None, mel_scale="htk")
    window = window_function(512, "hann")
    rows = []
    for audio in inputs:
        power = spectrogram(audio.samples, window, 512, 320, power=2.0, center=True, mel_filters=bands, mel_floor=0.0)
        heard = torch.from_numpy(np.log(power / window.sum() ** 2 + 1e-9)).float()
        with torch.inference_mode():
            rows.append(network(heard[None])[1][0].numpy())
    return np.stack(rows)


def edit_json(path: Path, **changes: Any) -> None:
    """Change some keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _audio(label: str, save: Any, reference: Any = None) -> Tiny:
    return Tiny("transformers-audio", save, reference, label=label)


TINY = (
    Tiny("clap", save_clap, clap_reference, label="unfused"),
    Tiny("clap", partial(save_clap, fused=True), clap_reference, label="fused"),
    *(_audio(kind, partial(save_waves, kind=kind), waves_reference) for kind in WAVES),
    _audio("wav2vec2-layer-norm", partial(save_waves, kind="wav2vec2", norm="layer"), waves_reference),
    _audio(
        "hubert-max-of-layer-1",
        partial(save_waves, kind="hubert", options="?layer=1&pooling=max"),
        partial(waves_reference, layer=1, maximum=True),
    ),
    _audio("wavlm-attention", partial(save_waves, kind="wavlm", norm="layer", options="?pooling=attention")),
    _audio("whisper", save_whisper_encoder, whisper_reference),
    _audio("whisper-attention", partial(save_whisper_encoder, options="?pooling=attention")),
    _audio("ast", save_spectrogram, spectrogram_reference),
    _audio(
        "ast-mean", partial(save_spectrogram, options="?pooling=mean"), partial(spectrogram_reference, patches=True)
    ),
    Tiny("vggish", save_vggish, vggish_reference),
    Tiny("sound-events", save_sound_events, sound_events_reference),
    Tiny("mfcc", save_mfcc, mfcc_reference),
)
