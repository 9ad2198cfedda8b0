"""Memory that was freed goes back to the system.

Buffers of one segment (tens of megabytes) are freed on other threads than the models' own, which
glibc's allocator keeps as holes: measured, 17 MB more a segment, 600 MB over an hour of video.
"""

import ctypes
import sys
from functools import cache


def give_back() -> None:
    """Return free pages to the system where the C library can (glibc); a few milliseconds."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> "ctypes._NamedFuncPointer | None":
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
