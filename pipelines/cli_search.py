"""`reelvec search`: a text, or a file, and what else is asked of the clips that fit it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transforms.errors import UsageError

if TYPE_CHECKING:
    from pipelines.asked import Asked
    from pipelines.search import Searcher

_Index = Annotated[
    str,
    typer.Option(
        "--index",
        "-i",
        envvar="REELVEC_INDEX",
        help="A folder, or http(s)://host:port/NAME of a Qdrant server.",
        metavar="FOLDER|URL",
    ),
]
_By = Annotated[
    str,
    typer.Option(help="auto, frame, frames, transcript, words, ocr, audio, clip, rrf, weighted, dbsf, ..."),
]


def search(
    text: Annotated[str | None, typer.Argument(help="What to look for, in your own words.")] = None,
    index: _Index = "reelvec.index",
    then: Annotated[str | None, typer.Option(help="What comes after it.", metavar="TEXT")] = None,
    within: Annotated[
        str | None, typer.Option(help="It may also follow in a later clip, so soon.", metavar="TIME")
    ] = None,
    near: Annotated[str | None, typer.Option(help="Rank by closeness to this time too.", metavar="TIME")] = None,
    at: Annotated[
        str | None, typer.Option(help="The same by place: opening, middle, end or 0 to 1.", metavar="PLACE")
    ] = None,
    between: Annotated[
        tuple[str, str] | None, typer.Option(help="Only clips that overlap this span.", metavar="TIME TIME")
    ] = None,
    like: Annotated[Path | None, typer.Option(help="A picture, sound or video instead of a text; with --by.")] = None,
    by: _By = "auto",
    weights: Annotated[
        str | None, typer.Option(help="With --by weighted: frame=1,transcript=0.5", metavar="NAME=NUMBER,...")
    ] = None,
    level: Annotated[str, typer.Option(help="What a hit is: a clip, or the video of the best clip.")] = "clip",
    pooled: Annotated[
        bool, typer.Option("--pooled", help="With --level video: by the mean of all its clips, not by the best.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many hits.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find the clips that fit a text, a time or a file best. Times count from a video's start, as players do."""
    from pipelines.asked import Asked
    from pipelines.search import Searcher
    from pipelines.times import parse_seconds

    if like is not None and (text is not None or any(value is not None for value in (then, within, near, at, between))):
        raise UsageError("--like FILE is asked alone: without a text, an order or a time")
    if like is not None and weights is not None:
        raise UsageError("--weights weigh the modalities of a text: --like FILE compares one vector")
    if text is not None and not text.strip():
        raise UsageError("there is nothing to search for: the question is empty")
    if like is None and text is None and near is None and at is None and between is None:
        raise UsageError("say what to look for: a text, a time (--between, --near, --at), or --like FILE")
    with Searcher(index) as searcher:
        if like is not None:
            hits = searcher.search_like(like, by=by, limit=limit, level=level, pooled=pooled)
        else:
            asked = Asked(
                text or "",
                by=by,
                limit=limit,
                then=then,
                within_seconds=None if within is None else parse_seconds(within),
                near_seconds=None if near is None else parse_seconds(near),
                at=None if at is None else parse_place(at),
                between_seconds=None if between is None else (parse_seconds(between[0]), parse_seconds(between[1])),
                weights={} if weights is None else parse_weights(weights),
                level=level,
                pooled=pooled,
            )
            hits = searcher.ask(asked)
            if not hits:
                _say_if_beyond(searcher, asked)
    if as_json:
        print(json.dumps([hit.as_json() for hit in hits], ensure_ascii=False, allow_nan=False, indent=2))
    else:
        from pipelines.show import show_hits

        show_hits(hits)


def parse_place(text: str) -> float:
    """The share of a video that has passed at "opening", "middle", "end" or a number; raises UsageError."""
    from pipelines.asked import PLACES

    try:
        return PLACES[text] if text in PLACES else float(text)
    except ValueError as error:
        raise UsageError(f"--at is {', '.join(PLACES)} or a share from 0 to 1: {text!r}") from error


def parse_weights(text: str) -> dict[str, float]:
    """The weights of "frame=1,transcript=0.5"; raises UsageError for anything else."""
    weights: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (side.strip() for side in part.partition("="))
        try:
            weight = float(number)
        except ValueError as error:
            raise UsageError(f"weights are written as frame=1,transcript=0.5: {part!r}") from error
        if name in weights:
            raise UsageError(f"a name has one weight: {name} has {weights[name]:g} and {weight:g}")
        weights[name] = weight
    if not weights:
        raise UsageError(f"weights are written as frame=1,transcript=0.5: {text!r}")
    return weights


def _say_if_beyond(searcher: "Searcher", asked: "Asked") -> None:
    """Tell a time that lies beyond the end of every video from a question that nothing answers."""
    from pipelines.times import clock

    seconds = asked.between_seconds[0] if asked.between_seconds else asked.near_seconds
    if seconds is not None and seconds >= (longest := searcher.longest_seconds()):
        print(
            f"reelvec: no video of this index lasts until {clock(seconds)}; the longest ends at {clock(longest)}",
            file=sys.stderr,
            flush=True,
        )
