"""Statistics against values printed by textbooks, R and scipy, and against simulated truth.

Values of R are those that tests/data/reference.R prints (R 4.2.2, lme4 1.1-31, lmerTest 3.1-3,
nlme 3.1-162, sandwich 3.0-2). Simulated shares may be off by three of their standard errors.
"""

import math

import numpy as np
import pytest
from scipy.stats import bootstrap, norm
from scipy.stats import t as student

from matcg.analysis import statistics
from matcg.analysis.studentised import difference_over_runs


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
        # R: prop.test(x, n, correct = FALSE).
        (0, 33, 0.0000, 0.1043),
        (199, 200, 0.9722, 0.9991),
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
        # Agresti, Categorical Data Analysis (2002), table 10.1: approval, asked twice.
        (86, 150, 3.71593614e-05),
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


def test_adjusted_p_values_agree_with_r_on_the_example_of_benjamini_and_hochberg():
    """J R Stat Soc B 57 (1995) 289-300, section 3.2: Bonferroni rejects three, theirs four."""
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240]
    p_values += [0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    holm = [0.0015, 0.0056, 0.0247, 0.1140, 0.2211, 0.2780, 0.2780, 0.2780, 0.3213, *[1.0] * 6]
    bh = [0.0015, 0.003, 0.0095, 0.035625, 0.0603, 0.0638571429, 0.0638571429, 0.0645, 0.0765]
    bh += [0.486, 0.5811818182, 0.714875, 0.7532307692, 0.8132142857, 1.0]
    assert statistics.holm(p_values) == pytest.approx(holm)
    assert statistics.benjamini_hochberg(p_values) == pytest.approx(bh)
    assert sum(q < 0.05 for q in statistics.benjamini_hochberg(p_values)) == 4


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


# --- Clusters ------------------------------------------------------------------------------------


def test_a_cluster_counts_once_by_the_sign_of_its_sum():
    differences = np.array([1.0, 1.0, -1.0, -1.0, 0.0, 1.0])
    clusters = np.array([0, 0, 0, 1, 2, 3])
    assert statistics.discordant(differences) == (3, 2)
    assert statistics.discordant(differences, clusters) == (2, 1)


def test_questions_about_one_patient_are_no_more_evidence_than_one():
    once = discordant(30, 10, 20)
    thrice, patients = once.repeat(3), np.arange(once.size).repeat(3)
    plain = statistics.mean_over_questions(once, seed=0)
    together = statistics.mean_over_questions(thrice, 0, patients)
    apart = statistics.mean_over_questions(thrice, seed=0)
    assert (together.low, together.high) == pytest.approx((plain.low, plain.high))
    assert apart.high - apart.low < 0.7 * (together.high - together.low)
    assert statistics.mcnemar_p(thrice, patients) == statistics.mcnemar_p(once)
    targets = statistics.mean_over_targets([thrice, once], 0, [patients, None])
    assert targets.value == plain.value


def test_scores_of_one_test_set_are_resampled_alike():
    one, other = discordant(30, 10, 20), discordant(5, 9, 46)
    together = statistics.means_over_questions(np.array([one, other]), seed=4)
    alone = [statistics.mean_over_questions(scores, seed=4) for scores in (one, other)]
    assert together == alone


def five_targets():
    """Return the scores and source datasets of tests/data/reference.R."""
    scores, datasets = [], []
    for target, size in enumerate(range(8, 25, 4)):
        i = np.arange(size)
        scores.append(((5 * i + 3 * target + i * i % 7) % 3 - 1 + target % 3 / 2).astype(float))
        datasets.append((i + target * target) % 7)
    return scores, datasets


def test_clustered_mean_agrees_with_r():
    # R: vcovCL(lm(d ~ 1, weights), cluster = dataset, type = "HC1"), t on six degrees of freedom.
    estimate = statistics.mean_by_clusters(*five_targets())
    expected = (0.4775, 0.3063016352, 0.6486983648)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(expected, abs=1e-9)


def test_a_few_datasets_do_not_tell_how_datasets_differ():
    scores, datasets = five_targets()
    assert statistics.mean_by_clusters(scores, [each % 4 for each in datasets]) is None


def test_mixed_model_agrees_with_r():
    # R: lme(d ~ 1, random = ~ 1 | target): mean, standard error; t on four degrees of freedom.
    estimate = statistics.mean_by_mixed_model(five_targets()[0])
    half = 2.7764451052 * 0.194157493
    expected = (0.477887158, 0.477887158 - half, 0.477887158 + half)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("scores", [[np.ones(4)], [np.ones(4), np.ones(3)]])
def test_there_is_no_mixed_model_of_one_target_or_of_equal_scores(scores):
    assert statistics.mean_by_mixed_model(scores) is None


# --- Seeds and draws -----------------------------------------------------------------------------


def test_difference_over_runs_agrees_with_r():
    # R: lmerTest's lmer(y ~ 1 + (1 | q) + (1 | s)): estimate, standard error, Satterthwaite's p.
    q, s = np.meshgrid(np.arange(30), np.arange(4))
    runs = ((7 * q + 3 * s + 2 * q * s + q * q % 11) % 10 < 2 + 2 * (q % 4) + s).astype(float)
    found = difference_over_runs(runs, np.zeros((1, 30)))
    assert found.estimate.value == pytest.approx(0.583333333333)
    assert found.error == pytest.approx(0.081001866, abs=1e-7)
    assert found.p == pytest.approx(0.000540219, abs=1e-8)


def test_one_run_an_arm_says_nothing_of_how_runs_differ():
    assert difference_over_runs(np.ones((1, 9)), np.zeros((1, 9))) is None


def test_runs_that_all_agree_leave_nothing_uncertain():
    found = difference_over_runs(np.ones((3, 9)), np.zeros((3, 9)))
    assert (found.estimate.low, found.estimate.high, found.p) == (1.0, 1.0, 0.0)
    assert difference_over_runs(np.ones((3, 9)), np.ones((3, 9))).p == 1.0


# --- Simulated truth -----------------------------------------------------------------------------


def margin(share, trials):
    """Return three standard errors of a simulated share."""
    return 3 * math.sqrt(share * (1 - share) / trials)


def answers(rng, ease, n_runs, sd):
    """Return runs' answers to questions of an ease each, the runs differing by a normal effect."""
    effect = rng.normal(0, sd, size=(n_runs, 1))
    return (rng.random((n_runs, ease.size)) < np.clip(ease + effect, 0, 1)).astype(float)


def test_wilson_interval_covers_the_true_share():
    trials = 4000
    rng = np.random.default_rng(7)
    for n, share in ((33, 0.25), (67, 0.5), (200, 0.9)):
        numbers, times = np.unique(rng.binomial(n, share, trials), return_counts=True)
        found = [statistics.wilson(int(number), n) for number in numbers]
        held = [each.low <= share <= each.high for each in found]
        covered = np.average(held, weights=times)
        # Shares of few questions are discrete, so that no interval covers exactly 95 %.
        assert abs(covered - 0.95) < 0.015 + margin(0.95, trials)


@pytest.mark.parametrize("size", [1, 3])
def test_bootstrap_interval_of_a_difference_covers_it(size):
    """150 questions, alone or three a patient: 95 of 100 intervals hold the true difference."""
    trials, n = 2000, 150
    rng = np.random.default_rng(11 + size)
    patients = np.arange(n // size).repeat(size)
    # A patient's questions are answered alike: the answer to the first stands for all.
    better, worse = 0.3, 0.15
    first = rng.choice([1.0, -1.0, 0.0], (trials, n // size), p=[better, worse, 0.55])
    found = statistics.means_over_questions(
        first.repeat(size, axis=1), 3, patients if size > 1 else None, draws=1000
    )
    covered = np.mean([each.low <= better - worse <= each.high for each in found])
    # The percentile bootstrap of few clusters is short by sqrt(1 - 1 / clusters).
    assert abs(covered - 0.95) < (0.015 if size > 1 else 0.005) + margin(0.95, trials)


@pytest.mark.parametrize(("seeds", "draws", "sd"), [(3, 3, 0.1), (5, 5, 0.05), (1, 5, 0.08)])
def test_interval_over_runs_covers_where_runs_differ(seeds, draws, sd):
    trials = 1500
    rng = np.random.default_rng(13)
    covered = 0
    for _ in range(trials):
        ease = rng.uniform(0.25, 0.75, 150)
        cg = answers(rng, ease, seeds, sd if seeds > 1 else 0.0)
        found = difference_over_runs(cg, answers(rng, ease, draws, sd))
        covered += found.estimate.low <= 0 <= found.estimate.high
    # With few runs it errs on the safe side, since no component of variance can be below zero.
    assert 0.95 - margin(0.95, trials) <= covered / trials <= 0.975 + margin(0.975, trials)


def scores_of_targets(trials, n_targets):
    """Return scores (trials, targets, 60 questions) where targets differ (sd 0.1) about 0.2."""
    rng = np.random.default_rng(17)
    found = []
    for _ in range(trials):
        gains = rng.normal(0.2, 0.1, size=(n_targets, 1))
        found.append(np.where(rng.random((n_targets, 60)) < (1 + gains) / 2, 1.0, -1.0))
    return np.stack(found)


def half_by_anova(scores):
    """Return half the mixed model's interval for as many questions a target: then it has a formula.

    By the mean square between targets, or that of all scores where it is below the one within them
    (Searle, Casella and McCulloch, Variance Components, 1992, chapter 3).
    """
    *_, n, k = scores.shape
    between, within = k * scores.mean(-1).var(-1, ddof=1), scores.var(-1, ddof=1).mean(-1)
    every = scores.reshape(*scores.shape[:-2], n * k).var(-1, ddof=1)
    variance = np.where(between > within, between, every)
    return student.ppf(0.975, n - 1) * np.sqrt(variance / (n * k))


@pytest.mark.parametrize(("n_targets", "trials"), [(6, 300), (25, 60)])
def test_interval_over_targets_covers_the_true_mean(n_targets, trials):
    covered = 0
    for trial, scores in enumerate(scores_of_targets(trials, n_targets)):
        found = statistics.mean_over_targets(list(scores), seed=trial, draws=500)
        covered += found.low <= 0.2 <= found.high
    assert abs(covered / trials - 0.95) < margin(0.95, trials)


@pytest.mark.parametrize(("n_targets", "trials"), [(6, 10), (25, 3)])
def test_the_mixed_models_interval_is_that_of_the_analysis_of_variance(n_targets, trials):
    for scores in scores_of_targets(trials, n_targets):
        found = statistics.mean_by_mixed_model(list(scores))
        assert found.value == pytest.approx(scores.mean())
        # Near the boundary the fit stops a little early.
        assert (found.high - found.low) / 2 == pytest.approx(half_by_anova(scores), rel=0.01)


@pytest.mark.parametrize("n_targets", [6, 25])
def test_an_interval_by_analysis_of_variance_covers_the_true_mean(n_targets):
    trials = 4000
    scores = scores_of_targets(trials, n_targets)
    covered = np.mean(np.abs(scores.mean(axis=(1, 2)) - 0.2) <= half_by_anova(scores))
    # With few targets it errs on the safe side, as their variance cannot be found below zero.
    assert 0.95 - margin(0.95, trials) <= covered <= 0.98 + margin(0.98, trials)


@pytest.mark.parametrize(("n_targets", "sd"), [(8, 0.2), (25, 0.1)])
def test_interval_over_targets_counts_few_targets_in_full_and_noise_of_questions_once(
    n_targets, sd
):
    """The width is that of the targets' means alone: t times their standard error."""
    rng = np.random.default_rng(31)
    gains = norm.ppf((np.arange(n_targets) + 0.5) / n_targets, scale=sd)
    scores = [np.where(rng.random(100) < 0.6 + gain, 1.0, -1.0) for gain in gains]
    error = np.std([target.mean() for target in scores], ddof=1) / math.sqrt(n_targets)
    found = statistics.mean_over_targets(scores, seed=0)
    half = student.ppf(0.975, n_targets - 1) * error
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_means_of_scores_that_are_drawn_have_the_same_interval_as_means_over_questions():
    rng = np.random.default_rng(5)
    scores = [(rng.random(80) < share).astype(float) for share in (0.5, 0.6, 0.8, 0.9)]
    drawn = [rng.choice(each, size=(10_000, each.size)).mean(axis=1) for each in scores]
    values = [float(each.mean()) for each in scores]
    found = statistics.mean_of_drawn(values, drawn, 0, (0.0, 1.0))
    wanted = statistics.mean_over_targets(scores, 0)
    assert found.value == pytest.approx(wanted.value)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.01)
    narrow = statistics.mean_of_drawn(values, drawn, 0, (0.0, 0.8))
    assert narrow.high == 0.8 < found.high
    one = statistics.mean_of_drawn(values[:1], drawn[:1], 0, (0.0, 1.0))
    assert [one.low, one.high] == pytest.approx(np.quantile(drawn[0], [0.025, 0.975]).tolist())
    holes = [np.where(rng.random(each.size) < 0.3, np.nan, each) for each in drawn]
    again = statistics.mean_of_drawn(values, holes, 0, (0.0, 1.0))
    assert (again.low, again.high) == pytest.approx((found.low, found.high), abs=0.01)
    with pytest.raises(ValueError, match="at least one target"):
        statistics.mean_of_drawn([], [], 0, (0.0, 1.0))


def verdicts(arms, minimum_effect=0.1):
    """Return the verdicts of a family of (cg, control), each of shape (runs, questions)."""
    p_values, cells = [], []
    for cg, control in arms:
        differences = cg.mean(axis=0) - control.mean(axis=0)
        over_runs = difference_over_runs(cg, control)
        p_values.append(max(statistics.mcnemar_p(differences), over_runs.p if over_runs else 0.0))
        cells.append(float(differences.mean()))
    adjusted = statistics.holm(p_values)
    return [
        statistics.verdict(mean, p, 0.05, minimum_effect)
        for mean, p in zip(cells, adjusted, strict=True)
    ]


@pytest.mark.parametrize(("n_runs", "sd"), [(1, 0.0), (3, 0.0), (3, 0.08)])
def test_null_data_are_called_an_effect_in_no_more_than_five_families_of_a_hundred(n_runs, sd):
    """Families of ten combinations of 150 questions; with several runs, runs differ by chance."""
    families = 200
    rng = np.random.default_rng(19)
    false = 0
    for _ in range(families):
        arms = []
        for _ in range(10):
            ease = rng.uniform(0.25, 0.75, 150)
            arms.append([answers(rng, ease, n_runs, sd) for _ in range(2)])
        false += bool({"helps", "hurts"} & set(verdicts(arms)))
    assert false / families <= 0.05 + margin(0.05, families)


def test_runs_that_differ_by_chance_fool_a_test_that_does_not_count_them():
    """Why the verdict counts runs: McNemar alone takes the luck of three seeds for an effect."""
    trials = 400
    rng = np.random.default_rng(23)
    fooled = 0
    for _ in range(trials):
        ease = rng.uniform(0.25, 0.75, 150)
        cg, control = (answers(rng, ease, 3, 0.08).mean(axis=0) for _ in range(2))
        fooled += statistics.mcnemar_p(cg - control) < statistics.ALPHA
    assert fooled / trials > 0.05 + margin(0.05, trials)


def test_a_true_effect_is_found():
    rng = np.random.default_rng(29)
    ease = rng.uniform(0.2, 0.5, 200)
    arms = [(answers(rng, ease + 0.3, 1, 0), answers(rng, ease, 1, 0)) for _ in range(10)]
    assert verdicts(arms) == ["helps"] * 10
