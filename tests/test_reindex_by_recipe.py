"""`reindex --recipe`: one run that brings over what did not change, embeds the rest, and switches when all is there."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.cli_options import OK, OUTAGE
from pipelines.ingest import ingest
from tests.cheap_index import CLIPS, Template, assert_equal_indexes, points, recipe_file, settings
from tests.test_ingest import render
from transforms.index.location import IndexLocation
from transforms.index.open import read_schema
from transforms.index.spaces import left_behind, spaces_of


def films(folder):
    render(folder / "red.mp4", seconds=5)
    render(folder / "blue.mp4", colour="blue", seconds=3)
    render(folder / "green.mp4", colour="green", seconds=3, sound=False)
    (folder / "broken.mp4").write_bytes(b"\x00" * 3000)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return Template(tmp_path_factory.mktemp("template"), films)


@pytest.fixture
def corpus(template):
    return template.corpus_anew()


@pytest.fixture
def index(tmp_path, template, corpus):
    return template.index_in(tmp_path)


def reindex(corpus, index, *more):
    given = ["reindex", str(corpus), "--index", str(index), "--json", "--max-delete", "100%", *map(str, more)]
    return CliRunner().invoke(app, given)


def recipe_of(index):
    return read_schema(IndexLocation.parse(index)).recipe


@pytest.mark.parametrize("choice", ["every:1s", "uniform:1"])
def test_changes_of_recipe_and_corpus_are_one_run(tmp_path, corpus, index, choice):
    (corpus / "blue.mp4").unlink()
    render(corpus / "green.mp4", colour="white", seconds=4)
    render(corpus / "new.mp4", colour="yellow", seconds=3)
    (corpus / "red.mp4").rename(corpus / "moved.mp4")
    shutil.copy(corpus / "moved.mp4", corpus / "copy.mp4")
    other = recipe_file(tmp_path, choice=choice, position=0.9)
    done = reindex(corpus, index, "--recipe", other)
    assert done.exit_code == OK, done.stderr
    summary = json.loads(done.stdout)
    moved = 1 if choice == "every:1s" else 0  # what has to be decoded is decoded where it is now
    assert (summary["videos_found"], summary["videos_moved"]) == (5, moved)
    ingest(settings(tmp_path / "anew", corpus, recipe=other))
    assert_equal_indexes(index, tmp_path / "anew")


def test_nothing_is_embedded_in_full_before_the_budget_allowed_all_to_be_brought_over(tmp_path, corpus, index):
    before, other = recipe_of(index), recipe_file(tmp_path, choice="uniform:1")
    render(corpus / "new.mp4", colour="yellow", seconds=3)
    for left in (3, 2):
        done = reindex(corpus, index, "--recipe", other, "--max-videos", 1)
        assert done.exit_code == OK and recipe_of(index) == before
        assert json.loads(done.stdout)["videos_deferred"] == left
    assert left_behind(IndexLocation.parse(index)) != ()
    assert {point.payload["recipe"] for point in points(index, CLIPS).values()} == {before}
    assert reindex(corpus, index, "--recipe", other).exit_code == OK
    assert recipe_of(index) != before and left_behind(IndexLocation.parse(index)) == ()
    ingest(settings(tmp_path / "anew", corpus, recipe=other))
    assert_equal_indexes(index, tmp_path / "anew")


@pytest.mark.parametrize("choice", ["every:1s", "uniform:1"])
def test_metadata_that_was_edited_meanwhile_reaches_the_clips(tmp_path, corpus, choice):
    manifest, index = tmp_path / "list.csv", str(tmp_path / "index")
    manifest.write_text(f"uri,title\n{corpus / 'red.mp4'},first\n")
    ingest(settings(index, manifest=manifest, recipe=recipe_file(tmp_path)))
    manifest.write_text(f"uri,title\n{corpus / 'red.mp4'},second\n")
    other = recipe_file(tmp_path, choice=choice, position=0.9)
    given = ["reindex", "--manifest", str(manifest), "--index", index, "--recipe", other]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == OK, done.stderr
    held = points(index, CLIPS).values()
    assert held and {point.payload["metadata"]["title"] for point in held} == {"second"}


def test_the_recipe_of_the_index_needs_no_other_space(tmp_path, corpus, index):
    assert reindex(corpus, index, "--recipe", recipe_file(tmp_path)).exit_code == OK
    assert spaces_of(IndexLocation.parse(index)) == ("",)


def test_an_empty_root_stops_a_change_of_recipe_too(tmp_path, corpus, index):
    before = recipe_of(index)
    for path in corpus.iterdir():
        path.unlink()
    given = ["reindex", str(corpus), "--index", index, "--recipe", recipe_file(tmp_path, position=0.9)]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == OUTAGE and "mounted" in done.stderr
    assert recipe_of(index) == before
