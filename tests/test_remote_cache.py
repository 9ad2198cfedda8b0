"""The cache of fetched files: bounded, shared by processes, and nothing in it goes while somebody reads it."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.web_server import WebServer, web_server
from transforms.errors import SourceUnavailable, UsageError
from transforms.records import VideoRef
from transforms.remote.fetch import held
from transforms.remote.settings import RemoteSettings
from transforms.remote.web import Web

SIZE = 300_000
ROOT = Path(__file__).parents[1]

FETCH = """
import sys
from transforms.records import VideoRef
from transforms.remote.fetch import held
from transforms.remote.settings import RemoteSettings
cache, uri, size, version = sys.argv[1:]
settings = RemoteSettings(cache=cache, allow_private_addresses=True, min_free_bytes=0)
with held(VideoRef(uri, int(size), version), settings) as copy:
    print(copy.sha256)
"""

FILL = """
import sys
from transforms.errors import DiskFull
from transforms.records import VideoRef
from transforms.remote.fetch import Arriving
with open(sys.argv[1], "w+b", buffering=0) as file:
    into = Arriving(file, VideoRef("http://example.org/a", 10**9, ""))
    into.begins_at(0)
    try:
        while True:
            into.write(b"x" * 2**16)
    except DiskFull as full:
        print(full)
"""


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as made:
        yield made


@pytest.fixture
def settings(tmp_path: Path) -> RemoteSettings:
    return RemoteSettings(
        cache=str(tmp_path / "cache"), cache_bytes=3 * SIZE, allow_private_addresses=True, min_free_bytes=0
    )


def serve(server: WebServer, settings: RemoteSettings, name: str) -> VideoRef:
    found = Web(settings).look(server.serve(f"/{name}", os.urandom(SIZE)))
    assert found is not None
    return VideoRef(found.uri, found.size_bytes, found.version)


def read(video: VideoRef, settings: RemoteSettings) -> None:
    with held(video, settings):
        pass


def used_bytes(settings: RemoteSettings) -> int:
    return sum(path.stat().st_size for path in settings.folder.iterdir() if path.suffix in ("", ".part"))


def gets_of(server: WebServer) -> list[str]:
    return [asked.path[1:] for asked in server.gets()]


def test_what_was_used_longest_ago_makes_room(server: WebServer, settings: RemoteSettings) -> None:
    one, two, three, four = (serve(server, settings, name) for name in "abcd")
    for video in (one, two, three, one, four):
        read(video, settings)
    assert used_bytes(settings) == 3 * SIZE
    for video in (one, three, four, two):
        read(video, settings)
    assert gets_of(server) == ["a", "b", "c", "d", "b"]
    assert sum(path.suffix == ".lock" and path.name != ".lock" for path in settings.folder.iterdir()) == 3


def test_a_file_that_is_read_stays_and_who_needs_its_room_waits(server: WebServer, settings: RemoteSettings) -> None:
    settings = replace(settings, cache_bytes=SIZE)
    one, two = serve(server, settings, "a"), serve(server, settings, "b")
    waiting = threading.Thread(target=read, args=(two, settings))
    with held(one, settings) as copy:
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        assert len(copy.path.read_bytes()) == SIZE
        with pytest.raises(SourceUnavailable, match="REELVEC_REMOTE_CACHE_MEGABYTES"):
            read(serve(server, settings, "c"), replace(settings, wait_seconds=0.1))
    waiting.join(10)
    assert not waiting.is_alive()
    assert used_bytes(settings) == SIZE


def test_many_readers_in_a_small_cache_all_get_their_files(server: WebServer, settings: RemoteSettings) -> None:
    videos = [serve(server, settings, name) for name in "abcdef"]
    settings, wrong = replace(settings, cache_bytes=2 * SIZE), []

    def read_all(shift: int) -> None:
        for video in videos[shift:] + videos[:shift]:
            with held(video, settings) as copy:
                data = copy.path.read_bytes()
                if hashlib.sha256(data).hexdigest() != copy.sha256 or len(data) != SIZE:
                    wrong.append(video.uri)

    readers = [threading.Thread(target=read_all, args=(shift,)) for shift in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert not wrong
    assert not any(reader.is_alive() for reader in readers)
    assert used_bytes(settings) <= 2 * SIZE


def test_processes_of_one_machine_share_one_fetch(server: WebServer, settings: RemoteSettings) -> None:
    video = serve(server, settings, "a")
    command = [sys.executable, "-c", FETCH, settings.cache, video.uri, str(video.size_bytes), video.version]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)]
    told = {worker.communicate(timeout=60)[0].strip() for worker in workers}
    assert told == {hashlib.sha256(server.files["/a"].data).hexdigest()}
    assert server.bytes_sent() == SIZE


def test_a_damaged_note_or_a_file_cut_short_is_fetched_again(server: WebServer, settings: RemoteSettings) -> None:
    video = serve(server, settings, "a")
    read(video, settings)
    (note,) = settings.folder.glob("*.json")
    note.write_text("{")
    read(video, settings)
    note.with_suffix("").write_bytes(b"short")
    with held(video, settings) as copy:
        assert copy.path.read_bytes() == server.files["/a"].data
    assert gets_of(server) == ["a", "a", "a"]


def test_a_cache_that_cannot_be_written_is_said_with_its_cure(tmp_path: Path, settings: RemoteSettings) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="REELVEC_REMOTE_CACHE"):
        read(VideoRef("http://example.org/a", 1, ""), replace(settings, cache=str(tmp_path / "file" / "cache")))


def test_others_may_not_look_into_the_cache(server: WebServer, settings: RemoteSettings) -> None:
    read(serve(server, settings, "a"), settings)
    assert settings.folder.stat().st_mode & 0o077 == 0


def test_a_disk_that_fills_up_while_a_file_comes_is_an_outage(tmp_path: Path) -> None:
    """On a real file system of 1 MB, in a name space of its own."""
    mount = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1/part"'
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run([*alone, "true", ""], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a file system of his own")
    told = subprocess.run(
        [*alone, sys.executable, FILL], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    assert "No space left on device" in told.stdout
