"""Sound through the encoders of transformers, their frames pooled into one vector; there is no text tower.

wav2vec 2.0 (Baevski et al., 2020), HuBERT (Hsu et al., 2021), WavLM (Chen et al., 2022) and Data2Vec (Baevski et
al., 2022) take windows of 30 s at most. They are padded together only where the model honours a mask: those with
`feat_extract_norm="group"` normalise over the padding too, and Data2Vec's positions look into it. Whisper's encoder
(Radford et al., 2022) has a window of 30 s, filled up with silence; the frames that hold sound are pooled. The Audio
Spectrogram Transformer (Gong et al., 2021) has a window of its `max_length`; its own summary tokens are its vector,
or its patches are pooled, those that hold sound.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.folders import hub_card, read_config
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Where, as_float32
from transforms.encoders.precision import moved, placed
from transforms.encoders.sounds import POOLINGS, at_least, extractor_settings, pooled_frames
from transforms.encoders.text_models import pretrained
from transforms.encoders.windows import of_equal_length
from transforms.errors import UsageError
from transforms.records import Float32

_WAVES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio")
_HONOUR_MASKS = ("wav2vec2", "hubert", "wavlm")
_WAVE_SECONDS = 30.0
_FRAME, _HOP = 400, 160  # samples of AST's spectrogram: 25 ms, every 10 ms


@dataclass(eq=False)
class SoundNetwork(Network):
    """The model and its feature extractor."""

    model: Any
    extractor: Any
    kind: str
    pooling: str
    layer: int
    where: Where = Where()

    def sounds(self, windows: Sequence[Float32]) -> Float32:
        """(n, dim)."""
        import torch

        run = {"whisper": self._whisper, "audio-spectrogram-transformer": self._spectrogram}.get(self.kind, self._waves)
        with torch.inference_mode():
            return run(windows)

    def _waves(self, windows: Sequence[Float32]) -> Float32:
        shortest = receptive_samples(self.model.config)
        rows = [self._extracted(at_least(window, shortest))["input_values"][0] for window in windows]
        padded = self.model.config.feat_extract_norm == "layer" and self.kind in _HONOUR_MASKS
        groups = [list(range(len(rows)))] if padded else of_equal_length(rows)
        found: dict[int, Float32] = {}
        for places in groups:
            found |= zip(places, self._wave_group([rows[place] for place in places]), strict=True)
        return np.stack([found[place] for place in range(len(rows))])

    def _wave_group(self, rows: Sequence[Float32]) -> Float32:
        import torch

        longest = max(len(row) for row in rows)
        values = torch.from_numpy(np.stack([at_least(row, longest) for row in rows]))
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        padded = {} if bool(mask.all()) else {"attention_mask": mask}
        given = self.model(**moved({"input_values": values, **padded}, self.where), **self._wanted())
        frames = self._frames(given)
        adapted = self.layer == -1 and getattr(self.model.config, "add_adapter", False)
        held = (
            self.model._get_feature_vector_attention_mask(frames.shape[1], mask, add_adapter=adapted)
            if padded
            else (torch.ones(frames.shape[:2]))
        )
        return as_float32(pooled_frames(frames, held, self._attentions(given), self.pooling))

    def _whisper(self, windows: Sequence[Float32]) -> Float32:
        import torch

        inputs = moved(self._extracted([at_least(window, 1) for window in windows], "pt"), self.where)
        given = self.model(inputs["input_features"], **self._wanted())
        frames = self._frames(given)  # (n, 1500, dim)
        per_frame = self.extractor.n_samples / frames.shape[1]
        ends = torch.tensor([max(1, np.ceil(len(window) / per_frame)) for window in windows])
        held = torch.arange(frames.shape[1])[None] < ends[:, None]
        return as_float32(pooled_frames(frames, held, self._attentions(given), self.pooling))

    def _spectrogram(self, windows: Sequence[Float32]) -> Float32:
        import torch

        inputs = moved(self._extracted([at_least(window, _FRAME) for window in windows], "pt"), self.where)
        given = self.model(**inputs, **self._wanted())
        if self.pooling == "tokens":
            tokens = self._frames(given)[:, :2]
            return as_float32(given.pooler_output if self.layer == -1 else tokens.float().mean(1))
        config = self.model.config
        across = (config.max_length - config.patch_size) // config.time_stride + 1  # patches from left to right
        frames = self._frames(given)[:, 2:]
        times = torch.arange(frames.shape[1]) % across * config.time_stride
        ends = torch.tensor([1 + (max(len(window), _FRAME) - _FRAME) // _HOP for window in windows])
        attentions = self._attentions(given)
        seen = None if attentions is None else attentions[:, :, 2:, 2:]
        return as_float32(pooled_frames(frames, times[None] < ends[:, None], seen, self.pooling))

    def _extracted(self, sound: Any, tensors: str = "np") -> Any:
        return self.extractor(sound, sampling_rate=self.extractor.sampling_rate, return_tensors=tensors)

    def _wanted(self) -> dict[str, bool]:
        return {"output_hidden_states": self.layer != -1, "output_attentions": self.pooling == "attention"}

    def _frames(self, given: Any) -> Any:
        return given.last_hidden_state if self.layer == -1 else given.hidden_states[self.layer]

    def _attentions(self, given: Any) -> Any:
        return given.attentions[-1] if self.pooling == "attention" else None


def receptive_samples(config: Any) -> int:
    """How many samples one frame of the convolutions sees; fewer make none."""
    samples = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


def describe(name: Name, folder: Path) -> Card:
    """The card of a model's folder."""
    name.check_options("pooling", "layer")
    config = read_config(folder)
    kind = config.get("model_type", "")
    if kind not in _KINDS:
        raise UsageError(f"transformers-audio takes {', '.join(_KINDS)}, this model is of the kind {kind!r}: {folder}")
    heard = extractor_settings(folder)
    spectrogram = kind == "audio-spectrogram-transformer"
    layers = int(config["encoder_layers" if kind == "whisper" else "num_hidden_layers"])
    layer = layer_of(name, layers)
    adapted = bool(config.get("add_adapter")) and layer == -1
    width = config["d_model" if kind == "whisper" else "output_hidden_size" if adapted else "hidden_size"]
    poolings = ("tokens", *POOLINGS) if spectrogram else POOLINGS
    pooling = name.choice("pooling", poolings)
    if adapted and pooling == "attention":
        raise UsageError(f"the frames of a model with an adapter get no attention; take pooling=mean: {str(name)!r}")
    return hub_card(
        name,
        folder,
        modality="sound",
        accepts=("sound",),
        dimensions=width,
        text_queries=False,
        sample_rate_hz=heard["sampling_rate"],
        longest_seconds=_KINDS[kind](heard),
        settings=(("pooling", pooling), ("layer", layer)),
    )


#: The longest window in seconds, by what the feature extractor says.
_KINDS: dict[str, Callable[[dict[str, Any]], float]] = {
    **dict.fromkeys(_WAVES, lambda heard: _WAVE_SECONDS),
    "whisper": lambda heard: float(heard["chunk_length"]),
    "audio-spectrogram-transformer": lambda heard: (_FRAME + _HOP * (heard["max_length"] - 1)) / heard["sampling_rate"],
}


def layer_of(name: Name, layers: int) -> int:
    """The layer whose frames are pooled: 0 what goes into the first one, `layers` or -1 what the last one gives."""
    text = name.option("layer", "-1")
    if not text.removeprefix("-").isdecimal() or not -layers - 1 <= int(text) <= layers:
        raise UsageError(
            f"the model has {layers} layers, so layer= is a number from {-layers - 1} to {layers}: {text!r}"
        )
    return -1 if int(text) == layers else int(text)


def load(card: Card, where: Where) -> SoundNetwork:
    """The model of a card; raises MissingWeights."""
    from transformers import AutoFeatureExtractor, AutoModel

    kind, settings = str(read_config(card.folder)["model_type"]), dict(card.settings)
    eager = {"attn_implementation": "eager"} if settings["pooling"] == "attention" else {}
    model = pretrained(AutoModel, card.folder, unsafe=Name.parse(card.name).flag("unsafe"), **eager)
    extractors: Any = AutoFeatureExtractor
    extractor = extractors.from_pretrained(card.folder, local_files_only=True, trust_remote_code=False)
    if kind == "whisper":
        model = model.get_encoder()
    ready = placed(model, where, exact=("attention.",) if kind == "wavlm" else ())
    return SoundNetwork(ready, extractor, kind, str(settings["pooling"]), int(card.setting("layer")))
