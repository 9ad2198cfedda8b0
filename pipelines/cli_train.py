"""`reelvec train-fusion`: train a head, an adapter, a pooling or positions over the vectors of an index."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from transforms.errors import UsageError

if TYPE_CHECKING:
    from pipelines.train_fusion import Report

#: Those of `transforms.encoders.fusion.losses`, which imports torch.
LOSSES = ("contrastive", "triplet", "multiple-negatives", "cosent")


def train_fusion_command(
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    index: Annotated[
        str, typer.Option("--index", "-i", envvar="REELVEC_INDEX", metavar="FOLDER|URL")
    ] = "reelvec.index",
    kind: Annotated[str, typer.Option(help="head, adapter, attention or position.")] = "head",
    loss: Annotated[
        str | None, typer.Option(help="contrastive, triplet, multiple-negatives (default) or cosent (of position).")
    ] = None,
    vector: Annotated[str, typer.Option(help="What an adapter is for: frame or audio.")] = "frame",
    pairs: Annotated[str, typer.Option(help="words, neighbours or both: what stands beside what.")] = "words",
    epochs: Annotated[int, typer.Option(min=1, help="At most; training stops when other videos stop gaining.")] = 40,
    seed: Annotated[int, typer.Option(help="Draws videos, splits them, and starts the networks.")] = 0,
    max_clips: Annotated[int, typer.Option(min=1, help="Clips to draw, of whole videos.")] = 20_000,
    layers: Annotated[int, typer.Option(min=1, max=2, help="Of a head.")] = 1,
    rank: Annotated[int, typer.Option(min=1, help="Of an adapter.")] = 16,
    keep_anyway: Annotated[
        bool, typer.Option("--keep-anyway", help="Write the file even if nothing was gained.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train over the vectors of an index, on words beside pictures; says what it gains on videos it never saw."""
    from pipelines.train_fusion import Pairs, train_fusion
    from transforms.encoders.fusion.trained import KINDS

    chosen = loss or ("cosent" if kind == "position" else "multiple-negatives")
    for name, value, known in (("kind", kind, KINDS), ("loss", chosen, LOSSES), ("pairs", pairs, get_args(Pairs))):
        if value not in known:
            raise UsageError(f"--{name} is one of {', '.join(known)}: {value!r}")
    from transforms.encoders.fusion.training import TrainSettings  # imports torch: after what was asked is known

    settings = TrainSettings(
        kind=cast(Any, kind), loss=cast(Any, chosen), epochs=epochs, seed=seed, layers=layers, rank=rank
    )
    report = train_fusion(
        index,
        out,
        settings,
        vector=vector,
        pairs=cast(Any, pairs),
        max_clips=max_clips,
        keep_anyway=keep_anyway,
    )
    if as_json:
        print(json.dumps(report.plain(), indent=2, allow_nan=False))
    else:
        print("\n".join(_lines(report)))


def _lines(report: "Report") -> list[str]:
    sets = ", ".join(f"{report.pairs[name]} pairs of {report.videos[name]} videos to {name}" for name in report.pairs)
    lines = [f"{report.kind}: {sets}; best after {report.epoch} epochs"]
    lines += [
        f"  {name}: {found.before:.3f} before, {found.after:.3f} after "
        f"({found.after - found.before:+.3f}, 95 % {found.gain_low:+.3f} to {found.gain_high:+.3f})"
        for name, found in report.figures.items()
    ]
    if report.gained:
        return [*lines, f"written: {report.written}"]
    what = f"no gain is proven on videos that were held out (by {report.decides})"
    if report.written:
        return [*lines, f"NOTE: {what}; written all the same, as asked: {report.written}"]
    return [*lines, f"{what}: nothing written; --keep-anyway writes it all the same"]
