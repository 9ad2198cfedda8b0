"""An Edge index on disk: made, opened again, refused, locked, and what is left of it after a crash."""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import transforms
from transforms.errors import DiskFull, IndexFormatError, IndexLocked, MissingIndex, RecipeMismatch, StoreUnavailable
from transforms.index import live
from transforms.index.location import IndexLocation
from transforms.index.lock import holder, writing
from transforms.index.open import open_reader, open_writer, read_schema, release
from transforms.index.store import Where
from transforms.records import ClipPoint, DenseVector, Schema

SCHEMA = Schema(
    recipe_name="tiny",
    recipe="a" * 64,
    dense=(DenseVector("frame", 4),),
    sparse=("words",),
    vector_fingerprints={"frame": "f1"},
    settings={"name": "tiny", "segment": {"clip_seconds": 8.0}},
)
EVERYTHING = Where()


@pytest.fixture
def location(tmp_path: Path) -> IndexLocation:
    return IndexLocation.parse(str(tmp_path / "index"))


def points(start: int, stop: int) -> list[ClipPoint]:
    frame = np.array([0.6, 0.8, 0, 0], np.float32)
    return [
        ClipPoint(str(uuid.UUID(int=index + 1)), {"frame": frame}, {"kind": "clip", "clip_index": index})
        for index in range(start, stop)
    ]


def python(script: str, *arguments: str, **options) -> subprocess.Popen:
    """Another process that runs `script` with our packages."""
    environment = {**os.environ, "PYTHONPATH": str(Path(transforms.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script), *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


PRELUDE = """
import sys, time, uuid
import numpy as np
from transforms.errors import *
from transforms.index.location import IndexLocation
from transforms.index.lock import holder, writing
from transforms.index.open import open_reader, open_writer
from transforms.index.store import Where
from transforms.records import ClipPoint, DenseVector, Schema
location = IndexLocation.parse(sys.argv[1])
schema = Schema("tiny", "a" * 64, (DenseVector("frame", 4),), ("words",), {"frame": "f1"},
                {"name": "tiny", "segment": {"clip_seconds": 8.0}})
def points(start, stop):
    frame = np.array([0.6, 0.8, 0, 0], np.float32)
    return [ClipPoint(str(uuid.UUID(int=i + 1)), {"frame": frame}, {"kind": "clip"}) for i in range(start, stop)]
"""


def test_an_index_keeps_its_schema_and_points(location):
    assert read_schema(location) is None
    with pytest.raises(MissingIndex, match="no index"):
        open_reader(location)
    store = open_writer(location, SCHEMA)
    store.upsert(points(0, 3))
    store.close()
    assert read_schema(location) == SCHEMA
    again = open_writer(location, SCHEMA)
    assert again.count(EVERYTHING) == 3
    again.close()


def test_a_closed_store_says_so(location):
    store = open_writer(location, SCHEMA)
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.count(EVERYTHING)


def test_an_index_of_another_recipe_is_refused_and_both_are_named(location):
    open_writer(location, SCHEMA).close()
    for other in (
        replace(SCHEMA, recipe="b" * 64, recipe_name="better"),
        replace(SCHEMA, dense=(DenseVector("frame", 8),), recipe_name="better"),
    ):
        with pytest.raises(RecipeMismatch, match=r"'tiny'.*'better'"):
            open_writer(location, other)


def test_an_index_of_another_quantization_says_which_and_the_cure(location):
    open_writer(location, SCHEMA).close()
    (first, *others) = SCHEMA.dense
    other = replace(SCHEMA, dense=(replace(first, quantization="binary"), *others))
    with pytest.raises(
        RecipeMismatch, match=rf"{first.name} {first.quantization}.*not {first.name} binary.*in \[quanti"
    ):
        open_writer(location, other)


@pytest.mark.parametrize(("version", "cure"), [(0, "ingest again"), (99, "newer Reelvec"), (None, "ingest again")])
def test_an_index_of_another_format_says_what_to_do(location, version, cure):
    open_writer(location, SCHEMA).close()
    manifest = location.path / "reelvec.json"
    held = json.loads(manifest.read_text())
    held["format"] = version
    manifest.write_text(json.dumps(held))
    for opened in (lambda: open_writer(location, SCHEMA), lambda: open_reader(location), lambda: read_schema(location)):
        with pytest.raises(IndexFormatError, match=cure):
            opened()


def test_a_damaged_description_is_no_index(location):
    open_writer(location, SCHEMA).close()
    (location.path / "reelvec.json").write_text("{")
    with pytest.raises(IndexFormatError, match="no JSON"):
        open_writer(location, SCHEMA)


def test_a_folder_of_films_and_a_file_are_not_made_an_index(tmp_path):
    (tmp_path / "films").mkdir()
    film = tmp_path / "films" / "holiday.mp4"
    film.write_bytes(b"x")
    for path in (tmp_path / "films", film):
        with pytest.raises(IndexFormatError, match="another --index"):
            open_writer(IndexLocation.parse(str(path)), SCHEMA)
    assert [path.name for path in (tmp_path / "films").iterdir()] == ["holiday.mp4"]


def test_a_creation_that_was_killed_half_way_is_made_whole(location):
    open_writer(location, SCHEMA).close()
    os.rename(location.path / "live", location.path / ".live.part")
    store = open_writer(location, SCHEMA)
    store.upsert(points(0, 2))
    assert store.count(EVERYTHING) == 2
    store.close()
    assert not (location.path / ".live.part").exists()


def test_stores_of_one_process_share_one_shard(location):
    first, second = open_writer(location, SCHEMA), open_writer(location, SCHEMA)
    first.upsert(points(0, 1))
    first.close()
    second.upsert(points(1, 2))
    assert second.count(EVERYTHING) == 2
    second.close()
    assert live.shared(location) is None


def test_threads_write_side_by_side(location):
    def write(thread: int) -> None:
        store = open_writer(location, SCHEMA)
        for start in range(thread * 200, thread * 200 + 200, 20):
            store.upsert(points(start, start + 20))
        store.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    store = open_writer(location, SCHEMA)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count(EVERYTHING) == 800
    store.close()


def test_another_process_cannot_open_what_this_one_writes_until_it_lets_go(location):
    opening = """
        try:
            print(open_writer(location, schema).count(Where()))
        except IndexLocked as error:
            print("IndexLocked", error)
    """
    with writing(location, command="ingest films", wait=False):
        store = open_writer(location, SCHEMA)
        store.upsert(points(0, 5))
        said = python(opening, location.folder).communicate()[0]
        assert said.startswith("IndexLocked")
        assert f"pid {os.getpid()}" in said
        assert "ingest films" in said
        release(location)
        assert python(opening, location.folder).communicate()[0] == "5\n"
        assert store.count(EVERYTHING) == 5
        store.close()


def test_the_run_lock_names_its_holder(location):
    assert holder(location) is None
    running = python(
        """
        with writing(location, command="ingest ./films", wait=False):
            print("held", flush=True)
            sys.stdin.readline()
        """,
        location.folder,
    )
    assert running.stdout.readline() == "held\n"
    found = holder(location)
    assert (found.pid, found.command) == (running.pid, "ingest ./films")
    with (
        pytest.raises(IndexLocked, match=rf"pid {running.pid}.*ingest ./films"),
        writing(location, command="me", wait=False),
    ):
        pass
    running.communicate("\n")
    assert holder(location) is None
    with writing(location, command="me", wait=False):
        assert holder(location).pid == os.getpid()
    assert holder(location) is None


def test_whoever_waits_gets_the_run_lock_when_its_holder_is_killed(location):
    running = python(
        'with writing(location, command="x", wait=False):\n    print("held", flush=True)\n    sys.stdin.readline()',
        location.folder,
    )
    assert running.stdout.readline() == "held\n"
    killing = threading.Timer(1.0, running.kill)
    killing.start()
    with writing(location, command="me", wait=True):
        assert running.wait() == -signal.SIGKILL
        assert holder(location).pid == os.getpid()
    running.communicate()


def test_every_run_has_a_larger_number_and_knows_whether_the_one_before_ended(location):
    with writing(location, command="first", wait=False) as run:
        assert (run.number, run.after_crash) == (1, False)
    with pytest.raises(ZeroDivisionError), writing(location, command="second", wait=False) as run:
        1 / (run.number - 2)
    running = python(
        'with writing(location, command="x", wait=False):\n    print("held", flush=True)\n    sys.stdin.readline()',
        location.folder,
    )
    assert running.stdout.readline() == "held\n"
    running.kill()
    running.communicate()
    with writing(location, command="fourth", wait=False) as run:  # the system has freed a dead holder's lock
        assert (run.number, run.after_crash) == (4, True)
        store = open_writer(location, SCHEMA)
        assert store.current_run() == 4
        store.close()
    with writing(location, command="fifth", wait=False) as run:
        assert (run.number, run.after_crash) == (5, False)


def test_a_run_number_that_cannot_be_read_is_said(location):
    with writing(location, command="first", wait=False):
        pass
    (location.path / "writer.run").write_text("{")
    with pytest.raises(IndexFormatError, match=r"writer\.run"), writing(location, command="second", wait=False):
        pass


def test_a_killed_writer_loses_nothing_that_was_flushed(location):
    running = python(
        """
        store = open_writer(location, schema)
        for start in range(0, 10_000_000, 50):
            store.upsert(points(start, start + 50))
            store.flush()
            print(start + 50, flush=True)
        """,
        location.folder,
    )
    flushed = 0
    for _ in range(12):
        flushed = int(running.stdout.readline())
    running.send_signal(signal.SIGKILL)
    flushed = max(flushed, *(int(line) for line in running.communicate()[0].split()), 0)
    store = open_writer(location, SCHEMA)
    found = {point.id for point in store.scroll(EVERYTHING)}
    assert {point.id for point in points(0, flushed)} <= found
    assert len(found) == store.count(EVERYTHING) <= flushed + 50
    store.upsert(points(0, 10))
    assert store.count(EVERYTHING) == len(found)
    store.close()


def test_a_damaged_shard_is_an_outage(location):
    open_writer(location, SCHEMA).close()
    shard = next((location.path / "live" / "segments").iterdir())
    (shard / "segment.json").write_text("garbage")
    with pytest.raises(StoreUnavailable, match="the index failed"):
        open_writer(location, SCHEMA)


def test_neither_engine_is_imported_for_the_other_one(location):
    script = """
        import transforms.index.publish
        from transforms.index.ledger import read_entries
        heavy = {"qdrant_client", "qdrant_edge", "apache_beam", "torch"}
        print(sorted(heavy & set(sys.modules)))
        if sys.argv[2] == "edge":
            open_writer(location, schema).close()
        else:
            import transforms.index.server
        print(sorted(heavy & set(sys.modules)))
    """
    assert python(script, location.folder, "edge").communicate()[0] == "[]\n['qdrant_edge']\n"
    assert python(script, location.folder, "server").communicate()[0] == "[]\n['qdrant_client']\n"


@pytest.fixture
def small_disk(tmp_path: Path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    live.close_shared(IndexLocation.parse(str(folder / "index")))
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_the_writer_and_keeps_what_was_flushed(small_disk):
    location = IndexLocation.parse(str(small_disk / "index"))
    store = open_writer(location, SCHEMA)
    store.upsert(points(0, 100))
    store.flush()
    filler = small_disk / "filler"
    filler.write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize - (70 << 20)))
    written = 100
    with contextlib.suppress(DiskFull):
        while written < 1_000_000:
            store.upsert(points(written, written + 500))
            written += 500
            store.flush()
    assert written < 1_000_000
    with pytest.raises(DiskFull, match="too little room"):
        store.upsert(points(0, 500))
    store.close()
    filler.unlink()
    again = open_writer(location, SCHEMA)
    assert again.count(EVERYTHING) == written
    again.upsert(points(0, written + 10))
    assert again.count(EVERYTHING) == written + 10
    again.close()


def test_no_index_is_begun_on_a_disk_without_room(small_disk):
    (small_disk / "filler").write_bytes(bytes(300 << 20))
    with pytest.raises(DiskFull, match="too little room"):
        open_writer(IndexLocation.parse(str(small_disk / "index")), SCHEMA)


def test_errors_travel_to_other_workers():
    error = IndexLocked("pid 3 writes it")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
