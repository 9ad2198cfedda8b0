"""What a source of events hands over, and what every source can do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came; `uri` names it for good, however often it is delivered."""

    uri: str  # kafka://topic/partition/offset, pubsub://project/subscription/id
    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    token: Any = None  # what the source knows it by


class EventSource(Protocol):
    """A queue of messages that are delivered again until they are said to be done."""

    name: str  # the origin of the videos that it names

    def open(self) -> None:
        """Connect. Raises UsageError for a wrong name, Outage where nothing answers."""

    def take(self, most: int, wait_seconds: float) -> list[Message]:
        """At most so many messages; none after so long without any, or while the source does not answer."""

    def done(self, messages: Sequence[Message]) -> None:
        """What these messages asked for is in the index: they need not be delivered again."""

    def close(self) -> None:
        """Let go, after what is done has been told."""
