"""`reelvec export`, `import` and `archive`: an index as Parquet files, and back."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli_options import DEFAULT_INDEX, WORK, Index, Json, Wait, print_json, say

archive = typer.Typer(name="archive", help="Parquet archives that follow an index.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="The archive's folder.", metavar="DIR")]


def export_command(folder: Folder, index: Index = DEFAULT_INDEX, as_json: Json = False) -> None:
    """Write every clip, vector and ledger entry of an index as Parquet; a second time only what changed."""
    from pipelines.archive import export
    from transforms.index.location import IndexLocation

    done = export(IndexLocation.parse(index), folder)
    for problem in done.problems:
        say(f"mended: {problem}")
    if as_json:
        print_json(asdict(done))
    elif done.run:
        print(
            f"exported {done.clips} clips of {done.videos} videos, {done.deleted} deletions (run {done.run}): {folder}"
        )
    else:
        print(f"nothing to export: {folder} holds all of it")


def import_command(folder: Folder, index: Index = DEFAULT_INDEX, wait: Wait = False, as_json: Json = False) -> None:
    """Put an archive into an index, vectors bit by bit; the index is made where there is none."""
    from pipelines.archive import import_archive
    from transforms.index.location import IndexLocation

    done = import_archive(folder, IndexLocation.parse(index), wait=wait)
    for problem in done.problems:
        say(f"left aside: {problem}")
    if as_json:
        print_json(asdict(done))
        return
    kept = f", {done.videos_unchanged} were there already" if done.videos_unchanged else ""
    out = f", {done.videos_forgotten} stay out as they were forgotten" if done.videos_forgotten else ""
    print(f"imported {done.clips} clips of {done.videos} videos{kept}{out}")


@archive.callback()
def archive_options() -> None:
    """Parquet archives that follow an index."""


@archive.command("compact")
def compact_command(folder: Folder, as_json: Json = False) -> None:
    """Merge the runs of an archive and drop what was superseded or deleted."""
    from pipelines.archive import compact_archive

    done = compact_archive(folder)
    if as_json:
        print_json(asdict(done))
    else:
        print(
            f"{done.runs_before} runs merged: {done.points} points of {done.videos} videos, "
            f"{done.bytes_before / 2**20:.1f} MB before, {done.bytes_after / 2**20:.1f} MB now"
        )


@archive.command("check")
def check_command(
    folder: Folder,
    index: Annotated[str | None, typer.Option("--index", "-i", help="Compare it with this index too.")] = None,
    as_json: Json = False,
) -> None:
    """List torn and unfinished files, and what the archive lacks of an index; exits with 10 when there is any."""
    from pipelines.archive import check
    from transforms.index.location import IndexLocation

    found = check(folder, IndexLocation.parse(index) if index else None)
    if as_json:
        print_json({"problems": [{"kind": kind, "id": id_, "sentence": said} for kind, id_, said in found]})
    else:
        for kind, id_, said in found:
            print(f"{kind}: {id_}: {said}")
        if not found:
            print("the archive is whole")
    if found:
        raise typer.Exit(WORK)
