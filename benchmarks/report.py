"""How every benchmark tells its figures: a line each, or one JSON document with --json."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; `at_most` and `at_least` are what it must keep to, where it must."""

    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def holds(self) -> bool:
        above = self.at_most is not None and self.value > self.at_most
        below = self.at_least is not None and self.value < self.at_least
        return not (above or below)

    def __str__(self) -> str:
        bounds = [("at most", self.at_most), ("at least", self.at_least)]
        limits = ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
        missed = "" if self.holds else "  MISSED"
        return f"{self.name}: {self.value:.4g} {self.unit}".rstrip() + (f" (limit {limits})" if limits else "") + missed


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with --json."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return made


def tell(figures: Sequence[Figure], *, as_json: bool) -> int:
    """Print the figures; the exit status is 1 where one misses its limit."""
    if as_json:
        json.dump([{**asdict(figure), "holds": figure.holds} for figure in figures], sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        for figure in figures:
            print(figure)
    return 0 if all(figure.holds for figure in figures) else 1
