"""Whole clips by transformers: X-CLIP, VideoMAE, V-JEPA 2, TimeSformer and ViViT.

| model | a clip's vector | text |
|---|---|---|
| X-CLIP (Ni et al., 2022) | its video projection | its text projection, without the prompts it makes for a video |
| VideoMAE (Tong et al., 2022), V-JEPA 2 (Assran et al., 2025) | mean of the last layer's tokens, or pooling=max | no |
| TimeSformer (Bertasius et al., 2021), ViViT (Arnab et al., 2021) | the last layer's [CLS], or pooling=mean, max | no |

A clip of another number of frames than the model's is sampled again at even distances.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.folders import hub_card, interpolation_of, read_config
from transforms.encoders.frame_sampling import sampled
from transforms.encoders.names import Name
from transforms.encoders.network import ClipInput, Network, Pixels, Role, Where, as_float32
from transforms.encoders.precision import dtype_of, moved, placed
from transforms.encoders.text_models import longest_pass, pretrained, token_counter, token_spans, whole_texts
from transforms.errors import MissingWeights, UsageError
from transforms.records import Float32, FrameSpec


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one architecture is loaded and asked."""

    model: str  # in transformers
    tokens: Callable[[Any, Any], Any]  # model, pixels (n, frames, 3, height, width) -> (n, tokens, dim)
    poolings: tuple[str, ...]  # what makes one vector of the tokens, the first unless the name says another
    dimensions: str = "hidden_size"
    frames: str = "num_frames"
    side: str = "image_size"
    unused: tuple[str, ...] = ()  # parts of the names of tensors that no clip's vector needs


def _last_layer(model: Any, pixels: Any) -> Any:
    return model(pixels).last_hidden_state


def _encoded(model: Any, pixels: Any) -> Any:
    return model(pixels, skip_predictor=True).last_hidden_state


def _projected(model: Any, pixels: Any) -> Any:
    return model.get_video_features(pixel_values=pixels).pooler_output[:, None]


_KINDS = {
    "xclip": _Kind("XCLIPModel", _projected, ("projection",), dimensions="projection_dim"),
    "videomae": _Kind("VideoMAEModel", _last_layer, ("mean", "max")),
    "vjepa2": _Kind("VJEPA2Model", _encoded, ("mean", "max"), frames="frames_per_clip", side="crop_size"),
    "timesformer": _Kind("TimesformerModel", _last_layer, ("cls", "mean", "max")),
    "vivit": _Kind("VivitModel", _last_layer, ("cls", "mean", "max"), unused=("pooler.",)),
}
_POOLED: dict[str, Callable[[Any], Any]] = {
    "mean": lambda tokens: tokens.mean(1),
    "max": lambda tokens: tokens.amax(1),
    "cls": lambda tokens: tokens[:, 0],
    "projection": lambda tokens: tokens[:, 0],
}


@dataclass(eq=False)
class WholeClipNetwork(Network):
    """The model, and how its frames are brought into its range; the tokenizer is X-CLIP's."""

    model: Any
    kind: _Kind
    pooling: str
    frames_per_clip: int
    seen: dict[str, Any]
    tokenizer: Any = None
    longest_tokens: int = 0
    where: Where = Where()

    def clips(self, clips: Sequence[ClipInput]) -> Float32:
        """(n, dim)."""
        frames = np.stack([sampled(clip.frames, self.frames_per_clip) for clip in clips])
        tokens = self.kind.tokens(self.model, in_range(frames, self.seen, self.where))
        return as_float32(_POOLED[self.pooling](tokens))

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim)."""
        return whole_texts(texts, self.longest_tokens, token_counter(self.tokenizer), self._text_vectors)

    def _text_vectors(self, texts: Sequence[str]) -> Float32:
        inputs = self.tokenizer(list(texts), padding=True, return_tensors="pt")
        return as_float32(self.model.get_text_features(**moved(inputs, self.where)).pooler_output)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token begins and ends."""
        return token_spans(self.tokenizer, text)


def in_range(frames: Pixels, seen: dict[str, Any], where: Where) -> Any:
    """Clips (n, frames, height, width, 3) uint8 -> (n, frames, 3, height, width) as the model's makers scale them."""
    import torch

    pixels = torch.from_numpy(frames).to(where.device).permute(0, 1, 4, 2, 3).float()
    pixels = pixels * seen.get("rescale_factor", 1 / 255) - float(bool(seen.get("offset")))
    if seen.get("do_normalize", True):
        mean, std = (pixels.new_tensor(seen[key])[:, None, None] for key in ("image_mean", "image_std"))
        pixels = (pixels - mean) / std
    return pixels.to(dtype_of(where))


def describe(name: Name, folder: Path) -> Card:
    """The card of a model's folder; raises UsageError for a model of another kind."""
    name.check_options("pooling")
    config = read_config(folder)
    kind = _KINDS.get(config.get("model_type", ""))
    if kind is None:
        raise UsageError(f"{name} is a model of type {config.get('model_type')!r}; this family has {', '.join(_KINDS)}")
    about = config.get("vision_config") or config
    has_text = "text_config" in config
    try:
        dimensions, count, side = config[kind.dimensions], int(about[kind.frames]), int(about[kind.side])
    except KeyError as error:
        raise MissingWeights(f"the model's config.json lacks {error}: {folder}; pull the weights again") from error
    return hub_card(
        name,
        folder,
        modality="video",
        accepts=("text", "clip") if has_text else ("clip",),
        dimensions=dimensions,
        text_queries=has_text,
        settings=(("pooling", name.choice("pooling", kind.poolings)),),
        frame_spec=frame_spec(seen_settings(folder), side),
        frames_per_clip=count,
        frame_choice=f"uniform:{count}",
        longest_tokens=longest_pass(folder, config["text_config"])[1] if has_text else 0,
    )


def seen_settings(
    folder: Path, *files: str, usual: Sequence[str] = ("preprocessor_config.json", "video_preprocessor_config.json")
) -> dict[str, Any]:
    """How the model's makers bring frames into its range; raises MissingWeights where no file says it."""
    for file in files or usual:
        if (folder / file).is_file():
            found = read_config(folder, file)
            return found.get("video_processor") or found.get("image_processor") or found
    if (folder / "processor_config.json").is_file():
        found = read_config(folder, "processor_config.json")
        if inner := found.get("video_processor") or found.get("image_processor"):
            return dict(inner)
    raise MissingWeights(f"a model that sees comes with its preprocessor's settings, this one does not: {folder}")


def frame_spec(seen: dict[str, Any], side: int = 0) -> FrameSpec:
    """The frames that go into the model, and how much of the short side they keep.

    `side` is the model's own where the settings name only the short side; raises MissingWeights where neither says it.
    A number in the place of height and width is what older files have.
    """
    size, crop = seen.get("size") or {}, seen.get("crop_size") if seen.get("do_center_crop") else None
    size = {"shortest_edge": size} if isinstance(size, int) else size
    given = {"height": crop, "width": crop} if isinstance(crop, int) else crop or size
    width, height = int(given.get("width", side)), int(given.get("height", side))
    if not width or not height:
        raise MissingWeights(f"the preprocessor's settings do not say how large a frame is: size={size}, crop={crop}")
    way = interpolation_of(seen.get("resample"), "bilinear")
    if (width, height) == (size.get("width"), size.get("height")):
        return FrameSpec(width, height, "stretch", interpolation=way)
    kept = min(1.0, height / size.get("shortest_edge", size.get("height", height)))
    return FrameSpec(width, height, "crop", kept, way, cut_rounds_down=True)


def load(card: Card, where: Where) -> WholeClipNetwork:
    """The model of a card."""
    import transformers

    kind = _KINDS[read_config(card.folder)["model_type"]]
    unsafe = Name.parse(card.name).flag("unsafe")
    model = pretrained(getattr(transformers, kind.model), card.folder, unsafe=unsafe, may_miss=kind.unused)
    tokenizer = None
    if "text" in card.accepts:
        tokenizer = transformers.AutoTokenizer.from_pretrained(card.folder, local_files_only=True)
    pooling, seen = str(dict(card.settings)["pooling"]), seen_settings(card.folder)
    return WholeClipNetwork(
        placed(model, where), kind, pooling, card.frames_per_clip, seen, tokenizer, card.longest_tokens
    )
