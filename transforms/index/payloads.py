"""The revision of what clips say of themselves beside their vectors, and the steps from each revision to the next.

A revision is no part of any vector's fingerprint: a newer one asks for other payloads, never for other vectors. What a
step makes, whoever writes new clips makes too (`transforms.fuse.stage`), and readers take both: searches go on while
payloads are rewritten, and before anybody has. What a step cannot tell from the payload and the ledger needs the media,
and with it another `transforms.recipe.REVISION`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from transforms.records import ClipPoint, LedgerEntry

#: The payload of a clip and the ledger entry of its video -> the payload of the next revision.
Step = Callable[[Mapping[str, Any], LedgerEntry], Mapping[str, Any]]

#: By the revision that each leads to; the first one leads to 2.
STEPS: dict[int, Step] = {}

FIRST = 1
#: The field that holds a clip's revision; without it the clip is of the first.
MARK = "payload_revision"

#: What a clip's id is made of and what finds it again: no step may change these.
_FIXED = ("kind", "live", "video_id", "uri", "content", "recipe", "segmenter", "segment_index", "start_seconds")


def revision() -> int:
    """The revision of the payloads that this Reelvec writes."""
    return max(STEPS, default=FIRST)


def mark() -> dict[str, int]:
    """The fields that mark a new clip's payload with its revision."""
    return {} if revision() == FIRST else {MARK: revision()}


def is_outdated(entry: LedgerEntry) -> bool:
    """Whether clips of this video that searches see have payloads of an older revision, or may have."""
    return bool(entry.live_content) and entry.payloads < revision()


def outdated(entries: Iterable[LedgerEntry]) -> Iterator[LedgerEntry]:
    """Those of which this is so; where there is one revision only, none is looked at."""
    return filter(is_outdated, entries) if revision() > FIRST else iter(())


def upgraded(point: ClipPoint, entry: LedgerEntry) -> ClipPoint:
    """The clip with a payload of the newest revision; one that has it already is itself.

    Raises ValueError for a step that changes what the clip is found by.
    """
    held = int(point.payload.get(MARK, FIRST))
    if held >= revision():
        return point
    payload = point.payload
    for number in range(held + 1, revision() + 1):
        payload = STEPS[number](payload, entry)
    changed = [name for name in _FIXED if payload.get(name) != point.payload.get(name)]
    if changed:
        raise ValueError(f"a step changes what a clip is found by: {', '.join(changed)}, revision={revision()}")
    return ClipPoint(point.id, point.vectors, {**payload, **mark()})
