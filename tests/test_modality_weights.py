"""Weights are recommended where they help with questions that they were not fitted on, and only there."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from pipelines.modality_weights import (
    LEAST_QUESTIONS,
    MOST_WEIGHTS,
    Asked,
    candidates,
    question_contributions,
    ranks,
    recommend,
    scaled,
    shares_of_hits,
)

NAMES = ("frame", "words")


def asked(gains: Sequence[Sequence[float]], *, right: int = 0, auto_rank: float = math.inf) -> Asked:
    """One question; every clip lies in a video of its own, and one of them is right."""
    videos = np.arange(len(gains), dtype=np.intp)
    return Asked(np.array(gains, np.float64), videos, videos == right, auto_rank)


def columns(*weights: tuple[float, ...]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array(weights, np.float64).T


def test_scores_are_scaled_from_the_least_to_the_best_of_their_ranking() -> None:
    assert scaled([0.5, 0.4, 0.3]).tolist() == pytest.approx([1.0, 0.5, 0.0], abs=1e-6)
    assert scaled([0.3, 0.3]).tolist() == scaled([7.0]).tolist()[:1] * 2 == [1.0, 1.0]
    assert scaled([]).tolist() == []
    assert scaled([0.5, 0.3])[1] > 0.0  # found, if last


def test_a_rank_follows_from_the_weighted_sum_and_ties_go_against_the_right_video() -> None:
    one = asked([[0.6, 0.0], [0.2, 1.0], [0.6, 0.0]])
    found = ranks([one], columns((1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))
    assert found.tolist() == [[2.0, 3.0, math.inf]]


def test_a_video_ranks_by_its_best_clip() -> None:
    one = Asked(
        np.array([[0.1], [0.9], [0.5]]), np.array([0, 0, 1], np.intp), np.array([True, False]), auto_rank=math.inf
    )
    assert ranks([one], columns((1.0,))).tolist() == [[1.0]]


def test_a_question_whose_right_video_nobody_finds_has_no_rank() -> None:
    one = Asked(np.array([[1.0, 1.0]]), np.array([0], np.intp), np.array([False]), auto_rank=math.inf)
    nothing = Asked(np.zeros((0, 2)), np.array([], np.intp), np.array([], np.bool_), auto_rank=math.inf)
    assert np.isinf(ranks([one, nothing], columns((1.0, 1.0)))).all()


@pytest.mark.parametrize("count", [1, 2, 4, 6, 8])
def test_candidates_are_bounded_each_once_and_hold_equal_weights_and_every_modality_alone(count: int) -> None:
    weights = candidates(count)
    assert weights.shape[1] <= MOST_WEIGHTS
    assert len({tuple(row) for row in weights.T}) == weights.shape[1]
    assert (weights.max(axis=0) == 1.0).all()
    assert all((row == weights.T).all(axis=1).any() for row in [*np.eye(count), np.ones(count)])


def disturbed(count: int, *, auto_rank: float) -> list[Asked]:
    """Questions whose right clip the first modality has first and the second outvotes."""
    return [asked([[1.0, 0.0], [0.6, 1.0], [0.0, 0.9]], auto_rank=auto_rank) for _ in range(count)]


def test_weights_that_silence_a_disturbing_modality_are_recommended_with_their_gain() -> None:
    found = recommend(disturbed(40, auto_rank=2.0), NAMES, seed=0)
    assert found["recommended"]["words"] < found["recommended"]["frame"] == 1.0
    assert found["held_out_mrr"] == 1.0
    assert found["gain_over_auto"] == 0.5
    assert found["gain_over_auto_ci95"][0] > 0
    assert "gain" in found["reason"]


def test_nothing_is_recommended_where_auto_is_as_good() -> None:
    found = recommend(disturbed(40, auto_rank=1.0), NAMES, seed=0)
    assert found["recommended"] is None
    assert found["fitted"]["frame"] == 1.0
    assert "cannot be told from zero" in found["reason"]


def test_nothing_is_recommended_where_fitted_weights_lose_against_auto() -> None:
    lost = [asked([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]], auto_rank=1.0) for _ in range(40)]
    found = recommend(lost, NAMES, seed=0)
    assert (found["recommended"], found["gain_over_auto"]) == (None, -1.0)
    assert "lose" in found["reason"]


def test_on_noise_what_is_fitted_does_not_hold_and_is_not_recommended() -> None:
    """Rankings are random and `auto` is the fusion with equal weights, so no weights can be better than it."""
    chance = np.random.default_rng(5)
    recommended, optimism = 0, []
    for seed in range(20):
        noise = [asked(chance.random((20, 2)).tolist()) for _ in range(30)]
        equal = ranks(noise, columns((1.0, 1.0)))[:, 0]
        own = [Asked(one.gains, one.group, one.right, float(rank)) for one, rank in zip(noise, equal, strict=True)]
        found = recommend(own, NAMES, seed=seed)
        recommended += found["recommended"] is not None
        optimism.append(found["fitted_mrr"] - found["held_out_mrr"])
    assert recommended <= 1  # 2.5 in 100 would be more than enough
    assert np.mean(optimism) > 0.01  # what it was fitted on flatters


def test_too_few_questions_and_a_single_modality_are_said() -> None:
    few = recommend(disturbed(LEAST_QUESTIONS - 1, auto_rank=2.0), NAMES, seed=0)
    assert (few["recommended"], "9 questions are too few" in few["reason"]) == (None, True)
    alone = recommend([asked([[1.0], [0.5]])] * 20, ("frame",), seed=0)
    assert (alone["recommended"], "nothing to weigh" in alone["reason"]) == (None, True)


def test_the_same_seed_gives_the_same_recommendation() -> None:
    chance = np.random.default_rng(5)
    noise = [asked(chance.random((20, 2)).tolist(), auto_rank=3.0) for _ in range(21)]
    assert recommend(noise, NAMES, seed=4) == recommend(noise, NAMES, seed=4)
    assert recommend(noise, NAMES, seed=4)["held_out_mrr"] != recommend(noise, NAMES, seed=5)["held_out_mrr"]


def test_contributions_are_measured_alone_and_without() -> None:
    one = asked([[1.0, 0.0], [0.0, 0.4]], auto_rank=1.0)
    other = asked([[0.0, 1.0], [0.4, 0.0]], auto_rank=2.0)
    found = question_contributions([one, other], NAMES)
    assert (found["together"]["mrr"], found["auto"]["mrr"]) == (1.0, 0.75)
    assert found["modalities"]["frame"]["alone"]["mrr"] == 0.5
    assert found["modalities"]["frame"]["added_to_the_others"]["mrr"] == 0.5


def test_shares_of_hits_are_of_the_fused_score() -> None:
    assert shares_of_hits([asked([[1.0, 0.5], [0.5, 0.0]])], NAMES) == {"frame": 0.75, "words": 0.25}
