"""Web addresses: their identity, what may be reached, and fetching through everything that goes wrong on the way."""

import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.web_server import Served, WebServer, web_server
from transforms import interrupt
from transforms.errors import DiskFull, LimitExceeded, RemoteRefused, RemoteUnavailable, UsageError, VideoChanged
from transforms.records import VideoRef
from transforms.remote.addresses import checked_addresses
from transforms.remote.fetch import held
from transforms.remote.names import normalised, redacted
from transforms.remote.settings import RemoteSettings
from transforms.remote.store import Broken
from transforms.remote.web import Web

DATA = os.urandom(3 * 2**20 + 17)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as made:
        yield made


@pytest.fixture
def settings(tmp_path: Path) -> RemoteSettings:
    return RemoteSettings(
        cache=str(tmp_path / "cache"), allow_private_addresses=True, first_pause_seconds=0.01, min_free_bytes=0
    )


def seen(uri: str, settings: RemoteSettings) -> VideoRef:
    found = Web(settings).look(uri)
    assert found is not None
    return VideoRef(found.uri, found.size_bytes, found.version)


def fetched(video: VideoRef, settings: RemoteSettings) -> bytes:
    with held(video, settings) as copy:
        data = copy.path.read_bytes()
        assert copy.sha256 == hashlib.sha256(data).hexdigest()
        return data


@pytest.mark.parametrize(
    ("written", "identity"),
    [
        ("HTTP://Example.ORG/a.mp4", "http://example.org/a.mp4"),
        ("https://example.org:443/a b.mp4#t=3", "https://example.org/a%20b.mp4"),
        ("https://example.org:8443/%7euser/a%2fb.mp4", "https://example.org:8443/%7Euser/a%2Fb.mp4"),
        ("https://bücher.example/ä.mp4?v=1", "https://xn--bcher-kva.example/%C3%A4.mp4?v=1"),
        ("http://[2001:DB8::1]:8080/x", "http://[2001:db8::1]:8080/x"),
        ("https://example.org", "https://example.org/"),
        ("S3://bucket/dir/50% of it.mp4", "s3://bucket/dir/50% of it.mp4"),
    ],
)
def test_one_file_has_one_spelling(written: str, identity: str) -> None:
    assert normalised(written) == identity
    assert normalised(identity) == identity


@pytest.mark.parametrize(
    "address",
    [
        "https://user:secret@example.org/a.mp4",
        "https://example.org/a.mp4?X-Amz-Signature=secret&X-Amz-Date=1",
        "https://example.org/a.mp4?sv=1&sig=secret",
        "https://example.org/a.mp4?access_token=secret",
        "s3://key:secret@bucket/a.mp4",
    ],
)
def test_an_address_with_a_secret_is_refused_and_the_secret_is_not_repeated(address: str) -> None:
    with pytest.raises(UsageError) as refused:
        normalised(address)
    assert "secret" not in str(refused.value)
    assert "secret" not in redacted(address)


@pytest.mark.parametrize(
    "address", ["http://", "http://a b/", "https://example.org:99999/", "s3:///key", "http://[::1"]
)
def test_what_is_no_address_is_said_to_be_none(address: str) -> None:
    with pytest.raises(UsageError):
        normalised(address)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.1.2.3", "192.168.0.1", "172.16.9.9", "0.0.0.0", "2130706433", "0x7f.1", "::1",
     "::ffff:127.0.0.1", "fc00::1", "2002:7f00:1::", "64:ff9b::a00:1", "224.0.0.1", "100.64.0.1"],
)  # fmt: skip
def test_a_private_address_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises(RemoteRefused, match="private network"):
        checked_addresses(host, 80, allow_private=False)


@pytest.mark.parametrize("host", ["169.254.169.254", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254"])
def test_a_metadata_server_is_refused_whatever_is_allowed(host: str) -> None:
    with pytest.raises(RemoteRefused, match="metadata"):
        checked_addresses(host, 80, allow_private=True)


def test_public_addresses_are_taken_as_they_are() -> None:
    assert checked_addresses("93.184.215.14", 80, allow_private=False) == ["93.184.215.14"]


def test_a_name_that_is_not_found_may_be_found_later() -> None:
    with pytest.raises(Broken, match="not found"):
        checked_addresses("surely-no-such-host.invalid", 80, allow_private=False)


def test_this_machine_is_not_reached_unless_that_is_allowed(server: WebServer, settings: RemoteSettings) -> None:
    uri = server.serve("/a.mp4", DATA)
    with pytest.raises(RemoteRefused, match="--allow-private-addresses"):
        Web(replace(settings, allow_private_addresses=False)).look(uri)
    assert server.log == []


def test_a_redirect_to_a_private_address_is_refused_before_anything_is_asked_there(
    server: WebServer, settings: RemoteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public stands for this machine here; the redirect names the machine by its private address."""
    server.redirects["/a.mp4"] = f"{server.url}/inside"
    server.serve("/inside", DATA)
    look_up = socket.getaddrinfo
    real = {"public.example": "127.0.0.1"}

    def answered(host, *more, **options):  # type: ignore[no-untyped-def]
        return look_up(real.get(host, host), *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answered)
    monkeypatch.setattr("transforms.remote.addresses._check", _as_if_public("public.example"))
    with pytest.raises(RemoteRefused, match="private network"):
        Web(replace(settings, allow_private_addresses=False)).look(
            f"http://public.example:{server.server_address[1]}/a.mp4"
        )
    assert [asked.path for asked in server.log] == ["/a.mp4"]
    assert server.log[0].host.startswith("public.example:")


def _as_if_public(name: str):  # type: ignore[no-untyped-def]
    from transforms.remote import addresses

    check = addresses._check

    def checked(host, address, allow_private):  # type: ignore[no-untyped-def]
        if host != name:
            check(host, address, allow_private)

    return checked


def test_a_name_is_looked_up_once_and_the_checked_address_is_connected_to(
    server: WebServer, settings: RemoteSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever answers the second look-up with another address (rebinding) is never asked a second time."""
    asked: list[str] = []
    look_up = socket.getaddrinfo

    def answered(host, *more, **options):  # type: ignore[no-untyped-def]
        asked.append(str(host))
        return look_up("127.0.0.1" if host == "name.example" else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answered)
    server.serve("/a.mp4", DATA)
    assert Web(settings).look(f"http://name.example:{server.server_address[1]}/a.mp4") is not None
    assert asked.count("name.example") == 1


def secured(server: WebServer, folder: Path, name: str) -> Path:
    """Let a server speak TLS as this name; gives the certificate, which it signed itself."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed: it makes the certificate")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return certificate


def test_a_certificate_is_that_of_the_name_though_the_connection_goes_to_an_address(
    server: WebServer, settings: RemoteSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = secured(server, tmp_path, "name.example")
    look_up = socket.getaddrinfo

    def answered(host, *more, **options):  # type: ignore[no-untyped-def]
        return look_up("127.0.0.1" if str(host).endswith(".example") else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answered)
    server.serve("/a.mp4", DATA)
    port = server.server_address[1]
    with pytest.raises(RemoteRefused, match="certificate"):
        Web(settings).look(f"https://name.example:{port}/a.mp4")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetched(seen(f"https://name.example:{port}/a.mp4", settings), settings) == DATA
    with pytest.raises(RemoteRefused, match="certificate"):
        Web(settings).look(f"https://other.example:{port}/a.mp4")
    server.redirects["/down"] = f"http://name.example:{port}/a.mp4"
    with pytest.raises(RemoteRefused, match="from https to http"):
        Web(settings).look(f"https://name.example:{port}/down")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://example.org/a", "gopher://127.0.0.1/"])
def test_a_redirect_to_another_scheme_is_refused(server: WebServer, settings: RemoteSettings, target: str) -> None:
    server.redirects["/a.mp4"] = target
    with pytest.raises(RemoteRefused, match="leads elsewhere"):
        Web(settings).look(server.url + "/a.mp4")


def test_redirects_are_followed_but_not_for_ever(server: WebServer, settings: RemoteSettings) -> None:
    server.serve("/end", DATA)
    server.redirects |= {"/a.mp4": "/one", "/one": "two", "/two": server.url + "/end", "/round": "/round"}
    video = seen(server.url + "/a.mp4", settings)
    assert video.uri == server.url + "/a.mp4"
    assert fetched(video, settings) == DATA
    with pytest.raises(RemoteRefused, match="more than 5 redirects"):
        Web(settings).look(server.url + "/round")


def test_a_file_is_fetched_once_for_all_who_read_it(server: WebServer, settings: RemoteSettings) -> None:
    video = seen(server.serve("/a.mp4", DATA), settings)
    results: list[bytes] = []
    readers = [threading.Thread(target=lambda: results.append(fetched(video, settings))) for _ in range(6)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert results == [DATA] * 6
    assert server.bytes_sent() == len(DATA)


def test_a_connection_that_breaks_is_gone_on_with_where_it_broke(server: WebServer, settings: RemoteSettings) -> None:
    video = seen(server.serve("/a.mp4", DATA, breaks_after=[1_000_000, 700_000]), settings)
    assert fetched(video, settings) == DATA
    etag = video.version.removeprefix("etag:")
    asked = [(one.range, one.if_range) for one in server.gets()]
    assert asked == [(None, None), ("bytes=1000000-", etag), ("bytes=1700000-", etag)]
    assert server.bytes_sent() == len(DATA)


def test_what_a_killed_process_brought_is_gone_on_with(server: WebServer, settings: RemoteSettings) -> None:
    uri = server.serve("/a.mp4", DATA, breaks_after=[2**20])
    video = seen(uri, settings)
    with pytest.raises(RemoteUnavailable):
        fetched(video, replace(settings, tries=1))
    assert fetched(video, settings) == DATA
    assert [one.range for one in server.gets()] == [None, f"bytes={2**20}-"]


def test_without_a_strong_etag_the_time_vouches_for_a_resume_and_without_both_it_starts_again(
    server: WebServer, settings: RemoteSettings
) -> None:
    dated = seen(server.serve("/dated", DATA, etag=None, breaks_after=[2**20]), settings)
    assert dated.version.startswith("modified:")
    assert fetched(dated, settings) == DATA
    bare = seen(server.serve("/bare", DATA, etag=None, modified_seconds=None, breaks_after=[2**20]), settings)
    assert bare.version == ""
    assert fetched(bare, settings) == DATA
    ranges = {path: [one.range for one in server.gets() if one.path == path] for path in ("/dated", "/bare")}
    assert ranges == {"/dated": [None, f"bytes={2**20}-"], "/bare": [None, None]}


def test_a_server_that_knows_no_ranges_is_asked_for_all_again(server: WebServer, settings: RemoteSettings) -> None:
    video = seen(server.serve("/a.mp4", DATA, ranges=False, breaks_after=[2**20]), settings)
    assert fetched(video, settings) == DATA


def test_a_file_that_changes_in_the_middle_is_never_a_mix(server: WebServer, settings: RemoteSettings) -> None:
    other = Served(DATA[::-1])
    video = seen(server.serve("/a.mp4", DATA, breaks_after=[2**20], then=other), settings)
    with pytest.raises(VideoChanged, match="changed while it was fetched"):
        fetched(video, settings)
    assert [path.name for path in Path(settings.cache).iterdir() if not path.name.endswith(".lock")] == []
    assert fetched(seen(video.uri, settings), settings) == other.data


def test_a_file_that_grows_while_it_is_fetched_is_left_to_the_next_run(
    server: WebServer, settings: RemoteSettings
) -> None:
    grown = Served(DATA + b"more")
    video = seen(server.serve("/a.mp4", DATA, then=grown), settings)
    with pytest.raises(VideoChanged, match=f"size_bytes={len(DATA)} then {len(grown.data)}"):
        fetched(video, settings)
    assert fetched(seen(video.uri, settings), settings) == grown.data


def test_a_file_that_grew_after_it_was_listed_is_not_fetched(server: WebServer, settings: RemoteSettings) -> None:
    video = seen(server.serve("/a.mp4", DATA), settings)
    server.serve("/a.mp4", DATA + b"more", etag=None, modified_seconds=1.7e9)
    with pytest.raises(VideoChanged):
        fetched(video, settings)
    assert len(server.gets()) == 1


@pytest.mark.parametrize(
    ("status", "error", "transient", "gets"),
    [(404, VideoChanged, True, 1), (410, VideoChanged, True, 1), (403, RemoteRefused, False, 1),
     (401, RemoteRefused, False, 1), (500, RemoteUnavailable, True, 5), (503, RemoteUnavailable, True, 5)],
)  # fmt: skip
def test_what_cannot_pass_is_not_tried_again_and_what_can_is(
    server: WebServer, settings: RemoteSettings, status: int, error: type, transient: bool, gets: int
) -> None:
    video = seen(server.serve("/a.mp4", DATA, statuses=[status] * 9), settings)
    with pytest.raises(error) as failed:
        fetched(video, settings)
    assert failed.value.transient is transient
    assert len(server.gets()) == gets


def test_a_failure_that_passes_is_not_seen(server: WebServer, settings: RemoteSettings) -> None:
    video = seen(server.serve("/a.mp4", DATA, statuses=[500, 429, 503]), settings)
    assert fetched(video, settings) == DATA


def test_a_server_that_is_not_there_is_a_failure_that_may_pass(settings: RemoteSettings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = taken.getsockname()[1]
    with pytest.raises(Broken, match="no connection"):
        Web(settings).look(f"http://127.0.0.1:{closed}/a.mp4")


def test_a_server_that_keeps_silent_is_given_up(settings: RemoteSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Broken, match="did not answer"):
        Web(replace(settings, read_seconds=0.2)).look(f"http://127.0.0.1:{silent.getsockname()[1]}/a.mp4")


def test_a_size_that_only_a_ranged_get_tells_is_found(server: WebServer, settings: RemoteSettings) -> None:
    assert seen(server.serve("/a.mp4", DATA, tells_length=("GET",)), settings).size_bytes == len(DATA)
    with pytest.raises(RemoteRefused, match="how large"):
        seen(server.serve("/b.mp4", DATA, tells_length=(), ranges=False), settings)


def test_a_file_that_is_larger_than_allowed_is_not_fetched(server: WebServer, settings: RemoteSettings) -> None:
    video = seen(server.serve("/a.mp4", DATA), settings)
    with pytest.raises(LimitExceeded, match="REELVEC_REMOTE_LARGEST_MEGABYTES"):
        fetched(video, replace(settings, largest_bytes=2**20))
    assert server.gets() == []


def test_a_disk_without_room_stops_the_run_before_anything_is_fetched(
    server: WebServer, settings: RemoteSettings
) -> None:
    video = seen(server.serve("/a.mp4", DATA), settings)
    with pytest.raises(DiskFull, match="REELVEC_REMOTE_CACHE"):
        fetched(video, replace(settings, min_free_bytes=2**60))
    assert server.gets() == []
    assert fetched(video, settings) == DATA


def test_who_is_told_to_stop_leaves_the_rest_to_the_next_run(server: WebServer, settings: RemoteSettings) -> None:
    video = seen(server.serve("/a.mp4", DATA, breaks_after=[2**20]), settings)
    with pytest.raises(RemoteUnavailable):
        fetched(video, replace(settings, tries=1))
    interrupt.request()
    try:
        with pytest.raises(VideoChanged, match="told to stop"):
            fetched(video, settings)
    finally:
        interrupt.reset()
    assert fetched(video, settings) == DATA
    assert server.gets()[-1].range == f"bytes={2**20}-"
