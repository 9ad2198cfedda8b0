"""A mark beside an Edge index: it holds more than its readers were shown.

Made before a run changes anything and taken away once everything is published, so that a run that
was killed in between is published by the next one, even if that finds nothing else to do.
"""

from pathlib import Path

from transforms.index.location import IndexLocation
from transforms.index.spaces import home_of

_MARK = "UNPUBLISHED"


def mark_unpublished(location: IndexLocation) -> None:
    """Say that the index is about to change. A server has no such state."""
    if location.kind == "edge":
        _mark(location).touch()


def mark_published(location: IndexLocation) -> None:
    """Say that readers see everything."""
    _mark(location).unlink(missing_ok=True)


def is_unpublished(location: IndexLocation) -> bool:
    """Whether some run changed the index and did not live to publish it."""
    return location.kind == "edge" and _mark(location).exists()


def _mark(location: IndexLocation) -> Path:
    return home_of(location).path / _MARK
