"""Records <-> plain values (dicts, lists, text, numbers), as JSON and payloads hold them."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

Read = Callable[[Any], Any]


def to_plain(value: Any) -> Any:
    """Dataclasses become dicts, tuples become lists; everything else is itself."""
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[T], value: Mapping[str, Any]) -> T:
    """What `to_plain` made, as the record that it was; fields that are missing take their defaults."""
    readers = _readers(kind)
    return kind(**{name: _read(value[name], read) for name, read in readers if name in value})


def _read(value: Any, read: Read | None) -> Any:
    return value if read is None or value is None else read(value)


@cache
def _readers(kind: Any) -> tuple[tuple[str, Read | None], ...]:
    """For each field its name and what makes it from plain values; None where it is plain itself."""
    hints = get_type_hints(kind)
    return tuple((field.name, _reader(hints[field.name])) for field in fields(kind))


def _reader(hint: Any) -> Read | None:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        records = [argument for argument in arguments if is_dataclass(argument)]
        return _reader(records[0]) if records else None
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is ...:
            own = _reader(arguments[0])
            return tuple if own is None else lambda items: tuple(own(item) for item in items)
        own_readers = [_reader(argument) for argument in arguments]
        return lambda items: tuple(map(_read, items, own_readers))
    record: Any = hint
    return (lambda value: from_plain(record, value)) if is_dataclass(hint) else None
