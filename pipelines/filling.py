"""The space of another recipe, from its first clip to the switch."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pipelines.carry import carry_settled, carry_stored, left_to_carry, work_of
from pipelines.ingest import CorpusRun
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
from pipelines.recipe_change import RecipeChange, changes
from pipelines.refill import RefillFrom
from pipelines.reweigh import carry_weighed, delete_strangers, only_weights_change
from pipelines.settings import IngestSettings
from transforms import interrupt
from transforms.errors import MissingIndex
from transforms.index.ledger import read_entries
from transforms.index.location import IndexLocation
from transforms.index.lock import Run
from transforms.index.manifest import manifest_of
from transforms.index.open import open_reader, open_writer, read_schema, release
from transforms.index.publish import publish
from transforms.index.spaces import (
    SpaceNote,
    delete_note,
    drop_space,
    in_use,
    read_note,
    space_for,
    switch,
    write_note,
)
from transforms.index.store import Reader
from transforms.index.unpublished import is_unpublished, mark_published
from transforms.progress import listener
from transforms.recipe import Recipe
from transforms.records import LedgerEntry, Schema


class Filling:
    """The space of another recipe while it is filled; use it in a `with`, under the index's lock."""

    def __init__(self, settings: IngestSettings, location: IndexLocation, recipe: Recipe, turn: Run) -> None:
        self.location, self.recipe = location, recipe
        self.old, self.change = change_of(location, recipe)
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
            self._begin_again()
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

    def _begin_again(self) -> None:
        """A space that was in use and rolled back is an unfinished one from now on, whatever becomes of this run."""
        if read_note(self.run.store) is not None:
            delete_note(self.run.store)
            publish(self.target, self.run.store, optimize=False)

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


def change_of(location: IndexLocation, recipe: Recipe) -> tuple[Schema, RecipeChange]:
    """The schema of an index, and what another recipe asks of it; raises MissingIndex, MissingWeights."""
    schema = read_schema(location)
    if schema is None:
        raise MissingIndex(f"there is no index here: {location}; make one with `reelvec ingest`")
    recipe.schema()  # says what is missing
    return schema, changes(Recipe.of(schema.settings), recipe, held=schema.vector_fingerprints)
