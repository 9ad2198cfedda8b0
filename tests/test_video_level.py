"""Whole videos: a point each that comes and goes with their clips, and searches that give one hit a video."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.asked import Asked
from pipelines.ingest import ingest
from pipelines.search import Searcher
from pipelines.settings import IngestSettings
from pipelines.status import forget, status
from tests.small_index import the_recipe  # noqa: F401  (a fixture)
from tests.test_cli import run
from tests.test_ingest import render
from tests.test_write import broken, result, segments, store, write  # noqa: F401  (store is a fixture)
from tests.timed_index import Film, timed_index
from transforms.errors import UsageError
from transforms.index.edge import EdgeStore
from transforms.index.kinds import LIVE_CLIPS, LIVE_WHOLES, WHOLE
from transforms.index.ledger import read_entries, write_receipts
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader, open_writer, read_schema, release
from transforms.index.publish import publish
from transforms.index.query import FUSION_DEPTH
from transforms.index.store import Equals, Where
from transforms.recipe import Recipe
from transforms.records import ClipPoint, CopyOf, Reject, RejectedVideo, whole_id
from transforms.remove import forget_video, remove_videos
from transforms.uris import uri_of_path
from transforms.write.commit import commit_leftovers, receipt_of, record_reject, sweep
from transforms.write.copies import copy_video, relabel
from transforms.write.whole import add_missing

WHOLES = Where((Equals("kind", WHOLE),))


def wholes(held: EdgeStore) -> dict[str, ClipPoint]:
    """By the last part of the URI."""
    return {point.payload["uri"].rsplit("/", 1)[1]: point for point in held.scroll(WHOLES, vectors=True)}


def test_a_video_has_its_point_when_its_last_segment_is_there_and_not_before(store: EdgeStore) -> None:  # noqa: F811
    first, second, third = segments()
    write(store, [result(third)])
    write(store, [result(first)])
    assert not wholes(store)
    write(store, [result(second)])
    (point,) = wholes(store).values()
    assert point.id == whole_id(first.video.uri, "A", "w")
    assert point.vectors["frame"] == pytest.approx(np.array([2, 2, 1, 1]) / np.sqrt(10))
    held = point.payload
    assert (held["live"], held["content"], held["clips"]) == (True, "A", 6)
    assert (held["start_seconds"], held["end_seconds"]) == (0.0, 48.0)


def test_writing_and_committing_again_leaves_one_point(store: EdgeStore) -> None:  # noqa: F811
    results = [result(segment) for segment in segments()]
    write(store, results)
    (before,) = wholes(store).values()
    write(store, results)
    write_receipts(store, [receipt_of(each, "r1") for each in results])
    commit_leftovers(store)
    (after,) = wholes(store).values()
    assert (after.id, after.payload) == (before.id, before.payload)


def test_a_shorter_cut_replaces_the_point_in_one_step(store: EdgeStore) -> None:  # noqa: F811
    write(store, [result(segment) for segment in segments()])
    shorter = segments(version="2", content="B", count=2)
    write(store, [result(shorter[0])])
    assert wholes(store)["a"].payload["content"] == "A"
    write(store, [result(shorter[1])])
    (point,) = wholes(store).values()
    assert (point.payload["content"], point.payload["clips"], point.payload["end_seconds"]) == ("B", 4, 32.0)


def test_a_worse_version_leaves_the_point_of_the_good_one(store: EdgeStore) -> None:  # noqa: F811
    write(store, [result(segment) for segment in segments()])
    first, second, third = segments(version="2", content="B")
    write(store, [result(first), broken(second), result(third)])
    assert [point.payload["content"] for point in wholes(store).values()] == ["A"]


def test_a_stretch_that_is_mended_joins_the_point(store: EdgeStore) -> None:  # noqa: F811
    first, second, third = segments()
    write(store, [result(first), broken(second, transient=True), result(third)])
    assert wholes(store)["a"].payload["clips"] == 4
    write(store, [result(segments(attempts=2)[1])])
    (point,) = wholes(store).values()
    assert point.payload["clips"] == 6 and point.vectors["frame"] == pytest.approx(np.array([2, 2, 1, 1]) / 10**0.5)


def test_what_a_killed_run_left_gets_its_point_from_the_next(store: EdgeStore) -> None:  # noqa: F811
    results = [result(segment) for segment in segments()]
    for each in results:
        store.upsert(each.points)
    write_receipts(store, [receipt_of(each, "r1") for each in results])
    assert not wholes(store)
    commit_leftovers(store)
    assert wholes(store)["a"].payload["clips"] == 6


def test_the_point_goes_when_the_changed_file_cannot_be_read(store: EdgeStore) -> None:  # noqa: F811
    write(store, [result(segment) for segment in segments()])
    changed = segments(version="2", content="B")[0].video
    record_reject(store, RejectedVideo(changed, Reject(changed.uri, "probe", "UnreadableVideo", "no", False)))
    assert not wholes(store)


def test_the_point_of_an_unfinished_version_is_swept_with_its_clips(store: EdgeStore) -> None:  # noqa: F811
    write(store, [result(segments(version="1", content="OLD")[0])])
    write(store, [result(segment) for segment in segments(version="2", content="NEW")])
    stray = replace(wholes(store)["a"], id=whole_id("file:///c/a", "OLD", "w"))
    store.upsert([replace(stray, payload={**stray.payload, "content": "OLD"})])
    sweep(store, ["file:///c/a"])
    assert [point.payload["content"] for point in wholes(store).values()] == ["NEW"]


def test_removed_and_forgotten_videos_take_their_points_along(store: EdgeStore) -> None:  # noqa: F811
    for name in ("a", "b", "c"):
        write(store, [result(segment) for segment in segments(name, content=name)])
    entries = read_entries(store)
    remove_videos(store, [entries["file:///c/a"]])
    forget_video(store, entries["file:///c/b"])
    assert set(wholes(store)) == {"c"}


def test_a_copy_has_a_point_of_its_own_and_replaces_that_of_what_lay_there(store: EdgeStore) -> None:  # noqa: F811
    write(store, [result(segment) for segment in segments()])
    write(store, [result(segment) for segment in segments("b", content="B", count=1)])
    video = replace(segments("b", version="2")[0].video, metadata=(("title", "B"),))
    entry = copy_video(store, CopyOf(video, "A", "file:///c/a"))
    assert entry is not None and entry.clips == 6
    own, other = wholes(store)["a"], wholes(store)["b"]
    assert len(list(store.scroll(WHOLES))) == 2
    assert other.id == whole_id("file:///c/b", "A", "w") and other.payload["metadata"] == {"title": "B"}
    assert np.array_equal(own.vectors["frame"], other.vectors["frame"])


def test_new_metadata_reaches_the_point(store: EdgeStore) -> None:  # noqa: F811
    write(store, [result(segment) for segment in segments()])
    relabel(store, replace(read_entries(store)["file:///c/a"], metadata=(("title", "new"),)))
    assert wholes(store)["a"].payload["metadata"] == {"title": "new"}


def test_clips_that_cancel_out_leave_a_point_without_that_vector(store: EdgeStore) -> None:  # noqa: F811
    (segment,) = segments(count=1)
    there, back = result(segment).points
    opposite = replace(back, vectors={"frame": -np.asarray(there.vectors["frame"])})
    write(store, [replace(result(segment), points=[there, opposite])])
    (point,) = wholes(store).values()
    assert not point.vectors and point.payload["vectors"] == []


def test_points_that_an_older_reelvec_did_not_write_are_added_once(store: EdgeStore) -> None:  # noqa: F811
    for name in ("a", "b"):
        write(store, [result(segment) for segment in segments(name, content=name)])
    before = wholes(store)
    store.delete(Where((Equals("kind", WHOLE), Equals("uri", "file:///c/a"))))
    assert add_missing(store, read_entries(store)) == 1
    after = wholes(store)
    assert {name: (point.id, point.payload) for name, point in after.items()} == {
        name: (point.id, point.payload) for name, point in before.items()
    }
    assert add_missing(store, read_entries(store)) == 0


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Path:
    """The example videos and one that lasts a single clip; the index lies beside it."""
    folder = tmp_path_factory.mktemp("videos") / "corpus"
    shutil.copytree(examples, folder)
    render(folder / "red.mp4")
    ingest(IngestSettings(sources=(str(folder),), index=str(folder.parent / "index")))
    return folder


def index_of(corpus: Path) -> str:
    return str(corpus.parent / "index")


def points(index: str, where: Where) -> list[ClipPoint]:
    reader = open_reader(IndexLocation.parse(index))
    try:
        return list(reader.scroll(where, vectors=True))
    finally:
        reader.close()


def without_wholes(index: str) -> None:
    """Make the index what a Reelvec without whole points leaves."""
    location = IndexLocation.parse(index)
    schema = read_schema(location)
    assert schema is not None
    opened = open_writer(location, schema)
    opened.delete(WHOLES)
    publish(location, opened, optimize=False)
    opened.close()
    release(location)


@pytest.mark.parametrize("pooled", [False, True])
def test_each_video_is_one_hit_that_lasts_all_of_it(corpus: Path, pooled: bool) -> None:
    with Searcher(index_of(corpus)) as searcher:
        hits = searcher.ask(Asked("a rocket taking off", by="frame", level="video", pooled=pooled))
    names = [Path(hit.video).name for hit in hits]
    assert names[0] == "launch.mp4" and len(set(names)) == len(names) == 7
    lasts = {Path(video.video).name: video.duration_seconds for video in status_of(corpus)}
    for name, hit in zip(names, hits, strict=True):
        assert hit.end_seconds - hit.start_seconds == pytest.approx(lasts[name], abs=1e-3)
        assert hit.why["frame"] == pytest.approx(hit.score, abs=1e-4)


def status_of(corpus: Path):
    return status(IndexLocation.parse(index_of(corpus))).videos


def test_a_video_scores_what_its_best_clip_does(corpus: Path) -> None:
    with Searcher(index_of(corpus)) as searcher:
        for by in ("frame", "transcript", "words", "auto", "clip"):
            clips = searcher.search("the rocket stands on the launch pad", by=by, limit=100)
            best: dict[str, tuple[float, str]] = {}
            for hit in clips:
                best.setdefault(hit.video, (hit.score, hit.clip_id))
            videos = searcher.ask(Asked("the rocket stands on the launch pad", by=by, level="video"))
            assert [(hit.video, (hit.score, hit.clip_id)) for hit in videos] == list(best.items())
            assert all(hit.confidence is not None for hit in videos)


def test_a_whole_video_is_the_mean_of_its_clips_and_a_video_of_one_clip_is_that_clip(corpus: Path) -> None:
    clips = points(index_of(corpus), LIVE_CLIPS)
    found = points(index_of(corpus), LIVE_WHOLES)
    assert len(found) == 7
    for point in found:
        own = [clip for clip in clips if clip.payload["uri"] == point.payload["uri"]]
        assert point.payload["clips"] == len(own)
        assert set(point.vectors) == {name for clip in own for name in clip.vectors} - {"frames", "words"}
        for name, vector in point.vectors.items():
            mean = np.mean([clip.vectors[name] for clip in own if name in clip.vectors], axis=0)
            assert np.allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
    (red,) = [point for point in found if point.payload["uri"].endswith("red.mp4")]
    (clip,) = [clip for clip in clips if clip.payload["uri"].endswith("red.mp4")]
    assert all(np.allclose(vector, clip.vectors[name], atol=1e-6) for name, vector in red.vectors.items())


def test_clip_searches_counts_and_calibration_are_what_they_are_without_whole_videos(
    corpus: Path, tmp_path: Path
) -> None:
    bare = str(tmp_path / "bare")
    shutil.copytree(index_of(corpus), bare)
    without_wholes(bare)
    with Searcher(index_of(corpus)) as ours, Searcher(bare) as theirs:
        answered = set()
        for by in ours.names:
            hits, others = (each.search("a rocket at Canaveral", by=by, limit=200) for each in (ours, theirs))
            assert [hit.as_json() for hit in hits] == [hit.as_json() for hit in others]
            answered |= {by} if hits else set()
        assert answered >= {"auto", "frame", "frames", "transcript", "words", "clip", "rrf"}
    reports = [status(IndexLocation.parse(index)) for index in (index_of(corpus), bare)]
    assert reports[0].totals == reports[1].totals and reports[0].videos == reports[1].videos
    assert reports[0].totals["clips"] == len(points(index_of(corpus), LIVE_CLIPS))


def test_a_file_finds_the_videos_that_look_like_it(corpus: Path) -> None:
    with Searcher(index_of(corpus)) as searcher:
        for pooled in (False, True):
            hits = searcher.search_like(corpus / "cat.mp4", by="frame", limit=3, level="video", pooled=pooled)
            assert Path(hits[0].video).name == "cat.mp4" and len({hit.video for hit in hits}) == 3


def test_an_index_of_an_older_reelvec_answers_by_best_clips_and_is_completed_by_the_next_change(
    corpus: Path, tmp_path: Path
) -> None:
    old, moved = tmp_path / "index", tmp_path / "corpus"
    shutil.copytree(index_of(corpus), old)
    shutil.copytree(corpus, moved)
    without_wholes(str(old))
    asked = Asked("a rocket taking off", by="frame", level="video", limit=1)
    with Searcher(str(old)) as searcher:
        assert Path(searcher.ask(asked)[0].video).name == "launch.mp4"
        with pytest.raises(UsageError, match="an older Reelvec"):
            searcher.ask(replace(asked, pooled=True))
    render(moved / "blue.mp4", colour="blue")
    ingest(IngestSettings(sources=(str(moved),), index=str(old)))
    uris = [point.payload["uri"] for point in points(str(old), LIVE_WHOLES)]
    assert len(uris) == len(set(uris)) == sum(video.clips > 0 for video in status(IndexLocation.parse(str(old))).videos)
    assert uri_of_path(moved / "blue.mp4") in uris


def test_a_video_that_is_gone_changed_or_forgotten_is_found_no_longer_by_what_it_was(tmp_path: Path) -> None:
    folder, index = tmp_path / "corpus", str(tmp_path / "index")
    for name, seconds in (("a", 20.0), ("b", 20.0), ("c", 2.0)):
        render(folder / f"{name}.mp4", colour={"a": "red", "b": "blue", "c": "green"}[name], seconds=seconds)
    ingest(IngestSettings(sources=(str(folder),), index=index))
    before = {Path(point.payload["uri"]).stem: point for point in points(index, WHOLES)}
    assert {name: point.payload["clips"] for name, point in before.items()} == {"a": 3, "b": 3, "c": 1}
    (folder / "a.mp4").unlink()
    render(folder / "b.mp4", colour="white", seconds=2.0)
    ingest(IngestSettings(sources=(str(folder),), index=index))
    forget(IndexLocation.parse(index), str(folder / "c.mp4"))
    (after,) = points(index, WHOLES)
    assert Path(after.payload["uri"]).stem == "b" and after.payload["clips"] == 1
    assert after.id != before["b"].id


def test_long_videos_do_not_hide_the_others(tmp_path: Path, recipe: Recipe) -> None:
    long = Film("long.mp4", [["a cat sleeping on a sofa"]] * (FUSION_DEPTH + 20))
    films = [
        long,
        Film("dog.mp4", [["a dog in the garden"]]),
        Film("late.ts", [["a cat"]], clock_starts_seconds=1000.0),
    ]
    index = timed_index(tmp_path / "films.reelvec", films, recipe)
    with Searcher(index) as searcher:
        hits = searcher.ask(Asked("a cat sleeping on a sofa", by="frame", level="video", limit=3))
    assert [Path(hit.video).name for hit in hits] == ["long.mp4", "late.ts", "dog.mp4"]
    assert [(hit.start_seconds, hit.end_seconds) for hit in hits] == [(0.0, 960.0), (1000.0, 1008.0), (0.0, 8.0)]


def test_the_command_prints_videos_with_the_keys_of_clips(corpus: Path) -> None:
    _, clips, _ = run("search", "a cat", "--json", "--index", index_of(corpus))
    for more in ((), ("--pooled",)):
        code, out, err = run(
            "search", "a cat", "--level", "video", *more, "--limit", "7", "--json", "--index", index_of(corpus)
        )
        assert (code, err) == (0, "")
        assert list(json.loads(out)[0]) == list(json.loads(clips)[0])
        assert len({hit["video"] for hit in json.loads(out)}) == len(json.loads(out)) == 7
    pooled = json.loads(out)
    assert all(hit["confidence"] is None and hit["transcript"] is None for hit in pooled)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("a cat", "--level", "film"), "--level is clip or video: 'film'"),
        (("a cat", "--pooled"), "needs --level video"),
        (("a cat", "--level", "video", "--then", "a dog"), "goes without --then"),
        (("a cat", "--level", "video", "--near", "5"), "goes without --then, --near"),
        (("a cat", "--level", "video", "--at", "end"), "goes without"),
        (("a cat", "--level", "video", "--between", "0", "5"), "goes without"),
        (("--level", "video", "--between", "0", "5"), "goes without"),
        (("a cat", "--level", "video", "--pooled", "--by", "words"), "no vector that --by words compares; they have"),
        (("a cat", "--level", "video", "--pooled", "--by", "frames"), "no vector that --by frames compares"),
        (
            ("a cat", "--level", "video", "--pooled", "--by", "weighted", "--weights", "words=1"),
            "whole videos have no words",
        ),
        (("--like", "x.jpg", "--by", "frame", "--level", "film"), "--level is clip or video"),
        (("--like", "x.jpg", "--by", "frames", "--level", "video", "--pooled"), "no vector that --by frames compares"),
        (("a cat", "--level", "video", "--limit", "0"), "limit"),
    ],
)
def test_what_does_not_go_together_is_refused_and_said(corpus: Path, args: tuple[str, ...], said: str) -> None:
    code, out, err = run("search", *args, "--index", index_of(corpus))
    assert code == 2 and not out and said in " ".join(err.split())
