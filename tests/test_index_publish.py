"""Publishing an Edge index: what readers see while a writer writes, and what a killed publisher leaves."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import transforms
from transforms.errors import DiskFull, StoreUnavailable
from transforms.index import copying, live
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader, open_writer
from transforms.index.publish import Publication, publish
from transforms.index.store import Equals, Query, Where
from transforms.records import ClipPoint, DenseVector, Schema

DIMENSIONS = 32
SCHEMA = Schema(
    "tiny",
    "a" * 64,
    (DenseVector("frame", DIMENSIONS), DenseVector("frames", DIMENSIONS, multi=True)),
    ("words",),
)
EVERYTHING = Where()


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """On a disk where there is one, as an index is: what a publication copies depends on the file system."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def location(tmp_path: Path) -> IndexLocation:
    return IndexLocation.parse(str(tmp_path / "index"))


def points(start: int, stop: int, *, generation: int = 0) -> list[ClipPoint]:
    """Clip n's vector is a function of n, so that a mixed-up copy gives itself away."""
    return [
        ClipPoint(
            str(uuid.UUID(int=index + 1)),
            {"frame": own_vector(index), "frames": np.stack([own_vector(index), own_vector(index + 1)])},
            {"kind": "clip", "clip_index": index, "generation": generation},
        )
        for index in range(start, stop)
    ]


def own_vector(index: int) -> np.ndarray:
    vector = np.random.default_rng(index).standard_normal(DIMENSIONS).astype(np.float32)
    return vector / np.linalg.norm(vector)


def python(script: str, *arguments: str) -> subprocess.Popen:
    """Another process that runs `script` with our packages."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(transforms.__file__).parents[1]), *sys.path])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def versions(location: IndexLocation) -> list[str]:
    return sorted(path.name for path in (location.path / "published").iterdir() if path.is_dir())


def test_before_the_first_publication_a_reader_sees_an_empty_index(location):
    store = open_writer(location, SCHEMA)
    store.upsert(points(0, 3))
    reader = open_reader(location)
    assert reader.schema == SCHEMA
    assert reader.count(EVERYTHING) == 0
    assert reader.query([Query("frame", own_vector(0)), Query("frame", own_vector(1))]) == [[], []]
    assert list(reader.scroll(EVERYTHING)) == reader.retrieve([points(0, 1)[0].id]) == []
    reader.close()
    store.close()


@pytest.mark.parametrize("optimize", [False, True])
def test_a_reader_sees_what_was_published_and_follows_the_next_version(location, optimize):
    store = open_writer(location, SCHEMA)
    reader = open_reader(location)
    for round_number in range(1, 4):
        store.upsert(points(0, 100 * round_number, generation=round_number))
        before = reader.count(EVERYTHING)
        publication = publish(location, store, optimize=optimize)
        assert (publication.version, publication.points) == (round_number, 100 * round_number)
        assert before == 100 * (round_number - 1)
        assert reader.count(EVERYTHING) == reader.count(Where(must=(Equals("generation", round_number),)))
        for index in (0, 100 * round_number - 1):
            [hits] = reader.query([Query("frame", own_vector(index), limit=1)])
            assert hits[0].payload["clip_index"] == index
            assert hits[0].score == pytest.approx(1.0, abs=1e-5)
    reader.close()
    store.close()
    assert versions(location) == ["2", "3"] or versions(location) == ["3"]


def test_what_changed_in_place_is_copied_again(location):
    store = open_writer(location, SCHEMA)
    store.upsert(points(0, 2000))
    publish(location, store, optimize=False)
    store.upsert([ClipPoint(point.id, points(5000, 5001)[0].vectors, point.payload) for point in points(7, 8)])
    store.set_payload({"generation": 9}, Where(must=(Equals("clip_index", 8),)))
    store.delete(Where(must=(Equals("clip_index", 9),)))
    second = publish(location, store, optimize=False)
    reader = open_reader(location)
    assert second.points == reader.count(EVERYTHING) == 1999
    for point in reader.scroll(EVERYTHING, vectors=True):
        index = point.payload["clip_index"]
        expected = own_vector(5000 if index == 7 else index)
        np.testing.assert_allclose(point.vectors["frame"], expected, atol=1e-5)
        assert point.payload["generation"] == (9 if index == 8 else 0)
    reader.close()
    store.close()


def test_a_reader_keeps_its_version_while_it_reads(location):
    store = open_writer(location, SCHEMA)
    store.upsert(points(0, 50))
    publish(location, store, optimize=False)
    reader, other = open_reader(location), open_reader(location)
    scrolling = reader.scroll(EVERYTHING, batch=10)
    seen = [next(scrolling).id]
    for stop in (60, 70, 80):
        store.upsert(points(0, stop))
        publish(location, store, optimize=False)
        assert other.count(EVERYTHING) == reader.count(EVERYTHING) == stop
    seen += [point.id for point in scrolling]
    assert len(seen) == len(set(seen)) == 50
    assert "1" in versions(location)
    reader.close()
    other.close()
    publish(location, store, optimize=False)
    assert versions(location) == ["5"]
    store.close()


READER = """
    import sys, uuid
    import numpy as np
    from transforms.index.location import IndexLocation
    from transforms.index.open import open_reader
    from transforms.index.store import Query, Where
    reader = open_reader(IndexLocation.parse(sys.argv[1]))
    most = answers = 0
    changes = 0
    import threading
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), over.set()), daemon=True).start()
    print("ready", flush=True)
    last_look = False
    while not last_look:
        last_look = over.is_set()
        count = reader.count(Where())
        assert count >= most, (count, most)
        if count > most:
            changes += 1
            print(count, flush=True)
        most = count
        if count:
            vector = np.random.default_rng(answers % count).standard_normal(32).astype(np.float32)
            [hits] = reader.query([Query("frame", vector / np.linalg.norm(vector), limit=3)])
            assert hits[0].payload["clip_index"] == answers % count, (hits, answers % count)
            assert hits[0].score > 0.999
        answers += 1
    print(most, changes, answers)
"""


def test_readers_in_several_processes_never_fail_nor_see_fewer_points_while_a_writer_writes(location):
    store = open_writer(location, SCHEMA)
    store.upsert(points(0, 10))
    publish(location, store, optimize=False)
    readers = [python(READER, location.folder) for _ in range(3)]
    for reader in readers:
        assert reader.stdout.readline() == "ready\n"
    over = threading.Event()
    written = [10]

    def write() -> None:
        while not over.is_set():
            store.upsert(points(written[0], written[0] + 20))
            written[0] += 20
            store.flush()
            time.sleep(0.005)

    writer = threading.Thread(target=write)
    writer.start()
    seen = [int(reader.stdout.readline()) for reader in readers]
    assert seen == [10, 10, 10]
    publications = []
    for number in range(6):
        publications.append(publish(location, store, optimize=number % 3 == 2))
        if publications[-1].points > seen[0]:  # every reader gets to see every version
            seen = [int(reader.stdout.readline()) for reader in readers]
            assert seen == [publications[-1].points] * 3
    over.set()
    writer.join()
    last = publish(location, store, optimize=True)
    for reader in readers:
        most, changes, answers = map(int, reader.communicate("\n")[0].split()[-3:])
        assert reader.returncode == 0
        assert most == last.points == written[0]
        assert answers > changes >= 3
    assert [publication.version for publication in publications] == list(range(2, 8))
    assert all(one.points <= other.points for one, other in pairwise(publications))
    store.close()


def test_updates_made_together_are_published_as_one(location):
    store = open_writer(location, SCHEMA)
    store.upsert(points(0, 10))
    publish(location, store, optimize=False)
    inside, published = threading.Event(), []

    def commit() -> None:
        with store.together():
            store.delete(Where(must=(Equals("generation", 0),)))
            inside.set()
            time.sleep(0.5)
            store.upsert(points(0, 20, generation=1))

    def publishing() -> None:
        inside.wait()
        published.append(publish(location, store, optimize=False))

    threads = [threading.Thread(target=commit), threading.Thread(target=publishing)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert published[0].points == 20
    store.close()


WRITER = """
    import sys
    sys.path.insert(0, sys.argv[2])
    from test_index_publish import SCHEMA, points
    from transforms.index.location import IndexLocation
    from transforms.index.open import open_writer
    from transforms.index.publish import publish
    location = IndexLocation.parse(sys.argv[1])
    store = open_writer(location, SCHEMA)
    start = store.count(__import__("transforms.index.store").index.store.Where())
    print("open", flush=True)
    while True:
        store.upsert(points(start, start + 300))
        store.flush()
        start += 300
        print(publish(location, store, optimize=start % 900 == 0).points, flush=True)
"""


def test_a_writer_killed_while_it_publishes_leaves_the_version_before_and_no_litter(location):
    store = open_writer(location, SCHEMA)
    store.upsert(points(0, 300))
    publish(location, store, optimize=False)
    store.close()
    chance = random.Random(3)
    reader = open_reader(location)
    least = 300
    for _ in range(4):
        running = python(WRITER, location.folder, str(Path(__file__).parent))
        assert running.stdout.readline() == "open\n"
        time.sleep(chance.uniform(0.05, 1.5))
        running.send_signal(signal.SIGKILL)
        said = [int(line) for line in running.communicate()[0].split()]
        count = reader.count(EVERYTHING)
        assert count >= max([least, *said])
        assert count % 300 == 0
        assert len({point.id for point in reader.scroll(EVERYTHING)}) == count
        least = count
        time.sleep(0.3)  # the child learns of its parent's death
    store = open_writer(location, SCHEMA)
    held = store.count(EVERYTHING)
    assert held >= least
    assert publish(location, store, optimize=True).points == held == reader.count(EVERYTHING)
    reader.close()
    publish(location, store, optimize=False)
    assert len(versions(location)) == 1
    assert not [path.name for path in (location.path / "published").iterdir() if path.name.endswith((".part", ".gone"))]
    store.close()


def test_a_publisher_that_is_killed_is_an_outage_and_the_next_one_works(location, monkeypatch):
    store = open_writer(location, SCHEMA)
    store.upsert(points(0, 100))
    publish(location, store, optimize=False)
    store.upsert(points(100, 200))
    start = subprocess.Popen
    children = []

    def started(*arguments, **options):
        children.append(start(*arguments, **options))
        threading.Timer(0.1, children[-1].kill).start()
        return children[-1]

    monkeypatch.setattr(subprocess, "Popen", started)
    with pytest.raises(StoreUnavailable, match="publishing process ended"):
        publish(location, store, optimize=True)
    monkeypatch.undo()
    count = store.count(EVERYTHING)
    assert publish(location, store, optimize=False).points == count
    reader = open_reader(location)
    assert reader.count(EVERYTHING) == count
    reader.close()
    store.close()


def test_a_copy_with_another_count_is_not_published(location):
    store = open_writer(location, SCHEMA)
    store.upsert(points(0, 10))
    publish(location, store, optimize=False)
    copy = copying.Copy(location.path)
    store.flush()
    copy.copy(copy.survey())
    with pytest.raises(RuntimeError, match="holds 10 points, the index 11"):
        copy.finish(11)
    assert (location.path / "CURRENT").read_text() == "1\n"
    os.close(copy._turn)
    store.close()


def test_files_that_change_without_a_new_mtime_are_compared_by_content(location, monkeypatch):
    """As on a file system that does not move the mtime of a file that is stored into through a memory map."""
    store = open_writer(location, SCHEMA)
    store.upsert(points(0, 100))
    store.flush()
    copy = copying.Copy(location.path)
    copy._exact = False
    stamps = copy.survey()
    copy.copy(stamps)
    store.upsert(points(50, 150, generation=1))
    store.flush()
    unmoved = {name: stamps.get(name, stamp) for name, stamp in copy.survey().items()}
    copy.copy(unmoved)
    copy.finish(150)
    os.close(copy._turn)
    reader = open_reader(location)
    assert reader.count(Where(must=(Equals("generation", 1),))) == 100
    for point in reader.scroll(EVERYTHING, vectors=True):
        np.testing.assert_allclose(point.vectors["frame"], own_vector(point.payload["clip_index"]), atol=1e-5)
    reader.close()
    store.close()


def test_vectors_that_did_not_change_are_shared_with_the_version_before(location):
    if not copying._mtime_moves(Path(tempfile.gettempdir())):
        pytest.skip("the file system does not say which files changed, so all are copied")
    store = open_writer(location, SCHEMA)
    store.upsert(points(0, 100))
    publish(location, store, optimize=False)

    def vector_files(version: int) -> dict[str, int]:
        folder = location.path / "published" / str(version)
        found = folder.glob("segments/*/vector_storage-*/vectors/chunk_*.mmap")
        return {str(path.relative_to(folder)): path.stat().st_ino for path in found}

    first = vector_files(1)
    assert len(first) == 2
    publish(location, store, optimize=False)
    assert vector_files(2) == first
    store.upsert(points(100, 101))
    publish(location, store, optimize=False)
    assert not set(vector_files(3).values()) & set(first.values())
    store.close()


def test_a_server_has_nothing_to_publish():
    location = IndexLocation.parse("http://127.0.0.1:6333/films")
    assert publish(location, object(), optimize=True) == Publication()  # type: ignore[arg-type]


def test_a_full_disk_stops_publishing_and_readers_keep_the_version_before(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    location = IndexLocation.parse(str(disk / "index"))
    try:
        store = open_writer(location, SCHEMA)
        store.upsert(points(0, 500))
        publish(location, store, optimize=False)
        store.upsert(points(500, 1000))
        free_bytes = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        (disk / "filler").write_bytes(bytes(free_bytes - (66 << 20)))
        for optimize in (False, True):
            with pytest.raises(DiskFull, match="publishing needs"):
                publish(location, store, optimize=optimize)
        reader = open_reader(location)
        assert reader.count(EVERYTHING) == 500
        (disk / "filler").unlink()
        assert publish(location, store, optimize=True).points == reader.count(EVERYTHING) == 1000
        reader.close()
        store.close()
    finally:
        live.close_shared(location)
        subprocess.run(["umount", "-l", str(disk)], check=True)
