"""`reelvec plan`: a dry run of the next reindex."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli_options import (
    DEFAULT_INDEX,
    WORK,
    AllowPrivate,
    Index,
    Json,
    Manifest,
    MaxDelete,
    Recipe,
    Sources,
    print_json,
    say,
)
from transforms.errors import UsageError

if TYPE_CHECKING:
    from pipelines.plan_report import PlanReport

_SHOWN_VIDEOS = 10


def plan_command(
    sources: Sources = None,
    index: Index = DEFAULT_INDEX,
    manifest: Manifest = None,
    recipe: Recipe = None,
    max_delete: MaxDelete = None,
    allow_private_addresses: AllowPrivate = False,
    prices: Annotated[
        Path | None, typer.Option(help="TOML file with usd_per_machine_hour and [usd_per_clip]; or REELVEC_PRICES.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a run would do, and why, without doing any of it; exits with 10 when there is something to do."""
    from pipelines.cli_ingest import settings_of
    from pipelines.estimates import read_prices
    from pipelines.ingest import recipe_of
    from pipelines.plan_report import dry_run
    from transforms.index.location import IndexLocation

    if not sources and manifest is None:
        raise UsageError("name the videos: files, folders or globs, or a --manifest")
    given: dict[str, Any] = {"sources": tuple(sources or ()), "index": index, "manifest": manifest, "recipe": recipe}
    given["max_delete"] = max_delete
    given["allow_private_addresses"] = allow_private_addresses or None
    settings = settings_of(given)
    table = read_prices(prices)
    report = dry_run(settings, recipe_of(settings, IndexLocation.parse(index)), table)
    for problem in report.problems:
        say(problem)
    if as_json:
        print_json(asdict(report))
    else:
        typer.echo("\n".join(plan_lines(report)))
    if report.work:
        raise typer.Exit(WORK)


def plan_lines(report: "PlanReport") -> list[str]:
    """The report for people."""
    from pipelines.printable import printable
    from pipelines.times import lasting

    lines = [f"plan for {report.index} (recipe {report.recipe})"]
    if report.writer:
        lines.append(f"it is being written meanwhile, by {report.writer}; this is what was published last")
    names = ("new", "changed", "moved", "copied", "unchanged", "gone", "retried", "rejected")
    words = {"retried": "rejected before, tried again", "rejected": "rejected before, not tried again"}
    for name in names:
        lines.append(f"  {getattr(report, name):>7} {words.get(name, name)}")
        videos = report.videos.get(name, ())
        lines += [f"          {printable(video)}" for video in videos[:_SHOWN_VIDEOS]]
        if len(videos) > _SHOWN_VIDEOS:
            lines.append(f"          and {len(videos) - _SHOWN_VIDEOS} more")
    if report.updated:
        lines.append(f"  {report.updated:>7} unchanged, with another time stamp or other columns to note")
    if not report.work:
        return [*lines, "nothing to do"]
    computed = {name: clips for name, clips in report.vectors.items() if clips is None or clips}
    if computed:
        lines.append("vectors to compute (of how many clips at most, and why):")
    for name, clips in computed.items():
        lines.append(f"  {'unknown' if clips is None else clips:>7} {name}: {report.why.get(name, '')}")
        if report.how.get(name) == "from_stored":
            lines[-1] += " (of indexed videos from what is stored, without decoding)"
    if report.payloads:
        vectors = "" if computed else ", no vectors"
        lines.append(f"payloads of {report.payloads} clips to rewrite{vectors}")
    kept = [name for name in report.vectors if name not in computed]
    if computed and kept:
        lines.append(f"          kept as they are: {', '.join(kept)}")
    lines.append(f"{report.must_decode} videos to decode")
    seconds, usd = report.estimated_seconds, report.estimated_cost_usd
    lines.append(f"time: {'unknown' if seconds is None else 'about ' + lasting(seconds)}")
    lines.append(f"money: {'unknown' if usd is None else f'about {usd:.2f} USD'}")
    return [*lines, *(f"  {note}" for note in report.notes)]
