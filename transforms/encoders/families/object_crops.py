"""Objects: what a detector finds in a frame, each embedded by an image encoder of its own choice.

    objects:PekingU/rtdetr_r50vd?crops=conse:tf_efficientnet_lite2&top_k=8&least_score=0.5
    objects:google/owlv2-base-patch16-ensemble?labels=a cat,a fire truck

Detectors of transformers with classes of their own (RT-DETR: Zhao et al., 2023; DETR: Carion et al., 2020; YOLOS: Fang
et al., 2021), of which `labels` keeps some; and OWL-ViT and OWLv2 (Minderer et al., 2022, 2023), which look for the
texts in `labels`. Frames keep their shape, 1280 pixels at most: the detector's own processor makes them smaller, and
crops are cut before it does. A crop is the square around the box, as far as the frame reaches, so that nothing is
stretched; scaled to what the image encoder wants. Vectors are in that encoder's space: its texts ask for objects.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders import catalog
from transforms.encoders.cards import Card
from transforms.encoders.encoder import Encoder
from transforms.encoders.folders import hub_card, read_config
from transforms.encoders.names import Name
from transforms.encoders.network import Detected, Network, Pixels, Where
from transforms.encoders.objects import Box, best_of_clip
from transforms.encoders.pictures import prepared
from transforms.encoders.precision import moved, placed
from transforms.encoders.text_models import pretrained
from transforms.errors import BadVectors, MissingWeights, UsageError
from transforms.records import Float32, FrameSpec

_CROPS = "conse:tf_efficientnet_lite2"
_LONGEST_SIDE = 1280
_SLIMMEST = 8  # processors make nothing of a slimmer frame than 1:8: it gets black at its right or below
_OPEN_VOCABULARY = ("owlvit", "owlv2")
_NO_VECTOR = np.zeros(0, np.float32)


@dataclass(eq=False)
class ObjectNetwork(Network):
    """A detector with its processor, and the encoder of crops."""

    card: Card
    model: Any
    processor: Any
    crops: Encoder
    labels: Sequence[str]  # by the detector's class
    sought: Sequence[str] = ()  # texts that an open vocabulary detector looks for
    where: Where = Where()

    def detect(self, pixels: Pixels) -> list[list[Detected]]:
        """Frames (n, height, width, 3) -> for each its `top_k` surest objects; overlapping ones of a label are one."""
        found = [best_of_clip([own], int(self.card.setting("top_k"))) for own in self._found(pixels)]
        cut = [crop(frame, one.box) for frame, own in zip(pixels, found, strict=True) for one, _ in own]
        vectors = iter(self._vectors(cut))
        return [[replace(one, vector=next(vectors)) for one, _ in own] for own in found]

    def _found(self, pixels: Pixels) -> list[list[Detected]]:
        import torch

        height, width = pixels.shape[1:3]
        missing = (max(0, width // _SLIMMEST - height), max(0, height // _SLIMMEST - width))
        shown = np.pad(pixels, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)))
        asked = {"text": [list(self.sought)] * len(pixels)} if self.sought else {}
        told = {"return_tensors": "pt", "input_data_format": "channels_last"}  # which it would have to guess of 1 x 1
        inputs = self.processor(images=list(shown), **told, **asked)
        with torch.inference_mode():
            outputs = self.model(**moved(inputs, self.where))
        outputs.logits, outputs.pred_boxes = outputs.logits.float(), outputs.pred_boxes.float()
        if outputs.logits.isnan().any() or outputs.pred_boxes.isnan().any():
            raise BadVectors(f"{self.card.name} found objects at no place; its weights or its precision are broken")
        boxes = getattr(self.processor, "image_processor", self.processor).post_process_object_detection(
            outputs, threshold=self.card.setting("least_score"), target_sizes=[shown.shape[1:3]] * len(pixels)
        )
        return [list(self._described(own, height, width)) for own in boxes]

    def _described(self, found: Any, height: int, width: int) -> list[Detected]:
        rows = zip(found["labels"].tolist(), found["scores"].tolist(), found["boxes"].tolist(), strict=True)
        wanted = [name for name in str(dict(self.card.settings)["labels"]).split(",") if name]
        objects = []
        for place, score, (left, top, right, bottom) in rows:
            box = (_share(left, width), _share(top, height), _share(right, width), _share(bottom, height))
            label = self.labels[place]
            if box[0] < box[2] and box[1] < box[3] and (not wanted or label in wanted):
                objects.append(Detected(label, score, box, _NO_VECTOR))
        return objects

    def _vectors(self, cut: Sequence[Pixels]) -> Sequence[Float32]:
        spec = self.crops.card.frame_spec
        sized = [prepared(one, spec) for one in cut]
        if not sized or spec is None or spec.fit == "whole":  # every crop has a size of its own
            return [self.crops.frames(one[None])[0] for one in sized]
        return list(self.crops.frames(np.stack(sized)))


def crop(frame: Pixels, box: Box) -> Pixels:
    """The square around a box that holds it, moved into the frame (height, width, 3); less where it does not fit."""
    height, width = frame.shape[:2]
    left, right = math.floor(box[0] * width), max(1, math.ceil(box[2] * width))
    top, bottom = math.floor(box[1] * height), max(1, math.ceil(box[3] * height))
    side = max(right - left, bottom - top, 1)
    rows, columns = _span((top + bottom) / 2, side, height), _span((left + right) / 2, side, width)
    return frame[slice(*rows), slice(*columns)]


def parts(name: Name) -> tuple[str, ...]:
    """The encoder of crops."""
    return (name.option("crops", _CROPS),)


def of_parts(name: Name, parts: Sequence[str]) -> Name:
    """The same name with this encoder of crops."""
    return name.with_options({"crops": parts[0]})


def describe(name: Name, folder: Path) -> Card:
    """The card of a detector's folder; raises UsageError for labels and crops that do not go with it."""
    name.check_options("crops", "top_k", "least_score", "labels")
    for option in ("dimensions", "pca"):
        if name.option(option):
            raise UsageError(f"{option} belongs to the encoder of crops: crops={_CROPS}?{option}=..., not to {name}")
    crops = catalog.card(name.option("crops", _CROPS))
    if "image" not in crops.accepts or crops.multivector:
        raise UsageError(f"crops wants an encoder that gives a picture one vector, which {crops.name} is not")
    config = read_config(folder)
    labels = _labels_asked(name, config)
    card = hub_card(
        name,
        folder,
        modality="objects",
        accepts=(),
        dimensions=crops.dimensions,
        text_queries=crops.text_queries,
        settings=(
            ("crops", crops.fingerprint),
            ("labels", ",".join(labels)),
            ("top_k", name.number("top_k", 8)),
            ("least_score", _least_score(name)),
        ),
        frame_spec=FrameSpec(_LONGEST_SIDE, _LONGEST_SIDE, "whole"),
        frame_choice="uniform:2",
        multivector=True,
        languages=crops.languages,
        text_encoder=catalog.text_encoder_of(crops.name).name if crops.text_queries else "",
    )
    return replace(card, space=crops.space, licence=f"{card.licence} (detector), {crops.licence} (crops)")


def load(card: Card, where: Where) -> ObjectNetwork:
    """The detector of a card, and the encoder of crops; raises MissingPackage and MissingWeights for either."""
    import transformers

    from transforms.encoders.registry import loaded

    name = Name.parse(card.name)
    described = _self_contained(read_config(card.folder), card.name)
    config: Any = transformers.AutoConfig.for_model(**described)
    is_open = config.model_type in _OPEN_VOCABULARY
    kind: Any = (
        transformers.AutoModelForZeroShotObjectDetection if is_open else transformers.AutoModelForObjectDetection
    )
    reader: Any = transformers.AutoProcessor if is_open else transformers.AutoImageProcessor
    processor = reader.from_pretrained(card.folder, local_files_only=True, trust_remote_code=False)
    sought = str(dict(card.settings)["labels"]).split(",") if is_open else []
    _check_lengths(sought, processor, config)
    model = pretrained(kind, card.folder, unsafe=name.flag("unsafe"), config=config)
    crops = loaded(name.option("crops", _CROPS), device=where.device).model
    labels = sought or [config.id2label[place] for place in range(len(config.id2label))]
    return ObjectNetwork(card, placed(model, where), processor, crops, labels, sought, where)


def _labels_asked(name: Name, config: dict[str, Any]) -> list[str]:
    asked = [label.strip() for label in name.option("labels").split(",") if label.strip()]
    if config.get("model_type") in _OPEN_VOCABULARY:
        if not asked:
            raise UsageError(f"{name} looks for what it is told to: say labels=a cat,a fire truck")
        return asked
    if not isinstance(config.get("id2label"), dict):
        raise MissingWeights(f"{name} is no detector that names its classes: its config.json has no id2label")
    unknown = set(asked) - set(config["id2label"].values())
    if unknown:
        known = ", ".join(sorted(config["id2label"].values())[:10])
        raise UsageError(f"{name} does not know {', '.join(sorted(unknown))}; its labels are {known}, ...")
    return asked


def _self_contained(config: dict[str, Any], name: str) -> dict[str, Any]:
    """A detector's config in which its backbone stands; the library would ask a hub about one that is only named."""
    if not config.get("backbone") or config.get("backbone_config"):
        return config
    if not config.get("use_timm_backbone", True):
        raise UsageError(
            f"the config.json of {name} names a backbone of the hub, {config['backbone']!r}, instead of describing it; "
            "take another copy of the detector, saved with transformers 5"
        )
    if not config.get("backbone_kwargs"):
        return config  # the library has the description of it
    backbone = {"model_type": "timm_backbone", "backbone": config["backbone"], **config["backbone_kwargs"]}
    return {**config, "backbone": None, "backbone_kwargs": None, "backbone_config": backbone}


def _least_score(name: Name) -> float:
    text = name.option("least_score", "0.5")
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not 0 < score < 1:
        raise UsageError(f"the option 'least_score' lies between 0 and 1: least_score={text!r}, name={str(name)!r}")
    return score


def _check_lengths(texts: Sequence[str], processor: Any, config: Any) -> None:
    """Raise UsageError for a label that the detector would have to cut off."""
    for text in texts:
        if len(processor.tokenizer(text)["input_ids"]) > config.text_config.max_position_embeddings:
            longest = config.text_config.max_position_embeddings
            raise UsageError(f"a label is at most {longest} tokens long for this detector: label={text!r}")


def _share(place: float, size: int) -> float:
    return min(max(place / size, 0.0), 1.0)


def _span(middle: float, side: int, size: int) -> tuple[int, int]:
    """`side` pixels around the middle, moved into [0, size)."""
    start = min(max(round(middle - side / 2), 0), max(0, size - side))
    return start, min(start + side, size)
