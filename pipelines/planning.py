"""What a run would do and why: listing, ledger, receipts and the plan, the same for a run and for a dry run."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.rejects import rejects_path
from pipelines.run_log import runs_path
from pipelines.settings import IngestSettings
from transforms import measures
from transforms.content import check_unchanged, content_of, sparse_content_of
from transforms.errors import Outage, VideoChanged
from transforms.index.ledger import read_all_receipts, read_entries
from transforms.index.location import IndexLocation
from transforms.index.store import Reader
from transforms.media.versions import decoder_version
from transforms.plan import Plan, plan_work
from transforms.records import LedgerEntry, VideoRef
from transforms.remote.clients import use_options
from transforms.remote.names import is_remote
from transforms.remote.store import same_bytes
from transforms.source import Listing, Root, list_videos
from transforms.uris import path_of_uri, shown


@dataclass(frozen=True, slots=True)
class Planned:
    """What the corpus holds, what the index knows, and what follows from both."""

    listing: Listing
    ledger: Mapping[str, LedgerEntry]
    plan: Plan


def plan_run(store: Reader | None, location: IndexLocation, settings: IngestSettings) -> Planned:
    """Plan a run; reads only. `store` is None for an index that does not exist yet.

    Raises UsageError for a source that is not there and for more deletions than `max_delete` allows, Outage where a
    source that held videos holds nothing.
    """
    use_options(settings.beam_options)
    ledger = {} if store is None else read_entries(store)
    with measures.timed(measures.PHASE, of="listing"):
        listing = list_videos(
            settings.sources,
            manifest=settings.manifest,
            ignore=(rejects_path(location), runs_path(location)),
            known=ledger,
            remote=settings.remote,
        )
    measures.count(measures.LISTED, len(listing.videos))
    if settings.command == "dlq replay":
        listing = replace(listing, videos=tuple(_as_before(video, ledger) for video in listing.videos))
    roots = believed_roots(listing.roots, ledger, settings.max_delete)
    again = set(settings.retry_rejects)
    remote = _told_of_bytes(ledger)
    with measures.timed(measures.PHASE, of="planning"):
        plan = plan_work(
            listing.videos,
            _as_asked(ledger, again) if again else ledger,
            hash_content=_unless_it_changes(content_of, remote),
            hash_sparse=_unless_it_changes(sparse_content_of, remote),
            covered=lambda uri, origin: any(root.covers(uri, origin) for root in roots),
            max_delete=settings.max_delete,
            receipts={} if store is None else _done_segments(store),
            decoder=decoder_version() if any(entry.rejects for entry in ledger.values()) else "",
        )
    for outcome in ("to_embed", "copies", "unchanged", "rejected", "gone"):
        measures.count(measures.PLANNED, len(getattr(plan, outcome)), of=outcome)
    return Planned(listing, ledger, plan)


def plan_named(
    store: Reader, videos: Sequence[VideoRef], ledger: Mapping[str, LedgerEntry], *, gone: Collection[str]
) -> Plan:
    """Plan for these videos alone, as events named them; `ledger` holds the entries of these and of those `gone`.

    A copy is known for one where what it was copied from is among them, as in a move.
    """
    remote = _told_of_bytes(ledger)
    return plan_work(
        videos,
        ledger,
        hash_content=_unless_it_changes(content_of, remote),
        hash_sparse=_unless_it_changes(sparse_content_of, remote),
        covered=lambda uri, origin: uri in gone,
        max_delete="100%",
        receipts=_done_segments(store),
        decoder=decoder_version() if any(entry.rejects for entry in ledger.values()) else "",
    )


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


def _done_segments(store: Reader) -> dict[str, set[tuple[str, int]]]:
    """By URI, the (content, index) of the segments that an earlier run stored."""
    done: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for receipt in read_all_receipts(store):
        if receipt.outcome != "rejected":
            done[receipt.uri].add((receipt.content, receipt.index))
    return done


def _told_of_bytes(ledger: Mapping[str, LedgerEntry]) -> dict[str, str]:
    """The hashes of the index's remote files by what their stores say of the bytes."""
    return {told: entry.content for entry in ledger.values() if entry.content and (told := same_bytes(entry))}


def _unless_it_changes(hash_of: Callable[[Path], str], remote: Mapping[str, str]) -> Callable[[VideoRef], str]:
    """A hash of a listed file; "" where it cannot be read now: embedding it will say why.

    Planning fetches nothing: what is known of a remote file's bytes is what its store says, and `remote`, their hash
    where the index has a file of which the store says the same.
    """

    def hashed(video: VideoRef) -> str:
        if is_remote(video.uri):
            told = same_bytes(video)
            return remote.get(told, told)
        try:
            content = hash_of(path_of_uri(video.uri))
            check_unchanged(video)
        except (OSError, VideoChanged):
            return ""
        return content

    return hashed


def _as_before(video: VideoRef, ledger: Mapping[str, LedgerEntry]) -> VideoRef:
    """A file that is named again keeps the origin and the metadata that it came with."""
    entry = ledger.get(video.uri)
    return video if entry is None else replace(video, origin=entry.origin, metadata=entry.metadata)


def _as_asked(ledger: Mapping[str, LedgerEntry], again: Collection[str]) -> dict[str, LedgerEntry]:
    """The ledger of a run that tries some videos again; of them, one that was dropped is taken up as if it were new."""
    return {
        uri: _retried(entry) if uri in again else entry
        for uri, entry in ledger.items()
        if uri not in again or entry.state != "dropped"
    }


def _retried(entry: LedgerEntry) -> LedgerEntry:
    """An entry whose rejects count as transient, first try: the user says that the cause is mended."""
    return replace(
        entry,
        attempts=0,
        content="",
        state="rejected" if entry.state == "quarantined" else entry.state,
        rejects=tuple(replace(reject, transient=True) for reject in entry.rejects),
    )
