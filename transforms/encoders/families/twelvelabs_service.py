"""Twelve Labs Marengo: whole clips, sound, pictures and text in one space.

    twelvelabs:marengo3.0?dimensions=512&send_media=true

A clip is sent as one small MP4 of its frames and its sound, and answered at once by one vector for all of it.
"""

import base64
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

_ENDPOINT = "https://api.twelvelabs.io/v1.3"


@dataclass(eq=False)
class TwelveLabsNetwork(ServiceNetwork):
    """One input a request: Marengo 3.0 takes each kind by its own field, later versions take all as `multi_input`."""

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim)."""
        return np.concatenate([self._text(text) for text in texts])

    def frames(self, pixels: Pixels) -> Float32:
        """(n, dim)."""
        return np.concatenate([self._file("image", jpeg_of(one)) for one in pixels])

    def sounds(self, windows: Sequence[Float32]) -> Float32:
        """(n, dim)."""
        assert self.card.sample_rate_hz is not None
        heard = {"embedding_option": ["audio"], "embedding_scope": ["asset"]}
        files = [wav_of(one, self.card.sample_rate_hz) for one in windows]
        return np.concatenate([self._file("audio", file, **heard) for file in files])

    def clips(self, clips: Sequence[ClipInput]) -> Float32:
        """(n, dim)."""
        return np.concatenate([self._file("video", mp4_of(one), **_wanted_of(one)) for one in clips])

    def batch_items(self, kind: Kind) -> int:
        """How many inputs one pass takes; each is a request."""
        return 8

    @property
    def _is_v3(self) -> bool:
        return Name.parse(self.card.name).model == "marengo3.0"

    def _text(self, text: str) -> Float32:
        from twelvelabs import MultiInputRequest, TextInputRequest

        if self._is_v3:
            return self._row("text", text=TextInputRequest(input_text=text))
        return self._row("multi_input", multi_input=MultiInputRequest(input_text=text), auto_truncate=False)

    def _file(self, kind: str, file: bytes, **wanted: Any) -> Float32:
        import twelvelabs

        data = base64.b64encode(file).decode()
        if not self._is_v3:
            source = twelvelabs.MultiInputMediaSource(media_type=kind, base_64_string=data)
            return self._row("multi_input", multi_input=twelvelabs.MultiInputRequest(media_sources=[source]))
        requests = {
            "image": twelvelabs.ImageInputRequest,
            "audio": twelvelabs.AudioInputRequest,
            "video": twelvelabs.VideoInputRequest,
        }
        return self._row(
            kind, **{kind: requests[kind](media_source=twelvelabs.MediaSource(base_64_string=data), **wanted)}
        )

    def _row(self, kind: str, **body: Any) -> Float32:
        model = Name.parse(self.card.name).model
        sized = {} if self._is_v3 else {"embedding_dimension": self.service.dimensions}

        def send() -> list[list[float]]:
            answer = self.client.embed.v_2.create(input_type=kind, model_name=model, **sized, **body)
            return [one.embedding for one in answer.data]

        return self.service.ask(send, 1)


def _wanted_of(clip: ClipInput) -> dict[str, list[str]]:
    """One vector for the whole clip: of its pictures, or of pictures and sound together."""
    if clip.audio is None or not len(clip.audio.samples):
        return {"embedding_option": ["visual"], "embedding_scope": ["asset"]}
    return {
        "embedding_option": ["visual", "audio"],
        "embedding_scope": ["asset"],
        "embedding_type": ["fused_embedding"],
    }


def describe(name: Name, folder: Path | None) -> Card:
    """The card of a model."""
    name.check_options(*OPTIONS, "frames")
    first = name.model == "marengo3.0"
    return service_card(
        name,
        endpoint=_ENDPOINT,
        longest_tokens=500 if first else 2000,
        modality="video",
        media=("image", "sound", "clip"),
        settings=(("clip_parts", "visual, audio"),),
        frames_per_clip=name.number("frames", 16),
        longest_seconds=600.0 if first else 30.0,
    )


def load(card: Card, where: Where) -> TwelveLabsNetwork:
    """A client of the endpoint; it asks nothing yet."""
    from twelvelabs.base_client import BaseClient  # the client around it takes its endpoint from the environment

    service = Service.of(card)
    client = BaseClient(
        api_key=service.key,
        base_url=endpoint_of(card, _ENDPOINT),
        timeout=service.timeout_seconds,
        httpx_client=service.http,
    )
    return TwelveLabsNetwork(service, client, card, where)
