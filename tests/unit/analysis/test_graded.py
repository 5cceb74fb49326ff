"""Swap tests against every swap, McNemar's test and simulated truth; intervals of ratios."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from matcg.analysis import graded, statistics


def f1(tp, fp, fn):
    """Return the sums of F1 at 0.5 from counts of pictures."""
    return np.stack([2 * tp, 2 * tp + fp + fn])[:, None].astype(float)


@given(st.lists(st.sampled_from([(1, 0), (0, 1), (1, 1), (0, 0)]), min_size=1, max_size=14))
def test_of_right_and_wrong_answers_it_is_mcnemars_exact_test(pairs):
    own, other = np.array(pairs, dtype=float).T
    (p,) = graded.swap_p(graded.as_ratio(own), graded.as_ratio(other), seed=0)
    assert p == pytest.approx(statistics.mcnemar_p(own - other))


def every_swap(own, other, clusters):
    """Return the p of a ratio (two sums a question) by the definition, one swap after the other."""
    names = np.unique(clusters)

    def difference(swapped):
        sums = np.zeros((2, 2))
        for question, name in enumerate(clusters):
            pair = [own[:, 0, question], other[:, 0, question]]
            sums += pair[::-1] if swapped[list(names).index(name)] else pair
        return np.subtract(*(top / bottom if bottom else math.nan for top, bottom in sums))

    observed = abs(difference([False] * len(names)))
    found = [difference(swapped) for swapped in product([False, True], repeat=len(names))]
    return np.mean([not abs(each) < observed - 1e-9 for each in found])


@pytest.mark.parametrize("trial", range(6))
def test_up_to_fourteen_clusters_every_swap_counts(trial):
    rng = np.random.default_rng(trial)
    clusters = rng.integers(7, size=25)
    clusters = np.unique(clusters, return_inverse=True)[1]
    own, other = (f1(*rng.integers(0, 3, (3, 25))) for _ in range(2))
    (p,) = graded.swap_p(own, other, 0, clusters)
    assert p == pytest.approx(every_swap(own, other, clusters))


def test_of_more_clusters_swaps_are_drawn_and_what_was_observed_counts():
    rng = np.random.default_rng(3)
    own, other = rng.uniform(0, 1, 16), rng.uniform(0, 1, 16)
    apart = own - other
    signs = 1 - 2 * (np.arange(2**16)[:, None] >> np.arange(16) & 1)
    exact = np.mean(np.abs(signs @ apart) >= abs(apart.sum()) - 1e-9)
    (p,) = graded.swap_p(graded.as_ratio(own), graded.as_ratio(other), 0)
    assert p == pytest.approx(exact, abs=3 * math.sqrt(exact * (1 - exact) / graded.SWAPS))
    (least,) = graded.swap_p(graded.as_ratio(np.ones(99)), graded.as_ratio(np.zeros(99)), 0)
    assert least == 1 / (1 + graded.SWAPS)
    assert graded.swaps_for(10) == graded.SWAPS
    assert 1 / (1 + graded.swaps_for(1000)) * 1000 < statistics.ALPHA / 5


def test_an_undefined_score_has_no_p_and_no_interval():
    nothing, something = f1(*np.zeros((3, 4))), f1(*np.ones((3, 4)))
    assert graded.swap_p(nothing, something, 0) == [None]
    assert graded.ratio_estimates(nothing) == [None]
    assert graded.ratio_estimates(something, nothing) == [None]
    # One picture alone decides whether there is a score: no swap can show a difference.
    one = np.pad(something[..., :1], ((0, 0), (0, 0), (0, 3)))
    assert graded.swap_p(one, np.roll(one, 1, axis=2), 0) == [1.0]


def test_a_mean_is_the_ratio_that_it_is_elsewhere():
    scores = np.random.default_rng(4).uniform(0, 1, (2, 60))
    clusters = np.arange(60) // 4
    expected = statistics.means_over_questions(scores, 5, clusters)
    sums = np.concatenate([graded.as_ratio(each) for each in scores], axis=1)
    found = graded.ratio_estimates(sums, None, 5, clusters)
    assert [(e.value, e.low, e.high) for e in found] == [
        pytest.approx((e.value, e.low, e.high)) for e in expected
    ]
    (gap,) = graded.ratio_estimates(sums[:, :1], sums[:, 1:], 5, clusters)
    expected = statistics.mean_over_questions(scores[0] - scores[1], 5, clusters)
    assert (gap.value, gap.low) == pytest.approx((expected.value, expected.low))


def test_the_interval_of_a_ratio_agrees_with_scipy():
    rng = np.random.default_rng(6)
    inter = rng.uniform(0, 50, 120)
    union = inter + rng.uniform(0, 90, 120)
    (ours,) = graded.ratio_estimates(np.stack([inter, union])[:, None], seed=1)
    theirs = bootstrap(
        (inter, union),
        lambda top, bottom, axis: top.sum(axis=axis) / bottom.sum(axis=axis),
        paired=True,
        n_resamples=5000,
        method="percentile",
        rng=rng,
    ).confidence_interval
    assert ours.value == pytest.approx(inter.sum() / union.sum())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def like_arms(rng):
    """Return two arms' sums of mean IoU, cIoU and F1, and clusters of 1 to 20 pictures.

    A third of the pictures is empty. What an arm is worth in a cluster is one draw for both arms
    and one of each: a patient is found by one and missed by the other.
    """
    sizes = rng.integers(1, 21, 25)
    clusters = np.arange(25).repeat(sizes)
    empty, area = rng.random(clusters.size) < 1 / 3, rng.lognormal(5, 1, clusters.size)
    ease = rng.normal(0, 1, 25)
    arms = []
    for _ in range(2):
        skill = (ease + rng.normal(0, 1, 25))[clusters]
        iou = 1 / (1 + np.exp(-skill - rng.normal(0, 1, clusters.size)))
        said = rng.random(clusters.size) < 1 / (1 + np.exp(skill))  # a box where there is none
        union = np.where(empty, said * area, area * (2 - iou))
        tp, extra = ~empty & (iou >= 0.5), empty & said
        score = np.where(empty, ~said, iou)
        tops = np.stack([score, ~empty * iou * union, 2 * tp])
        missed = ~empty & ~tp
        arms.append(
            np.stack([tops, np.stack([np.ones_like(iou), union, 2 * tp + extra + 2 * missed])])
        )
    return *arms, clusters


def test_like_arms_are_called_different_in_five_of_a_hundred_trials():
    trials, rng = 4000, np.random.default_rng(8)
    found = []
    for trial in range(trials):
        own, other, clusters = like_arms(rng)
        found.append(graded.swap_p(own, other, trial, clusters, swaps=499))
    shares = (np.array(found) <= statistics.ALPHA).mean(axis=0)
    assert np.abs(shares - 0.05).max() < 0.01, shares
