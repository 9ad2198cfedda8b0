"""Which names a glob means: matched component by component, as a shell does.

A state is how many components of the pattern are used up. `**` may stand for no folder or for many, so a path can be
in several states at once. Names that begin with a dot are left out unless the pattern says the dot.
"""

import fnmatch
from functools import lru_cache

_EVERYTHING = ("**",)


def components(pattern: str) -> tuple[str, ...]:
    """The components of a pattern; those of none mean everything."""
    return tuple(pattern.split("/")) if pattern else _EVERYTHING


def start(wanted: tuple[str, ...]) -> frozenset[int]:
    """The states before the first component of a path."""
    return _with_skips(0, wanted)


def advance(states: frozenset[int], name: str, wanted: tuple[str, ...]) -> frozenset[int]:
    """The states after one more component of the path; none: nothing below can match.

    All that lies below a folder that matches is wanted, as when a shell names that folder.
    """
    hidden = name.startswith(".")
    reached: frozenset[int] = frozenset()
    for state in states:
        if state == len(wanted) or wanted[state] == "**":
            if not hidden:
                reached |= _with_skips(state, wanted)
        elif (not hidden or wanted[state].startswith(".")) and fnmatch.fnmatchcase(name, wanted[state]):
            reached |= _with_skips(state + 1, wanted)
    return reached


@lru_cache(maxsize=1024)
def _with_skips(state: int, wanted: tuple[str, ...]) -> frozenset[int]:
    states = {state}
    while state < len(wanted) and wanted[state] == "**":
        state += 1
        states.add(state)
    return frozenset(states)


def matches(names: list[str], wanted: tuple[str, ...]) -> bool:
    """Whether a path, given as its components, is wanted."""
    states = start(wanted)
    for name in names:
        states = advance(states, name, wanted)
    return len(wanted) in states
