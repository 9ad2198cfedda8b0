"""http and https: redirects are followed by hand, and every connection goes to an address that was checked."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from transforms.errors import RemoteRefused, UsageError, VideoChanged
from transforms.records import VideoRef
from transforms.remote.addresses import checked_addresses
from transforms.remote.names import host_and_port, port_of, redacted, split_url
from transforms.remote.settings import RemoteSettings
from transforms.remote.store import Arriving, Broken, Checksum, Found

MOST_REDIRECTS = 5
_CHUNK_BYTES = 2**20
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429)
_GONE = (404, 410)
_NO_HEAD = (405, 501)
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

Response = urllib3.BaseHTTPResponse


@dataclass(frozen=True, slots=True)
class Web:
    """Web servers; an address is one file."""

    settings: RemoteSettings

    def look(self, uri: str) -> Found | None:
        """Size, ETag and time of one file; None where there is none. Raises RemoteRefused, UsageError, Broken."""
        with self._asked("HEAD", uri, {}) as response:
            status, headers = response.status, response.headers
        length = headers.get("Content-Length")
        if status in _NO_HEAD or (status == 200 and not (length or "").isdigit()):
            with self._asked("GET", uri, {"Range": "bytes=0-0"}) as response:
                status, headers = response.status, response.headers
            total = _RANGE.fullmatch(headers.get("Content-Range", ""))
            length = total[2] if status == 206 and total else headers.get("Content-Length")
        if status in _GONE:
            return None
        _check_status(status, uri, fine=(200, 206))
        if length is None or not length.isdigit():
            raise RemoteRefused(f"the server does not say how large the file is: {redacted(uri)}")
        return Found(uri, int(length), _version(headers))

    def pages(self, prefix: str) -> Iterator[list[Found]]:
        """Nothing can be listed: raises UsageError."""
        raise UsageError(f"an http address names one file, it cannot be listed: {redacted(prefix)}")

    def bring(self, video: VideoRef, offset: int, into: Arriving) -> Checksum | None:
        """Bring the file from this byte on, and only as long as the server vouches for the listed version."""
        kind, _, value = video.version.partition(":")
        resumable = kind == "modified" or (kind == "etag" and not value.startswith("W/"))
        wanted = {"Range": f"bytes={offset}-", "If-Range": value} if offset and resumable else {}
        with self._asked("GET", video.uri, wanted) as response:
            if response.status in _GONE:
                raise VideoChanged(f"the file vanished before it was fetched: {redacted(video.uri)}")
            if response.status == 416:
                into.begins_at(0)
                raise Broken("the server has no such range of the file")
            _check_status(response.status, video.uri, fine=(200, 206))
            _check_version(video, response.headers)
            into.begins_at(_start(response, video, offset if wanted else 0))
            try:
                for chunk in response.stream(_CHUNK_BYTES, decode_content=False):
                    into.write(chunk)
            except HTTPError as error:
                raise Broken(f"the connection broke: {_reason(error)}") from error
        return None

    def still_there(self, video: VideoRef) -> None:
        """A server sends a file that is written to as it is at that moment: only another look shows that it changed."""
        with suppress(Broken):
            found = self.look(video.uri)
            if found is None:
                raise VideoChanged(f"the file vanished while it was fetched: {redacted(video.uri)}")
            if found.size_bytes != video.size_bytes or _differ(found.version, video.version):
                raise _changed(video, f"size_bytes={video.size_bytes} then {found.size_bytes}")

    @contextmanager
    def _asked(self, method: str, url: str, headers: Mapping[str, str]) -> Iterator[Response]:
        """The answer at the end of all redirects; closed when the block is left."""
        response = self._followed(method, url, headers)
        try:
            yield response
        finally:
            response.close()

    def _followed(self, method: str, url: str, headers: Mapping[str, str]) -> Response:
        first, secure = url, False
        for _ in range(MOST_REDIRECTS + 1):
            try:
                parts = split_url(url)
            except UsageError as error:
                raise RemoteRefused(f"{redacted(first)} leads elsewhere: {error}") from error
            if parts.username is not None or (secure and parts.scheme != "https"):
                raise RemoteRefused(f"{redacted(first)} leads to {redacted(url)}: from https to http, or with a user")
            secure = parts.scheme == "https"
            response = self._connected(method, parts, headers)
            target = response.headers.get("Location")
            if response.status not in _REDIRECTS or not target:
                return response
            response.close()
            url = urljoin(url, target)
        raise RemoteRefused(f"{redacted(first)} leads on and on: more than {MOST_REDIRECTS} redirects")

    def _connected(self, method: str, parts: SplitResult, headers: Mapping[str, str]) -> Response:
        """One request to the first address of the host that takes a connection."""
        assert parts.hostname
        host, port = host_and_port(parts), port_of(parts)
        name = host if host.startswith("[") else host.partition(":")[0]
        name = name.strip("[]").partition("]")[0]
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = {"Host": host, "User-Agent": "reelvec", "Accept-Encoding": "identity", **headers}
        failure: Exception = Broken(f"{name} has no address")
        for address in checked_addresses(name, port, allow_private=self.settings.allow_private_addresses):
            pool = self._pool(parts.scheme, address, port, name)
            try:
                return pool.urlopen(
                    method,
                    target,
                    headers=sent,
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                    assert_same_host=False,
                )
            except (NewConnectionError, ConnectTimeoutError) as error:
                failure = Broken(f"no connection to {name}: {_reason(error)}")
            except SSLError as error:
                raise RemoteRefused(f"the certificate of {name} does not hold: {_reason(error)}") from error
            except HTTPError as error:
                raise Broken(f"{name} did not answer: {_reason(error)}") from error
        raise failure

    def _pool(self, scheme: str, address: str, port: int, name: str) -> urllib3.HTTPConnectionPool:
        """Connects to the address and to nothing else; the certificate is that of the name."""
        timeout = urllib3.Timeout(connect=self.settings.connect_seconds, read=self.settings.read_seconds)
        if scheme == "https":
            return urllib3.HTTPSConnectionPool(
                address, port, timeout=timeout, maxsize=1, server_hostname=name, assert_hostname=name
            )
        return urllib3.HTTPConnectionPool(address, port, timeout=timeout, maxsize=1)


def _version(headers: Mapping[str, str]) -> str:
    if etag := headers.get("ETag"):
        return f"etag:{etag}"
    modified = headers.get("Last-Modified")
    return f"modified:{modified}" if modified else ""


def _differ(one: str, other: str) -> bool:
    """Whether two versions of one kind differ; a mark of weakness says nothing of the bytes."""
    kind, _, value = one.partition(":")
    other_kind, _, other_value = other.partition(":")
    return kind == other_kind and value.removeprefix("W/") != other_value.removeprefix("W/")


def _check_version(video: VideoRef, headers: Mapping[str, str]) -> None:
    """Raise VideoChanged where an answer is of another version; what it does not say is no contradiction."""
    kind, _, _ = video.version.partition(":")
    now = headers.get({"etag": "ETag", "modified": "Last-Modified"}.get(kind, ""))
    if now is not None and _differ(f"{kind}:{now}", video.version):
        raise _changed(video, f"{video.version} then {kind}:{now}")


def _start(response: Response, video: VideoRef, offset: int) -> int:
    """The place in the file of the first byte of an answer."""
    if response.status == 200:
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and int(length) != video.size_bytes:
            raise _changed(video, f"size_bytes={video.size_bytes} then {length}")
        return 0
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != offset:
        raise RemoteRefused(f"the server sends another part of the file than was asked for: {redacted(video.uri)}")
    if found[2] not in ("*", str(video.size_bytes)):
        raise _changed(video, f"size_bytes={video.size_bytes} then {found[2]}")
    return offset


def _check_status(status: int, uri: str, *, fine: tuple[int, ...]) -> None:
    if status in fine:
        return
    if status >= 500 or status in _PASSING:
        raise Broken(f"the server answered {status}")
    raise RemoteRefused(f"the server refuses the file with status {status}: {redacted(uri)}")


def _changed(video: VideoRef, how: str) -> VideoChanged:
    return VideoChanged(
        f"the file changed while it was fetched: {redacted(video.uri)}, {how}; the next run takes it up"
    )


def _reason(error: Exception) -> str:
    """What went wrong, without the address and the object that urllib3 adds."""
    return str(error.args[-1] if error.args else error).rpartition(">: ")[2] or type(error).__name__
