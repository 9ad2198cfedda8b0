"""Encoders that are made of others: a second tower, the text encoder of class names, the encoder of crops."""

from collections.abc import Sequence

from transforms.encoders.family import family
from transforms.encoders.names import Name
from transforms.errors import MissingPackage


def parts_of(name: Name) -> tuple[str, ...]:
    """The encoders whose weights this one needs beside its own; raises MissingPackage for a family that none can use.

    None where the family's packages are missing: its code alone knows them.
    """
    row = family(name.family)
    if row.unavailable:
        raise MissingPackage(f"{name.shown} cannot be used, on no machine: {row.unavailable}")
    parts = None if row.missing_packages else getattr(row.load_module(), "parts", None)
    return tuple(parts(name)) if parts else ()


def of_parts(name: Name, parts: Sequence[str]) -> Name:
    """The name with these in the place of its parts, in the order of `parts_of`."""
    made: Name = family(name.family).load_module().of_parts(name, parts)
    return made


def with_parts(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once, and those of their parts and of the parts' parts."""
    found: dict[str, None] = {}
    left = list(names)
    while left:
        name = left.pop(0)
        if name not in found:
            found[name] = None
            left = [*parts_of(Name.parse(name)), *left]
    return tuple(found)
