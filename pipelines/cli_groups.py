"""Options that belong together as the fields of a dataclass, which a command's signature shows one by one."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

_BY_NAME = inspect.Parameter.KEYWORD_ONLY


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with each parameter that is a dataclass taken apart into its fields, as typer wants them.

    Every field has a default, and no two have one name; ValueError otherwise.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[type[Any], tuple[str, ...]]] = {}
    shown: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if not is_dataclass(kind):
            shown.append(parameter.replace(annotation=kind, kind=_BY_NAME))
            continue
        assert isinstance(kind, type), "a parameter is annotated with a class"
        own = get_type_hints(kind, include_extras=True)
        groups[name] = kind, tuple(field.name for field in fields(kind))
        for field in fields(kind):
            if field.default is MISSING:
                raise ValueError(f"an option of a group has a default: {kind.__name__}.{field.name}")
            shown.append(inspect.Parameter(field.name, _BY_NAME, default=field.default, annotation=own[field.name]))

    def called(**given: Any) -> None:
        for name, (kind, names) in groups.items():
            given[name] = kind(**{each: given.pop(each) for each in names})
        command(**given)

    signature = inspect.Signature(shown)  # ValueError for a name that comes twice
    called.__name__, called.__doc__, called.__module__ = command.__name__, command.__doc__, command.__module__
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    called.__signature__ = signature  # type: ignore[attr-defined]  # what inspect, and so typer, looks at first
    return called
