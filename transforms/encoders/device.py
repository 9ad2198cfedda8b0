"""Which device a model takes, and what to do when its memory is full. Imports torch inside functions only."""

import logging
import sys
import threading
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

from transforms import measures
from transforms.errors import UsageError

_log = logging.getLogger(__name__)
_kept: dict[Hashable, Any] = {}
_kept_lock = threading.RLock()  # one model's loading may load another
_told: set[tuple[str, str]] = set()

T = TypeVar("T")
Result = TypeVar("Result")


class _Batch(Protocol):
    """A list or an array."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Any: ...


Batch = TypeVar("Batch", bound=_Batch)


def kept(key: Hashable, load: Callable[[], T]) -> T:
    """What `load` made for this key the first time in this process; two threads never load it twice.

    Beam's own sharing holds weak references and loads again in every run.
    """
    with _kept_lock:
        if key not in _kept:
            _kept[key] = load()
        loaded: T = _kept[key]
        return loaded


def check_device(device: str) -> tuple[str, str]:
    """The kind and the number of a device; raises UsageError for a text that names none. Imports nothing."""
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (number and (kind != "cuda" or not number.isdecimal())):
        raise UsageError(f"a device is auto, cpu, cuda, cuda:N or mps: device={device!r}")
    return kind, number


def resolve_device(device: str, *, name: str, family: str) -> str:
    """cpu, cuda, cuda:N or mps; "auto" takes the best there is and logs it once.

    Raises UsageError for a text that names no device, and for a named device that is not usable here.
    """
    kind, number = check_device(device)
    if device == "cpu":
        return "cpu"
    if family in _WITHOUT_TORCH or kind == "mps":
        present = _mps_devices() if kind == "mps" else 0
    else:
        present = _ctranslate2_devices() if family == "faster-whisper" else torch_cuda_devices()
    if kind == "auto":
        taken = "cuda" if present else "cpu"
        if (name, taken) not in _told:
            _told.add((name, taken))
            _log.info("%s runs on %s", name, taken)
        return taken
    if family in _WITHOUT_TORCH:
        return "cpu"  # nothing of it could run elsewhere
    if present <= int(number or 0):
        raise UsageError(
            f"{name} was to run on {device}, but {present or 'no'} such device is usable here; "
            "take --device auto or cpu"
        )
    return device


#: Families that run no network of their own on this machine, or one that only the processor runs.
_WITHOUT_TORCH = frozenset(
    ("bm25", "tfidf", "lsa", "word-vectors", "mfcc", "motion", "rapidocr", "openai", "gemini", "cohere", "twelvelabs")
)


def _mps_devices() -> int:
    import torch

    return int(torch.backends.mps.is_available())


def _ctranslate2_devices() -> int:
    import ctranslate2

    return int(ctranslate2.get_cuda_device_count())


def torch_cuda_devices() -> int:
    """How many CUDA devices torch can use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def in_halves(run: Callable[[Batch], list[Result]], batch: Batch) -> list[Result]:
    """What `run` gives for the batch; when CUDA's memory is full, for each half of it in turn.

    Raises torch.OutOfMemoryError when a single item is too big.
    """
    try:
        return run(batch)
    except Exception as error:
        if not _is_full_memory(error) or len(batch) <= 1:
            raise
        measures.count(measures.HALVED)
        _log.warning("the device's memory is full at a batch of %d; trying halves", len(batch))
    # Outside the handler: inside it the traceback still holds the tensors.
    sys.modules["torch"].cuda.empty_cache()
    middle = len(batch) // 2
    return [*in_halves(run, batch[:middle]), *in_halves(run, batch[middle:])]


def _is_full_memory(error: Exception) -> bool:
    """Whether torch ran out of the device's memory; a family without torch never imports it for that."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
