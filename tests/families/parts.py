"""Encoders of parts of a clip: how things move in it."""

from pathlib import Path

from tests.families.tiny import Tiny


def motion(folder: Path) -> str:
    """It has no weights to save."""
    return "motion:dis"


TINY: tuple[Tiny, ...] = (Tiny("motion", motion),)
