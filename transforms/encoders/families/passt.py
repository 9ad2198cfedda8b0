"""PaSST (Koutini et al., 2022): listed for what it is, it loads nothing.

Its package imports torchaudio, which does not load beside this torch, and its weights are a pickled download.
"""

from pathlib import Path

from transforms.encoders.cards import Card
from transforms.encoders.family import family
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Where
from transforms.errors import MissingPackage


def describe(name: Name, folder: Path | None) -> Card:
    """Raises MissingPackage, which says why."""
    raise MissingPackage(f"{name} cannot be used: {family(name.family).unavailable}")


def load(card: Card, where: Where) -> Network:
    """Raises MissingPackage."""
    raise MissingPackage(f"{card.name} cannot be used: {family(card.family).unavailable}")
