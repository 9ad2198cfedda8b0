"""The change of a recipe: another space is filled beside the one in use, checked, and put in use in one step.

Searches are answered by the space in use all the while. A migration that was killed goes on where it was when the same
recipe is asked for again; until the switch nothing of the index in use is touched.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pipelines.filling import Filling, change_of
from pipelines.ingest import check_free_space
from pipelines.migration_checks import (
    Canary,
    Check,
)
from pipelines.settings import IngestSettings
from transforms import heap, interrupt
from transforms.errors import MissingIndex, UsageError
from transforms.index.ledger import read_entries
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.index.open import open_reader, read_schema
from transforms.index.spaces import (
    drop_expired,
    drop_space,
    in_use,
    left_behind,
    note_of,
    space_for,
    spaces_of,
    switch,
)
from transforms.plan import Plan
from transforms.recipe import Recipe, load_recipe

State = Literal["unchanged", "planned", "interrupted", "refused", "switched", "rolled back"]


@dataclass(frozen=True, slots=True)
class Migration:
    """What became of a migration."""

    state: State
    index: str
    recipe_before: str
    recipe: str
    vectors: tuple[tuple[str, str], ...] = ()  # (name, keep or from_stored or decode)
    must_decode: int = 0  # videos
    videos: int = 0
    clips_written: int = 0
    checks: tuple[Check, ...] = ()
    keep_until: str | None = None
    space: str = ""

    def as_json(self) -> dict[str, Any]:
        """As `migrate --json` prints it."""
        return {**asdict(self), "vectors": dict(self.vectors), "checks": [check.as_json() for check in self.checks]}


def plan_migration(location: IndexLocation, recipe: Recipe) -> Migration:
    """What a migration to this recipe would do; nothing is changed."""
    old, change = change_of(location, recipe)
    reader = open_reader(location)
    try:
        entries = read_entries(reader).values()
    finally:
        reader.close()
    live = [entry for entry in entries if entry.live_content]
    return Migration(
        state="unchanged" if change.empty else "planned",
        index=str(location),
        recipe_before=old.recipe_name,
        recipe=recipe.name,
        vectors=tuple((vector.name, vector.how) for vector in change.vectors),
        must_decode=len(live) if change.must_decode else 0,
        videos=len(live),
        space=space_for(location, recipe.schema(), in_use(location).space).space,
    )


def migrate(
    settings: IngestSettings,
    recipe_name: str,
    *,
    canaries: Sequence[Canary] = (),
    keep_days: float = 7.0,
    force: bool = False,
) -> Migration:
    """Fill, check and switch. Raises UsageError, Outage, IndexLocked; what was filled stays for the next try."""
    location = IndexLocation.parse(settings.index)
    recipe = load_recipe(recipe_name)
    planned = plan_migration(location, recipe)
    if planned.state == "unchanged":
        return planned
    _begin()
    with writing(location, command=f"migrate to {recipe.name}", wait=settings.wait) as turn:
        drop_expired(location)
        check_free_space(location, settings.min_free_megabytes)
        with Filling(settings, location, recipe, turn) as filling:
            written = filling.fill()
            if interrupt.requested():
                return replace(planned, state="interrupted", clips_written=written)
            filling.run.upgrade_payloads(read_entries(filling.run.store))
            filling.run.finish(Plan())
            checks = filling.checks(canaries)
            if not force and not all(check.passed for check in checks):
                return replace(planned, state="refused", clips_written=written, checks=tuple(checks))
            note = filling.switch(checks, keep_days)
    return replace(planned, state="switched", clips_written=written, checks=tuple(checks), keep_until=note.keep_until)


def roll_back(location: IndexLocation, *, wait: bool) -> Migration:
    """Put the space before in use again, in one step. Raises UsageError where there is none, or none any more."""
    schema = read_schema(location)
    if schema is None:
        raise MissingIndex(f"there is no index at {location}")
    with writing(location, command="migrate --rollback", wait=wait):
        note = note_of(location)
        if note is None:
            raise UsageError(f"the index never migrated, so there is nothing to go back to: {location}")
        if note.replaces not in spaces_of(location):
            raise UsageError(
                f"the space before is gone: {location} kept it until {note.keep_until}; migrate to its recipe again"
            )
        switch(location, note.replaces, note.manifest)
    before = read_schema(location)
    assert before is not None
    return Migration("rolled back", str(location), schema.recipe_name, before.recipe_name, space=note.replaces)


def abandon(location: IndexLocation, *, wait: bool) -> tuple[str, ...]:
    """Delete what unfinished migrations filled; gives the names of what was deleted."""
    if read_schema(location) is None:  # a wrong path must not leave an empty folder behind
        raise MissingIndex(f"there is no index at {location}")
    with writing(location, command="migrate --abandon", wait=wait):
        spaces = left_behind(location)
        for space in spaces:
            drop_space(location, space)
    return spaces


def read_canaries(path: Path, media: Path) -> list[Canary]:
    """Questions of a labelled table, as `evaluate` takes them, each with the videos that are right."""
    from pipelines.questions import read_questions

    return [Canary(question.text, tuple(question.relevant)) for question in read_questions(path, media=media)]


def _begin() -> None:
    heap.share_heaps()  # before Beam and the models start threads of their own
    interrupt.reset()
