"""Qwen3-VL-Embedding (Qwen, 2026): text, pictures and clips in one space, each the last token of a conversation.

    qwen3-vl:Qwen/Qwen3-VL-Embedding-2B
    qwen3-vl:./folder?frames=32&query_instruction=Find the scene that is asked for.

The system's turn holds the instruction, the user's the input. A clip is its frames with their times, without sound.
"""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transforms.encoders.cards import Card
from transforms.encoders.folders import hub_card, read_config
from transforms.encoders.names import Name
from transforms.encoders.network import ClipInput, Network, Pixels, Role, Where, as_float32
from transforms.encoders.precision import moved, placed
from transforms.encoders.text_models import WIDEST_TOKENS, pretrained, token_spans
from transforms.errors import MissingWeights, UsageError
from transforms.records import Float32, FrameSpec

#: What its makers say before documents and before queries.
INSTRUCTION = "Represent the user's input."
QUERY_INSTRUCTION = "Retrieve images or text relevant to the user's query."
FRAMES = 16
SIDE_PIXELS = 640
#: Pixels of a picture, and of all frames of a clip together, between which its makers scale.
IMAGE_SIZE = {"shortest_edge": 4 * 32 * 32, "longest_edge": 1800 * 32 * 32}
CLIP_SIZE = {"shortest_edge": 128 * 32 * 32, "longest_edge": 10 * 768 * 32 * 32}
#: Frames 1 or 3 pixels high would be taken for ones that have their colours first.
LAYOUT = {"input_data_format": "channels_last"}
_LONGEST_RATIO = 200  # of a frame's sides; its processor refuses more
_TURN_TOKENS = 32  # of the turns around the instruction and the input, and to spare
_TEMPLATES = ("chat_template.jinja", "chat_template.json")


@dataclass(eq=False)
class Qwen3VlNetwork(Network):
    """The model without its language head, and its processor."""

    model: Any
    processor: Any
    instructions: Mapping[Role, str]
    where: Where = Where()
    role: Role = "document"  # of pictures and clips

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim)."""
        contents = [[{"type": "text", "text": self._plain(text) or "NULL"}] for text in texts]
        return self._last_token(contents, self.instructions[role])

    def frames(self, pixels: Pixels) -> Float32:
        """(n, dim)."""
        contents = [[{"type": "image"}] for _ in pixels]
        settings = {"size": IMAGE_SIZE, **LAYOUT}
        given = {"images": [[picture] for picture in widened(pixels)], "images_kwargs": settings}
        return self._last_token(contents, self.instructions[self.role], **given)

    def clips(self, clips: Sequence[ClipInput]) -> Float32:
        """(n, dim); the model sees frames in pairs, so a single one stands twice. Words follow the frames."""
        pairs = [_at_least_two(clip) for clip in clips]
        settings = {
            "video_metadata": [frame_times(clip) for clip in pairs],
            "do_sample_frames": False,
            "size": CLIP_SIZE,
            "cap_pixels_per_frame": True,
            **LAYOUT,
        }
        given = {"videos": [widened(clip.frames) for clip in pairs], "videos_kwargs": settings}
        words = [[{"type": "text", "text": self._plain(clip.words)}] if clip.words else [] for clip in clips]
        contents = [[{"type": "video"}, *said] for said in words]
        return self._last_token(contents, self.instructions[self.role], **given)

    def in_role(self, role: Role) -> "Qwen3VlNetwork":
        """The same model under the instruction of the role."""
        return replace(self, role=role)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token begins and ends."""
        return token_spans(self.processor.tokenizer, text)

    def _last_token(self, contents: Sequence[list[dict[str, str]]], instruction: str, **given: Any) -> Float32:
        """(n, dim): the last layer where each conversation ends."""
        import torch

        turns = [
            [
                {"role": "system", "content": [{"type": "text", "text": instruction}]},
                {"role": "user", "content": content},
            ]
            for content in contents
        ]
        prompts = [
            self.processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False) for turn in turns
        ]
        inputs = moved(self.processor(text=prompts, padding=True, return_tensors="pt", **given), self.where)
        hidden = self.model(**inputs, use_cache=False).last_hidden_state  # (n, tokens, dim)
        places = torch.arange(hidden.shape[1], device=hidden.device) * inputs["attention_mask"]
        return as_float32(hidden[torch.arange(len(hidden), device=hidden.device), places.argmax(1)])

    def _plain(self, text: str) -> str:
        """The text without the tokens that stand for pictures: nobody writes them, and none belongs to them."""
        for token in (self.processor.image_token, self.processor.video_token):
            text = text.replace(token, token.replace("|", " "))
        return text


def _at_least_two(clip: ClipInput) -> ClipInput:
    if len(clip.frames) > 1:
        return clip
    return ClipInput(clip.frames.repeat(2, axis=0), clip.pts_seconds.repeat(2), clip.audio)


def widened(pixels: Pixels) -> Pixels:
    """Frames (n, height, width, 3) of which the short side is repeated where the long one is more than 200 times it."""
    height, width = pixels.shape[1:3]
    times = -(-max(height, width) // (_LONGEST_RATIO * min(height, width)))
    return pixels.repeat(times, axis=1 if height < width else 2) if times > 1 else pixels


def frame_times(clip: ClipInput) -> dict[str, Any]:
    """When the frames are, counted from the first one, in the words of transformers: thousandths of a second."""
    if not len(clip.frames):
        raise ValueError(f"a clip has a frame at least: shape={clip.frames.shape}")
    milliseconds = ((clip.pts_seconds - clip.pts_seconds[0]) * 1000).round().astype(int).tolist()
    return {
        "fps": 1000.0,
        "frames_indices": milliseconds,
        "total_num_frames": len(milliseconds),
        "duration": milliseconds[-1] / 1000,
    }


def describe(name: Name, folder: Path) -> Card:
    """The card of a model's folder."""
    name.check_options("frames", "side", "instruction", "query_instruction")
    config = read_config(folder)
    if config.get("model_type") != "qwen3_vl":
        raise MissingWeights(f"the folder holds no Qwen3-VL: model_type={config.get('model_type')!r}, folder={folder}")
    text, frames, side = config["text_config"], name.number("frames", FRAMES), name.number("side", SIDE_PIXELS)
    document = _sentence(name.option("instruction", INSTRUCTION))
    query = _sentence(name.option("query_instruction", name.option("instruction", QUERY_INSTRUCTION)))
    longest = min(text["max_position_embeddings"], WIDEST_TOKENS)
    around = _TURN_TOKENS + max(len(one.encode()) for one in (document, query))  # a token is a byte at least
    if around > longest // 2:
        raise UsageError(
            f"the instructions take at most half of the {longest} tokens that the model reads at once, the longer one "
            f"has {around - _TURN_TOKENS} bytes; shorten it: name={str(name)!r}"
        )
    return hub_card(
        name,
        folder,
        modality="video",
        accepts=("text", "image", "clip"),
        dimensions=text["hidden_size"],
        text_queries=True,
        frame_spec=FrameSpec(side, side, "whole"),
        frames_per_clip=frames,
        frame_choice=f"uniform:{frames}",
        longest_tokens=longest - around,
        takes_words=True,
        matryoshka_dimensions=tuple(config.get("matryoshka_dimensions") or ()),
        settings=(("instruction", document), ("query_instruction", query), ("chat_template", _template(folder))),
    )


def _sentence(instruction: str) -> str:
    """An instruction as its makers have it: it ends in a mark."""
    text = instruction.strip() or INSTRUCTION
    return text if unicodedata.category(text[-1]).startswith("P") else f"{text}."


def _template(folder: Path) -> str:
    """The SHA-256 of what writes conversations; raises MissingWeights where nothing does."""
    for path in (folder / file for file in _TEMPLATES):
        if path.is_file():
            return hashlib.sha256(path.read_bytes()).hexdigest()
    if (folder / "tokenizer_config.json").is_file() and "chat_template" in read_config(folder, "tokenizer_config.json"):
        return "tokenizer_config.json"  # whose own checksum is among the weights
    raise MissingWeights(f"the model's {_TEMPLATES[0]} is missing: {folder}; pull the weights again")


def load(card: Card, where: Where) -> Qwen3VlNetwork:
    """The model of a card."""
    from transformers import Qwen3VLModel, Qwen3VLProcessor

    model = pretrained(Qwen3VLModel, card.folder, unsafe=Name.parse(card.name).flag("unsafe"))
    processor = Qwen3VLProcessor.from_pretrained(card.folder, local_files_only=True, trust_remote_code=False)
    said = dict(card.settings)
    instructions: dict[Role, str] = {"document": str(said["instruction"]), "query": str(said["query_instruction"])}
    return Qwen3VlNetwork(placed(model, where), processor, instructions, where)
