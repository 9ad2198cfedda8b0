"""Labelled questions, and which files are copies of each other, as tables that a user writes.

A table of questions is tab-separated with the columns query, modality, relevant, start_seconds, end_seconds and note,
of which the first three are needed. `relevant` is one file or several joined by "|", relative to the media folder (or
whole URIs), all of them right; the span is of a player's clock, which starts at 0. The columns of OPTIONS may follow.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.asked import Asked
from pipelines.times import parse_seconds
from transforms.errors import UsageError
from transforms.index.ledger import read_some
from transforms.index.query import AUTO
from transforms.index.store import Reader
from transforms.uris import is_local, path_of_uri, shown, uri_of_path

COLUMNS = ("query", "modality", "relevant", "start_seconds", "end_seconds", "note")
NEEDED = COLUMNS[:3]


def _two_times(text: str) -> tuple[float, float]:
    """[start, end) in seconds from "60-120" or "1:00 2:00"."""
    parts = text.replace("-", " ").split()
    if len(parts) != 2:
        raise UsageError(f'two times are written as "1:00 2:00": {text!r}')
    start, end = (parse_seconds(part) for part in parts)
    if not start < end:
        raise UsageError(f"a stretch of time ends after it starts: {text!r}")
    return start, end


#: Further columns: the condition of `Asked` that it is, and how the cell is read. An empty cell is not handed on.
OPTIONS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "then": ("then", str.strip),
    "within": ("within_seconds", parse_seconds),
    "near": ("near_seconds", parse_seconds),
    "between": ("between_seconds", _two_times),
}


@dataclass(frozen=True, slots=True)
class Question:
    """One labelled question; `relevant` are the URIs of the files that answer it."""

    text: str
    kind: str
    relevant: tuple[str, ...]
    start_seconds: float | None = None
    end_seconds: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # conditions of `Asked`, by name
    where: str = ""  # the line of the table

    def __str__(self) -> str:
        return f"{self.where}: {self.text!r}" if self.where else repr(self.text)

    def asked(self, *, by: str, limit: int) -> Asked:
        """The question as a search takes it. Raises UsageError for conditions that contradict each other."""
        try:
            return Asked(self.text, by=by, limit=limit, **self.options)
        except UsageError as error:
            raise UsageError(f"{self}: {error}") from error


@dataclass(frozen=True, slots=True)
class Copies:
    """Files that are copies of each other; a file in no group is a group of its own."""

    group_of: Mapping[str, str] = field(default_factory=dict)  # by URI

    def of(self, uri: str) -> str:
        """The name of the file's group; its own URI where it has none."""
        return self.group_of.get(uri, uri)


def read_questions(path: Path, *, media: Path) -> list[Question]:
    """The labelled questions of a table; raises UsageError that names the line at fault."""
    rows = _rows(path, "questions", needed=NEEDED, known=(*COLUMNS, *OPTIONS), media=media)
    questions = [_question(where, row, media) for where, row in rows]
    for question in questions:
        question.asked(by=AUTO, limit=1)
    if not questions:
        raise UsageError(f"{path} asks no questions; its first line names the columns, the others are questions")
    return questions


def read_copies(path: Path, *, media: Path) -> Copies:
    """The groups of a table with the columns group and file; raises UsageError that names the line at fault."""
    group_of: dict[str, str] = {}
    for where, row in _rows(path, "duplicates", needed=("group", "file"), known=("group", "file", "note"), media=media):
        group, file = row["group"].strip(), row["file"].strip()
        if not group or not file:
            raise UsageError(f'{where}: "group" and "file" must not be empty')
        uri = _uri(file, media)
        if group_of.get(uri, f"group {group}") != f"group {group}":
            raise UsageError(f"{where}: {file!r} stands in two groups, {group_of[uri][6:]!r} and {group!r}")
        if is_local(uri) and not path_of_uri(uri).exists():
            raise UsageError(f"{where}: there is no file {file!r} in {media}")
        group_of[uri] = f"group {group}"
    return Copies(group_of)


def lengths_of(reader: Reader, questions: Sequence[Question]) -> dict[str, float | None]:
    """How many seconds each right file lasts; None for one of which no clip can be found."""
    uris = sorted({uri for question in questions for uri in question.relevant})
    entries = read_some(reader, uris)
    return {uri: entries[uri].duration_seconds if uri in entries and entries[uri].clips else None for uri in uris}


def check(questions: Sequence[Question], lengths: Mapping[str, float | None]) -> None:
    """Raise UsageError for a question that no index of these files could answer.

    That is one with a right file that neither exists nor is indexed, and one whose span starts after the end of
    every right file that the index holds.
    """
    for question in questions:
        for uri in question.relevant:
            if lengths[uri] is None and is_local(uri) and not path_of_uri(uri).exists():
                raise UsageError(f"{question}: the right file {shown(uri)} does not exist, nor does the index hold it")
        ends = [end for uri in question.relevant if (end := lengths[uri]) is not None]
        if ends and question.start_seconds is not None and question.start_seconds >= max(ends):
            raise UsageError(
                f"{question}: the span starts at {question.start_seconds:g} s, "
                f"where its right files are over: the longest lasts {max(ends):.2f} s"
            )


def _question(where: str, row: Mapping[str, str], media: Path) -> Question:
    relevant = tuple(_uri(name.strip(), media) for name in row["relevant"].split("|") if name.strip())
    if not row["query"].strip() or not row["modality"].strip() or not relevant:
        raise UsageError(f'{where}: "query", "modality" and "relevant" must not be empty')
    start = _value(where, row, "start_seconds", parse_seconds)
    end = _value(where, row, "end_seconds", parse_seconds)
    if end is not None and (start or 0.0) > end:
        raise UsageError(f"{where}: a span ends after it starts: start_seconds={start}, end_seconds={end}")
    options = {name: _value(where, row, column, read) for column, (name, read) in OPTIONS.items()}
    given = {name: value for name, value in options.items() if value is not None}
    return Question(row["query"].strip(), row["modality"].strip(), relevant, start, end, given, where)


def _value(where: str, row: Mapping[str, str], name: str, read: Callable[[str], Any]) -> Any:
    """What stands in a cell; None where it is empty."""
    text = row.get(name, "")
    try:
        return read(text) if text.strip() else None
    except UsageError as error:
        raise UsageError(f"{where}: {name}: {error}") from error


def _uri(name: str, media: Path) -> str:
    return name if "://" in name else uri_of_path(media / name)


def _rows(
    path: Path, what: str, *, needed: Sequence[str], known: Sequence[str], media: Path
) -> Iterable[tuple[str, dict[str, str]]]:
    """("line 7 of FILE", its cells by column) of each line that is not blank."""
    try:
        lines = [line.rstrip("\r") for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except OSError as error:
        raise UsageError(f"the {what} cannot be read: {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the {what} are not UTF-8: {path}: {error.reason} at byte {error.start}") from error
    if not media.is_dir():
        raise UsageError(f"there is no folder of media: {media}")
    header = [name.strip() for name in lines[0].split("\t")]
    missing = [name for name in needed if name not in header]
    wrong = [name for name, times in Counter(header).items() if name not in known or times > 1]
    if missing or wrong:
        told = f"; missing: {', '.join(missing)}" if missing else ""
        told += f"; unknown or named twice: {', '.join(repr(name) for name in wrong)}" if wrong else ""
        raise UsageError(f"line 1 of {path} must name the columns {', '.join(known)}, separated by tabs{told}")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if not line.strip():
            continue
        if len(cells) > len(header):
            raise UsageError(f"line {number} of {path} has {len(cells)} cells, its header {len(header)}")
        rows.append(
            (f"line {number} of {path}", {**dict.fromkeys(known, ""), **dict(zip(header, cells, strict=False))})
        )
    return rows
