"""What can be asked of an index, checked before anything is looked up."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from transforms.errors import UsageError
from transforms.index.query import AUTO, EVERY_CLIP
from transforms.index.store import Where

#: Words for a place in a video, as the share of it that has passed.
PLACES: Mapping[str, float] = {"opening": 0.0, "middle": 0.5, "end": 1.0}


#: What a hit is.
LEVELS = ("clip", "video")


def check_level(level: str, *, pooled: bool) -> None:
    """Raise UsageError for a level that does not exist, and for clips that are to be found by their whole video."""
    if level not in LEVELS:
        raise UsageError(f"--level is {' or '.join(LEVELS)}: {level!r}")
    if pooled and level != "video":
        raise UsageError("--pooled compares whole videos: it needs --level video")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question with its conditions; times are seconds since a video's start, as a player counts them.

    Without a text it asks about time alone. Raises UsageError for what contradicts itself.
    """

    text: str = ""
    by: str = AUTO
    limit: int = 10
    where: Where = EVERY_CLIP
    then: str | None = None  # what comes after `text`: in the same clip, and `within_seconds` also in a later one
    within_seconds: float | None = None
    near_seconds: float | None = None  # ranks by time as well
    at: float | None = None  # the same, by the share of the video that has passed, 0 to 1
    between_seconds: tuple[float, float] | None = None  # only clips that overlap this half-open span
    weights: Mapping[str, float] = field(default_factory=dict, hash=False)  # of by="weighted"; empty: the recipe's
    level: str = "clip"  # or "video": one hit a video, which is its whole span
    pooled: bool = False  # videos by the vectors of the whole video, not by their best clip

    def __post_init__(self) -> None:
        self._check_text()
        self._check_time()
        check_level(self.level, pooled=self.pooled)
        if self.level == "video" and (self.then is not None or self.is_about_time):
            raise UsageError("--level video asks for whole videos: it goes without --then, --near, --at and --between")
        if self.limit < 1:
            raise UsageError(f"at least one hit is asked for: limit={self.limit}")
        if self.weights and self.by != "weighted":
            raise UsageError(f"weights belong to --by weighted: by={self.by!r}")
        if self.weights and self.then is not None and self.within_seconds is None:
            raise UsageError("--then looks for an order of pictures, which weights do not change: they need --within")

    @property
    def is_about_time(self) -> bool:
        """Whether the answer depends on when something happens."""
        return any(value is not None for value in (self.near_seconds, self.at, self.between_seconds))

    @property
    def texts(self) -> tuple[str, ...]:
        """What is looked for, in order; nothing where the question is about time alone."""
        return tuple(text for text in (self.text, self.then) if text)

    def _check_text(self) -> None:
        if not self.text.strip() and (self.text or self.then is not None or not self.is_about_time):
            raise UsageError("there is nothing to search for: the question is empty")
        if self.then is not None and not self.then.strip():
            raise UsageError("there is nothing to come after: the text of --then is empty")
        if self.within_seconds is not None and self.then is None:
            raise UsageError("--within says how soon something follows: it needs a --then")
        if self.then is not None and (self.near_seconds is not None or self.at is not None):
            raise UsageError("--then orders two things in time: it goes with --between, not with --near or --at")

    def _check_time(self) -> None:
        times = {"near": self.near_seconds, "within": self.within_seconds}
        for name, seconds in times.items():
            if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
                raise UsageError(f"a time is a number of seconds that is not negative: --{name} {seconds:g}")
        if self.near_seconds is not None and self.at is not None:
            raise UsageError("--near and --at both say when: give one of them")
        if self.at is not None and not 0.0 <= self.at <= 1.0:
            raise UsageError(f"--at is {', '.join(PLACES)} or a share from 0 to 1: {self.at:g}")
        if self.between_seconds is not None:
            start, end = self.between_seconds
            if not 0 <= start < end < math.inf:
                raise UsageError(f"--between ends after it starts: {start:g} and {end:g} seconds")
