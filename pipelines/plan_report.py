"""A dry run: what the next run would do, which vectors it would compute and why, how long and for how much money."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.estimates import Corpus, Prices
from pipelines.planning import Planned, plan_run
from pipelines.recipe_change import RecipeChange, VectorChange, changes
from pipelines.run_log import past_runs, speed_of
from pipelines.settings import IngestSettings
from transforms.errors import MissingIndex
from transforms.index.location import IndexLocation
from transforms.index.lock import holder
from transforms.index.open import open_reader
from transforms.index.payloads import outdated
from transforms.recipe import Recipe
from transforms.records import LedgerEntry, Schema, Work
from transforms.uris import shown


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a run would do; a listed video is new, changed, retried, moved, copied, unchanged, rejected or skipped."""

    index: str
    recipe: str
    new: int
    changed: int
    moved: int
    copied: int
    unchanged: int
    gone: int
    retried: int  # rejected before, and tried again
    rejected: int  # and not tried again
    updated: int  # of the unchanged ones: another time stamp or other metadata to note
    skipped: int
    vectors: Mapping[str, int | None]  # how many clips they would be computed for, at most; None: unknown
    why: Mapping[str, str]
    how: Mapping[str, str]  # of the vectors of clips that are in the index: keep, from_stored, decode
    must_decode: int  # videos
    payloads: int  # clips whose payloads alone would be rewritten
    estimated_clips: int | None
    estimated_seconds_of_video: float | None
    estimated_seconds: float | None
    estimated_cost_usd: float | None
    notes: tuple[str, ...] = ()  # what the estimates rest on, and what they lack
    writer: str | None = None  # who is writing the index meanwhile
    problems: tuple[str, ...] = ()
    videos: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by what becomes of them

    @property
    def work(self) -> bool:
        """Whether a run would do anything."""
        counts = (self.new, self.changed, self.moved, self.copied, self.gone, self.retried, self.updated)
        return any(counts) or bool(self.payloads) or any(how != "keep" for how in self.how.values())


def dry_run(settings: IngestSettings, recipe: Recipe, prices: Prices | None) -> PlanReport:
    """Plan a run without a lock and without writing: an index that does not exist yet counts as an empty one.

    Of an Edge index it sees what was published last. Raises what a run would raise while it plans.
    """
    location = IndexLocation.parse(settings.index)
    try:
        reader = open_reader(location)
    except MissingIndex:
        return _reported(settings, recipe, prices, None, plan_run(None, location, settings))
    try:
        planned, schema = plan_run(reader, location, settings), reader.schema
    finally:
        reader.close()
    return _reported(settings, recipe, prices, schema, planned)


def recipe_change(recipe: Recipe, schema: Schema | None) -> RecipeChange:
    """What a recipe asks of an index; of one that does not exist: every vector of what will be in it."""
    if schema is None:
        return RecipeChange(tuple(VectorChange(name, "keep", "") for name in recipe.vector_fingerprints()))
    return changes(Recipe.of(schema.settings), recipe, held=schema.vector_fingerprints)


def _reported(
    settings: IngestSettings, recipe: Recipe, prices: Prices | None, schema: Schema | None, planned: Planned
) -> PlanReport:
    location = IndexLocation.parse(settings.index)
    plan, ledger = planned.plan, planned.ledger
    change = recipe_change(recipe, schema)
    kinds: dict[str, list[str]] = {}
    for work in plan.to_embed:
        kinds.setdefault(_kind(work, ledger.get(work.video.uri)), []).append(shown(work.video.uri))
    for copy in plan.copies:
        kinds.setdefault("moved" if copy.moved else "copied", []).append(shown(copy.video.uri))
    moved_from = {copy.source_uri for copy in plan.copies if copy.moved}
    kinds["gone"] = [shown(entry.uri) for entry in plan.gone if entry.uri not in moved_from]
    count = Counter({kind: len(videos) for kind, videos in kinds.items()})

    fresh = Corpus() if not plan.to_embed else Corpus.of(ledger.values()).expect(plan.to_embed)
    brought_over = [] if change.empty else _brought_over(planned)
    kept = Corpus.of(brought_over)
    kept_clips = round(kept.seconds / _step_seconds(recipe)) if change.recut else kept.clips
    vectors = {
        one.name: None if fresh is None else fresh.clips + (kept_clips if one.how != "keep" else 0)
        for one in change.vectors
    }
    decoded = 0.0 if fresh is None else fresh.seconds + (kept.seconds if change.must_decode else 0.0)
    seconds_of_video = None if fresh is None else decoded
    must_decode = len(plan.to_embed) + (len(brought_over) if change.must_decode else 0)
    notes: list[str] = []
    estimated_seconds = _seconds(location, recipe, change, must_decode, seconds_of_video, notes)
    cost = None
    if prices is None:
        notes.append("no price table: name one with --prices or REELVEC_PRICES to see money")
    elif estimated_seconds is not None:
        clips = max((clips or 0 for clips in vectors.values()), default=0)
        sections = recipe.encoders() if plan.to_embed else change.sections
        cost = round(prices.usd(recipe, sections, hours=estimated_seconds / 3600, clips=clips), 4)
    if schema is not None and not change.empty:
        mismatch = f"the recipe is not the one of the index ({schema.recipe_name}): what is kept is copied"
        notes.append(mismatch)
    writer = holder(location)
    return PlanReport(
        index=str(location),
        recipe=recipe.name,
        new=count["new"],
        changed=count["changed"],
        moved=count["moved"],
        copied=count["copied"],
        unchanged=len(plan.unchanged),
        gone=count["gone"],
        retried=count["retried"],
        rejected=len(plan.rejected),
        updated=len(plan.updated),
        skipped=len(plan.skipped) + planned.listing.skipped_count,
        vectors=vectors,
        why={one.name: why for one in change.vectors if (why := _why(one, count))},
        how={} if schema is None else {one.name: one.how for one in change.vectors},
        must_decode=must_decode,
        payloads=0 if change.recut else _outdated_clips(planned),
        estimated_clips=None if fresh is None else max([0, *(clips or 0 for clips in vectors.values())]),
        estimated_seconds_of_video=None if seconds_of_video is None else round(seconds_of_video, 1),
        estimated_seconds=estimated_seconds,
        estimated_cost_usd=cost,
        notes=tuple(notes),
        writer=None if writer is None else str(writer),
        problems=planned.listing.problems,
        videos=kinds,
    )


def _seconds(
    location: IndexLocation,
    recipe: Recipe,
    change: RecipeChange,
    must_decode: int,
    seconds_of_video: float | None,
    notes: list[str],
) -> float | None:
    """How long the run would take, None where nothing tells; `notes` gets the reason."""
    if not must_decode:
        if change.of("from_stored"):
            notes.append("what is made from stored texts and vectors has not been timed here; it decodes nothing")
            return None
        return 0.0
    if seconds_of_video is None:
        notes.append(
            "how many clips a file gives is unknown while nothing is indexed: index a few videos first "
            "(reelvec reindex CORPUS --max-videos 5), then plan again"
        )
        return None
    notes.append("clips and seconds of video of files that are not indexed yet go by the bytes of those that are")
    runs = past_runs(location, recipe=recipe.fingerprint)
    speed = speed_of(runs)
    if speed is None:
        notes.append(
            "how long it takes is unknown, since no run of this recipe has embedded anything here: let one do a few "
            "videos (reelvec reindex CORPUS --max-videos 5), then plan again"
        )
        return None
    notes.append(f"time goes by {speed:.2g} s of video per second, over the last {len(runs)} runs that embedded some")
    return round(seconds_of_video / speed, 1)


def _kind(work: Work, entry: LedgerEntry | None) -> str:
    if entry is None or entry.state in ("forgotten", "deleted"):
        return "new"
    same = (entry.size_bytes, entry.version) == (work.video.size_bytes, work.video.version)
    return "retried" if same or (work.content and work.content == entry.content) else "changed"


def _why(change: VectorChange, count: Mapping[str, int]) -> str:
    names = {"new": "new bytes", "changed": "changed bytes", "retried": "rejects that are tried again"}
    said = [f"{words} ({count[kind]} videos)" for kind, words in names.items() if count[kind]]
    return "; ".join([*said, *filter(None, [change.reason])])


def _brought_over(planned: Planned) -> list[LedgerEntry]:
    """The searchable videos whose clips are brought over where the recipe changes, under this or another name."""
    plan = planned.plan
    there = dict.fromkeys(video.uri for video in plan.unchanged)
    embedded = {work.content for work in plan.to_embed}
    elsewhere = {copy.content: copy.source_uri for copy in plan.copies if copy.source_uri not in there}
    uris = [*there, *(uri for content, uri in elsewhere.items() if content not in embedded)]
    found = (planned.ledger.get(uri) for uri in uris)
    return [entry for entry in found if entry is not None and entry.live_content]


def _outdated_clips(planned: Planned) -> int:
    """Clips that stay, with payloads of an older revision."""
    plan = planned.plan
    lost = {entry.uri for entry in plan.gone} - {copy.source_uri for copy in plan.copies}
    lost |= {work.video.uri for work in plan.to_embed}
    return sum(entry.clips for entry in outdated(planned.ledger.values()) if entry.uri not in lost)


def _step_seconds(recipe: Recipe) -> float:
    return recipe.segment.clip_seconds - recipe.segment.overlap_seconds
