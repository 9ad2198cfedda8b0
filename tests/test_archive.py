"""Archives of indexes without models: exact, newest state only, never half a file taken for a whole one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipelines.archive import check, compact_archive, export, import_archive
from transforms.archive.append import commit
from transforms.archive.layout import MANIFEST, open_archive, open_or_create
from transforms.archive.state import archive_problems, read_state
from transforms.errors import IndexFormatError, IndexLocked, RecipeMismatch, StoreUnavailable, UsageError
from transforms.index.calibration import Calibration, read_calibration, write_calibration
from transforms.index.ledger import delete_entries, read_entries, write_entries
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.index.open import open_reader, open_writer, read_schema
from transforms.index.publish import publish
from transforms.index.store import Equals, Where
from transforms.plain import to_plain
from transforms.records import ClipPoint, DenseVector, LedgerEntry, Reject, Schema, SparseVector, stable_id

SCHEMA = Schema(
    "tiny",
    "0123456789abcdef" * 4,
    (DenseVector("frame", 8), DenseVector("frames", 8, multi=True), DenseVector("transcript", 4)),
    ("words",),
    {"frame": "f1"},
    {"name": "tiny", "b": 1, "a": [2.5]},
)
LIVE = Where((Equals("live", True),))


def unit(chance, *shape):
    rows = chance.standard_normal(shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def clips_of(name, *, clips=3, content="A", seed=0, metadata=()):
    """The live points and the ledger entry of one video; every other clip is silent, none has all its frames."""
    uri = f"file:///films/{name}.mp4"
    chance = np.random.default_rng([seed, *name.encode()])
    points = []
    for number in range(clips):
        vectors = {"frame": unit(chance, 8), "frames": unit(chance, number % 3 + 1, 8)}
        payload = {
            "kind": "clip",
            "live": True,
            "uri": uri,
            "video_id": stable_id("video", uri),
            "content": content,
            "recipe": SCHEMA.recipe,
            "clip_index": number,
            "start_seconds": 8.0 * number + 0.1,
            "end_seconds": 8.0 * number + 8.1,
            "metadata": dict(metadata),
            "nested": {"ü": [None, 1, 1.0, True]},
        }
        if number % 2:
            indices = np.sort(chance.choice(2**32 - 1, 5, replace=False)).astype(np.uint32)
            vectors |= {"transcript": unit(chance, 4), "words": SparseVector(indices, chance.random(5, np.float32))}
            payload |= {"transcript": "ask \u201enot\u201c what\n", "screen_text": "EXIT"}
        points.append(ClipPoint(stable_id(uri, content, number), vectors, payload))
    whole = {**points[0].payload, "kind": "whole", "clips": clips}
    del whole["clip_index"]
    points.append(ClipPoint(stable_id("whole", uri, content), {"frame": unit(chance, 8)}, whole))
    entry = LedgerEntry(
        uri, 5, "1", "committed", content, SCHEMA.recipe, (("frame", "f1"),), content, True, clips, 8.0 * clips,
        searchable_since="2026-01-01T00:00:00+00:00", metadata=tuple(metadata),
    )  # fmt: skip
    return points, entry


REJECTED = LedgerEntry(
    "file:///films/broken.mp4", 5, "1", "rejected", "X",
    rejects=(Reject("file:///films/broken.mp4", "probe", "UnreadableVideo", "it is cut off", False),),
)  # fmt: skip


class Index:
    """An index of hand-made points, and an archive beside it."""

    def __init__(self, place: str, archive: Path) -> None:
        self.location, self.archive = IndexLocation.parse(place), archive

    def put(self, *videos, entries=(), gone=()):
        store = open_writer(self.location, SCHEMA)
        try:
            for points, entry in videos:
                store.delete(Where((Equals("uri", entry.uri), Equals("live", True))))
                store.upsert(points)
                write_entries(store, [entry])
            for uri in gone:
                store.delete(Where((Equals("uri", uri),)))
                delete_entries(store, [uri])
            write_entries(store, list(entries))
            store.flush()
            publish(self.location, store, optimize=False)
        finally:
            store.close()

    def points(self):
        reader = open_reader(self.location)
        try:
            return {point.id: point for point in reader.scroll(LIVE, vectors=True)}
        finally:
            reader.close()

    def entries(self):
        reader = open_reader(self.location)
        try:
            return read_entries(reader)
        finally:
            reader.close()

    def export(self):
        return export(self.location, self.archive)


@pytest.fixture(params=["edge", "server"])
def place(request, tmp_path):
    """Makes names of indexes; on a server what they named is deleted in the end."""
    if request.param == "edge":
        yield lambda name: str(tmp_path / name)
        return
    url = request.getfixturevalue("qdrant_url")
    prefix = f"archive-{uuid.uuid4().hex[:10]}"
    yield lambda name: f"{url}/{prefix}-{name}"
    from qdrant_client import QdrantClient

    client = QdrantClient(url=url, check_compatibility=False)
    for held in client.get_collections().collections:
        if held.name.startswith(prefix):
            client.delete_collection(held.name)
    client.close()


@pytest.fixture
def index(tmp_path):
    made = Index(str(tmp_path / "index"), tmp_path / "archive")
    made.put(clips_of("a"), clips_of("b", clips=5), entries=[REJECTED])
    return made


def bits(vector):
    if isinstance(vector, SparseVector):
        order = np.argsort(vector.indices)
        return vector.indices[order].tobytes(), vector.values[order].tobytes()
    return vector.shape, vector.tobytes()


def exactly(points):
    return {
        id_: (dict(point.payload), {name: bits(vector) for name, vector in point.vectors.items()})
        for id_, point in points.items()
    }


def plain(entries):
    return {uri: to_plain(entry) for uri, entry in entries.items()}


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def parquet(folder: Path, part: str, run: int) -> Path:
    return next(iter(sorted((folder / part / f"run={run:06d}").glob("*.parquet"))))


def test_an_import_gives_the_same_bits_the_same_payloads_and_the_same_ledger(place, tmp_path):
    one, other = Index(place("one"), tmp_path / "archive"), Index(place("other"), tmp_path / "archive")
    one.put(clips_of("a"), clips_of("b", clips=5), entries=[REJECTED])
    done = one.export()
    assert (done.run, done.videos, done.clips, done.points, done.left) == (1, 3, 8, 10, ())
    made = import_archive(one.archive, other.location, wait=False)
    assert made.created and (made.videos, made.clips, made.points) == (3, 8, 10)
    assert exactly(other.points()) == exactly(one.points()) and len(one.points()) == 10
    assert plain(other.entries()) == plain(one.entries())
    assert read_schema(other.location) == SCHEMA
    again = import_archive(one.archive, other.location, wait=False)
    assert (again.created, again.videos, again.videos_unchanged) == (False, 0, 3)
    assert exactly(other.points()) == exactly(one.points())


def test_a_vector_that_is_a_little_off_unit_length_is_normalised_by_the_store_once_and_then_stays(place, tmp_path):
    one, other = Index(place("one"), tmp_path / "archive"), Index(place("other"), tmp_path / "archive")
    points, entry = clips_of("a")
    longer = {
        name: v if isinstance(v, SparseVector) else v * np.float32(1.0005) for name, v in points[1].vectors.items()
    }
    points[1] = replace(points[1], vectors=longer)
    one.put((points, entry))
    held = one.points()[points[1].id].vectors["frame"]
    assert bits(held) != bits(longer["frame"]) and abs(float(np.linalg.norm(held)) - 1) < 1e-6
    one.export()
    import_archive(one.archive, other.location, wait=False)
    assert exactly(other.points()) == exactly(one.points())


def test_the_calibration_comes_along_into_a_new_index(index, tmp_path):
    store = open_writer(index.location, SCHEMA)
    write_calibration(store, Calibration({"frame": np.array([0.25, 0.5], np.float32)}))
    publish(index.location, store, optimize=False)
    store.close()
    index.export()
    other = IndexLocation.parse(str(tmp_path / "other"))
    import_archive(index.archive, other, wait=False)
    reader = open_reader(other)
    assert read_calibration(reader).best["frame"].tolist() == [0.25, 0.5]
    reader.close()


def test_every_tool_that_reads_parquet_finds_what_people_filter_by(index):
    index.export()
    points = ds.dataset(index.archive / "points", partitioning="hive").to_table().to_pylist()
    ledger = ds.dataset(index.archive / "ledger", partitioning="hive").to_table().to_pylist()
    assert {row["run"] for row in points} == {1} and len(points) == 10
    spoken = [row for row in points if row["transcript"] and row["kind"] == "clip"]
    assert {row["uri"] for row in spoken} == {"file:///films/a.mp4", "file:///films/b.mp4"} and len(spoken) == 3
    held = index.points()[spoken[0]["id"]]
    assert np.array(spoken[0]["vector_frames"], np.float32).tobytes() == held.vectors["frames"].tobytes()
    assert spoken[0]["vector_words"]["indices"] == held.vectors["words"].indices.tolist()
    assert json.loads(spoken[0]["payload"]) == held.payload and spoken[0]["screen_text"] == "EXIT"
    assert {row["uri"]: (row["state"], row["points"]) for row in ledger} == {
        "file:///films/a.mp4": ("committed", 4),
        "file:///films/b.mp4": ("committed", 6),
        "file:///films/broken.mp4": ("rejected", 0),
    }
    types = pq.read_schema(parquet(index.archive, "points", 1))
    assert types.field("vector_frame").type == pa.list_(pa.float32())
    assert types.field("vector_frames").type == pa.list_(pa.list_(pa.float32()))
    assert json.loads(types.metadata[b"reelvec"])["schema"]["recipe"] == SCHEMA.recipe


def test_a_second_export_adds_only_what_changed_and_records_what_is_gone(index, tmp_path):
    index.export()
    assert index.export().run == 0
    touched = replace(index.entries()["file:///films/broken.mp4"], version="2")
    index.put(
        clips_of("a", content="B", seed=1, clips=2), clips_of("c"), entries=[touched], gone=["file:///films/b.mp4"]
    )
    done = index.export()
    assert (done.run, done.videos, done.clips, done.deleted) == (2, 3, 5, 1)
    moved = replace(index.entries()["file:///films/c.mp4"], version="9")
    index.put(entries=[moved])
    third = index.export()
    assert (third.run, third.videos, third.points) == (3, 1, 0)  # its vectors are in run 2 and stay there
    other = Index(str(tmp_path / "other"), index.archive)
    assert import_archive(index.archive, other.location, wait=False).clips == 5
    assert exactly(other.points()) == exactly(index.points())
    assert plain(other.entries()) == plain(index.entries())
    rows = ds.dataset(index.archive / "ledger", partitioning="hive").to_table().to_pylist()
    assert [row["run"] for row in rows if row["deleted"]] == [2]


def test_a_video_that_comes_back_after_it_was_deleted_is_there_again(index, tmp_path):
    index.export()
    index.put(gone=["file:///films/b.mp4"])
    index.export()
    index.put(clips_of("b", clips=5))
    assert index.export().clips == 5
    other = Index(str(tmp_path / "other"), index.archive)
    import_archive(index.archive, other.location, wait=False)
    assert exactly(other.points()) == exactly(index.points())


def test_compacting_leaves_one_run_and_the_same_state(index, tmp_path):
    index.export()
    index.put(clips_of("a", content="B", seed=1, clips=2), gone=["file:///films/b.mp4"])
    index.export()
    done = compact_archive(index.archive)
    assert (done.runs_before, done.videos, done.points) == (2, 2, 3)
    assert [path.name for path in (index.archive / "points").iterdir()] == ["run=000003"]
    rows = ds.dataset(index.archive / "points", partitioning="hive").to_table()
    assert rows.num_rows == 3 and not archive_problems(index.archive, index.entries().values())
    other = Index(str(tmp_path / "other"), index.archive)
    import_archive(index.archive, other.location, wait=False)
    assert exactly(other.points()) == exactly(index.points())
    assert index.export().run == 0  # nothing is missing
    assert compact_archive(index.archive).runs_before == 1
    assert [path.name for path in (index.archive / "points").iterdir()] == ["run=000003"]  # nothing to drop


def test_a_run_that_was_killed_before_its_ledger_does_not_count_and_the_next_one_makes_it_good(index, tmp_path):
    index.export()
    index.put(clips_of("c"))
    index.export()
    shutil.rmtree(index.archive / "ledger" / "run=000002")  # it is written last
    (index.archive / "points" / "run=000002" / ".part-001.parquet.part").write_bytes(b"PAR1 half a file")
    kinds = {(kind, id_) for kind, id_, _ in check(index.archive, index.location)}
    assert kinds == {
        ("archive-unfinished", "run=000002"),
        ("archive-unfinished", "points/run=000002/.part-001.parquet.part"),
        ("archive-missing", "file:///films/c.mp4"),
    }
    early = Index(str(tmp_path / "early"), index.archive)
    said = import_archive(index.archive, early.location, wait=False)
    assert "file:///films/c.mp4" not in early.entries() and len(said.problems) == 2
    done = index.export()
    assert (done.run, done.clips) == (3, 3) and len(done.problems) == 2
    assert not check(index.archive, index.location)


@pytest.mark.parametrize("part", ["points", "ledger"])
def test_a_torn_file_of_a_finished_run_is_refused_by_name_and_mended_by_the_next_run(index, tmp_path, part):
    index.export()
    index.put(clips_of("c"))
    index.export()
    torn = parquet(index.archive, part, 2)
    damage(torn)
    other = IndexLocation.parse(str(tmp_path / "other"))
    with pytest.raises(UsageError, match=f"damaged: .*{part}/run=000002/{torn.name}: the file is torn"):
        import_archive(index.archive, other, wait=False)
    assert not Path(other.folder).exists()
    with pytest.raises(UsageError, match="torn"):
        compact_archive(index.archive)
    found = check(index.archive, index.location)
    assert ("archive-torn", f"{part}/run=000002/{torn.name}") in [(kind, id_) for kind, id_, _ in found]
    assert ("archive-missing", "file:///films/c.mp4") in [(kind, id_) for kind, id_, _ in found]
    done = index.export()
    assert (done.run, done.clips) == (3, 3)
    assert not check(index.archive, index.location)
    assert [path.name for path in (index.archive / "torn").iterdir()] == [f"{part}-run=000002-{torn.name}"]
    made = import_archive(index.archive, other, wait=False)
    assert made.clips == 11 and exactly(Index(str(other), index.archive).points()) == exactly(index.points())


def test_a_file_of_points_that_is_gone_is_written_again(index):
    index.export()
    parquet(index.archive, "points", 1).unlink()
    assert {kind for kind, _, _ in archive_problems(index.archive)} == {"archive-lost"}
    with pytest.raises(UsageError, match="the file is gone"):
        compact_archive(index.archive)
    assert index.export().clips == 8
    assert not check(index.archive, index.location)


def test_a_parquet_file_with_fewer_rows_than_its_run_wrote_is_torn(index):
    index.export()
    path = parquet(index.archive, "points", 1)
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 4), path)
    assert "the file has 4 rows, its run wrote 10" in archive_problems(index.archive)[0][2]


def test_an_archive_of_a_newer_format_is_refused(index, tmp_path):
    index.export()
    manifest = index.archive / MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "archive_format": 2}))
    for act in (
        lambda: import_archive(index.archive, IndexLocation.parse(str(tmp_path / "j")), wait=False),
        index.export,
        lambda: compact_archive(index.archive),
    ):
        with pytest.raises(IndexFormatError, match="use a newer Reelvec"):
            act()


def test_what_is_no_archive_is_refused_and_left_alone(index, tmp_path):
    other = IndexLocation.parse(str(tmp_path / "j"))
    with pytest.raises(UsageError, match="there is no archive here"):
        import_archive(tmp_path / "nowhere", other, wait=False)
    films = tmp_path / "films"
    films.mkdir()
    (films / "a.mp4").write_bytes(b"film")
    with pytest.raises(UsageError, match="no archive of Reelvec"):
        import_archive(films, other, wait=False)
    with pytest.raises(UsageError, match=r"not empty: .* holds 'a\.mp4'"):
        export(index.location, films)
    assert os.listdir(films) == ["a.mp4"]
    with pytest.raises(UsageError, match="this is a file"):
        export(index.location, films / "a.mp4")
    index.archive.mkdir()
    (index.archive / MANIFEST).write_text("{")
    with pytest.raises(IndexFormatError, match="damaged"):
        import_archive(index.archive, other, wait=False)


def test_an_export_that_was_cut_short_is_never_taken_for_whole(index, tmp_path):
    index.export()
    shutil.rmtree(index.archive / "ledger")
    with pytest.raises(UsageError, match="no finished run"):
        import_archive(index.archive, IndexLocation.parse(str(tmp_path / "j")), wait=False)


def test_two_archives_of_different_recipes_in_one_folder_are_told_apart(index, tmp_path):
    index.export()
    elsewhere = replace(SCHEMA, recipe="f" * 64, recipe_name="other")
    foreign = open_or_create(tmp_path / "foreign", elsewhere, index="elsewhere")
    commit(foreign, 2, [], [], calibration=None)
    shutil.copytree(foreign.folder / "ledger", index.archive / "ledger", dirs_exist_ok=True)
    with pytest.raises(RecipeMismatch, match="two archives lie in one folder"):
        import_archive(index.archive, IndexLocation.parse(str(tmp_path / "j")), wait=False)


def test_an_index_of_another_recipe_takes_nothing(index, tmp_path):
    index.export()
    other = IndexLocation.parse(str(tmp_path / "j"))
    open_writer(other, replace(SCHEMA, recipe="f" * 64, recipe_name="other")).close()
    with pytest.raises(RecipeMismatch, match="nothing was imported"):
        import_archive(index.archive, other, wait=False)
    with pytest.raises(RecipeMismatch, match="name another archive"):
        export(other, index.archive)


def test_an_archive_follows_one_index_alone(index, tmp_path):
    index.export()
    other = Index(str(tmp_path / "other"), index.archive)
    other.put(clips_of("z"))
    with pytest.raises(UsageError, match="the archive is of another index"):
        other.export()
    assert open_archive(index.archive).index == str(index.location)


def test_an_import_replaces_an_older_version_and_leaves_other_videos(index, tmp_path):
    index.export()
    other = Index(str(tmp_path / "other"), index.archive)
    older, entry = clips_of("a", content="OLD", clips=7, seed=3)
    other.put((older, entry), clips_of("z"), entries=[replace(REJECTED, uri="file:///films/y.mp4")])
    made = import_archive(index.archive, other.location, wait=False)
    assert not made.created and made.videos == 3
    expected = exactly(index.points()) | exactly({point.id: point for point in clips_of("z")[0]})
    assert exactly(other.points()) == expected
    assert set(other.entries()) == set(index.entries()) | {"file:///films/z.mp4", "file:///films/y.mp4"}


def test_a_video_that_the_user_forgot_stays_out(index, tmp_path):
    index.export()
    other = Index(str(tmp_path / "other"), index.archive)
    other.put(entries=[LedgerEntry("file:///films/a.mp4", 5, "1", "forgotten")])
    made = import_archive(index.archive, other.location, wait=False)
    assert (made.videos, made.videos_forgotten) == (2, 1)
    assert {point.payload["uri"] for point in other.points().values()} == {"file:///films/b.mp4"}


def test_an_import_waits_its_turn(index, tmp_path):
    index.export()
    other = IndexLocation.parse(str(tmp_path / "j"))
    with writing(other, command="ingest", wait=False), pytest.raises(IndexLocked, match="ingest"):
        import_archive(index.archive, other, wait=False)


def test_clips_that_are_not_as_many_as_the_ledger_says_are_not_vouched_for(index):
    points, entry = clips_of("c")
    index.put((points, replace(entry, clips=9)))
    with pytest.raises(StoreUnavailable, match=r"1 videos hold another number of clips .*films/c\.mp4"):
        index.export()
    archive = open_archive(index.archive)
    assert "file:///films/c.mp4" not in read_state(archive).videos
    assert len(read_state(archive).videos) == 3


def test_many_videos_fill_several_files_and_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr("transforms.archive.files.FILE_ROWS", 600)
    index = Index(str(tmp_path / "index"), tmp_path / "archive")
    index.put(*(clips_of(f"v{number}", clips=30) for number in range(50)))
    done = index.export()
    assert (done.clips, done.points) == (1500, 1550)
    assert len(list((index.archive / "points" / "run=000001").glob("*.parquet"))) == 2
    other = Index(str(tmp_path / "other"), index.archive)
    import_archive(index.archive, other.location, wait=False)
    assert exactly(other.points()) == exactly(index.points())


def test_a_killed_import_is_made_good_by_the_next(tmp_path):
    index = Index(str(tmp_path / "index"), tmp_path / "archive")
    index.put(*(clips_of(f"v{number}", clips=30) for number in range(60)))
    index.export()
    other = Index(str(tmp_path / "other"), index.archive)
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from transforms.index.edge import EdgeStore\n"
        "from transforms.index.location import IndexLocation\n"
        "from pipelines.archive import import_archive\n"
        "left = int(sys.argv[3])\n"
        "def dying(name):\n"
        "    real = getattr(EdgeStore, name)\n"
        "    def call(self, *given):\n"
        "        global left\n"
        "        left -= 1\n"
        "        if left < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return real(self, *given)\n"
        "    setattr(EdgeStore, name, call)\n"
        "for name in ('upsert', 'flush', 'set_payload'): dying(name)\n"
        "import_archive(Path(sys.argv[1]), IndexLocation.parse(sys.argv[2]), wait=False)\n"
    )
    for calls in (0, 2, 4, 6):
        ended = subprocess.run([sys.executable, "-c", script, str(index.archive), str(tmp_path / "other"), str(calls)])
        assert ended.returncode == -signal.SIGKILL
    import_archive(index.archive, other.location, wait=False)
    assert exactly(other.points()) == exactly(index.points())
    assert plain(other.entries()) == plain(index.entries())


def test_the_commands_say_what_they_did(index, tmp_path, capsys):
    from typer.testing import CliRunner

    from pipelines.cli import app

    run = CliRunner().invoke
    said = run(app, ["export", "--index", str(index.location), str(index.archive), "--json"])
    assert said.exit_code == 0 and json.loads(said.stdout)["clips"] == 8
    assert "nothing to export" in run(app, ["export", "-i", str(index.location), str(index.archive)]).stdout
    said = run(app, ["import", str(index.archive), "--index", str(tmp_path / "j")])
    assert "imported 8 clips of 3 videos" in said.stdout
    assert run(app, ["archive", "check", str(index.archive), "-i", str(index.location)]).exit_code == 0
    damage(parquet(index.archive, "points", 1))
    said = run(app, ["archive", "check", str(index.archive), "--json"])
    assert said.exit_code == 10 and json.loads(said.stdout)["problems"][0]["kind"] == "archive-torn"
    assert run(app, ["import", str(index.archive), "--index", str(tmp_path / "k")]).exit_code == 2
    assert run(app, ["archive", "compact", str(tmp_path / "none")]).exit_code == 2


def test_the_manifest_tells_format_index_and_recipe(index):
    index.export()
    held = json.loads((index.archive / MANIFEST).read_text())
    assert held["archive_format"] == 1 and held["index"] == str(index.location)
    first_revision = {name: value for name, value in asdict(SCHEMA).items() if name != "payloads"}
    assert held["schema"] == json.loads(json.dumps(first_revision)) and "payloads" not in held
