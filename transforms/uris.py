"""A video's identity: its whole URI, percent-encoded, one spelling for one file.

A local file is `file:///...` with every byte outside the unreserved set
percent-encoded (RFC 3986), made from the bytes of its path (`os.fsencode`), so a
name that is not UTF-8 has an identity too.
"""

import codecs
import os
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

_FILE = "file://"


def uri_of_path(path: str | os.PathLike[str]) -> str:
    """The identity of a local file; relative paths are made absolute, links are kept."""
    return _FILE + quote(os.fsencode(os.path.abspath(path)))


def is_local(uri: str) -> bool:
    """Whether the URI names a file of this machine."""
    return uri.startswith(_FILE)


def is_message(uri: str) -> bool:
    """Whether the URI names a message of a stream, which is no video."""
    return uri.startswith(("kafka://", "pubsub://", "folder://"))


def path_of_uri(uri: str) -> Path:
    """The local path of a `file://` URI, byte for byte."""
    if not is_local(uri):
        raise ValueError(f"not a local file: uri={uri!r}")
    return Path(os.fsdecode(unquote_to_bytes(uri[len(_FILE) :])))


def shown(uri: str) -> str:
    """What a person or a script is shown: the absolute path, or the URI of what is not local.

    Bytes of a path that are not UTF-8 stay percent-encoded.
    """
    if not is_local(uri):
        return uri
    return unquote_to_bytes(uri[len(_FILE) :]).decode(errors="reelvec-percent")


def _percent_encode(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    undecodable = error.object[error.start : error.end]
    return "".join(f"%{byte:02X}" for byte in undecodable), error.end


codecs.register_error("reelvec-percent", _percent_encode)
