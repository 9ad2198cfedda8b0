"""Listing a corpus: files, folders, globs, manifests, and what a listing says about what is gone."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.errors import UsageError
from transforms.records import LedgerEntry
from transforms.source import Listing, list_videos
from transforms.uris import path_of_uri, uri_of_path
from transforms.walk import INDEX_MARK

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "
TEXT = b"A letter, and surely no film.\n"


def write(path: Path, content: bytes = WAV) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def listed(listing: Listing, base: Path) -> list[str]:
    return [os.path.relpath(path_of_uri(video.uri), base) for video in listing.videos]


def covered(listing: Listing, path: Path, origin: str = "") -> bool:
    return any(root.covers(uri_of_path(path), origin) for root in listing.roots)


def test_a_folder_is_listed_with_all_that_lies_below_sorted_and_each_file_once(tmp_path: Path) -> None:
    for name in ("b.mp4", "a/deep/down/c.MKV", "a/x.mp4"):
        write(tmp_path / name)
    listing = list_videos([str(tmp_path), str(tmp_path / "a"), str(tmp_path / "b.mp4")])
    assert listed(listing, tmp_path) == ["a/deep/down/c.MKV", "a/x.mp4", "b.mp4"]
    assert all(video.size_bytes == len(WAV) for video in listing.videos)
    assert [video.version for video in listing.videos] == [
        str(path_of_uri(video.uri).stat().st_mtime_ns) for video in listing.videos
    ]


def test_a_file_named_one_by_one_has_no_origin_and_makes_no_root(tmp_path: Path) -> None:
    video = write(tmp_path / "a.mp4")
    alone = list_videos([str(video)])
    assert (alone.videos[0].origin, alone.roots) == ("", ())
    within = list_videos([str(tmp_path)])
    assert within.videos[0].origin == uri_of_path(tmp_path)
    both = list_videos([str(tmp_path), str(video)])
    assert both.videos[0].origin == ""


def test_what_a_file_is_shows_inside_and_only_a_promise_makes_it_expected(tmp_path: Path) -> None:
    write(tmp_path / "film.mp4", TEXT)
    write(tmp_path / "sound", WAV)
    letter = write(tmp_path / "letter.doc", TEXT)
    listing = list_videos([str(tmp_path)])
    expected = {os.path.basename(path_of_uri(video.uri)): video.expected for video in listing.videos}
    assert expected == {"film.mp4": True, "sound": False}
    assert listing.skipped == (uri_of_path(letter),)
    named = list_videos([str(tmp_path), str(letter)])
    assert [video.expected for video in named.videos if "letter" in video.uri] == [True]
    assert named.skipped == ()


def test_a_file_that_is_known_and_unchanged_is_not_opened(tmp_path: Path) -> None:
    letter = write(tmp_path / "letter", TEXT)
    uri = uri_of_path(letter)
    entry = LedgerEntry(uri, len(TEXT), str(letter.stat().st_mtime_ns), "committed")
    known = list_videos([str(tmp_path)], known={uri: entry})
    assert listed(known, tmp_path) == ["letter"]
    changed = list_videos([str(tmp_path)], known={uri: replace(entry, size_bytes=1)})
    assert listed(changed, tmp_path) == []


@pytest.mark.parametrize(
    "name",
    [b"with space.mp4", b"q'uo\"te.mp4", b"new\nline.mp4", b"not-utf8-\xff\xfe.mp4", b"-dash.mp4", b"50%25#?.mp4"],
)
def test_any_file_name_finds_its_way_back(tmp_path: Path, name: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "wb") as file:
        file.write(WAV)
    (in_folder,) = list_videos([str(tmp_path)]).videos
    monkeypatch.chdir(tmp_path)
    (by_name,) = list_videos([os.fsdecode(name)]).videos
    (by_uri,) = list_videos([in_folder.uri]).videos
    assert in_folder.uri == by_name.uri == by_uri.uri
    assert os.fsencode(path_of_uri(in_folder.uri)) == path


def test_names_that_begin_with_a_dot_are_left_out_unless_named(tmp_path: Path) -> None:
    write(tmp_path / ".trash" / "a.mp4")
    hidden = write(tmp_path / "._b.mp4")
    write(tmp_path / "c.mp4")
    listing = list_videos([str(tmp_path)])
    assert listed(listing, tmp_path) == ["c.mp4"]
    assert listed(list_videos([str(hidden)]), tmp_path) == ["._b.mp4"]
    assert not covered(listing, hidden)  # named in an earlier run: this listing says nothing about it


def test_links_to_files_and_folders_are_followed_but_never_in_a_circle(tmp_path: Path) -> None:
    corpus, elsewhere = tmp_path / "corpus", tmp_path / "elsewhere"
    write(corpus / "sub" / "a.mp4")
    write(elsewhere / "b.mp4")
    (corpus / "link.mp4").symlink_to(elsewhere / "b.mp4")
    (corpus / "disk").symlink_to(elsewhere)
    (corpus / "sub" / "up").symlink_to(corpus)
    (corpus / "again").symlink_to(corpus / "sub")
    (elsewhere / "back").symlink_to(corpus)
    (corpus / "itself").symlink_to(corpus / "itself")
    listing = list_videos([str(corpus)])
    assert listed(listing, corpus) == ["disk/b.mp4", "link.mp4", "sub/a.mp4"]
    assert len(listing.problems) == 1
    assert "itself" in listing.problems[0]


def test_an_index_inside_the_corpus_is_not_walked_and_says_nothing_about_what_is_gone(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    write(tmp_path / "x.reelvec" / INDEX_MARK, b"{}")
    write(tmp_path / "x.reelvec" / "segment.mp4")
    ignored = write(tmp_path / "cache" / "b.mp4").parent
    listing = list_videos([str(tmp_path)], ignore=[ignored])
    assert listed(listing, tmp_path) == ["a.mp4"]
    assert not covered(listing, tmp_path / "cache" / "b.mp4")
    with pytest.raises(UsageError, match="is an index"):
        list_videos([str(tmp_path / "x.reelvec")])


@pytest.mark.parametrize(
    "source", ["missing.mp4", "missing", "missing/*.mp4", "s3://bucket/a.mp4", "file:///missing.mp4"]
)
def test_a_path_that_is_not_there_is_wrong_usage(tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"missing|bucket"):
        list_videos([source])


def test_a_socket_or_pipe_is_no_video(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert list_videos([str(tmp_path)]).videos == ()
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        list_videos([str(tmp_path / "pipe.mp4")])


def test_an_empty_folder_is_listed_and_deletes_nothing(tmp_path: Path) -> None:
    listing = list_videos([str(tmp_path)])
    assert (listing.videos, len(listing.roots), listing.problems) == ((), 1, ())
    assert not covered(listing, tmp_path / "gone.mp4")


def test_a_listed_folder_covers_what_lies_below_it_and_nothing_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "films" / "a.mp4")
    listing = list_videos([str(tmp_path / "films")])
    assert covered(listing, tmp_path / "films" / "deep" / "gone.mp4")
    assert not covered(listing, tmp_path / "films2" / "other.mp4")
    assert not covered(listing, tmp_path / "other.mp4")


GLOBS = {
    "*.mp4": ["a.mp4", "b.mp4"],
    "./a.*": ["a.mp4"],
    "*/x.mp4": ["one/x.mp4", "two/x.mp4"],
    "**/x.mp4": ["one/deep/x.mp4", "one/x.mp4", "two/x.mp4"],
    "one/**": ["one/deep/x.mp4", "one/x.mp4"],
    "o*": ["one/deep/x.mp4", "one/x.mp4"],  # a folder that matches is taken whole, as a shell's argument would be
    "[ab].mp4": ["a.mp4", "b.mp4"],
    "no*": [],
}


@pytest.mark.parametrize(("pattern", "found"), GLOBS.items())
def test_a_glob_that_the_shell_left_alone_finds_what_it_means(
    tmp_path: Path, pattern: str, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "b.mp4", "one/x.mp4", "two/x.mp4", "one/deep/x.mp4", ".hidden.mp4"):
        write(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    listing = list_videos([pattern])
    assert listed(listing, tmp_path) == found
    assert bool(listing.problems) == (not found)
    assert listed(list_videos([str(tmp_path / pattern)]), tmp_path) == found


def test_a_glob_covers_what_it_would_have_found(tmp_path: Path) -> None:
    write(tmp_path / "one" / "x.mp4")
    listing = list_videos([str(tmp_path / "**" / "*.mp4")])
    assert covered(listing, tmp_path / "gone.mp4")
    assert covered(listing, tmp_path / "two" / "deep" / "gone.mp4")
    assert not covered(listing, tmp_path / "one" / "gone.mkv")


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    write(tmp_path / "take[1].mp4")
    write(tmp_path / "take1.mp4")
    assert listed(list_videos([str(tmp_path / "take[1].mp4")]), tmp_path) == ["take[1].mp4"]


def _csv(path: Path) -> Path:
    return write(
        path / "list.csv",
        b'uri,title,year,code,score,empty\nfilms/a.mp4,First,1999,007,1.5,\nfilms/b.mp4,"Sec,ond",2001,12,-2,x\n',
    )


def _json_lines(path: Path) -> Path:
    rows = [
        {"uri": "films/a.mp4", "title": "First", "year": 1999, "code": "007", "score": 1.5, "empty": None},
        {"uri": "films/b.mp4", "title": "Sec,ond", "year": 2001, "code": "12", "score": -2.0, "empty": "x"},
    ]
    return write(path / "list.jsonl", "\n".join(json.dumps(row) for row in rows).encode())


def _parquet(path: Path) -> Path:
    columns = {
        "uri": ["films/a.mp4", "films/b.mp4"],
        "title": ["First", "Sec,ond"],
        "year": [1999, 2001],
        "code": ["007", "12"],
        "score": [1.5, -2.0],
        "empty": [None, "x"],
    }
    pq.write_table(pa.table(columns), path / "list.parquet")
    return path / "list.parquet"


@pytest.mark.parametrize("make", [_csv, _json_lines, _parquet])
def test_a_manifest_names_videos_relative_to_its_folder_with_their_metadata(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    for name in ("a.mp4", "b.mp4", "unnamed.mp4"):
        write(tmp_path / "films" / name, TEXT)
    manifest = make(tmp_path)
    listing = list_videos([], manifest=manifest)
    assert listed(listing, tmp_path) == ["films/a.mp4", "films/b.mp4"]
    assert listing.videos[0].metadata == (("code", "007"), ("score", 1.5), ("title", "First"), ("year", 1999))
    assert listing.videos[1].metadata == (
        ("code", "12"),
        ("empty", "x"),
        ("score", -2.0),
        ("title", "Sec,ond"),
        ("year", 2001),
    )
    assert all(video.expected and video.origin == uri_of_path(manifest) for video in listing.videos)


def test_the_metadata_of_a_manifest_reaches_videos_that_a_folder_lists_too(tmp_path: Path) -> None:
    write(tmp_path / "films" / "a.mp4")
    write(tmp_path / "films" / "b.mp4")
    manifest = write(tmp_path / "list.csv", b"uri,title\nfilms/b.mp4,Second\n")
    listing = list_videos([str(tmp_path / "films")], manifest=manifest)
    assert [video.metadata for video in listing.videos] == [(), (("title", "Second"),)]


def test_a_row_whose_file_is_missing_is_told_and_its_video_counts_as_gone(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    manifest = write(tmp_path / "list.csv", b"uri\na.mp4\ngone.mp4\n")
    listing = list_videos([], manifest=manifest)
    assert listed(listing, tmp_path) == ["a.mp4"]
    assert "row 2" in listing.problems[0]
    assert "gone.mp4" in listing.problems[0]
    assert covered(listing, tmp_path / "gone.mp4", origin=uri_of_path(manifest))
    assert not covered(listing, tmp_path / "gone.mp4", origin="")


def test_a_manifest_of_which_no_file_is_there_deletes_nothing(tmp_path: Path) -> None:
    manifest = write(tmp_path / "list.csv", b"uri\ngone.mp4\n")
    assert not covered(list_videos([], manifest=manifest), tmp_path / "gone.mp4", origin=uri_of_path(manifest))


def test_metadata_that_is_no_scalar_is_left_out_and_told(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    manifest = write(
        tmp_path / "list.jsonl", b'{"uri": "a.mp4", "tags": ["x"], "ok": true, "nan": NaN, "odd": "\\ud800"}'
    )
    listing = list_videos([], manifest=manifest)
    assert listing.videos[0].metadata == (("odd", "?"), ("ok", True))
    assert "'tags'" in listing.problems[0]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("list.csv", b"path,title\na.mp4,x\n", "path, title"),
        ("list.csv", b"uri,title\na.mp4\n", "line 2"),
        ("list.csv", b"uri,title\n,x\n", "row 1"),
        ("list.csv", b"uri,uri\na.mp4,x\n", "two columns"),
        ("list.csv", b"", 'no column "uri"'),
        ("list.jsonl", b'{"uri": "a.mp4"}\n{"uri": \n', "line 2"),
        ("list.jsonl", b'{"uri": "a.mp4"}\n[1]\n', "line 2"),
        ("list.jsonl", b'{"uri": 5}\n', "row 1"),
        ("list.parquet", b"PAR1 and then rubbish", "Parquet"),
    ],
)
def test_a_broken_manifest_is_wrong_usage_and_names_the_place(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        list_videos([], manifest=write(tmp_path / name, content))


def test_a_missing_manifest_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.csv"):
        list_videos([], manifest=tmp_path / "nothing.csv")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def listing_by_somebody_else(sources: list[str]) -> dict[str, list[str]]:
    """What a user whom permissions bind lists; `root` becomes nobody in a child process for it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            found = list_videos(sources)
            told = {"videos": [video.uri for video in found.videos], "problems": list(found.problems)}
            told["closed"] = [uri for root in found.roots for uri in root.unreadable]
            told["ok"] = [str(root.ok) for root in found.roots]
            os.write(writing, json.dumps(told).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        heard: dict[str, list[str]] = json.loads(pipe.read())
    assert os.waitpid(child, 0)[1] == 0
    return heard


@pytest.mark.skipif(sys.platform != "linux", reason="becomes another user in a forked child")
def test_a_folder_that_cannot_be_read_is_told_and_what_the_index_holds_of_it_stays(open_folder: Path) -> None:
    write(open_folder / "films" / "a.mp4")
    closed = write(open_folder / "films" / "private" / "b.mp4").parent
    closed.chmod(0o000)
    try:
        told = listing_by_somebody_else([str(open_folder / "films")])
        alone = listing_by_somebody_else([str(closed)])
    finally:
        closed.chmod(0o755)
    assert told["videos"] == [uri_of_path(open_folder / "films" / "a.mp4")]
    assert told["closed"] == [uri_of_path(closed)]
    assert "private" in told["problems"][0]
    assert told["ok"] == ["True"]
    assert alone["ok"] == ["False"]


def test_a_disk_that_is_gone_behind_a_link_deletes_nothing(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    write(corpus / "a.mp4")
    (corpus / "disk").symlink_to(tmp_path / "not mounted")
    listing = list_videos([str(corpus)])
    assert not covered(listing, corpus / "disk" / "b.mp4")
    assert covered(listing, corpus / "gone.mp4")
    assert len(listing.problems) == 1
