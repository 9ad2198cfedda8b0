"""Pictures and words in one space, by transformers: CLIP, SigLIP, SigLIP 2, MetaCLIP 2, ALIGN, FLAVA and BLIP-2.

Frames come in the size of the model; its own image processor brings their numbers into its range. FLAVA's vectors are
those of the projected [CLS] tokens. BLIP-2 describes a picture by several query tokens and compares a text with the
best of them; here a picture is the mean of the unit vectors of its query tokens, so that one vector stands for it.
SigLIP 2 with flexible resolution (NaFlex) takes whole frames and cuts them into patches itself; whole frames also go to
an image processor that stretches a picture and cuts its middle out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.families.whole_clips import seen_settings
from transforms.encoders.folders import hub_card, interpolation_of, read_config
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Pixels, Role, Where, as_float32
from transforms.encoders.precision import moved, placed
from transforms.encoders.text_models import longest_pass, pretrained, token_counter, token_spans, whole_texts
from transforms.errors import UsageError
from transforms.records import Float32, FrameSpec

#: Models by their `model_type`, and the length that their makers pad every text to; 0: to the longest of a batch.
_MODELS = {
    "clip": ("CLIPModel", 0),
    "siglip": ("SiglipModel", -1),  # as many as there are positions
    "siglip2": ("Siglip2Model", -1),
    "metaclip_2": ("MetaClip2Model", 0),
    "align": ("AlignModel", 0),
    "flava": ("FlavaModel", 0),
    "blip-2": ("Blip2ForImageTextRetrieval", 0),
}
#: Their text and image projections read the last layer itself.
_UNUSED = {"flava": ("pooler.",), "align": ("pooler.",)}
#: In older settings a size is one number: the short side for these, both sides for the others.
_BY_SHORT_SIDE = ("clip", "metaclip_2")
#: Where the config describes the text tower: the language model beside BLIP-2's Q-Former is not used.
_TEXT_CONFIGS = {"blip-2": "qformer_config"}
#: The longest side of whole frames, for models that cut patches out of pictures of any shape, and for all others.
_FLEXIBLE_PIXELS, _WHOLE_PIXELS = 512, 1280


@dataclass(eq=False)
class VisionLanguageNetwork(Network):
    """The model, its tokenizer and its image processor, which makes whole frames smaller."""

    model: Any
    tokenizer: Any
    processor: Any
    pad_to_tokens: int
    longest_tokens: int
    whole_frames: bool
    where: Where = Where()

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim)."""
        return whole_texts(texts, self.longest_tokens, token_counter(self.tokenizer), self._text_vectors)

    def frames(self, pixels: Pixels) -> Float32:
        """(n, dim)."""
        import torch

        images = list(torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2))
        sized = {} if self.whole_frames else {"do_resize": False, "do_center_crop": False}
        inputs = self.processor(images=images, return_tensors="pt", **sized)
        return as_float32(self._image_rows(moved(inputs, self.where)))

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token begins and ends."""
        return token_spans(self.tokenizer, text)

    def _text_vectors(self, texts: Sequence[str]) -> Float32:
        padding = (
            {"padding": "max_length", "max_length": self.pad_to_tokens} if self.pad_to_tokens else {"padding": True}
        )
        inputs = self.tokenizer(list(texts), return_tensors="pt", **padding)
        return as_float32(self._text_rows(moved(inputs, self.where)))

    def _text_rows(self, inputs: dict[str, Any]) -> Any:
        if hasattr(self.model, "get_text_features"):
            rows = self.model.get_text_features(**inputs).pooler_output
            return rows[:, 0] if rows.ndim == 3 else rows
        embedded = self.model.embeddings(input_ids=inputs["input_ids"])
        found = self.model.qformer(query_embeds=embedded, query_length=0, attention_mask=inputs["attention_mask"])
        return self.model.text_projection(found.last_hidden_state[:, 0])

    def _image_rows(self, inputs: dict[str, Any]) -> Any:
        import torch

        if hasattr(self.model, "get_image_features"):
            rows = self.model.get_image_features(**inputs).pooler_output
            return rows[:, 0] if rows.ndim == 3 else rows
        seen = self.model.vision_model(**inputs).last_hidden_state
        queries = self.model.query_tokens.expand(len(seen), -1, -1)
        mask = torch.ones(seen.shape[:-1], dtype=torch.long, device=seen.device)
        found = self.model.qformer(query_embeds=queries, encoder_hidden_states=seen, encoder_attention_mask=mask)
        rows = self.model.vision_projection(found.last_hidden_state)  # (n, query tokens, dim)
        return torch.nn.functional.normalize(rows.float(), dim=-1).mean(1)


def describe(name: Name, folder: Path) -> Card:
    """The card of a model's folder; raises UsageError for a model of another kind."""
    name.check_options("query_prompt", "document_prompt")
    config, seen = read_config(folder), seen_settings(folder)
    kind = config.get("model_type")
    if kind not in _MODELS:
        raise UsageError(f"{name} is a model of type {kind!r}; this family has {', '.join(_MODELS)}")
    prompts = [(key, name.option(key)) for key in ("query_prompt", "document_prompt") if name.option(key)]
    return hub_card(
        name,
        folder,
        modality="image",
        accepts=("text", "image"),
        dimensions=_dimensions(config),
        text_queries=True,
        frame_spec=frame_spec_of(seen, by_short_side=kind in _BY_SHORT_SIDE),
        longest_tokens=longest_pass(folder, config.get(_TEXT_CONFIGS.get(kind, "text_config")) or config)[1],
        settings=prompts,
    )


def frame_spec_of(seen: dict[str, Any], *, by_short_side: bool = False) -> FrameSpec:
    """The frames that an image processor's settings ask for; `by_short_side` says what a size of one number means."""
    way = interpolation_of(seen.get("resample"), "bicubic")
    if "max_num_patches" in seen:
        return FrameSpec(_FLEXIBLE_PIXELS, _FLEXIBLE_PIXELS, "whole", interpolation=way)
    height, width = _sides(seen.get("size"))
    if isinstance(seen["size"], dict):
        by_short_side = "shortest_edge" in seen["size"]
    if not seen.get("do_center_crop"):
        return FrameSpec(width, height, "crop" if by_short_side else "stretch", 1.0, way, by_short_side)
    high, wide = _sides(seen.get("crop_size") or seen.get("size"))
    if by_short_side:
        return FrameSpec(wide, high, "crop", min(1.0, high / height), way, cut_rounds_down=True)
    if (high, wide) == (height, width):
        return FrameSpec(wide, high, "stretch", interpolation=way)
    return FrameSpec(_WHOLE_PIXELS, _WHOLE_PIXELS, "whole", interpolation=way)


def _sides(size: Any) -> tuple[int, int]:
    """(height, width) of a size as preprocessor settings write it."""
    if isinstance(size, dict):
        if "shortest_edge" in size:
            return int(size["shortest_edge"]), int(size["shortest_edge"])
        return int(size["height"]), int(size["width"])
    if isinstance(size, int):
        return size, size
    raise UsageError(f"the preprocessor's settings give no size of pictures: size={size!r}")


def _dimensions(config: dict[str, Any]) -> int:
    """How long the vectors are."""
    kind = config["model_type"]
    if kind == "blip-2":
        return int(config.get("image_text_hidden_size") or 256)
    if kind in ("siglip", "siglip2"):
        text = config["text_config"]
        return int(text.get("projection_size") or text.get("hidden_size") or config["vision_config"]["hidden_size"])
    return int(config["projection_dim"])


def load(card: Card, where: Where) -> VisionLanguageNetwork:
    """The model of a card."""
    import transformers

    config = read_config(card.folder)
    class_name, pad_to = _MODELS[config["model_type"]]
    unsafe = Name.parse(card.name).flag("unsafe")
    unused = _UNUSED.get(config["model_type"], ())
    model = pretrained(getattr(transformers, class_name), card.folder, unsafe=unsafe, may_miss=unused)
    tokenizer = transformers.AutoTokenizer.from_pretrained(card.folder, local_files_only=True)
    seen: Any = transformers.AutoImageProcessor
    processor = seen.from_pretrained(card.folder, local_files_only=True)
    positions = int(model.config.text_config.max_position_embeddings) if pad_to == -1 else pad_to
    whole_frames = card.frame_spec is not None and card.frame_spec.fit == "whole"
    ready = placed(model, where, exact=("patch_embedding",))
    return VisionLanguageNetwork(ready, tokenizer, processor, positions, card.longest_tokens, whole_frames)
