"""Videos one by one: do the ledger, the clips and the receipts of each agree?"""

from collections.abc import Callable, Iterator, Mapping

from pipelines.fsck.books import Books, Version, Waiting
from pipelines.fsck.points import Points, Tally
from pipelines.fsck.problem import EMBED_AGAIN, NOTHING_LOST, REPAIR, Mend, Problem
from transforms.records import LedgerEntry
from transforms.uris import shown
from transforms.write.commit import may_be_mended

_AFRESH = f"{REPAIR} deletes its clips and has the next ingest or reindex embed the video again"
_BRING_BACK = "bring its file back and repair again, or `reelvec forget` it: these clips are all there is"

#: Whether the file of a URI is there now, so that its clips can be made again.
IsHere = Callable[[str], bool]


def videos_compared(books: Books, points: Points, recipe: str, is_here: IsHere) -> Iterator[Problem]:
    """Every video of which the ledger, the clips, the whole point and the receipts do not agree."""
    waiting = books.waiting_of()
    for uri in sorted(books.entries.keys() | points.tallies.keys() | waiting.keys()):
        if uri in books.unreadable:
            continue
        entry, tallies = books.entries.get(uri), points.tallies.get(uri, {})
        yield from video_compared(uri, entry, tallies, waiting.get(uri, {}), recipe, is_here)
        if entry is not None and entry.live_content and uri not in points.whole:
            sentence = f"the whole video has no point of its own: {shown(uri)}"
            cure = f"{REPAIR} makes it from its clips"
            yield Problem("whole_missing", entry.id, sentence, cure, "whole", uri)


def video_compared(
    uri: str,
    entry: LedgerEntry | None,
    tallies: Mapping[Version, Tally],
    waiting: Mapping[Version, Waiting],
    recipe: str,
    is_here: IsHere,
) -> Iterator[Problem]:
    """What does not agree about one video."""
    named = entry.live_content if entry is not None else ""
    counted = sum(tally.live for version, tally in tallies.items() if version[1] == named) if named else 0
    if entry is not None and entry.clips != counted:
        yield _miscounted(entry, counted, is_here)
    if entry is None and any(tally.live for tally in tallies.values()):
        sentence = f"searchable clips are of a video that the ledger does not know: {shown(uri)}"
        cure = f"{REPAIR} enters it into the ledger and has the next ingest or reindex embed it again"
        yield Problem("entry_missing", uri, sentence, cure, "embed_again", uri)
    for version, tally in tallies.items():
        if tally.live and version[1] == named and version[2] != recipe:
            yield _of_other_recipe(version, tally, is_here)
        elif tally.live and entry is not None and version[1] != named:
            yield _unnamed(version, tally, entry, counted, is_here)
        if tally.waiting and version not in waiting:
            sentence = f"{tally.waiting} clips of a run that ended early wait for nothing: {shown(uri)}"
            yield _of(version, "clips_left_over", sentence, NOTHING_LOST, "delete_waiting")
    for version, receipts in waiting.items():
        yield from _receipts_compared(version, receipts, entry, tallies.get(version, Tally()))


def _miscounted(entry: LedgerEntry, counted: int, is_here: IsHere) -> Problem:
    sentence = f"the ledger says {entry.clips} clips and {counted} are searchable: {shown(entry.uri)}"
    kind, mend, cure = "clips_fewer", "embed_again", EMBED_AGAIN
    if counted > entry.clips:  # which of them are the right ones cannot be told
        kind, mend, cure = "clips_more", *_afresh(entry.uri, is_here)
    return Problem(kind, entry.id, sentence, cure, mend, entry.uri, entry.live_content)  # type: ignore[arg-type]


def _of_other_recipe(version: Version, tally: Tally, is_here: IsHere) -> Problem:
    mend, cure = _afresh(version[0], is_here)
    sentence = f"{tally.live} clips were made by another recipe than the index's: {shown(version[0])}"
    return _of(version, "clips_of_other_recipe", sentence, cure, mend)


def _unnamed(version: Version, tally: Tally, entry: LedgerEntry, counted: int, is_here: IsHere) -> Problem:
    """Searchable clips of a version that the ledger does not name."""
    uri = shown(entry.uri)
    if entry.state == "forgotten":
        sentence = f"{tally.live} clips of a forgotten video are searchable: {uri}"
        return _of(version, "clips_of_forgotten", sentence, f"{REPAIR} deletes them", "delete_clips")
    if not counted:
        sentence = f"{tally.live} clips are searchable of a version that the ledger does not name: {uri}"
        return _of(version, "clips_unnamed", sentence, EMBED_AGAIN, "embed_again")
    sentence = f"two versions are searchable at once, with {tally.live} clips of one that is not the ledger's: {uri}"
    if counted == entry.clips or is_here(entry.uri):
        return _of(version, "two_versions", sentence, f"{REPAIR} deletes the one that is not named", "delete_clips")
    return _of(version, "two_versions", sentence, _BRING_BACK, "")


def _receipts_compared(
    version: Version, receipts: Waiting, entry: LedgerEntry | None, tally: Tally
) -> Iterator[Problem]:
    uri, content, _ = version
    held = tally.live + tally.waiting
    settled = entry is not None and (
        entry.state in ("forgotten", "deleted") or (entry.content == content and not may_be_mended(entry))
    )
    if settled:
        sentence = f"{receipts.receipts} receipts are of a version that is settled: {shown(uri)}"
        mend: Mend = "delete_receipts_and_waiting" if tally.waiting else "delete_receipts"
        yield _of(version, "receipts_settled", sentence, NOTHING_LOST, mend)
    elif receipts.clips > held or (receipts.complete and receipts.clips != held):
        sentence = f"receipts vouch for {receipts.clips} clips and {held} are there: {shown(uri)}"
        cure = f"{REPAIR} deletes these receipts, and the next ingest or reindex embeds the version from its start"
        yield _of(version, "receipts_disagree", sentence, cure, "delete_receipts_and_waiting")


def _afresh(uri: str, is_here: IsHere) -> tuple[Mend, str]:
    return ("embed_afresh", _AFRESH) if is_here(uri) else ("", _BRING_BACK)


def _of(version: Version, kind: str, sentence: str, cure: str, mend: Mend) -> Problem:
    uri, content, recipe = version
    return Problem(kind, uri, sentence, cure, mend, uri, content, recipe)
