"""A web server on this machine that knows ranges and ETags, fails as it is told, and writes down what it was asked."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """One file, and how it is served."""

    data: bytes
    etag: str | None = ""  # "": made from the bytes; None: none is sent
    modified_seconds: float | None = 1.7e9
    ranges: bool = True
    statuses: list[int] = field(default_factory=list)  # of the next GETs, before it is served as it is
    looks: list[int] = field(default_factory=list)  # statuses of the next HEADs
    breaks_after: list[int] = field(default_factory=list)  # bytes that the next GETs send before they break off
    then: "Served | None" = None  # what it is after the next GET
    tells_length: tuple[str, ...] = ("HEAD", "GET")  # which answers say how long it is

    def headers(self) -> dict[str, str]:
        sent = {"Accept-Ranges": "bytes"} if self.ranges else {}
        if self.etag is not None:
            sent["ETag"] = self.etag or f'"{hashlib.md5(self.data).hexdigest()}"'
        if self.modified_seconds is not None:
            sent["Last-Modified"] = formatdate(self.modified_seconds, usegmt=True)
        return sent


@dataclass
class Asked:
    """One request, and how much was sent for it."""

    method: str
    path: str
    range: str | None
    if_range: str | None
    host: str
    body_bytes: int = 0


class WebServer(ThreadingHTTPServer):
    """Serves `files` and `redirects`, by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, Served] = {}
        self.redirects: dict[str, str] = {}
        self.log: list[Asked] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """Whoever is asked breaks off on purpose; nobody wants to read of it."""

    def serve(self, path: str, data: bytes, **how) -> str:
        self.files[path] = Served(data, **how)
        return self.url + path

    def gets(self) -> list[Asked]:
        return [asked for asked in self.log if asked.method == "GET"]

    def bytes_sent(self) -> int:
        return sum(asked.body_bytes for asked in self.log)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        asked = Asked(
            self.command, self.path, self.headers["Range"], self.headers["If-Range"], self.headers.get("Host", "")
        )
        self.server.log.append(asked)
        if target := self.server.redirects.get(self.path):
            self._send(302, {"Location": target}, b"", asked)
            return
        served = self.server.files.get(self.path)
        if served is None:
            self._send(404, {}, b"", asked)
            return
        getting = self.command == "GET"
        if statuses := served.statuses if getting else served.looks:
            self._send(statuses.pop(0), {}, b"", asked)
            return
        if getting and served.then is not None:
            self.server.files[self.path] = served.then
        headers, data, status = served.headers(), served.data, 200
        same = asked.if_range is None or asked.if_range in (headers.get("ETag"), headers.get("Last-Modified"))
        if served.ranges and asked.range and same:
            first, _, last = asked.range.removeprefix("bytes=").partition("-")
            end = min(int(last) + 1 if last else len(data), len(data))
            if int(first) >= len(data):
                self._send(416, {"Content-Range": f"bytes */{len(data)}"}, b"", asked)
                return
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(data)}"
            data, status = data[int(first) : end], 206
        most = served.breaks_after.pop(0) if getting and served.breaks_after else None
        self._send(status, headers, data, asked, most=most, length=self.command in served.tells_length or status == 206)

    def _send(
        self,
        status: int,
        headers: dict[str, str],
        data: bytes,
        asked: Asked,
        *,
        most: int | None = None,
        length: bool = True,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length:
            self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if self.command == "GET":
            body = data if most is None else data[:most]
            asked.body_bytes = len(body)
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web_server() -> Iterator[WebServer]:
    server = WebServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
