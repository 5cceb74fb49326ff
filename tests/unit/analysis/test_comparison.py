"""CG against its reference where there are several seeds, draws, or questions about one patient.

And where arms are asked in other ways than it.
"""

from dataclasses import replace

import numpy as np
import pytest

from matcg.analysis import statistics
from matcg.analysis.answers import ChoiceAnswers
from matcg.analysis.clusters import Origins
from matcg.analysis.comparison import Claims, comparisons
from matcg.analysis.pairs import Setting, Study
from matcg.analysis.summary import summaries
from matcg.plan.records import Row

N = 60
IDS = np.array([f"q{index:02d}" for index in range(N)])
BASE = {"experiment": "x", "catalog": "cat", "backbone": "tiny", "recipe": "full", "n_train": 60}


def row(arm, seed=0, draw=0, target="t", rule="r", combination="a + b"):
    trained = {"recipe": "", "seed": None, "n_train": 0} if arm == "baseline" else {}
    own = (rule, combination) if arm == "cg" else ("", "")
    run = "baseline" if arm == "baseline" else f"{arm}{own}{seed}.{draw}.{target}"
    values = {**BASE, "seed": seed, **trained}
    return Row(
        **values,
        target=target,
        rule=own[0],
        combination=own[1],
        arm=arm,
        mix="",
        run=run,
        asked=run,
        draw=draw,
    )


def right(*which):
    """Return answers that are right where marked; there are four options, the first is right."""
    marks = np.array(which, dtype=bool)
    zeros = np.zeros(N, dtype=np.int64)
    return ChoiceAnswers(
        sample_id=IDS,
        score=marks.astype(np.float64),
        measure="accuracy",
        n_options=zeros + 4,
        answer=zeros,
        predicted=np.where(marks, 0, 1),
        strict=np.ones(N, dtype=bool),
        mass=np.ones(N),
        confidence=np.full(N, 0.7, dtype=np.float32),
    )


def first(n):
    return np.arange(N) < n


def study(pairs, origins=None):
    """Return a study of (row, marks of right answers)."""
    answers = {each.key: right(*marks) for each, marks in pairs}
    return Study([each for each, _ in pairs], answers, origins)


def compared(pairs, origins=None, claims=None):
    (found,) = comparisons(study(pairs, origins), claims or Claims())
    return found


def test_one_seed_has_no_spread_of_runs():
    found = compared([(row("cg"), first(40)), (row("control"), first(20))])
    assert (found.seeds, found.draws, found.clusters) == (1, 1, N)
    assert found.cg_sd is found.control_sd is found.p_runs is found.over_runs is None
    assert (found.better, found.worse) == (20, 0)
    assert found.p_holm == found.p_mcnemar == pytest.approx(2 * 0.5**20)
    assert found.verdict == "helps"


def test_seeds_give_mean_sd_and_an_interval_of_their_own():
    right_answers = {0: (30, 20), 1: (40, 22), 2: (50, 24)}
    pairs = [(row("cg", seed), first(cg)) for seed, (cg, _) in right_answers.items()]
    pairs += [(row("control", seed), first(other)) for seed, (_, other) in right_answers.items()]
    found = compared(pairs)
    assert found.seeds == 3
    assert found.cg == pytest.approx(40 / N)
    assert found.cg_sd == pytest.approx(10 / N)
    assert found.control_sd == pytest.approx(2 / N)
    assert found.difference.value == found.over_runs.value == pytest.approx(18 / N)
    assert found.over_runs.high - found.over_runs.low > (
        found.difference.high - found.difference.low
    )


def test_a_claim_must_hold_when_runs_are_counted_as_drawn():
    """Two seeds help a lot, one hurts: McNemar on their mean says yes, other seeds may say no."""
    pairs = [(row("cg", seed), first(n)) for seed, n in enumerate((55, 55, 5))]
    pairs += [(row("control", seed), first(20)) for seed in range(3)]
    found = compared(pairs)
    assert found.p_mcnemar < 0.05 < found.p_runs == found.p_holm
    assert found.verdict == "not detectable at this n"


def test_draws_of_the_control_are_a_source_of_variance_of_their_own():
    sizes = (10, 20, 30)
    cg = [(row("cg"), first(40))]
    three = cg + [(row("control", 0, draw), first(n)) for draw, n in enumerate(sizes)]
    found = compared(three)
    assert (found.seeds, found.draws) == (1, 3)
    assert found.control == pytest.approx(20 / N)
    assert found.control_sd == pytest.approx(10 / N)
    assert found.over_runs.value == pytest.approx(20 / N)
    alike = cg + [(row("control", 0, draw), first(20)) for draw in range(3)]
    width = [each.over_runs.high - each.over_runs.low for each in (found, compared(alike))]
    assert width[0] > 2 * width[1]


def test_draws_times_seeds_are_averaged_over_seeds_first():
    pairs = [(row("cg", seed), first(40)) for seed in range(2)]
    pairs += [
        (row("control", seed, draw), first(10 + 10 * draw + 4 * seed))
        for seed in range(2)
        for draw in range(2)
    ]
    found = compared(pairs)
    assert (found.seeds, found.draws) == (2, 2)
    assert found.control == pytest.approx(17 / N)
    assert found.control_sd == pytest.approx(np.std([12, 22], ddof=1) / N)


def test_questions_of_one_patient_are_one_piece_of_evidence():
    origins = {("cat", "t"): Origins(np.arange(N) // 10, np.repeat("set", N))}
    pairs = [(row("cg"), first(40)), (row("control"), first(20))]
    alone, together = compared(pairs), compared(pairs, origins)
    assert together.clusters == 6
    assert (together.better, together.worse) == (2, 0)
    assert together.p_mcnemar == 0.5
    assert together.difference.value == alone.difference.value
    assert together.verdict == "not detectable at this n"


def test_no_claim_where_most_clusters_point_against_the_mean():
    marks = first(0).copy()
    marks[:20] = True
    control = np.zeros(N, dtype=bool)
    control[20:34] = True
    sizes = np.concatenate([np.zeros(20), np.arange(1, 41)]).astype(np.int64)
    origins = {("cat", "t"): Origins(sizes, np.repeat("set", N))}
    found = compared([(row("cg"), marks), (row("control"), control)], origins)
    assert found.difference.value > 0
    assert (found.better, found.worse) == (1, 14)
    assert found.p_holm < 0.05
    assert found.verdict not in ("helps", "hurts")


def test_the_baseline_is_compared_as_well_and_the_paper_s_tick_stands_beside():
    pairs = [(row("cg"), first(30)), (row("control"), first(31)), (row("baseline"), first(10))]
    found = compared(pairs)
    assert found.minus_baseline.value == pytest.approx(20 / N)
    assert found.minus_baseline.low > 0
    assert found.p_baseline == found.p_baseline_holm == pytest.approx(2 * 0.5**20)
    assert found.tick == "no"
    assert compared([pairs[0], (row("control"), first(29)), pairs[2]]).tick == "yes"


def family(name):
    pairs = [(row("control", target=target), first(20)) for target in ("s", "t")]
    pairs += [
        (row("cg", target=target, rule=rule, combination=sources), first(26))
        for target in ("s", "t")
        for rule in ("p", "q")
        for sources in ("a", "b", "c")
    ]
    return comparisons(study(pairs), Claims(family=name))


@pytest.mark.parametrize(("name", "size"), [("rule", 6), ("target", 6), ("experiment", 12)])
def test_holm_s_family_is_the_declared_one(name, size):
    p = 2 * 0.5**6
    assert {found.p_mcnemar for found in family(name)} == {p}
    assert all(found.p_holm == pytest.approx(min(1, size * p)) for found in family(name))


def test_families_are_told_apart_by_what_they_are_named_after():
    pairs = [(row("control", target=target), first(20)) for target in ("s", "t")]
    pairs += [(row("cg", target=target), first(26)) for target in ("s", "t")]
    p = 2 * 0.5**6
    by = {
        name: [found.p_holm for found in comparisons(study(pairs), Claims(family=name))]
        for name in ("rule", "target")
    }
    assert by["rule"] == pytest.approx([2 * p, 2 * p])
    assert by["target"] == pytest.approx([p, p])


def test_the_least_effect_of_interest_decides_what_is_no_evidence():
    pairs = [(row("cg"), first(31)), (row("control"), first(30))]
    detectable = compared(pairs).detectable
    assert compared(pairs, claims=Claims(minimum_effect=detectable + 0.01)).verdict == "no evidence"
    found = compared(pairs, claims=Claims(minimum_effect=detectable - 0.01))
    assert found.verdict == "not detectable at this n"


def test_means_over_targets_are_checked_by_a_mixed_model_and_by_source_datasets():
    targets = [f"t{index}" for index in range(4)]
    pairs = [(row("cg", target=name), first(30 + 3 * k)) for k, name in enumerate(targets)]
    pairs += [(row("control", target=name), first(20)) for name in targets]
    datasets = np.array([f"set{index % 6}" for index in range(N)])
    origins = {("cat", name): Origins(None, datasets) for name in targets}
    made = study(pairs, origins)
    found = summaries(made, comparisons(made, Claims()))[0]
    assert (
        found.minus_reference.value
        == pytest.approx(found.mixed_model.value)
        == found.by_dataset.value
    )
    differences = [
        study(pairs).minus_reference(each, Setting("tiny", "full", 60, 0)) for each, _ in pairs[:4]
    ]
    expected = statistics.mean_by_clusters(differences, [datasets] * 4)
    assert found.by_dataset.low == expected.low
    made = study(pairs, {**origins, ("cat", "t0"): Origins(None, np.repeat("one", N))})
    assert summaries(made, comparisons(made, Claims()))[0].by_dataset is not None
    made = study(pairs)
    assert summaries(made, comparisons(made, Claims()))[0].by_dataset is None


def asked(each, arm, number=0):
    """Return a row of another arm: the same run, with examples."""
    return replace(each, arm=arm, asked=f"{each.run}@three-shot.{number}", draw=number)


def summarised(pairs):
    made = study(pairs)
    return {found.arm: found for found in summaries(made, []) if not found.rule}


BASE_AND_CG = [(row("cg"), first(40)), (row("baseline"), first(20))]


def test_an_arm_is_compared_with_the_reference_that_was_asked_alike():
    cg, baseline = row("cg"), row("baseline")
    pairs = [*BASE_AND_CG, (asked(cg, "cg-shots"), first(50))]
    pairs += [(asked(baseline, "baseline-shots"), first(45))]
    found = summarised(pairs)
    assert found["cg"].minus_reference.value == pytest.approx(20 / N)
    assert found["cg-shots"].minus_reference.value == pytest.approx(5 / N)
    assert found["cg-shots"].minus_baseline.value == pytest.approx(5 / N)
    # A reference of its own protocol is compared with nothing, not with the other reference.
    shots = found["baseline-shots"]
    assert shots.minus_reference is shots.minus_baseline is None
    assert shots.accuracy.value == pytest.approx(45 / N)


def test_an_arm_without_reference_of_its_protocol_is_compared_with_nothing():
    cg = row("cg")
    pairs = [*BASE_AND_CG, (row("control"), first(30)), (asked(cg, "cg-shots"), first(50))]
    shots = summarised(pairs)["cg-shots"]
    assert shots.minus_reference is shots.minus_baseline is None
    assert shots.accuracy.value == pytest.approx(50 / N)
    assert compared(pairs).difference.value == pytest.approx(10 / N)


def test_the_control_s_run_asked_alike_is_the_reference_under_any_name():
    cg, control = row("cg"), row("control")
    pairs = [(cg, first(40)), (control, first(30)), (asked(cg, "cg-shots"), first(50))]
    pairs += [(asked(control, "other-name"), first(48))]
    found = summarised(pairs)
    assert found["cg-shots"].minus_reference.value == pytest.approx(2 / N)
    assert found["other-name"].minus_reference is None
    assert found["cg"].minus_reference.value == pytest.approx(10 / N)


def test_draws_of_examples_are_averaged_in_both_arms():
    cg, baseline = row("cg"), row("baseline")
    pairs = list(BASE_AND_CG)
    pairs += [(asked(cg, "cg-shots", k), first(50 + k)) for k in range(3)]
    pairs += [(asked(baseline, "baseline-shots", k), first(30 + 3 * k)) for k in range(3)]
    found = summarised(pairs)
    assert found["cg-shots"].minus_reference.value == pytest.approx((51 - 33) / N)
    assert found["cg-shots"].runs == 3
    assert found["cg"].minus_reference.value == pytest.approx(20 / N)


def test_a_single_run_varies_by_its_draws_and_several_by_themselves():
    shown = [asked(row("cg", seed), "cg", k) for seed in (0, 1) for k in range(3)]
    sizes = (30, 33, 36, 40, 43, 46)
    made = study([(each, first(n)) for each, n in zip(shown, sizes, strict=True)])
    assert made.replicates(shown[:3]).mean(axis=1) * N == pytest.approx([30, 33, 36])
    assert made.replicates(shown).mean(axis=1) * N == pytest.approx([33, 43])
