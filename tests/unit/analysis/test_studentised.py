"""The smallest of several means: against scipy, and how often what is simulated is claimed.

Simulated are answers of all arms to the questions of every target, targets that differ by 12 points
(SD) in each gain, as single trainings do. Shares may be off by three of their standard errors.
"""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from matcg.analysis.studentised import Smallest, over_means, over_targets, smallest, studentised

EXPERIMENTS, QUESTIONS, SPREAD = 2_000, 100, 0.12
SIZES = (6, 12, 24)
LEVEL = 0.025


def test_one_mean_is_students_t() -> None:
    rng = np.random.default_rng(1)
    scores = [rng.normal(mean, 0.1, 50) for mean in (0.2, -0.1, 0.3, 0.25)]
    found = over_targets(scores, [None] * 4)
    theirs = ttest_1samp([each.mean() for each in scores], 0, alternative="greater")
    assert float(found.p_above) == pytest.approx(theirs.pvalue)
    low, high = ttest_1samp([each.mean() for each in scores], 0).confidence_interval(0.95)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((low, high))


def test_on_one_target_questions_vary_or_their_clusters() -> None:
    rng = np.random.default_rng(2)
    arm, other = rng.integers(2, size=(2, 1, 40)).astype(float)
    found = studentised(arm, other)
    theirs = ttest_1samp((arm - other)[0], 0, alternative="greater")
    assert float(found.p_above) == pytest.approx(theirs.pvalue)
    pairs = np.repeat(np.arange(20), 2)
    clustered = studentised(arm, other, pairs)
    sums = (arm - other)[0].reshape(20, 2).mean(axis=1)
    assert float(clustered.p_above) == pytest.approx(
        ttest_1samp(sums, 0, alternative="greater").pvalue
    )


def test_runs_that_differ_widen_the_limits() -> None:
    flat = np.full((1, 200), 0.5)
    runs = np.repeat([[0.4], [0.6], [0.8]], 200, axis=1)
    found = studentised(runs, flat)
    theirs = ttest_1samp([0.4, 0.6, 0.8], 0.5)
    assert float(found.error) == pytest.approx(float(abs(0.1 / theirs.statistic)))


def test_targets_that_are_equal_by_accident_prove_nothing() -> None:
    scores = [np.array([1.0, 0, 0, 0, 0, 0])] * 2
    assert float(over_targets(scores, [None, None]).p_above) > 0.1


def test_the_smallest_takes_the_largest_p_and_the_least_limits() -> None:
    found = [over_means(np.array(m), np.zeros(3)) for m in ([0.2, 0.3, 0.25], [0.1, 0.0, 0.14])]
    both = smallest(found)
    assert float(both.p) == max(float(each.p_above) for each in found)
    assert float(both.value) == pytest.approx(0.08)
    assert float(both.low) == pytest.approx(found[1].estimate.low)
    assert float(both.high) > min(each.estimate.high for each in found)


def simulated(rng: np.random.Generator, targets: int, gains: tuple[float, ...]) -> Smallest:
    """Return the composition gain of experiments in which CG has so much more than its knock-outs.

    Accuracies of targets and trainings vary; questions are answered right or wrong by these.
    """
    shape = (EXPERIMENTS, targets)
    cg = rng.normal(0.6, SPREAD / np.sqrt(2), shape)
    arms = [cg] + [rng.normal(0.6 - gain, SPREAD / np.sqrt(2), shape) for gain in gains]
    right = [rng.binomial(QUESTIONS, each.clip(0, 1)) / QUESTIONS for each in arms]
    noise = [each * (1 - each) / (QUESTIONS - 1) for each in right]
    return smallest(
        [over_means(right[0] - r, noise[0] + n) for r, n in zip(right[1:], noise[1:], strict=True)]
    )


def within(share: float, expected: float) -> bool:
    return abs(share - expected) <= 3 * np.sqrt(expected * (1 - expected) / EXPERIMENTS)


@pytest.mark.parametrize("targets", SIZES)
def test_nothing_is_claimed_where_nothing_is(targets: int) -> None:
    found = simulated(np.random.default_rng(targets), targets, (0.0, 0.0, 0.0))
    assert (found.p < LEVEL).mean() <= LEVEL


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("targets", SIZES)
def test_at_each_boundary_as_much_is_claimed_as_is_said(targets: int, place: int) -> None:
    """One element adds nothing, the others 20 points: 2.5 %."""
    gains = [0.2, 0.2, 0.2]
    gains[place] = 0.0
    found = simulated(np.random.default_rng(100 * place + targets), targets, tuple(gains))
    # With six targets 20 points are not always found themselves, so that it can be less.
    share = float((found.p < LEVEL).mean())
    assert within(share, LEVEL) or (targets == 6 and share < LEVEL)


@pytest.mark.parametrize("gains", [(0.1, 0.1, 0.1), (0.0, 0.1, 0.2), (0.0, 0.0, 0.0)])
@pytest.mark.parametrize("targets", SIZES)
def test_the_interval_of_the_smallest_holds_it(targets: int, gains: tuple[float, ...]) -> None:
    found = simulated(np.random.default_rng(7 * targets), targets, gains)
    least = min(gains)
    held = float(((found.low <= least) & (least <= found.high)).mean())
    assert held > 0.95 - 3 * np.sqrt(0.05 * 0.95 / EXPERIMENTS)


def test_the_smaller_limit_alone_would_hold_it_too_rarely() -> None:
    """Why the upper limit is of 1 - 0.025 / |E|: the smallest difference was picked."""
    rng = np.random.default_rng(3)
    means = rng.normal(0.1, SPREAD, (3, 20_000, 12))
    found = [over_means(each, np.zeros((20_000, 12))) for each in means]
    picked = np.argmin([each.value for each in found], axis=0)
    high = np.array([each.value + each.half(LEVEL) for each in found])
    low = np.array([each.value - each.half(LEVEL) for each in found])
    own = np.take_along_axis(low, picked[None], 0) <= 0.1
    own &= np.take_along_axis(high, picked[None], 0) >= 0.1
    assert own.mean() < 0.945


def test_permuted_answer_keys_are_rarely_composed() -> None:
    """Each training takes labels for something of its own, so that a target is all or nothing."""
    rng = np.random.default_rng(11)
    targets, labels, arms, keys = 12, 4, 4, 2_000
    answer = rng.integers(labels, size=(targets, QUESTIONS))
    meaning = rng.integers(labels, size=(arms, targets, labels))
    said = np.take_along_axis(meaning, np.broadcast_to(answer, (arms, *answer.shape)), axis=2)
    # CG says nearly always the same of a label, its knock-outs less so.
    sure = np.array([0.95, 0.6, 0.6, 0.6])[:, None, None]
    said = np.where(rng.random(said.shape) < sure, said, rng.integers(labels, size=said.shape))
    turned = rng.permuted(np.tile(np.arange(labels), (keys, targets, 1)), axis=2)
    key = np.take_along_axis(turned, np.broadcast_to(answer, (keys, *answer.shape)), axis=2)
    right = [(each == key).astype(float) for each in said]
    gains = [
        over_means((right[0] - other).mean(axis=2), (right[0] - other).var(axis=2) / QUESTIONS)
        for other in right[1:]
    ]
    assert (smallest(gains).p < LEVEL).sum() <= LEVEL * 2 * keys + 1
