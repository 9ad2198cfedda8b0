"""The dead letters: listed, written beside the index as JSON lines, and tried again on demand."""

import json
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from transforms.index.ledger import read_entries
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.plain import to_plain
from transforms.records import LedgerEntry, Reject
from transforms.uris import shown


@dataclass(frozen=True, slots=True)
class RejectedInput:
    """One reject as scripts see it."""

    id: str
    video: str
    uri: str
    stage: str
    error: str
    message: str
    start_seconds: float | None
    end_seconds: float | None
    attempts: int
    transient: bool


def rejects_path(location: IndexLocation) -> Path:
    """The JSON-lines file beside the index; in the working directory for a server's."""
    if location.kind == "edge":
        return Path(location.folder).absolute() / "rejects.jsonl"
    return Path.cwd() / f"{location.name}.rejects.jsonl"


def rejects_text(entries: Iterable[LedgerEntry]) -> str:
    """Every reject of the ledger as the file beside the index holds it, one a line, in the order of their ids."""
    rejects = sorted((reject for entry in entries for reject in entry.rejects), key=lambda reject: reject.id)
    return "".join(json.dumps({"id": reject.id, **to_plain(reject)}, sort_keys=True) + "\n" for reject in rejects)


def write_rejects(location: IndexLocation, entries: Iterable[LedgerEntry]) -> Path:
    """Write every reject of the ledger, one a line, in the order of their ids; atomically."""
    path, text = rejects_path(location), rejects_text(entries)
    if not path.exists() or path.read_text() != text:
        fresh = path.with_suffix(".tmp")
        fresh.write_text(text)
        os.replace(fresh, path)
    return path


def update_rejects(location: IndexLocation, uris: Collection[str], entries: Iterable[LedgerEntry]) -> Path:
    """Write the file again with the rejects of these videos replaced by what their entries hold now; atomically."""
    path = rejects_path(location)
    held = path.read_text().splitlines() if path.exists() else []
    lines = [line for line in held if json.loads(line)["uri"] not in uris] + rejects_text(entries).splitlines()
    fresh = path.with_suffix(".tmp")
    fresh.write_text("".join(line + "\n" for line in sorted(lines, key=lambda line: str(json.loads(line)["id"]))))
    os.replace(fresh, path)
    return path


def list_rejects(location: IndexLocation) -> list[RejectedInput]:
    """What the index could not take, as it was published last, sorted by cause and video."""
    reader = open_reader(location)
    try:
        entries = read_entries(reader)
    finally:
        reader.close()
    rejects = [rejected_input(reject) for entry in entries.values() for reject in entry.rejects]
    return sorted(rejects, key=lambda reject: (reject.error, reject.video, reject.start_seconds or 0.0))


def rejected_input(reject: Reject) -> RejectedInput:
    """A reject as scripts see it."""
    return RejectedInput(
        id=reject.id,
        video=shown(reject.uri),
        uri=reject.uri,
        stage=reject.stage,
        error=reject.error,
        message=reject.message,
        start_seconds=reject.start_seconds,
        end_seconds=reject.end_seconds,
        attempts=reject.attempts,
        transient=reject.transient,
    )
