"""Local servers that speak the services' protocols as documented, refuse what is not documented, and can misbehave.

One server answers for all four services, by path. A vector is made of the content and of the role that it was sent
in, so another content or role gives another vector, whatever the batch.
"""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

KEY = "secret-key-0123456789"
MARENGO_DIMENSIONS = 512


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour: an answer's status, headers and body, or a body in place of vectors, or a late answer."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = '{"error": {"message": "out of order"}}'
    spoil: str = ""  # "nan", "short", "missing": what happens to the right vectors
    late_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    path: str
    body: Any
    at_seconds: float


class Refused(Exception):
    """The request is not as the service documents it: a status and a reason."""


class ServiceServer:
    """A server on a port of its own; `faults` are played first, one a request, then it behaves."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self.always: Fault | None = None
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                service.answer(self)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.asked.append(Asked(request.path, body, time.monotonic()))
        fault = self.faults.pop(0) if self.faults else self.always or Fault(status=0)
        time.sleep(fault.late_seconds)
        status, headers, text = fault.status, fault.headers, fault.body
        if fault.status == 0 or fault.spoil or fault.late_seconds:
            status, headers = 200, {}
            try:
                text = json.dumps(_answer_to(request, body, fault.spoil))
            except (KeyError, TypeError, ValueError, Refused) as failed:
                error = failed if isinstance(failed, Refused) else Refused(400, f"not as documented: {failed!r}")
                status, text = (
                    error.args[0],
                    json.dumps({"error": {"message": error.args[1]}, "message": error.args[1]}),
                )
        try:
            request.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                request.send_header(name, value)
            request.send_header("Content-Length", str(len(text.encode())))
            request.end_headers()
            request.wfile.write(text.encode())
        except (BrokenPipeError, ConnectionResetError):
            pass


@cache
def shared() -> ServiceServer:
    """One server for the whole session, which always behaves."""
    return ServiceServer()


def vector_of(role: str, content: str | bytes, dimensions: int) -> list[float]:
    """The vector of a content in a role."""
    data = content.encode() if isinstance(content, str) else content
    seed = int.from_bytes(hashlib.sha256(role.encode() + b"\0" + data).digest()[:8], "big")
    values: list[float] = np.random.default_rng(seed).normal(size=dimensions).round(6).tolist()
    return values


def _answer_to(request: BaseHTTPRequestHandler, body: Any, spoil: str) -> Any:
    path = request.path
    if path == "/v1/embeddings":
        _authorised(request.headers["Authorization"], f"Bearer {KEY}")
        rows = _spoiled(_openai(body), spoil)
        data = [{"object": "embedding", "index": place, "embedding": row} for place, row in enumerate(rows)]
        return {"object": "list", "data": data[::-1], "model": body["model"], "usage": {}}  # the order is in `index`
    if found := re.fullmatch(r"/v1beta/(models/[\w.-]+):batchEmbedContents", path):
        _authorised(request.headers["x-goog-api-key"], KEY)
        rows = _spoiled([_gemini(one, found[1]) for one in body["requests"]], spoil)
        return {"embeddings": [{"values": row} for row in rows]}
    if path == "/v2/embed":
        _authorised(request.headers["Authorization"], f"Bearer {KEY}")
        rows = _spoiled(_cohere(body), spoil)
        return {"id": "1", "response_type": "embeddings_by_type", "embeddings": {"float": rows}}
    if path == "/v1.3/embed-v2":
        _authorised(request.headers["x-api-key"], KEY)
        return {"data": [{"embedding": row} for row in _spoiled([_twelvelabs(body)], spoil)]}
    raise Refused(404, f"there is no {path}")


def _openai(body: Any) -> list[list[float]]:
    _need(set(body) >= {"model", "input", "encoding_format"}, "model, input and encoding_format are there")
    _need(body["encoding_format"] == "float", "floats are asked for")
    _need(1 <= len(body["input"]) <= 2048 and "" not in body["input"], "1 to 2048 inputs, none of them empty")
    role = body.get("input_type", body.get("task", ""))
    dimensions = body.get("dimensions", 32)
    rows = []
    for one in body["input"]:
        if isinstance(one, dict):
            content = one["text"] if "text" in one else _picture(one["image"])
            _need(len(one) == 1, "an input is a text or a picture")
        else:
            content = one
        rows.append(vector_of(role, content, dimensions))
    return rows


def _gemini(request: Any, model: str) -> list[float]:
    _need(request["model"] == model, f"every request names its model: {request['model']}")
    _need(request.get("taskType") in (None, "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT"), "a task type that exists")
    (part,) = request["content"]["parts"]
    role = request.get("taskType", "")
    if "text" in part:
        return vector_of(role, part["text"], request["outputDimensionality"])
    _need("001" not in model, f"{model} takes text only")
    checks = {"image/jpeg": _picture, "audio/wav": _sound, "video/mp4": _film}
    data = part["inline_data"]  # as the client writes it; the service reads both ways of writing a field
    return vector_of(role, checks[data["mime_type"]](data["data"]), request["outputDimensionality"])


def _cohere(body: Any) -> list[list[float]]:
    _need(body["embedding_types"] == ["float"], "floats are asked for")
    dimensions = body.get("output_dimension", 1024)
    if body["input_type"] == "image":
        uris = [one.removeprefix("data:image/jpeg;base64,") for one in body["images"]]
        return [vector_of("image", _picture(one), dimensions) for one in uris]
    _need(body["input_type"] in ("search_query", "search_document"), "an input type that exists")
    _need(len(body["texts"]) <= 96 and body["truncate"] == "NONE", "96 texts at most, none of them cut")
    return [vector_of(body["input_type"], one, dimensions) for one in body["texts"]]


def _twelvelabs(body: Any) -> list[float]:
    kind = body["input_type"]
    if body["model_name"] == "marengo3.5":
        _need(kind == "multi_input" and set(body["multi_input"]) <= {"input_text", "media_sources"}, "multi_input")
        dimensions = body["embedding_dimension"]
        if text := body["multi_input"].get("input_text"):
            _need(body["auto_truncate"] is False, "nothing is cut")
            return vector_of(kind, text, dimensions)
        (source,) = body["multi_input"]["media_sources"]
        return vector_of(source["media_type"], _checks(source["media_type"])(source["base64_string"]), dimensions)
    _need("embedding_dimension" not in body, "Marengo 3.0 gives one size")
    if kind == "text":
        _need(len(body["text"]["input_text"].split()) <= 500, "500 tokens at most")
        return vector_of(kind, body["text"]["input_text"], MARENGO_DIMENSIONS)
    asked = body[kind]
    if kind != "image":
        _need(asked["embedding_scope"] == ["asset"], "one vector for the whole file")
        parts = len(asked["embedding_option"])
        _need((parts > 1) == ("embedding_type" in asked), "embedding_type belongs to several options")
    return vector_of(kind, _checks(kind)(asked["media_source"]["base64_string"]), MARENGO_DIMENSIONS)


def _checks(kind: str) -> Any:
    return {"image": _picture, "audio": _sound, "video": _film}[kind]


def _picture(data: str) -> bytes:
    return _bytes(data, lambda file: file.startswith(b"\xff\xd8\xff"), "a JPEG")


def _sound(data: str) -> bytes:
    return _bytes(data, lambda file: file[:4] == b"RIFF" and file[8:12] == b"WAVE", "a WAV")


def _film(data: str) -> bytes:
    return _bytes(data, lambda file: file[4:8] == b"ftyp", "an MP4")


def _bytes(data: str, is_one: Any, what: str) -> bytes:
    file = base64.b64decode(data + "=" * (-len(data) % 4), altchars=b"-_" if set("-_") & set(data) else None)
    _need(is_one(file), f"the file is {what}")
    return file


def _spoiled(rows: Sequence[list[float]], spoil: str) -> list[list[float]]:
    if spoil == "nan":
        return [[float("nan"), *row[1:]] for row in rows]
    if spoil == "short":
        return [row[:-1] for row in rows]
    return list(rows[:-1] if spoil == "missing" else rows)


def _authorised(said: str | None, wanted: str) -> None:
    if said != wanted:
        raise Refused(401, f"Incorrect API key provided: {said}")  # some services repeat it, so may this one


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise Refused(400, f"not as documented: {what}")
