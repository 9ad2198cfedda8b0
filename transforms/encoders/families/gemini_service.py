"""Gemini's embeddings: text, and with a multimodal model pictures, sound and clips, in one space.

    gemini:gemini-embedding-001?dimensions=768
    gemini:gemini-embedding-2?dimensions=768&send_media=true

Queries and documents are told apart by the task type; `task_types=false` leaves it out, for a model that wants
instructions instead (`query_prompt`, `document_prompt`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.names import Name
from transforms.encoders.network import ClipInput, Kind, Pixels, Role, Where
from transforms.encoders.outgoing import jpeg_of, mp4_of, wav_of
from transforms.encoders.services import OPTIONS, Service, ServiceNetwork, endpoint_of, service_card
from transforms.records import Float32

_ENDPOINT = "https://generativelanguage.googleapis.com"
_MOST_TOKENS = 20_000  # of one request
_BATCH: dict[Kind, int] = {"text": 32, "image": 6, "sound": 1, "clip": 1}
_TEXT_ONLY = ("gemini-embedding-001", "gemini-embedding-exp", "text-embedding", "embedding-001")


@dataclass(eq=False)
class GeminiNetwork(ServiceNetwork):
    """Every input is a content of its own, so it gets a vector of its own."""

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim)."""
        from google.genai.types import Part

        parts = self.in_requests(texts, _MOST_TOKENS)
        return np.concatenate([self._rows([Part(text=text) for text in part], role) for part in parts])

    def frames(self, pixels: Pixels) -> Float32:
        """(n, dim)."""
        return self._files([jpeg_of(one) for one in pixels], "image/jpeg")

    def sounds(self, windows: Sequence[Float32]) -> Float32:
        """(n, dim)."""
        assert self.card.sample_rate_hz is not None
        return self._files([wav_of(one, self.card.sample_rate_hz) for one in windows], "audio/wav")

    def clips(self, clips: Sequence[ClipInput]) -> Float32:
        """(n, dim)."""
        return self._files([mp4_of(one) for one in clips], "video/mp4")

    def batch_items(self, kind: Kind) -> int:
        """How many inputs one request takes."""
        return _BATCH[kind]

    def _files(self, files: Sequence[bytes], media_type: str) -> Float32:
        from google.genai.types import Part

        return self._rows([Part.from_bytes(data=file, mime_type=media_type) for file in files], "document")

    def _rows(self, parts: Sequence[Any], role: Role) -> Float32:
        from google.genai.types import Content, EmbedContentConfig

        model = Name.parse(self.card.name).model
        task = f"RETRIEVAL_{role.upper()}" if dict(self.card.settings)["task_types"] else None
        config = EmbedContentConfig(task_type=task, output_dimensionality=self.service.dimensions)
        contents = [Content(parts=[part], role="user") for part in parts]

        def send() -> list[list[float]]:
            answer = self.client.models.embed_content(model=model, contents=contents, config=config)
            return [one.values for one in answer.embeddings]

        return self.service.ask(send, len(contents))


def describe(name: Name, folder: Path | None) -> Card:
    """The card of a model."""
    name.check_options(*OPTIONS, "task_types", "frames", "longest_seconds")
    text_only = name.model.startswith(_TEXT_ONLY)
    return service_card(
        name,
        endpoint=_ENDPOINT,
        longest_tokens=2048 if text_only else 8192,
        modality="video",
        media=() if text_only else ("image", "sound", "clip"),
        settings=(("task_types", name.choice("task_types", ("true", "false")) == "true"),),
        frames_per_clip=name.number("frames", 16),
        longest_seconds=float(name.number("longest_seconds", 80)),
    )


def load(card: Card, where: Where) -> GeminiNetwork:
    """A client of the Gemini API; it asks nothing yet."""
    from google.genai import Client
    from google.genai.types import HttpOptions

    service = Service.of(card)
    options = HttpOptions(
        base_url=endpoint_of(card, _ENDPOINT),
        api_version="v1beta",
        timeout=round(service.timeout_seconds * 1000),
        httpx_client=service.http,
    )
    client = Client(api_key=service.key, vertexai=False, http_options=options)
    return GeminiNetwork(service, client, card, where)
