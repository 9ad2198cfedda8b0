"""A broken encoder stops the run before anything of it is written; a recipe that cannot be says why."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pipelines.ingest import ingest
from pipelines.settings import IngestSettings
from tests.families.image import save_timm
from transforms.errors import BadVectors, MissingKey, MissingWeights, UsageError
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.index.store import Equals, Where

GEMINI = "gemini:gemini-embedding-2?dimensions=8&send_media=true"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Path:
    path = tmp_path_factory.mktemp("cut") / "cut.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(examples / "garage.mp4"), "-t", "10", "-c", "copy", str(path)]
    subprocess.run(command, check=True)
    return path


def settings_of(video: Path, folder: Path, sections: str, **more: Any) -> IngestSettings:
    recipe = folder / "mine.toml"
    recipe.write_text(f'name = "mine"\n{sections}')
    return IngestSettings(sources=(str(video),), index=str(folder / "index"), recipe=str(recipe), **more)


def spoiled(folder: Path, spoil: Callable[[str, Any], Any]) -> None:
    """The model's tensors, each changed."""
    (path,) = folder.glob("*.safetensors")
    save_file({key: np.ascontiguousarray(spoil(key, value)) for key, value in load_file(path).items()}, path)


def not_a_number(key: str, value: Any) -> Any:
    return np.full_like(value, np.nan) if value.dtype.kind == "f" else value


def the_same_for_all(key: str, value: Any) -> Any:
    """Weights of zero and offsets of one: whatever comes in, one and the same comes out."""
    if value.dtype.kind != "f" or "running" in key:
        return value
    return np.ones_like(value) if key.endswith("bias") or "norm" in key else np.zeros_like(value)


@pytest.mark.parametrize(
    ("spoil", "says"), [(not_a_number, "not finite"), (the_same_for_all, "one and the same vector")]
)
def test_a_broken_model_is_found_out_before_the_first_write(
    video: Path, tmp_path: Path, spoil: Callable[[str, Any], Any], says: str
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    name = save_timm(model, "test_vit")
    spoiled(model, spoil)
    settings = settings_of(video, tmp_path, f"[frames]\nencoder = '{name}'\n", device="cpu")
    with pytest.raises(BadVectors, match=says) as caught:
        ingest(settings)
    assert str(model) in str(caught.value)
    try:
        reader = open_reader(IndexLocation.parse(settings.index))
    except UsageError:
        return  # nothing was ever published
    assert reader.count(Where((Equals("kind", "clip"),))) == 0
    reader.close()


@pytest.mark.parametrize(
    ("sections", "error", "says"),
    [
        ("[frames]\nencoder = 'timm:./nowhere'\n", MissingWeights, "no folder"),
        ("[frames]\nencoder = 'timn:resnet50'\n", UsageError, "did you mean timm"),
        ("[farmes]\nencoder = 'timm:resnet50'\n", UsageError, "no such part: 'farmes'"),
        (
            "[video]\nencoder = 'gemini:gemini-embedding-2'\ndimensions = 8\nsend_media = true\n",
            MissingKey,
            "GEMINI_API_KEY",
        ),
        ("[frames]\nencoder = 'conse:tf_efficientnet_lite2'\ndimensions = 100\n", UsageError, "Matryoshka"),
        ("[frames]\nencoder = 'conse:tf_efficientnet_lite2'\nprecision = 'fp8'\n", UsageError, "fp8"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_before_anything_starts(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: str, error: type[Exception], says: str
) -> None:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    with pytest.raises(error, match=says):
        ingest(settings_of(video, tmp_path, sections))
