"""`reelvec reindex`: one run, within a budget, that makes an index true; for schedules."""

from typing import Annotated

import typer

from pipelines.cli_groups import grouped
from pipelines.cli_ingest import run_ingest
from pipelines.cli_run import Corpus, OneRun


@grouped
def reindex_command(
    ctx: typer.Context,
    corpus: Corpus,
    recipe: Annotated[
        str | None, typer.Option(help="Another recipe, by its name or .toml file: filled beside, checked, switched to.")
    ] = None,
    keep_days: Annotated[float | None, typer.Option(help="How long vectors of the recipe before are kept.")] = None,
    max_hours: Annotated[float | None, typer.Option(help="Start no new segment after so many hours.")] = None,
    max_videos: Annotated[int | None, typer.Option(help="Embed so many videos, defer the rest.")] = None,
    order: Annotated[str, typer.Option(help="What is embedded first: newest, oldest, smallest or listed.")] = "newest",
    *,
    run: OneRun,
) -> None:
    """Make an index true in one run: what ingest does, within a budget, with one line at the end that says how it went.

    Safe to start twice and to kill: the next run goes on from what was committed.
    """
    given = {
        **corpus.given(),
        "recipe": recipe,
        "keep_days": keep_days,
        "max_hours": max_hours,
        "max_videos": max_videos,
        "order": order,
        **run.given(ctx),
        "command": "reindex",
    }
    run_ingest(given, fail_on_reject=run.fail_on_reject, as_json=run.as_json, outside=run.outside)
