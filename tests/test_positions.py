"""What the position block tells, by each of its kinds, and how a question about a time is laid out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trained_files import table_file, units
from transforms.errors import UsageError
from transforms.fuse.positions import position_query, time_features
from transforms.recipe import Recipe, load_recipe
from transforms.records import Float32

OFFLINE = load_recipe("offline")


def recipe_of(kind: str, **more: object) -> Recipe:
    return Recipe.of(OFFLINE.settings() | {"fusion": {"position_kind": kind, **more}})


RELATIVE = recipe_of("relative")
moments = st.floats(0.0, 36_000.0)


@given(reference=moments, offset=st.floats(-1800.0, 1800.0), shift=st.floats(0.0, 7200.0), longer=st.floats(1.0, 9.0))
@settings(max_examples=80, deadline=None)
def test_relative_positions_depend_on_the_distance_from_the_reference_alone(
    reference: float, offset: float, shift: float, longer: float
) -> None:
    """<query at t_ref, clip at t> = mean over periods of cos(2 pi (t - t_ref) / period), however long the video is."""

    def score(at: float, asked: float, duration: float) -> float:
        return float(position_query(RELATIVE, asked) @ time_features(at, at / duration, RELATIVE.fusion))

    start = 1800.0 + reference
    expected = np.mean([np.cos(2 * np.pi * offset / period) for period in RELATIVE.fusion.position_periods_seconds])
    assert score(start + offset, start, 90_000.0) == pytest.approx(expected, abs=2e-4)
    assert score(start + offset + shift, start + shift, 90_000.0 * longer) == pytest.approx(expected, abs=2e-4)
    assert score(start - offset, start, 90_000.0) == pytest.approx(expected, abs=2e-4)


@given(seconds=moments, fraction=st.floats(0.0, 1.0))
@settings(max_examples=40, deadline=None)
def test_every_kind_is_of_unit_length(seconds: float, fraction: float) -> None:
    for kind in ("sinusoidal", "relative"):
        features = time_features(seconds, fraction, recipe_of(kind).fusion)
        assert features.dtype == np.float32 and np.linalg.norm(features) == pytest.approx(1.0, abs=1e-5)


def test_a_question_lays_out_the_half_that_it_knows() -> None:
    clip = time_features(100.0, 0.25, OFFLINE.fusion)
    by_both, by_seconds, by_fraction = (
        position_query(OFFLINE, 100.0, 0.25),
        position_query(OFFLINE, 100.0),
        position_query(OFFLINE, fraction=0.25),
    )
    np.testing.assert_array_equal(by_both, clip)
    assert not by_seconds[8:].any() and not by_fraction[:8].any()
    for query in (by_seconds, by_fraction):
        assert np.linalg.norm(query) == pytest.approx(1.0, abs=1e-6)
        assert float(query @ clip) == pytest.approx(np.sqrt(0.5), abs=1e-6)


@pytest.fixture(name="table")
def the_table(tmp_path: Path) -> tuple[Float32, str]:
    rows = units(4, 5, 6)
    return rows, table_file(tmp_path / "table.safetensors", rows)


def test_a_learned_position_lies_between_the_rows_of_its_table(table: tuple[Float32, str]) -> None:
    rows, file = table
    fusion = recipe_of("learned", position_file=file).fusion
    np.testing.assert_allclose(time_features(999.0, 0.25, fusion), rows[1], atol=1e-6)
    np.testing.assert_allclose(time_features(0.0, 1.0, fusion), rows[4], atol=1e-6)
    between = rows[0] * 0.5 + rows[1] * 0.5
    np.testing.assert_allclose(time_features(0.0, 0.125, fusion), between / np.linalg.norm(between), atol=1e-6)
    np.testing.assert_array_equal(time_features(0.0, 1.7, fusion), time_features(0.0, 1.0, fusion))


def test_a_hybrid_position_is_half_waves_and_half_table(table: tuple[Float32, str]) -> None:
    rows, file = table
    recipe = recipe_of("hybrid", position_file=file)
    features = time_features(42.0, 0.5, recipe.fusion)
    np.testing.assert_allclose(features[:16] * np.sqrt(2), time_features(42.0, 0.5, OFFLINE.fusion), atol=1e-6)
    np.testing.assert_allclose(features[16:] * np.sqrt(2), rows[2], atol=1e-6)
    assert not position_query(recipe, 42.0)[8:].any()
    assert position_query(recipe, fraction=0.5)[16:].any()


def test_no_position_is_no_block() -> None:
    assert time_features(1.0, 0.5, recipe_of("none").fusion).shape == (0,)


@pytest.mark.parametrize(
    ("kind", "asked", "says"),
    [
        ("none", {"seconds": 3.0}, "cannot tell seconds.*answers questions about no time"),
        ("relative", {"fraction": 0.5}, "cannot tell a fraction.*about seconds"),
        ("sinusoidal", {}, "both are missing"),
        ("sinusoidal", {"fraction": 1.5}, "fraction=1.5"),
    ],
)
def test_a_question_that_positions_cannot_answer_is_refused(kind: str, asked: dict[str, float], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        position_query(recipe_of(kind), **asked)


@pytest.mark.parametrize("fusion", [{"position": 0.0}, {"strategy": "head", "head": "h.safetensors"}])
def test_a_clip_vector_without_a_position_block_cannot_be_asked_for_a_time(fusion: dict[str, object]) -> None:
    recipe = Recipe.of(OFFLINE.settings() | {"fusion": fusion})
    with pytest.raises(UsageError, match="they have no position block"):
        position_query(recipe, 3.0)


def test_a_table_knows_no_seconds(table: tuple[Float32, str]) -> None:
    with pytest.raises(UsageError, match=r"cannot tell seconds.*about a fraction"):
        position_query(recipe_of("learned", position_file=table[1]), 3.0)
