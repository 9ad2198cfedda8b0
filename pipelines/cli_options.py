"""What the commands have in common: their options, and how they say what they found and what went wrong."""

import json
import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from transforms.errors import UsageError

OK, OUTAGE, USAGE, REJECTS, LOCKED, WORK, INTERRUPTED = 0, 1, 2, 3, 4, 10, 130

DEFAULT_INDEX = "reelvec.index"


def seconds_option(text: str | float) -> float:
    """A time as `--clip` and the like take it."""
    from pipelines.times import parse_seconds

    try:
        return parse_seconds(str(text))
    except UsageError as error:
        raise typer.BadParameter(str(error)) from error


def a_time(help: str) -> Any:
    """What typer is told of an option that takes a time: seconds, or 2s, 5m, 1h."""
    return typer.Option(parser=seconds_option, metavar="TIME", help=help)


Index = Annotated[
    str,
    typer.Option(
        "--index",
        "-i",
        envvar="REELVEC_INDEX",
        help="A folder, or http(s)://host:port/NAME of a Qdrant server.",
        metavar="FOLDER|URL",
    ),
]
Sources = Annotated[
    list[str] | None,
    typer.Argument(help="Files, folders, globs in quotes; http(s)://, s3:// and gs:// addresses."),
]
Recipe = Annotated[str | None, typer.Option(help="A recipe's name or its .toml file.")]
Manifest = Annotated[Path | None, typer.Option(help='CSV, JSON lines or Parquet with a column "uri".')]
MaxDelete = Annotated[str | None, typer.Option(help="Most videos to remove as gone: a share or a number.")]
Prefetch = Annotated[int | None, typer.Option(help="Segments to decode ahead.")]
PublishEvery = Annotated[float | None, a_time("How often searches get to see the progress.")]
Archive = Annotated[Path | None, typer.Option(help="Keep a Parquet archive of the index in this folder.")]
RemoteCache = Annotated[Path | None, typer.Option(help="The folder that remote files are fetched to.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait while another process writes the index.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda; cuda never falls back to the processor.")]
AllowPrivate = Annotated[
    bool,
    typer.Option(
        "--allow-private-addresses",
        help="Fetch http(s) from this machine and its private networks too; metadata servers never.",
    ),
]
FailOnReject = Annotated[bool, typer.Option("--fail-on-reject", help="Exit with 3 when anything was rejected.")]


def print_json(document: Any) -> None:
    """One document on standard output."""
    print(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2))


def say(text: str, *, error: bool = False) -> None:
    """One line on standard error; a record where logs are JSON."""
    from pipelines.log_json import tell

    tell(text, plain=f"reelvec: {text}", level=logging.ERROR if error else logging.INFO)
