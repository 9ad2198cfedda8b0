"""What a run decides to do with each file, by what the ledger knows."""

from dataclasses import replace

import pytest

from transforms.errors import UsageError
from transforms.plan import going_on, plan_work
from transforms.records import LedgerEntry, Receipt, Reject, VideoRef


def video(name, size=10, version="1", content=None, **more):
    return VideoRef(f"file:///corpus/{name}", size, version, origin="file:///corpus", **more)


def entry(name, size=10, version="1", content="A", state="committed", **more):
    live = content if state in ("committed", "partial") else ""
    given = {"live_content": live, "clips": 3 if live else 0, "origin": "file:///corpus", **more}
    return LedgerEntry(f"file:///corpus/{name}", size, version, state, content=content, recipe="r", **given)


def plan(videos, entries, contents=None, **more):
    hashed = []

    def hash_content(ref):
        hashed.append(ref.uri.rsplit("/", 1)[1])
        return (contents or {})[hashed[-1]]

    made = plan_work(
        videos,
        {entry.uri: entry for entry in entries},
        hash_content=hash_content,
        covered=lambda uri, origin: uri.startswith("file:///corpus/"),
        **more,
    )
    return made, sorted(hashed)


def names(refs):
    return [getattr(ref, "video", ref).uri.rsplit("/", 1)[1] for ref in refs]


def test_an_unchanged_file_is_neither_read_nor_embedded():
    made, hashed = plan([video("a")], [entry("a")])
    assert names(made.unchanged) == ["a"] and made.empty and hashed == []


def test_a_new_file_of_an_unknown_size_is_not_hashed_while_planning():
    made, hashed = plan([video("b", size=11)], [entry("a")], max_delete="100%")
    assert names(made.to_embed) == ["b"] and hashed == []


def test_a_touched_file_with_the_same_bytes_costs_a_hash_and_a_ledger_entry():
    made, hashed = plan([video("a", version="2")], [entry("a")], {"a": "A"})
    assert names(made.unchanged) == ["a"] and not made.to_embed and hashed == ["a"]
    assert [updated.version for updated in made.updated] == ["2"]


def test_a_changed_file_is_embedded_again():
    made, _ = plan([video("a", version="2")], [entry("a")], {"a": "B"})
    assert names(made.to_embed) == ["a"] and made.to_embed[0].content == "B"


def test_a_moved_file_takes_the_vectors_along():
    made, _ = plan([video("new")], [entry("old")], {"new": "A"})
    (copy,) = made.copies
    assert copy.moved and copy.source_uri.endswith("/old") and [gone.uri for gone in made.gone] == [copy.source_uri]


def test_of_two_files_with_the_bytes_of_a_vanished_one_one_was_moved():
    made, _ = plan([video("new"), video("twin")], [entry("old")], {"new": "A", "twin": "A"})
    assert [copy.moved for copy in made.copies] == [True, False]


def test_a_copy_of_a_known_file_is_no_move():
    made, _ = plan([video("a"), video("b")], [entry("a")], {"b": "A"})
    assert [copy.moved for copy in made.copies] == [False] and not made.gone


def test_of_equal_new_files_one_is_embedded_and_the_others_are_copies_of_it():
    made, hashed = plan([video("a"), video("b"), video("c")], [], {"a": "A", "b": "A", "c": "C"})
    assert names(made.to_embed) == ["a", "c"] and hashed == ["a", "b", "c"]
    assert [(copy.video.uri[-1], copy.source_uri[-1]) for copy in made.copies] == [("b", "a")]


def test_files_outside_of_what_was_listed_are_not_gone():
    elsewhere = replace(entry("x"), uri="file:///other/x")
    made, _ = plan([video("a")], [entry("a"), elsewhere])
    assert not made.gone


def test_a_final_reject_is_not_tried_again():
    reject = Reject("file:///corpus/a", "probe", "UnreadableVideo", "no", transient=False)
    made, _ = plan([video("a")], [entry("a", state="rejected", rejects=(reject,))])
    assert names(made.rejected) == ["a"] and not made.to_embed


@pytest.mark.parametrize(("attempts", "tried"), [(1, True), (2, True), (3, False)])
def test_a_crash_of_the_decoder_is_tried_three_times(attempts, tried):
    reject = Reject("file:///corpus/a", "decode", "DecoderCrashed", "no", transient=True)
    made, _ = plan([video("a")], [entry("a", state="rejected", rejects=(reject,), attempts=attempts)])
    assert bool(made.to_embed) is tried
    assert not tried or made.to_embed[0].attempts == attempts + 1


def test_changed_metadata_of_equal_bytes_is_an_update_only():
    made, _ = plan([video("a", metadata=(("title", "new"),))], [entry("a", metadata=(("title", "old"),))])
    assert not made.to_embed and [updated.metadata for updated in made.relabelled] == [(("title", "new"),)]


def test_a_forgotten_video_stays_out_until_it_is_named():
    forgotten = entry("a", state="forgotten")
    made, _ = plan([video("a")], [forgotten])
    assert names(made.skipped) == ["a"] and not made.to_embed and not made.gone
    made, _ = plan([replace(video("a"), origin="")], [forgotten], {"a": "A"})
    assert names(made.to_embed) == ["a"]


def test_a_forgotten_video_that_vanished_is_still_remembered():
    made, _ = plan([video("b", size=99)], [entry("a", state="forgotten")])
    assert not made.gone


@pytest.mark.parametrize(
    ("known", "gone", "max_delete", "allowed"),
    [
        (5, 5, "10%", True),
        (200, 20, "10%", True),
        (200, 21, "10%", False),
        (200, 200, "100%", True),
        (9, 3, "2", False),
    ],
)
def test_more_than_a_tenth_is_not_removed_unasked(known, gone, max_delete, allowed):
    entries = [entry(f"v{index}", content=f"C{index}", size=index) for index in range(known)]
    videos = [video(f"v{index}", size=index) for index in range(gone, known)]
    if allowed:
        assert len(plan(videos, entries, max_delete=max_delete)[0].gone) == gone
    else:
        with pytest.raises(UsageError, match="--max-delete 100%"):
            plan(videos, entries, max_delete=max_delete)


@pytest.mark.parametrize("nonsense", ["a few", "-1", "%", ""])
def test_a_share_that_is_none_is_refused(nonsense):
    with pytest.raises(UsageError, match="--max-delete"):
        plan([], [], max_delete=nonsense)


def test_moved_files_do_not_count_as_deletions():
    entries = [entry(f"old{index}", size=index, content=f"C{index}") for index in range(50)]
    videos = [video(f"new{index}", size=index) for index in range(50)]
    made, _ = plan(videos, entries, {f"new{index}": f"C{index}" for index in range(50)})
    assert len(made.copies) == 50 and all(copy.moved for copy in made.copies)


def test_segments_with_a_receipt_are_done():
    made, _ = plan([video("a"), video("b", size=11)], [])
    done = [Receipt(video("a"), "A", "r", index, 3, 1, "ok") for index in (1, 0)]
    others = [replace(done[0], index=2, outcome="rejected"), replace(done[0], video=video("c"))]
    assert [work.done for work in going_on(made, [*done, *others]).to_embed] == [(("A", 0), ("A", 1)), ()]


def rejected(decoder, *, state="quarantined", error="DecoderCrashed"):
    transient = error == "DecoderCrashed"
    reject = Reject("file:///corpus/a", "decode", error, "no", transient, attempts=3, decoder=decoder)
    return entry("a", state=state, attempts=3, rejects=(reject,))


@pytest.mark.parametrize(("state", "error"), [("quarantined", "DecoderCrashed"), ("rejected", "UnreadableVideo")])
def test_another_decoder_gives_what_was_rejected_its_tries_again(state, error):
    made, _ = plan([video("a")], [rejected("ffmpeg 6.1", state=state, error=error)], decoder="ffmpeg 7.1")
    assert [(work.content, work.attempts) for work in made.to_embed] == [("A", 1)]


@pytest.mark.parametrize(("then", "now"), [("ffmpeg 7.1", "ffmpeg 7.1"), ("", "ffmpeg 7.1"), ("ffmpeg 7.1", "")])
def test_a_quarantined_video_stays_where_its_decoder_is_the_same_or_unknown(then, now):
    made, _ = plan([video("a")], [rejected(then)], decoder=now)
    assert names(made.rejected) == ["a"] and made.empty


def test_a_quarantined_video_is_tried_again_when_its_bytes_change():
    made, _ = plan([video("a", version="2")], [rejected("ffmpeg 7.1")], {"a": "B"}, decoder="ffmpeg 7.1")
    assert [(work.content, work.attempts) for work in made.to_embed] == [("B", 1)]


def test_different_new_files_of_one_size_are_not_read_whole():
    samples = {"a": "S", "b": "S", "c": "T"}
    made, hashed = plan(
        [video("a"), video("b"), video("c")],
        [],
        {"a": "A", "b": "A"},
        hash_sparse=lambda ref: samples[ref.uri.rsplit("/", 1)[1]],
    )
    assert hashed == ["a", "b"] and names(made.to_embed) == ["a", "c"] and names(made.copies) == ["b"]


def test_a_new_file_of_a_known_size_is_read_whole_since_it_may_be_that_video():
    made, hashed = plan([video("new")], [entry("old")], {"new": "A"}, hash_sparse=lambda ref: "S")
    assert hashed == ["new"] and made.copies[0].moved


@pytest.mark.parametrize("version", ["0", "-5", "99999999999999999999"])
def test_a_clock_that_jumps_back_or_ahead_is_a_change_like_any_other(version):
    """Time stamps are compared for equality alone, so one of next year is not newer than all that follow."""
    made, hashed = plan([video("a", version=version)], [entry("a", version="1700000000000000000")], {"a": "A"})
    assert names(made.unchanged) == ["a"] and hashed == ["a"] and made.updated[0].version == version
    made, hashed = plan([video("a", version=version)], [entry("a", version=version)])
    assert made.empty and hashed == []
    made, _ = plan([video("a", version=version)], [entry("a", version="1700000000000000000")], {"a": "B"})
    assert names(made.to_embed) == ["a"]
