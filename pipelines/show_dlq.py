"""What `dlq` prints for people."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from pipelines.printable import printable
from pipelines.show import err, out
from pipelines.times import clock
from transforms.uris import shown

if TYPE_CHECKING:
    from pipelines.causes import Cause


def show_causes(causes: Sequence["Cause"]) -> None:
    """A line a cause, the most frequent first, with one example and whether it is tried again below."""
    console = out()
    for cause in causes:
        count = f"{cause.rejects} in {cause.videos} videos" if cause.rejects > 1 else "1"
        console.print(Text.assemble((f"{cause.error} in {cause.stage}", "bold"), f"  {count}"))
        at = cause.example.start_seconds
        span = "" if at is None else f" at {clock(at)}"
        console.print(Text(f"    {printable(shown(cause.example.uri))}{span}: {printable(cause.example.message)}"))
        again = "tried again on the next run" if cause.tried_again else "not tried again"
        if 0 < cause.tried_again < cause.rejects:
            again = f"{cause.tried_again} of them are {again}"
        console.print(Text(f"    {again}", style="dim"))
    if not causes:
        err().print("no rejects")


def show_details(rejects: Sequence[Mapping[str, Any]]) -> None:
    """A line a field, an empty line between rejects."""
    console = out()
    for place, reject in enumerate(rejects):
        if place:
            console.print()
        for name, value in reject.items():
            if value not in (None, "", []):
                console.print(Text.assemble((f"{name.replace('_', ' ')}: ", "bold"), printable(str(value))))
