"""Drift between indexes whose vectors are known to be the same, moved, of another space, or collapsed."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from pipelines.archive import export
from pipelines.cli import app
from pipelines.drift import MOVED, OTHER, SAME, drift_report, verdict
from pipelines.drift_sides import side_of
from tests.modality_index import beside, make_index, unit, words
from transforms.fuse import lay_out
from transforms.index.location import IndexLocation
from transforms.recipe import load_recipe

VIDEOS, CLIPS = 12, 8


RECIPE = load_recipe("offline")


def plain(video, clip):
    frame = beside(unit(1, video), 2, video, clip)
    vectors = {"frame": frame, "words": words(video, 100 + clip), "clip": lay_out({"frame": frame}, RECIPE)}
    return vectors | ({"transcript": unit(3, video, clip)} if clip % 2 else {})


def moved(video, clip):
    held = plain(video, clip)
    return held | {"frame": beside(held["frame"], 9, video, clip, share=0.4)}


def elsewhere(video, clip):
    return plain(video, clip) | {"frame": unit(7, video, clip)}


def turned(video, clip):
    """The same neighbours, in another basis."""
    held = plain(video, clip)
    return held | {"frame": held["frame"][::-1].copy()}


def collapsed(video, clip):
    return plain(video, clip) | {"frame": unit(11)}


@pytest.fixture(scope="module")
def indexes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drift")
    kinds = {"plain": plain, "moved": moved, "elsewhere": elsewhere, "turned": turned, "collapsed": collapsed}
    return {name: make_index(folder / name, made, videos=VIDEOS, clips=CLIPS) for name, made in kinds.items()}


def report(indexes, one, other, **options):
    return drift_report(*(side_of(indexes[name], most_clips=options.get("sample", 2000)) for name in (one, other)))


def test_an_index_is_in_the_same_space_as_itself(indexes):
    found = report(indexes, "plain", "plain")
    assert found.common == VIDEOS * CLIPS
    for name in ("frame", "transcript", "words"):
        own = found.vectors[name]
        assert (own["verdict"], own["overlap"]["overlap"], own["ks"]) == (SAME, 1.0, 0.0)
    frame = found.vectors["frame"]
    assert frame["same_clip_cosine"] == pytest.approx(1, abs=1e-5) and frame["centroid_shift"] < 1e-6
    assert frame["norms"]["index"]["out_share"] == 0 and frame["collapsed_share"] == {"index": 0.0, "against": 0.0}
    assert found.coverage["transcript"] == {"index": 0.5, "against": 0.5}


@pytest.mark.parametrize(("other", "said"), [("moved", MOVED), ("elsewhere", OTHER), ("turned", OTHER)])
def test_the_verdict_is_on_the_vector_that_changed_alone(indexes, other, said):
    found = report(indexes, "plain", other)
    assert {name: own["verdict"] for name, own in found.vectors.items() if own["clips"]} == {
        "frame": said,
        "clip": SAME,
        "transcript": SAME,
        "words": SAME,
    }
    frame = found.vectors["frame"]
    assert f"{frame['number']:.4f}" in frame["reason"] and frame["number"] == frame["same_clip_cosine"]


def test_a_turned_space_keeps_its_neighbours_and_an_unrelated_one_does_not(indexes):
    turned_by, unrelated = (report(indexes, "plain", name).vectors["frame"] for name in ("turned", "elsewhere"))
    assert turned_by["overlap"]["overlap"] > 0.99 and turned_by["ks"] < 0.01
    assert unrelated["overlap"]["overlap"] < 0.3 and unrelated["ks"] > 0.05


def test_clips_of_different_files_that_give_one_vector_are_collapsed(indexes):
    frame = report(indexes, "collapsed", "plain").vectors["frame"]
    assert frame["collapsed_share"] == {"index": 1.0, "against": 0.0}
    assert frame["histogram"]["index"][-1] == sum(frame["histogram"]["index"])


def test_both_sides_draw_the_same_sample_whatever_their_order(indexes):
    found = report(indexes, "plain", "moved", sample=20)
    assert found.sampled == {"index": 20, "against": 20} and found.common == 20


def test_an_archive_says_the_same_as_its_index(indexes, tmp_path):
    export(IndexLocation.parse(indexes["moved"]), tmp_path / "archive")
    archived = drift_report(
        side_of(indexes["plain"], most_clips=2000), side_of(str(tmp_path / "archive"), most_clips=2000)
    )
    direct = report(indexes, "plain", "moved")
    assert archived.vectors == direct.vectors and archived.coverage == direct.coverage


def test_other_dimensions_are_another_space(indexes):
    one = side_of(indexes["plain"], most_clips=50)
    wider = tuple(replace(v, dimensions=512) if v.name == "frame" else v for v in one.schema.dense)
    other = replace(one, schema=replace(one.schema, dense=wider))
    assert drift_report(one, other).vectors["frame"]["reason"] == "384 dimensions against 512"


def test_without_common_clips_the_centroids_decide(indexes):
    one = side_of(indexes["plain"], most_clips=2000)
    renamed = {key._replace(uri=key.uri + "x"): clip for key, clip in one.sample.items()}
    found = drift_report(one, replace(one, sample=renamed))
    assert found.common == 0 and "only centroids" in found.notes[0]
    assert (
        found.vectors["frame"]["verdict"] == SAME and "the centroids differ by 0.0" in found.vectors["frame"]["reason"]
    )
    assert verdict(None, None, 0.1, dense=True)["verdict"] == MOVED
    assert verdict(None, None, 0.5, dense=True)["verdict"] == OTHER


def test_the_command_writes_one_page_that_needs_nothing_else(indexes, tmp_path):
    page = tmp_path / "drift.html"
    given = ["report", "drift", "--index", indexes["plain"], "--against", indexes["elsewhere"], "--html", str(page)]
    said = CliRunner().invoke(app, [*given, "--json"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["vectors"]["frame"]["verdict"] == OTHER
    text = page.read_text()
    assert (
        "another space" in text
        and "<svg" in text
        and "<script" not in text
        and "http://"
        not in text.lower()
        .replace("http://www.w3.org", "")
        .replace("http://purl.org", "")
        .replace("http://creativecommons.org", "")
    )
    said = CliRunner().invoke(app, given)
    assert said.exit_code == 0 and "another space" in said.stdout


def test_questions_are_asked_of_both(indexes, tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.mp4").write_bytes(b"")
    queries = tmp_path / "queries.tsv"
    queries.write_text("query\tmodality\trelevant\na red car\tpicture\ta.mp4\n")
    given = ["report", "drift", "-i", indexes["plain"], "--queries", str(queries), "--media", str(tmp_path / "media")]
    said = CliRunner().invoke(app, [*given, "--against", indexes["plain"], "--json"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["queries"]["mean_overlap"] == 1.0
    export(IndexLocation.parse(indexes["plain"]), tmp_path / "archive")
    said = CliRunner().invoke(app, [*given, "--against", str(tmp_path / "archive")])
    assert said.exit_code == 2


def test_what_is_neither_index_nor_archive_is_refused(indexes, tmp_path):
    said = CliRunner().invoke(app, ["report", "drift", "-i", indexes["plain"], "--against", str(tmp_path / "nothing")])
    assert said.exit_code == 2
    assert not (tmp_path / "nothing").exists()
