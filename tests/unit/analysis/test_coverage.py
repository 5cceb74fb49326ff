"""Dividends and Shapley values of a design by coverage."""

from collections.abc import Mapping
from itertools import chain, combinations

import numpy as np
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM

from matcg.analysis import statistics
from matcg.analysis.answers import Answers
from matcg.analysis.coverage import (
    DEPENDS,
    Coverage,
    Quantity,
    coverage,
    joint_estimates,
    quantities,
    sentence,
)
from matcg.analysis.pairs import Array, Study
from matcg.forms import ACCURACY
from matcg.plan.records import Key, Row

NAMES = ("modality", "area", "task")
Scores = Mapping[tuple[str, str], Array]  # by target and arm


def sets(names: tuple[str, ...] = NAMES) -> dict[str, tuple[str, ...]]:
    """Return the elements that each arm covers."""
    every = chain.from_iterable(combinations(names, n) for n in range(len(names) + 1))
    return {"+".join(covered) or "control": covered for covered in every}


def study(scores: Scores) -> Study:
    rows, answers = [], dict[Key, Answers]()
    for (target, arm), score in scores.items():
        mix = f"{arm}-{target}"
        run = f"full/{mix}/seed0"
        row = Row("e", "c", target, "", "", arm, "tiny", "full", 0, mix, run, 60, asked=run)
        rows.append(row)
        names = np.array([f"{i:05d}" for i in range(score.size)])
        answers[row.key] = Answers(
            sample_id=names, answer=np.zeros(score.size), score=score, measure=ACCURACY
        )
    return Study(rows, answers)


def drawn(n_targets: int, questions: int = 80, gain: float = 0.4, seed: int = 0) -> Scores:
    """Return answers where the task alone gives the gain, with targets of their own ease."""
    rng = np.random.default_rng(seed)
    found = {}
    for number in range(n_targets):
        ease = rng.uniform(0.05, 0.55)
        for arm, covered in sets().items():
            p = ease + gain * ("task" in covered)
            found[f"t{number}", arm] = (rng.random(questions) < p).astype(float)
    return found


def by_name(found: list[Coverage]) -> dict[str, Coverage]:
    return {each.covered: each for each in found}


def exact(right: Mapping[str, int], n: int = 100, targets: int = 3) -> Scores:
    return {
        (f"t{number}", arm): np.repeat([1.0, 0.0], [hits, n - hits])
        for number in range(targets)
        for arm, hits in right.items()
    }


def test_dividends_and_shapley_values_of_a_worked_example() -> None:
    """A glove game: one left glove, two right ones; its Shapley values are 2/3, 1/6, 1/6."""
    v = {
        s: float("L" in s and len(s) > 1)
        for s in map(frozenset, ("", "L", "a", "b", "La", "Lb", "ab", "Lab"))
    }
    found = {
        (each.kind, "".join(sorted(each.of))): sum(f * v[s] for s, f in weights.items())
        for each, weights in quantities(list(v), frozenset("Lab")).items()
    }  # fmt: skip
    dividends = {"": 0, "L": 0, "a": 0, "b": 0, "La": 1, "Lb": 1, "ab": 0, "Lab": -1}
    assert {key: found["dividend", key] for key in dividends} == dividends
    shares = [found["shapley", key] for key in "Lab"]
    assert shares == pytest.approx([2 / 3, 1 / 6, 1 / 6])


@pytest.mark.parametrize("names", [NAMES, (*NAMES, "population")])
def test_shapley_values_add_up_to_the_whole_gain(names: tuple[str, ...]) -> None:
    rng = np.random.default_rng(1)
    scores = {
        (f"t{number}", arm): (rng.random(40) < rng.uniform(0.2, 0.9)).astype(float)
        for number in range(4)
        for arm in sets(names)
    }
    found = coverage(study(scores), sets(names))
    assert len(found) == 2 ** len(names)
    shares = [each.shapley for each in found if each.shapley]
    assert len(shares) == len(names)
    whole = found[-1].gain
    assert whole is not None
    assert sum(share.value for share in shares) == pytest.approx(whole.value, abs=1e-12)
    dividends = [each.dividend.value for each in found if each.dividend]
    assert sum(dividends) == pytest.approx(whole.value, abs=1e-12)


@pytest.mark.filterwarnings("ignore:The MLE may be on the boundary")
def test_a_mixed_model_gives_the_same_dividends() -> None:
    """On balanced data: v of target and set = sum of beta over the sets within, random target."""
    scores, covers = drawn(6), sets()
    found = by_name(coverage(study(scores), covers))
    keys = list(scores)
    v = np.array([scores[key].mean() for key in keys])
    within = [[float({*other} <= {*covers[arm]}) for other in covers.values()] for _, arm in keys]
    fit = MixedLM(v, np.array(within), [target for target, _ in keys]).fit(reml=True)
    for beta, covered in zip(fit.fe_params, covers.values(), strict=True):
        record = found[" + ".join(covered) or "nothing"]
        dividend = record.dividend or record.mean
        assert dividend.value == pytest.approx(beta, abs=1e-6)


def test_points_are_those_of_the_mean_over_targets() -> None:
    """Of one set the bootstrap is that of every other table, within what drawing adds."""
    scores = [value for (_, arm), value in drawn(8).items() if arm == "task"]
    factors = np.ones((1, 1))
    ((points, _),) = joint_estimates([each[None] for each in scores], factors, 3, [None] * 8)
    usual = statistics.mean_over_targets(scores, 4)
    assert points.value == usual.value
    assert (points.low, points.high) == pytest.approx((usual.low, usual.high), abs=0.01)


def test_intervals_hold_the_truth_on_both_scales() -> None:
    """The dividend of two elements, of targets that differ in it."""
    rng, trials, held = np.random.default_rng(5), 150, np.zeros(2)
    factors = np.array([[1.0, -1.0, -1.0, 1.0]])
    probe = 1 / (1 + np.exp(-rng.normal([-0.5, 0.0, 0.5, 1.5], 0.5, (100_000, 4))))
    right = rng.binomial(60, probe)
    logits = np.log((right + 0.5) / (60.5 - right)).mean(axis=0)
    truth = [factors[0] @ probe.mean(axis=0), factors[0] @ logits]
    for trial in range(trials):
        p = 1 / (1 + np.exp(-rng.normal([-0.5, 0.0, 0.5, 1.5], 0.5, (8, 4))))
        scores = [(rng.random((60, 4)) < each).T.astype(float) for each in p]
        ((points, logit),) = joint_estimates(scores, factors, trial, [None] * 8, draws=400)
        for place, each in enumerate((points, logit)):
            held[place] += each.low <= truth[place] <= each.high
    assert all(0.9 <= share <= 0.99 for share in held / trials)


def test_sets_are_drawn_jointly() -> None:
    """Sets that get the same questions right differ for certain."""
    same = np.repeat([1.0, 0.0], [30, 70])
    ((points, _),) = joint_estimates([np.array([same, same])], np.array([[1.0, -1.0]]), 0, [None])
    assert (points.low, points.value, points.high) == (0, 0, 0)


def test_clusters_are_drawn_whole() -> None:
    scores = [np.tile(np.repeat([1.0, 0.0], 50), (1, 1))]
    (plain,), (whole,) = (
        joint_estimates(scores, np.ones((1, 1)), 0, [groups])
        for groups in (None, np.arange(100) // 10)
    )
    assert whole[0].high - whole[0].low > 2 * (plain[0].high - plain[0].low)


def test_signs_that_differ_are_said() -> None:
    right = {"control": 10, "modality": 30, "task": 30, "modality+task": 52}
    found = coverage(study(exact(right)), sets(("modality", "task")))
    both = found[-1]
    assert both.dividend is not None
    assert both.dividend.value == pytest.approx(0.02)
    assert both.dividend_logit is not None
    assert both.dividend_logit.value < 0
    assert [each.note for each in found] == ["", "", "", f"dividend: {DEPENDS}"]


def test_percent_only_of_a_gain_above_zero() -> None:
    clear = by_name(coverage(study(drawn(6)), sets()))
    parts = [clear[name].part_of_gain for name in NAMES]
    assert sum(part or 0.0 for part in parts) == pytest.approx(1)
    none = by_name(coverage(study(drawn(6, gain=0.0)), sets()))
    assert [none[name].part_of_gain for name in NAMES] == [None] * 3
    assert none["task"].shapley is not None


def test_only_what_was_run_is_told() -> None:
    scores = dict(drawn(4))
    del scores["t0", "area"]
    found = by_name(coverage(study(scores), sets()))
    assert [found[name].targets for name in ("area", "task")] == [3, 4]
    complete = {name: each.complete_targets for name, each in found.items()}
    assert complete["modality + task"] == 4
    assert complete["area + task"] == complete["modality + area + task"] == 3
    whole = by_name(coverage(study({k: s for k, s in scores.items() if k[0] != "t0"}), sets()))
    for name in NAMES:
        one, other = found[name].shapley, whole[name].shapley
        assert one is not None
        assert other is not None
        assert (one.value, one.low) == pytest.approx((other.value, other.low), abs=1e-9)

    without = {key: score for key, score in scores.items() if key[1] != "area"}
    records = coverage(study(without), sets())
    found = by_name(records)
    assert "area" not in found
    assert found["modality + task"].dividend is not None
    assert found["area + task"].dividend is None
    assert not [each for each in records if each.shapley]
    assert "none has a share of the gain" in sentence(records)


def test_order_changes_nothing() -> None:
    scores, covers = drawn(5), sets()
    backwards = dict(reversed(scores.items()))
    assert coverage(study(backwards), covers) == coverage(study(scores), covers)


def test_the_sentence_says_who_gave_the_gain() -> None:
    right = {"control": 20, "modality": 20, "task": 50, "modality+task": 60}
    text = sentence(coverage(study(exact(right)), sets(("modality", "task"))))
    assert text.startswith("covered nothing 20.0 %, modality + task 60.0 %, gain 40.0 [")
    assert text.index("task 35.0 [") < text.index("modality 5.0 [")


def test_other_arms_are_left_aside() -> None:
    scores = dict(drawn(3))
    assert coverage(study(scores), {}) == []
    assert Quantity("mean", frozenset()) in quantities([frozenset()], frozenset())
