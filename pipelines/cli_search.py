"""`reelvec search`: a text, or a file, and what else is asked of the clips that fit it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from transforms.errors import UsageError

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
    like: Annotated[Path | None, typer.Option(help="A picture, sound or video instead of a text; with --by.")] = None,
    by: _By = "auto",
    weights: Annotated[
        str | None, typer.Option(help="With --by weighted: frame=1,transcript=0.5", metavar="NAME=NUMBER,...")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many clips.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find the clips that fit a text, or a file, best."""
    from pipelines.asked import Asked
    from pipelines.search import Searcher

    if (text is None) == (like is None):
        raise UsageError("say what to look for: a text, or --like FILE")
    with Searcher(index) as searcher:
        if like is not None:
            hits = searcher.search_like(like, by=by, limit=limit)
        else:
            hits = searcher.ask(Asked(text or "", by=by, limit=limit, weights=parse_weights(weights or "")))
    if as_json:
        print(json.dumps([hit.as_json() for hit in hits], ensure_ascii=False, allow_nan=False, indent=2))
    else:
        from pipelines.show import show_hits

        show_hits(hits)


def parse_weights(text: str) -> dict[str, float]:
    """The weights of "frame=1,transcript=0.5"; raises UsageError for anything else."""
    weights: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (side.strip() for side in part.partition("="))
        try:
            weights[name] = float(number)
        except ValueError as error:
            raise UsageError(f"weights are written as frame=1,transcript=0.5: {part!r}") from error
    return weights
