"""The metadata of a video as a column: equal texts are equal metadata, and none is the empty text."""

import json
from collections.abc import Sequence
from typing import Any

from transforms.records import Scalar


def metadata_text(metadata: Sequence[Sequence[Any]]) -> str:
    """Pairs of name and value as one text."""
    return json.dumps([list(pair) for pair in metadata]) if metadata else ""


def metadata_of(text: str) -> tuple[tuple[str, Scalar], ...]:
    """What `metadata_text` made, as it was."""
    return tuple((name, value) for name, value in json.loads(text)) if text else ()
