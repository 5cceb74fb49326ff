"""Scores by label in tables: which targets, which runs, means over targets, and what is said."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from labelled_runs import expected, of, run
from matcg.analysis.clusters import Origins
from matcg.analysis.label_scores import SCORES, drawn_by_label
from matcg.analysis.pairs import Study
from matcg.analysis.unbalanced import label_scores
from matcg.plan.records import Row

EVEN = np.arange(60) % 3


def row(arm: str, target: str = "t", seed: int = 0, rule: str = "r", **more: Any) -> Row:
    rule, combination = (rule, "a + b") if arm == "cg" else ("", "")
    name = f"full/{arm}{rule}.{target}/seed{seed}"
    fields = ("x", "cat", target, rule, combination, arm, "tiny", "full", seed, "m", name, 60)
    return Row(*fields, **{"asked": name, **more})


def study(answers, origins=None):
    return Study(list(answers), {each.key: found for each, found in answers.items()}, origins)


def values(record):
    return [record.scores[name] and record.scores[name].value for name in SCORES]


ARMS = {row("cg"): run(1, skill=1.5), row("control"): run(2, skill=0.5)}


def test_each_arm_and_the_difference_have_every_score_with_interval_and_p():
    by_target, means = label_scores(study(ARMS))
    assert [each.arm for each in by_target] == ["cg", "control", "CG minus control"]
    cg, control, gap = by_target
    one, other = map(expected, ARMS.values())
    assert values(cg) == pytest.approx(one)
    assert values(control) == pytest.approx(other)
    assert values(gap) == pytest.approx(np.subtract(one, other))
    for each in by_target:
        assert all(e.low < e.value < e.high for e in each.scores.values())
        assert (each.labels, each.questions, each.runs) == (3, 60, 1)
        assert each.rarest == np.bincount(run(1).truth).min()
    assert set(cg.p.values()) == {None}
    assert all(0 < p < 0.05 for p in gap.p.values())
    assert [(each.arm, each.targets) for each in means] == [(e.arm, 1) for e in by_target]
    for mean, record in zip(means, by_target, strict=True):
        assert values(mean) == pytest.approx(values(record))


def test_balanced_targets_are_in_no_table():
    even = {row(each.arm, "u"): run(3 + at, truth=EVEN) for at, each in enumerate(ARMS)}
    assert label_scores(study(even)) == ([], [])
    unknown = {each: replace(found, truth=None) for each, found in ARMS.items()}
    assert label_scores(study(unknown)) == ([], [])
    found, means = label_scores(study(ARMS | even))
    assert {each.target for each in found} == {"t"}
    assert {each.targets for each in means} == {1}


def test_rules_weigh_alike_and_within_them_runs_and_each_has_its_own_control():
    answers = {
        row("cg", seed=0): run(1),
        row("cg", seed=1): run(2, skill=2.0),
        row("cg", rule="s"): run(3, skill=0.0),
        row("control", seed=0): run(4, skill=0.2),
        row("control", seed=1): run(5, skill=0.4),
    }
    one, two, three, four, five = map(np.array, map(expected, answers.values()))
    cg, control, gap = label_scores(study(answers))[0]
    # F1 is formed of the mean records, all else is linear in them.
    linear = [0, 1, 3]
    wanted = (one + two) / 4 + three / 2
    assert np.array(values(cg))[linear] == pytest.approx(wanted[linear])
    assert np.array(values(control))[linear] == pytest.approx(((four + five) / 2)[linear])
    against = (four + five) / 4 + four / 2
    assert np.array(values(gap))[linear] == pytest.approx((wanted - against)[linear])
    assert (cg.runs, control.runs, gap.runs) == (3, 2, 3)


def test_every_target_weighs_alike_and_the_interval_counts_how_targets_differ():
    targets = {f"t{at}": run(at, n=40 + 20 * at, skill=0.5 * at) for at in range(4)}
    answers = {row("cg", target): found for target, found in targets.items()}
    by_target, (mean,) = label_scores(study(answers))
    wanted = np.mean([expected(found) for found in targets.values()], axis=0)
    assert values(mean) == pytest.approx(wanted)
    assert mean.targets == 4
    for name in SCORES:
        widths = [each.scores[name].high - each.scores[name].low for each in by_target]
        found = mean.scores[name]
        assert found.low < found.value < found.high <= 1
        assert found.high - found.low > np.mean(widths) / 2, "targets differ more than questions"


def test_patients_are_drawn_and_swapped_whole():
    clusters = np.arange(60) // 6
    origins = {("cat", "t"): Origins(clusters, np.array(["d"] * 60))}
    (_, _, gap), _ = label_scores(study(ARMS, origins))
    # Ten clusters: every swap counts.
    assert all((p * 1024) == pytest.approx(round(p * 1024)) for p in gap.p.values())
    alone = drawn_by_label([(1.0, next(iter(ARMS.values())))], (), 0, clusters)
    assert np.unique(alone["accuracy"].draws.round(9)).size < 61


def test_what_is_undefined_is_said():
    never = {each: replace(found, labels=(*found.labels, "dog")) for each, found in ARMS.items()}
    never = {
        each: replace(found, chances=np.pad(found.chances, ((0, 0), (0, 1)), constant_values=0.1))
        for each, found in never.items()
    }
    found, _ = label_scores(study(never))
    assert {each.note for each in found} == {"never right: dog"}

    truth = np.repeat([0, 1], [40, 20])
    alone = np.where(truth[:, None] == [0, 1], 0.5, np.nan)
    lonely = {each: of(truth, truth, alone) for each in ARMS}
    (cg, _, gap), (mean, *_) = label_scores(study(lonely))
    assert cg.note == "no AUROC of 2 labels: offered where right only"
    assert (cg.scores["auroc"], gap.p["p_auroc"], mean.scores["auroc"]) == (None, None, None)
    assert cg.scores["macro_f1"].value == 1
    assert mean.note == "auroc: 0 targets"

    unclear = {
        each: replace(found, said=None, chances=None, unclear="'yes' stands for 2 labels")
        for each, found in ARMS.items()
    }
    found, (mean, *_) = label_scores(study(unclear))
    assert {each.note for each in found} == {"no scores by label: 'yes' stands for 2 labels"}
    assert {e for each in found for e in (*each.scores.values(), *each.p.values())} == {None}
    assert mean.scores == dict.fromkeys(SCORES)
