"""One bounded run: list, plan, embed what is new, copy what is known, remove what is gone, publish."""

import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.rejects import rejects_path, write_rejects
from pipelines.settings import IngestSettings
from transforms import interrupt, progress
from transforms.content import check_unchanged, content_of
from transforms.encoders import light
from transforms.errors import DiskFull, Outage, ReelvecError, VideoChanged
from transforms.index.ledger import read_all_receipts, read_entries
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.index.open import open_writer, read_schema, release
from transforms.index.publish import publish
from transforms.index.store import VectorStore
from transforms.plan import Plan, plan_work
from transforms.recipe import Recipe, load_recipe
from transforms.records import LedgerEntry, VideoRef, Work
from transforms.remove import remove_videos
from transforms.source import Listing, list_videos
from transforms.uris import path_of_uri
from transforms.write.commit import commit_leftovers, sweep
from transforms.write.copies import copy_video, relabel

if TYPE_CHECKING:
    import apache_beam as beam


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What a run did; videos_found = indexed + unchanged + moved + deferred + rejected."""

    videos_found: int
    videos_indexed: int
    videos_unchanged: int
    videos_moved: int
    videos_deferred: int
    videos_rejected: int
    videos_removed: int
    videos_copied: int  # those of the indexed ones whose vectors were taken from the same bytes elsewhere
    files_skipped: int
    clips_written: int
    seconds_of_video: float
    wall_seconds: float
    rejects_path: str
    interrupted: bool = False
    problems: tuple[str, ...] = ()


def build(root: "beam.Pipeline", work: Sequence[Work], settings: IngestSettings, recipe: Recipe) -> Any:
    """The pipeline of a run: one fused stage from the reference of a segment to its vectors."""
    import apache_beam as beam

    from pipelines.embed import EmbedSegments
    from transforms.segment import SegmentVideos
    from transforms.write.stage import RecordRejects, WriteSegments

    location, schema = IndexLocation.parse(settings.index), recipe.schema()
    videos = root | "Videos" >> beam.Create(list(work)).with_output_types(Work)
    cut = videos | "Segment" >> SegmentVideos(recipe.segment)
    segments = cut.segments
    if settings.beam_options:  # several workers: spread the segments; one worker commits sooner without
        segments = segments | "Spread" >> beam.Reshuffle()
    results = segments | "Embed" >> EmbedSegments(recipe, settings.device, settings.prefetch)
    receipts = results | "Write" >> WriteSegments(location, schema)
    rejected = cut.rejected | "Reject" >> RecordRejects(location, schema)
    return receipts, rejected


def ingest(settings: IngestSettings, *, listen: progress.Progress | None = None) -> IngestSummary:
    """Make the index true for these sources. Raises UsageError before anything starts, Outage in between.

    Whatever was committed before an Outage stays; the next run goes on from there.
    """
    started = time.monotonic()
    interrupt.reset()
    progress.listen(listen or progress.Silent())
    location = IndexLocation.parse(settings.index)
    recipe = recipe_of(settings, location)
    known_index = read_schema(location) is not None
    if not known_index:  # a wrong path must not leave an empty index behind
        list_videos(settings.sources, manifest=settings.manifest)
    with writing(location, command=settings.command, wait=settings.wait):
        check_free_space(location, settings.min_free_megabytes)
        run = _Run(settings, location, recipe)
        try:
            return run.run(started)
        finally:
            run.close()


def recipe_of(settings: IngestSettings, location: IndexLocation) -> Recipe:
    """The recipe that was asked for, or that the index has, or `offline`; with the run's own settings."""
    schema = read_schema(location)
    if settings.recipe is None and schema is not None:
        recipe = Recipe.of(schema.settings)
    else:
        recipe = load_recipe(settings.recipe or "offline")
    return recipe.changed(
        choice=settings.frames,
        clip_seconds=settings.clip_seconds,
        segment_seconds=settings.segment_seconds,
        overlap_seconds=settings.overlap_seconds,
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


class _Run:
    """The steps of one run over one open store."""

    def __init__(self, settings: IngestSettings, location: IndexLocation, recipe: Recipe) -> None:
        self.settings, self.location, self.recipe = settings, location, recipe
        self.store: VectorStore = open_writer(location, recipe.schema())

    def close(self) -> None:
        self.store.close()
        release(self.location)

    def run(self, started: float) -> IngestSummary:
        finished = commit_leftovers(self.store)
        ledger = read_entries(self.store)
        listing = list_videos(
            self.settings.sources,
            manifest=self.settings.manifest,
            known={uri: (entry.size_bytes, entry.version) for uri, entry in ledger.items()},
        )
        plan = self._plan(listing, ledger)
        if plan.to_embed:
            self._embed(plan.to_embed)
        for entry in plan.updated:
            self._update(entry)
        copied = {copy.video.uri for copy in plan.copies if not interrupt.requested() and copy_video(self.store, copy)}
        moved_from = {copy.source_uri for copy in plan.copies if copy.moved and copy.video.uri in copied}
        kept_from = {copy.source_uri for copy in plan.copies if copy.video.uri not in copied}
        gone = [entry for entry in plan.gone if entry.uri not in kept_from]
        remove_videos(self.store, gone)
        if not plan.empty or finished:
            self._finish(plan)
        after = read_entries(self.store) if not plan.empty else ledger
        write_rejects(self.location, after.values())
        return self._summary(listing, plan, after, copied, started, removed=len(gone) - len(moved_from))

    def _plan(self, listing: Listing, ledger: dict[str, LedgerEntry]) -> Plan:
        receipts: dict[str, set[tuple[str, int]]] = defaultdict(set)
        for receipt in read_all_receipts(self.store):
            if receipt.outcome != "rejected":
                receipts[receipt.uri].add((receipt.content, receipt.index))
        again = set(self.settings.retry_rejects)
        return plan_work(
            listing.videos,
            {uri: _retried(entry) if uri in again else entry for uri, entry in ledger.items()},
            hash_content=_hash_or_nothing,
            covered=lambda uri, origin: any(root.covers(uri, origin) for root in listing.roots),
            max_delete=self.settings.max_delete,
            receipts=receipts,
        )

    def _embed(self, work: Sequence[Work]) -> None:
        """Run the pipeline; workers in other processes get the store to themselves meanwhile."""
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        progress.listener().planned(len(work))
        options = list(self.settings.beam_options)
        in_process = not any(option.startswith("--runner") for option in options)
        _refuse_processes(self.location, options)
        if in_process:
            options.append("--runner=FnApiRunner")
        pipeline = beam.Pipeline(options=PipelineOptions(options))
        build(pipeline, work, self.settings, self.recipe)
        if in_process:
            with self._published_now_and_then(), _outages_unwrapped():
                pipeline.run().wait_until_finish()
            if self.recipe.text_encoder:
                light.export(self.recipe.text_encoder)  # torch is loaded now; searching shall not need it
            return
        self.close()
        try:
            pipeline.run().wait_until_finish()
        finally:
            self.store = _open_when_free(self.location, self.recipe)

    @contextmanager
    def _published_now_and_then(self) -> Iterator[None]:
        """Publish every so often while the block runs, so that searches see what was committed."""
        over = threading.Event()

        def keep_publishing() -> None:
            while not over.wait(self.settings.publish_every_seconds):
                try:
                    publish(self.location, self.store, optimize=False)
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

        relabel(self.store, entry)
        write_entries(self.store, [entry])

    def _finish(self, plan: Plan) -> None:
        """What a race left open is committed, what stale versions left is swept, and readers get to see it."""
        commit_leftovers(self.store)
        sweep(self.store, [work.video.uri for work in plan.to_embed])
        self.store.flush()
        publish(self.location, self.store, optimize=True)

    def _summary(
        self,
        listing: Listing,
        plan: Plan,
        ledger: dict[str, LedgerEntry],
        copied: set[str],
        started: float,
        *,
        removed: int,
    ) -> IngestSummary:
        outcomes = {work.video.uri: outcome(work.video, ledger.get(work.video.uri)) for work in plan.to_embed}
        for copy in plan.copies:
            done = "deferred"
            if copy.video.uri in copied:
                done = outcome(copy.video, ledger.get(copy.video.uri))
                done = "moved" if copy.moved and done == "indexed" else done
            outcomes[copy.video.uri] = done
        count = {name: sum(done == name for done in outcomes.values()) for name in set(outcomes.values())}
        indexed = [ledger[uri] for uri, done in outcomes.items() if done in ("indexed", "moved")]
        rejected = count.get("rejected", 0) + len(plan.rejected)
        found = len(outcomes) - count.get("skipped", 0) + len(plan.unchanged) + len(plan.rejected)
        return IngestSummary(
            videos_found=found,
            videos_indexed=count.get("indexed", 0),
            videos_unchanged=len(plan.unchanged),
            videos_moved=count.get("moved", 0),
            videos_deferred=count.get("deferred", 0),
            videos_rejected=rejected,
            videos_removed=removed,
            videos_copied=sum(outcomes[copy.video.uri] == "indexed" for copy in plan.copies),
            files_skipped=len(listing.skipped) + len(plan.skipped) + count.get("skipped", 0),
            clips_written=sum(entry.clips for entry in indexed),
            seconds_of_video=round(sum(entry.duration_seconds for entry in indexed), 3),
            wall_seconds=round(time.monotonic() - started, 3),
            rejects_path=str(rejects_path(self.location)),
            interrupted=interrupt.requested(),
            problems=listing.problems,
        )


def outcome(video: VideoRef, entry: LedgerEntry | None) -> str:
    """What became of a video that this run took up, by what the ledger says now."""
    if entry is None or (entry.size_bytes, entry.version) != (video.size_bytes, video.version):
        return "deferred"
    if entry.state == "skipped":
        return "skipped"
    return "indexed" if entry.live_content and entry.live_content == entry.content else "rejected"


def _hash_or_nothing(video: VideoRef) -> str:
    """SHA-256 of a listed file; "" where it cannot be read now: embedding it will say why."""
    try:
        content = content_of(path_of_uri(video.uri))
        check_unchanged(video)
    except (OSError, VideoChanged):
        return ""
    return content


def _retried(entry: LedgerEntry) -> LedgerEntry:
    """An entry whose rejects count as transient, first try: the user says that the cause is mended."""
    return replace(
        entry,
        attempts=0,
        content="",
        state="rejected" if entry.state == "quarantined" else entry.state,
        rejects=tuple(replace(reject, transient=True) for reject in entry.rejects),
    )


def _refuse_processes(location: IndexLocation, options: Sequence[str]) -> None:
    from transforms.errors import UsageError

    if location.kind == "edge" and any("multi_processing" in option for option in options):
        raise UsageError(
            "an index folder is written by one process: direct_running_mode=multi_processing cannot be used with "
            f"--index {location}; take multi_threading, or a Qdrant server"
        )


@contextmanager
def _outages_unwrapped() -> Iterator[None]:
    """Give the reason that a runner wrapped into its own error back as it was raised."""
    try:
        yield
    except ReelvecError:
        raise
    except Exception as error:
        seen: BaseException | None = error
        while seen is not None:
            if isinstance(seen, ReelvecError):
                raise seen from None
            seen = seen.__cause__ or seen.__context__
        raise


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
