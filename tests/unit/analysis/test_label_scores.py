"""Scores by label against scikit-learn, their draws and swaps against scores formed anew."""

from itertools import product

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from labelled_runs import COMMON, expected, of, run
from matcg.analysis.label_scores import SCORES, Pair, auroc_parts, drawn_by_label, swap_ps
from matcg.analysis.statistics import times_drawn

pytestmark = pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")


@pytest.mark.parametrize("offered", [1.0, 0.6])
@pytest.mark.parametrize("unread", [0.0, 0.2])
@pytest.mark.parametrize("shares", [COMMON, (0.8, 0.2), (0.5, 0.5, 0.0)])
def test_scores_are_those_of_scikit_learn(shares, unread, offered):
    answers = run(1, shares=shares, unread=unread, offered=offered)
    found = drawn_by_label([(1.0, answers)], draws=10)
    assert list(found) == list(SCORES)
    assert [each.value for each in found.values()] == pytest.approx(expected(answers))


def test_where_all_labels_are_offered_auroc_is_the_macro_mean_of_one_against_the_rest():
    answers = run(2)
    found = drawn_by_label([(1.0, answers)], draws=10)["auroc"].value
    whole = roc_auc_score(answers.truth, answers.chances, multi_class="ovr", average="macro")
    assert found == pytest.approx(whole)


def test_blind_guessing_has_half_the_area_whatever_is_offered():
    truth = np.repeat([0, 1, 2, 3, 4, 5], [90, 60, 60, 30, 30, 30])
    blind = run(3, skill=0.0, shares=(1 / 6,) * 6, offered=0.5, truth=truth)
    rest = np.nan_to_num(blind.chances)
    assert drawn_by_label([(1.0, blind)], draws=10)["auroc"].value == pytest.approx(0.5, abs=0.05)
    # With every label that is not offered at zero, what is offered would give labels away.
    assert roc_auc_score(truth, rest / rest.sum(axis=1, keepdims=True), multi_class="ovr") > 0.6


def test_a_label_that_is_only_ever_offered_where_it_is_right_has_no_area():
    answers = run(4, shares=(0.6, 0.4))
    alone = np.where(answers.truth[:, None] == [0, 1], answers.chances, np.nan)
    found = drawn_by_label([(1.0, of(answers.truth, answers.said, alone))], draws=10)
    assert np.isnan(found["auroc"].value)
    assert found["auroc"].estimate is None
    assert found["macro_f1"].estimate is not None


def test_auroc_of_several_runs_is_the_mean_of_theirs():
    runs = [run(seed, skill=0.5) for seed in range(3)]
    found = drawn_by_label([(1 / 3, each) for each in runs], draws=10)
    assert found["auroc"].value == pytest.approx(np.mean([expected(each)[3] for each in runs]))
    together = of(runs[0].truth, runs[0].said, np.mean([each.chances for each in runs], axis=0))
    assert expected(together)[3] > found["auroc"].value + 0.01, "more runs are no better arm"


@pytest.mark.parametrize("clustered", [False, True])
def test_every_draw_is_the_score_of_the_questions_drawn(clustered):
    n, draws = 25, 12
    clusters = np.arange(n) // 3 if clustered else None
    own, other = run(5, n, offered=0.8), run(6, n, 0.2, offered=0.8)
    groups = n if clusters is None else int(clusters.max()) + 1
    (weights,) = times_drawn(np.random.default_rng(8), groups, draws)
    of_each = weights.astype(int) if clusters is None else weights[:, clusters].astype(int)
    taken = [np.repeat(np.arange(n), times) for times in of_each]
    one = drawn_by_label([(1.0, own)], (), 8, clusters, draws)
    both = drawn_by_label([(1.0, own)], [(1.0, other)], 8, clusters, draws)
    for place, name in enumerate(SCORES):
        mine, theirs = ([expected(arm, some)[place] for some in taken] for arm in (own, other))
        assert one[name].draws == pytest.approx(mine)
        assert both[name].draws == pytest.approx(np.subtract(mine, theirs))
        assert both[name].value == pytest.approx(expected(own)[place] - expected(other)[place])


def swapped(own, other, which):
    """Return both arms' answers with whole records of the marked questions exchanged."""
    parts = {name: (getattr(own, name), getattr(other, name)) for name in ("said", "chances")}
    mine, theirs = (
        {
            name: np.where(which if each[0].ndim == 1 else which[:, None], each[1 - at], each[at])
            for name, each in parts.items()
        }
        for at in (0, 1)
    )
    return of(own.truth, **mine), of(own.truth, **theirs)


@pytest.mark.parametrize("trial", range(3))
def test_p_is_the_share_of_swaps_whose_scores_formed_anew_differ_as_much(trial):
    n = 24
    clusters = np.arange(n) // 4
    own, other = run(10 + trial, n, 1.0, offered=0.8), run(20 + trial, n, 0.4, offered=0.8)
    found = swap_ps([Pair(1.0, own, other)], 0, clusters, 999)
    observed = np.subtract(expected(own), expected(other))
    apart = [
        np.subtract(*map(expected, swapped(own, other, np.array(marks)[clusters])))
        for marks in product([False, True], repeat=6)
    ]
    share = (np.abs(apart) >= np.abs(observed) - 1e-9).mean(axis=0)
    assert list(found.values()) == pytest.approx(share.tolist())
    assert len({round(p, 6) for p in found.values()}) > 1, "scores are tested each by itself"


def test_parts_add_up_to_the_difference_of_areas_and_change_sign_where_swapped():
    own, other = run(31), run(32, skill=0.3)
    parts = auroc_parts([Pair(1.0, own, other)])
    assert parts.sum() == pytest.approx(expected(own)[3] - expected(other)[3])
    which = np.random.default_rng(0).random(parts.size) < 0.5
    mine, theirs = swapped(own, other, which)
    moved = np.where(which, -parts, parts).sum()
    assert moved == pytest.approx(expected(mine)[3] - expected(theirs)[3])


def test_runs_are_swapped_with_those_that_they_are_compared_with():
    runs, others = [run(41), run(42)], [run(43, skill=0.2), run(44, skill=0.2)]
    pairs = [Pair(0.5, one, two) for one, two in zip(runs, others, strict=True)]
    areas = [np.mean([expected(each)[3] for each in some]) for some in (runs, others)]
    assert auroc_parts(pairs).sum() == pytest.approx(areas[0] - areas[1])
    assert all(0 < p < 0.05 for p in swap_ps(pairs, 0, None, 9_999).values())


def test_like_arms_are_called_different_about_as_often_as_said():
    trials, n = 300, 40
    clusters = np.arange(n) // 2
    below = np.zeros(len(SCORES))
    for trial in range(trials):
        truth = np.random.default_rng(trial).choice(3, size=n, p=COMMON)
        own, other = (run(2 * trial + side, truth=truth) for side in (1000, 1001))
        p = swap_ps([Pair(1.0, own, other)], trial, clusters, 399)
        below += [each <= 0.05 for each in p.values()]
    assert (below / trials < 0.085).all()
    assert (below / trials > 0.015).all()
