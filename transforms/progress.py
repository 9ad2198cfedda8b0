"""How a run tells the person who waits for it how far it is.

The stages of this process report to the one listener that the command line set;
workers in other processes report through Beam's counters alone.
"""

from typing import Protocol


class Progress(Protocol):
    """What a listener hears. Calls come from several threads."""

    def planned(self, videos: int) -> None:
        """So many videos will be decoded."""

    def video_found(self, seconds: float) -> None:
        """A video was looked into; it lasts so long."""

    def segment_done(self, seconds: float, clips: int) -> None:
        """A segment was stored, or rejected with no clips."""

    def video_done(self) -> None:
        """A video was committed or rejected."""

    def message(self, text: str) -> None:
        """Something worth a line."""


class Silent:
    """Hears nothing."""

    def planned(self, videos: int) -> None: ...

    def video_found(self, seconds: float) -> None: ...

    def segment_done(self, seconds: float, clips: int) -> None: ...

    def video_done(self) -> None: ...

    def message(self, text: str) -> None: ...


_listener: Progress = Silent()


def listen(listener: Progress) -> None:
    """Make this the listener of the process."""
    global _listener
    _listener = listener


def listener() -> Progress:
    """The listener of this process; a silent one where nobody set any."""
    return _listener
