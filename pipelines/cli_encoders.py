"""The commands about encoders: which there are, and getting their weights."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli_options import print_json
from transforms.errors import UsageError

if TYPE_CHECKING:
    from pipelines.show_encoders import PullBars, PullLines

weights = typer.Typer(
    name="weights", help="The weights of encoders: get them before they are needed.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def encoders(
    family: Annotated[str, typer.Option(help="Only this family.")] = "",
    modality: Annotated[
        str, typer.Option(help="Only these: text, image, sound, speech, ocr, video, objects, motion, words.")
    ] = "",
    as_json: Json = False,
) -> None:
    """List the encoders, whether each can be used on this machine, and what it lacks."""
    from typing import get_args

    from transforms.encoders.cards import Modality
    from transforms.encoders.listing import catalogue

    if modality and modality not in get_args(Modality):
        raise UsageError(f"unknown modality {modality!r}; there are: {', '.join(get_args(Modality))}")
    rows = catalogue(family_name=family, modality=modality)
    if as_json:
        print_json([row.as_json() for row in rows])
        return
    from pipelines.show_encoders import show_encoders

    show_encoders(rows)


@weights.command("pull")
def pull_command(
    recipe: Annotated[str | None, typer.Option(help="A recipe's name or its .toml file; writes its lock.")] = None,
    encoder: Annotated[
        list[str] | None, typer.Option(help="An encoder's name, family:model; may be given again.")
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Take the newest revisions, and lock those.")] = False,
    as_json: Json = False,
) -> None:
    """Get weights; goes on where it stopped. A recipe's lock keeps their revisions and checksums."""
    from pipelines.show_encoders import show_pulled
    from transforms.encoders.lock import lock_path, read_lock, write_lock
    from transforms.encoders.names import Name
    from transforms.encoders.parts import with_parts
    from transforms.encoders.pull import as_json as plain
    from transforms.encoders.pull import pull
    from transforms.recipe import load_recipe

    if not recipe and not encoder:
        raise UsageError("name what to pull: --recipe NAME, or --encoder FAMILY:MODEL")
    asked = load_recipe(recipe, locked=False).encoder_names if recipe else ()
    names = {str(Name.parse(name)) for name in with_parts(asked)}  # as `pull` writes them: options in their order
    path = lock_path(recipe) if recipe else None
    lock = read_lock(path) if path and not update else None
    progress = _progress()
    try:
        pulled = pull([*asked, *(encoder or ())], progress, lock=lock)
    finally:
        progress.stop()
    locked = {one.name: one.locked for one in pulled if one.locked and one.name in names}
    if lacking := sorted(names - {one.name for one in pulled if one.locked or one.note}):
        raise UsageError(f"the lock was not written, it would lack what was pulled: {', '.join(lacking)}")
    if path:
        write_lock(path, locked)
    if as_json:
        print_json({"lock": str(path) if path else None, "encoders": [plain(one) for one in pulled]})
    else:
        show_pulled(pulled)
        if path:
            print(f"locked in {path}" if locked else f"there was nothing to lock: {path} is empty")


def _progress() -> "PullBars | PullLines":
    """Bars where a person looks on, lines elsewhere."""
    from pipelines.show_encoders import PullBars, PullLines

    return PullBars() if sys.stderr.isatty() else PullLines()
