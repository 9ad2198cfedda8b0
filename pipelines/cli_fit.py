"""`reelvec fit`: what is fitted on a corpus and then named in a recipe."""

from pathlib import Path
from typing import Annotated

import typer

fit = typer.Typer(name="fit", help="Fit smaller vectors or classical text models on an index.", no_args_is_help=True)

_Index = Annotated[str, typer.Option("--index", "-i", envvar="REELVEC_INDEX", metavar="FOLDER|URL")]


@fit.command("pca")
def fit_pca_command(
    vector: Annotated[str, typer.Argument(help="The named vector to make smaller, e.g. frame.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    dimensions: Annotated[int, typer.Option(min=1, help="How many dimensions to keep.")] = 128,
    index: _Index = "reelvec.index",
) -> None:
    """Principal components of a named vector; a recipe takes them by `pca = "FILE"`."""
    from pipelines.fit import fit_pca

    count = fit_pca(index, vector, dimensions, out)
    print(f"fitted on {count} vectors: {out}")


@fit.command("text")
def fit_text_command(
    kind: Annotated[str, typer.Argument(help="tfidf or lsa.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    dimensions: Annotated[int, typer.Option(min=1, help="Of LSA.")] = 256,
    index: _Index = "reelvec.index",
) -> None:
    """TF-IDF or LSA of what an index's clips say and show; a recipe takes it by `encoder = "tfidf:FOLDER"`."""
    from pipelines.fit import fit_texts

    count = fit_texts(index, kind, out, dimensions=dimensions)
    print(f"fitted on {count} texts: {out}")
