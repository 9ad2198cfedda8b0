"""open_clip (Ilharco et al., 2021): CLIP, CoCa, EVA, SigLIP and ViTamin models, pictures and words in one space.

open_clip:ViT-B-32/laion2b_s34b_b79k    # a model and a tag, as open_clip lists them
open_clip:hf-hub:org/model              # a hub's id
open_clip:./folder                      # open_clip_config.json and one safetensors file, as the hub has them
"""

import ast
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from transforms.encoders.cards import Card
from transforms.encoders.folders import hub_card, interpolation_of, read_config
from transforms.encoders.hub import snapshot
from transforms.encoders.image_models import normalised, the_one_file
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Pixels, Role, Where, as_float32
from transforms.encoders.precision import placed
from transforms.encoders.text_models import token_spans, whole_texts
from transforms.errors import MissingWeights, UsageError
from transforms.records import Float32, FrameSpec

CONFIG = "open_clip_config.json"
_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")
_FITS = {"shortest": "crop", "longest": "pad", "squash": "stretch"}
#: open_clip's own defaults, where the config leaves something out.
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_CONTEXT_TOKENS = 77


@dataclass(eq=False)
class OpenClipNetwork(Network):
    """The model and its tokenizer, which pads every text to the context's length."""

    model: Any
    tokenizer: Any
    mean: Sequence[float]
    std: Sequence[float]
    longest_tokens: int
    where: Where = Where()

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim)."""
        return whole_texts(texts, self.longest_tokens, lambda some: [len(self._ids(text)) for text in some], self._rows)

    def _rows(self, texts: Sequence[str]) -> Float32:
        return as_float32(self.model.encode_text(self.tokenizer(list(texts)).to(self.where.device)))

    def frames(self, pixels: Pixels) -> Float32:
        """(n, dim)."""
        return as_float32(self.model.encode_image(normalised(pixels, self.mean, self.std, self.where)))

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token begins and ends; those of open_clip's own tokenizer share their word evenly."""
        if hasattr(self.tokenizer, "tokenizer"):
            return token_spans(self.tokenizer.tokenizer, text)
        spans = []
        for word in re.finditer(r"\s*\S+", text):
            count = len(self._ids(word.group()))
            bounds = [word.start() + len(word.group()) * part // count for part in range(count + 1)] if count else []
            spans += list(pairwise(bounds))
        return spans

    def _ids(self, text: str) -> list[int]:
        if hasattr(self.tokenizer, "tokenizer"):
            inner = self.tokenizer.tokenizer
            found: list[int] = inner(self.tokenizer.clean_fn(text), add_special_tokens=False, verbose=False)[
                "input_ids"
            ]
            return found
        return list(self.tokenizer.encode(text))


def repository(name: Name) -> str:
    """The hub's id of a model and its tag; raises UsageError for those that open_clip does not list."""
    if name.is_local or name.is_bucket:
        return name.model
    if name.model.startswith("hf-hub:"):
        return name.model.removeprefix("hf-hub:")
    model, _, tag = name.model.partition("/")
    if written := _written_hubs().get(model, {}).get(tag):
        return written
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained

    where = get_pretrained_cfg(model, tag).get("hf_hub", "").strip("/") if tag else ""
    if where:
        return "/".join(where.split("/")[:2])  # some go on with a file's name
    known = ["/".join(pair) for pair in list_pretrained()]
    own = [one for one in known if one.startswith(f"{model}/")]
    near = get_close_matches(name.model, own or known, n=3, cutoff=0.0)
    raise UsageError(f"open_clip has no weights on a hub as {name.model!r}; the nearest are {', '.join(near)}")


@cache
def _written_hubs() -> dict[str, dict[str, str]]:
    """Hub ids by model and tag, read out of open_clip's own table without importing it, which takes seconds."""
    found = find_spec("open_clip")
    folders = list(found.submodule_search_locations or ()) if found else []
    if not folders:
        return {}
    by_variable: dict[str, dict[str, str]] = {}
    by_model: dict[str, dict[str, str]] = {}
    for node in ast.parse(Path(folders[0], "pretrained.py").read_text()).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        if isinstance(node.value, ast.Call):
            by_variable[node.targets[0].id] = dict(_hubs_of(node.value))
        elif isinstance(node.value, ast.Dict) and node.targets[0].id == "_PRETRAINED":
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Name):
                    by_model[str(key.value)] = by_variable.get(value.id, {})
    return by_model


def _hubs_of(table: ast.Call) -> Iterator[tuple[str, str]]:
    """Tag and hub id of each entry of `dict(tag=_pcfg(hf_hub="org/name/"), ...)`."""
    for entry in table.keywords:
        for told in entry.value.keywords if isinstance(entry.value, ast.Call) else ():
            if entry.arg and told.arg == "hf_hub" and isinstance(told.value, ast.Constant):
                yield entry.arg, "/".join(str(told.value.value).strip("/").split("/")[:2])


def describe(name: Name, folder: Path) -> Card:
    """The card of a model's folder, from its config alone."""
    name.check_options()
    config = read_config(folder, CONFIG)
    try:
        model, shown = config["model_cfg"], config.get("preprocess_cfg", {})
        vision, text, dimensions = model["vision_cfg"], model["text_cfg"], int(model["embed_dim"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MissingWeights(
            f"{CONFIG} has no complete model_cfg: {folder}: {error}; pull the weights again"
        ) from error
    size = vision.get("image_size") or shown.get("size") or 224
    height, width = (size, size) if isinstance(size, int) else size
    fit = shown.get("resize_mode", "shortest")
    if fit not in _FITS:
        raise UsageError(f"a picture is resized by {', '.join(_FITS)}: resize_mode={fit!r}, folder={folder}")
    way = interpolation_of(shown.get("interpolation"), "bicubic")
    file = the_one_file(folder, *_FILES)
    around = 3 if text.get("tokenizer_mode") == "clips" else 2  # tokens that stand around a text
    return hub_card(
        name,
        folder,
        modality="image",
        accepts=("text", "image"),
        dimensions=dimensions,
        text_queries=True,
        tensors=(file,) if file else ("*.safetensors",),
        frame_spec=FrameSpec(width, height, _FITS[fit], interpolation=way),  # type: ignore[arg-type]
        longest_tokens=text.get("context_length", _CONTEXT_TOKENS) - around,
    )


def load(card: Card, where: Where) -> OpenClipNetwork:
    """The model of a card; nothing is fetched for it."""
    import open_clip

    config = read_config(card.folder, CONFIG)
    text = {**config["model_cfg"]["text_cfg"]}
    if "hf_model_name" in text:
        text |= {"hf_model_name": _text_tower(text["hf_model_name"]), "hf_model_pretrained": False}
    place = f"local-dir:{card.folder}"
    with _quiet():
        model = open_clip.create_model(place, load_weights=False, pretrained_text=False, text_cfg=text)
    try:
        open_clip.load_checkpoint(model, str(_weights_file(card)), strict=True, weights_only=True)
    except (RuntimeError, KeyError) as error:
        said = " ".join(str(error).split())[:300]
        raise MissingWeights(f"the tensors of {card.folder} are not those of its {CONFIG}: {said}") from error
    shown = config.get("preprocess_cfg", {})
    mean, std = shown.get("mean", _MEAN), shown.get("std", _STD)
    tokenizer = open_clip.get_tokenizer(place)
    return OpenClipNetwork(placed(model, where), tokenizer, mean, std, card.longest_tokens)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps open_clip from saying that weights are random which are read a moment later."""

    def hide(record: logging.LogRecord) -> bool:
        return "pretrained weights loaded" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(hide)
    try:
        yield
    finally:
        root.removeFilter(hide)


def _weights_file(card: Card) -> Path:
    files = [one.file for one in card.weights if Path(one.file).suffix in (".safetensors", ".bin", ".pt", ".pth")]
    return card.folder / files[0]


def _text_tower(hub_id: str) -> str:
    """The folder with the config of a text tower that transformers builds; its tensors are in the model's own file."""
    folder = snapshot(hub_id, "")
    if folder is None or not (folder / "config.json").is_file():
        raise MissingWeights(
            f"the model's text tower needs the config of {hub_id}; get it with: hf download {hub_id} config.json"
        )
    return str(folder)
