"""OpenAI's embeddings, and every endpoint that speaks their protocol: NVIDIA NIM, Jina, vLLM, Ollama.

    openai:text-embedding-3-small?dimensions=512
    openai:nvidia/nv-embedqa-e5-v5?endpoint=https://integrate.api.nvidia.com/v1&key_variable=NVIDIA_API_KEY
        &dimensions=1024&query_fields=input_type:query,truncate:NONE&document_fields=input_type:passage,truncate:NONE
    openai:jina-clip-v2?endpoint=https://api.jina.ai/v1&key_variable=JINA_API_KEY&dimensions=512
        &send_dimensions=true&images=jina&send_media=true&query_fields=task:retrieval.query
    openai:nomic-embed-text?endpoint=http://localhost:11434/v1&key_variable=none&dimensions=768

An OpenAI model takes 8192 tokens. Another endpoint is sent 512 at most unless `longest_tokens` says what its model
takes, since some of them cut longer texts off without a word.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.names import Name
from transforms.encoders.network import Kind, Pixels, Role, Where
from transforms.encoders.outgoing import jpeg_of
from transforms.encoders.services import OPTIONS, Service, ServiceNetwork, endpoint_of, fields_of, service_card
from transforms.records import Float32

_ENDPOINT = "https://api.openai.com/v1"
_MOST_TOKENS = 250_000  # of one request; the service takes 300,000
_OWN_OPTIONS = ("batch", "query_fields", "document_fields", "send_dimensions", "images")


@dataclass(eq=False)
class OpenAINetwork(ServiceNetwork):
    """Text, and pictures where the endpoint takes them as Jina's does."""

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim)."""
        jina = dict(self.card.settings)["images"] == "jina"
        parts = self.in_requests(texts, _MOST_TOKENS)
        rows = [self._rows([{"text": text} for text in part] if jina else list(part), role) for part in parts]
        return np.concatenate(rows)

    def frames(self, pixels: Pixels) -> Float32:
        """(n, dim)."""
        return self._rows([{"image": base64.b64encode(jpeg_of(one)).decode()} for one in pixels], "document")

    def batch_items(self, kind: Kind) -> int:
        """How many inputs one request takes."""
        own = endpoint_of(self.card, _ENDPOINT) == _ENDPOINT
        return Name.parse(self.card.name).number("batch", 8 if kind == "image" else 256 if own else 32)

    def close(self) -> None:
        """Let go of the client's connections."""
        super().close()
        self.client.close()

    def _rows(self, inputs: list[Any], role: Role) -> Float32:
        name = Name.parse(self.card.name)
        sized = {"dimensions": self.service.dimensions} if dict(self.card.settings)["send_dimensions"] else {}
        body: Mapping[str, Any] = fields_of(name, f"{role}_fields")

        def send() -> list[list[float]]:
            answer = self.client.embeddings.create(
                model=name.model, input=inputs, encoding_format="float", extra_body=body, **sized
            )
            by_place = {one.index: one.embedding for one in answer.data}
            return [by_place[place] for place in range(len(answer.data))]

        return self.service.ask(send, len(inputs))


def describe(name: Name, folder: Path | None) -> Card:
    """The card of a model."""
    name.check_options(*OPTIONS, *_OWN_OPTIONS)
    own = name.option("endpoint", _ENDPOINT).rstrip("/") == _ENDPOINT
    images = name.choice("images", ("none", "jina"))
    sized = name.flag("send_dimensions") or (
        not name.option("send_dimensions") and own and name.model.startswith("text-embedding-3")
    )
    for option in ("query_fields", "document_fields"):
        fields_of(name, option)
    return service_card(
        name,
        endpoint=_ENDPOINT,
        longest_tokens=8192 if own else 512,
        modality="image",
        media=("image",) if images == "jina" else (),
        settings=(
            ("images", images),
            ("send_dimensions", sized),
            ("query_fields", name.option("query_fields")),
            ("document_fields", name.option("document_fields")),
        ),
    )


def load(card: Card, where: Where) -> OpenAINetwork:
    """A client of the endpoint; it asks nothing yet."""
    from openai import DefaultHttpxClient, OpenAI

    service = Service.of(card)
    client = OpenAI(
        api_key=service.key,
        base_url=endpoint_of(card, _ENDPOINT),
        timeout=service.timeout_seconds,
        max_retries=0,
        http_client=DefaultHttpxClient(follow_redirects=False),  # of httpx2, which the others do not know
    )
    return OpenAINetwork(service, client, card, where)
