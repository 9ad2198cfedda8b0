"""`reelvec migrate`: another recipe for an index, without a gap and without a mix."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli_options import (
    DEFAULT_INDEX,
    INTERRUPTED,
    REJECTS,
    WORK,
    Device,
    Index,
    Json,
    Wait,
    print_json,
    say,
)
from transforms.errors import UsageError


def migrate_command(
    index: Index = DEFAULT_INDEX,
    recipe: Annotated[str | None, typer.Option(help="The new recipe: its name or its .toml file.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; exit 10 if anything.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Go back to the vectors before.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Delete what unfinished migrations filled.")] = False,
    keep_days: Annotated[float, typer.Option(help="How long the vectors before are kept for --rollback.")] = 7,
    canaries: Annotated[
        Path | None, typer.Option(help="Questions that must find no less than before, as `evaluate` takes them.")
    ] = None,
    media: Annotated[Path | None, typer.Option(help="The folder that `relevant` of --canaries is relative to.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Switch even if a check is not passed.")] = False,
    device: Device = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Fill the vectors of another recipe beside those in use, check them, and switch in one step."""
    from pipelines.cli_ingest import progress_shown, settings_of, stopping_in_order
    from pipelines.migrate import Migration, migrate, plan_migration, read_canaries, roll_back
    from pipelines.migrate import abandon as abandon_fills
    from pipelines.show_migration import show_migration
    from transforms import progress
    from transforms.index.location import IndexLocation
    from transforms.recipe import load_recipe

    location = IndexLocation.parse(index)
    if [rollback, abandon, recipe is not None].count(True) != 1:
        raise UsageError("migrate takes one of --recipe to go to, --rollback to go back, and --abandon")
    if recipe is None and (dry_run or force or canaries is not None):
        raise UsageError("--dry-run, --force and --canaries belong to --recipe; nothing was changed")
    if (canaries is None) != (media is None):
        raise UsageError("--canaries needs --media FOLDER, and the other way round")
    settings = settings_of({"index": index, "device": device, "wait": wait or None, "keep_days": keep_days})
    if abandon:
        dropped = abandon_fills(location, wait=wait)
        if as_json:
            print_json({"state": "abandoned", "checks": [], "dropped": list(dropped)})
        else:
            print(f"deleted: {', '.join(dropped) or 'nothing'}")
        return
    if rollback:
        done: Migration = roll_back(location, wait=wait)
    elif dry_run:
        done = plan_migration(location, load_recipe(str(recipe)))
    else:
        asked = read_canaries(canaries, media) if canaries and media else []
        bar = progress_shown()
        with stopping_in_order():
            bar.start()
            progress.listen(bar)
            try:
                done = migrate(settings, str(recipe), canaries=asked, keep_days=settings.keep_days, force=force)
            finally:
                bar.stop()
    if as_json:
        print_json(done.as_json())
    else:
        show_migration(done)
    if done.state == "refused":
        say("the checks were not passed, so searches are answered as before; --force would switch all the same")
    code = {"planned": WORK, "refused": REJECTS, "interrupted": INTERRUPTED}.get(done.state)
    if code is not None:
        raise typer.Exit(code)
