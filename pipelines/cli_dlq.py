"""`reelvec dlq`: what could not be indexed, why, trying it again, and taking it off the list."""

from dataclasses import asdict
from typing import Annotated

import typer

from pipelines.cli_ingest import run_ingest
from pipelines.cli_options import DEFAULT_INDEX, Device, FailOnReject, Index, Json, Wait, print_json, say
from transforms.errors import UsageError

dlq = typer.Typer(name="dlq", help="What could not be indexed: list, show, replay, drop.", no_args_is_help=True)


_Cause = Annotated[
    str | None, typer.Option("--cause", help="Only rejects of this class, e.g. UnreadableVideo.", metavar="CLASS")
]


@dlq.command("list")
def dlq_list(
    index: Index = DEFAULT_INDEX,
    group: Annotated[bool, typer.Option("--group", help="With --json: causes, not rejects.")] = False,
    as_json: Json = False,
) -> None:
    """List what could not be indexed, by cause; --json gives reject by reject."""
    from pipelines.causes import read_causes
    from pipelines.rejects import list_rejects, rejected_input
    from pipelines.show_dlq import show_causes
    from transforms.index.location import IndexLocation

    location = IndexLocation.parse(index)
    if as_json and not group:
        print_json([asdict(reject) for reject in list_rejects(location)])
        return
    causes = read_causes(location)
    if as_json:
        print_json([{**asdict(cause), "example": asdict(rejected_input(cause.example))} for cause in causes])
    else:
        show_causes(causes)


@dlq.command("show")
def dlq_show(
    name: Annotated[str, typer.Argument(metavar="ID|VIDEO", help="A reject's id, or a video's path or URI.")],
    index: Index = DEFAULT_INDEX,
    as_json: Json = False,
) -> None:
    """Say all that is known of a reject, and what to do about it."""
    from pipelines.causes import details
    from pipelines.show_dlq import show_details
    from transforms.index.location import IndexLocation

    found = details(IndexLocation.parse(index), name)
    if as_json:
        print_json(found)
    else:
        show_details(found)


@dlq.command("drop")
def dlq_drop(
    videos: Annotated[list[str] | None, typer.Argument(help="Paths or URIs of rejected videos.")] = None,
    cause: _Cause = None,
    index: Index = DEFAULT_INDEX,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Take rejects off the list: their videos are kept out until their bytes change."""
    from pipelines.causes import drop
    from transforms.index.location import IndexLocation
    from transforms.uris import shown

    if not videos and cause is None:
        raise UsageError("name the videos to drop, or the class of their rejects: --cause UnreadableVideo")
    dropped = [shown(uri) for uri in drop(IndexLocation.parse(index), videos or (), error=cause, wait=wait)]
    if as_json:
        print_json({"dropped": dropped})
    else:
        typer.echo("\n".join([f"{len(dropped)} dropped, kept out until their bytes change", *dropped]))


@dlq.command("replay")
def dlq_replay(
    videos: Annotated[list[str] | None, typer.Argument(help="Only these paths or URIs; default: all.")] = None,
    cause: _Cause = None,
    index: Index = DEFAULT_INDEX,
    device: Device = None,
    wait: Wait = False,
    fail_on_reject: FailOnReject = False,
    as_json: Json = False,
) -> None:
    """Try again what could not be indexed, when its cause is mended."""
    from pipelines.causes import replayable
    from transforms.index.location import IndexLocation
    from transforms.uris import is_local, is_message, path_of_uri

    named = replayable(IndexLocation.parse(index), videos or (), error=cause)
    chosen = [uri for uri in named if not is_message(uri)]
    if len(chosen) < len(named):
        say(f"{len(named) - len(chosen)} messages of a stream are left alone: whoever sent them has to mend them")
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
