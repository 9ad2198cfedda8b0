"""What a decoder may use before it is stopped."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one decoder process.

    Two threads keep an honest 8K file under 1 GB of address space; sixteen take three.
    A segment of 64 s gives 200 MB where much is asked of it: 260 x 260 and 640 x 640 pixels a second, 224 x 224 five
    times a second, 1920 x 1080 once a clip of 8 s, sound at 16 and 48 kHz. The output limit leaves five times that.
    """

    memory_bytes: int = 2 * 2**30  # of address space (RLIMIT_AS)
    cpu_seconds: int = 1800  # over all threads (RLIMIT_CPU)
    wall_seconds: float = 900.0
    output_bytes: int = 2**30  # through its pipes; it may write no file at all (RLIMIT_FSIZE is 0)
    open_files: int = 64  # RLIMIT_NOFILE
    max_pixels: int = 8192 * 4320  # of one picture
    decoder_threads: int = 2

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ValueError(f"a limit is above zero: {name}={getattr(self, name)}")


#: What is used where nothing else is asked for.
DEFAULT_LIMITS = Limits()
