"""What `fsck` prints: for scripts and for people."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.text import Text

from pipelines.printable import printable
from pipelines.show import out
from transforms.uris import shown

if TYPE_CHECKING:
    from pipelines.fsck.problem import Problem
    from pipelines.fsck.run import FsckReport

#: Of one kind so many are spelled out; --json has all.
_SHOWN_OF_A_KIND = 20


def report_json(report: "FsckReport") -> dict[str, Any]:
    """The document that scripts read."""
    return {
        "index": report.index,
        "problems": [_plain(problem) for problem in report.problems],
        "repaired": report.repaired,
        "notes": list(report.notes),
    }


def show_report(report: "FsckReport") -> None:
    """A line a problem with its cure below, then how many there are and were."""
    console = out()
    told: Counter[str] = Counter()
    for problem in report.problems:
        told[problem.kind] += 1
        if told[problem.kind] <= _SHOWN_OF_A_KIND:
            console.print(Text.assemble((problem.kind, "bold"), f"  {printable(problem.sentence)}"))
            console.print(Text(f"    -> {printable(problem.cure)}"))
    for kind, count in told.items():
        if count > _SHOWN_OF_A_KIND:
            console.print(f"... and {count - _SHOWN_OF_A_KIND} more of {kind} (--json has all)", style="dim")
    if report.repaired:
        console.print(f"{report.repaired} problems repaired")
    console.print(f"{len(report.problems)} problems" if report.problems else "nothing is wrong")


def _plain(problem: "Problem") -> dict[str, Any]:
    return {
        "kind": problem.kind,
        "id": problem.id,
        "video": shown(problem.uri) or None,
        "sentence": problem.sentence,
        "cure": problem.cure,
        "repairable": bool(problem.mend),
    }
