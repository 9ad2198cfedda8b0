"""A change of recipe on a real Qdrant server: collections and an alias; and a server that is restarted meanwhile.

The restarts need a server of the test's own: REELVEC_TEST_QDRANT_BINARY names Qdrant's program.
"""

import os
import socket
import subprocess
import threading
import time
import urllib.request
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from qdrant_client import QdrantClient, models
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.ingest import ingest
from pipelines.migrate import abandon, migrate, plan_migration, roll_back
from pipelines.search import Searcher
from pipelines.status import status
from tests.cheap_index import CLIPS, assert_equal_indexes, points, settings
from tests.test_ingest import render
from tests.test_lease import SHORT
from transforms.errors import Outage, StoreUnavailable, UsageError
from transforms.index import lease, retry
from transforms.index.location import IndexLocation
from transforms.index.server import ServerStore, collection_in_use
from transforms.index.spaces import drop_expired, left_behind, spaces_of
from transforms.index.store import Query
from transforms.recipe import load_recipe

#: No network of neurons: what is tried here is where vectors go, not what they mean.
CHEAP = """name = "cheap"
[segment]
clip_seconds = {clip}
segment_seconds = 8.0
[sound]
encoder = "mfcc:statistics"
{motion}
[fusion]
position = {position}
"""
MOTION = '[motion]\nencoder = "motion:dis"'


def recipe_file(folder, *, clip=2.0, motion="", position=0.4):
    path = folder / f"{abs(hash((clip, motion, position)))}.toml"
    path.write_text(CHEAP.format(clip=clip, motion=motion, position=position))
    return str(path)


def moving(path, *, seconds):
    """A few seconds of a test picture, in which things move, with a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = [f"testsrc2=s=160x120:r=10:d={seconds}", f"sine=frequency=440:duration={seconds}"]
    given = [word for source in made for word in ("-f", "lavfi", "-i", source)]
    command = ["ffmpeg", "-v", "error", "-y", *given, "-c:v", "libx264", "-pix_fmt", "yuv420p", f"file:{path}"]
    subprocess.run(command, check=True)


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the rejects of a server's index are listed
    folder = tmp_path / "corpus"
    render(folder / "red.mp4", seconds=3)
    moving(folder / "moving.mp4", seconds=5)
    (folder / "broken.mp4").write_bytes(b"\x00" * 3000)
    return folder


@pytest.fixture
def location(qdrant_url):
    place = IndexLocation.parse(f"{qdrant_url}/migrate-{uuid.uuid4().hex[:12]}")
    yield place
    clear(place)


@pytest.fixture
def index(tmp_path, corpus, location):
    ingest(settings(location, corpus, recipe=recipe_file(tmp_path)))
    return str(location)


def clear(location):
    with suppress(Exception), admin(location) as client:
        for held in client.get_collections().collections:
            if held.name.startswith(location.name):
                client.delete_collection(held.name)


class admin:
    """The server as its owner sees it."""

    def __init__(self, location):
        self.client = QdrantClient(url=location.url, check_compatibility=False, timeout=30)

    def __enter__(self):
        return self.client

    def __exit__(self, *_):
        self.client.close()


def unname(location):
    drop = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=location.name))
    with admin(location) as client:
        client.update_collection_aliases([drop])


def test_new_fusion_weights_need_no_file_and_give_what_a_new_folder_would(tmp_path, corpus, index, location):
    other = recipe_file(tmp_path, position=0.9)
    ingest(settings(tmp_path / "anew", corpus, recipe=other))
    corpus.rename(tmp_path / "away")
    assert plan_migration(location, load_recipe(other)).must_decode == 0
    done = migrate(settings(index), other)
    assert done.state == "switched" and all(check.passed for check in done.checks)
    assert collection_in_use(location) == done.space == f"{location.name}--{load_recipe(other).fingerprint[:12]}"
    assert_equal_indexes(index, tmp_path / "anew")
    assert migrate(settings(index), other).state == "unchanged"


def test_searches_all_through_a_migration_follow_the_alias_and_never_fail_or_mix(tmp_path, corpus, index):
    other = recipe_file(tmp_path, motion=MOTION, position=0.9)
    before = points(index, CLIPS, vectors=True)
    asked = next(iter(before.values())).vectors["speech"]
    fingerprints = {load_recipe(recipe_file(tmp_path)).fingerprint, load_recipe(other).fingerprint}
    seen: list[frozenset[str]] = []
    failures: list[BaseException] = []
    over = threading.Event()

    def search() -> None:
        with Searcher(index) as searcher:
            while not over.is_set():
                try:
                    with searcher.pinned() as space:
                        held = [point.payload["recipe"] for point in space.reader.scroll(CLIPS)]
                        seen.append(frozenset({*held, space.reader.schema.recipe}))
                        (hits,) = space.reader.query([Query("speech", asked, CLIPS, limit=20)])
                        assert len(hits) == len(held)
                except BaseException as error:
                    failures.append(error)
                    return

    thread = threading.Thread(target=search)
    thread.start()
    try:
        done = migrate(settings(index), other)
        switched_at, until = len(seen), time.monotonic() + 30
        while len(set(seen[switched_at:])) < 1 and time.monotonic() < until and not failures:
            time.sleep(0.05)
        time.sleep(1.5)
        followed_at = len(seen)
        while len(seen) < followed_at + 2 and time.monotonic() < until and not failures:
            time.sleep(0.05)
    finally:
        over.set()
        thread.join()
    assert not failures
    assert done.state == "switched"
    assert dict(done.vectors) == {"speech": "keep", "motion": "decode", "clip": "from_stored"}
    assert all(len(recipes) == 1 for recipes in seen)
    assert set().union(*seen) == fingerprints
    assert seen[-1] == {load_recipe(other).fingerprint}
    after = points(index, CLIPS, vectors=True)
    assert after.keys() == before.keys()
    heard = [id_ for id_, point in after.items() if "speech" in point.vectors]
    assert heard
    assert all(after[id_].vectors["speech"].tobytes() == before[id_].vectors["speech"].tobytes() for id_ in heard)
    ingest(settings(tmp_path / "anew", corpus, recipe=other))
    assert_equal_indexes(index, tmp_path / "anew")


def test_rolling_back_is_one_step_and_what_was_before_goes_when_its_time_is_over(tmp_path, corpus, index, location):
    first, before = collection_in_use(location), points(index, vectors=True)
    with pytest.raises(UsageError, match="never migrated"):
        roll_back(location, wait=False)
    other = recipe_file(tmp_path, position=0.9)
    migrate(settings(index), other)
    with Searcher(index) as searcher:
        assert roll_back(location, wait=False).state == "rolled back"
        assert collection_in_use(location) == first
        time.sleep(1.1)
        with searcher.pinned() as space:
            assert {point.payload["recipe"] for point in space.reader.scroll(CLIPS)} == {space.recipe.fingerprint}
        assert searcher.recipe.fingerprint == load_recipe(recipe_file(tmp_path)).fingerprint
    assert points(index).keys() == before.keys()
    assert ingest(settings(index, corpus)).videos_unchanged == 2
    assert migrate(settings(index), other).state == "switched"
    assert drop_expired(location) == ()
    assert drop_expired(location, now=datetime.now(UTC) + timedelta(days=8)) == (first,)
    with pytest.raises(UsageError, match="is gone"):
        roll_back(location, wait=False)
    assert spaces_of(location) == (collection_in_use(location),)
    assert ingest(settings(index, corpus)).videos_unchanged == 2


def test_what_an_unfinished_migration_filled_can_be_deleted(tmp_path, index, location, monkeypatch):
    other = recipe_file(tmp_path, position=0.9)
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.filling.switch", lambda *_: (_ for _ in ()).throw(StoreUnavailable("gone")))
        with pytest.raises(StoreUnavailable):
            migrate(settings(index), other)
    filled = f"{location.name}--{load_recipe(other).fingerprint[:12]}"
    assert left_behind(location) == (filled,)
    assert abandon(location, wait=False) == (filled,)
    assert left_behind(location) == () and filled not in spaces_of(location)
    assert status(location).totals["committed"] == 2


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("collections", [1, 2])
def test_an_alias_that_is_lost_is_told_by_every_command_with_its_cure(tmp_path, corpus, index, location, collections):
    """The server drops an alias together with its collection, so that none can point nowhere: it is missing."""
    other = recipe_file(tmp_path, position=0.9)
    if collections == 2:
        migrate(settings(index), other)
    held = spaces_of(location)
    unname(location)
    for words in (
        ("ingest", corpus, "--recipe", recipe_file(tmp_path, clip=4.0)),
        ("search", "a red wall", "--by", "clip"),
        ("migrate", "--recipe", other),
        ("migrate", "--rollback"),
        ("migrate", "--abandon"),
        ("status",),
    ):
        done = run(*words, "-i", index)
        assert done.exit_code in (1, 2), (words, done.output)
        assert all(name in done.output for name in held) and "alias" in done.output, (words, done.output)
        assert "fsck" in done.output and "Traceback" not in done.output
    assert spaces_of(location) == held  # nothing was begun beside them
    report = run("fsck", "-i", index)
    assert report.exit_code == 10 and all(name in report.output for name in held)
    if collections == 1:
        assert run("fsck", "--repair", "-i", index).exit_code == 0
        assert ingest(settings(index, corpus)).videos_unchanged == 2


def test_a_collection_of_that_very_name_is_left_alone(tmp_path, corpus, location):
    with admin(location) as client:
        client.create_collection(location.name, vectors_config={})
    for words in (("ingest", corpus, "--recipe", recipe_file(tmp_path)), ("search", "x"), ("status",), ("fsck",)):
        done = run(*words, "-i", location)
        assert done.exit_code in (1, 2), (words, done.output)
        assert "not made by Reelvec" in done.output and "another --index" in done.output, (words, done.output)
    assert spaces_of(location) == ()


class Server:
    """A Qdrant server that can be killed and started again."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        self.port, self.grpc_port = free_port(), free_port()
        self.url = f"http://localhost:{self.port}"
        folder.mkdir()
        self.start()
        self.answers()

    def start(self):
        own = {
            "QDRANT__SERVICE__HTTP_PORT": str(self.port),
            "QDRANT__SERVICE__GRPC_PORT": str(self.grpc_port),
            "QDRANT__TELEMETRY_DISABLED": "true",
        }
        with (self.folder / "log").open("ab") as out:
            self.process = subprocess.Popen(
                [self.binary], cwd=self.folder, env={**os.environ, **own}, stdout=out, stderr=out
            )

    def answers(self):
        until = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):
                    return
            except OSError:
                assert time.monotonic() < until, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.1)

    def kill(self):
        self.process.kill()
        self.process.wait()


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    binary = os.environ.get("REELVEC_TEST_QDRANT_BINARY")
    if not binary:
        pytest.skip("REELVEC_TEST_QDRANT_BINARY is not set: it names Qdrant's program")
    made = Server(binary, tmp_path_factory.mktemp("qdrant") / "own")
    yield made
    made.kill()


def when_it_writes(server, monkeypatch, call, *, starts_again):
    """Kill the server before that call of an upsert."""
    upsert, calls = ServerStore.upsert, []

    def dying(self, some):
        calls.append(1)
        if len(calls) == call:
            server.kill()
            if starts_again:
                server.start()
        upsert(self, some)

    monkeypatch.setattr(ServerStore, "upsert", dying)
    return calls


@pytest.mark.parametrize("call", [1, 3])
@pytest.mark.parametrize("starts_again", [True, False], ids=["restarted", "down"])
def test_a_server_that_dies_in_an_ingest_or_a_migration_leaves_what_the_next_run_mends(
    tmp_path, corpus, server, monkeypatch, starts_again, call
):
    for name, seconds in SHORT.items():  # who could not give its lease back is waited for
        monkeypatch.setattr(lease, name, seconds)
    index = f"{server.url}/killed-{call}-{starts_again}?grpc_port={server.grpc_port}"
    first, other = recipe_file(tmp_path), recipe_file(tmp_path, motion=MOTION, position=0.9)

    def whatever_happens(work):
        """The work goes on after retries, or ends in an outage and is done again."""
        with monkeypatch.context() as patched:
            if not starts_again:
                patched.setattr(retry, "TRIES", 2)
                patched.setattr(retry, "TRIES_OF_A_WRITER", 2)
            calls = when_it_writes(server, patched, call, starts_again=starts_again)
            with suppress(Outage):
                work()
                assert starts_again
            assert len(calls) >= call
        if not starts_again:
            server.start()
        server.answers()
        return work()

    whatever_happens(lambda: ingest(settings(index, corpus, recipe=first, wait=True)))
    ingest(settings(tmp_path / "first", corpus, recipe=first))
    assert_equal_indexes(index, tmp_path / "first")
    done = whatever_happens(lambda: migrate(settings(index, wait=True), other))
    assert done.state in ("switched", "unchanged")
    ingest(settings(tmp_path / "anew", corpus, recipe=other))
    assert_equal_indexes(index, tmp_path / "anew")
