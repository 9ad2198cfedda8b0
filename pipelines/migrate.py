"""The change of a recipe: another space is filled beside the one in use, checked, and put in use in one step.

Searches are answered by the space in use all the while. A migration that was killed goes on where it was when the same
recipe is asked for again; until the switch nothing of the index in use is touched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pipelines.archive import check_archive
from pipelines.budget import ending_in_time
from pipelines.carry import carry_settled, carry_stored, left_to_carry, work_of
from pipelines.ingest import CorpusRun, check_free_space
from pipelines.migration_checks import (
    Canary,
    Check,
    check_canaries,
    check_counts,
    check_health,
    check_neighbours,
    check_points,
    check_unmixed,
    sampled_canaries,
)
from pipelines.planning import Planned, plan_run
from pipelines.recipe_change import RecipeChange, changes
from pipelines.refill import RefillFrom
from pipelines.reweigh import carry_weighed, delete_strangers, only_weights_change
from pipelines.settings import IngestSettings
from pipelines.summary import IngestSummary
from transforms import heap, interrupt
from transforms.errors import MissingIndex, SwitchRefused, UsageError
from transforms.index.ledger import read_entries
from transforms.index.location import IndexLocation
from transforms.index.lock import Run, writing
from transforms.index.manifest import manifest_of
from transforms.index.open import open_reader, open_writer, read_schema, release
from transforms.index.publish import publish
from transforms.index.spaces import (
    SpaceNote,
    drop_space,
    in_use,
    left_behind,
    read_note,
    space_for,
    spaces_of,
    switch,
    write_note,
)
from transforms.index.store import Reader
from transforms.index.unpublished import is_unpublished, mark_published
from transforms.plan import Plan
from transforms.progress import listener
from transforms.recipe import Recipe, load_recipe
from transforms.records import LedgerEntry, Schema

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
    old, change = _change(location, recipe)
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
            filling.run.finish(Plan())
            checks = filling.checks(canaries)
            if not force and not all(check.passed for check in checks):
                return replace(planned, state="refused", clips_written=written, checks=tuple(checks))
            note = filling.switch(checks, keep_days)
    return replace(planned, state="switched", clips_written=written, checks=tuple(checks), keep_until=note.keep_until)


def reindex_by_another_recipe(
    settings: IngestSettings, location: IndexLocation, recipe: Recipe, turn: Run, started: float
) -> IngestSummary:
    """One run into another space: what did not change is brought over, the rest is embedded; then the switch.

    Where the budget ends first, or somebody stops it, what was done stays, and the next run with this recipe goes on.
    Raises SwitchRefused where a check is not passed.
    """
    if settings.archive is not None:  # before hours of filling, not after them
        check_archive(settings.archive, recipe.schema(), location)
    drop_expired(location)
    with Filling(settings, location, recipe, turn) as filling:
        planned = plan_run(filling.donor, location, settings)
        before = _still_true(planned, to_decode=filling.change.must_decode, filled=read_entries(filling.run.store))
        with ending_in_time(started, settings.max_hours):
            written = filling.fill(before, most=settings.max_videos)
        left = len([uri for uri in before if uri not in read_entries(filling.run.store)])
        whole = not left and not interrupt.stopping()
        if not whole:  # embedding the others in full would cost more than bringing them over does
            filling.run.settings = settings.model_copy(update={"max_videos": 0})
        summary = filling.run.run(started)
        summary = replace(summary, clips_written=summary.clips_written + written)
        if not whole or summary.interrupted or summary.videos_deferred:
            listener().message(
                f"searches are answered by recipe {filling.old.recipe_name!r} until all is filled: "
                f"{max(left, summary.videos_deferred)} videos are left to the next run with --recipe"
            )
            return summary
        checks = filling.checks((), _where_they_are_now(before, planned.plan))
        if failed := [check for check in checks if not check.passed]:
            raise SwitchRefused(
                f"the vectors of recipe {recipe.name!r} were filled and not switched to: "
                f"{'; '.join(f'{check.name}: {check.sentence}' for check in failed)}; searches are answered as before. "
                "`reelvec migrate --recipe ... --force` switches all the same"
            )
        filling.switch(checks, settings.keep_days)
        return summary


def _still_true(planned: Planned, *, to_decode: bool, filled: Mapping[str, LedgerEntry]) -> dict[str, LedgerEntry]:
    """The entries of videos whose bytes are as they were, with what the listing says of them now.

    What was moved is brought over under its old name and moved afterwards; where that would have to be decoded, there
    is no file of that name any more, and it is new under the other one.
    """
    plan = planned.plan
    listed = {video.uri: (video.size_bytes, video.version) for video in planned.listing.videos}
    entries = {**planned.ledger, **{entry.uri: entry for entry in plan.updated}}
    sources = {copy.source_uri for copy in plan.copies}
    if to_decode:
        sources = {uri for uri in sources if uri in filled and filled[uri].live_content == entries[uri].live_content}
    gone = {entry.uri for entry in plan.gone} - sources
    return {
        uri: entry
        for uri, entry in entries.items()
        if uri not in gone and listed.get(uri, _seen(entry)) == _seen(entry)
    }


def _where_they_are_now(before: Mapping[str, LedgerEntry], plan: Plan) -> dict[str, LedgerEntry]:
    """What has to be found after the run: a moved video under its new name."""
    names = {copy.source_uri: copy.video.uri for copy in plan.copies if copy.moved}
    return {names.get(uri, uri): entry for uri, entry in before.items()}


def _seen(entry: LedgerEntry) -> tuple[int, str]:
    return entry.size_bytes, entry.version


class Filling:
    """The space of another recipe while it is filled; use it in a `with`, under the index's lock."""

    def __init__(self, settings: IngestSettings, location: IndexLocation, recipe: Recipe, turn: Run) -> None:
        self.location, self.recipe = location, recipe
        self.old, self.change = _change(location, recipe)
        self.home = in_use(location)
        self._publish_before()
        self.target = space_for(location, recipe.schema(), self.home.space)
        self.refill = None if self.change.recut else RefillFrom(self.home, self.change)
        self.weighing = self.home.kind == "edge" and only_weights_change(self.old, recipe, self.change)
        self.donor: Reader = open_reader(self.home)
        try:
            self.before = read_entries(self.donor)
            if self.weighing:
                self._begin_as_twin()
            self.run = CorpusRun(settings, self.target, recipe, turn, refill=self.refill)
        except BaseException:
            self.donor.close()
            raise

    def __enter__(self) -> "Filling":
        return self

    def __exit__(self, *_: object) -> None:
        self.run.close()
        self.donor.close()

    def fill(self, before: Mapping[str, LedgerEntry] | None = None, *, most: int | None = None) -> int:
        """Bring over what is not there yet, at most so many videos; gives the number of clips written."""
        carrying = left_to_carry(self.before if before is None else before, self.run.store)
        carry_settled(self.run.store, carrying, self.recipe)
        live = carrying.live[:most]
        if not live or interrupt.stopping():
            return 0
        if self.change.must_decode or self.refill is None:
            return self.run.embed(work_of(live))
        listener().planned(len(live))
        written = 0
        if self.weighing:
            written, live = self._weigh(live, before)
        return written + carry_stored(self.donor, self.run.store, live, self.recipe, self.refill)

    def _begin_as_twin(self) -> None:
        """The target is a copy of the space in use, as that is now; one that was filled otherwise goes on as it was."""
        from transforms.index.twin import began_as_twin, is_twin, make_twin

        if began_as_twin(self.target) and not is_twin(self.home, self.target):
            drop_space(self.location, self.target.space)
        if not self.target.path.exists():
            make_twin(self.home, self.target, self.recipe.schema())
        self.weighing = is_twin(self.home, self.target)

    def _weigh(
        self, live: Sequence[LedgerEntry], before: Mapping[str, LedgerEntry] | None
    ) -> tuple[int, tuple[LedgerEntry, ...]]:
        """Weigh the blocks of these videos again; gives the clips that are done, and the videos that are not."""
        from transforms.index.edge import EdgeStore

        store = self.run.store
        assert isinstance(store, EdgeStore)
        delete_strangers(store, list(self.before), set(self.before if before is None else before))
        relabelled = tuple(entry for entry in live if entry.metadata != self.before[entry.uri].metadata)
        same = [entry for entry in live if entry.metadata == self.before[entry.uri].metadata]
        done = carry_weighed(self.donor, store, same, Recipe.of(self.old.settings), self.recipe)
        return done.clips, (*done.left, *relabelled)

    def checks(self, canaries: Sequence[Canary], before: Mapping[str, LedgerEntry] | None = None) -> list[Check]:
        """Look at the filled space as a search would."""
        reader = open_reader(self.target)
        try:
            after = read_entries(reader)
            found = [
                check_counts(self.before if before is None else before, after, recut=self.change.recut),
                check_points(reader, after),
                check_unmixed(reader),
                *check_health(reader),
                *check_neighbours(reader),
            ]
            asked = list(canaries) or sampled_canaries(self.donor)
            return [*found, check_canaries(asked, self.donor, reader, recut=self.change.recut)] if asked else found
        finally:
            reader.close()

    def switch(self, checks: Sequence[Check], keep_days: float) -> SpaceNote:
        """Lead searches to the filled space."""
        now = datetime.now(UTC)
        note = SpaceNote(
            switched_at=now.isoformat(timespec="seconds"),
            replaces=self.home.space,
            manifest=manifest_of(self.old),
            keep_until=(now + timedelta(days=keep_days)).isoformat(timespec="seconds"),
            checks=tuple(check.as_json() for check in checks),
        )
        write_note(self.run.store, note)
        publish(self.target, self.run.store, optimize=False)
        mark_published(self.target)
        switch(self.location, self.target.space, manifest_of(self.recipe.schema()))
        return note

    def _publish_before(self) -> None:
        """What a killed run committed and nobody saw is published first: it is what is carried over."""
        if is_unpublished(self.home):
            store = open_writer(self.home, self.old)
            try:
                publish(self.home, store, optimize=False)
                mark_published(self.home)
            finally:
                store.close()
                release(self.home)


def roll_back(location: IndexLocation, *, wait: bool) -> Migration:
    """Put the space before in use again, in one step. Raises UsageError where there is none, or none any more."""
    schema = read_schema(location)
    if schema is None:
        raise MissingIndex(f"there is no index at {location}")
    with writing(location, command="migrate --rollback", wait=wait):
        note = _note_of(location)
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


def drop_expired(location: IndexLocation, *, now: datetime | None = None) -> tuple[str, ...]:
    """Delete the space before once the time for which it was kept is over; gives what was deleted."""
    note = _note_of(location)
    moment = now or datetime.now(UTC)
    if note is None or datetime.fromisoformat(note.keep_until) > moment or note.replaces not in spaces_of(location):
        return ()
    drop_space(location, note.replaces)
    return (note.replaces,)


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


def _change(location: IndexLocation, recipe: Recipe) -> tuple[Schema, RecipeChange]:
    schema = read_schema(location)
    if schema is None:
        raise MissingIndex(f"there is no index here: {location}; make one with `reelvec ingest`")
    recipe.schema()  # says what is missing
    return schema, changes(Recipe.of(schema.settings), recipe, held=schema.vector_fingerprints)


def _note_of(location: IndexLocation) -> SpaceNote | None:
    reader = open_reader(location)
    try:
        return read_note(reader)
    finally:
        reader.close()


def _begin() -> None:
    heap.share_heaps()  # before Beam and the models start threads of their own
    interrupt.reset()
