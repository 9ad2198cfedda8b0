"""Receipts and commits, over a real Edge shard: nothing doubled, nothing half, a good version kept."""

from dataclasses import replace

import numpy as np
import pytest

from transforms.errors import RunOvertaken, StoreUnavailable
from transforms.index.ledger import read_all_receipts, read_entries, read_entry
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.index.open import open_writer
from transforms.index.store import Equals, Where
from transforms.records import (
    AudioStream,
    Clip,
    ClipPoint,
    CopyOf,
    DenseVector,
    Reject,
    RejectedVideo,
    Schema,
    Segment,
    SegmentResult,
    VideoInfo,
    VideoRef,
    clip_id,
)
from transforms.remove import forget_video, remove_videos
from transforms.write.commit import commit_leftovers, record_reject, sweep, write_results
from transforms.write.copies import copy_video, relabel
from transforms.write.stage import GROUP_SECONDS, LONGEST_GROUP_SECONDS, group_seconds
from transforms.write.sweep import sweep_abandoned, sweep_unvouched

SCHEMA = Schema(
    "tiny", "r1", (DenseVector("frame", 4),), vector_fingerprints={"frame": "f1"}, settings={"name": "tiny"}
)
LIVE = Where((Equals("kind", "clip"), Equals("live", True)))
CLIPS = Where((Equals("kind", "clip"),))


@pytest.fixture
def store(tmp_path):
    opened = open_writer(IndexLocation.parse(str(tmp_path / "i")), SCHEMA)
    yield opened
    opened.close()


def segments(name="a", *, version="1", content="A", count=3, clips=2, attempts=1, run=0):
    video = VideoRef(f"file:///c/{name}", 10, version, origin="file:///c")
    seconds = 8.0 * clips * count
    info = VideoInfo("mp4", 0.0, seconds, None, AudioStream(0, "aac", 16_000, 1, 0.0, seconds))
    spans = [Clip(n, 8.0 * n, 8.0 * n + 8.0) for n in range(count * clips)]
    return [
        Segment(video, content, info, n, count, tuple(spans[n * clips : (n + 1) * clips]), attempts, run)
        for n in range(count)
    ]


def result(segment):
    points = []
    for clip in segment.clips:
        uri = segment.video.uri
        vector = np.zeros(4, np.float32)
        vector[clip.index % 4] = 1.0
        payload = {
            "kind": "clip",
            "live": False,
            "uri": uri,
            "content": segment.content,
            "recipe": "r1",
            "segmenter": "w",
            "segment_index": segment.index,
            "clip_index": clip.index,
            "start_seconds": clip.start_seconds,
            "end_seconds": clip.end_seconds,
            "metadata": {},
        }
        points.append(ClipPoint(clip_id(uri, segment.content, "w", clip.start_seconds), {"frame": vector}, payload))
    return SegmentResult(segment, "ok", points)


def broken(segment, *, transient=False):
    reject = Reject(
        segment.video.uri,
        "decode",
        "DecoderCrashed" if transient else "UnreadableVideo",
        "it broke",
        transient,
        segment.start_seconds,
        segment.end_seconds,
        segment.attempts,
    )
    return SegmentResult(segment, "rejected", reject=reject)


def write(store, results):
    return write_results(store, results, "r1")


def live_contents(store):
    return sorted(point.payload["content"] for point in store.scroll(LIVE))


def test_a_segment_that_is_cut_elsewhere_the_second_time_leaves_no_clip_of_the_first(tmp_path):
    shots = replace(SCHEMA, settings={"name": "tiny", "segment": {"kind": "shots"}})
    store = open_writer(IndexLocation.parse(str(tmp_path / "shots")), shots)
    first, second = segments(count=2)
    store.upsert([*result(first).points, *result(second).points])  # and then the run was killed
    store.flush()
    elsewhere = replace(first, clips=(Clip(0, 0.0, 5.0), Clip(1, 5.0, 16.0)))
    write(store, [result(elsewhere), result(second)])
    assert sorted(point.payload["start_seconds"] for point in store.scroll(LIVE)) == [0.0, 5.0, 16.0, 24.0]
    store.close()


def test_nothing_is_live_before_the_last_receipt_and_everything_after_it(store):
    first, second, third = segments()
    write(store, [result(third)])
    write(store, [result(first)])
    assert store.count(LIVE) == 0 and store.count(CLIPS) == 4 and not read_entries(store)
    write(store, [result(second)])
    assert store.count(LIVE) == 6
    entry = read_entry(store, first.video.uri)
    assert (entry.state, entry.clips, entry.live_content, entry.vectors) == ("committed", 6, "A", (("frame", "f1"),))
    assert not read_all_receipts(store)


def test_writing_everything_again_changes_nothing(store):
    results = [result(segment) for segment in segments()]
    write(store, results)
    before = {point.id: dict(point.payload) for point in store.scroll(Where())}
    write(store, results)
    write(store, results[:1])
    assert {point.id: dict(point.payload) for point in store.scroll(Where())} == before


def test_a_changed_video_replaces_the_old_clips_in_one_step(store):
    write(store, [result(segment) for segment in segments()])
    shorter = segments(version="2", content="B", count=2)
    write(store, [result(shorter[0])])
    assert live_contents(store) == ["A"] * 6
    write(store, [result(shorter[1])])
    assert live_contents(store) == ["B"] * 4 and store.count(CLIPS) == 4


def test_a_partial_version_does_not_sweep_a_good_old_one(store):
    write(store, [result(segment) for segment in segments()])
    first, second, third = segments(version="2", content="B")
    write(store, [result(first), broken(second), result(third)])
    entry = read_entry(store, first.video.uri)
    assert live_contents(store) == ["A"] * 6 and store.count(CLIPS) == 6
    assert (entry.state, entry.version, entry.content, entry.live_content) == ("partial", "2", "B", "A")


def test_a_damaged_tail_counts_as_partial(store):
    write(store, [result(segment) for segment in segments()])
    write(store, [replace(result(segment), damaged=True) for segment in segments(version="2", content="B", count=1)])
    assert live_contents(store) == ["A"] * 6


def test_a_partial_version_is_better_than_none(store):
    first, second, third = segments()
    write(store, [result(first), broken(second), result(third)])
    entry = read_entry(store, first.video.uri)
    assert store.count(LIVE) == 4 and entry.state == "partial" and not entry.live_whole
    assert [reject.start_seconds for reject in entry.rejects] == [16.0]


def test_a_whole_version_replaces_a_partial_one(store):
    first, second, third = segments()
    write(store, [result(first), broken(second), result(third)])
    write(store, [result(segment) for segment in segments(version="2", content="B")])
    assert live_contents(store) == ["B"] * 6


def test_only_the_segment_that_crashed_is_needed_again(store):
    first, second, third = segments()
    write(store, [result(first), broken(second, transient=True), result(third)])
    assert store.count(LIVE) == 4 and len(read_all_receipts(store)) == 3
    again = segments(attempts=2)[1]
    write(store, [result(again)])
    entry = read_entry(store, first.video.uri)
    assert (entry.state, store.count(LIVE), entry.rejects) == ("committed", 6, ())
    assert not read_all_receipts(store)


def test_old_clips_stay_while_a_crash_may_still_be_mended_and_go_when_it_is_final(store):
    write(store, [result(segment) for segment in segments()])
    for attempts, state, live in [(1, "rejected", 6), (2, "rejected", 6), (3, "quarantined", 0)]:
        changed = segments(version="2", content="B", attempts=attempts)
        write(store, [broken(segment, transient=True) for segment in changed])
        assert (read_entry(store, changed[0].video.uri).state, store.count(LIVE)) == (state, live)
    assert store.count(CLIPS) == 0 and not read_all_receipts(store)


def test_old_clips_go_when_the_changed_file_cannot_be_read_at_all(store):
    write(store, [result(segment) for segment in segments()])
    changed = segments(version="2", content="B")[0].video
    reject = Reject(changed.uri, "probe", "UnreadableVideo", "no", transient=False, content="B", version="2")
    assert record_reject(store, RejectedVideo(changed, reject)).state == "rejected"
    assert store.count(CLIPS) == 0


def test_a_crash_while_probing_keeps_the_old_clips(store):
    write(store, [result(segment) for segment in segments()])
    changed = segments(version="2", content="B")[0].video
    reject = Reject(changed.uri, "probe", "DecoderCrashed", "no", transient=True, content="B", version="2")
    entry = record_reject(store, RejectedVideo(changed, reject))
    assert (entry.state, entry.clips, store.count(LIVE)) == ("rejected", 6, 6)


def test_a_file_that_never_promised_media_is_skipped_not_rejected(store):
    video = replace(segments()[0].video, expected=False)
    reject = Reject(video.uri, "probe", "NoMedia", "nothing inside", transient=False)
    entry = record_reject(store, RejectedVideo(video, reject))
    assert (entry.state, entry.rejects) == ("skipped", ())


def test_what_a_killed_run_left_complete_is_committed_by_the_next(store):
    results = [result(segment) for segment in segments()]
    write(store, results[:2])
    from transforms.index.ledger import write_receipts
    from transforms.write.commit import receipt_of

    store.upsert(results[2].points)
    write_receipts(store, [receipt_of(results[2], "r1")])
    assert store.count(LIVE) == 0
    assert [entry.state for entry in commit_leftovers(store)] == ["committed"]
    assert store.count(LIVE) == 6 and commit_leftovers(store) == []


def test_receipts_that_vouch_for_more_than_is_there_stop_the_run(store):
    first, second, third = segments()
    write(store, [result(first), result(second)])
    store.delete(Where((Equals("kind", "clip"), Equals("clip_index", 1))))
    with pytest.raises(StoreUnavailable, match="vouch for 6 clips and the store holds 5"):
        write(store, [result(third)])
    assert store.count(LIVE) == 0


def test_a_copy_has_its_own_ids_and_the_same_vectors(store):
    write(store, [result(segment) for segment in segments()])
    source = segments()[0].video
    copy = replace(segments("b")[0].video, metadata=(("title", "B"),))
    entry = copy_video(store, CopyOf(copy, "A", source.uri))
    assert (entry.clips, entry.state, store.count(LIVE)) == (6, "committed", 12)
    by_video = {
        uri: sorted(
            store.scroll(Where((Equals("uri", uri), Equals("kind", "clip"))), vectors=True),
            key=lambda p: p.payload["clip_index"],
        )
        for uri in (source.uri, copy.uri)
    }
    for own, other in zip(*by_video.values(), strict=True):
        assert own.id != other.id and np.array_equal(own.vectors["frame"], other.vectors["frame"])
        assert other.payload["metadata"] == {"title": "B"} and own.payload["metadata"] == {}


def test_a_copy_of_what_was_rejected_is_rejected_without_a_look(store):
    source = segments()[0].video
    reject = Reject(source.uri, "probe", "UnreadableVideo", "no", transient=False, content="A")
    record_reject(store, RejectedVideo(source, reject))
    entry = copy_video(store, CopyOf(segments("b")[0].video, "A", source.uri))
    assert entry.state == "rejected" and entry.rejects[0].uri == entry.uri


def test_a_copy_of_what_is_not_there_yet_waits(store):
    assert copy_video(store, CopyOf(segments("b")[0].video, "A", segments()[0].video.uri)) is None


def test_removed_videos_leave_nothing_and_others_stay(store):
    write(store, [result(segment) for segment in segments()])
    write(store, [result(segment) for segment in segments("b", content="B")])
    remove_videos(store, [read_entries(store)["file:///c/a"]])
    assert set(read_entries(store)) == {"file:///c/b"} and store.count(CLIPS) == 6


def test_a_forgotten_video_leaves_a_stone(store):
    write(store, [result(segment) for segment in segments()])
    assert forget_video(store, read_entries(store)["file:///c/a"]) == 6
    assert read_entries(store)["file:///c/a"].state == "forgotten" and store.count(CLIPS) == 0


def test_new_metadata_reaches_every_clip(store):
    write(store, [result(segment) for segment in segments()])
    relabel(store, replace(read_entries(store)["file:///c/a"], metadata=(("title", "new"),)))
    assert {point.payload["metadata"]["title"] for point in store.scroll(LIVE)} == {"new"}


def test_an_unfinished_older_version_is_swept(store):
    write(store, [result(segments(version="1", content="OLD")[0])])
    write(store, [result(segment) for segment in segments(version="2", content="NEW")])
    sweep(store, ["file:///c/a"])
    assert not read_all_receipts(store) and {p.payload["content"] for p in store.scroll(CLIPS)} == {"NEW"}


def begin(store):
    """The number of a run that begins and ends now."""
    with writing(store.live.location, command="a run", wait=False) as run:
        return run.number


def test_a_bundle_of_an_older_run_does_not_bring_its_version_back(store):
    old = begin(store)
    zombie = [result(segment) for segment in segments(run=old)]
    write(store, [result(segment) for segment in segments(version="2", content="B", run=begin(store))])
    with pytest.raises(RunOvertaken, match=rf"run {old} .* run {old + 1}"):
        write(store, zombie)
    assert live_contents(store) == ["B"] * 6 and store.count(CLIPS) == 6 and not read_all_receipts(store)


def test_a_bundle_of_an_older_run_does_not_bring_a_removed_video_back(store):
    zombie = [result(segment) for segment in segments(run=begin(store))]
    write(store, zombie)
    begin(store)
    remove_videos(store, list(read_entries(store).values()))
    with pytest.raises(RunOvertaken):
        write(store, zombie)
    assert store.count(Where()) == 0


def test_a_reject_of_an_older_run_does_not_take_good_clips_away(store):
    old = begin(store)
    video = segments()[0].video
    reject = Reject(video.uri, "probe", "UnreadableVideo", "no", transient=False, content="0", version="0")
    write(store, [result(segment) for segment in segments(run=begin(store))])
    with pytest.raises(RunOvertaken):
        record_reject(store, RejectedVideo(video, reject, old))
    assert store.count(LIVE) == 6


def test_receipts_of_an_older_run_are_not_committed_over_a_newer_version(store):
    from transforms.index.ledger import write_receipts
    from transforms.write.commit import receipt_of

    old = begin(store)
    late = [result(segment) for segment in segments(run=old)]
    write(store, [result(segment) for segment in segments(version="2", content="B", run=begin(store))])
    store.upsert([point for one in late for point in one.points])  # the older run was stopped between check and write
    write_receipts(store, [receipt_of(one, "r1") for one in late])
    begin(store)
    assert commit_leftovers(store) == []
    assert live_contents(store) == ["B"] * 6 and store.count(CLIPS) == 6 and not read_all_receipts(store)


def test_a_late_repetition_of_part_of_a_partial_video_hides_nothing(store):
    first, second, third = segments()
    results = [result(first), broken(second), result(third)]
    write(store, results)
    write(store, results[:1])
    assert store.count(LIVE) == 4 and not read_all_receipts(store)


def test_trying_a_partial_video_again_does_not_hide_what_can_be_found(store):
    first, second, third = segments(run=begin(store))
    write(store, [result(first), broken(second), result(third)])
    again = segments(run=begin(store))
    write(store, [result(again[0])])
    assert store.count(LIVE) == 4
    write(store, [result(again[1]), result(again[2])])
    assert store.count(LIVE) == 6 and read_entry(store, first.video.uri).state == "committed"


def test_points_that_a_killed_run_left_without_a_receipt_are_swept(store):
    write(store, [result(segment) for segment in segments()])
    store.upsert([point for segment in segments("b") for point in result(segment).points])
    store.upsert([point for segment in segments(version="2", content="B") for point in result(segment).points])
    begun = segments("c")
    write(store, [result(begun[0])])
    sweep_unvouched(store)
    assert store.count(LIVE) == 6 and store.count(CLIPS) == 8 and len(read_all_receipts(store)) == 1


def test_a_video_whose_removal_was_cut_short_counts_as_new(store):
    write(store, [result(segment) for segment in segments()])
    store.delete(CLIPS)  # and then the run was killed, and its file came back
    sweep_unvouched(store)
    assert not read_entries(store) and store.count(Where()) == 0


def test_what_was_begun_of_a_file_that_is_gone_is_deleted_and_of_one_out_of_sight_kept(store):
    write(store, [result(segments("gone")[0]), result(segments("elsewhere")[0])])
    swept = sweep_abandoned(store, taken_up=(), listed=(), ledger={}, covered=lambda uri, origin: uri.endswith("/gone"))
    assert swept == 1 and {receipt.uri for receipt in read_all_receipts(store)} == {"file:///c/elsewhere"}
    assert store.count(CLIPS) == 2


def test_the_longer_storing_takes_the_more_is_stored_together_up_to_a_limit():
    assert [group_seconds(write) for write in (0.001, 0.1, 3.0)] == [GROUP_SECONDS, 2.0, LONGEST_GROUP_SECONDS]
