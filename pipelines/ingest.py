"""One bounded run: list, plan, embed what is new, copy what is known, remove what is gone, publish."""

import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import jobs
from pipelines.budget import ending_in_time, ends_at, note_caps, taken_up
from pipelines.estimates import check_room_for
from pipelines.planning import believed_roots, plan_run
from pipelines.rejects import rejects_path, write_rejects
from pipelines.run_log import Spent, recorded
from pipelines.searchable import note_searchable, prove_committed
from pipelines.settings import IngestSettings
from pipelines.settling import Settling
from pipelines.summary import IngestSummary, outcome, summarise
from pipelines.tally import counted_elsewhere
from transforms import heap, interrupt, measures, progress
from transforms.encoders import light, spending
from transforms.errors import DiskFull, Outage, ReelvecError, UsageError
from transforms.index.ledger import read_rejected, read_some, read_table
from transforms.index.location import IndexLocation
from transforms.index.lock import Run, writing
from transforms.index.open import open_writer, read_schema, release
from transforms.index.payloads import outdated, revision
from transforms.index.publish import publish
from transforms.index.spaces import drop_expired, spaces_of
from transforms.index.store import Equals, VectorStore, Where
from transforms.index.unpublished import is_unpublished, mark_published, mark_unpublished
from transforms.plan import Plan, leave
from transforms.recipe import Recipe, load_recipe
from transforms.records import LedgerEntry, Work
from transforms.remote.clients import use_options
from transforms.remove import remove_videos
from transforms.source import list_into
from transforms.tables.database import Database
from transforms.tables.listed import ListedVideos
from transforms.write.commit import commit_leftovers, now, sweep
from transforms.write.copies import copy_video, relabel
from transforms.write.sweep import sweep_abandoned, sweep_unvouched
from transforms.write.upgrade import upgrade_payloads
from transforms.write.whole import add_missing

if TYPE_CHECKING:
    import apache_beam as beam

    from pipelines.refill import RefillFrom


#: Below this a scan of every vector answers in milliseconds, and graphs are not worth their time.
OPTIMIZE_FROM_CLIPS = 10_000


def build(
    root: "beam.Pipeline",
    work: Sequence[Work],
    settings: IngestSettings,
    recipe: Recipe,
    *,
    into: IndexLocation | None = None,
    refill: "RefillFrom | None" = None,
    spreads: bool = False,
    ends_at: float | None = None,
) -> Any:
    """The pipeline of a run: one fused stage from the reference of a segment to its vectors.

    `into` is a space of the index other than the one in use; of what `refill` holds only what changes is made.
    Where it `spreads`, segments are dealt out to several workers; none is started after `ends_at` (Unix seconds).
    """
    import apache_beam as beam

    from pipelines.embed import EmbedSegments
    from transforms.segment import SegmentVideos, SpreadSegments
    from transforms.write.stage import RecordRejects, WriteSegments

    location, schema = into or IndexLocation.parse(settings.index), recipe.schema()
    videos = root | "Videos" >> beam.Create(list(work)).with_output_types(Work)
    cut = videos | "Segment" >> SegmentVideos(recipe.segment, ends_at, settings.remote)
    segments = cut.segments
    if spreads:
        segments = segments | "Spread" >> SpreadSegments(settings.remote.together_bytes)
    embed = EmbedSegments(recipe, settings.device, settings.prefetch, refill, ends_at, settings.remote)
    results = segments | "Embed" >> embed
    receipts = results | "Write" >> WriteSegments(location, schema)
    rejected = cut.rejected | "Reject" >> RecordRejects(location, schema)
    return receipts, rejected


def ingest(
    settings: IngestSettings, *, listen: progress.Progress | None = None, settling: Settling | None = None
) -> IngestSummary:
    """Make the index true for these sources. Raises UsageError before anything starts, Outage in between.

    Whatever was committed before an Outage stays; the next run goes on from there. `settling` knows of the
    files that are still being written; they count as deferred.
    """
    started = time.monotonic()
    heap.share_heaps()  # before Beam and the models start threads of their own
    interrupt.reset()
    spending.start_again()
    spent = Spent(listen or progress.Silent())
    progress.listen(spent)
    location = IndexLocation.parse(settings.index)
    if settings.beam_options or settings.detach:
        jobs.check_settings(settings, location)
    with recorded(location, settings.command, spent) as record:
        recipe = recipe_of(settings, location)
        record.exists = read_schema(location) is not None
        if not record.exists:  # a wrong path must not leave an empty index behind
            use_options(settings.beam_options)
            list_into(ListedVideos(Database()), settings.sources, manifest=settings.manifest, remote=settings.remote)
        with writing(location, command=settings.command, wait=settings.wait) as turn:
            if len(spaces_of(location)) > 1:
                drop_expired(location)
            check_free_space(location, settings.min_free_megabytes)
            if settings.command == "reindex" and is_of_another(location, recipe):
                from pipelines.reindex import reindex_by_another_recipe

                record.recipe = recipe.fingerprint
                record.summary = reindex_by_another_recipe(settings, location, recipe, turn, started)
                return record.summary
            run = CorpusRun(settings, location, recipe, turn, settling)
            record.exists, record.recipe = True, run.store.schema.recipe
            try:
                record.summary = run.run(started)
            finally:
                run.close()
        return record.summary


def recipe_of(settings: IngestSettings, location: IndexLocation) -> Recipe:
    """The recipe that was asked for, or that the index has, or `offline`; with the run's own settings."""
    schema = read_schema(location)
    if settings.recipe is None and schema is not None:
        recipe = Recipe.of(schema.settings)
    else:
        recipe = load_recipe(settings.recipe or "offline")
    changed = recipe.changed(
        choice=settings.frames,
        kind=settings.cut,
        clip_seconds=settings.clip_seconds,
        segment_seconds=settings.segment_seconds,
        overlap_seconds=settings.overlap_seconds,
        shortest_seconds=settings.shortest_seconds,
        longest_seconds=settings.longest_seconds,
    )
    if changed.segment.kind == "windows" and (settings.shortest_seconds or settings.longest_seconds):
        raise UsageError(
            "windows have one length (--clip); a shortest and a longest one belong to --cut shots or speech"
        )
    return changed


def is_of_another(location: IndexLocation, recipe: Recipe) -> bool:
    """Whether the index holds other vectors, or keeps them otherwise, than this recipe makes."""
    schema = read_schema(location)
    wanted = recipe.schema()
    return schema is not None and (schema.recipe, schema.dense, schema.sparse) != (
        wanted.recipe,
        wanted.dense,
        wanted.sparse,
    )


def check_free_space(location: IndexLocation, min_free_megabytes: int) -> None:
    """Raise DiskFull when a run is bound to fail for want of room."""
    if location.kind != "edge":
        return
    folder = Path(location.folder).absolute()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free_megabytes = shutil.disk_usage(existing).free // 2**20
    if free_megabytes < min_free_megabytes:
        raise DiskFull(
            f"only {free_megabytes} MB are free where the index lives ({existing}), "
            f"{min_free_megabytes} MB are wanted before a run starts; make room, or put --index elsewhere"
        )


class CorpusRun:
    """The steps of one run over one open store, which is that of a space of the index."""

    def __init__(
        self,
        settings: IngestSettings,
        location: IndexLocation,
        recipe: Recipe,
        turn: Run,
        settling: Settling | None = None,
        refill: "RefillFrom | None" = None,
    ) -> None:
        self.settings, self.location, self.recipe, self.refill = settings, location, recipe, refill
        self.turn, self.settling = turn, settling or Settling(0.0)
        self.store: VectorStore = open_writer(location, recipe.schema())
        self.began = now()
        self.upgraded: Mapping[str, int] = {}  # clips whose payloads this run rewrote, by URI
        self.ends_at: float | None = None  # Unix seconds: for workers that do not hear this process

    def close(self) -> None:
        self.store.close()
        release(self.location)

    def run(self, started: float) -> IngestSummary:
        if self.settings.archive is not None:
            from pipelines.archive import check_archive

            check_archive(self.settings.archive, self.store.schema, self.location)
        commit_leftovers(self.store)
        if self.turn.after_crash:
            sweep_unvouched(self.store)
        planned = plan_run(self.store, self.location, self.settings)
        listing, ledger, plan = planned.listing, planned.ledger, planned.plan
        plan = leave(plan, self.settling.growing(planned.differing(), ledger))
        work = taken_up(plan.to_embed, order=self.settings.order, max_videos=self.settings.max_videos)
        check_room_for(self.location, self.store.schema, ledger, work, self.settings.min_free_megabytes)
        if not plan.empty:
            mark_unpublished(self.location)
        roots = believed_roots(listing.roots, ledger, self.settings.max_delete)
        swept = sweep_abandoned(
            self.store,
            taken_up={work.video.uri for work in plan.to_embed},
            listed=planned.videos.uris,
            ledger=ledger,
            covered=lambda uri, origin: any(root.covers(uri, origin) for root in roots),
        )
        if swept:
            mark_unpublished(self.location)
        if not plan.empty:
            add_missing(self.store, ledger)  # before anything new: some videos with and some without mislead searches
        self.upgrade_payloads(ledger)
        self.ends_at = ends_at(started, self.settings.max_hours)
        with ending_in_time(started, self.settings.max_hours):
            clips = self.embed(work) if work and not interrupt.stopping() else 0
        with measures.timed(measures.PHASE, of="copying"):
            for entry in plan.updated:
                self._update(entry)
            copies = [copy for copy in plan.copies if not interrupt.requested() and copy_video(self.store, copy)]
        copied = {copy.video.uri for copy in copies}
        measures.count(measures.COPIED, len(copied))
        moved_from = {copy.source_uri for copy in plan.copies if copy.moved and copy.video.uri in copied}
        kept_from = {copy.source_uri for copy in plan.copies if copy.video.uri not in copied}
        gone = [entry for entry in plan.gone if entry.uri not in kept_from]
        with measures.timed(measures.PHASE, of="removing"):
            remove_videos(self.store, gone)
        measures.count(measures.REMOVED, len(gone) - len(moved_from))
        if not plan.empty or is_unpublished(self.location):
            self.finish(plan)
        as_before = plan.empty and not self.upgraded
        write_rejects(self.location, ledger.rejected() if as_before else read_rejected(self.store))
        self.archive(ledger if as_before else None)
        summary = summarise(
            listing,
            plan,
            read_some(self.store, _taken_up(plan)),
            copied=copied,
            videos_removed=len(gone) - len(moved_from),
            clips_embedded=clips,
            wall_seconds=time.monotonic() - started,
            rejects_path=str(rejects_path(self.location)),
            interrupted=interrupt.requested(),
        )
        return replace(summary, payloads_rewritten=sum(self.upgraded.values()))

    def upgrade_payloads(self, ledger: Mapping[str, LedgerEntry]) -> None:
        """Rewrite payloads that an older Reelvec wrote; readers of a folder see them once it is published."""
        if next(outdated(ledger.values()), None) is None:
            return
        mark_unpublished(self.location)
        with measures.timed(measures.PHASE, of="rewriting payloads"):
            self.upgraded = upgrade_payloads(self.store, ledger.values())

    def embed(self, work: Sequence[Work]) -> int:
        """Run the pipeline; gives the number of clips that it wrote.

        Workers in other processes get the store to themselves meanwhile.
        """
        import apache_beam as beam

        from pipelines.engines import parsed

        progress.listener().planned(len(work))
        engine = jobs.engine_of(self.settings.beam_options)
        jobs.check_work(engine, work)
        if not engine.here:
            note_caps(self.recipe)
        pipeline = beam.Pipeline(options=parsed(jobs.named_after(engine, self.location)))
        mine = [replace(one, run=self.turn.number) for one in work]
        build(
            pipeline,
            mine,
            self.settings,
            self.recipe,
            into=self.location,
            refill=self.refill,
            spreads=engine.spreads,
            ends_at=None if engine.here else self.ends_at,
        )
        measures.hand_over()  # what came before the pipeline is none of its counters
        if engine.here:
            with self._published_now_and_then(), measures.timed(measures.PHASE, of="embedding"):
                result = jobs.submitted(pipeline, engine)
                jobs.finished(result, engine)
            light.export_for(self.recipe.text_encoder)  # torch is loaded now; searching shall not need it
            return _counted(result, "clips_written_count")
        self.close()
        try:
            with measures.timed(measures.PHASE, of="embedding"):
                result = jobs.submitted(pipeline, engine)
                if self.settings.detach:
                    progress.listener().message(f"left to {engine.runner}: the next run settles what it commits")
                    return 0
                with counted_elsewhere(result):
                    jobs.finished(result, engine)
        finally:
            self.store = _open_when_free(self.location, self.recipe)
        clips = _counted(result, "clips_written_count")
        progress.listener().segment_done(_counted(result, "video_written_msec") / 1000.0, clips)
        return clips

    @contextmanager
    def _published_now_and_then(self) -> Iterator[None]:
        """Publish every so often while the block runs, so that searches see what was committed."""
        over = threading.Event()

        def keep_publishing() -> None:
            while not over.wait(self.settings.publish_every_seconds):
                try:
                    with measures.timed(measures.PHASE, of="publishing"):
                        publish(self.location, self.store, optimize=False)
                    self._prove_searchable(())
                except ReelvecError as error:
                    progress.listener().message(f"could not publish, will try again: {error}")

        thread = threading.Thread(target=keep_publishing, name="publish", daemon=True)
        if self.location.kind == "edge":
            thread.start()
        try:
            yield
        finally:
            over.set()
            if thread.is_alive():
                thread.join()

    def _update(self, entry: LedgerEntry) -> None:
        from transforms.index.ledger import write_entries

        if entry.uri in self.upgraded:  # after the plan was made
            entry = replace(entry, payloads=revision())
        relabel(self.store, entry)
        write_entries(self.store, [entry])

    def finish(self, plan: Plan) -> None:
        """What a race left open is committed, what stale versions left is swept, and readers get to see it."""
        commit_leftovers(self.store)
        sweep(self.store, self._settled(plan.to_embed))
        with measures.timed(measures.PHASE, of="calibrating"):
            self.calibrate()
        self.store.flush()
        with measures.timed(measures.PHASE, of="publishing"):
            publish(self.location, self.store, optimize=False)  # what is there can be found now
        mark_published(self.location)
        self._prove_searchable(_taken_up(plan))
        clips = self.store.count(Where((Equals("kind", "clip"),)))
        if clips >= OPTIMIZE_FROM_CLIPS and not interrupt.requested():
            progress.listener().message(f"building graphs over {clips} clips; searches answer meanwhile")
            with measures.timed(measures.PHASE, of="building graphs"):
                publish(self.location, self.store, optimize=True)

    def _settled(self, work: Sequence[Work]) -> list[str]:
        """The URIs of those videos that have an outcome; what is stored of the others is gone on from."""
        entries = read_some(self.store, [each.video.uri for each in work])
        return [each.video.uri for each in work if outcome(each.video, entries.get(each.video.uri)) != "deferred"]

    def _prove_searchable(self, uris: Sequence[str]) -> None:
        """Readers find what became visible, and when that was is noted; `uris` are the run's videos, for a server.

        A space that is filled beside the one in use is seen by nobody yet.
        """
        if self.location.space:
            return
        if self.location.kind == "edge":
            missed = note_searchable(self.location, committed_before=self.began)
        else:
            missed = prove_committed(self.location, uris)
        for entry in missed:
            progress.listener().message(f"committed, and yet no search finds it; `reelvec fsck` says more: {entry.uri}")

    def archive(self, ledger: Mapping[str, LedgerEntry] | None = None) -> None:
        """Append what the archive lacks, also where an earlier run was killed before it did. None: read the ledger."""
        if self.settings.archive is None:
            return
        from pipelines.archive import follow

        with measures.timed(measures.PHASE, of="archiving"):
            entries = read_table(self.store, Database()) if ledger is None else ledger
            done = follow(self.settings.archive, self.store, self.location, entries)
        for problem in done.problems:
            progress.listener().message(f"archive mended: {problem}")
        if done.left:
            progress.listener().message(
                f"{len(done.left)} videos are not archived, their clips are not as many as the ledger says, "
                f"e.g. {done.left[0]}"
            )

    def calibrate(self) -> None:
        """Find out what chance is worth on what the index holds now; a search can do without."""
        if interrupt.requested():
            return
        from pipelines.confidence import calibrate

        try:
            calibrate(self.store, self.recipe)
        except Outage:
            raise
        except ReelvecError as error:
            progress.listener().message(f"hits will not say how sure they are: {error}")


def _taken_up(plan: Plan) -> list[str]:
    """The URIs of the videos that are embedded or copied."""
    return [*(work.video.uri for work in plan.to_embed), *(copy.video.uri for copy in plan.copies)]


def _counted(result: Any, name: str) -> int:
    """What the workers counted, all together."""
    from apache_beam.metrics import MetricsFilter

    counters = result.metrics().query(MetricsFilter().with_name(name))["counters"]
    return sum(int(counter.result or 0) for counter in counters)


def _open_when_free(location: IndexLocation, recipe: Recipe, *, wait_seconds: float = 30.0) -> VectorStore:
    """Open the store once the workers of a finished job have let go of it."""
    until = time.monotonic() + wait_seconds
    while True:
        try:
            return open_writer(location, recipe.schema())
        except Outage:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
