"""ImageBind (Girdhar et al., 2023): pictures, sound and text in one space; it cannot be installed."""

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
    """Raises MissingPackage, which says why."""
    raise MissingPackage(f"{card.name} cannot be used: {family(card.family).unavailable}")
