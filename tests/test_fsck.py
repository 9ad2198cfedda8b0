"""fsck finds what is wrong, mends what loses nothing, and leaves a sound index alone; in a folder and on a server."""

import json
import os
import shutil
import uuid
from dataclasses import replace

import numpy as np
import pytest

from pipelines.cli_options import WORK
from pipelines.fsck.books import read_books
from pipelines.fsck.mend import DAMAGED
from pipelines.fsck.run import fsck
from pipelines.rejects import list_rejects, write_rejects
from pipelines.status import forget
from tests.test_cli import run as reelvec
from tests.test_write import LIVE, SCHEMA, broken, result, segments, write
from transforms.index.engine import points_out
from transforms.index.kinds import clips_of
from transforms.index.ledger import (
    delete_entries,
    entry_payload,
    read_entries,
    read_entry,
    write_entries,
    write_receipts,
)
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.index.open import open_reader, open_writer, release
from transforms.index.publish import publish
from transforms.index.store import Equals, HasId, Where
from transforms.index.unpublished import mark_unpublished
from transforms.plan import plan_work
from transforms.records import ClipPoint, VideoRef, stable_id
from transforms.uris import uri_of_path
from transforms.write.commit import receipt_of

WHOLES = Where((Equals("kind", "whole"),))


class Place:
    """An index with two sound videos, `a` (no file of it is there) and `here` (there is one)."""

    def __init__(self, location: IndexLocation, folder) -> None:
        self.location = location
        folder.mkdir(exist_ok=True)
        (folder / "here.mp4").write_bytes(b"x" * 10)
        self.a, self.here = "file:///c/a", uri_of_path(folder / "here.mp4")
        with self.change() as store:
            write(store, [result(segment) for segment in segments()])
            write(store, [result(segment) for segment in self.segments_here()])

    def segments_here(self, **options):
        return [replace(s, video=replace(s.video, uri=self.here)) for s in segments(**options)]

    def change(self):
        return Changing(self.location)

    def found(self, **options):
        return {problem.kind for problem in fsck(self.location, **options).problems}

    def read(self, where=LIVE, **options):
        reader = open_reader(self.location)
        try:
            return list(reader.scroll(where, **options))
        finally:
            reader.close()

    def entry(self, uri):
        reader = open_reader(self.location)
        try:
            return read_entry(reader, uri)
        finally:
            reader.close()

    def mended(self, kinds):
        """What is wrong is found without a change, and gone after a repair."""
        assert self.found() == set(kinds)
        report = fsck(self.location, repair=True)
        assert report.problems == () and report.repaired >= len(set(kinds))
        assert self.found() == set()

    def will_embed(self, uri):
        """Whether the next run embeds a video whose file has not changed."""
        entry = self.entry(uri)
        video = VideoRef(uri, entry.size_bytes, entry.version, origin=entry.origin, metadata=entry.metadata)
        plan = plan_work([video], {uri: entry}, hash_content=lambda _: entry.content, covered=lambda *_: False)
        return [work.video.uri for work in plan.to_embed] == [uri]


class Changing:
    """The store as a writer has it; published when it is done, with the file of rejects beside it."""

    def __init__(self, location: IndexLocation) -> None:
        self.location = location

    def __enter__(self):
        self.store = open_writer(self.location, SCHEMA)
        return self.store

    def __exit__(self, *_):
        self.store.flush()
        publish(self.location, self.store, optimize=False)
        if self.location.kind == "edge" and not read_books(self.store).problems:
            write_rejects(self.location, read_entries(self.store).values())
        self.store.close()
        release(self.location)


@pytest.fixture
def folder(tmp_path):
    return Place(IndexLocation.parse(str(tmp_path / "i")), tmp_path / "c")


@pytest.fixture(params=["folder", "server"])
def place(request, tmp_path, monkeypatch):
    if request.param == "folder":
        yield Place(IndexLocation.parse(str(tmp_path / "i")), tmp_path / "c")
        return
    url = request.getfixturevalue("qdrant_url")
    monkeypatch.chdir(tmp_path)  # where the rejects of a server's index are listed
    location = IndexLocation.parse(f"{url}/fsck-{uuid.uuid4().hex[:12]}")
    yield Place(location, tmp_path / "c")
    client = admin(url)
    for held in client.get_collections().collections:
        if held.name.startswith(location.name):
            client.delete_collection(held.name)
    client.close()


def admin(url):
    from qdrant_client import QdrantClient

    return QdrantClient(url, check_compatibility=False)


def one_clip(store, uri, index=0):
    (found,) = store.scroll(clips_of(uri, Equals("clip_index", index)), vectors=True)
    return found


def test_a_sound_index_is_left_alone(place):
    assert place.found() == set()
    before = {point.id: point.payload for point in place.read(Where())}
    report = fsck(place.location, repair=True)
    assert (report.problems, report.repaired) == ((), 0)
    assert {point.id: point.payload for point in place.read(Where())} == before


def test_a_lost_clip_leaves_the_others_searchable_and_has_its_video_embedded_again(place):
    with place.change() as store:
        store.delete(clips_of(place.a, Equals("clip_index", 1)))
    place.mended({"clips_fewer", "whole_stale"})
    entry = place.entry(place.a)
    assert (entry.state, entry.clips, len(place.read(clips_of(place.a)))) == ("partial", 5, 5)
    assert [reject.error for reject in list_rejects(place.location)] == [DAMAGED]
    assert place.will_embed(place.a) and not place.will_embed(place.here)
    with place.change() as store:
        write(store, [result(segment) for segment in segments(run=store.current_run())])
    assert place.found() == set() and place.entry(place.a).state == "committed"
    assert len(place.read(clips_of(place.a))) == 6 and list_rejects(place.location) == []


def test_clips_that_the_ledger_does_not_know_are_entered_not_deleted(place):
    with place.change() as store:
        delete_entries(store, [place.a])
    place.mended({"entry_missing", "whole_orphan"})
    entry = place.entry(place.a)
    assert (entry.live_content, entry.clips, entry.state) == ("A", 6, "partial")
    assert place.will_embed(place.a)


def test_clips_left_by_a_killed_run_go(place):
    with place.change() as store:
        store.upsert(result(segments("b")[0]).points)
    place.mended({"clips_left_over"})
    assert not place.read(clips_of("file:///c/b"))


def test_what_a_killed_run_left_with_receipts_waits_for_the_next_run(place):
    with place.change() as store:
        write(store, [result(segments("b")[0])])
    assert place.found() == set() and fsck(place.location, repair=True).problems == ()
    assert len(place.read(clips_of("file:///c/b"))) == 2


def test_receipts_of_a_settled_version_go(place):
    with place.change() as store:
        write_receipts(store, [receipt_of(result(segment), "r1") for segment in segments()[:2]])
    place.mended({"receipts_settled"})
    assert len(place.read(clips_of(place.a))) == 6


def test_receipts_that_vouch_for_more_than_is_there_go_and_the_version_starts_again(place):
    with place.change() as store:
        write(store, [result(segment) for segment in segments("b")[:2]])
        store.delete(clips_of("file:///c/b", Equals("clip_index", 1)))
    place.mended({"receipts_disagree"})
    assert not place.read(Where((Equals("uri", "file:///c/b"),)))


def test_of_two_searchable_versions_the_one_that_the_ledger_names_stays(place):
    with place.change() as store:
        other = [point for segment in segments(content="B") for point in result(segment).points]
        store.upsert([ClipPoint(point.id, point.vectors, {**point.payload, "live": True}) for point in other])
    place.mended({"two_versions"})
    assert {point.payload["content"] for point in place.read(clips_of(place.a))} == {"A"}


def test_the_only_searchable_version_is_kept_whatever_the_ledger_names(place):
    with place.change() as store:
        entry = read_entry(store, place.a)
        assert entry is not None
        write_entries(store, [replace(entry, content="C", live_content="C")])
    assert place.found() == {"clips_fewer", "clips_unnamed", "whole_orphan"}
    assert fsck(place.location, repair=True).problems == ()
    entry = place.entry(place.a)
    assert (entry.live_content, entry.clips, len(place.read(clips_of(place.a)))) == ("A", 6, 6)


def test_clips_of_a_forgotten_video_go_for_good(place):
    forget(place.location, place.a)
    assert place.found() == set()
    with place.change() as store:
        points = result(segments()[0]).points
        store.upsert([ClipPoint(point.id, point.vectors, {**point.payload, "live": True}) for point in points])
    place.mended({"clips_of_forgotten"})
    assert not place.read(clips_of(place.a)) and place.entry(place.a).state == "forgotten"


def test_too_many_clips_are_deleted_only_where_their_file_can_be_embedded_again(place):
    def one_more(uri, store):
        extra = one_clip(store, uri)
        payload = {**extra.payload, "start_seconds": 999.0}
        store.upsert([ClipPoint(stable_clip(payload), extra.vectors, payload)])

    with place.change() as store:
        one_more(place.a, store)
        one_more(place.here, store)
    assert place.found() == {"clips_more", "whole_stale"}
    report = fsck(place.location, repair=True)
    assert [(problem.kind, problem.uri, problem.mend) for problem in report.problems] == [("clips_more", place.a, "")]
    assert "bring its file back" in report.problems[0].cure
    assert len(place.read(clips_of(place.a))) == 7 and not place.read(clips_of(place.here))
    assert place.will_embed(place.here)


def stable_clip(payload):
    from transforms.records import clip_id

    return clip_id(payload["uri"], payload["content"], payload["segmenter"], payload["start_seconds"])


def test_clips_of_another_recipe_are_embedded_again_where_their_file_is_there(place):
    with place.change() as store:
        for uri in (place.a, place.here):
            store.set_payload({"recipe": "r0"}, clips_of(uri))
    assert place.found() == {"clips_of_other_recipe"}
    report = fsck(place.location, repair=True)
    assert [problem.uri for problem in report.problems] == [place.a] and place.will_embed(place.here)


def test_a_clip_under_a_wrong_id_is_moved_to_its_own(place):
    with place.change() as store:
        clip = one_clip(store, place.a)
        store.delete(Where((HasId((clip.id,)),)))
        store.upsert([ClipPoint(stable_id("elsewhere"), clip.vectors, clip.payload)])
    place.mended({"clip_id"})
    assert clip.id in {point.id for point in place.read(clips_of(place.a))}
    assert place.entry(place.a).state == "committed"


def test_a_list_of_vectors_that_is_wrong_is_corrected_and_a_lost_vector_is_made_again(place):
    with place.change() as store:
        first, second = one_clip(store, place.a), one_clip(store, place.here)
        store.set_payload({"vectors": []}, Where((HasId((first.id,)),)))
        store.upsert([ClipPoint(second.id, {}, {**second.payload, "vectors": ["frame"]})])
    place.mended({"vectors_disagree"})
    assert place.entry(place.a).state == "committed" and not place.will_embed(place.a)
    assert place.will_embed(place.here)


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_vector_that_must_not_be_stored_goes_and_its_video_is_embedded_again(folder, value):
    with folder.change() as store:
        clip = one_clip(store, folder.a)
        bad = ClipPoint(clip.id, {"frame": np.full(4, value, np.float32)}, clip.payload)
        with store.live.use() as shard:
            shard.update(points_out([bad]))
    folder.mended({"vector_bad"})
    assert folder.will_embed(folder.a) and folder.entry(folder.a).clips == 5


def test_a_whole_video_without_its_point_or_with_a_stale_one_gets_it_anew(place):
    wanted = {point.id: point.payload for point in place.read(WHOLES)}
    with place.change() as store:
        store.delete(Where((*WHOLES.must, Equals("uri", place.a))))
        store.set_payload({"clips": 3}, Where((*WHOLES.must, Equals("uri", place.here))))
    place.mended({"whole_missing", "whole_stale"})
    assert {point.id: point.payload for point in place.read(WHOLES)} == wanted


def test_a_record_of_a_newer_format_is_told_and_nothing_at_all_is_repaired(place):
    with place.change() as store:
        entry = read_entry(store, place.a)
        store.upsert([ClipPoint(entry.id, {}, {**entry_payload(entry), "format": 2})])
        store.upsert(result(segments("b")[0]).points)
    report = fsck(place.location, repair=True)
    assert {problem.kind for problem in report.problems} == {"record_newer", "clips_left_over"}
    assert report.repaired == 0 and len(place.read(clips_of("file:///c/b"))) == 2
    newer = next(problem for problem in report.problems if problem.kind == "record_newer")
    assert newer.cure == "use a newer Reelvec" and newer.mend == ""


def test_a_damaged_record_goes_and_its_clips_are_entered_again(place):
    with place.change() as store:
        entry = read_entry(store, place.a)
        store.upsert([ClipPoint(entry.id, {}, {"kind": "video", "format": 1, "uri": entry.uri})])
    assert place.found() == {"record_damaged"}
    assert fsck(place.location, repair=True).problems == () and place.entry(place.a).clips == 6


def test_an_entry_under_a_wrong_id_is_found_by_its_video_again(place):
    with place.change() as store:
        entry = read_entry(store, place.a)
        delete_entries(store, [place.a])
        store.upsert([ClipPoint(stable_id("elsewhere"), {}, entry_payload(entry))])
    place.mended({"entry_id"})
    assert place.entry(place.a) == entry


def test_a_corpus_of_which_nothing_is_left_is_not_called_clean(place, tmp_path):
    corpus = tmp_path / "c"
    shutil.rmtree(corpus)
    for _ in range(2):  # not there, and empty: a disk that is not mounted looks like either
        (problem,) = fsck(place.location, corpus=[str(corpus)]).problems
        assert problem.kind == "corpus_missing" and "mount" in problem.cure
        corpus.mkdir(exist_ok=True)


def test_the_corpus_is_compared_but_never_mended(place, tmp_path):
    corpus = tmp_path / "c"
    with place.change() as store:
        known = (corpus / "here.mp4").stat()
        entry = read_entry(store, place.here)
        assert entry is not None
        write_entries(store, [replace(entry, size_bytes=10, version=str(known.st_mtime_ns))])
    assert place.found(corpus=[str(corpus)]) == set()
    os.utime(corpus / "here.mp4")
    (corpus / "here.mp4").write_bytes(b"y" * 11)
    (corpus / "new.mp4").write_bytes(b"y" * 11)
    assert place.found(corpus=[str(corpus)]) == {"corpus_changed", "corpus_new"}
    (corpus / "here.mp4").unlink()
    report = fsck(place.location, corpus=[str(corpus)], repair=True)
    assert {problem.kind for problem in report.problems} == {"corpus_vanished", "corpus_new"} and not report.repaired
    assert all(problem.cure == "reelvec reindex" for problem in report.problems)


def test_beside_a_run_that_writes_what_belongs_to_it_is_no_problem(folder):
    with folder.change() as store:
        store.upsert(result(segments("b")[0]).points)
    with writing(folder.location, command="ingest", wait=False):
        report = fsck(folder.location)
        assert report.problems == () and "a run writes the index" in report.notes[0]
    assert folder.found() == {"clips_left_over"}


def test_a_pointer_to_nowhere_and_a_torn_version_are_published_anew(folder):
    current = folder.location.path / "CURRENT"
    current.write_text("77\n")
    folder.mended({"current_dangling"})
    assert len(folder.read()) == 12
    version = folder.location.path / "published" / current.read_text().strip()
    largest = max((path for path in version.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    copy = largest.with_name("copy")  # a version shares its larger files with the next: only this one's is cut short
    shutil.copyfile(largest, copy)
    os.replace(copy, largest)
    os.truncate(largest, 1000)
    folder.mended({"version_damaged"})
    assert len(folder.read()) == 12


def test_what_a_killed_process_left_beside_the_points_goes(folder):
    path = folder.location.path
    mark_unpublished(folder.location)
    (path / ".CURRENT.part").write_text("9")
    (path / "published" / ".9.part").mkdir()
    (path / "rejects.jsonl").write_text("{}\n")
    folder.mended({"unpublished", "left_half_made", "rejects_file"})
    assert not list(path.glob(".*.part")) and not list((path / "published").glob(".*.part"))


def test_what_was_written_and_never_published_is_seen_without_a_lock_that_anybody_meets(folder):
    store = open_writer(folder.location, SCHEMA)
    store.delete(clips_of(folder.a, Equals("clip_index", 1)))
    store.flush()
    store.close()
    release(folder.location)
    assert folder.found() == {"published_differs"}
    report = fsck(folder.location, repair=True)
    assert report.problems == () and report.repaired == 3 and folder.will_embed(folder.a)


def test_a_lost_live_folder_is_told_with_what_to_do(folder):
    shutil.rmtree(folder.location.path / "live")
    report = fsck(folder.location, repair=True)
    assert [problem.kind for problem in report.problems] == ["live_missing"]
    assert "another --index" in report.problems[0].cure


def test_the_command_tells_scripts_and_people_what_is_wrong(folder):
    index = str(folder.location.path)
    assert reelvec("fsck", "--index", index)[:2] == (0, "nothing is wrong\n")
    with folder.change() as store:
        write(store, [broken(segment) for segment in segments("c", run=store.current_run())])
        store.upsert(result(segments("b")[0]).points)
    code, out, _ = reelvec("fsck", "--json", "--index", index)
    (problem,) = json.loads(out)["problems"]
    assert code == WORK and problem["kind"] == "clips_left_over" and problem["id"] == "file:///c/b"
    assert problem["repairable"] and "--repair" in problem["cure"] and json.loads(out)["repaired"] == 0
    assert "2 clips of a run that ended early" in reelvec("fsck", "--index", index)[1]
    code, out, _ = reelvec("fsck", "--repair", "--json", "--index", index)
    assert code == 0 and json.loads(out)["repaired"] == 1 and json.loads(out)["problems"] == []
    code, _, err = reelvec("fsck", "--repair", "--dry-run", "--index", index)
    assert code == 2 and "say one of them" in err


def test_an_index_of_a_newer_format_is_refused_by_every_command(folder):
    index, manifest = str(folder.location.path), folder.location.path / "reelvec.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    for command in (
        ("fsck",),
        ("fsck", "--repair"),
        ("status",),
        ("search", "a cat"),
        ("ingest", str(folder.location.path.parent / "c")),
    ):
        code, _, err = reelvec(*command, "--index", index)
        assert code == 2 and "use a newer Reelvec" in err, command


def test_a_server_index_that_lost_its_alias_or_a_payload_index_gets_it_again(qdrant_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    location = IndexLocation.parse(f"{qdrant_url}/fsck-{uuid.uuid4().hex[:12]}")
    place = Place(location, tmp_path / "c")
    from qdrant_client import models

    client = admin(qdrant_url)
    collection = f"{location.name}--r1"
    try:
        client.delete_payload_index(collection, "uri")
        place.mended({"index_missing"})
        remove = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=location.name))
        client.update_collection_aliases([remove])
        place.mended({"alias_missing"})
        other = f"{location.name}--r0"
        client.create_collection(other, vectors_config={})
        assert place.found() == {"space_left_behind"}
        client.update_collection_aliases([remove])
        report = fsck(location, repair=True)
        assert [(problem.kind, problem.mend) for problem in report.problems] == [("alias_missing", "")]
        assert other in report.problems[0].sentence
    finally:
        for held in client.get_collections().collections:
            if held.name.startswith(location.name):
                client.delete_collection(held.name)
        client.close()


def test_an_index_of_an_older_program_opens_and_lacks_nothing(folder):
    needed = {"kind", "format", "uri", "size_bytes", "version", "state", "content", "recipe", "live_content", "clips"}
    with folder.change() as store:
        payload = entry_payload(read_entry(store, folder.a))
        store.upsert([ClipPoint(stable_id("video", folder.a), {}, {k: v for k, v in payload.items() if k in needed})])
    manifest = folder.location.path / "reelvec.json"
    held = json.loads(manifest.read_text())
    held["schema"]["dense"] = [{"name": "frame", "dimensions": 4}]
    manifest.write_text(json.dumps({"format": held["format"], "schema": held["schema"]}))
    index = str(folder.location.path)
    assert {video["clips"] for video in json.loads(reelvec("status", "--json", "--index", index)[1])["videos"]} == {6}
    folder.mended({"whole_stale"})  # the older entry does not say how long the video is
    with folder.change() as store:
        newer = segments(version="2", content="B", run=store.current_run())
        write(store, [result(segment) for segment in newer])
    assert folder.entry(folder.a).live_content == "B" and folder.found() == set()


def test_a_ledger_of_a_newer_program_is_refused_in_the_same_words(folder):
    with folder.change() as store:
        entry = read_entry(store, folder.a)
        store.upsert([ClipPoint(entry.id, {}, {**entry_payload(entry), "format": 2})])
    index = str(folder.location.path)
    for command in (("status",), ("dlq", "list"), ("forget", folder.a)):
        code, _, err = reelvec(*command, "--index", index)
        assert code == 2 and "use a newer Reelvec" in err, command
    code, out, _ = reelvec("fsck", "--json", "--index", index)
    assert code == WORK and [problem["cure"] for problem in json.loads(out)["problems"]] == ["use a newer Reelvec"]
