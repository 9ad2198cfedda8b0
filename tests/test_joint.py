"""Joint encoding: one model takes the pictures and the words of a clip together, and its vector is `clip`."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipelines.ingest import ingest
from pipelines.search import Searcher
from pipelines.settings import IngestSettings
from tests.families.clips_joint import save_qwen3_vl
from transforms.encoders.light import text_query
from transforms.encoders.registry import loaded
from transforms.index.query import LIVE_CLIPS
from transforms.recipe import load_recipe
from transforms.records import ClipPoint

WORDS = """
[speech]
encoder = "faster-whisper:tiny.en"
[text]
encoder = "sentence-transformers:all-MiniLM-L6-v2"
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_qwen3_vl(tmp_path_factory.mktemp("qwen"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Path:
    """Sixteen seconds of the launch with pictures and speech, and the same seconds of its sound alone."""
    folder = tmp_path_factory.mktemp("videos")
    for options, name in ((("-c", "copy"), "launch.mp4"), (("-vn", "-ac", "1"), "launch.wav")):
        command = ["ffmpeg", "-v", "error", "-i", str(examples / "launch.mp4"), "-t", "16", *options]
        subprocess.run([*command, str(folder / name)], check=True)
    return folder


def recipe_file(folder: Path, model: str, more: str = "") -> str:
    path = folder / "joint.toml"
    path.write_text(f"name = 'joint'\n[joint]\nencoder = '{model}'\n[fusion]\nstrategy = 'joint'\n{more}")
    return str(path)


def indexed(folder: Path, videos: Path, recipe: str) -> dict[tuple[str, float], ClipPoint]:
    """The clips, by the ending of their file's name and their start."""
    settings = IngestSettings(sources=(str(videos),), index=str(folder / "index"), recipe=recipe, device="cpu")
    ingest(settings)
    with Searcher(settings.index) as searcher:
        points = searcher.reader.scroll(LIVE_CLIPS, vectors=True)
        return {(p.payload["uri"].rpartition(".")[2], p.payload["start_seconds"]): p for p in points}


def test_pictures_and_words_of_a_clip_fill_its_vector_and_text_asks_it(
    model: str, videos: Path, tmp_path: Path
) -> None:
    (silent := tmp_path / "silent").mkdir()
    (spoken := tmp_path / "spoken").mkdir()
    seen = indexed(silent, videos, recipe_file(silent, model))
    both = indexed(spoken, videos, recipe_file(spoken, model, WORDS))
    pictured = [key for key in both if key[0] == "mp4"]
    assert len(pictured) == 2 and any("transcript" in both[key].payload for key in pictured)
    for key in pictured:
        own, bare = np.asarray(both[key].vectors["clip"]), np.asarray(seen[key].vectors["clip"])
        assert np.linalg.norm(own) == pytest.approx(1.0, abs=1e-5)
        assert (np.abs(own - bare).max() > 1e-3) == ("transcript" in both[key].payload)  # the words decide with them
    heard = [point for key, point in both.items() if key[0] == "wav" and "transcript" in point.payload]
    assert heard and not any("clip" in point.vectors for key, point in seen.items() if key[0] == "wav")
    encoder = loaded(model, device="cpu").model
    for point in heard:  # no picture: the words alone
        alone = encoder.texts([point.payload["transcript"]])[0]
        np.testing.assert_allclose(np.asarray(point.vectors["clip"]), alone, atol=1e-4)
    with Searcher(str(spoken / "index")) as searcher:
        asked = text_query(model, "a rocket")
        cosines = {key: float(np.asarray(point.vectors["clip"]) @ asked) for key, point in both.items()}
        hits = searcher.search("a rocket", by="clip", limit=10)
        assert [hit.score for hit in hits] == pytest.approx(sorted(cosines.values(), reverse=True), abs=1e-3)


def test_only_what_the_model_sees_decides_a_joint_vector(model: str, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(tmp_path, model, WORDS))
    before = recipe.vector_fingerprints()

    def changed(more: str, **encoder: str) -> set[str]:
        other = load_recipe(recipe_file(tmp_path, encoder.get("model", model), more)).vector_fingerprints()
        return {name for name in before if before[name] != other.get(name)}

    assert changed(WORDS, model=model.replace("frames=4", "frames=2")) == {"clip"}
    assert changed(WORDS.replace("MiniLM-L6-v2", "MiniLM-L6-v2?precision=bf16")) == {"transcript"}
    assert changed("") == {"transcript", "clip"}  # nothing is heard any more
