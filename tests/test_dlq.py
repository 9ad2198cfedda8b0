"""Dead letters: grouped by cause, shown in full, dropped for good; in a folder and on a server, without any model."""

import json
from dataclasses import replace

import pytest

from pipelines.causes import cause_of, details, drop, read_causes, replayable
from pipelines.fsck.run import fsck
from pipelines.rejects import list_rejects, rejects_path
from tests.test_cli import run as reelvec
from tests.test_fsck import Place, folder, place  # noqa: F401  fixtures
from tests.test_write import broken, result, segments, write
from transforms.errors import UsageError
from transforms.index.kinds import clips_of
from transforms.plan import plan_work
from transforms.records import Reject, RejectedVideo, VideoRef
from transforms.write.commit import record_reject


def reject_probe(store, name, *, message="cannot be read", transient=False, content="", uri=""):
    video = replace(segments(name)[0].video, uri=uri or f"file:///c/{name}")
    reject = Reject(video.uri, "probe", "DecoderCrashed" if transient else "UnreadableVideo", message, transient)
    record_reject(store, RejectedVideo(video, replace(reject, content=content, version=video.version)))
    return video


def plan_of(held: Place, video: VideoRef):
    entry = held.entry(video.uri)
    return plan_work([video], {video.uri: entry}, hash_content=lambda _: "NOW", covered=lambda *_: True)


def test_a_cause_is_the_message_without_what_is_the_videos_own():
    first = Reject("file:///c/a.mp4", "decode", "UnreadableVideo", "/c/a.mp4: broken at 3.5 s of 10, a.mp4", False)
    other = replace(first, uri="file:///d/bb.mkv", message="/d/bb.mkv: broken at 11 s of 7.25, bb.mkv")
    assert cause_of(first) == cause_of(other) == "VIDEO: broken at N s of N, VIDEO"
    assert cause_of(replace(first, message="see /var/lib/x9/y: 0xdead h264")) == "see PATH: N h264"


def test_rejects_of_one_cause_are_one_line_with_an_example(place):  # noqa: F811
    with place.change() as store:
        for number in range(3):
            reject_probe(store, f"v{number}", message=f"file:///c/v{number} has {number} streams")
        reject_probe(store, "w", message="killed", transient=True)
    many, one = read_causes(place.location)
    assert (many.error, many.rejects, many.videos, many.tried_again) == ("UnreadableVideo", 3, 3, 0)
    assert many.example.uri == "file:///c/v0" and (one.error, one.tried_again) == ("DecoderCrashed", 1)
    assert len(list_rejects(place.location)) == 4


def test_a_reject_is_shown_in_full_by_its_id_and_by_its_video(place):  # noqa: F811
    with place.change() as store:
        write(store, [result(segments("b")[0]), *(broken(segment) for segment in segments("b")[1:])])
    shown = details(place.location, "/c/b")
    assert [one["start_seconds"] for one in shown] == [16.0, 32.0]
    assert details(place.location, shown[0]["id"]) == shown[:1]
    assert (shown[0]["state"], shown[0]["clips"], shown[0]["tried_again"]) == ("partial", 2, False)
    assert "dlq replay /c/b" in shown[0]["cure"]
    with pytest.raises(UsageError, match="its state is 'committed'"):
        details(place.location, place.a)
    with pytest.raises(UsageError, match="does not know it"):
        details(place.location, "/c/nobody")


def test_a_dropped_video_stays_out_until_its_bytes_change(place):  # noqa: F811
    with place.change() as store:
        video = reject_probe(store, "b", content="NOW", transient=True)
    assert drop(place.location, ["/c/b"]) == [video.uri]
    assert list_rejects(place.location) == [] and place.entry(video.uri).state == "dropped"
    assert plan_of(place, video).skipped == (video,)
    touched = plan_of(place, replace(video, version="2"))
    assert not touched.to_embed and not touched.rejected
    changed = plan_of(place, replace(video, size_bytes=11))
    assert [work.video.uri for work in changed.to_embed] == [video.uri]
    assert not fsck(place.location).problems
    assert replayable(place.location, ["/c/b"]) == [video.uri] and replayable(place.location) == []


def test_dropping_what_a_partial_video_lacks_leaves_the_rest_searchable(place):  # noqa: F811
    first, second, third = segments("b")
    with place.change() as store:
        write(store, [result(first), broken(second, transient=True), result(third)])
    drop(place.location, error="DecoderCrashed")
    entry = place.entry(first.video.uri)
    assert (entry.state, entry.rejects, len(place.read(clips_of(entry.uri)))) == ("partial", (), 4)
    assert plan_of(place, first.video).unchanged == (first.video,)
    assert not fsck(place.location).problems


def test_dropped_videos_that_vanish_are_no_mass_deletion():
    from transforms.records import LedgerEntry

    entries = {f"file:///c/{n}": LedgerEntry(f"file:///c/{n}", 1, "1", "dropped") for n in range(50)}
    plan = plan_work([], entries, hash_content=lambda _: "", covered=lambda *_: True)
    assert len(plan.gone) == 50


def test_the_commands_group_show_and_drop(folder):  # noqa: F811
    index = str(folder.location.path)
    with folder.change() as store:
        for name in ("b", "d"):
            reject_probe(store, name, message=f"/c/{name} is cut off")
    code, out, _ = reelvec("dlq", "list", "--index", index)
    assert code == 0 and "UnreadableVideo in probe  2 in 2 videos" in out and "not tried again" in out
    (cause,) = json.loads(reelvec("dlq", "list", "--json", "--group", "--index", index)[1])
    assert (cause["rejects"], cause["cause"], cause["example"]["video"]) == (2, "VIDEO is cut off", "/c/b")
    assert len(json.loads(reelvec("dlq", "list", "--json", "--index", index)[1])) == 2
    (shown,) = json.loads(reelvec("dlq", "show", "/c/d", "--json", "--index", index)[1])
    assert shown["message"] == "/c/d is cut off" and "is cut off" in reelvec("dlq", "show", "/c/d", "--index", index)[1]
    assert reelvec("dlq", "drop", "--index", index)[0] == 2
    assert "there are UnreadableVideo" in reelvec("dlq", "drop", "--cause", "Nonsense", "--index", index)[2]
    code, out, _ = reelvec("dlq", "drop", "/c/b", "--json", "--index", index)
    assert code == 0 and json.loads(out) == {"dropped": ["/c/b"]}
    assert "1 dropped" in reelvec("dlq", "drop", "--cause", "UnreadableVideo", "--index", index)[1]
    assert rejects_path(folder.location).read_text() == ""
    assert json.loads(reelvec("status", "--json", "--index", index)[1])["totals"]["dropped"] == 2
