"""Statistics against values printed by textbooks, R and scipy, and against simulated truth."""

import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from matcg import statistics


def discordant(better: int, worse: int, ties: int = 0) -> np.ndarray:
    return np.repeat([1.0, -1.0, 0.0], [better, worse, ties])


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_newcombe(correct, n, low, high):
    estimate = statistics.wilson(correct, n)
    assert (round(estimate.low, 4), round(estimate.high, 4)) == (low, high)


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (5, 4), (-1, 4)])
def test_wilson_refuses_what_is_no_share(correct, n):
    with pytest.raises(ValueError, match="right answers"):
        statistics.wilson(correct, n)


@pytest.mark.parametrize(
    ("better", "worse", "p"),
    [
        # R: binom.test(b, b + c)$p.value, which is McNemar's exact test.
        (8, 2, 0.109375),
        (10, 1, 0.01171875),
        (15, 5, 0.04138947),
        (0, 6, 0.03125),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_agrees_with_the_binomial_test(better, worse, p):
    assert statistics.mcnemar_p(discordant(better, worse, 40)) == pytest.approx(p, abs=1e-7)


def test_mcnemar_counts_a_question_once_however_many_seeds():
    one_seed = discordant(8, 2, 40)
    means_of_three = one_seed / 3
    assert statistics.mcnemar_p(means_of_three) == statistics.mcnemar_p(one_seed)


def test_adjusted_p_values_agree_with_r():
    # R: p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm") and "BH".
    p_values = [0.01, 0.02, 0.03, 0.04]
    assert statistics.holm(p_values) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert statistics.benjamini_hochberg(p_values) == pytest.approx([0.04] * 4)
    assert statistics.holm([]) == []


def test_chance_is_the_mean_of_one_over_the_options():
    assert statistics.chance([2, 4, 4, 2]) == pytest.approx(0.375)


def test_bootstrap_over_questions_agrees_with_scipy():
    scores = discordant(40, 15, 95)
    ours = statistics.mean_over_questions(scores, seed=1)
    theirs = bootstrap(
        (scores,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.value == pytest.approx(25 / 150)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_few_and_many_distinct_scores_are_resampled_alike():
    few = np.tile([0.0, 1.0], 60)
    many = few + np.linspace(-1e-6, 1e-6, few.size)
    one, other = (statistics.mean_over_questions(scores, seed=3) for scores in (few, many))
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.01)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    scores = [np.random.default_rng(k).integers(-1, 2, 50).astype(float) for k in range(4)]
    first = statistics.mean_over_targets(scores, seed=1)
    assert statistics.mean_over_targets(scores, seed=1) == first
    assert statistics.mean_over_targets(scores, seed=2) != first


def test_targets_weigh_alike_whatever_their_number_of_questions():
    estimate = statistics.mean_over_targets([np.ones(10), np.zeros(990)], seed=0)
    assert estimate.value == pytest.approx(0.5)


def test_one_target_has_the_interval_of_its_questions():
    scores = discordant(30, 10, 60)
    one = statistics.mean_over_targets([scores], seed=0)
    plain = statistics.mean_over_questions(scores, seed=9)
    assert (one.low, one.high) == pytest.approx((plain.low, plain.high), abs=0.02)


@pytest.mark.parametrize("scores", [[], [np.ones(3), np.empty(0)]])
def test_a_mean_over_nothing_is_refused(scores):
    with pytest.raises(ValueError, match="at least one question"):
        statistics.mean_over_targets(scores, seed=0)


def test_two_stage_interval_covers_the_true_mean():
    """Targets differ (sd 0.1) and so do questions: nominal 95 %, at least 90 of 100 here."""
    rng = np.random.default_rng(11)
    truth, covered = 0.2, 0
    for trial in range(100):
        gains = np.clip(rng.normal(truth, 0.1, size=20), -0.5, 0.5)
        scores = [np.where(rng.random(60) < (1 + gain) / 2, 1.0, -1.0) for gain in gains]
        estimate = statistics.mean_over_targets(scores, seed=trial, draws=500)
        covered += estimate.low <= truth <= estimate.high
    assert covered >= 90


def test_two_stage_interval_is_wider_than_questions_alone_where_targets_differ():
    scores = [np.ones(100), np.zeros(100), np.ones(100), np.zeros(100)]
    estimate = statistics.mean_over_targets(scores, seed=0)
    assert (estimate.low, estimate.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("n", "pairs", "points"),
    [
        (33, 7, 21.2),
        (67, 0, 9.0),
        (100, 20, 10.0),
        (150, 45, 10.0),
        (200, 60, 9.0),
        (500, 100, 4.4),
    ],
)
def test_detectable_difference_is_the_smallest_that_mcnemar_calls_significant(n, pairs, points):
    smallest = statistics.detectable_difference(n, pairs)
    assert round(100 * smallest, 1) == points
    gain = round(smallest * n)
    better, worse = (pairs + gain) // 2, (pairs - gain) // 2
    if worse >= 0 and pairs:
        assert statistics.mcnemar_p(discordant(better, worse)) < statistics.ALPHA
        assert statistics.mcnemar_p(discordant(better - 1, worse + 1)) >= statistics.ALPHA


def test_five_questions_can_never_be_significant():
    assert statistics.detectable_difference(5, 5) == math.inf


@pytest.mark.parametrize(
    ("difference", "p", "detectable", "expected"),
    [
        (0.2, 0.01, 0.09, "helps"),
        (-0.2, 0.01, 0.09, "hurts"),
        (0.02, 0.6, 0.05, "no evidence"),
        (0.08, 0.3, 0.15, "not detectable at this n"),
    ],
)
def test_verdict(difference, p, detectable, expected):
    assert statistics.verdict(difference, p, detectable) == expected


def test_null_data_is_rarely_called_an_effect():
    rng = np.random.default_rng(5)
    families = 6
    false_claims = 0
    for _ in range(families):
        differences = rng.integers(0, 2, (25, 150)) - rng.integers(0, 2, (25, 150))
        adjusted = statistics.holm([statistics.mcnemar_p(row) for row in differences])
        verdicts = {
            statistics.verdict(float(row.mean()), p, 0.05)
            for row, p in zip(differences, adjusted, strict=True)
        }
        false_claims += bool(verdicts & {"helps", "hurts"})
    assert false_claims <= 1  # 5 % of families expected, exact tests are conservative
