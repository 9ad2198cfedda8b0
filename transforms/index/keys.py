"""The key of a server by reference: what travels to workers names where the key is, never the key."""

import os
import re
from pathlib import Path

from transforms.errors import MissingKey, MissingPackage, StoreUnavailable, UsageError

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/.+|gcp:projects/[^/]+/secrets/[^/]+/versions/[^/]+")


def checked_reference(text: str) -> str:
    """`env:NAME`, `file:/PATH` or `gcp:projects/P/secrets/S/versions/V`; raises UsageError for anything else."""
    if not _REFERENCE.fullmatch(text):
        raise UsageError(
            "a key is named by where it is, key_from=env:NAME, file:/PATH or gcp:projects/P/secrets/S/versions/V; "
            f"not as {text.partition(':')[0]!r}"
        )
    return text


def key_at(reference: str) -> str:
    """The key, as whoever asks can read it here and now; raises MissingKey, MissingPackage, StoreUnavailable."""
    kind, _, place = reference.partition(":")
    if kind == "env":
        key = os.environ.get(place, "")
    elif kind == "file":
        try:
            key = Path(place).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise MissingKey(f"the key of the index cannot be read from {place}: {error.strerror}") from error
    else:
        key = _in_secret_manager(place)
    if not key:
        raise MissingKey(f"the key of the index is empty: {reference}")
    return key


def _in_secret_manager(name: str) -> str:
    try:
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud import secretmanager  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingPackage(f"{name} is read with Google's library: pip install 'reelvec[dataflow]'") from error
    try:
        found = secretmanager.SecretManagerServiceClient().access_secret_version(request={"name": name})
    except (GoogleAPIError, GoogleAuthError) as error:
        raise StoreUnavailable(f"the key of the index cannot be read from {name}: {error}") from error
    return str(found.payload.data.decode().strip())
