"""A model's folder: which of its files decide, what is never read, and what a damaged one says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from transforms.encoders.folders import hub_card, pinned, read_config
from transforms.encoders.names import Name
from transforms.errors import MissingWeights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of one tensor."""
    place = tmp_path / "model"
    place.mkdir()
    save_file({"weight": np.arange(64, dtype=np.float32)}, place / "model.safetensors")
    (place / "config.json").write_text('{"hidden_size": 8}')
    (place / "tokenizer.json").write_text("{}")
    return place


def made(folder: Path, *, unsafe: bool = False, **described: Any) -> Any:
    options = (("unsafe", "true"),) if unsafe else ()
    name = Name("timm", str(folder), options=options)
    return hub_card(name, folder, modality="image", accepts=("image",), dimensions=8, text_queries=False, **described)


def test_every_file_that_decides_is_pinned_in_order(folder: Path):
    (folder / "README.md").write_text("words")
    (folder / "train.py").write_text("import os")
    found = pinned(folder)
    assert [one.file for one in found] == ["config.json", "model.safetensors", "tokenizer.json"]
    assert all(len(one.sha256) == 64 and one.folder == str(folder) for one in found)


def test_the_fingerprint_is_that_of_the_files_wherever_they_lie(folder: Path, tmp_path: Path):
    other = tmp_path / "another place"
    other.mkdir()
    for path in folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    assert made(folder).fingerprint == made(other).fingerprint and made(folder).space == made(other).space


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_another_file_makes_another_model(folder: Path, file: str):
    before = made(folder)
    if file.endswith(".json"):
        (folder / file).write_text('{"hidden_size": 9}')
    else:
        save_file({"weight": np.ones(64, np.float32)}, folder / file)
    assert made(folder).fingerprint != before.fingerprint and made(folder).space != before.space


def test_settings_of_the_name_make_another_space(folder: Path):
    assert made(folder).space != made(folder, settings=(("pooling", "max"),)).space


@pytest.mark.parametrize(
    "file", ["pytorch_model.bin", "model.pth", "model.pt", "model.ckpt", "model.pkl", "tf_model.h5"]
)
def test_files_that_can_run_code_are_read_on_demand_only(folder: Path, file: str):
    (folder / "model.safetensors").rename(folder / file)
    with pytest.raises(MissingWeights, match=rf"{file} only.*\?unsafe=true"):
        made(folder)
    assert file in [one.file for one in made(folder, unsafe=True).weights]


def test_safetensors_are_read_even_where_others_are_trusted(folder: Path):
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    assert made(folder, unsafe=True).weights == made(folder).weights


def test_a_folder_without_weights_says_so(folder: Path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(MissingWeights, match="there are no weights"):
        made(folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:20],
        lambda content: b"",
        lambda content: content + b"more",
        lambda content: b"\xff" * 8 + content[8:],
        lambda content: content.replace(b'"F32"', b'"F33"'),
        lambda content: content.replace(b"[0,256]", b"[0,999]"),
        lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 256\n",
        lambda content: b"<html>404</html>",
    ],
    ids=["a byte short", "header alone", "empty", "too long", "length", "type", "offsets", "pointer", "web page"],
)
def test_a_damaged_file_of_tensors_is_refused(folder: Path, damage: Any):
    path = folder / "model.safetensors"
    damaged = damage(path.read_bytes())
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    with pytest.raises(MissingWeights, match=r"the weights are damaged.*pull or copy them again"):
        made(folder)


def test_a_file_without_tensors_is_refused(folder: Path):
    save_file({}, folder / "model.safetensors")
    with pytest.raises(MissingWeights, match="hold no tensor"):
        made(folder)


def test_of_several_files_each_is_looked_at(folder: Path):
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"cut")
    with pytest.raises(MissingWeights, match="model-00002-of-00002"):
        made(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "holds config.json, this one does not"), ("{", "cannot be read"), ("[1]", "no JSON object")],
)
def test_a_config_that_cannot_be_used_says_so(folder: Path, content: str | None, said: str):
    path = folder / "config.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(MissingWeights, match=said):
        read_config(folder)


def test_a_config_of_other_bytes_says_so(folder: Path):
    (folder / "config.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(MissingWeights, match="cannot be read"):
        read_config(folder)


@pytest.mark.parametrize(
    ("readme", "licence"),
    [
        (None, "not stated"),
        ("---\nlicense: apache-2.0\n---\n# A model", "apache-2.0"),
        ("---\nlicense: 'mit'\n---\n", "mit"),
        ("# A model\nlicense: mit\n", "not stated"),
        ("---\ntags: [a]\n---\nlicense: mit", "not stated"),
    ],
)
def test_the_licence_is_what_the_models_own_card_states(tmp_path: Path, folder: Path, readme: str | None, licence: str):
    if readme is not None:
        (folder / "README.md").write_text(readme)
    assert licence in made(folder).licence


def test_a_snapshot_of_the_hub_knows_its_commit(folder: Path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = folder.parent / "snapshots" / commit
    snapshot.parent.mkdir()
    folder.rename(snapshot)
    assert made(snapshot).revision == commit
    assert json.loads((snapshot / "config.json").read_text()) == read_config(snapshot)
