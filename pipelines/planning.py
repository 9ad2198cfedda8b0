"""What a run would do and why: listing, ledger, receipts and the plan, the same for a run and for a dry run."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.rejects import rejects_path
from pipelines.run_log import runs_path
from pipelines.settings import IngestSettings
from transforms import measures
from transforms.content import check_unchanged, content_of, sparse_content_of
from transforms.errors import Outage, VideoChanged
from transforms.index.ledger import read_table, scroll_receipts
from transforms.index.location import IndexLocation
from transforms.index.store import Reader
from transforms.media.versions import decoder_version
from transforms.plan import Plan, going_on, plan_work
from transforms.records import LedgerEntry, VideoRef
from transforms.remote.clients import use_options
from transforms.remote.names import is_remote
from transforms.remote.store import same_bytes
from transforms.source import Listing, Root, list_into
from transforms.tables.comparison import Comparison
from transforms.tables.database import Database
from transforms.tables.entries import EntryTable
from transforms.tables.listed import ListedVideos
from transforms.uris import path_of_uri, shown


@dataclass(frozen=True, slots=True)
class Planned:
    """What the corpus holds, what the index knows, and what follows from both.

    Listing and ledger lie in a temporary database, which ends with this.
    """

    listing: Listing
    videos: ListedVideos  # of the listing
    ledger: EntryTable
    plan: Plan

    def differing(self) -> Iterator[VideoRef]:
        """The listed videos that the index does not know, or not with their size and version."""
        return Comparison(self.videos, self.ledger).differing()


def plan_run(store: Reader | None, location: IndexLocation, settings: IngestSettings) -> Planned:
    """Plan a run; reads only. `store` is None for an index that does not exist yet.

    Raises UsageError for a source that is not there and for more deletions than `max_delete` allows, Outage where a
    source that held videos holds nothing.
    """
    use_options(settings.beam_options)
    database = Database()
    ledger = EntryTable(database, ()) if store is None else read_table(store, database)
    videos = ListedVideos(database)
    with measures.timed(measures.PHASE, of="listing"):
        listing = list_into(
            videos,
            settings.sources,
            manifest=settings.manifest,
            ignore=(rejects_path(location), runs_path(location)),
            known=ledger,
            remote=settings.remote,
        )
    measures.count(measures.LISTED, len(videos))
    if settings.command == "dlq replay":
        videos.take_from(ledger.name)
    roots = believed_roots(listing.roots, ledger, settings.max_delete)
    with measures.timed(measures.PHASE, of="planning"), ledger.instead(_as_asked(ledger, set(settings.retry_rejects))):
        plan = plan_work(
            videos,
            ledger,
            hash_content=_unless_it_changes(content_of),
            hash_sparse=_unless_it_changes(sparse_content_of),
            same_bytes=same_bytes,
            covered=lambda uri, origin: any(root.covers(uri, origin) for root in roots),
            max_delete=settings.max_delete,
            decoder=decoder_version() if ledger.has_rejects() else "",
        )
    if store is not None and plan.to_embed:
        plan = going_on(plan, scroll_receipts(store))
    for outcome in ("to_embed", "copies", "unchanged", "rejected", "gone"):
        measures.count(measures.PLANNED, len(getattr(plan, outcome)), of=outcome)
    return Planned(listing, videos, ledger, plan)


def plan_named(
    store: Reader, videos: Sequence[VideoRef], ledger: Mapping[str, LedgerEntry], *, gone: Collection[str]
) -> Plan:
    """Plan for these videos alone, as events named them; `ledger` holds the entries of these and of those `gone`.

    A copy is known for one where what it was copied from is among them, as in a move.
    """
    plan = plan_work(
        videos,
        ledger,
        hash_content=_unless_it_changes(content_of),
        hash_sparse=_unless_it_changes(sparse_content_of),
        same_bytes=same_bytes,
        covered=lambda uri, origin: uri in gone,
        max_delete="100%",
        decoder=decoder_version() if any(entry.rejects for entry in ledger.values()) else "",
    )
    return going_on(plan, scroll_receipts(store)) if plan.to_embed else plan


def believed_roots(roots: Sequence[Root], ledger: Mapping[str, LedgerEntry], max_delete: str) -> list[Root]:
    """The roots of a listing; those that list nothing are believed where `max_delete` says that all may go.

    Raises Outage for a root that lists nothing while the index has videos of it: a disk may not be mounted.
    """
    believed = []
    for root in roots:
        if not root.ok or root.listed:
            believed.append(root)
            continue
        emptied = replace(root, believed=True)
        if _means_everything(max_delete):
            believed.append(emptied)
            continue
        held = [uri for uri, entry in ledger.items() if entry.live_content and emptied.covers(uri, entry.origin)]
        if held:
            raise Outage(
                f"nothing is left of {shown(root.origin)}, of which the index has {len(held)} videos, "
                f"e.g. {shown(min(held))}; nothing was changed. Is a disk not mounted? Mount it and run again; "
                "if they are really gone, say --max-delete 100%"
            )
        believed.append(root)
    return believed


def _means_everything(max_delete: str) -> bool:
    share = max_delete.removesuffix("%")
    return max_delete.endswith("%") and share.replace(".", "", 1).isdigit() and float(share) >= 100.0


def _unless_it_changes(hash_of: Callable[[Path], str]) -> Callable[[VideoRef], str]:
    """A hash of a listed file; "" where it cannot be read now: embedding it will say why.

    Planning fetches nothing: what is known of a remote file's bytes is what its store says.
    """

    def hashed(video: VideoRef) -> str:
        if is_remote(video.uri):
            return same_bytes(video)
        try:
            content = hash_of(path_of_uri(video.uri))
            check_unchanged(video)
        except (OSError, VideoChanged):
            return ""
        return content

    return hashed


def _as_asked(ledger: Mapping[str, LedgerEntry], again: Collection[str]) -> dict[str, LedgerEntry | None]:
    """The entries that a run sees otherwise which tries these videos again; one that was dropped it takes for new."""
    known = (entry for uri in again if (entry := ledger.get(uri)) is not None)
    return {entry.uri: None if entry.state == "dropped" else _retried(entry) for entry in known}


def _retried(entry: LedgerEntry) -> LedgerEntry:
    """An entry whose rejects count as transient, first try: the user says that the cause is mended."""
    return replace(
        entry,
        attempts=0,
        content="",
        state="rejected" if entry.state == "quarantined" else entry.state,
        rejects=tuple(replace(reject, transient=True) for reject in entry.rejects),
    )
