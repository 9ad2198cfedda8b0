"""Runs benchmarks of what is found, one after another, and prints one table of their figures that have a goal.

    python benchmarks/quality.py [--media FOLDER] [--index I] order.py nothing_fits.py ...

Figures without a goal stand above the table. Benchmarks that take an index share one: --index, else one that is made
of the folder with the default recipe. Exits with 1 where a benchmark is missing, fails or measures nothing; a goal that
is not met is a row of the table and no failure.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.ingest import ingest
from pipelines.settings import IngestSettings

HERE = Path(__file__).parent
MEDIA = "REELVEC_TEST_MEDIA"


def takes_index(script: Path) -> bool:
    """Whether the benchmark says so among its options."""
    return '"--index"' in script.read_text(encoding="utf-8")


def measured(script: Path, index: str | None) -> list[dict[str, Any]]:
    """The figures of a benchmark. Raises RuntimeError with the reason where there are none."""
    if not script.exists():
        raise RuntimeError("there is no such benchmark")
    command = [sys.executable, str(script), "--json"]
    command += ["--index", index] if index and takes_index(script) else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"it failed with exit code {done.returncode}")
    try:
        figures: list[dict[str, Any]] = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise RuntimeError(done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "it said nothing") from None
    return figures


def measure_all(scripts: Sequence[Path], index: str | None) -> dict[str, list[dict[str, Any]] | str]:
    """The figures of each benchmark, or why there are none; those without a goal are printed as they come."""
    rows: dict[str, list[dict[str, Any]] | str] = {}
    for script in scripts:
        print(f"== {script.name}", flush=True)
        try:
            figures = measured(script, index)
        except RuntimeError as error:
            print(f"not measured: {error}")
            rows[script.name] = str(error)
            continue
        rows[script.name] = [one for one in figures if one["limit"]]
        for one in figures:
            if not one["limit"]:
                print(f"{one['name']}: {one['value']:.4g} {one['unit']}".rstrip(), flush=True)
    return rows


def table_of(rows: dict[str, list[dict[str, Any]] | str]) -> Table:
    """A row a figure with a goal; one for a benchmark that measured nothing."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("benchmark", "figure", "value", "goal", ""):
        table.add_column(title, justify="right" if title == "value" else "left", overflow="fold")
    for name, figures in rows.items():
        if isinstance(figures, str):
            table.add_row(Text(name), Text(figures), "-", "", "not measured")
            continue
        for place, one in enumerate(figures):
            value = f"{one['value']:.4g} {one['unit']}".rstrip()
            verdict = "met" if one["met"] else "NOT met"
            table.add_row(Text("" if place else name), Text(one["name"]), Text(value), Text(one["limit"]), verdict)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scripts", nargs="+", help="files of this folder")
    parser.add_argument("--media", default=os.environ.get(MEDIA), help=f"a folder with queries.tsv; default: ${MEDIA}")
    parser.add_argument("--index", help="an index of that folder")
    given = parser.parse_args()
    scripts = [HERE / Path(name).name for name in given.scripts]
    with tempfile.TemporaryDirectory() as scratch:
        index = given.index
        if given.media is not None:
            os.environ[MEDIA] = str(given.media)
            if index is None and any(takes_index(script) for script in scripts if script.exists()):
                index = f"{scratch}/index"
                ingest(IngestSettings(sources=(str(given.media),), index=index))
        rows = measure_all(scripts, index)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table_of(rows))
    if any(isinstance(figures, str) for figures in rows.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
