"""VideoRefs x ledger -> what is new, changed, copied, unchanged and gone.

Whether a file changed is first asked of its size and time stamp; only where those differ,
or where another file of the same size makes a copy possible, are its bytes read and hashed.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from transforms.errors import UsageError
from transforms.order import is_older, newest
from transforms.records import MAX_ATTEMPTS, SAME_BYTES, CopyOf, LedgerEntry, VideoRef, Work


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do; every listed video is in exactly one of the first five."""

    to_embed: tuple[Work, ...] = ()
    copies: tuple[CopyOf, ...] = ()
    unchanged: tuple[VideoRef, ...] = ()
    rejected: tuple[VideoRef, ...] = ()  # known rejects, not tried again
    skipped: tuple[VideoRef, ...] = ()  # known to hold no media, or forgotten or dropped by the user
    updated: tuple[LedgerEntry, ...] = ()  # same bytes, other time stamp, origin or metadata: entries to write
    relabelled: tuple[LedgerEntry, ...] = ()  # those of `updated` whose metadata changed: payloads to write
    gone: tuple[LedgerEntry, ...] = ()
    growing: tuple[VideoRef, ...] = ()  # still written to, as far as can be seen: left to a later run

    @property
    def empty(self) -> bool:
        """Whether nothing at all is to be done."""
        return not (self.to_embed or self.copies or self.updated or self.gone)


Hasher = Callable[[VideoRef], str]
Covers = Callable[[str, str], bool]


def plan_work(
    videos: Sequence[VideoRef],
    ledger: Mapping[str, LedgerEntry],
    *,
    hash_content: Hasher,
    covered: Covers,
    max_delete: str = "10%",
    hash_sparse: Hasher | None = None,
    receipts: Mapping[str, Collection[tuple[str, int]]] | None = None,
    decoder: str = "",
) -> Plan:
    """Decide what becomes of every listed video and of every entry that no listing names.

    `covered(uri, origin)` tells whether this run's listing would have shown the video if it
    still existed. `hash_sparse` tells most different files of one size apart without reading them whole ("" where it
    cannot). `receipts` holds, by URI, the (content, index) of segments that are done already.
    What another decoder than `decoder` could not read is tried again, as if it never had been ("": nothing is).
    Raises UsageError when more would be deleted than `max_delete` allows.
    """
    listed = {video.uri for video in videos}
    ledger = {uri: _given_another_chance(entry, decoder) for uri, entry in ledger.items()} if decoder else ledger
    gone = tuple(
        entry
        for uri, entry in ledger.items()
        if uri not in listed and entry.state not in ("forgotten", "deleted") and covered(uri, entry.origin)
    )
    sorted_out = _Sorted()
    unknown: list[VideoRef] = []
    for video in videos:
        entry = ledger.get(video.uri)
        if entry is None or (entry.state == "forgotten" and not video.origin):
            unknown.append(video)
        elif entry.state == "forgotten":
            sorted_out.skipped.append(video)
        elif (entry.size_bytes, entry.version) == (video.size_bytes, video.version):
            sorted_out.same_bytes(video, entry)
        else:
            unknown.append(video)

    contents = _hash_possible_copies(unknown, ledger, hash_content, hash_sparse)
    sources = {entry.live_content or entry.content: uri for uri, entry in _copyable(ledger)}
    first_with: dict[str, str] = {}
    moved_from: set[str] = set()
    for video in unknown:
        content = contents.get(video.uri, "")
        entry = ledger.get(video.uri)
        source_uri = sources.get(content) if content else None
        if content and entry is not None and entry.content == content and entry.state != "forgotten":
            rejects = tuple(replace(reject, version=video.version) for reject in entry.rejects)
            seen = replace(entry, size_bytes=video.size_bytes, version=video.version, rejects=rejects)
            sorted_out.same_bytes(video, seen, touched=True)
        elif source_uri is not None and source_uri != video.uri:
            vanished = source_uri not in listed and covered(source_uri, ledger[source_uri].origin)
            moved = vanished and source_uri not in moved_from  # a second one with its bytes is a copy
            moved_from |= {source_uri} if moved else set()
            sorted_out.copies.append(CopyOf(video, content, source_uri, moved))
        elif content and content in first_with:
            sorted_out.copies.append(CopyOf(video, content, first_with[content]))
        else:
            if content:
                first_with[content] = video.uri
            sorted_out.work.append(Work(video, "" if content.startswith(SAME_BYTES) else content))

    moved_uris = {copy.source_uri for copy in sorted_out.copies if copy.moved}
    lost = [entry for entry in gone if entry.uri not in moved_uris and entry.state != "dropped"]
    check_deletions(len(lost), len(ledger), max_delete)
    done = receipts or {}
    return Plan(
        to_embed=tuple(replace(work, done=tuple(sorted(done.get(work.video.uri, ())))) for work in sorted_out.work),
        copies=tuple(sorted_out.copies),
        unchanged=tuple(sorted_out.unchanged),
        rejected=tuple(sorted_out.rejected),
        skipped=tuple(sorted_out.skipped),
        updated=tuple(sorted_out.updated),
        relabelled=tuple(sorted_out.relabelled),
        gone=gone,
    )


def leave(plan: Plan, growing: Collection[str]) -> Plan:
    """The plan without the videos of these URIs; what they may have been moved from is not gone yet."""
    taken_up = (*(work.video for work in plan.to_embed), *(copy.video for copy in plan.copies))
    left = tuple(video for video in taken_up if video.uri in growing)
    sizes = {video.size_bytes for video in left}
    return replace(
        plan,
        to_embed=tuple(work for work in plan.to_embed if work.video.uri not in growing),
        copies=tuple(copy for copy in plan.copies if copy.video.uri not in growing),
        gone=tuple(entry for entry in plan.gone if entry.size_bytes not in sizes),
        growing=left,
    )


def check_deletions(gone: int, known: int, max_delete: str) -> None:
    """Raise UsageError when more videos vanished than max(10, `max_delete`), a share "10%" or a number."""
    try:
        share = float(max_delete.removesuffix("%"))
    except ValueError:
        share = -1.0
    if share < 0:
        raise UsageError(f'--max-delete is a share like "10%" or a number of videos: {max_delete!r}')
    allowed = max(10.0, known * share / 100) if max_delete.endswith("%") else share
    if gone > allowed:
        raise UsageError(
            f"{gone} of {known} videos are gone from the corpus, more than {allowed:g} may be removed at once; "
            "nothing was changed. Is a disk not mounted? If they are really gone, say --max-delete 100%"
        )


@dataclass(slots=True)
class _Sorted:
    """The piles that planning makes."""

    work: list[Work] = field(default_factory=list)
    copies: list[CopyOf] = field(default_factory=list)
    unchanged: list[VideoRef] = field(default_factory=list)
    rejected: list[VideoRef] = field(default_factory=list)
    skipped: list[VideoRef] = field(default_factory=list)
    updated: list[LedgerEntry] = field(default_factory=list)
    relabelled: list[LedgerEntry] = field(default_factory=list)

    def same_bytes(self, video: VideoRef, entry: LedgerEntry, *, touched: bool = False) -> None:
        """The bytes are those that the ledger knows: nothing to decode, but for another try."""
        retry = any(reject.transient for reject in entry.rejects) and entry.attempts < MAX_ATTEMPTS
        if retry or (entry.state == "skipped" and video.expected):
            self.work.append(Work(video, entry.content, entry.attempts + 1 if retry else 1))
            return
        if entry.state in ("skipped", "dropped"):
            self.skipped.append(video)
        elif entry.state in ("rejected", "quarantined"):
            self.rejected.append(video)
        else:
            self.unchanged.append(video)
        relabelled = entry.metadata != video.metadata
        later = is_older(entry.event, video.event) or (bool(video.event) and not entry.event)
        if touched or relabelled or later or entry.origin != video.origin:
            event = newest(entry.event, video.event)
            changed = replace(entry, metadata=video.metadata, origin=video.origin, event=event)
            self.updated.append(changed)
            if relabelled and entry.clips:
                self.relabelled.append(changed)


def _given_another_chance(entry: LedgerEntry, decoder: str) -> LedgerEntry:
    """An entry that another decoder rejected counts as not tried yet; a reject that names no decoder is left alone."""
    if all(reject.decoder in ("", decoder) for reject in entry.rejects):
        return entry
    return replace(entry, attempts=0, rejects=tuple(replace(reject, transient=True) for reject in entry.rejects))


def _copyable(ledger: Mapping[str, LedgerEntry]) -> Iterable[tuple[str, LedgerEntry]]:
    """Entries whose outcome holds for every file with the same bytes."""
    for uri, entry in ledger.items():
        settled = not any(reject.transient for reject in entry.rejects)
        if settled and (entry.live_content or (entry.state == "rejected" and entry.content)):
            yield uri, entry


def _hash_possible_copies(
    videos: Sequence[VideoRef], ledger: Mapping[str, LedgerEntry], hash_content: Hasher, hash_sparse: Hasher | None
) -> dict[str, str]:
    """SHA-256 by URI, of those videos alone that could be copies of another or of their own old bytes.

    Of the ledger's videos only the whole hash is known, so a new one of such a size is read whole.
    """
    by_size: dict[int, list[VideoRef]] = defaultdict(list)
    for video in videos:
        by_size[video.size_bytes].append(video)
    known_sizes = {entry.size_bytes for entry in ledger.values() if entry.content}
    wanted = [video for size, group in by_size.items() if size in known_sizes for video in group]
    alike = [video for size, group in by_size.items() if size not in known_sizes and len(group) > 1 for video in group]
    if not wanted and not alike:
        return {}
    with ThreadPoolExecutor(max_workers=4) as pool:
        if hash_sparse is not None:
            by_sample: dict[str, list[VideoRef]] = defaultdict(list)
            for video, sample in zip(alike, pool.map(hash_sparse, alike), strict=True):
                by_sample[sample].append(video)
            alike = [video for sample, group in by_sample.items() if sample and len(group) > 1 for video in group]
        wanted += alike
        contents = list(pool.map(hash_content, wanted))
    return {video.uri: content for video, content in zip(wanted, contents, strict=True) if content}
