"""Intervals, paired tests and verdicts for accuracies measured on the same questions.

Tests, corrections and models come from statsmodels and scipy. Resampling takes its seed from the
caller, so the same answers give the same digits. Questions about one patient or one image belong
together: where `clusters` says so, they are resampled and counted together.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, norm
from scipy.stats import t as student
from statsmodels.regression.linear_model import WLS
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

_Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

ALPHA = 0.05
DRAWS = 10_000
_CHUNK = 2_000
# Fewer clusters say too little of how they differ (Cameron and Miller, J Human Resources 50, 2015).
MIN_CLUSTERS = 5
# A gain below ten points is rarely worth a claim; `compare` takes another value.
MINIMUM_EFFECT = 0.10


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the bounds of its 95 % interval, all fractions of one."""

    value: float
    low: float
    high: float


def wilson(correct: int, n: int) -> Estimate:
    """Return the share `correct / n` with Wilson's score interval (J Am Stat Assoc 22, 1927).

    Raises:
        ValueError: no questions, or more right answers than questions.
    """
    if not 0 <= correct <= n or n == 0:
        raise ValueError(f"{correct} right answers among {n} questions")
    low, high = proportion_confint(correct, n, alpha=ALPHA, method="wilson")
    return Estimate(correct / n, float(low), float(high))


# --- One test set --------------------------------------------------------------------------------


def discordant(differences: _Array, clusters: Codes | None = None) -> tuple[int, int]:
    """Return how many questions, or clusters of them, speak for the first and for the other arm.

    `differences` has shape (questions,). With several runs they are means over runs and only their
    sign counts, so that a question, not a question times run, is the unit. A cluster counts once,
    by the sign of its sum.
    """
    sums = differences if clusters is None else np.bincount(clusters, weights=differences)
    sums = sums.round(9)
    return int(np.sum(sums > 0)), int(np.sum(sums < 0))


def mcnemar_p(differences: _Array, clusters: Codes | None = None) -> float:
    """Return the exact two-sided McNemar p of what `discordant` counts."""
    better, worse = discordant(differences, clusters)
    return float(mcnemar([[0, better], [worse, 0]], exact=True).pvalue)


def mean_over_questions(
    scores: _Array, seed: int, clusters: Codes | None = None, draws: int = DRAWS
) -> Estimate:
    """Return the mean of per-question scores, shape (questions,), with its bootstrap interval."""
    return means_over_questions(scores[None, :], seed, clusters, draws)[0]


def means_over_questions(
    scores: _Array, seed: int, clusters: Codes | None = None, draws: int = DRAWS
) -> list[Estimate]:
    """Return the same for several scores of the same questions, shape (scores, questions).

    All are resampled alike. `clusters` numbers each question's cluster from 0; clusters are drawn
    whole, so that the mean is a ratio of two sums.
    """
    sums, sizes = per_cluster(scores, clusters)
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [
            weights @ sums.T / (weights @ sizes)[:, None]
            for weights in times_drawn(rng, sizes.size, draws)
        ]
    )
    lows, highs = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2], axis=0)
    values = scores.mean(axis=1)
    return [Estimate(*map(float, each)) for each in zip(values, lows, highs, strict=True)]


def per_cluster(scores: _Array, clusters: Codes | None) -> tuple[_Array, _Array]:
    """Return the sum of each score in each cluster, and how many questions a cluster has."""
    if clusters is None:
        return scores, np.ones(scores.shape[1])
    sizes = np.bincount(clusters).astype(np.float64)
    sums = np.array([np.bincount(clusters, weights=row) for row in scores])
    return sums, sizes


def times_drawn(rng: np.random.Generator, n: int, draws: int) -> Iterator[_Array]:
    """Yield how often each of `n` clusters is drawn, a block of draws at a time."""
    for start in range(0, draws, _CHUNK):
        rows = min(_CHUNK, draws - start)
        taken = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(taken.ravel(), minlength=rows * n)
        yield counts.reshape(rows, n).astype(np.float64)


def variance_of_mean(deviations: _Array, clusters: Codes | None) -> float:
    """Return the variance of a mean over questions that clusters of them give, summed over rows."""
    centred = deviations - deviations.mean(axis=1, keepdims=True)
    sums, sizes = per_cluster(centred, clusters)
    n = sizes.size
    return float((sums**2).sum() * n / max(n - 1, 1) / deviations.shape[1] ** 2)


# --- Several targets -----------------------------------------------------------------------------


def mean_over_targets(
    scores: Sequence[_Array],
    seed: int,
    clusters: Sequence[Codes | None] | None = None,
    draws: int = DRAWS,
) -> Estimate:
    """Return the mean over targets of their mean scores, one array of questions a target.

    Each draw takes targets with replacement and, within every taken target, questions or their
    clusters with replacement. That alone counts the questions' noise twice, so the targets' means
    are first drawn together as much as makes the variance right (Davison and Hinkley, Bootstrap
    Methods and their Application, 1997, section 3.8). Percentiles are those that Student's t on
    targets minus one would have (Hesterberg, Am Stat 69, 2015, expanded percentile interval).

    Raises:
        ValueError: no target, or a target without questions.
    """
    _check(scores)
    rng = np.random.default_rng(seed)
    of_each = clusters or [None] * len(scores)
    mean = _mean(scores)
    if len(scores) == 1:
        return _interval(mean, _resampled_means(rng, scores[0], draws, of_each[0]), ALPHA / 2)
    pairs = list(zip(scores, of_each, strict=True))
    within = float(np.mean([variance_of_mean(target[None, :], own) for target, own in pairs]))
    every = np.concatenate(scores)
    return _over_targets(
        np.array([target.mean() for target in scores]),
        within,
        lambda at, count: _resampled_means(rng, scores[at], count, of_each[at]),
        (rng, draws),
        (every.min(), every.max()),
    )


def mean_of_drawn(
    values: Sequence[float], drawn: Sequence[_Array], seed: int, bounds: tuple[float, float]
) -> Estimate:
    """Return the same of scores that are no means over questions: a value and its draws a target.

    `bounds` are those that such a score can have. Draws in which it is undefined are left out.

    Raises:
        ValueError: no target.
    """
    if not values:
        raise ValueError("every mean needs at least one target")
    rng = np.random.default_rng(seed)
    known = [draws[~np.isnan(draws)] for draws in drawn]
    if len(values) == 1:
        return _interval(values[0], known[0], ALPHA / 2)
    return _over_targets(
        np.array(values),
        float(np.mean([draws.var() for draws in known])),
        lambda at, count: rng.choice(known[at], size=count),
        (rng, drawn[0].size),
        bounds,
    )


def _over_targets(
    own: _Array,
    within: float,
    resampled: Callable[[int, int], _Array],
    drawing: tuple[np.random.Generator, int],
    bounds: tuple[float, float],
) -> Estimate:
    """Return the mean of targets' scores, whose variance within a target is `within`.

    `resampled` draws so many scores of the target at a place anew; `drawing` says with what, and
    how often targets are drawn.
    """
    n, (rng, draws), mean = own.size, drawing, float(own.mean())
    shift = _drawn_together(own, within) * (own - mean)
    chosen = rng.integers(n, size=(draws, n))
    means = np.empty(chosen.shape)
    for at in range(n):
        taken = chosen == at
        means[taken] = resampled(at, int(taken.sum())) - shift[at]
    tail = float(norm.sf(student.ppf(1 - ALPHA / 2, n - 1)))
    # Means drawn apart can leave the range that scores have; no accuracy is above one.
    return _interval(mean, means.mean(axis=1).clip(*bounds), tail)


def _drawn_together(own: _Array, within: float) -> float:
    """Return by what share of its distance each target's mean moves to the mean of all.

    What is left makes the variance of a draw that of the mean of all: the variance between targets
    over their number, of which a draw of questions brings its own part.
    """
    n, between = own.size, float(np.var(own, ddof=1))
    if not between:
        return 1.0
    kept = (1 - within / between) * n / (n - 1)
    return 1.0 - math.sqrt(max(0.0, kept))


def _interval(value: float, means: _Array, tail: float) -> Estimate:
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def _check(scores: Sequence[_Array]) -> None:
    if not scores or any(target.size == 0 for target in scores):
        raise ValueError("every target needs at least one question")


def _mean(scores: Sequence[_Array]) -> float:
    return float(np.mean([target.mean() for target in scores]))


def _resampled_means(
    rng: np.random.Generator, scores: _Array, draws: int, clusters: Codes | None
) -> _Array:
    values, counts = np.unique(scores.round(9), return_counts=True)
    if clusters is None and values.size * 20 < scores.size:
        # Counts of equal scores are multinomial: the same distribution without drawing questions.
        taken = rng.multinomial(scores.size, counts / scores.size, size=draws)
        means: _Array = taken @ values / scores.size
        return means
    sums, sizes = per_cluster(scores[None, :], clusters)
    blocks = [
        weights @ sums[0] / (weights @ sizes) for weights in times_drawn(rng, sizes.size, draws)
    ]
    return np.concatenate(blocks) if blocks else np.empty(0)


def mean_by_clusters(scores: Sequence[_Array], groups: Sequence[npt.ArrayLike]) -> Estimate | None:
    """Return the same mean with an interval that holds where whole groups may differ.

    `groups` names each question's group, its source dataset say, which several targets may share:
    cluster-robust standard error of statsmodels' weighted least squares, every target weighing
    alike, t on groups minus one degrees of freedom. None below five groups.

    Raises:
        ValueError: no target, or a target without questions.
    """
    _check(scores)
    names, codes = np.unique(
        np.concatenate([np.asarray(group) for group in groups]), return_inverse=True
    )
    if names.size < MIN_CLUSTERS:
        return None
    values = np.concatenate(scores)
    weights = np.concatenate([np.full(target.size, 1.0 / target.size) for target in scores])
    settings = {"groups": codes, "use_correction": True}
    fit = WLS(values, np.ones(values.size), weights=weights).fit(
        cov_type="cluster", cov_kwds=settings, use_t=True
    )
    low, high = fit.conf_int(ALPHA)[0]
    return Estimate(_mean(scores), float(low), float(high))


def mean_by_mixed_model(scores: Sequence[_Array]) -> Estimate | None:
    """Return the mean of a linear mixed model with a random intercept a target, as a check.

    Fitted by restricted maximum likelihood (statsmodels' MixedLM), interval by t on targets minus
    one. None where it cannot be fitted: one target, or scores that do not vary.

    Raises:
        ValueError: no target, or a target without questions.
    """
    _check(scores)
    values = np.concatenate(scores)
    if len(scores) < 2 or not values.var():
        return None
    codes = np.repeat(np.arange(len(scores)), [target.size for target in scores])
    with warnings.catch_warnings():
        # A variance of zero between targets lies on the boundary and is a fit all the same.
        warnings.simplefilter("ignore")
        try:
            # Gradients mislead at that boundary; Powell's method needs none.
            fit = MixedLM(values, np.ones(values.size), codes).fit(reml=True, method="powell")
            value, error = float(fit.fe_params[0]), float(fit.bse_fe[0])
        except np.linalg.LinAlgError:
            return None
    if not math.isfinite(error):
        return None
    half = float(student.ppf(1 - ALPHA / 2, len(scores) - 1)) * error
    return Estimate(value, value - half, value + half)


# --- Many comparisons ----------------------------------------------------------------------------


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values: the chance of any false claim in this family."""
    return _adjusted(p_values, "holm")


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return Benjamini and Hochberg's adjusted p values: the expected share of false finds."""
    return _adjusted(p_values, "fdr_bh")


def _adjusted(p_values: Sequence[float], method: str) -> list[float]:
    if not p_values:
        return []
    return [float(p) for p in multipletests(list(p_values), alpha=ALPHA, method=method)[1]]


def detectable_difference(n: int, discordant: int, alpha: float = ALPHA) -> float:
    """Return the smallest |difference| that exact McNemar calls significant.

    Given `n` questions, of which `discordant` are answered right by one arm only. Where so few
    cannot be significant at all, the answer is for the fewest that can, all in one direction;
    infinity where even `n` questions are too few.
    """
    worse = np.arange(discordant // 2 + 1)
    significant = worse[2 * binom.cdf(worse, discordant, 0.5) < alpha]
    if significant.size:
        return (discordant - 2 * int(significant[-1])) / n
    fewest = math.floor(math.log2(2 / alpha)) + 1
    return fewest / n if fewest <= n else math.inf


def verdict(
    difference: float,
    adjusted_p: float,
    detectable: float,
    minimum_effect: float = MINIMUM_EFFECT,
) -> str:
    """Return helps, hurts, no evidence, or not detectable at this n.

    The last says that the test could have missed a difference of `minimum_effect`: too few
    questions, not a sign that combinations fail.
    """
    if adjusted_p < ALPHA and difference != 0:
        return "helps" if difference > 0 else "hurts"
    return "not detectable at this n" if detectable > minimum_effect else "no evidence"
