"""`reelvec reindex`: one run, within a budget, that makes an index true; for schedules."""

from typing import Annotated

import typer

from pipelines.cli_engines import Detach, Runner, engine_settings
from pipelines.cli_ingest import run_ingest
from pipelines.cli_options import (
    DEFAULT_INDEX,
    AllowPrivate,
    Archive,
    Device,
    FailOnReject,
    Index,
    Json,
    Manifest,
    MaxDelete,
    Prefetch,
    PublishEvery,
    RemoteCache,
    Sources,
    Wait,
)
from pipelines.outside import LogFormat, MetricsFile, MetricsPort, Outside, Report
from transforms.errors import UsageError


def reindex_command(
    ctx: typer.Context,
    sources: Sources = None,
    index: Index = DEFAULT_INDEX,
    manifest: Manifest = None,
    recipe: Annotated[
        str | None, typer.Option(help="Another recipe, by its name or .toml file: filled beside, checked, switched to.")
    ] = None,
    keep_days: Annotated[float | None, typer.Option(help="How long vectors of the recipe before are kept.")] = None,
    max_hours: Annotated[float | None, typer.Option(help="Start no new segment after so many hours.")] = None,
    max_videos: Annotated[int | None, typer.Option(help="Embed so many videos, defer the rest.")] = None,
    order: Annotated[str, typer.Option(help="What is embedded first: newest, oldest, smallest or listed.")] = "newest",
    device: Device = None,
    prefetch: Prefetch = None,
    max_delete: MaxDelete = None,
    publish_every: PublishEvery = None,
    archive: Archive = None,
    runner: Runner = None,
    detach: Detach = False,
    remote_cache: RemoteCache = None,
    allow_private_addresses: AllowPrivate = False,
    wait: Wait = False,
    fail_on_reject: FailOnReject = False,
    metrics_port: MetricsPort = None,
    metrics_file: MetricsFile = None,
    log_format: LogFormat = "text",
    report: Report = None,
    as_json: Json = False,
) -> None:
    """Make an index true in one run: what ingest does, within a budget, with one line at the end that says how it went.

    Safe to start twice and to kill: the next run goes on from what was committed.
    """
    if not sources and manifest is None:
        raise UsageError("name the videos: files, folders or globs, or a --manifest")
    given = {
        "sources": tuple(sources or ()),
        "index": index,
        "manifest": manifest,
        "recipe": recipe,
        "keep_days": keep_days,
        "max_hours": max_hours,
        "max_videos": max_videos,
        "order": order,
        "device": device,
        "prefetch": prefetch,
        "max_delete": max_delete,
        "publish_every_seconds": publish_every,
        "archive": archive,
        "remote_cache": remote_cache,
        "allow_private_addresses": allow_private_addresses or None,
        "wait": wait or None,
        **engine_settings(ctx, runner, detach=detach),
        "command": "reindex",
    }
    outside = Outside(metrics_port, metrics_file, log_format, report)
    run_ingest(given, fail_on_reject=fail_on_reject, as_json=as_json, outside=outside)
