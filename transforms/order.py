"""The place of an event among the events of one video: text that two events are compared by.

Events come late, twice and in any order. What decides is what their source counts by (the generation of an object in
a bucket, the sequencer of one), where both events have it, else the time that they carry. Of one and the same version
the deletion comes after the creation, so that it outlives a creation that arrives late.
"""

from typing import Literal

#: Nanoseconds since 1970, UTC; nothing that has a date on it needs more digits.
_TIME_DIGITS, _COUNT_DIGITS, _SEQUENCER_DIGITS = 20, 20, 64


def place(
    time_ns: int, *, generation: int | None = None, sequencer: str = "", kind: Literal["create", "delete"] = "create"
) -> str:
    """The place of an event; `generation` counts up, `sequencer` is hexadecimal and compares digit by digit."""
    count = ""
    if generation is not None:
        count = f"g{generation:0{_COUNT_DIGITS}d}"
    elif sequencer:
        count = f"s{sequencer.upper().ljust(_SEQUENCER_DIGITS, '0')}"
    return f"{time_ns:0{_TIME_DIGITS}d}/{count}/{int(kind == 'delete')}"


def is_older(one: str, other: str) -> bool:
    """Whether `one` comes before `other`; a place that is not known ("") is before and after nothing."""
    if not one or not other:
        return False
    time, count, deletes = one.split("/")
    other_time, other_count, other_deletes = other.split("/")
    if count and other_count and count[0] == other_count[0]:
        return (count, deletes) < (other_count, other_deletes)
    return (time, deletes) < (other_time, other_deletes)


def newest(one: str, other: str) -> str:
    """The later of two places; of equal ones the first."""
    return other if not one or is_older(one, other) else one


def seconds_of(one: str) -> float | None:
    """When an event happened, in Unix seconds; None where its place is not known."""
    return int(one.partition("/")[0]) / 1e9 if one else None
