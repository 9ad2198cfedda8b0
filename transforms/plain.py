"""Records <-> plain values (dicts, lists, text, numbers), as JSON and payloads hold them."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def to_plain(value: Any) -> Any:
    """Dataclasses become dicts, tuples become lists; everything else is itself."""
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[T], value: Mapping[str, Any]) -> T:
    """What `to_plain` made, as the record that it was; fields that are missing take their defaults."""
    hints: dict[str, Any] = _hints(kind)
    given = {field.name: _typed(hints[field.name], value[field.name]) for field in fields(kind) if field.name in value}
    return kind(**given)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _typed(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        records: list[Any] = [argument for argument in arguments if is_dataclass(argument)]
        return from_plain(records[0], value) if records and isinstance(value, dict) else value
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is ...:
            return tuple(_typed(arguments[0], item) for item in value)
        return tuple(_typed(argument, item) for argument, item in zip(arguments, value, strict=True))
    kind: Any = hint
    return from_plain(kind, value) if is_dataclass(hint) else value
