"""How well an index answers labelled questions.

A table of questions is tab-separated with the columns query, modality, relevant, start_seconds,
end_seconds and note. `relevant` is one file or several joined by "|", relative to the media
folder, all of them right; the span is of a player's clock, which starts at 0.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.search import Searcher, SearchHit
from pipelines.times import parse_seconds
from transforms.errors import UsageError
from transforms.index.query import LIVE_CLIPS
from transforms.index.store import Equals, Where
from transforms.uris import shown, uri_of_path

COLUMNS = ("query", "modality", "relevant", "start_seconds", "end_seconds", "note")
DEPTHS = (1, 5, 10)
ALL = "all"

#: Clips asked for at first; more where these lie in too few files.
_FIRST_LIMIT = 50
_LAST_LIMIT = 3200


@dataclass(frozen=True, slots=True)
class Question:
    """One labelled question; `relevant` are the URIs of the files that answer it."""

    text: str
    kind: str
    relevant: tuple[str, ...]
    start_seconds: float | None = None
    end_seconds: float | None = None

    def is_answered_by(self, hit: SearchHit) -> bool:
        """Whether the hit lies in one of the right files."""
        return any(hit.video == shown(uri) for uri in self.relevant)


@dataclass(frozen=True, slots=True)
class Answer:
    """The first distinct files that were found, each with its best clip."""

    question: Question
    hits: tuple[SearchHit, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures by way of searching and kind of question, and what makes them smaller than they could be."""

    figures: dict[str, dict[str, dict[str, float | int | None]]]
    not_indexed: tuple[str, ...]  # URIs of right files that the index does not hold


def evaluate(searcher: Searcher, questions: Sequence[Question], *, by: Sequence[str] = ()) -> Evaluation:
    """Ask every question in every way of `by` (default: all that the index offers)."""
    wanted = tuple(by) or tuple(name for name in searcher.names if name != "frames")
    unknown = [name for name in wanted if name not in searcher.names]
    if unknown:
        raise UsageError(f"this index cannot be searched by {unknown[0]!r}; it can by {', '.join(searcher.names)}")
    relevant = {uri for question in questions for uri in question.relevant}
    not_indexed = frozenset(uri for uri in relevant if not _is_indexed(searcher, uri))
    figures = {}
    for name in wanted:
        answers = [answer(searcher.search, question, by=name) for question in questions]
        figures[name] = figures_of(answers, not_indexed=not_indexed)
    return Evaluation(figures, tuple(sorted(not_indexed)))


def answer(search: Callable[..., list[SearchHit]], question: Question, *, by: str) -> Answer:
    """Ask until enough distinct files are found or there are no more clips."""
    limit = _FIRST_LIMIT
    while True:
        hits = search(question.text, by=by, limit=limit)
        files: dict[str, SearchHit] = {}
        for hit in hits:
            files.setdefault(hit.video, hit)
        if len(files) >= max(DEPTHS) or len(hits) < limit or limit >= _LAST_LIMIT:
            return Answer(question, tuple(files.values())[: max(DEPTHS)])
        limit *= 4


def figures_of(
    answers: Sequence[Answer], *, not_indexed: frozenset[str] = frozenset()
) -> dict[str, dict[str, float | int | None]]:
    """Figures for each kind of question, in the order in which they come, and for all together."""
    kinds: dict[str, list[Answer]] = defaultdict(list)
    for one in answers:
        kinds[one.question.kind].append(one)
    if ALL in kinds:
        raise UsageError(f'a kind of question cannot be called "{ALL}": {kinds[ALL][0].question.text!r}')
    return {kind: _figures(group, not_indexed) for kind, group in {**kinds, ALL: list(answers)}.items()}


def _figures(answers: Sequence[Answer], not_indexed: frozenset[str]) -> dict[str, float | int | None]:
    figures: dict[str, float | int | None] = {}
    for depth in DEPTHS:
        found = sum(any(one.question.is_answered_by(hit) for hit in one.hits[:depth]) for one in answers)
        figures[f"recall@{depth}"] = _share(found, len(answers))
    right = [
        _overlaps(hit, one.question)
        for one in answers
        if one.question.start_seconds is not None
        for hit in one.hits
        if one.question.is_answered_by(hit)
    ]
    figures["span_hit"] = _share(sum(right), len(right))
    figures["queries"] = len(answers)
    figures["files_not_indexed"] = len({uri for one in answers for uri in one.question.relevant} & not_indexed)
    return figures


def _overlaps(hit: SearchHit, question: Question) -> bool:
    """Whether the clip and the labelled span share a moment; both half-open."""
    start, end = (value - hit.media_start_seconds for value in (hit.start_seconds, hit.end_seconds))
    asked_start = question.start_seconds or 0.0
    return end > asked_start and (question.end_seconds is None or start < question.end_seconds)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _is_indexed(searcher: Searcher, uri: str) -> bool:
    where = Where(must=(*LIVE_CLIPS.must, Equals("uri", uri)))
    return searcher.reader.count(where) > 0


def read_questions(path: Path, *, media: Path) -> list[Question]:
    """The labelled questions of a table; raises UsageError that names the line at fault."""
    try:
        lines = [line.rstrip("\r") for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except OSError as error:
        raise UsageError(f"the questions cannot be read: {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the questions are not UTF-8: {path}: {error.reason} at byte {error.start}") from error
    if not media.is_dir():
        raise UsageError(f"there is no folder of media: {media}")
    header = lines[0].split("\t")
    missing = [name for name in COLUMNS[:3] if name not in header]
    if missing:
        raise UsageError(
            f"line 1 of {path} must name the columns {', '.join(COLUMNS)}, separated by tabs; "
            f"missing: {', '.join(missing)}"
        )
    questions = [
        _question(f"line {number} of {path}", header, line.split("\t"), media)
        for number, line in enumerate(lines[1:], start=2)
        if line.strip()
    ]
    if not questions:
        raise UsageError(f"{path} asks no questions; its first line names the columns, the others are questions")
    return questions


def _question(where: str, header: list[str], cells: list[str], media: Path) -> Question:
    if len(cells) > len(header):
        raise UsageError(f"{where} has {len(cells)} cells, its header {len(header)}")
    row = {**dict.fromkeys(COLUMNS, ""), **dict(zip(header, cells, strict=False))}
    relevant = tuple(uri_of_path(media / name.strip()) for name in row["relevant"].split("|") if name.strip())
    if not row["query"].strip() or not row["modality"].strip() or not relevant:
        raise UsageError(f'{where}: "query", "modality" and "relevant" must not be empty')
    span: list[float | None] = []
    for name in ("start_seconds", "end_seconds"):
        try:
            span.append(parse_seconds(row[name]) if row[name].strip() else None)
        except UsageError as error:
            raise UsageError(f"{where}: {name}: {error}") from error
    if span[1] is not None and (span[0] or 0.0) > span[1]:
        raise UsageError(f"{where}: a span ends after it starts: start_seconds={span[0]}, end_seconds={span[1]}")
    return Question(row["query"].strip(), row["modality"].strip(), relevant, *span)
