"""What the end of a child means: the error that it stands for."""

import re
import signal
from pathlib import Path
from typing import Final

from transforms.errors import DecoderCrashed, ForbiddenMedia, IngestError, LimitExceeded, NoMedia, UnreadableVideo
from transforms.media.allowed import TEXT_FORMATS
from transforms.media.child import Finished, shown_name
from transforms.media.limits import Limits

_NO_MEMORY: Final = re.compile(
    r"cannot allocate memory|out of memory|bad_alloc|failed to allocate|error allocating|could not allocate"
    r"|memory exhausted|resource temporarily unavailable|get_buffer\(\) failed|thread_encoder_init failed"
    r"|failed to map segment",
    re.IGNORECASE,
)
_TOO_MANY_PIXELS: Final = re.compile(r"Picture size (\S+) exceeds specified max pixel count")
_OUT_OF_CPU_TIME: Final = f"received signal {signal.SIGXCPU.value}"
_FORBIDDEN_FORMAT: Final = re.compile(r"\[([^\]]+) @ 0x[0-9a-f]+\] Format not on whitelist")
_FORBIDDEN: Final = re.compile(r"(Protocol '[^']*'|Codec \([^)]*\)) not on whitelist")
_NOISE: Final = re.compile(r"^\s*Last message repeated|^\s*$")
_NONSENSE_SIZES: Final = "Failed to read extradata"  # a header that asks for more bytes than the file has


def ran_out_of_memory(finished: Finished) -> bool:
    """Whether the decoder wanted more memory than it may have; with one thread it may need less."""
    return _NO_MEMORY.search(finished.error_text) is not None and _NONSENSE_SIZES not in finished.error_text


def broken_limit(finished: Finished, limits: Limits) -> IngestError | None:
    """The limit that ended the child, or that it crashed or hung; None where it ended by itself."""
    if finished.overran:
        return LimitExceeded(f"decoding gave more output than allowed: output_bytes={limits.output_bytes}")
    if finished.timed_out:
        return DecoderCrashed(
            f"the decoder hung and was stopped: wall_seconds={limits.wall_seconds}; it is tried again on later runs"
        )
    ended_by = signal.Signals(-finished.returncode) if finished.returncode < 0 else None
    if ended_by is signal.SIGXCPU or _OUT_OF_CPU_TIME in finished.error_text:
        return LimitExceeded(f"decoding took more processor time than allowed: cpu_seconds={limits.cpu_seconds}")
    if finished.returncode != 0 and ran_out_of_memory(finished):
        return LimitExceeded(f"decoding needs more memory than allowed: memory_bytes={limits.memory_bytes}")
    if ended_by is not None:
        return DecoderCrashed(f"the decoder crashed: signal={ended_by.name}; it is tried again on later runs")
    return None


def too_many_pixels(finished: Finished, limits: Limits) -> LimitExceeded | None:
    """The error for a picture that the decoder refused for its size, where there was one."""
    if (found := _TOO_MANY_PIXELS.search(finished.error_text)) is None:
        return None
    return LimitExceeded(f"a picture is larger than allowed: size={found[1]}, max_pixels={limits.max_pixels}")


def refused(finished: Finished) -> IngestError | None:
    """The error for a container, codec or protocol that is not on its list, where there was one."""
    if found := _FORBIDDEN_FORMAT.search(finished.error_text):
        format_name = found[1]
        if format_name in TEXT_FORMATS:
            return NoMedia(f"the file holds text, no picture or sound: format={format_name}")
        return ForbiddenMedia(
            f"this kind of file is not opened, since it may point to other files: format={format_name}; "
            "convert it to mp4, mkv or wav if it is trusted"
        )
    if found := _FORBIDDEN.search(finished.error_text):
        return ForbiddenMedia(f"the file needs what is not allowed: {found[1]}; convert it to mp4, mkv or wav")
    return None


def unreadable(path: Path, finished: Finished, what: str) -> UnreadableVideo:
    """The error for a file that could not be read, with the decoder's last words."""
    words = last_words(finished)
    return UnreadableVideo(f"{what}: file={shown_name(path)}" + (f", decoder={words!r}" if words else ""))


def last_words(finished: Finished) -> str:
    """The last line that the child wrote about what went wrong, without addresses and descriptors; or ""."""
    lines = [line for line in finished.error_text.splitlines() if not _NOISE.match(line)]
    line = re.sub(r" @ 0x[0-9a-f]+", "", lines[-1] if lines else "")
    return re.sub(r"(file:)?/dev/fd/\d+(: )?", "", line).strip()[:300]
