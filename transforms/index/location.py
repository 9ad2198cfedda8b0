"""Where an index lives: a folder (Qdrant Edge) or a collection of a Qdrant server."""

import ipaddress
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self
from urllib.parse import parse_qs, quote, urlsplit

from transforms.errors import UsageError
from transforms.index.keys import checked_reference, key_at

#: The environment variable that holds a server's key; read when connecting, never stored.
API_KEY_VARIABLE = "QDRANT_API_KEY"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True, slots=True)
class IndexLocation:
    """What `--index` names: a folder, or `http(s)://host:port/NAME[?grpc_port=&key_from=]`. Holds no secret."""

    kind: Literal["edge", "server"]
    folder: str = ""  # absolute; edge only
    url: str = ""  # scheme://host:port; server only
    name: str = ""  # the alias of the collection; server only
    grpc_port: int = 0  # server only
    key_from: str = ""  # where the key is; "": in the environment. Server only
    space: str = ""  # one space of the index, a subfolder or a collection; "": the one in use

    @classmethod
    def parse(cls, text: str) -> Self:
        """The location that a person wrote; raises UsageError for what is neither folder nor server URL."""
        if not text.strip() or "\x00" in text:
            raise UsageError(f"an index is a folder or http(s)://host:port/NAME: --index {text!r}")
        if "://" not in text:
            return cls(kind="edge", folder=os.path.abspath(os.path.expanduser(text)))
        url, name, grpc_port, key_from = _server_parts(text)
        return cls(kind="server", url=url, name=name, grpc_port=grpc_port, key_from=key_from)

    @property
    def path(self) -> Path:
        """The folder of an Edge index, or of one of its spaces."""
        return Path(self.folder, self.space) if self.space else Path(self.folder)

    def at(self, space: str) -> Self:
        """One space of this index, whether it is in use or not."""
        return replace(self, space=space)

    @property
    def loopback(self) -> bool:
        """Whether the server is this machine, so that nothing travels over a network."""
        host = urlsplit(self.url).hostname or ""
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def api_key(self) -> str | None:
        """The server's key, read where it is used; raises UsageError where it would travel unencrypted."""
        key = key_at(self.key_from) if self.key_from else os.environ.get(API_KEY_VARIABLE) or None
        if key and self.url.startswith("http://") and not self.loopback:
            raise UsageError(
                f"a key is not sent over plain http: --index {self}; use https, or "
                f"{'leave key_from out' if self.key_from else f'unset {API_KEY_VARIABLE}'}"
            )
        return key

    def __str__(self) -> str:
        if self.kind == "edge":
            return os.fsencode(self.folder).decode(errors="replace")
        rest_port = urlsplit(self.url).port or 0
        told = [] if self.grpc_port == rest_port + 1 else [f"grpc_port={self.grpc_port}"]
        told += [f"key_from={quote(self.key_from, safe=':/')}"] if self.key_from else []
        return f"{self.url}/{self.name}{'?' if told else ''}{'&'.join(told)}"


def _server_parts(text: str) -> tuple[str, str, int, str]:
    cure = "write it as http(s)://host:port/NAME, with ?grpc_port= where that is not port + 1"
    try:
        parts = urlsplit(text)
        port = parts.port or (443 if parts.scheme == "https" else 6333)
        options = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        grpc_port = int(options.pop("grpc_port", [str(port + 1)])[0])
        key_from = options.pop("key_from", [""])[0]
    except ValueError as error:
        raise UsageError(f"an index's URL cannot be read ({error}); {cure}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"an index is a folder or a Qdrant server: scheme={parts.scheme!r}; {cure}")
    if parts.username or parts.password:
        raise UsageError(f"an index's URL holds no password; put the key into {API_KEY_VARIABLE}, or say ?key_from=")
    name = parts.path.strip("/")
    if not _NAME.fullmatch(name) or "--" in name:
        raise UsageError(f"an index's name is letters, digits, '_', '-' and '.', without '--': name={name!r}; {cure}")
    if options or parts.fragment:
        raise UsageError(f"an index's URL has an option that is not known: {text.partition('?')[2]!r}; {cure}")
    if not 0 < grpc_port < 65536:
        raise UsageError(f"a port lies between 1 and 65535: grpc_port={grpc_port}; {cure}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}", name, grpc_port, checked_reference(key_from) if key_from else ""
