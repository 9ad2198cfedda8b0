"""What a run knows of its corpus lies in a temporary database: exactly, and of any size."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from transforms.errors import DiskFull
from transforms.plain import to_plain
from transforms.plan import Plan, plan_work
from transforms.records import LedgerEntry, Reject, VideoRef
from transforms.tables.comparison import Comparison
from transforms.tables.database import Database
from transforms.tables.entries import EntryTable
from transforms.tables.listed import ListedVideos, SkippedFiles

ENTRY = LedgerEntry(
    "file:///c/a.mp4", 10, "1", "partial", "A", "r", (("clip", "f1"), ("frame", "f2")), "A", False, 3, 24.5, 2,
    (Reject("file:///c/a.mp4", "decode", "DecoderCrashed", "no", True, 1.0, 2.5, 2, "A", 10, "1", "ffmpeg 7.1"),),
    "2026-01-01T00:00:00+00:00", "file:///c", (("title", "über"), ("year", 1999), ("score", 1.0), ("ok", True)), 7, "",
)  # fmt: skip


def entries_of(*entries: LedgerEntry) -> EntryTable:
    return EntryTable.of(Database(), entries)


def test_an_entry_comes_back_as_it_was() -> None:
    bare = LedgerEntry("s3://b/ü", 0, "etag:x", "rejected")
    table = entries_of(ENTRY, bare)
    assert table[ENTRY.uri] == table.get(ENTRY.uri) == ENTRY and table["s3://b/ü"] == bare
    assert [type(value) for _, value in table[ENTRY.uri].metadata] == [str, int, float, bool]
    assert table[ENTRY.uri].live_whole is False and bare.live_whole is True


def test_entries_are_found_by_uri_and_gone_over_in_the_order_in_which_they_came() -> None:
    entries = [replace(ENTRY, uri=f"file:///c/{name}", rejects=()) for name in "cab"]
    table = entries_of(*entries, ENTRY)
    assert (list(table), len(table)) == ([*(entry.uri for entry in entries), ENTRY.uri], 4)
    assert list(table.values()) == [*entries, ENTRY] and dict(table.items()) == dict(table)
    assert "file:///c/a" in table and "file:///c/d" not in table and table.get("file:///c/d") is None
    with pytest.raises(KeyError, match="file:///c/d"):
        table["file:///c/d"]
    assert list(table.rejected()) == [ENTRY] and table.has_rejects() and not entries_of(*entries).has_rejects()


def test_an_entry_from_before_a_field_was_added_has_its_default() -> None:
    held = {name: value for name, value in to_plain(ENTRY).items() if name not in ("event", "run", "rejects")}
    (read,) = EntryTable(Database(), [held]).values()
    assert read == replace(ENTRY, rejects=(), run=0)


def test_entries_that_are_taken_for_others_are_as_they_were_afterwards() -> None:
    entries = [replace(ENTRY, uri=f"file:///c/{name}") for name in "cab"]
    table = entries_of(*entries)
    changed = {entries[0].uri: None, entries[1].uri: replace(entries[1], attempts=0)}

    def failing() -> None:
        with table.instead(changed):
            assert list(table.values()) == [replace(entries[1], attempts=0), entries[2]]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert list(table.values()) == entries


def test_a_second_mention_adds_what_it_says() -> None:
    first = VideoRef("file:///c/a", 10, "1", expected=False, origin="file:///c")
    videos = ListedVideos(Database(), [VideoRef("file:///c/b", 1, "1"), first])
    videos.add(VideoRef("file:///c/a", 99, "9", metadata=(("title", "x"),)))
    videos.add(VideoRef("file:///c/a", 98, "8", origin="file:///d", metadata=(("title", "y"),)))
    merged = replace(first, expected=True, origin="", metadata=(("title", "x"),))
    assert videos == (merged, VideoRef("file:///c/b", 1, "1")) and videos != (merged,)
    assert merged in videos and first not in videos
    assert "file:///c/a" in videos.uris and "file:///c/c" not in videos.uris


def test_a_file_that_is_passed_over_and_named_elsewhere_is_a_video() -> None:
    videos = ListedVideos(Database())
    skipped = SkippedFiles(videos)
    for name in "cba":
        skipped.add(f"file:///c/{name}")
    videos.add(VideoRef("file:///c/b", 1, "1"))
    assert skipped == ("file:///c/a", "file:///c/c") and "file:///c/b" not in skipped and "file:///c/c" in skipped


def test_only_what_differs_is_looked_at() -> None:
    same, touched, new = (VideoRef(f"file:///c/{name}", 10, "1", origin="file:///c") for name in "abc")
    known = [replace(ENTRY, uri=same.uri, rejects=(), metadata=()), replace(ENTRY, uri=touched.uri, version="0")]
    compared = Comparison([same, touched, new], {entry.uri: entry for entry in known})
    assert list(compared.undecided()) == [(touched, known[1]), (new, None)]
    assert compared.those("unchanged") == (same,) and not compared.those("rejected")
    assert list(compared.differing()) == [touched, new]


@pytest.mark.parametrize(
    ("state", "fate"),
    [("committed", "unchanged"), ("partial", "unchanged"), ("rejected", "rejected"), ("quarantined", "rejected")],
)
def test_metadata_decoders_and_tries_are_thought_of_before_nothing_is_done(state: Any, fate: str) -> None:
    video = VideoRef("file:///c/a.mp4", 10, "1", origin="file:///c", metadata=ENTRY.metadata)
    worn_out = replace(ENTRY, state=state, attempts=3)

    def plan(entry: LedgerEntry, video: VideoRef = video) -> Plan:
        return plan_work([video], {entry.uri: entry}, hash_content=str, covered=bool, decoder="ffmpeg 7.1")

    assert plan(worn_out).empty and getattr(plan(worn_out), fate) == (video,)
    assert plan(replace(worn_out, attempts=2)).to_embed
    assert plan(replace(worn_out, rejects=(replace(ENTRY.rejects[0], decoder="ffmpeg 6"),))).to_embed
    relabelled = plan(worn_out, replace(video, metadata=()))
    assert [entry.metadata for entry in relabelled.updated] == [()] and len(getattr(relabelled, fate)) == 1


def many(count: int) -> Iterator[tuple[VideoRef, dict[str, Any]]]:
    plain = to_plain(replace(ENTRY, state="committed", rejects=(), metadata=()))
    for number in range(count):
        uri = f"file:///corpus/{number % 7}/{number:08d}.mp4"
        yield VideoRef(uri, 10, "1", origin="file:///c"), {**plain, "uri": uri, "content": f"{number:064d}"}


def peak_bytes(count: int) -> int:
    """What planning so many videos takes of Python's memory; that of SQLite is bounded by its cache."""
    tracemalloc.start()
    try:
        database = Database()
        ledger = EntryTable(database, (payload for _, payload in many(count)))
        videos = ListedVideos(database, (video for video, _ in many(count)))
        plan = plan_work(videos, ledger, hash_content=str, covered=bool)
        assert plan.empty and len(plan.unchanged) == len(ledger) == count
        assert sum(1 for _ in plan.unchanged) == sum(1 for _ in ledger.values()) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_many_unchanged_videos_take_no_more_memory_than_few() -> None:
    peak_bytes(10)  # what is made once, as by the first use of json
    few, more = peak_bytes(2000), peak_bytes(20_000)
    assert more - few < 200_000  # held whole, 18,000 videos took some 36 MB


def test_what_is_too_much_for_the_cache_lies_on_disk_and_is_found_there() -> None:
    database = Database()
    database.run("PRAGMA cache_size = 10")
    videos = [VideoRef(f"file:///c/{number:05d}", number, "1") for number in range(3000)]
    listed = ListedVideos(database, reversed(videos))
    assert listed == videos and listed.get("file:///c/01234") == videos[1234]


def test_a_full_disk_is_an_outage_that_says_what_to_do() -> None:
    database = Database()
    database.run("PRAGMA max_page_count = 8")
    videos = (VideoRef(f"file:///c/{number}", 1, "1") for number in range(2000))
    with pytest.raises(DiskFull, match="SQLITE_TMPDIR"):
        ListedVideos(database, videos)
