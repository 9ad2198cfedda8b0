"""Which device a model takes, and what to do when its memory is full. Imports torch inside functions only."""

import logging
import threading
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

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


def resolve(device: str, *, name: str, cuda_devices: Callable[[], int]) -> str:
    """cpu or cuda; "auto" logs what it took. Raises UsageError when "cuda" is asked for and absent."""
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"a device is auto, cpu or cuda: device={device!r}")
    if device == "cpu":
        return "cpu"
    present = cuda_devices() > 0
    if device == "cuda" and not present:
        raise UsageError(f"{name} was to run on cuda, but no CUDA device is usable here; take --device auto or cpu")
    taken = "cuda" if present else "cpu"
    if device == "auto" and (name, taken) not in _told:
        _told.add((name, taken))
        _log.info("%s runs on %s", name, taken)
    return taken


def torch_cuda_devices() -> int:
    """How many CUDA devices torch can use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def in_halves(run: Callable[[Batch], list[Result]], batch: Batch) -> list[Result]:
    """What `run` gives for the batch; when CUDA's memory is full, for each half of it in turn.

    Raises torch.OutOfMemoryError when a single item is too big.
    """
    import torch

    try:
        return run(batch)
    except torch.OutOfMemoryError:
        if len(batch) <= 1:
            raise
        _log.warning("CUDA memory is full at a batch of %d; trying halves", len(batch))
    # Outside the handler: inside it the traceback still holds the tensors.
    torch.cuda.empty_cache()
    middle = len(batch) // 2
    return [*in_halves(run, batch[:middle]), *in_halves(run, batch[middle:])]
