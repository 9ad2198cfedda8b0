"""Cohere's embeddings: text and pictures in one space.

    cohere:embed-v4.0?dimensions=1024
    cohere:embed-v4.0?dimensions=1024&send_media=true

A text that the model would have to cut is refused by the service (truncate NONE), never cut.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transforms.encoders.cards import Card
from transforms.encoders.names import Name
from transforms.encoders.network import Kind, Pixels, Role, Where
from transforms.encoders.outgoing import jpeg_of
from transforms.encoders.services import OPTIONS, Service, ServiceNetwork, endpoint_of, service_card
from transforms.records import Float32

_ENDPOINT = "https://api.cohere.com"
_MOST_TEXTS = 96  # of one request


@dataclass(eq=False)
class CohereNetwork(ServiceNetwork):
    """Texts as queries and documents, pictures as data URIs."""

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim)."""
        return self._rows(len(texts), input_type=f"search_{role}", texts=list(texts), truncate="NONE")

    def frames(self, pixels: Pixels) -> Float32:
        """(n, dim)."""
        uris = [f"data:image/jpeg;base64,{base64.b64encode(jpeg_of(one)).decode()}" for one in pixels]
        return self._rows(len(uris), input_type="image", images=uris)

    def batch_items(self, kind: Kind) -> int:
        """How many inputs one request takes."""
        return _MOST_TEXTS if kind == "text" else 1 if self._is_v3 else 8

    @property
    def _is_v3(self) -> bool:
        return "-v3" in Name.parse(self.card.name).model

    def _rows(self, count: int, **body: Any) -> Float32:
        model = Name.parse(self.card.name).model
        sized = {} if self._is_v3 else {"output_dimension": self.service.dimensions}

        def send() -> list[list[float]]:
            answer = self.client.embed(model=model, embedding_types=["float"], **sized, **body)
            rows: list[list[float]] = answer.embeddings.float_
            return rows

        return self.service.ask(send, count)


def describe(name: Name, folder: Path | None) -> Card:
    """The card of a model."""
    name.check_options(*OPTIONS)
    return service_card(name, endpoint=_ENDPOINT, longest_tokens=512, modality="image", media=("image",))


def load(card: Card, where: Where) -> CohereNetwork:
    """A client of the endpoint; it asks nothing yet."""
    from cohere import ClientV2

    service = Service.of(card)
    client = ClientV2(
        api_key=service.key,
        base_url=endpoint_of(card, _ENDPOINT),
        timeout=service.timeout_seconds,
        max_retries=0,
        httpx_client=service.http,
    )
    return CohereNetwork(service, client, card, where)
