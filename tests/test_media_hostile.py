"""Files that want something else than to be looked at."""

import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests import generated_media as media
from transforms.errors import DecoderCrashed, ForbiddenMedia, IngestError, LimitExceeded, NoMedia, UnreadableVideo
from transforms.media import child, versions
from transforms.media.decode import decode
from transforms.media.limits import Limits
from transforms.media.probe import probe
from transforms.records import Clip, FrameSpec, FrameWant, Media

WANT = FrameWant(FrameSpec(16, 16), "every:1s")


def frames_of(path: Path, limits: Limits = Limits()) -> Media:  # noqa: B008
    info = probe(path, limits=limits)
    clip = Clip(0, info.start_seconds, info.end_seconds)
    return decode(path, info, [clip], wants=[WANT], sample_rates_hz=[16000], limits=limits)


def pixels_of(path: Path) -> NDArray[np.uint8]:
    return frames_of(path).pictures[WANT].pixels


def test_a_script_with_a_films_name_does_not_read_its_neighbour(tmp_path: Path):
    media.colour_video(tmp_path / "secret.mp4", [("red", 2)])
    script = tmp_path / "film.mp4"
    script.write_text("ffconcat version 1.0\nfile 'secret.mp4'\n")
    told = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "format=duration", script], capture_output=True)
    assert told.returncode == 0, "ffmpeg alone is expected to follow the script, else this test proves nothing"
    with pytest.raises(ForbiddenMedia, match="concat"):
        probe(script)


@pytest.mark.parametrize("name", ["list.m3u8", "film.mp4"])
def test_a_playlist_does_not_connect(tmp_path: Path, name: str):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/part.ts"
        head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.0,\n"
        (tmp_path / name).write_text(f"{head}{address}\n#EXT-X-ENDLIST\n")
        with pytest.raises(ForbiddenMedia, match="hls"):
            probe(tmp_path / name)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_description_of_a_stream_is_forbidden(tmp_path: Path):
    path = tmp_path / "call.mp4"
    path.write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 49170 RTP/AVP 96\n")
    with pytest.raises(ForbiddenMedia, match="sdp"):
        probe(path)


def test_a_small_file_with_a_huge_picture_is_refused_within_the_memory_limit(tmp_path: Path):
    path = media.huge_picture_video(tmp_path / "bomb.mov")
    assert path.stat().st_size < 2_500_000
    most_before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # rendering it took more: look at the limit
    with pytest.raises(LimitExceeded, match="16000x16000"):
        probe(path)
    with pytest.raises(LimitExceeded, match="memory_bytes=419430400"):
        frames_of(path, Limits(max_pixels=16000 * 16000, memory_bytes=400 * 2**20))
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss == most_before


def test_a_picture_larger_than_its_header_says_is_not_decoded(tmp_path: Path):
    path = media.huge_picture_video(tmp_path / "liar.mov", side=9000)
    data = path.read_bytes()
    size = (9000).to_bytes(2, "big") * 2
    entry = data.index(b"png ", data.index(b"stsd"))
    place = data.index(size, entry)
    path.write_bytes(data[:place] + (64).to_bytes(2, "big") * 2 + data[place + 4 :])
    with pytest.raises(LimitExceeded, match="9000x9000"):
        frames_of(path)


def test_memory_that_does_not_suffice_is_a_limit_after_one_more_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = media.huge_picture_video(tmp_path / "large.mov")
    info = probe(path, limits=Limits(max_pixels=16000 * 16000))
    threads = []
    original = child.run_child

    def counted(arguments_for, **kwargs):
        threads.append(kwargs["limits"].decoder_threads)
        return original(arguments_for, **kwargs)

    monkeypatch.setattr("transforms.media.decode.run_child", counted)
    limits = Limits(memory_bytes=400 * 2**20, max_pixels=16000 * 16000)
    with pytest.raises(LimitExceeded, match="memory_bytes"):
        decode(path, info, [Clip(0, 0.0, 1.0)], wants=[WANT], sample_rates_hz=[], limits=limits)
    assert threads == [2, 1]


def test_too_much_output_is_stopped(tmp_path: Path):
    path = media.colour_video(tmp_path / "film.mp4", [("red", 10)])
    with pytest.raises(LimitExceeded, match="output_bytes=20000"):
        frames_of(path, Limits(output_bytes=20_000))


def test_too_much_processor_time_is_stopped(tmp_path: Path):
    busy = ["/bin/sh", "-c", "while :; do :; done"]
    finished = child.run_child(lambda _: busy, pipes=1, source=_some_file(tmp_path), limits=Limits(cpu_seconds=1))
    assert finished.returncode == -signal.SIGXCPU


def test_a_decoder_that_hangs_is_killed_with_all_its_children(tmp_path: Path):
    marker = f"{os.getpid()}.{time.monotonic_ns() % 1000:03d}"
    script = ["/bin/sh", "-c", f"sleep 10{marker} & sleep 10{marker}"]
    started = time.monotonic()
    finished = child.run_child(lambda _: script, pipes=1, source=_some_file(tmp_path), limits=Limits(wall_seconds=0.5))
    assert finished.timed_out
    assert time.monotonic() - started < 10  # not until the sleeping ends
    deadline = time.monotonic() + 5
    while _running(f"10{marker}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running(f"10{marker}")


def test_a_film_that_takes_too_long_is_tried_again_later(tmp_path: Path):
    path = media.write_video(tmp_path / "large.mp4", [media.numbered_frame(n, 1920, 1080) for n in range(60)])
    info = probe(path)
    limits = Limits(wall_seconds=0.05)
    with pytest.raises(DecoderCrashed, match=r"wall_seconds=0\.05") as raised:
        decode(path, info, [Clip(0, 0.0, 6.0)], wants=[WANT], sample_rates_hz=[], limits=limits)
    assert raised.value.transient


def test_a_decoder_dies_with_the_process_that_started_it(tmp_path: Path):
    if not child.dying_with_parent():
        pytest.skip("setpriv of util-linux is not here")
    marker = f"20{os.getpid()}"
    program = textwrap.dedent(f"""
        from transforms.media import child
        from transforms.media.limits import Limits
        source = open({str(_some_file_path(tmp_path))!r})
        child.run_child(lambda _: ["/bin/sleep", "{marker}"], pipes=1, source=source.fileno(), limits=Limits())
    """)
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[1])
    try:
        deadline = time.monotonic() + 30
        while not _running(marker) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _running(marker)
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 5
    while _running(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running(marker)


def test_a_decoder_that_crashes_is_told_from_one_that_gives_up(tmp_path: Path):
    crash = ["/bin/sh", "-c", "kill -SEGV $$"]
    finished = child.run_child(lambda _: crash, pipes=1, source=_some_file(tmp_path), limits=Limits())
    error = child_error(finished)
    assert isinstance(error, DecoderCrashed)
    assert "SIGSEGV" in str(error)


def child_error(finished: child.Finished) -> IngestError | None:
    from transforms.media.failures import broken_limit

    return broken_limit(finished, Limits())


def test_a_decoder_inherits_no_secrets_and_writes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    source = _some_file(tmp_path)
    tell = ["/bin/sh", "-c", "env; ls /proc/self/fd; ulimit -c; ulimit -f; ulimit -n"]
    told = bytes(child.run_child(lambda _: tell, pipes=1, source=source, limits=Limits()).outputs[0]).decode()
    assert "secret" not in told
    assert told.endswith("0\n0\n64\n")
    write = ["/bin/sh", "-c", f"echo words > {tmp_path}/written"]
    finished = child.run_child(lambda _: write, pipes=1, source=source, limits=Limits())
    assert finished.returncode != 0
    assert not (tmp_path / "written").exists() or (tmp_path / "written").stat().st_size == 0


def test_the_sandbox_is_tried_and_not_believed():
    level = versions.sandbox_level().split("+")
    assert "limits" in level
    assert ("no-network" in level) == bool(child.without_network())
    assert versions.ffmpeg_version()


@pytest.mark.parametrize(
    "name",
    [
        "with spaces.mp4",
        "quote'and\"quote.mp4",
        "new\nline.mp4",
        b"not-utf8-\xff\xfe.mp4",
        "-dash.mp4",
        "-i",
        "http:__host:80.mp4",
        "concat:a|b.mp4",
        "frame%03d.mp4",
        "glob*?[x]{a,b}.mp4",
        "$(echo x) `x`; x.mp4",
        "back\\slash.mp4",
        "no suffix",
    ],
)
def test_any_name_is_only_a_name(tmp_path: Path, name: str | bytes):
    made = media.colour_video(tmp_path / "made.mp4", [("blue", 1)])
    path = made.rename(tmp_path / os.fsdecode(name))
    assert media.nearest_colour(pixels_of(path)[0]) == "blue"


def test_a_picture_with_a_patterns_name_is_one_picture(tmp_path: Path):
    media.still_picture(tmp_path / "frame001.png", "red")
    path = media.still_picture(tmp_path / "made.png", "blue").rename(tmp_path / "frame%03d.png")
    assert media.nearest_colour(pixels_of(path)[0]) == "blue"


def test_a_relative_name_is_found_from_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    media.colour_video(tmp_path / "-film.mp4", [("blue", 1)])
    monkeypatch.chdir(tmp_path)
    assert len(pixels_of(Path("-film.mp4"))) == 1


def test_a_link_to_a_film_is_followed(tmp_path: Path):
    media.colour_video(tmp_path / "film.mp4", [("blue", 1)])
    (tmp_path / "link.mp4").symlink_to("film.mp4")
    assert len(pixels_of(tmp_path / "link.mp4")) == 1


def test_only_regular_files_are_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "device.mp4").symlink_to("/dev/zero")
    for name in ("pipe.mp4", "folder.mp4", "device.mp4"):
        with pytest.raises(UnreadableVideo, match="only regular files"):
            probe(tmp_path / name)
    with pytest.raises(UnreadableVideo, match="no such file"):
        probe(tmp_path / "missing.mp4")


def test_messages_do_not_tell_where_things_lie(tmp_path: Path):
    whole = media.numbered_video(tmp_path / "whole.mp4", 50)
    (tmp_path / "words.mp4").write_text("words\n" * 50)
    for path in (media.cut_off(whole, tmp_path / "cut.mp4", share=0.5), tmp_path / "words.mp4"):
        with pytest.raises(IngestError) as raised:
            probe(path)
        assert isinstance(raised.value, UnreadableVideo | NoMedia)
        message = str(raised.value)
        assert str(tmp_path) not in message
        assert "/dev/fd" not in message
        assert "0x" not in message


def test_many_threads_decode_at_once_without_mixing_their_pipes(tmp_path: Path):
    names = ("red", "green", "blue", "white")
    paths = [media.colour_video(tmp_path / f"{name}.mp4", [(name, 2)]) for name in names]
    found: dict[str, set[str]] = {}

    def look(name: str, path: Path) -> None:
        found[name] = {media.nearest_colour(frame) for _ in range(3) for frame in pixels_of(path)}

    threads = [threading.Thread(target=look, args=pair) for pair in zip(names, paths, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {name: {name} for name in names}


def _some_file_path(folder: Path) -> Path:
    path = folder / "some-file"
    path.write_bytes(b"x")
    return path


_open_files: list[int] = []


def _some_file(folder: Path) -> int:
    descriptor = os.open(_some_file_path(folder), os.O_RDONLY)
    _open_files.append(descriptor)
    return descriptor


@pytest.fixture(autouse=True)
def _close_files():
    yield
    while _open_files:
        os.close(_open_files.pop())


def _running(argument: str) -> bool:
    """Whether some process has the word among its arguments."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if argument.encode() in words and words[0].endswith(b"sleep"):
                return True
    return False
