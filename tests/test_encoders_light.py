"""The light text encoder: torch's vectors without torch, and torch where the export fails."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from transforms.encoders import light, onnx_export
from transforms.encoders.catalog import card
from transforms.encoders.light import export, export_path, text_vectors
from transforms.encoders.registry import loaded
from transforms.errors import UsageError

ROOT = Path(__file__).parents[1]
NAME = "sentence-transformers:all-MiniLM-L6-v2"
TEXTS = ["a rocket on the launch pad", "", "Café 北京", "a long walk through the woods in the rain " * 60]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A cache folder that holds an export."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELVEC_CACHE", str(folder))
        export(NAME)
    return folder


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REELVEC_CACHE", str(tmp_path))
    return tmp_path


def by_torch(texts):
    encoder = loaded(NAME)
    return np.stack(encoder.handler.run_inference(texts, encoder.model))


def test_the_export_gives_the_vectors_of_torch(exported, monkeypatch):
    monkeypatch.setenv("REELVEC_CACHE", str(exported))
    assert np.abs(text_vectors(NAME, TEXTS) - by_torch(TEXTS)).max() < 1e-5


def test_a_search_with_an_export_imports_no_torch_and_no_beam(exported):
    code = (
        "import sys\nfrom transforms.encoders.light import text_vectors\n"
        "print(text_vectors('conse:tf_efficientnet_lite2', ['a cat']).shape)\n"
        "print([name for name in ('torch', 'apache_beam', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"REELVEC_CACHE": str(exported)},
    )
    assert done.stdout.splitlines() == ["(1, 384)", "[]"]


def test_an_export_that_is_there_is_not_made_again(exported, monkeypatch):
    monkeypatch.setenv("REELVEC_CACHE", str(exported))
    before = export_path(card(NAME)).stat().st_mtime_ns
    assert export(NAME).stat().st_mtime_ns == before
    assert [path.suffix for path in (exported / "onnx").iterdir()] == [".onnx"]


def test_a_wrong_export_is_discarded_and_torch_answers(empty_cache, monkeypatch):
    write = onnx_export.write_onnx

    def write_wrong(model, path):
        norm = model.network.norm.bias.data
        norm += 1.0
        write(model, path)
        norm -= 1.0

    monkeypatch.setattr(onnx_export, "write_onnx", write_wrong)
    with pytest.raises(onnx_export.ExportFailed, match="other vectors than torch"):
        export(NAME)
    assert list((empty_cache / "onnx").iterdir()) == []
    assert np.array_equal(text_vectors(NAME, TEXTS[:1]), by_torch(TEXTS[:1]))


def test_a_damaged_export_is_thrown_away_and_torch_answers(empty_cache):
    path = export_path(card(NAME))
    path.parent.mkdir()
    path.write_bytes(b"no network")
    assert np.array_equal(text_vectors(NAME, TEXTS[:1]), by_torch(TEXTS[:1]))
    assert not path.exists()


def test_a_cache_folder_that_cannot_be_written_leaves_torch_to_answer(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("in the way")
    monkeypatch.setenv("REELVEC_CACHE", str(file))
    assert np.array_equal(text_vectors(NAME, TEXTS[:1]), by_torch(TEXTS[:1]))


def test_no_texts_give_no_vectors():
    assert text_vectors(NAME, []).shape == (0, 384)


def test_an_encoder_that_text_cannot_ask_is_a_clear_error():
    with pytest.raises(UsageError, match="no text can be compared"):
        text_vectors("faster-whisper:tiny.en", ["a cat"])


def test_the_cache_lies_in_the_users_own_folder(monkeypatch):
    monkeypatch.delenv("REELVEC_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/someone/.cache")
    assert light.cache_folder() == Path("/home/someone/.cache/reelvec")
