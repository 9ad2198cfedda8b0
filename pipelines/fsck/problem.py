"""What a check found wrong, and what mends it."""

from dataclasses import dataclass
from typing import Literal

#: How `--repair` mends a problem; "" where a person has to.
Mend = Literal[
    "",
    "delete_point",
    "delete_damaged",  # and embed its video again
    "rename_point",
    "relist_vectors",
    "relist_and_embed_again",
    "delete_clips",
    "delete_waiting",
    "delete_receipts",
    "delete_receipts_and_waiting",
    "embed_again",
    "embed_afresh",
    "whole",
    "move_entry",
    "publish",
    "distrust_and_publish",
    "delete_file",
    "write_rejects",
    "index_payloads",
    "name_collection",
]

#: What a person reads where `--repair` can do it.
REPAIR = "reelvec fsck --repair"
EMBED_AGAIN = f"{REPAIR} keeps what is good and has the next ingest or reindex embed the video again"
NOTHING_LOST = f"{REPAIR} deletes them; nothing is lost"
NEWER = "use a newer Reelvec"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; `id` is that of the point, or the URI or path of what it is about."""

    kind: str
    id: str
    sentence: str
    cure: str
    mend: Mend = ""
    uri: str = ""  # of the video that it is about
    content: str = ""  # of the version that it is about
    recipe: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells a problem from another, in this look and in a later one."""
        return self.kind, self.id, self.content
