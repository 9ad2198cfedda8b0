"""`reelvec dlq`: what could not be indexed."""

from dataclasses import asdict
from typing import Annotated

import typer

from pipelines.cli_ingest import run_ingest
from pipelines.cli_options import DEFAULT_INDEX, Device, FailOnReject, Index, Json, Wait, print_json, say
from transforms.errors import UsageError

dlq = typer.Typer(name="dlq", help="What could not be indexed: list it, or try it again.", no_args_is_help=True)


@dlq.command("list")
def dlq_list(index: Index = DEFAULT_INDEX, as_json: Json = False) -> None:
    """List what could not be indexed, and why."""
    from pipelines.rejects import list_rejects
    from pipelines.show import show_rejects
    from transforms.index.location import IndexLocation

    rejects = [asdict(reject) for reject in list_rejects(IndexLocation.parse(index))]
    if as_json:
        print_json(rejects)
    else:
        show_rejects(rejects)


@dlq.command("replay")
def dlq_replay(
    videos: Annotated[list[str] | None, typer.Argument(help="Only these paths or URIs; default: all.")] = None,
    index: Index = DEFAULT_INDEX,
    device: Device = None,
    wait: Wait = False,
    fail_on_reject: FailOnReject = False,
    as_json: Json = False,
) -> None:
    """Try again what could not be indexed, when its cause is mended."""
    from pipelines.rejects import list_rejects
    from transforms.index.location import IndexLocation
    from transforms.uris import is_local, path_of_uri, uri_of_path

    rejected = {reject.uri for reject in list_rejects(IndexLocation.parse(index))}
    chosen = {video if "://" in video else uri_of_path(video) for video in videos or ()} or rejected
    if unknown := chosen - rejected:
        raise UsageError(f"nothing of {min(unknown)!r} was rejected; `reelvec dlq list` shows what was")
    here = sorted(uri for uri in chosen if not is_local(uri) or path_of_uri(uri).exists())
    if len(here) < len(chosen):
        say(f"{len(chosen) - len(here)} rejected files are gone and left to the next ingest")
    given = {
        "sources": tuple(here),
        "retry_rejects": tuple(here),
        "index": index,
        "device": device,
        "wait": wait or None,
    }
    run_ingest({**given, "command": "dlq replay"}, fail_on_reject=fail_on_reject, as_json=as_json)
