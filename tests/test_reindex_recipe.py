"""`reindex --recipe`: what changed in the corpus meanwhile does not stop the switch."""

import json
import shutil
from itertools import product

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.cli_options import OK, USAGE
from pipelines.fsck.run import fsck
from pipelines.ingest import ingest
from pipelines.migrate import migrate, roll_back
from tests.cheap_index import CLIPS, Template, assert_equal_indexes, points, recipe_file, settings
from tests.test_ingest import render
from transforms.index.location import IndexLocation
from transforms.index.spaces import home_of, spaces_of
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


def call(*args):
    return CliRunner().invoke(app, list(map(str, args)))


@pytest.mark.parametrize("change", [{"position": 0.9}, {"choice": "uniform:2"}, {"clip": 4.0}])
def test_a_moved_video_does_not_keep_another_recipe_from_being_switched_to(tmp_path, corpus, index, change):
    other = recipe_file(tmp_path, **change)
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
    ingest(settings(tmp_path / "anew", corpus, recipe=other))
    assert_equal_indexes(index, tmp_path / "anew")


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


def test_what_was_rolled_back_is_told_with_its_cure(tmp_path, index):
    location = IndexLocation.parse(index)
    migrate(settings(index), recipe_file(tmp_path, position=0.9))
    roll_back(location, wait=False)
    (problem,) = fsck(location).problems
    assert problem.kind == "space_left_behind" and "rolled back" in problem.sentence and "--abandon" in problem.cure
    assert call("migrate", "--abandon", "--index", index).exit_code == OK
    assert fsck(location).problems == ()


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
