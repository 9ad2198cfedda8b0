"""A hub on this machine: the part of the Hugging Face Hub's HTTP protocol that its client uses to get files.

It can misbehave: `gated`, `broken_after` (the connection ends there, and the next answers are 500), `wrong` bytes.
Beside it a store of objects, as far as S3's protocol is spoken for listing and reading.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_LARGE = (".safetensors", ".bin", ".pth")  # as git-lfs would keep them


def git_hash(content: bytes) -> str:
    """The name of a file's content in git."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(eq=False)
class Hub:
    """Repositories of one branch, and what was asked of the server."""

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    commits: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    broken_after: dict[str, int] = field(default_factory=dict)  # file: bytes
    wrong: set[str] = field(default_factory=set)  # files whose bytes are others than those listed
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, Range
    failing: bool = False

    def put(self, repository: str, files: dict[str, bytes]) -> str:
        """A commit that holds these files; the newest one is `main`."""
        content = json.dumps({name: git_hash(data) for name, data in sorted(files.items())})
        commit = hashlib.sha1(content.encode()).hexdigest()
        self.commits.setdefault(repository, {})[commit] = dict(files)
        self.repositories[repository] = self.commits[repository][commit]
        return commit

    def commit_of(self, repository: str, revision: str) -> str | None:
        commits = self.commits[repository]
        if revision == "main":
            return next(commit for commit, files in commits.items() if files is self.repositories[repository])
        return revision if revision in commits else None

    def fetched(self, file: str) -> list[str]:
        """The Range of each GET of a file's content."""
        return [wanted for method, path, wanted in self.requests if method == "GET" and path.endswith(f"/{file}")]


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A hub that answers at its `url`."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Range", "")))
        if self.hub.failing:
            self._refuse(500, "", "out of order")
        elif listed := re.fullmatch(r"/api/models/(.+?)(?:/revision/([^/]+))?", path):
            self._list(listed[1], listed[2] or "main")
        elif asked := re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", path):
            self._file(*asked.groups())
        else:
            self._refuse(404, "", "no such page")

    def _known(self, repository: str, revision: str) -> str:
        """The commit, "" after a refusal."""
        if repository not in self.hub.commits:
            self._refuse(401, "", "Invalid username or password.")  # as the hub answers strangers
        elif repository in self.hub.gated and "Authorization" not in self.headers:
            self._refuse(401, "GatedRepo", f"Access to model {repository} is restricted.")
        elif (commit := self.hub.commit_of(repository, revision)) is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return commit
        return ""

    def _list(self, repository: str, revision: str) -> None:
        if not (commit := self._known(repository, revision)):
            return
        siblings: list[dict[str, Any]] = []
        for name, content in self.hub.commits[repository][commit].items():
            one: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": git_hash(content)}
            if name.endswith(_LARGE):
                sha256 = hashlib.sha256(content).hexdigest()
                one["lfs"] = {"size": len(content), "sha256": sha256, "pointerSize": 134}
            siblings.append(one)
        body = {"_id": "0" * 24, "id": repository, "modelId": repository, "sha": commit, "siblings": siblings}
        self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _file(self, repository: str, revision: str, name: str) -> None:
        if not (commit := self._known(repository, revision)):
            return
        content = self.hub.commits[repository][commit].get(name)
        if content is None:
            self._refuse(404, "EntryNotFound", f"Entry not found: {name}")
            return
        large = name.endswith(_LARGE)
        etag = hashlib.sha256(content).hexdigest() if large else git_hash(content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if name in self.hub.wrong:
            content = bytes(byte ^ 1 for byte in content)
        start = int((re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) or [0, 0])[1])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = self.hub.broken_after.pop(name, None) if self.command == "GET" else None
        self._send(206 if start else 200, content[start:], headers, cut=cut)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": message} if code else {})

    def _send(self, status: int, body: bytes, headers: dict[str, str], *, cut: int | None = None) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.hub.failing = True
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def s3_server(objects: dict[str, bytes]) -> Iterator[str]:
    """The address of a store that holds these objects, by "bucket/key"."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_S3Handler,), {"objects": objects}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _S3Handler(BaseHTTPRequestHandler):
    objects: dict[str, bytes]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        name, query = unquote(asked.path).strip("/"), parse_qs(asked.query)
        if "list-type" in query:
            self._send(200, self._listing(name, query.get("prefix", [""])[0]), {"Content-Type": "application/xml"})
        elif name not in self.objects:
            self._send(404, b"<Error><Code>NoSuchKey</Code></Error>", {})
        else:
            content = self.objects[name]
            headers = {
                "ETag": f'"{hashlib.md5(content).hexdigest()}"',
                "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            }
            wanted = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            start = int(wanted[1]) if wanted else 0
            end = min(int(wanted[2] or len(content)), len(content) - 1) if wanted else len(content) - 1
            if wanted:
                headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            self._send(206 if wanted else 200, content[start : end + 1], headers)

    do_HEAD = do_GET

    def _listing(self, bucket: str, prefix: str) -> bytes:
        found = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(content)}</Size><ETag>{hashlib.md5(content).hexdigest()}</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
            for name, content in self.objects.items()
            if (key := name.removeprefix(f"{bucket}/")).startswith(prefix)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode()

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
