"""S3 against moto, Google's store against its emulator: listing, versions, fetching, and what goes wrong."""

import base64
import io
import os
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bucket_servers import gcs_server, s3_server
from transforms.errors import SourceUnavailable, UsageError, VideoChanged
from transforms.records import VideoRef
from transforms.remote.clients import forget_clients, use_options
from transforms.remote.fetch import Arriving, held
from transforms.remote.settings import RemoteSettings
from transforms.remote.store import Broken, Found, store_of
from transforms.source import Listing, Root, list_videos

DATA = os.urandom(2**20 + 3)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    with s3_server(monkeypatch) as client:
        client.create_bucket(Bucket="films")  # type: ignore[attr-defined]
        yield client


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    with gcs_server(monkeypatch) as client:
        yield client.create_bucket("films")  # type: ignore[attr-defined]


@pytest.fixture
def settings(tmp_path: Path) -> RemoteSettings:
    return RemoteSettings(cache=str(tmp_path / "cache"), first_pause_seconds=0.01, min_free_bytes=0)


class Bucket:
    """One bucket of either cloud, so that one claim is made of both."""

    def __init__(self, scheme: str, client: object) -> None:
        self.scheme, self.client = scheme, client

    def put(self, key: str, data: bytes = b"x") -> str:
        if self.scheme == "s3":
            self.client.put_object(Bucket="films", Key=key, Body=data)  # type: ignore[attr-defined]
        else:
            self.client.blob(key).upload_from_string(data)  # type: ignore[attr-defined]
        return f"{self.scheme}://films/{key}"


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    return Bucket(request.param, request.getfixturevalue({"s3": "s3", "gs": "gcs"}[request.param]))


def keys(listing: Listing) -> list[str]:
    return [video.uri.split("//films/")[1] for video in listing.videos]


def fetched(video: VideoRef, settings: RemoteSettings) -> bytes:
    with held(video, settings) as copy:
        return copy.path.read_bytes()


def test_a_bucket_a_prefix_a_glob_and_an_object_are_listed(bucket: Bucket) -> None:
    for key in ("a.mp4", "cam1/b.mp4", "cam1/deep/c.mkv", "cam2/d.mp4", "cam1/notes.txt", "cam1/.hidden.mp4", "camx"):
        bucket.put(key)
    base = f"{bucket.scheme}://films"
    assert keys(list_videos([base])) == ["a.mp4", "cam1/b.mp4", "cam1/deep/c.mkv", "cam2/d.mp4"]
    below = list_videos([f"{base}/cam1"])
    assert keys(below) == keys(list_videos([f"{base}/cam1/"])) == ["cam1/b.mp4", "cam1/deep/c.mkv"]
    assert (below.skipped_count, below.roots[0].listed) == (1, 3)
    assert keys(list_videos([f"{base}/cam*/*.mp4"])) == ["cam1/b.mp4", "cam2/d.mp4"]
    assert keys(list_videos([f"{base}/**/c.*"])) == ["cam1/deep/c.mkv"]
    (named,) = list_videos([f"{base}/camx"]).videos
    assert (named.expected, named.origin) == (True, "")


def test_keys_are_spelled_as_they_are_and_are_found_again_by_their_own_uri(bucket: Bucket) -> None:
    odd = ["50% off.mp4", "a b.mp4", "q?mark.mp4", "take[1].mp4", "ü#1.mp4", "a//b.mp4"]
    uris = [bucket.put(key) for key in odd]
    listing = list_videos([f"{bucket.scheme}://films"])
    assert sorted(keys(listing)) == sorted(odd)
    (root,) = listing.roots
    for uri in uris:
        assert [video.uri for video in list_videos([uri]).videos] == [uri]
        assert root.covers(uri, root.uri)


def test_a_listing_says_what_it_would_have_shown(bucket: Bucket) -> None:
    bucket.put("cam1/a.mp4")
    base = f"{bucket.scheme}://films"
    (glob,) = list_videos([f"{base}/cam*/*.mp4"]).roots
    assert glob.covers(f"{base}/cam2/gone.mp4", "")
    assert not glob.covers(f"{base}/other/gone.mp4", "")
    (prefix,) = list_videos([f"{base}/cam1"]).roots
    assert prefix.covers(f"{base}/cam1/deep/gone.mp4", "")
    assert not prefix.covers(f"{base}/cam10/gone.mp4", "")


def test_an_object_that_is_written_again_with_other_bytes_has_another_version(bucket: Bucket) -> None:
    bucket.put("a.mp4", b"one")
    first, same = (list_videos([f"{bucket.scheme}://films"]).videos[0].version for _ in range(2))
    bucket.put("a.mp4", b"two")
    assert first == same != list_videos([f"{bucket.scheme}://films"]).videos[0].version


def test_an_object_is_fetched_once_and_whole(bucket: Bucket, settings: RemoteSettings) -> None:
    (video,) = list_videos([bucket.put("a.mp4", DATA)]).videos
    assert fetched(video, settings) == DATA == fetched(video, settings)


def test_a_fetch_goes_on_where_a_killed_one_stopped(bucket: Bucket, settings: RemoteSettings) -> None:
    from transforms.remote.cache import Cache

    (video,) = list_videos([bucket.put("a.mp4", DATA)]).videos
    cache = Cache(settings)
    with cache.locked(video, alone=True):
        cache.part(video).write_bytes(DATA[: 2**20])
    assert fetched(video, settings) == DATA


def test_bytes_that_are_not_those_of_the_store_are_fetched_again(bucket: Bucket, settings: RemoteSettings) -> None:
    from transforms.remote.cache import Cache

    (video,) = list_videos([bucket.put("a.mp4", DATA)]).videos
    cache = Cache(settings)
    with cache.locked(video, alone=True):
        cache.part(video).write_bytes(b"\0" * 2**20)
    assert fetched(video, settings) == DATA


def test_an_object_that_changed_or_vanished_since_the_listing_is_left_to_the_next_run(
    bucket: Bucket, settings: RemoteSettings
) -> None:
    (video,) = list_videos([bucket.put("a.mp4", DATA)]).videos
    bucket.put("a.mp4", DATA[::-1])
    with pytest.raises(VideoChanged):
        fetched(video, settings)
    with pytest.raises(VideoChanged):
        fetched(replace(video, uri=f"{bucket.scheme}://films/gone.mp4"), settings)


def test_nothing_to_read_is_said_at_once(bucket: Bucket) -> None:
    with pytest.raises(UsageError, match="nothing to read"):
        list_videos([f"{bucket.scheme}://films/none"])
    with pytest.raises(UsageError, match="no such bucket"):
        list_videos([f"{bucket.scheme}://surely-no-such-bucket/x"])


def test_an_upload_in_parts_has_no_md5_and_is_fetched_all_the_same(s3, settings: RemoteSettings) -> None:
    part = os.urandom(5 * 2**20)
    upload = s3.create_multipart_upload(Bucket="films", Key="big.mp4")["UploadId"]
    etags = [
        s3.upload_part(Bucket="films", Key="big.mp4", UploadId=upload, PartNumber=number, Body=data)["ETag"]
        for number, data in ((1, part), (2, b"end"))
    ]
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
    s3.complete_multipart_upload(Bucket="films", Key="big.mp4", UploadId=upload, MultipartUpload={"Parts": parts})
    (video,) = list_videos(["s3://films/big.mp4"]).videos
    assert video.version.endswith("-2")
    assert fetched(video, settings) == part + b"end"


def test_several_thousand_objects_are_listed_over_several_pages(s3) -> None:
    from moto.s3.models import s3_backends

    store = next(iter(s3_backends.values()))["aws"]
    for number in range(2300):
        store.put_object("films", f"{number:05}.mp4", b"x")
    pages = list(store_of("s3://films", RemoteSettings()).pages("s3://films/"))
    assert [len(page) for page in pages] == [1000, 1000, 300]
    assert len(list_videos(["s3://films"]).videos) == 2300


class FakePages:
    """A bucket with very many names, one in a thousand of them a video; it breaks off where it is told to."""

    def __init__(self, pages: int, breaks_at: int | None = None) -> None:
        self._pages, self._breaks_at = pages, breaks_at

    def look(self, uri: str) -> None:
        return None

    def pages(self, prefix: str) -> Iterator[list[Found]]:
        for page in range(self._pages):
            if page == self._breaks_at:
                raise Broken("the store answers 503")
            yield [
                Found(f"{prefix}{page:05}/{number:04}.{'mp4' if not number else 'json'}", 10, f"etag:{page}-{number}")
                for number in range(1000)
            ]


def test_a_million_names_take_no_more_memory_than_the_videos_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def peak_bytes(pages: int) -> int:
        monkeypatch.setattr("transforms.source.store_of", lambda uri, settings: FakePages(pages))
        tracemalloc.start()
        try:
            listing = list_videos(["s3://huge"])
            assert (len(listing.videos), listing.skipped_count) == (pages, pages * 999)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, more = peak_bytes(4), peak_bytes(24)
    assert more < few + 20 * 1000  # 20 videos more, at most 1 kB each; the 20,000 names with them would take 2 MB


def test_a_listing_that_breaks_off_is_no_deletion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.source.store_of", lambda uri, settings: FakePages(4, breaks_at=2))
    listing = list_videos(["s3://huge/films"])
    (root,) = listing.roots
    assert (root.ok, root.listed, len(listing.videos)) == (False, 2000, 2)
    assert "nothing of it is removed" in listing.problems[0]
    assert not root.covers("s3://huge/films/00003/0000.mp4", root.uri)
    monkeypatch.setattr("transforms.source.store_of", lambda uri, settings: FakePages(4, breaks_at=0))
    with pytest.raises(SourceUnavailable, match="503"):
        list_videos(["s3://huge/films"])


def test_a_store_that_does_not_answer_is_an_outage(s3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.remote.tries.LONGEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    forget_clients()
    with pytest.raises(SourceUnavailable, match="does not answer"):
        list_videos(["s3://films/x/"])


def test_the_options_of_a_pipeline_say_where_the_store_is(s3, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put_object(Bucket="films", Key="a.mp4", Body=b"x")
    endpoint = os.environ["AWS_ENDPOINT_URL_S3"]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    use_options([f"--s3_endpoint_url={endpoint}"])
    try:
        assert len(list_videos(["s3://films"]).videos) == 1
    finally:
        use_options([])


def test_missing_credentials_are_said_with_their_cure(s3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    forget_clients()
    with pytest.raises(UsageError, match="AWS_ACCESS_KEY_ID"):
        list_videos(["s3://films"])


def test_a_root_of_a_bucket_names_its_glob_as_it_is_written() -> None:
    assert Root("s3://films/50% off", "*.mp4").origin == "s3://films/50% off/*.mp4"


def test_the_md5_is_the_version_where_google_has_one(gcs) -> None:
    blob = gcs.blob("a.mp4")
    blob.upload_from_string(DATA)
    assert base64.b64decode(blob.md5_hash).hex() == list_videos(["gs://films"]).videos[0].version.removeprefix("md5:")


def composed(gcs: Any, key: str = "a.mp4") -> VideoRef:
    """An object in two parts, of which Google knows the CRC32C and no MD5, as it is listed."""
    parts = [gcs.blob(f"part{number}") for number in (1, 2)]
    for part, data in zip(parts, (DATA[:1000], DATA[1000:]), strict=True):
        part.upload_from_string(data)
    gcs.blob(key).compose(parts)
    (video,) = list_videos([f"gs://films/{key}"]).videos
    return video


def test_a_generation_is_the_version_where_google_has_no_md5(gcs) -> None:
    first, again = composed(gcs), composed(gcs)
    kept = gcs.get_blob("a.mp4")
    assert kept.md5_hash is None
    assert again.version == f"generation:{kept.generation}" != first.version
    assert list_videos(["gs://films"]).videos == (replace(again, origin="gs://films"),)


def test_an_object_without_an_md5_is_checked_by_its_crc32c(gcs, settings: RemoteSettings) -> None:
    from transforms.remote.cache import Cache

    video, cache = composed(gcs), Cache(settings)
    with cache.locked(video, alone=True):
        cache.part(video).write_bytes(b"\0" * 2**20)  # what a killed fetch left is damaged
    assert fetched(video, settings) == DATA


def test_bytes_that_stay_other_than_their_crc32c_are_told_and_kept_out(gcs, settings: RemoteSettings) -> None:
    video = composed(gcs)
    other = base64.b64encode(bytes(4)).decode()
    blob = gcs.get_blob("a.mp4")
    blob._patch_property("crc32c", other)
    blob.patch()
    with pytest.raises(SourceUnavailable, match=r"the bytes came damaged: crc32c [0-9a-f]{8}, the store has 00000000"):
        fetched(video, settings)


def test_an_object_that_is_replaced_between_the_look_and_the_download_is_left_to_the_next_run(gcs) -> None:
    video = composed(gcs)

    class Replacing(Arriving):
        def begins_at(self, offset: int) -> None:
            super().begins_at(offset)
            gcs.blob("a.mp4").upload_from_string(DATA[::-1])

    into = Replacing(io.BytesIO(), video)
    with pytest.raises(VideoChanged, match="changed while it was fetched"):
        store_of(video.uri, RemoteSettings()).bring(video, 0, into)
    assert into.size_bytes == 0
