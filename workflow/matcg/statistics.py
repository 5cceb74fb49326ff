"""Intervals, paired tests and verdicts for accuracies measured on the same questions.

Tests and corrections come from statsmodels and scipy. Resampling takes its seed from the caller, so
the same answers give the same digits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

__all__ = [
    "ALPHA",
    "Estimate",
    "benjamini_hochberg",
    "chance",
    "detectable_difference",
    "holm",
    "mcnemar_p",
    "mean_over_questions",
    "mean_over_targets",
    "verdict",
    "wilson",
]

Array = npt.NDArray[np.float64]

ALPHA = 0.05
DRAWS = 10_000
CHUNK = 2_000
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


def chance(n_options: npt.ArrayLike) -> float:
    """Return the accuracy of blind guessing: the mean of 1 / options over the questions."""
    return float(np.mean(1.0 / np.asarray(n_options, dtype=np.float64)))


def mcnemar_p(differences: Array) -> float:
    """Return the exact two-sided McNemar p of per-question differences, shape (questions,).

    With one run an arm the differences are -1, 0, 1. With several seeds they are means over seeds
    and only their sign counts, so that a question, not a question times seed, is the unit.
    """
    better, worse = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    return float(mcnemar([[0, better], [worse, 0]], exact=True).pvalue)


def mean_over_questions(scores: Array, seed: int, draws: int = DRAWS) -> Estimate:
    """Return the mean of per-question scores, shape (questions,), with its bootstrap interval."""
    rng = np.random.default_rng(seed)
    return _percentiles(float(np.mean(scores)), _resampled_means(rng, scores, draws))


def mean_over_targets(scores: Sequence[Array], seed: int, draws: int = DRAWS) -> Estimate:
    """Return the mean over targets of their mean scores, one array of questions a target.

    Each draw takes targets with replacement and, within every taken target, questions with
    replacement. That counts question noise twice when targets are few: the interval errs on
    the wide side (Davison and Hinkley, Bootstrap Methods and their Application, section 3.8).

    Raises:
        ValueError: no target, or a target without questions.
    """
    if not scores or any(target.size == 0 for target in scores):
        raise ValueError("every target needs at least one question")
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(scores), size=(draws, len(scores)))
    if len(scores) == 1:
        chosen[:] = 0
    means = np.empty(chosen.shape)
    for index, target in enumerate(scores):
        taken = chosen == index
        means[taken] = _resampled_means(rng, target, int(taken.sum()))
    return _percentiles(float(np.mean([target.mean() for target in scores])), means.mean(axis=1))


def _resampled_means(rng: np.random.Generator, scores: Array, draws: int) -> Array:
    values, counts = np.unique(scores.round(9), return_counts=True)
    if values.size * 20 < scores.size:
        # Counts of equal scores are multinomial: the same distribution without drawing questions.
        taken = rng.multinomial(scores.size, counts / scores.size, size=draws)
        means: Array = taken @ values / scores.size
        return means
    means = np.empty(draws)
    for start in range(0, draws, CHUNK):
        block = means[start : start + CHUNK]
        block[:] = scores[rng.integers(scores.size, size=(block.size, scores.size))].mean(axis=1)
    return means


def _percentiles(value: float, means: Array) -> Estimate:
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    return Estimate(value, float(low), float(high))


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
