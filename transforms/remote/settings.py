"""What may be fetched from elsewhere, where to, and how long it may take."""

import os
from dataclasses import dataclass
from pathlib import Path

_MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """Limits of remote media; plain values, so that workers on other machines get them as they are."""

    cache: str = ""  # folder; "": `reelvec/media` in the cache folder of whoever runs the worker
    cache_bytes: int = 16 * 1024 * _MEGABYTE
    largest_bytes: int = 8 * 1024 * _MEGABYTE  # of one file
    together_bytes: int = 64 * _MEGABYTE  # the segments of a remote file up to this size stay on one worker
    min_free_bytes: int = 1024 * _MEGABYTE  # of the disk that the cache lies on
    allow_private_addresses: bool = False
    tries: int = 5  # in a row without a new byte
    first_pause_seconds: float = 0.5
    connect_seconds: float = 10.0
    read_seconds: float = 30.0  # without a byte
    wait_seconds: float = 600.0  # for room in the cache, where everything in it is in use

    @property
    def folder(self) -> Path:
        """The cache's folder on this machine."""
        if self.cache:
            return Path(self.cache)
        if shared := os.environ.get("REELVEC_CACHE"):  # where models are kept too
            return Path(shared) / "media"
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(home).expanduser() / "reelvec" / "media"


#: Of who reads files of this machine only, and of tests.
DEFAULTS = RemoteSettings()
