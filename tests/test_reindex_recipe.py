"""`reindex --recipe`: what changed in the corpus meanwhile does not stop the switch."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from itertools import product
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from pipelines.archive import check
from pipelines.cli import app
from pipelines.cli_options import OK, OUTAGE, REJECTS, USAGE
from pipelines.filling import Filling
from pipelines.fsck.run import fsck
from pipelines.ingest import ingest
from pipelines.migrate import migrate, roll_back
from pipelines.migration_checks import Check
from tests.cheap_index import CLIPS, Template, assert_equal_indexes, points, recipe_file, settings
from tests.test_ingest import render
from transforms.archive.layout import open_archive
from transforms.archive.state import read_state
from transforms.encoders import registry
from transforms.errors import Outage
from transforms.index.location import IndexLocation
from transforms.index.spaces import drop_expired, home_of, kept_until, spaces_of
from transforms.uris import uri_of_path


def films(folder):
    render(folder / "red.mp4", seconds=4)
    render(folder / "blue.mp4", colour="blue", seconds=3)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return Template(tmp_path_factory.mktemp("template"), films)


@pytest.fixture
def corpus(template):
    return template.corpus_anew()


@pytest.fixture
def index(tmp_path, template, corpus):
    return template.index_in(tmp_path)


def spoken(index):
    """By the bytes of the video and the time: the bytes of what was made of its sound."""
    held = points(index, CLIPS, vectors=True).values()
    return {(p.payload["content"], p.payload["start_seconds"]): p.vectors["speech"].tobytes() for p in held}


def call(*args):
    return CliRunner().invoke(app, list(map(str, args)))


@pytest.mark.parametrize("change", [{"position": 0.9}, {"choice": "uniform:2"}, {"clip": 4.0}])
def test_of_a_moved_video_another_recipe_makes_what_changes_and_no_more(tmp_path, corpus, index, change, monkeypatch):
    other = recipe_file(tmp_path, **change)
    before = spoken(index)
    loaded = Mock(wraps=registry.loaded)
    monkeypatch.setattr("transforms.encode.loaded", loaded)
    (corpus / "blue.mp4").rename(corpus / "azure.mp4")
    shutil.copy(corpus / "red.mp4", corpus / "copy of red.mp4")
    planned = json.loads(call("plan", corpus, "--index", index, "--recipe", other, "--json").stdout)
    assert planned["must_decode"] == (0 if "position" in change else 2)
    done = call("reindex", corpus, "--index", index, "--recipe", other, "--json")
    assert done.exit_code == OK, done.output
    summary = json.loads(done.stdout)
    found = ("indexed", "unchanged", "moved", "deferred", "rejected")
    assert summary["videos_found"] == sum(summary[f"videos_{name}"] for name in found) == 3
    assert home_of(IndexLocation.parse(index)).space.startswith("spaces/")
    held = {point.payload["uri"] for point in points(index, CLIPS).values()}
    assert held == {uri_of_path(path) for path in corpus.iterdir()}
    if "clip" not in change:
        names = {call.args[0].partition(":")[0] for call in loaded.call_args_list}
        assert names == ({"conse"} if "choice" in change else set())
        assert spoken(index) == before  # not one of them was made again
    ingest(settings(tmp_path / "anew", corpus, recipe=other))
    assert_equal_indexes(index, tmp_path / "anew")


def test_an_archive_holds_nothing_of_a_recipe_before_it_is_switched_to(tmp_path, corpus, index, monkeypatch):
    archive, other = tmp_path / "archive", recipe_file(tmp_path, position=0.9)
    given = ("reindex", corpus, "--index", index, "--archive", archive)
    with monkeypatch.context() as failing:
        failing.setattr(Filling, "checks", Mock(return_value=[Check("count", False, "two are missing")]))
        refused = call(*given, "--recipe", other)
    assert refused.exit_code == REJECTS and "two are missing" in refused.stderr
    assert read_state(open_archive(archive)).videos == {}
    with monkeypatch.context() as dying:  # between the switch and the archive
        dying.setattr("pipelines.archive.follow", Mock(side_effect=Outage("killed")))
        assert call(*given, "--recipe", other).exit_code == OUTAGE
    assert home_of(IndexLocation.parse(index)).space and read_state(open_archive(archive)).videos == {}
    assert call(*given, "--recipe", other).exit_code == OK
    assert not check(archive, IndexLocation.parse(index)) and len(read_state(open_archive(archive)).videos) == 2


def test_an_archive_of_the_recipe_before_is_refused_before_anything_is_filled(tmp_path, corpus, index):
    archive = tmp_path / "archive"
    assert call("reindex", corpus, "--index", index, "--archive", archive).exit_code == OK
    refused = call(
        "reindex", corpus, "--index", index, "--archive", archive, "--recipe", recipe_file(tmp_path, position=0.9)
    )
    assert refused.exit_code == USAGE and "the archive was made by recipe" in refused.stderr
    assert spaces_of(IndexLocation.parse(index)) == ("",)


def test_fsck_names_the_other_recipe_of_an_archive_and_no_video(tmp_path, corpus, index):
    archive = tmp_path / "archive"
    assert call("export", archive, "--index", index).exit_code == OK
    migrate(settings(index), recipe_file(tmp_path, position=0.9))
    report = fsck(IndexLocation.parse(index), archive=archive)
    assert [problem.kind for problem in report.problems] == ["archive_of_other_recipe"]
    assert "another folder" in report.problems[0].cure


def test_what_was_rolled_back_is_kept_for_its_time_and_no_problem(tmp_path, index, monkeypatch):
    location = IndexLocation.parse(index)
    done = migrate(settings(index), recipe_file(tmp_path, position=0.9))
    roll_back(location, wait=False)
    checked = call("fsck", "--index", index, "--json")
    report = json.loads(checked.stdout)
    assert checked.exit_code == OK and report["problems"] == []
    (note,) = report["notes"]
    assert kept_until(location) == {done.space: done.keep_until} and drop_expired(location) == ()
    assert f"kept until {done.keep_until}" in note and "--abandon" in note and done.space in note
    with monkeypatch.context() as broken:  # filled again, and not switched to: an unfinished migration
        broken.setattr(Filling, "switch", Mock(side_effect=Outage("the disk is gone")))
        with pytest.raises(Outage):
            migrate(settings(index), recipe_file(tmp_path, position=0.9))
    (problem,) = fsck(location).problems
    assert problem.kind == "space_left_behind" and "not finished" in problem.sentence and "--abandon" in problem.cure
    assert kept_until(location) == {} and drop_expired(location, now=datetime.now(UTC) + timedelta(days=9)) == ()
    assert call("migrate", "--abandon", "--index", index).exit_code == OK
    assert fsck(location).notes == fsck(location).problems == ()


def test_going_back_is_no_dry_run(tmp_path, index):
    migrate(settings(index), recipe_file(tmp_path, position=0.9))
    before = home_of(IndexLocation.parse(index))
    for action, option in product(("--rollback", "--abandon"), ("--dry-run", "--force")):
        refused = call("migrate", "--index", index, action, option)
        assert refused.exit_code == USAGE and "belong to --recipe" in refused.stderr
        assert home_of(IndexLocation.parse(index)) == before


def test_a_wrong_path_leaves_no_folder_behind(tmp_path):
    assert call("migrate", "--index", tmp_path / "nowhere", "--abandon").exit_code == USAGE
    assert not (tmp_path / "nowhere").exists()


def test_days_that_are_none_are_refused_before_anything_is_filled(tmp_path, index):
    other = recipe_file(tmp_path, position=0.9)
    for days in ("-1", "1e12", "nan"):
        refused = call("migrate", "--index", index, "--recipe", other, "--keep-days", days)
        assert refused.exit_code == USAGE and "--keep-days" in refused.stderr
        assert spaces_of(IndexLocation.parse(index)) == ("",)


def test_a_plan_names_the_setting_that_is_wrong(corpus, index, monkeypatch):
    monkeypatch.setenv("REELVEC_MAX_VIDEOS", "-1")
    refused = call("plan", corpus, "--index", index)
    assert refused.exit_code == USAGE and "--max-videos" in refused.stderr


def test_the_next_run_deletes_the_vectors_before_once_their_time_is_over(tmp_path, corpus, index):
    location = IndexLocation.parse(index)
    migrate(settings(index), recipe_file(tmp_path, position=0.9), keep_days=1)
    ingest(settings(index, corpus))
    assert len(spaces_of(location)) == 2
    migrate(settings(index), recipe_file(tmp_path, position=0.7), keep_days=0)
    call("migrate", "--index", index, "--abandon")
    assert len(spaces_of(location)) == 2
    ingest(settings(index, corpus))
    assert spaces_of(location) == (home_of(location).space,)
    assert fsck(location).problems == ()
