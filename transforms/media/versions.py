"""What does the decoding on this machine, and how well it is held in: for `doctor` and for reports."""

import re
import socket
import subprocess
import sys
from functools import cache
from typing import Final

from transforms.errors import UsageError
from transforms.media.child import dying_with_parent, launched, program_path
from transforms.media.limits import Limits

_TRY_MEMORY: Final = "bytearray(2 << 30)"
_TRY_NETWORK: Final = "import socket; socket.create_connection(('127.0.0.1', {port}), timeout=5)"


def ffmpeg_version() -> str | None:
    """The version that ffmpeg gives itself, or None where ffmpeg or ffprobe is missing."""
    try:
        program_path("ffprobe")
        command = [program_path("ffmpeg"), "-version"]
    except UsageError:
        return None
    told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    found = re.match(r"ffmpeg version (\S+)", told.stdout)
    return found[1] if found else None


@cache
def decoder_version() -> str:
    """What decides whether a file can be decoded here, "ffmpeg 7.1"; "" where there is none. Asked once a process."""
    version = ffmpeg_version()
    return f"ffmpeg {version}" if version else ""


def sandbox_level() -> str:
    """What really holds a decoder in here, proved by trying to get out: parts joined by "+", or "none"."""
    proved = {
        "limits": not _succeeds(_TRY_MEMORY),
        "no-network": not _reaches_us(),
        "dies-with-parent": bool(dying_with_parent()),
    }
    return "+".join(name for name, holds in proved.items() if holds) or "none"


def _reaches_us() -> bool:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return _succeeds(_TRY_NETWORK.format(port=server.getsockname()[1]))


def _succeeds(code: str) -> bool:
    """Whether a small program gets its way under the limits; it must start at all to prove anything."""
    limits = Limits(memory_bytes=2**30, open_files=64, cpu_seconds=10)
    assert _ends_well("pass", limits), "no program starts under the limits"
    return _ends_well(code, limits)


def _ends_well(code: str, limits: Limits) -> bool:
    command = launched([sys.executable, "-I", "-S", "-c", code], limits)
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30).returncode == 0
