"""Tiny encoders of services: a local server speaks their protocols, their own clients ask it for the reference."""

import base64
import io
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.families.tiny import Tiny
from tests.service_servers import KEY, MARENGO_DIMENSIONS, shared
from transforms.encoders.names import Name
from transforms.encoders.network import Kind
from transforms.encoders.outgoing import mp4_of


def save_openai(folder: Path) -> str:
    return str(
        Name.parse(f"openai:text-embedding-3-small?dimensions=48&endpoint={shared().url}/v1&send_dimensions=true")
    )


def save_jina(folder: Path) -> str:
    name = (
        f"openai:jina-clip-v2?dimensions=32&endpoint={shared().url}/v1&key_variable=JINA_API_KEY&images=jina"
        "&send_media=true&query_fields=task:retrieval.query&document_fields=task:retrieval.passage"
    )
    return str(Name.parse(name))


def save_gemini(folder: Path) -> str:
    return str(Name.parse(f"gemini:gemini-embedding-2?dimensions=64&endpoint={shared().url}&send_media=true&frames=4"))


def save_cohere(folder: Path) -> str:
    return str(Name.parse(f"cohere:embed-v4.0?dimensions=256&endpoint={shared().url}&send_media=true"))


def save_marengo(folder: Path) -> str:
    size = MARENGO_DIMENSIONS
    return str(
        Name.parse(f"twelvelabs:marengo3.0?dimensions={size}&endpoint={shared().url}/v1.3&send_media=true&frames=4")
    )


def save_next_marengo(folder: Path) -> str:
    return str(
        Name.parse(f"twelvelabs:marengo3.5?dimensions=128&endpoint={shared().url}/v1.3&send_media=true&frames=4")
    )


def openai_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """The client's own way, one text a request."""
    from openai import OpenAI

    client = OpenAI(api_key=KEY, base_url=f"{shared().url}/v1")
    answers = [
        client.embeddings.create(model="text-embedding-3-small", input=[one], dimensions=48, encoding_format="float")
        for one in inputs
    ]
    return [answer.data[0].embedding for answer in answers]


def jina_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """The protocol as it is, without a client of Jina's."""
    from openai import OpenAI

    client = OpenAI(api_key=KEY, base_url=f"{shared().url}/v1")
    given = [{"text": one} if kind == "text" else {"image": _base64(_jpeg(one))} for one in inputs]
    body = {"task": "retrieval.passage", "input": given}
    answer = client.embeddings.create(model="jina-clip-v2", input="x", encoding_format="float", extra_body=body)
    return [one.embedding for one in sorted(answer.data, key=lambda one: one.index)]


def gemini_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """The client's own way, one content a request."""
    from google import genai

    client = genai.Client(api_key=KEY, http_options={"base_url": shared().url, "api_version": "v1beta"})
    types = {"image": "image/jpeg", "sound": "audio/wav", "clip": "video/mp4"}
    found = []
    for one in inputs:
        given = one if kind == "text" else genai.types.Part.from_bytes(data=_file(one, kind), mime_type=types[kind])
        config = {"task_type": "RETRIEVAL_DOCUMENT", "output_dimensionality": 64}
        answer = client.models.embed_content(model="gemini-embedding-2", contents=given, config=config)
        found.append(answer.embeddings[0].values)
    return found


def cohere_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """The client's own way."""
    from cohere import ClientV2

    client = ClientV2(KEY, base_url=shared().url)
    given: dict[str, Any] = {"input_type": "search_document", "texts": inputs, "truncate": "NONE"}
    if kind == "image":
        uris = [f"data:image/jpeg;base64,{_base64(_jpeg(one))}" for one in inputs]
        given = {"input_type": "image", "images": uris}
    return client.embed(model="embed-v4.0", embedding_types=["float"], output_dimension=256, **given).embeddings.float_


def marengo_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """The client's own way."""
    from twelvelabs import TwelveLabs

    client = TwelveLabs(api_key=KEY, base_url=f"{shared().url}/v1.3")
    asked: dict[Kind, tuple[str, dict[str, Any]]] = {
        "image": ("image", {}),
        "sound": ("audio", {"embedding_option": ["audio"], "embedding_scope": ["asset"]}),
        "clip": (
            "video",
            {
                "embedding_option": ["visual", "audio"],
                "embedding_scope": ["asset"],
                "embedding_type": ["fused_embedding"],
            },
        ),
    }
    found = []
    for one in inputs:
        if kind == "text":
            body: dict[str, Any] = {"input_type": "text", "text": {"input_text": one}}
        else:
            name, wanted = asked[kind]
            source = {"base64_string": _base64(_file(one, kind))}
            body = {"input_type": name, name: {"media_source": source, **wanted}}
        found.append(client.embed.v_2.create(model_name="marengo3.0", **body).data[0].embedding)
    return found


def _file(given: Any, kind: Kind) -> bytes:
    return {"image": _jpeg, "sound": _wav, "clip": mp4_of}[kind](given)


def _jpeg(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def _wav(audio: Any) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 2, audio.sample_rate_hz, 0, "NONE", ""))
        written.writeframes((np.clip(audio.samples, -1, 1) * 32767).round().astype("<i2").tobytes())
    return file.getvalue()


def _base64(file: bytes) -> str:
    return base64.b64encode(file).decode()


TINY: tuple[Tiny, ...] = (
    Tiny("openai", save_openai, openai_reference, environment={"OPENAI_API_KEY": KEY}),
    Tiny("openai", save_jina, jina_reference, "jina", {"JINA_API_KEY": KEY}),
    Tiny("gemini", save_gemini, gemini_reference, environment={"GEMINI_API_KEY": KEY}),
    Tiny("cohere", save_cohere, cohere_reference, environment={"CO_API_KEY": KEY}),
    Tiny("twelvelabs", save_marengo, marengo_reference, environment={"TWELVE_LABS_API_KEY": KEY}),
    Tiny("twelvelabs", save_next_marengo, None, "3.5", {"TWELVE_LABS_API_KEY": KEY}),
)
