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

_NOTHING: Mapping[str, dict[Any, Any]] = {}


def to_plain(value: Any) -> Any:
    """Dataclasses become dicts, tuples become lists; everything else is itself."""
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[T], value: Mapping[str, Any], *, common: Mapping[str, dict[Any, Any]] = _NOTHING) -> T:
    """What `to_plain` made, as the record that it was; fields that are missing take their defaults.

    Of the fields that `common` names each value is held once for all records, in the dict that it has for them.
    """
    names, readers = _fields(kind)
    held = {name: value[name] for name in names if name in value}
    for name, read in readers:
        if held.get(name) is not None:
            held[name] = read(held[name])
    for name, values in common.items():
        if name in held:
            held[name] = values.setdefault(held[name], held[name])
    return kind(**held)


def _read(value: Any, read: Read | None) -> Any:
    return value if read is None or value is None else read(value)


@cache
def _fields(kind: Any) -> tuple[tuple[str, ...], tuple[tuple[str, Read], ...]]:
    """The names of all fields; and, for those that are not plain themselves, what makes them from plain values."""
    hints = get_type_hints(kind)
    names = tuple(field.name for field in fields(kind))
    readers = ((name, _reader(hints[name])) for name in names)
    return names, tuple((name, read) for name, read in readers if read is not None)


def _reader(hint: Any) -> Read | None:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        records = [argument for argument in arguments if is_dataclass(argument)]
        return _reader(records[0]) if records else None
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is ...:
            own = _reader(arguments[0])
            return tuple if own is None else lambda items: tuple(map(own, items))
        own_readers = [_reader(argument) for argument in arguments]
        if not any(own_readers):  # an index has tens of thousands of these, and nothing of them is to be looked at
            return tuple
        return lambda items: tuple(map(_read, items, own_readers))
    record: Any = hint
    return (lambda value: from_plain(record, value)) if is_dataclass(hint) else None
