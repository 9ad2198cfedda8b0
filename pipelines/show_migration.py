"""A migration for people."""

from pipelines.migrate import Migration

_HOW = {"keep": "kept", "from_stored": "made from what is stored", "decode": "decoded and encoded again"}
_STATE = {
    "unchanged": "the index holds these vectors already: nothing to do",
    "planned": "nothing was changed (--dry-run)",
    "interrupted": "interrupted: what was filled stays, the next migrate goes on from there",
    "refused": "not switched",
    "switched": "switched",
    "rolled back": "rolled back",
}


def show_migration(done: Migration) -> None:
    """Print what became of it."""
    print(f"{done.index}: {done.recipe_before} -> {done.recipe}: {_STATE[done.state]}")
    for name, how in done.vectors:
        print(f"  {name:12} {_HOW[how]}")
    if done.state == "planned":
        print(f"  {done.must_decode} of {done.videos} videos would be decoded")
    for check in done.checks:
        print(f"  {'ok  ' if check.passed else 'FAIL'} {check.name}: {check.sentence}")
    if done.state == "switched":
        print(f"  {done.clips_written} clips written; the vectors before are kept until {done.keep_until} (--rollback)")
