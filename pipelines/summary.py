"""What a run did, counted from what the ledger says after it."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from transforms.plan import Plan
from transforms.records import LedgerEntry, VideoRef
from transforms.source import Listing

Outcome = Literal["indexed", "moved", "deferred", "rejected", "skipped"]


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
    clips_written: int  # by this run, those of videos that are not complete yet too
    seconds_of_video: float  # of the videos that this run made searchable
    wall_seconds: float
    rejects_path: str
    interrupted: bool = False
    problems: tuple[str, ...] = ()
    payloads_rewritten: int = 0  # clips whose payloads were of an older revision


def summarise(
    listing: Listing,
    plan: Plan,
    ledger: Mapping[str, LedgerEntry],
    *,
    copied: Collection[str],
    videos_removed: int,
    clips_embedded: int,
    wall_seconds: float,
    rejects_path: str,
    interrupted: bool,
) -> IngestSummary:
    """Count what became of every listed video; `copied` names the copies and moves that were made."""
    outcomes = {work.video.uri: outcome(work.video, ledger.get(work.video.uri)) for work in plan.to_embed}
    for copy in plan.copies:
        done = outcome(copy.video, ledger.get(copy.video.uri)) if copy.video.uri in copied else "deferred"
        outcomes[copy.video.uri] = "moved" if copy.moved and done == "indexed" else done
    count = Counter(outcomes.values())
    searchable = [ledger[uri] for uri, done in outcomes.items() if done in ("indexed", "moved")]
    return IngestSummary(
        videos_found=len(outcomes) - count["skipped"] + len(plan.unchanged) + len(plan.rejected) + len(plan.growing),
        videos_indexed=count["indexed"],
        videos_unchanged=len(plan.unchanged),
        videos_moved=count["moved"],
        videos_deferred=count["deferred"] + len(plan.growing),
        videos_rejected=count["rejected"] + len(plan.rejected),
        videos_removed=videos_removed,
        videos_copied=sum(outcomes[copy.video.uri] == "indexed" for copy in plan.copies),
        files_skipped=listing.skipped_count + len(plan.skipped) + count["skipped"],
        clips_written=clips_embedded + sum(ledger[uri].clips for uri in copied),
        seconds_of_video=round(sum(entry.duration_seconds for entry in searchable), 3),
        wall_seconds=round(wall_seconds, 3),
        rejects_path=rejects_path,
        interrupted=interrupted,
        problems=listing.problems,
    )


def outcome(video: VideoRef, entry: LedgerEntry | None) -> Outcome:
    """What became of a video that this run took up, by what the ledger says now."""
    if entry is None or (entry.size_bytes, entry.version) != (video.size_bytes, video.version):
        return "deferred"
    if entry.state == "skipped":
        return "skipped"
    return "indexed" if entry.live_content and entry.live_content == entry.content else "rejected"
