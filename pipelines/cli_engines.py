"""`--runner`, `--detach`, and Beam's own options behind `--`, for the commands that run a pipeline."""

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

_BEHIND = "reelvec.options_of_beam"

Runner = Annotated[
    str | None,
    typer.Option(
        help="Where the pipeline runs: local, prism, flink, dataflow or portable; its own options follow --.",
        metavar="NAME",
    ),
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Leave the job to its engine; the next run settles what it commits.")
]


class EngineCommand(TyperCommand):
    """Keeps what follows `--` for Beam."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own, behind = (args[: args.index("--")], args[args.index("--") + 1 :]) if "--" in args else (args, [])
        ctx.meta[_BEHIND] = tuple(behind)
        return super().parse_args(ctx, own)


def engine_settings(ctx: typer.Context, runner: str | None, *, detach: bool) -> dict[str, Any]:
    """The settings that these options make; raises UsageError for what the runner, or Beam, does not know.

    None of them without options, so that those of the environment hold.
    """
    extra: tuple[str, ...] = ctx.meta[_BEHIND]
    given: dict[str, Any] = {"detach": detach or None}
    if runner is None and not extra:
        return given
    from pipelines.engines import beam_options, runner_name

    name = runner_name(runner or "local")
    return given | {"beam_options": tuple(beam_options(name, extra)) if extra or name != "local" else ()}
