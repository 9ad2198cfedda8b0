"""The archive that runs keep: true after each run, also after one that was killed before it wrote it."""

import shutil

import pytest

from pipelines.archive import check, compact_archive, import_archive
from pipelines.status import forget
from tests.test_archive import exactly, plain
from tests.test_ingest import Box, render
from transforms.archive.append import LIVE_POINTS
from transforms.archive.layout import open_archive
from transforms.archive.state import archive_problems, read_state
from transforms.errors import RecipeMismatch, UsageError
from transforms.index.ledger import read_entries
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader


@pytest.fixture
def box(tmp_path):
    made = Box(tmp_path)
    made.corpus.mkdir()
    return made


def contents(location):
    reader = open_reader(location)
    try:
        points = {point.id: point for point in reader.scroll(LIVE_POINTS, vectors=True)}
        return exactly(points), plain(read_entries(reader))
    finally:
        reader.close()


def test_every_run_leaves_an_archive_that_gives_the_index_back(box, tmp_path):
    archive = tmp_path / "archive"
    first, second = render(box.corpus / "a.mp4"), render(box.corpus / "b.mp4", colour="blue", seconds=3)
    box.run(archive=archive)
    assert not check(archive, box.location)
    box.run(archive=archive)
    assert read_state(open_archive(archive)).runs == (1,)  # nothing changed, nothing was added
    first.rename(box.corpus / "moved.mp4")
    second.unlink()
    (box.corpus / "broken.mp4").write_bytes(b"no video at all, whatever its name says")
    box.run(archive=archive)
    assert not check(archive, box.location)
    shutil.rmtree(archive / "ledger" / "run=000002")  # as if killed in the middle of writing
    assert {kind for kind, _, _ in check(archive, box.location)} >= {"archive-unfinished", "archive-missing"}
    box.run(archive=archive)  # its plan is empty, and yet it mends
    assert not check(archive, box.location)
    forget(box.location, str(box.corpus / "moved.mp4"))
    box.run(archive=archive)
    compact_archive(archive)
    other = IndexLocation.parse(str(tmp_path / "other"))
    import_archive(archive, other, wait=False)
    assert contents(other) == contents(box.location)


def test_an_archive_that_cannot_be_kept_stops_the_run_before_it_starts(box, tmp_path):
    render(box.corpus / "a.mp4")
    with pytest.raises(UsageError, match="no archive and not empty"):
        box.run(archive=box.corpus)
    archive = tmp_path / "archive"
    box.run(archive=archive)
    with pytest.raises(UsageError, match="of another index"):
        box.run(archive=archive, index=str(tmp_path / "second"))
    with pytest.raises(RecipeMismatch, match="name another archive"):
        box.run(archive=archive, index=str(tmp_path / "third"), clip_seconds=4.0)
    assert not archive_problems(archive)
