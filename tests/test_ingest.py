"""Whole runs over real files with the real models of the offline recipe, in process, on Edge."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines.ingest import ingest
from pipelines.rejects import list_rejects
from pipelines.settings import IngestSettings
from pipelines.status import forget, status
from transforms.errors import DiskFull, IndexLocked, Outage, RecipeMismatch, UsageError
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.index.open import open_reader, open_writer, read_schema
from transforms.index.store import Equals, Where
from transforms.index.unpublished import mark_unpublished

LIVE = Where((Equals("kind", "clip"), Equals("live", True)))
VOLATILE = {"searchable_since", "run"}


def render(path: Path, *, seconds: float = 2.0, colour: str = "red", sound: bool = True) -> Path:
    """A few seconds of one colour with a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"color={colour}:s=160x120:r=10:d={seconds}"]
    if sound:
        command += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}", "-c:a", "aac"]
    command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-threads", "1", f"file:{path}"]
    subprocess.run(command, check=True)
    return path


class Box:
    """A corpus folder and an index beside it."""

    def __init__(self, folder: Path) -> None:
        self.corpus = folder / "corpus"
        self.index = folder / "index"
        self.location = IndexLocation.parse(str(self.index))

    def run(self, *sources, **settings):
        settings.setdefault("index", str(self.index))
        summary = ingest(IngestSettings(sources=tuple(map(str, sources or [self.corpus])), **settings))
        done = summary.videos_indexed + summary.videos_unchanged + summary.videos_moved
        assert summary.videos_found == done + summary.videos_deferred + summary.videos_rejected
        return summary

    def run_manifest(self, manifest):
        return ingest(IngestSettings(manifest=manifest, index=str(self.index)))

    def points(self, where=LIVE, **options):
        reader = open_reader(self.location)
        try:
            return list(reader.scroll(where, **options))
        finally:
            reader.close()

    def videos(self):
        return {Path(video.video).name: video for video in status(self.location).videos}


@pytest.fixture
def box(tmp_path):
    made = Box(tmp_path)
    made.corpus.mkdir()
    return made


def comparable(points):
    return {point.id: {key: value for key, value in point.payload.items() if key not in VOLATILE} for point in points}


def test_a_folder_becomes_searchable_and_a_second_run_does_nothing(box, examples):
    shutil.copytree(examples, box.corpus, dirs_exist_ok=True)
    first = box.run()
    assert (first.videos_found, first.videos_indexed, first.videos_rejected) == (6, 6, 0)
    points = box.points(vectors=True)
    assert len(points) == first.clips_written > 6
    assert all({"frame", "frames", "clip"} <= set(point.vectors) for point in points)
    assert any("transcript" in point.vectors and "words" in point.vectors for point in points)
    for point in points:
        times = point.payload["frame_times_seconds"]
        assert len(times) == len(point.vectors["frames"]) and times == sorted(times)
    again = box.run()
    assert (again.videos_unchanged, again.clips_written, again.videos_indexed) == (6, 0, 0)
    assert comparable(box.points()) == comparable(points)


def test_every_bundle_may_run_three_times(box, tmp_path):
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "green")):
        render(box.corpus / f"{name}.mp4", colour=colour, seconds=3)
    box.run()
    once = comparable(box.points())
    other = tmp_path / "repeated"
    box.run(index=str(other), beam_options=("--runner=FnApiRunner", "--direct_runner_bundle_repeat=2"))
    box.location = IndexLocation.parse(str(other))
    assert comparable(box.points()) == once


def test_several_workers_in_threads_make_the_same_index(box, tmp_path):
    for number in range(6):
        render(box.corpus / f"{number}.mp4", seconds=1 + number)
    box.run()
    once = comparable(box.points())
    other = tmp_path / "threads"
    options = ("--runner=FnApiRunner", "--direct_num_workers=3", "--direct_running_mode=multi_threading")
    box.run(index=str(other), beam_options=options)
    box.location = IndexLocation.parse(str(other))
    assert comparable(box.points()) == once


def test_several_processes_are_refused_for_a_folder(box):
    render(box.corpus / "a.mp4")
    with pytest.raises(UsageError, match="multi_processing"):
        box.run(beam_options=("--direct_running_mode=multi_processing",))


def test_what_vanished_goes_and_what_moved_keeps_its_vectors(box):
    render(box.corpus / "a.mp4", colour="red")
    render(box.corpus / "b.mp4", colour="blue")
    box.run()
    before = {point.payload["uri"].rsplit("/", 1)[1]: point for point in box.points(vectors=True)}
    (box.corpus / "deeper").mkdir()
    (box.corpus / "a.mp4").rename(box.corpus / "deeper" / "moved.mp4")
    (box.corpus / "b.mp4").unlink()
    summary = box.run()
    assert (summary.videos_moved, summary.videos_removed, summary.videos_indexed) == (1, 1, 0)
    (after,) = box.points(vectors=True)
    assert after.payload["uri"].endswith("deeper/moved.mp4")
    assert (after.vectors["frame"] == before["a.mp4"].vectors["frame"]).all()
    assert set(box.videos()) == {"moved.mp4"}


def test_copies_are_encoded_once_and_all_found(box):
    original = render(box.corpus / "a.mp4")
    for name in ("b.mp4", "c.mp4"):
        shutil.copy(original, box.corpus / name)
    summary = box.run()
    assert (summary.videos_indexed, summary.videos_copied, summary.clips_written) == (3, 2, 3)
    shutil.copy(original, box.corpus / "later.mp4")
    summary = box.run()
    assert (summary.videos_indexed, summary.videos_copied, summary.videos_unchanged) == (1, 1, 3)
    assert len({point.id for point in box.points()}) == 4


def test_a_changed_file_is_done_again_and_a_touched_one_is_not(box):
    video = render(box.corpus / "a.mp4", seconds=20)
    assert box.run().clips_written == 3
    video.touch()
    assert box.run().videos_unchanged == 1
    render(video, seconds=2, colour="blue")
    assert box.run().videos_indexed == 1
    assert len(box.points(Where((Equals("kind", "clip"),)))) == 1


def test_a_changed_file_that_cannot_be_read_is_rejected_and_its_clips_go(box):
    video = render(box.corpus / "a.mp4")
    box.run()
    video.write_bytes(b"\x00" * 5000)
    summary = box.run()
    assert (summary.videos_rejected, len(box.points())) == (1, 0)
    again = box.run()
    assert (again.videos_rejected, again.videos_indexed) == (1, 0)


def test_rejects_are_written_beside_the_index_without_media(box):
    (box.corpus / "zero.mp4").touch()
    (box.corpus / "text.mkv").write_text("no video\n" * 100)
    (box.corpus / "notes.txt").write_text("nothing\n")
    render(box.corpus / "good.mp4")
    summary = box.run()
    assert (summary.videos_found, summary.videos_indexed, summary.videos_rejected) == (3, 1, 2)
    assert summary.files_skipped == 1
    lines = [json.loads(line) for line in Path(summary.rejects_path).read_text().splitlines()]
    assert {Path(line["uri"]).name for line in lines} == {"zero.mp4", "text.mkv"}
    assert [reject.id for reject in list_rejects(box.location)]
    text = Path(summary.rejects_path).read_text()
    box.run()
    assert Path(summary.rejects_path).read_text() == text


def test_a_named_file_without_media_is_rejected_a_listed_one_is_skipped(box):
    binary = box.corpus / "blob"
    binary.write_bytes(bytes(range(256)) * 40)
    summary = box.run()
    assert (summary.videos_found, summary.files_skipped) == (0, 1)
    summary = box.run(binary)
    assert (summary.videos_found, summary.videos_rejected) == (1, 1)


def test_an_empty_folder_is_fine_and_one_that_held_videos_deletes_nothing(box, tmp_path):
    assert box.run().videos_found == 0
    video = render(box.corpus / "a.mp4")
    box.run()
    shutil.move(video, tmp_path / "elsewhere.mp4")
    with pytest.raises(Outage, match="not mounted"):
        box.run()
    assert len(box.points()) == 1


def test_naming_one_file_removes_no_other(box):
    render(box.corpus / "a.mp4", colour="red")
    render(box.corpus / "b.mp4", colour="blue")
    box.run()
    (box.corpus / "b.mp4").unlink()
    assert box.run(box.corpus / "a.mp4").videos_removed == 0
    assert box.run().videos_removed == 1


def test_a_forgotten_video_stays_out_until_it_is_named(box):
    video = render(box.corpus / "a.mp4")
    box.run()
    assert forget(box.location, str(video)) == 1
    assert not box.points()
    assert box.run().videos_indexed == 0
    assert box.run(video).videos_indexed == 1
    assert len(box.points()) == 1


def test_edited_metadata_reaches_the_payload_without_encoding(box):
    render(box.corpus / "a.mp4")
    manifest = box.corpus / "list.csv"
    manifest.write_text("uri,title\na.mp4,first\n")
    assert box.run_manifest(manifest).videos_indexed == 1
    manifest.write_text("uri,title\na.mp4,second\n")
    assert box.run_manifest(manifest).videos_unchanged == 1
    assert [point.payload["metadata"]["title"] for point in box.points()] == ["second"]


def test_an_index_of_another_recipe_is_refused_and_both_are_named(box):
    render(box.corpus / "a.mp4")
    box.run()
    with pytest.raises(RecipeMismatch, match="offline"):
        box.run(clip_seconds=4.0)
    assert len(box.points()) == 1


def test_an_index_that_is_being_written_is_refused_and_its_writer_named(box):
    render(box.corpus / "a.mp4")
    box.run()
    with writing(box.location, command="another run", wait=False), pytest.raises(IndexLocked, match="another run"):
        box.run()


def test_a_missing_path_leaves_no_index_behind(box):
    with pytest.raises(UsageError, match="missing"):
        box.run(box.corpus / "missing.mp4")
    assert not box.index.exists()


def test_a_full_disk_is_seen_before_the_run_starts(box):
    render(box.corpus / "a.mp4")
    with pytest.raises(DiskFull, match="MB are free"):
        box.run(min_free_megabytes=10**9)


@pytest.mark.parametrize(
    "name",
    ["with space.mp4", 'it\'s "quoted".mp4', "new\nline.mp4", "-dash.mp4", "per%cent%20.mp4", "ünï.mp4", "a:b.mp4"],
)
def test_any_name_is_indexed_and_shown_as_it_is(box, name):
    render(box.corpus / name)
    assert box.run().videos_indexed == 1
    assert set(box.videos()) == {name}
    assert box.run().videos_unchanged == 1


def test_a_name_that_is_not_text_is_indexed_and_percent_encoded(box):
    source = render(box.corpus / "a.mp4")
    target = bytes(box.corpus) + b"/caf\xe9.mp4"
    os.rename(os.fsencode(source), target)
    assert box.run().videos_indexed == 1
    assert set(box.videos()) == {"caf%E9.mp4"}


def test_what_a_killed_run_committed_but_did_not_publish_is_published_by_the_next(box):
    render(box.corpus / "a.mp4")
    box.run()
    schema = read_schema(box.location)
    mark_unpublished(box.location)  # as a run does before it changes anything
    store = open_writer(box.location, schema)
    store.set_payload({"duration_seconds": 99.0}, LIVE)
    store.flush()
    store.close()
    assert [point.payload["duration_seconds"] for point in box.points()] != [99.0]
    assert box.run().videos_unchanged == 1
    assert [point.payload["duration_seconds"] for point in box.points()] == [99.0]


def test_a_replay_takes_up_what_was_mended_and_keeps_where_it_came_from(box):
    good = render(box.corpus / "good.mp4")
    broken = box.corpus / "a.mp4"
    broken.write_bytes(b"\x00" * 3000)
    manifest = box.corpus / "list.csv"
    manifest.write_text("uri,title\na.mp4,first\n")
    assert box.run_manifest(manifest).videos_rejected == 1
    assert box.run_manifest(manifest).videos_rejected == 1
    shutil.copy(good, broken)
    (reject,) = list_rejects(box.location)
    again = box.run(reject.uri, retry_rejects=(reject.uri,), command="dlq replay")
    assert (again.videos_indexed, again.videos_rejected) == (1, 0)
    assert [point.payload["metadata"] for point in box.points()] == [{"title": "first"}]
    assert not list_rejects(box.location) and not Path(again.rejects_path).read_text()
    assert box.run_manifest(manifest).videos_unchanged == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_fills_up_stops_the_run_and_loses_nothing(box, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1200m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        for number, colour in enumerate(("red", "blue", "green")):
            render(box.corpus / f"{number}.mp4", colour=colour)
        index = str(disk / "index")
        box.run(box.corpus / "0.mp4", index=index, min_free_megabytes=0)
        filler = disk / "filler"
        free = shutil.disk_usage(disk).free
        with filler.open("wb") as file:
            file.truncate(0)
            os.posix_fallocate(file.fileno(), 0, free - 2**20)
        with pytest.raises(Outage):
            box.run(index=index, min_free_megabytes=0)
        filler.unlink()
        after = box.run(index=index, min_free_megabytes=0)
        assert (after.videos_indexed, after.videos_unchanged, after.videos_rejected) == (2, 1, 0)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_what_one_decoder_rejected_is_tried_again_by_another(box, monkeypatch):
    render(box.corpus / "a.mp4")
    (box.corpus / "broken.mp4").write_bytes(b"\x00" * 3000)

    def decoders():
        return [json.loads(line)["decoder"] for line in (box.index / "rejects.jsonl").read_text().splitlines()]

    box.run()
    assert len(decoders()) == 1 and decoders()[0].startswith("ffmpeg ")
    assert box.run().videos_rejected == 1
    for module in ("pipelines.planning", "transforms.segment"):
        monkeypatch.setattr(f"{module}.decoder_version", lambda: "ffmpeg of tomorrow")
    again = box.run()
    assert (again.videos_rejected, again.videos_unchanged, decoders()) == (1, 1, ["ffmpeg of tomorrow"])
