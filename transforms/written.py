"""What a recipe's file says, before anything is made of it: every section a table, every value of its kind."""

import math
from collections.abc import Mapping
from typing import Any

from transforms.errors import UsageError


def check_kinds(settings: Mapping[str, Any], defaults: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UsageError for a value that is of another kind than its key wants.

    In a section of `defaults` a value is of the kind of its default; other sections hold the names of encoders, with
    options of any single kind.
    """
    name = settings.get("name")
    if not isinstance(name, str) or not name:
        raise UsageError(f'a recipe has a name, a text: name = "my-recipe"; this one has name={name!r}')
    for section, table in settings.items():
        if section == "name":
            continue
        if not isinstance(table, Mapping):
            raise UsageError(f"{section} is a section, [{section}] with a key = value in each line below: {table!r}")
        for key, value in table.items():
            _check_value(section, str(key), value, defaults.get(section))


def _check_value(section: str, key: str, value: Any, defaults: Mapping[str, Any] | None) -> None:
    if defaults is not None and key not in defaults:
        raise UsageError(f"[{section}] has no setting {key!r}; it has {', '.join(defaults)}")
    if defaults is not None:
        fits, wanted = _like(value, defaults[key])
    elif section == "quantization" or key in ("encoder", "choice"):
        fits, wanted = isinstance(value, str), "a text in quotes"
    else:
        parts = value if isinstance(value, list | tuple) else [value]
        fits = all(isinstance(part, str | bool) or _is_number(part) for part in parts)
        wanted = "a text, a number, true or false, or a list of them"
    if not fits:
        raise UsageError(f"[{section}] {key} is {wanted}: {key}={value!r}")


def _like(value: Any, default: Any) -> tuple[bool, str]:
    """Whether a value is of its default's kind, and what that is."""
    if isinstance(default, bool):
        return isinstance(value, bool), "true or false"
    if isinstance(default, str):
        return isinstance(value, str), "a text in quotes"
    if isinstance(default, list | tuple):
        return isinstance(value, list | tuple) and all(map(_is_number, value)), "a list of numbers, [1.0, 2.0]"
    return _is_number(value), "a finite number"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
