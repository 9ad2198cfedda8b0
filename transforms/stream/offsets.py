"""Which offset of a partition may be committed, where messages are done in another order than they came in."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Offsets:
    """The offsets of one partition that are taken and not done; what lies before the first of them is done."""

    _open: dict[int, None] = field(default_factory=dict)  # in the order of their taking, which rises
    _next: int = 0

    def take(self, offset: int) -> None:
        """A message came; one that comes again, after the partition was away, starts from there."""
        if offset < self._next:
            self._open.clear()
        self._open[offset] = None
        self._next = offset + 1

    def done(self, offset: int) -> None:
        """What the message asked for is in the store."""
        self._open.pop(offset, None)

    @property
    def committable(self) -> int:
        """The offset from which on messages are to be delivered again."""
        return next(iter(self._open), self._next)
