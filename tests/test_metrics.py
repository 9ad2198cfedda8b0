"""Figures, intervals and comparisons against what other libraries and plain arithmetic give."""

import math

import ir_measures
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import ndcg_score

from pipelines.compare import against_best, holm, randomisation_p
from pipelines.metrics import (
    HALVES,
    RESAMPLES,
    Judged,
    difference_interval,
    figures_over,
    halving_interval,
    mean_interval,
)

CHANCE = np.random.default_rng(7)


def judged(places: str, answers: int = 1, spans: tuple[bool, ...] = ()) -> Judged:
    """A ranking as a word: "..x" is right at the third place only."""
    return Judged(tuple(place == "x" for place in places), answers, spans)


def many(count: int) -> list[Judged]:
    """Rankings of 100 places with 1 to 5 right answers, some of them not found."""
    rankings = []
    for _ in range(count):
        places = CHANCE.choice(100, size=CHANCE.integers(0, 6), replace=False)
        right = tuple(place in places for place in range(100))
        rankings.append(Judged(right, max(1, len(places) + int(CHANCE.integers(0, 3)))))
    return rankings


def test_map_ndcg_and_recall_are_those_of_ir_measures() -> None:
    rankings = many(200)
    names = {"map": ir_measures.AP, "ndcg@10": ir_measures.nDCG @ 10, "mrr": ir_measures.RR}
    names |= {f"recall@{depth}": ir_measures.Success @ depth for depth in (1, 5, 10)}
    relevant, run = [], []
    for number, one in enumerate(rankings):
        run += [ir_measures.ScoredDoc(f"q{number}", f"d{place}", -place) for place in range(100)]
        found = [place for place, right in enumerate(one.right) if right]
        unfound = [f"elsewhere {at}" for at in range(one.answers - len(found))]
        relevant += [ir_measures.Qrel(f"q{number}", name, 1) for name in (*(f"d{at}" for at in found), *unfound)]
    theirs = ir_measures.calc_aggregate(list(names.values()), relevant, run)
    ours = figures_over(rankings)
    for name, measure in names.items():
        assert ours[name] == pytest.approx(theirs[measure], abs=1e-4), name


def test_ndcg_is_that_of_scikit_learn_where_all_answers_were_ranked() -> None:
    for one in many(50):
        if any(one.right) and sum(one.right) == one.answers:
            scores = -np.arange(100)[None, :]
            assert one.ndcg() == pytest.approx(ndcg_score(np.array([one.right], float), scores, k=10), abs=1e-9)


def test_median_rank_is_none_where_the_median_answer_was_not_found() -> None:
    assert figures_over([judged("x"), judged(".x"), judged("...")])["median_rank"] == 2.0
    lost = figures_over([judged("x"), judged("..."), judged("...")])
    assert lost["median_rank"] is None
    assert lost["median_rank_ci95"] == [1.0, None]


def test_span_hit_is_a_share_of_judgements_and_none_without_any() -> None:
    figures = figures_over([judged("xx", 2, (True, False)), judged("x", 1, (True,)), judged("x")])
    assert figures["span_hit"] == pytest.approx(2 / 3, abs=1e-4)
    low, high = figures["span_hit_ci95"]
    assert low <= 2 / 3 <= high
    without = figures_over([judged("x")])
    assert (without["span_hit"], without["span_hit_ci95"]) == (None, None)


def test_intervals_are_those_of_scipys_percentile_bootstrap() -> None:
    values = CHANCE.random(80)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    assert mean_interval(values) == pytest.approx([theirs.low, theirs.high], abs=0.01)


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    truth, inside = 0.4, 0
    for _ in range(300):
        low, high = mean_interval((CHANCE.random(60) < truth).astype(float))
        assert low is not None and high is not None
        inside += low <= truth <= high
    assert 0.90 <= inside / 300 <= 0.99


@pytest.mark.parametrize("count", [1, 12, 60])
def test_questions_that_all_agree_have_the_exact_interval_instead_of_none(count: int) -> None:
    theirs = stats.binomtest(count, count).proportion_ci(0.95, method="exact")
    assert mean_interval(np.ones(count)) == pytest.approx([theirs.low, 1.0], abs=1e-4)
    assert mean_interval(np.zeros(count)) == pytest.approx([0.0, 1 - theirs.low], abs=1e-4)


def test_the_same_rankings_give_the_same_intervals() -> None:
    rankings = many(30)
    assert figures_over(rankings) == figures_over(rankings)


@pytest.mark.parametrize("count", [9, 40])
def test_p_values_are_those_of_scipys_paired_permutation_test(count: int) -> None:
    differences = CHANCE.normal(0.15, 0.5, count)
    theirs = stats.permutation_test(
        (differences, np.zeros(count)),
        lambda ours, other, axis: np.mean(ours - other, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(3),
    ).pvalue
    assert randomisation_p(differences) == pytest.approx(theirs, abs=0.02)


def test_no_difference_is_never_significant() -> None:
    assert randomisation_p(np.zeros(50)) == 1.0
    assert difference_interval(np.zeros(50)) == [0.0, 0.0]


def test_correction_multiplies_by_what_is_left_and_never_falls() -> None:
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert adjusted == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def test_strategies_are_compared_with_the_best_over_the_same_questions() -> None:
    good, bad = [judged("x")] * 40, [judged("......x")] * 40
    slower = [judged(".x")] * 40
    told = against_best({"bad": bad, "slower": slower, "good": good})
    assert told["good"] is None
    assert told["bad"] is not None and told["slower"] is not None
    assert told["bad"]["strategy"] == told["slower"]["strategy"] == "good"
    assert (told["bad"]["recall@5_difference"], told["slower"]["recall@5_difference"]) == (-1.0, 0.0)
    assert told["bad"]["recall@5_p_holm"] < 0.01
    assert told["slower"]["recall@5_p"] == 1.0
    assert told["slower"]["mrr_p_holm"] < 0.01


def test_a_strategy_alone_is_compared_with_nothing() -> None:
    assert against_best({"auto": [judged("x")]}) == {"auto": None}


def test_a_ranking_with_more_right_places_than_answers_is_refused() -> None:
    with pytest.raises(ValueError, match="right answers"):
        judged("xx", answers=1)
    assert judged("...").first_rank == math.inf
    assert RESAMPLES >= 1000


def test_the_interval_of_halves_is_the_corrected_resampled_t() -> None:
    gains = np.random.default_rng(1).normal(0.1, 0.02, HALVES)
    half = stats.t.ppf(0.975, HALVES - 1) * math.sqrt((1 / HALVES + 1) * gains.var(ddof=1))
    assert halving_interval(gains) == pytest.approx([gains.mean() - half, gains.mean() + half], abs=2e-4)
