"""Training over an index: what it learns, what it gains on other videos, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.search import Searcher
from pipelines.train_fusion import Report, train_fusion
from pipelines.training_sample import sample_clips, split_videos
from tests.trained_files import make_index, meanings, spoken_clips, tilted, units
from transforms.encoders.catalog import card
from transforms.encoders.fusion.adapter import load_adapter
from transforms.encoders.fusion.trained import read_trained
from transforms.encoders.fusion.training import Examples, TrainSettings, near_and_strange
from transforms.errors import RecipeMismatch, UsageError
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.recipe import Recipe, load_recipe
from transforms.records import ClipPoint

RECIPE = Recipe.of(load_recipe("offline").settings() | {"ocr": {}})
CONSE = "conse:tf_efficientnet_lite2"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("train")
    return make_index(folder / "spoken.reelvec", RECIPE, spoken_clips(RECIPE))


@pytest.fixture(scope="module")
def unrelated(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("train")
    return make_index(folder / "unrelated.reelvec", RECIPE, spoken_clips(RECIPE, clips=6, tilt=False))


def trained(index: str, out: Path, **settings: object) -> Report:
    return train_fusion(index, out, TrainSettings(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", ["multiple-negatives", "cosent", "triplet", "contrastive"])
def test_an_adapter_learns_what_its_encoder_has_tilted(index: str, tmp_path: Path, loss: str) -> None:
    report = trained(index, tmp_path / "a.safetensors", kind="adapter", loss=loss, epochs=25, learning_rate=1e-2)
    decided = report.figures["reciprocal_rank"]
    assert report.gained and decided.after > decided.before + 0.1, report.plain()
    held = read_trained(tmp_path / "a.safetensors", "adapter")
    assert held.held_out["reciprocal_rank"]["gain_ci95_low"] > 0
    assert held.inputs == {"encoder": card(CONSE).fingerprint} and held.training["loss"] == loss
    meant = meanings(99, 20)
    seen = tilted(meant, 5)
    adapted = load_adapter(tmp_path / "a.safetensors").apply(seen)
    found, before = ((rows @ meant.T).argmax(axis=1) == np.arange(20) for rows in (adapted, seen))
    assert found.sum() > before.sum() + 4  # of twenty clips of no video at all


def test_a_head_gains_on_videos_that_it_never_saw(index: str, tmp_path: Path) -> None:
    report = trained(index, tmp_path / "h.safetensors", kind="head", epochs=25)
    assert report.gained, report.plain()
    assert report.videos == {"learn": 18, "stop": 6, "test": 6}
    assert report.pairs == {"learn": 180, "stop": 60, "test": 60}


def test_the_same_seed_gives_the_same_file(index: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        trained(index, tmp_path / name, kind="adapter", epochs=3, learning_rate=1e-2)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("kind", ["head", "adapter", "attention"])
def test_where_pictures_and_words_have_nothing_in_common_nothing_is_written(
    unrelated: str, tmp_path: Path, kind: str
) -> None:
    out = tmp_path / "none.safetensors"
    report = trained(unrelated, out, kind=kind, epochs=4)
    assert not report.gained and report.written == "" and not out.exists()
    settings = TrainSettings(kind=kind, epochs=4)  # type: ignore[arg-type]
    kept = train_fusion(unrelated, out, settings, keep_anyway=True)
    assert not kept.gained and out.exists()


def test_a_table_of_positions_learns_where_videos_look_alike(tmp_path: Path) -> None:
    index = make_index(tmp_path / "ends.reelvec", RECIPE, ends_look_alike())
    report = trained(index, tmp_path / "p.safetensors", kind="position", loss="cosent", epochs=30)
    assert report.gained and report.decides == "rank_correlation", report.plain()
    table = read_trained(tmp_path / "p.safetensors", "position").tensors["table"]
    first, middle, last = table[3], table[len(table) // 2], table[-4]  # 0.09, 0.5 and 0.91 of a film
    assert float(first @ last) > float(first @ middle) + 0.3


def ends_look_alike() -> list[ClipPoint]:
    """Films that open and end in one place, and are in another one in between."""
    points = []
    for point in spoken_clips(RECIPE, clips=6, tilt=False):
        video, place = int(point.payload["content"], 16), int(point.payload["start_seconds"] // 8)
        frame = units(50_000 + 2 * video + (0 < place < 5), 1)[0] + 0.5 * np.asarray(point.vectors["frame"])
        points.append(replace(point, vectors={**point.vectors, "frame": frame / np.linalg.norm(frame)}))
    return points


def test_a_hard_negative_is_of_the_same_video_near_in_time_and_says_something_else() -> None:
    targets = units(3, 6)
    targets[1] = targets[0]
    seconds = np.array([0.0, 8.0, 16.0, 500.0, 0.0, 8.0])
    examples = Examples([{}] * 6, targets, ["a", "a", "a", "a", "b", "b"], seconds)
    for seed in range(20):
        near, strange = near_and_strange(examples, np.arange(6), np.random.default_rng(seed))
        assert near[0] == 2 and near[4] == 5 and near[5] == 4  # 1 says the same, 3 is far away
        assert near[3] in (4, 5)  # it has no neighbour: a stranger takes its place
        assert all(examples.videos[one] != examples.videos[own] for own, one in enumerate(strange))


def test_a_sample_is_whole_videos_and_the_same_for_the_same_seed(index: str) -> None:
    reader = open_reader(IndexLocation.parse(index))
    try:
        one, two, other = (sample_clips(reader, max_clips=95, seed=seed) for seed in (1, 1, 2))
    finally:
        reader.close()
    assert [clip.video for clip in one] == [clip.video for clip in two]
    assert len(one) == 90 and {sum(clip.video == video for clip in one) for video in {c.video for c in one}} == {10}
    assert {clip.video for clip in one} != {clip.video for clip in other}
    assert [clip.start_seconds for clip in one[:10]] == [8.0 * place for place in range(10)]


def test_copies_of_a_video_count_once(tmp_path: Path) -> None:
    points = spoken_clips(RECIPE, videos=2)
    copies = [
        replace(point, id=point.id[:-4] + "ffff", payload={**point.payload, "uri": "file:///copy.mp4"})
        for point in points[:10]
    ]
    index = make_index(tmp_path / "copies.reelvec", RECIPE, [*points, *copies])
    reader = open_reader(IndexLocation.parse(index))
    try:
        assert len(sample_clips(reader, max_clips=1000, seed=0)) == 20
    finally:
        reader.close()


def test_videos_are_split_and_never_their_clips() -> None:
    split = split_videos([f"v{number}" for number in range(10)] * 3, seed=4)
    assert [len(own) for own in (split.learn, split.stop, split.test)] == [6, 2, 2]
    assert not split.learn & split.stop and not split.stop & split.test and not split.learn & split.test


def test_too_little_to_train_on_is_said(tmp_path: Path) -> None:
    index = make_index(tmp_path / "few.reelvec", RECIPE, spoken_clips(RECIPE, videos=4))
    with pytest.raises(UsageError, match=r"too little to train on: 40 pairs of 4 videos; wanted are 64 pairs of 30"):
        trained(index, tmp_path / "x")


def test_an_index_without_words_has_nothing_to_train_on_but_its_neighbours(tmp_path: Path) -> None:
    settings = {key: value for key, value in RECIPE.settings().items() if key not in ("speech", "text", "words")}
    wordless = Recipe.of(settings)
    points = [
        replace(point, vectors={name: point.vectors[name] for name in ("frame", "frames")})
        for point in spoken_clips(RECIPE, videos=12)
    ]
    index = make_index(tmp_path / "wordless.reelvec", wordless, points)
    with pytest.raises(UsageError, match=r"no \[text\] encoder"):
        trained(index, tmp_path / "x")


def test_what_cannot_be_compared_with_words_needs_a_head(tmp_path: Path) -> None:
    recipe = Recipe.of(RECIPE.settings() | {"audio": {}})
    index = make_index(tmp_path / "i.reelvec", recipe, spoken_clips(recipe, videos=12))
    with pytest.raises(UsageError, match=r"share no space.*--kind head"):
        train_fusion(index, tmp_path / "x", TrainSettings(kind="adapter"), vector="audio")
    with pytest.raises(UsageError, match="vector='transcript'"):
        train_fusion(index, tmp_path / "x", TrainSettings(kind="adapter"), vector="transcript")
    with pytest.raises(UsageError, match="cosent alone"):
        train_fusion(index, tmp_path / "x", TrainSettings(kind="position"))


def test_the_command_prints_what_was_gained(index: str, unrelated: str, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    common = ["--kind", "attention", "--epochs", "2", "--out", str(out)]
    shown = CliRunner().invoke(app, ["train-fusion", "--index", unrelated, *common])
    assert shown.exit_code == 0 and "nothing written" in shown.stdout and not out.exists()
    shown = CliRunner().invoke(app, ["train-fusion", "--index", unrelated, *common, "--keep-anyway"])
    assert "NOTE: no gain is proven" in shown.stdout and out.exists()
    shown = CliRunner().invoke(app, ["train-fusion", "--index", unrelated, *common, "--json"])
    report = json.loads(shown.stdout)
    assert report["gained"] is False and set(report["held_out"]["recall@5"]) >= {"before", "after", "gain_ci95_low"}


@pytest.mark.parametrize("wrong", [("--kind", "brain"), ("--loss", "hinge"), ("--pairs", "all")])
def test_unknown_names_come_with_the_known_ones(index: str, tmp_path: Path, wrong: tuple[str, str]) -> None:
    shown = CliRunner().invoke(app, ["train-fusion", "--index", index, "--out", str(tmp_path / "x"), *wrong])
    assert shown.exit_code == 2 and f"{wrong[0]} is one of" in shown.stderr


def test_a_head_fills_the_clip_vector_and_text_asks_it(index: str, tmp_path: Path) -> None:
    file = tmp_path / "h.safetensors"
    train_fusion(index, file, TrainSettings(kind="head", epochs=6), keep_anyway=True)
    recipe = Recipe.of(RECIPE.settings() | {"fusion": {"strategy": "head", "head": str(file)}})
    assert {v.name: v.dimensions for v in recipe.schema().dense}["clip"] == 384
    before, after = RECIPE.vector_fingerprints(), recipe.vector_fingerprints()
    assert {name for name in before if before[name] != after[name]} == {"clip"}
    points = spoken_clips(recipe, videos=3)
    assert all(abs(np.linalg.norm(point.vectors["clip"]) - 1) < 1e-5 for point in points)  # type: ignore[arg-type]
    with Searcher(make_index(tmp_path / "headed.reelvec", recipe, points)) as searcher:
        assert len(searcher.search("a rocket", by="clip", limit=5)) == 5
    other = recipe.changed(clip_seconds=4.0)
    with pytest.raises(RecipeMismatch, match="trained on 'frames' of another recipe"):
        other.schema()


def test_an_adapter_is_an_option_of_its_encoder(index: str, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    trained(index, file, kind="adapter", epochs=10, learning_rate=1e-2)
    settings = RECIPE.settings()
    adapted = Recipe.of(settings | {"frames": {"encoder": CONSE, "choice": "every:1s", "adapter": str(file)}})
    before, after = RECIPE.vector_fingerprints(), adapted.vector_fingerprints()
    assert {name for name in before if before[name] != after[name]} == {"frame", "frames", "clip"}
    assert card(adapted.frame_encoder).text_encoder == card(CONSE).text_encoder  # texts are asked as before
    from transforms.encoders.registry import loaded

    pixels = np.random.default_rng(0).integers(0, 255, (2, 260, 260, 3), np.uint8)
    plain, mapped = (loaded(name, device="cpu").model.frames(pixels) for name in (CONSE, adapted.frame_encoder))
    np.testing.assert_allclose(mapped, load_adapter(file).apply(plain), atol=1e-6)
    with pytest.raises(RecipeMismatch, match="trained on 'encoder' of another recipe"):
        card(f"{CONSE}?adapter={file}&precision=bf16")
    with pytest.raises(UsageError, match="takes none"):
        card(f"sentence-transformers:all-MiniLM-L6-v2?adapter={file}")
