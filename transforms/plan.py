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
from transforms.records import MAX_ATTEMPTS, SAME_BYTES, CopyOf, LedgerEntry, Receipt, VideoRef, Work
from transforms.tables.comparison import Comparison


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do; every listed video is in exactly one of the first five.

    Those of which nothing is to be done may be many: they are counted, and read as they are gone over.
    """

    to_embed: tuple[Work, ...] = ()
    copies: tuple[CopyOf, ...] = ()
    unchanged: Collection[VideoRef] = ()
    rejected: Collection[VideoRef] = ()  # known rejects, not tried again
    skipped: Collection[VideoRef] = ()  # known to hold no media, or forgotten or dropped by the user
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
    videos: Collection[VideoRef],
    ledger: Mapping[str, LedgerEntry],
    *,
    hash_content: Hasher,
    covered: Covers,
    max_delete: str = "10%",
    hash_sparse: Hasher | None = None,
    same_bytes: Hasher | None = None,
    decoder: str = "",
) -> Plan:
    """Decide what becomes of every listed video and of every entry that no listing names.

    Both may be tables of one database (`transforms.tables`); then only what is to be done is held in memory.
    `covered(uri, origin)` tells whether this run's listing would have shown the video if it
    still existed. `hash_sparse` tells most different files of one size apart without reading them whole ("" where it
    cannot). `same_bytes` is how a content that begins with SAME_BYTES is made, of a video of the ledger too.
    What another decoder than `decoder` could not read is tried again, as if it never had been ("": nothing is).
    Raises UsageError when more would be deleted than `max_delete` allows.
    """
    compared = Comparison(videos, ledger, decoder)
    gone = tuple(_given_another_chance(entry, decoder) for entry in compared.unlisted(covered))
    sorted_out = _Sorted(compared)
    unknown = _sort_out_known(compared, decoder, sorted_out)
    contents = _hash_possible_copies([one.video for one in unknown.values()], compared, hash_content, hash_sparse)
    if same_bytes is not None:
        contents = _known_by_hash(contents, unknown, compared, same_bytes)
    _sort_out_unknown(unknown.values(), contents, compared, covered, sorted_out)

    moved_uris = {copy.source_uri for copy in sorted_out.copies if copy.moved}
    lost = [entry for entry in gone if entry.uri not in moved_uris and entry.state != "dropped"]
    check_deletions(len(lost), len(ledger), max_delete)
    return Plan(
        to_embed=tuple(sorted_out.work),
        copies=tuple(sorted_out.copies),
        unchanged=compared.those("unchanged"),
        rejected=compared.those("rejected"),
        skipped=compared.those("skipped"),
        updated=tuple(sorted_out.updated),
        relabelled=tuple(sorted_out.relabelled),
        gone=gone,
    )


def going_on(plan: Plan, receipts: Iterable[Receipt]) -> Plan:
    """The plan with the segments that an earlier run stored of its videos, by their receipts: they are done."""
    done: dict[str, set[tuple[str, int]]] = {work.video.uri: set() for work in plan.to_embed}
    for receipt in receipts:
        if receipt.outcome != "rejected" and receipt.uri in done:
            done[receipt.uri].add((receipt.content, receipt.index))
    to_embed = (replace(work, done=tuple(sorted(done[work.video.uri]))) for work in plan.to_embed)
    return replace(plan, to_embed=tuple(to_embed))


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


@dataclass(frozen=True, slots=True)
class _Unknown:
    """A video whose bytes may not be those of its entry, if it has one."""

    video: VideoRef
    entry: LedgerEntry | None


@dataclass(slots=True)
class _Sorted:
    """The piles that planning makes; what needs nothing is only noted in the comparison."""

    compared: Comparison
    work: list[Work] = field(default_factory=list)
    copies: list[CopyOf] = field(default_factory=list)
    updated: list[LedgerEntry] = field(default_factory=list)
    relabelled: list[LedgerEntry] = field(default_factory=list)

    def same_bytes(self, video: VideoRef, entry: LedgerEntry, *, touched: bool = False) -> None:
        """The bytes are those that the ledger knows: nothing to decode, but for another try."""
        retry = any(reject.transient for reject in entry.rejects) and entry.attempts < MAX_ATTEMPTS
        if retry or (entry.state == "skipped" and video.expected):
            self.work.append(Work(video, entry.content, entry.attempts + 1 if retry else 1))
            return
        if entry.state in ("skipped", "dropped"):
            self.compared.note("skipped", video.uri)
        elif entry.state in ("rejected", "quarantined"):
            self.compared.note("rejected", video.uri)
        else:
            self.compared.note("unchanged", video.uri)
        relabelled = entry.metadata != video.metadata
        later = is_older(entry.event, video.event) or (bool(video.event) and not entry.event)
        if touched or relabelled or later or entry.origin != video.origin:
            event = newest(entry.event, video.event)
            changed = replace(entry, metadata=video.metadata, origin=video.origin, event=event)
            self.updated.append(changed)
            if relabelled and entry.clips:
                self.relabelled.append(changed)


def _sort_out_known(compared: Comparison, decoder: str, out: _Sorted) -> dict[str, _Unknown]:
    """Tell what becomes of the files that are as the ledger knows them; gives the others, by URI."""
    unknown: dict[str, _Unknown] = {}
    for video, entry in compared.undecided():
        entry = None if entry is None else _given_another_chance(entry, decoder)
        if entry is None or (entry.state == "forgotten" and not video.origin):
            unknown[video.uri] = _Unknown(video, entry)
        elif entry.state == "forgotten":
            compared.note("skipped", video.uri)
        elif (entry.size_bytes, entry.version) == (video.size_bytes, video.version):
            out.same_bytes(video, entry)
        else:
            unknown[video.uri] = _Unknown(video, entry)
    return unknown


def _sort_out_unknown(
    unknown: Iterable[_Unknown], contents: Mapping[str, str], compared: Comparison, covered: Covers, out: _Sorted
) -> None:
    """Tell touched files, moved ones and copies from those that are to be embedded, by their hashes in `contents`."""
    sources = compared.sources(contents.values())
    first_with: dict[str, str] = {}
    moved_from: set[str] = set()
    for one in unknown:
        video, entry = one.video, one.entry
        content = contents.get(video.uri, "")
        source_uri = sources.get(content) if content else None
        if content and entry is not None and entry.content == content and entry.state != "forgotten":
            rejects = tuple(replace(reject, version=video.version) for reject in entry.rejects)
            seen = replace(entry, size_bytes=video.size_bytes, version=video.version, rejects=rejects)
            out.same_bytes(video, seen, touched=True)
        elif source_uri is not None and source_uri != video.uri:
            vanished = source_uri not in compared.listed.uris and covered(
                source_uri, compared.ledger[source_uri].origin
            )
            moved = vanished and source_uri not in moved_from  # a second one with its bytes is a copy
            moved_from |= {source_uri} if moved else set()
            out.copies.append(CopyOf(video, content, source_uri, moved))
        elif content and content in first_with:
            out.copies.append(CopyOf(video, content, first_with[content]))
        else:
            if content:
                first_with[content] = video.uri
            out.work.append(Work(video, "" if content.startswith(SAME_BYTES) else content))


def _given_another_chance(entry: LedgerEntry, decoder: str) -> LedgerEntry:
    """An entry that another decoder rejected counts as not tried yet; a reject that names no decoder is left alone."""
    if not decoder or all(reject.decoder in ("", decoder) for reject in entry.rejects):
        return entry
    return replace(entry, attempts=0, rejects=tuple(replace(reject, transient=True) for reject in entry.rejects))


def _known_by_hash(
    contents: dict[str, str], unknown: Mapping[str, _Unknown], compared: Comparison, same_bytes: Hasher
) -> dict[str, str]:
    """The contents with the hash in place of what a store says of the bytes, where the ledger has both."""
    told = [unknown[uri].video for uri, content in contents.items() if content.startswith(SAME_BYTES)]
    hashes = compared.contents(told, same_bytes) if told else {}
    return {uri: hashes.get(content, content) for uri, content in contents.items()}


def _hash_possible_copies(
    videos: Sequence[VideoRef], compared: Comparison, hash_content: Hasher, hash_sparse: Hasher | None
) -> dict[str, str]:
    """SHA-256 by URI, of those videos alone that could be copies of another or of their own old bytes.

    Of the ledger's videos only the whole hash is known, so a new one of such a size is read whole.
    """
    by_size: dict[int, list[VideoRef]] = defaultdict(list)
    for video in videos:
        by_size[video.size_bytes].append(video)
    known_sizes = compared.known_sizes(by_size) if by_size else set()
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
