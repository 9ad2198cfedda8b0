"""Smaller vectors: fitted on an index, named in a recipe, quantized in the store."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipelines.embedder import load
from pipelines.fit import fit_pca, fit_texts
from pipelines.search import Searcher
from tests.small_index import the_index, the_recipe  # noqa: F401  (fixtures)
from transforms.encoders.catalog import card
from transforms.encoders.reduce import Reduction, fit_components, load_components, save_components
from transforms.encoders.registry import load_encoder
from transforms.errors import MissingWeights, UsageError
from transforms.index.location import IndexLocation
from transforms.index.open import open_writer
from transforms.index.store import Query
from transforms.records import ClipPoint, DenseVector, Float32, Quantization, Schema, stable_id

TEXT = "sentence-transformers:all-MiniLM-L6-v2"


def units(count: int, size: int = 32) -> Float32:
    rows = np.random.default_rng(count).normal(size=(count, size)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_as_it_is_made_a_reduction_changes_nothing() -> None:
    np.testing.assert_array_equal(Reduction().apply(units(3)), units(3))


def test_the_first_coordinates_are_kept_at_unit_length() -> None:
    cut = Reduction(dimensions=8).apply(units(3))
    assert cut.shape == (3, 8) and np.allclose(np.linalg.norm(cut, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(cut[0], units(3)[0, :8] / np.linalg.norm(units(3)[0, :8]), atol=1e-6)


def test_components_keep_the_products_of_vectors_that_lie_in_few_directions(tmp_path: Path) -> None:
    few = units(50, 4) @ units(4, 32)
    rows = (few / np.linalg.norm(few, axis=1, keepdims=True)).astype(np.float32)
    save_components(fit_components(rows, 4), tmp_path / "pca.safetensors")
    reduced = load_components(tmp_path / "pca.safetensors").apply(rows)
    assert reduced.shape == (50, 4)
    np.testing.assert_allclose(reduced @ reduced.T, rows @ rows.T, atol=1e-4)


def test_more_components_than_vectors_are_refused() -> None:
    with pytest.raises(UsageError, match="1 to 3 components: 4"):
        fit_components(units(3), 4)


def test_components_of_another_size_or_a_damaged_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fitted on vectors of 32 dimensions, not of 16"):
        fit_components(units(8), 2).apply(units(2, 16))
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    with pytest.raises(MissingWeights, match=r"broken\.safetensors"):
        load_components(tmp_path / "broken.safetensors")


def test_what_is_fitted_on_an_index_makes_an_encoder_smaller(index: str, tmp_path: Path) -> None:
    path = tmp_path / "pca.safetensors"
    assert fit_pca(index, "transcript", 2, path) == 3
    name = f"{TEXT}?pca={path}"
    assert card(name).dimensions == 2 and card(name).fingerprint != card(TEXT).fingerprint
    assert card(name).space != card(TEXT).space
    vector = load(name, device="cpu").embed("the espresso is ready")
    assert vector.shape == (2,) and np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_only_dense_vectors_that_the_index_has_can_be_fitted_on(index: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no dense vector 'audio'"):
        fit_pca(index, "audio", 2, tmp_path / "x.safetensors")


def test_text_models_are_fitted_on_what_is_said(index: str, tmp_path: Path) -> None:
    assert fit_texts(index, "tfidf", tmp_path / "tfidf") == 3
    model = load(f"tfidf:{tmp_path / 'tfidf'}", device="cpu")
    assert model.similarity("espresso", "the espresso is ready") > model.similarity("espresso", "my name is Zaphod")
    with pytest.raises(UsageError, match="tfidf or lsa"):
        fit_texts(index, "word2vec", tmp_path / "x")


@pytest.mark.parametrize("kind", ["none", "int8", "binary", "product"])
def test_a_store_answers_with_every_quantization(tmp_path: Path, kind: Quantization) -> None:
    rows = units(300, 64)
    schema = Schema("x", "x", (DenseVector("frame", 64, quantization=kind),))
    store = open_writer(IndexLocation.parse(str(tmp_path / "index")), schema)
    points = [ClipPoint(stable_id("p", n), {"frame": row}, {"kind": "clip", "n": n}) for n, row in enumerate(rows)]
    store.upsert(points)
    store.flush()
    assert [store.query([Query("frame", rows[n], limit=1)])[0][0].payload["n"] for n in (0, 150, 299)] == [0, 150, 299]
    store.close()


def test_a_searcher_still_answers_beside(index: str) -> None:
    with Searcher(index) as searcher:
        assert searcher.search("espresso", by="words")


@pytest.mark.parametrize(
    ("mean", "components", "says"),
    [
        (np.zeros(384), np.zeros((2, 12)), r"no components of vectors.*mean \(384,\), components \(2, 12\)"),
        (np.zeros(384), np.full((2, 384), np.nan), "no components of vectors.*finite"),
        (np.zeros(12), np.eye(12)[:2], "components of vectors of 12 dimensions; those of .* have 384"),
        (np.zeros(384), np.zeros((0, 384)), "no components of vectors"),
    ],
)
def test_components_of_other_vectors_are_refused_before_anything_is_encoded(tmp_path, mean, components, says):
    path = tmp_path / "pca.safetensors"
    save_file({"mean": mean.astype(np.float32), "components": components.astype(np.float32)}, path)
    with pytest.raises((MissingWeights, UsageError), match=says):
        card(f"{TEXT}?pca={path}")


def test_components_that_change_between_description_and_load_are_refused(tmp_path):
    path = tmp_path / "pca.safetensors"
    save_components(Reduction(mean=np.zeros(384, np.float32), components=np.eye(384, dtype=np.float32)[:4]), path)
    described = card(f"{TEXT}?pca={path}")
    save_components(Reduction(mean=np.zeros(384, np.float32), components=np.eye(384, dtype=np.float32)[:5]), path)
    with pytest.raises(MissingWeights, match="not those that the encoder was described with"):
        load_encoder(described, "cpu")
