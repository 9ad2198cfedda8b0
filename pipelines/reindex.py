"""`reindex --recipe`: a change of the recipe and of the corpus in one run."""

from collections.abc import Mapping
from dataclasses import replace

from pipelines.archive import check_archive
from pipelines.budget import ending_in_time, ends_at
from pipelines.filling import Filling
from pipelines.planning import Planned, plan_run
from pipelines.settings import IngestSettings
from pipelines.summary import IngestSummary
from transforms import interrupt
from transforms.errors import SwitchRefused
from transforms.index.ledger import read_entries
from transforms.index.location import IndexLocation
from transforms.index.lock import Run
from transforms.index.spaces import (
    drop_expired,
)
from transforms.plan import Plan
from transforms.progress import listener
from transforms.recipe import Recipe
from transforms.records import LedgerEntry


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
        filling.run.settings = settings.model_copy(update={"archive": None})  # nothing that no search has used
        filling.run.ends_at = ends_at(started, settings.max_hours)
        with ending_in_time(started, settings.max_hours):
            written = filling.fill(before, most=settings.max_videos)
        left = len(before.keys() - read_entries(filling.run.store).keys())
        whole = not left and not interrupt.stopping()
        if not whole:  # embedding the others in full would cost more than bringing them over does
            filling.run.settings = settings.model_copy(update={"archive": None, "max_videos": 0})
        summary = filling.run.run(started)
        summary = replace(summary, clips_written=summary.clips_written + written)
        if not whole or summary.interrupted or summary.videos_deferred:
            listener().message(
                f"searches are answered by recipe {filling.old.recipe_name!r} until all is filled: "
                f"{max(left, summary.videos_deferred)} videos are left to the next run with --recipe"
            )
            return summary
        filling.run.finish(Plan())  # what was brought over, also where the corpus asked for nothing more
        checks = filling.checks((), _where_they_are_now(before, planned.plan))
        if failed := [check for check in checks if not check.passed]:
            raise SwitchRefused(
                f"the vectors of recipe {recipe.name!r} were filled and not switched to: "
                f"{'; '.join(f'{check.name}: {check.sentence}' for check in failed)}; searches are answered as before. "
                "`reelvec migrate --recipe ... --force` switches all the same"
            )
        filling.switch(checks, settings.keep_days)
        filling.run.settings = settings
        filling.run.archive()  # a run that is killed before it: the next one does it
        return summary


def _still_true(planned: Planned, *, to_decode: bool, filled: Mapping[str, LedgerEntry]) -> dict[str, LedgerEntry]:
    """The entries of videos whose bytes are as they were, with what the listing says of them now.

    What was moved is brought over under its old name and moved afterwards; where that would have to be decoded, there
    is no file of that name any more: it is embedded under the other one, with what is kept of its clips (`Refilling`).
    """
    plan = planned.plan
    listed = {video.uri: (video.size_bytes, video.version) for video in planned.listing.videos}
    entries = {**planned.ledger, **{entry.uri: entry for entry in plan.updated}}
    sources = {copy.source_uri for copy in plan.copies}
    if to_decode:
        known = entries.keys() & filled.keys()  # what this run embeds first and then copies is in neither, or in one
        sources = {uri for uri in sources & known if filled[uri].live_content == entries[uri].live_content}
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
