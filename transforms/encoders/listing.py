"""What can be used on this machine, and what the rest of it needs. Imports no library of models.

A row is a model of a family: those that the family's row names, and those in the hub's cache that it can describe.
"""

import os
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from transforms.encoders import hub, weights
from transforms.encoders.cards import PACKAGED, Card
from transforms.encoders.catalog import describe
from transforms.encoders.family import Family, families, family
from transforms.encoders.names import Name
from transforms.encoders.services import key_variable
from transforms.encoders.weights import State
from transforms.errors import MissingKey, MissingPackage, MissingWeights, ReelvecError


@dataclass(frozen=True, slots=True)
class Listed:
    """One model and the truth about it here; None where it is not known before the weights are here."""

    name: str | None  # None where the family wants a file or a model of one's own
    family: str
    model: str | None
    modality: str
    dimensions: int | None
    text_queries: bool | None
    state: State
    cure: str  # "" where nothing more has to be done
    licence: str | None
    accepts: tuple[str, ...]
    space: str | None
    revision: str | None
    real_weights: bool  # whether the project's tests ran this very model
    about: str

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def catalogue(*, family_name: str = "", modality: str = "") -> list[Listed]:
    """Every family with its known models, and the models in the hub's cache that a family can describe.

    Raises UsageError for an unknown family.
    """
    chosen = (family(family_name),) if family_name else families()
    with weights.trusting_the_hub():
        rows = [row for one in chosen for row in _of_family(one)]
    return [row for row in rows if modality in ("", row.modality, *row.accepts)]


def state(name: str) -> tuple[State, str]:
    """Whether an encoder can be used here, and the cure where it cannot. Raises UsageError for an unknown name."""
    found = family(Name.parse(name).family)
    return _state(found, name)[:2]


def _of_family(found: Family) -> Iterator[Listed]:
    if not found.models:
        yield _row(found, None)
    for model in found.models:
        yield _row(found, model)
    if found.weights == "hub" and not found.missing_packages and not found.unavailable:
        for repository in hub.repositories():
            if repository not in found.models and (card := _in_cache(found, repository)):
                yield _row(found, repository, card)


def _in_cache(found: Family, repository: str) -> Card | None:
    """The card of a model in the hub's cache; None where it is no model of this family."""
    try:
        return describe(f"{found.name}:{repository}")
    except Exception:  # what a family says, or trips over, in another's files
        return None


def _row(found: Family, model: str | None, card: Card | None = None) -> Listed:
    name = f"{found.name}:{model}" if model else None
    if card is not None:
        state: State = "available"
        cure = ""
    elif name:
        state, cure, card = _state(found, name)
    else:
        state, cure = _state_of_family(found, found.key)
    return Listed(
        name=name,
        family=found.name,
        model=model,
        modality=card.modality if card else found.modality,
        dimensions=(card.dimensions or None) if card else None,
        text_queries=card.text_queries if card else {"yes": True, "no": False, "by model": None}[found.text_queries],
        state=state,
        cure=cure,
        licence=(card.licence if card else found.licence) or None,
        accepts=card.accepts if card else (),
        space=(card.space if card else "") or None,
        revision=(card.revision if card else "") or None,
        real_weights=found.real_weights and (name in PACKAGED or found.weights != "hub"),
        about=found.about,
    )


def _state_of_family(found: Family, variable: str) -> tuple[State, str]:
    """What is true of a family whatever the model; `variable` holds the key, "" where none is wanted."""
    if found.unavailable:
        return "missing-package", f"none: {found.unavailable}"
    if missing := found.missing_packages:
        return "missing-package", f"pip install 'reelvec[{found.extra}]' ({' and '.join(missing)})"
    if variable and not os.environ.get(variable):
        return "missing-key", f"export {variable}=..."
    if found.weights == "hub":
        return "missing-weights", f"reelvec weights pull --encoder {found.name}:MODEL, or a folder of your own"
    if found.weights == "corpus":
        return "available", f"reelvec fit text {found.name} --out FOLDER, then {found.name}:./FOLDER"
    return "available", ""


def _state(found: Family, name: str) -> tuple[State, str, Card | None]:
    """A model's state, the cure, and its card as far as it can be told here."""
    variable = key_variable(Name.parse(name)) if found.weights == "service" else ""
    state, cure = _state_of_family(found, variable)
    if state == "missing-package":
        return state, cure, None
    try:
        card = describe(name)
    except MissingWeights:
        return "missing-weights", f"reelvec weights pull --encoder {shlex.quote(name)}", None
    except MissingPackage as error:
        return "missing-package", str(error), None
    except MissingKey as error:
        return "missing-key", str(error), None
    except ReelvecError as error:
        if found.weights == "service":  # the name must say more
            return state, cure or str(error), None
        return "missing-weights", str(error), None
    except Exception as error:  # one broken folder must not hide the other models
        return "missing-weights", f"cannot be described: {type(error).__name__}: {error}", None
    if state == "missing-key":
        return state, cure, card
    return _state_of_card(card)


def _state_of_card(card: Card) -> tuple[State, str, Card]:
    """Whether everything that a card pins is here; the cure names the first thing that is not."""
    found = weights.state(card)
    for one in card.weights if found != "available" else ():
        try:
            weights.verify(one)
        except MissingWeights as error:
            return found, str(error), card
    return found, "", card
