"""What Reelvec needs on this machine: what is here, what is missing, and the cure."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from transforms.encoders.cards import Weights
from transforms.encoders.catalog import packaged
from transforms.encoders.weights import state, verify
from transforms.errors import MissingWeights, ReelvecError
from transforms.media.versions import ffmpeg_version, sandbox_level

#: Below this much free disk an ingest is likely to stop half way.
LITTLE_DISK_BYTES = 2 * 2**30

_INSTALL = "pip install 'reelvec[offline]'"
_CUDA_QUESTION = "import torch; print(torch.version.cuda or '', torch.cuda.device_count())"
_PACKAGES = (  # distribution, needed, what brings it
    ("apache-beam", True, _INSTALL),
    ("qdrant-edge-py", True, _INSTALL),
    ("qdrant-client", False, "pip install 'reelvec[server]' for an index on a Qdrant server"),
    ("torch", True, _INSTALL),
    ("faster-whisper", True, _INSTALL),
    ("onnxruntime", False, f"{_INSTALL}; without it a first search takes seconds longer"),
    ("pyarrow", False, "pip install pyarrow for manifests in Parquet"),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `cure` is empty when all is well."""

    name: str
    found: str
    ok: bool
    needed: bool = True
    cure: str = ""


def examine(folder: Path) -> list[Check]:
    """Look at everything that an index in `folder` would need."""
    return [
        Check("python", platform.python_version(), sys.version_info >= (3, 11), cure="install Python 3.11 or later"),
        _package("reelvec", needed=False, cure="installed from a checkout without its metadata; pip install -e ."),
        _ffmpeg(),
        *(_package(name, needed=needed, cure=cure) for name, needed, cure in _PACKAGES),
        _cuda(),
        *_weights(),
        _sandbox(),
        _disk(folder),
    ]


def all_is_here(checks: list[Check]) -> bool:
    """Whether everything that is needed is here."""
    return all(check.ok for check in checks if check.needed)


def _checked(name: str, found: str, ok: bool, *, needed: bool = True, cure: str) -> Check:
    return Check(name, found, ok, needed, "" if ok else cure)


def _package(name: str, *, needed: bool, cure: str) -> Check:
    try:
        return Check(name, version(name), True, needed)
    except PackageNotFoundError:
        return Check(name, "missing", False, needed, cure)


def _ffmpeg() -> Check:
    found = ffmpeg_version()
    cure = "install ffmpeg with ffprobe, 5.1 or later: apt-get install ffmpeg, or brew install ffmpeg"
    return _checked("ffmpeg", found or "missing", found is not None, cure=cure)


def _cuda() -> Check:
    """Asked in a child process, because torch takes seconds to import and keeps hundreds of MB."""
    command = [sys.executable, "-c", _CUDA_QUESTION]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return Check("cuda", "torch did not answer in 120 s", False, False, "see whether `import torch` ends")
    if asked.returncode != 0:
        reason = asked.stderr.strip().rpartition("\n")[2] or f"exit status {asked.returncode}"
        return Check("cuda", f"torch cannot be imported: {reason}", False, False, _INSTALL)
    *built_for, devices = asked.stdout.split()
    made = f"torch is built for CUDA {built_for[0]}" if built_for else "torch is built without CUDA"
    if devices == "0":
        return Check("cuda", f"no device ({made})", False, False, "none needed: everything runs on the processor")
    return Check("cuda", f"{devices} device(s) ({made})", True, False)


def _weights() -> list[Check]:
    checks = []
    for card in packaged():
        if not card.weights:
            continue
        found = state(card)
        cure = _INSTALL
        if found != "available":
            cure = next((cured for weights in card.weights if (cured := _why(weights))), _INSTALL)
        shown = "verified" if found == "available" else found.replace("-", " ")
        checks.append(_checked(f"weights of {card.name}", shown, found == "available", cure=cure))
    return checks


def _why(weights: Weights) -> str:
    try:
        verify(weights)
    except MissingWeights as error:
        return str(error)
    return ""


def _sandbox() -> Check:
    try:
        level = sandbox_level()
    except (ReelvecError, OSError, AssertionError, subprocess.TimeoutExpired) as error:
        return Check("sandbox", f"could not be tried: {error}", False, False, "decode only videos that you trust")
    cure = "decoders run without limits here: decode only videos that you trust, or allow prlimit and user namespaces"
    return _checked("sandbox", level, level != "none", needed=False, cure=cure)


def _disk(folder: Path) -> Check:
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free_bytes = shutil.disk_usage(existing).free
    shown = f"{free_bytes / 2**30:.1f} GiB free at {os.fsencode(existing).decode(errors='replace')}"
    cure = f"free some: an index grows with its videos, and {LITTLE_DISK_BYTES / 2**30:.0f} GiB are little"
    return _checked("disk", shown, free_bytes >= LITTLE_DISK_BYTES, needed=False, cure=cure)
