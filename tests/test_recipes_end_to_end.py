"""Every family goes into a recipe, indexes a video, and is asked: by text where it has a text tower, else by a file."""

import subprocess
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest

from pipelines.ingest import ingest
from pipelines.search import Searcher
from pipelines.settings import IngestSettings
from tests.families.tiny import Tiny
from tests.test_families import TINY
from transforms.encoders.catalog import card
from transforms.encoders.family import family
from transforms.errors import UsageError
from transforms.index.query import LIVE_CLIPS
from transforms.recipe import SECTIONS, Recipe, load_recipe

Group = tuple[Tiny, ...]
_LOADED = {"text": "sentence-transformers:all-MiniLM-L6-v2", "speech": "faster-whisper:tiny.en"}


def groups() -> Iterator[Group]:
    """The tiny models in recipes of several sections each: one of every modality, as long as there are some."""
    by_modality: dict[str, list[Tiny]] = {}
    for tiny in TINY:
        by_modality.setdefault(family(tiny.family).modality, []).append(tiny)
    for group in zip_longest(*by_modality.values()):
        yield tuple(tiny for tiny in group if tiny is not None)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Path:
    """Ten seconds with pictures and speech."""
    path = tmp_path_factory.mktemp("cut") / "cut.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(examples / "launch.mp4"), "-t", "10", "-c", "copy", str(path)]
    subprocess.run(command, check=True)
    return path


def recipe_of(group: Group, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Path, dict[str, str]]:
    """A recipe's file with a section for each model, and the sections."""
    sections: dict[str, str] = {}
    for tiny in group:
        for key, value in tiny.environment.items():
            patch.setenv(key, value)
        own = folder / str(tiny).replace("/", "-")
        own.mkdir()
        name = tiny.save(own)
        modality = family(tiny.family).modality
        section = {"image": "frames", "sound": "audio" if card(name).text_queries else "sound"}.get(modality, modality)
        if section == "video" and "clip" not in card(name).accepts:
            section = "text"
        sections[section] = name
    if "text" in sections:
        sections["speech"] = _LOADED["speech"]
    path = folder / "recipe.toml"
    path.write_text('name = "tiny"\n' + "".join(f"[{key}]\nencoder = '{value}'\n" for key, value in sections.items()))
    return path, sections


@pytest.mark.parametrize("group", list(groups()), ids=lambda group: "+".join(map(str, group)))
def test_a_recipe_of_any_families_indexes_a_video_and_answers(
    group: Group, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing := [package for tiny in group for package in family(tiny.family).missing_packages]:
        pytest.skip(f"needs the packages {', '.join(missing)}")
    path, sections = recipe_of(group, tmp_path, monkeypatch)
    settings = IngestSettings(sources=(str(video),), index=str(tmp_path / "index"), recipe=str(path), device="cpu")
    assert ingest(settings).videos_indexed == 1
    assert ingest(settings).clips_written == 0  # nothing changed
    with Searcher(settings.index) as searcher:
        clips = list(searcher.reader.scroll(LIVE_CLIPS, vectors=True))
        assert len(clips) == 2
        for section in sections.keys() - {"speech"}:
            found = card(sections[section])
            vector = {"text": "transcript"}.get(section) or SECTIONS[section][1][-1]
            held = [clip.vectors[vector] for clip in clips if vector in clip.vectors]
            if section not in ("motion", "text"):  # not all speak words that a small model knows
                assert len(held) == 2, f"{vector} of {sections[section]}"
            assert all(np.shape(one)[-1] == found.dimensions for one in held)
            if found.text_queries:
                assert [hit.by for hit in searcher.search("a rocket on the launch pad", by=vector)] == [vector] * len(
                    held
                )
            else:
                with pytest.raises(UsageError, match=f"'{vector}'.*no text tower"):
                    searcher.search("a rocket", by=vector)
            if section != "text" and held:
                hits = searcher.search_like(video, by=vector)
                assert len(hits) == len(held)


def test_another_option_changes_the_vectors_of_its_encoder_and_no_others() -> None:
    before = load_recipe("offline").settings()
    after = before | {"motion": {"encoder": "motion:dis"}, "sound": {"encoder": "mfcc:statistics"}}
    one, two = Recipe.of(before).vector_fingerprints(), Recipe.of(after).vector_fingerprints()
    assert {name for name in two if one.get(name) != two[name]} == {"motion", "speech"}
    smaller = after | {"frames": {"encoder": "conse:tf_efficientnet_lite2", "precision": "bf16"}}
    three = Recipe.of(smaller).vector_fingerprints()
    assert {name for name in three if two[name] != three[name]} == {"frame", "frames", "clip"}
