"""BM25 has no model: `transforms.encoders.words` makes its vectors."""

from transforms.encoders.cards import Card
from transforms.encoders.network import Network, Where
from transforms.errors import UsageError


def load(card: Card, where: Where) -> Network:
    """Raises UsageError: there is nothing to load."""
    raise UsageError(f"{card.name} has no model to load; its vectors come from transforms.encoders.words")
