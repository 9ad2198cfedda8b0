"""One run at a time writes a server's index: the lease, its holder's death, and a holder that slept."""

import subprocess
import sys
import textwrap
import threading
import time
import uuid

import pytest

from pipelines.ingest import ingest
from pipelines.settings import IngestSettings
from pipelines.status import status
from tests.test_ingest import render
from tests.test_write import SCHEMA, result, segments
from transforms.errors import IndexLocked, RunOvertaken
from transforms.index.location import IndexLocation
from transforms.index.lock import holder, writing
from transforms.index.open import open_writer
from transforms.index.store import Where
from transforms.write.commit import write_results

SHORT = {"LEASE_SECONDS": 3.0, "RENEW_SECONDS": 0.5, "WATCH_SECONDS": 1.5}


@pytest.fixture
def location(qdrant_url, monkeypatch):
    from transforms.index import lease

    for name, seconds in SHORT.items():
        monkeypatch.setattr(lease, name, seconds)
    place = IndexLocation.parse(f"{qdrant_url}/lease-{uuid.uuid4().hex[:12]}")
    yield place
    client = connected(place)
    for held in client.get_collections().collections:
        if held.name.startswith(place.name):
            client.delete_collection(held.name)
    client.close()


def connected(location):
    from transforms.index.server import connect

    return connect(location)


def holding(location, command="a long ingest"):
    """Another process that holds the lease until it is told to end."""
    code = f"""
        import sys
        from transforms.index import lease
        from transforms.index.location import IndexLocation
        from transforms.index.lock import writing
        for name, seconds in {SHORT}.items():
            setattr(lease, name, seconds)
        with writing(IndexLocation.parse({str(location)!r}), command={command!r}, wait=False) as run:
            print(run.number, flush=True)
            sys.stdin.readline()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert int(process.stdout.readline()) > 0
    return process


def steal(location):
    """Another run takes the lease of one that gives no sign of life, and ends."""
    from transforms.index import lease

    client = connected(location)
    lease._acquire(client, location, "the next run", wait=True)
    client.close()


def test_a_second_run_is_refused_and_told_who_holds_the_index(location):
    assert holder(location) is None
    process = holding(location)
    found = holder(location)
    assert (found.pid, found.command) == (process.pid, "a long ingest")
    with (
        pytest.raises(IndexLocked, match=rf"pid {process.pid} .*a long ingest.*--wait"),
        writing(location, command="me", wait=False),
    ):
        pass
    time.sleep(SHORT["LEASE_SECONDS"] + 1)  # it is renewed
    assert holder(location).pid == process.pid
    process.communicate("\n")
    assert holder(location) is None
    with writing(location, command="me", wait=False) as run:
        assert (run.number, run.after_crash) == (2, False)


def test_whoever_waits_gets_the_index_when_its_holder_ends(location):
    process = holding(location)
    threading.Timer(1.0, lambda: process.communicate("\n")).start()
    with writing(location, command="me", wait=True) as run:
        assert (run.number, run.after_crash) == (2, False)
    process.wait()


def test_a_dead_holders_lease_is_taken_over_when_it_has_run_out(location):
    process = holding(location)
    process.kill()
    process.communicate()
    with pytest.raises(IndexLocked, match="its lease ends in"), writing(location, command="me", wait=False):
        pass
    time.sleep(SHORT["LEASE_SECONDS"])
    with writing(location, command="me", wait=False) as run:
        assert (run.number, run.after_crash) == (2, True)


def test_a_holder_whose_clock_is_behind_is_not_robbed(location, monkeypatch):
    from transforms.index import lease

    process = holding(location)
    real = time.time
    monkeypatch.setattr(lease.time, "time", lambda: real() + 3600)  # by our clock its lease ran out an hour ago
    with pytest.raises(IndexLocked), writing(location, command="me", wait=False):
        monkeypatch.setattr(lease.time, "time", real)
    monkeypatch.undo()
    process.communicate("\n")
    assert process.returncode == 0


def test_of_many_that_want_it_at_once_one_gets_it(location):
    got, refused = [], []

    def want():
        try:
            with writing(location, command="one of many", wait=False) as run:
                got.append(run.number)
                time.sleep(1.5)
        except IndexLocked:
            refused.append(1)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [1] and len(refused) == 7


def test_a_run_that_slept_through_its_lease_writes_nothing_more(location, monkeypatch):
    from transforms.index import lease

    monkeypatch.setattr(lease, "RENEW_SECONDS", 1000.0)  # a machine that sleeps renews nothing
    with writing(location, command="a laptop", wait=False) as run:
        store = open_writer(location, SCHEMA)
        late = [result(segment) for segment in segments(run=run.number)]
        write_results(store, late[:1], "r1")
        before = {point.id for point in store.scroll(Where())}
        steal(location)
        with pytest.raises(RunOvertaken):
            write_results(store, late[1:], "r1")
        with pytest.raises(RunOvertaken, match=r"run 1\).*the next run"):
            store.delete(Where())
        assert {point.id for point in store.scroll(Where())} == before
        store.close()


def test_a_run_that_slept_and_was_not_missed_goes_on(location, monkeypatch):
    from transforms.index import lease

    monkeypatch.setattr(lease, "RENEW_SECONDS", 1000.0)
    with writing(location, command="a laptop", wait=False) as run:
        store = open_writer(location, SCHEMA)
        time.sleep(SHORT["LEASE_SECONDS"] + 0.5)
        write_results(store, [result(segment) for segment in segments(run=run.number)], "r1")
        assert holder(location) is not None
        store.close()


def test_a_worker_elsewhere_of_an_overtaken_run_is_refused_by_its_number(location):
    with writing(location, command="first", wait=False) as run:
        late = [result(segment) for segment in segments(run=run.number)]
        open_writer(location, SCHEMA).close()
    with writing(location, command="second", wait=False):
        pass
    store = open_writer(location, SCHEMA)  # as a worker process opens it: without a lease of its own
    with pytest.raises(RunOvertaken, match=r"run 1 .* run 2"):
        write_results(store, late, "r1")
    assert store.count(Where()) == 0
    store.close()


def test_the_first_run_of_all_holds_the_index_before_it_exists_and_status_names_it(location, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    render(tmp_path / "corpus/a.mp4")
    first = ingest(IngestSettings(sources=(str(tmp_path / "corpus"),), index=str(location)))
    assert first.videos_indexed == 1 and status(location).writer is None
    with writing(location, command="ingest films", wait=False):
        assert "ingest films" in str(status(location).writer)
        with pytest.raises(IndexLocked, match="ingest films"):
            ingest(IngestSettings(sources=(str(tmp_path / "corpus"),), index=str(location)))


@pytest.fixture
def in_memory(monkeypatch):
    """The lease over the client's own in-memory mode, which knows conditional upserts too; needs no server."""
    from qdrant_client import QdrantClient

    from transforms.index import lease, server

    client = QdrantClient(":memory:")
    client.create_collection(lease.COLLECTION, vectors_config={})
    monkeypatch.setattr(client, "close", lambda: None)
    monkeypatch.setattr(server, "connect", lambda location: client)
    monkeypatch.setattr(lease, "_prepare", lambda client, location: None)
    for name, seconds in SHORT.items():
        monkeypatch.setattr(lease, name, seconds)
    return IndexLocation.parse("http://localhost:6333/lease")


def dead_holder(location):
    from transforms.index import lease

    lease._acquire(connected(location), location, "a dead ingest", wait=False)


def test_in_memory_a_second_run_is_refused_while_the_first_renews(in_memory):
    assert holder(in_memory) is None
    with writing(in_memory, command="a long ingest", wait=False) as run:
        time.sleep(SHORT["LEASE_SECONDS"] + 0.5)
        with pytest.raises(IndexLocked, match=r"a long ingest.*--wait"), writing(in_memory, command="me", wait=False):
            pass
    assert run.number == 1 and holder(in_memory) is None
    with writing(in_memory, command="me", wait=False) as run:
        assert (run.number, run.after_crash) == (2, False)


def test_in_memory_a_dead_holder_is_replaced_once_its_lease_has_run_out(in_memory):
    dead_holder(in_memory)
    with pytest.raises(IndexLocked, match="its lease ends in"), writing(in_memory, command="me", wait=False):
        pass
    with writing(in_memory, command="me", wait=True) as run:
        assert (run.number, run.after_crash) == (2, True)


def test_in_memory_a_holder_that_slept_is_told_before_it_writes(in_memory, monkeypatch):
    from transforms.index import held, lease

    monkeypatch.setattr(lease, "RENEW_SECONDS", 1000.0)
    with writing(in_memory, command="a laptop", wait=False):
        held.check(str(in_memory))
        time.sleep(SHORT["LEASE_SECONDS"] + 0.5)
        held.check(str(in_memory))  # nobody wanted it meanwhile
        steal(in_memory)
        with pytest.raises(RunOvertaken, match=r"run 1\).*run 2"):
            held.check(str(in_memory))
    held.check(str(in_memory))  # no run of this process any more, nothing to say


def test_in_memory_a_lease_that_is_changed_meanwhile_is_not_overwritten(in_memory):
    from transforms.index import lease

    client = connected(in_memory)
    one, two = (lease._new(in_memory, command, run=1) for command in ("one", "two"))
    assert lease._swap(client, in_memory, one, instead_of="") == one
    assert lease._swap(client, in_memory, two, instead_of="") == one
    assert lease._swap(client, in_memory, two, instead_of=one.token) == two
    assert lease._swap(client, in_memory, one, instead_of=one.token) == two
