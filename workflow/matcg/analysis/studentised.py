"""Means with standard errors: intervals by Student's t, one-sided tests, and runs that differ.

Used where an interval is needed at more than one level, or questions and runs both vary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from matcg.analysis.statistics import ALPHA, Codes, Estimate, variance_of_mean

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Studentised:
    """Means with their standard errors and the degrees of freedom of Student's t; any one shape."""

    value: _Array
    error: _Array
    freedom: float

    @property
    def p_above(self) -> _Array:
        """Return the one-sided p of a mean of zero or less."""
        with np.errstate(divide="ignore", invalid="ignore"):
            p = student.sf(self.value / self.error, self.freedom)
        found: _Array = np.where(self.error > 0, p, np.where(self.value > 0, 0.0, 1.0))
        return found

    def half(self, tail: float) -> _Array:
        """Return how far from the mean a limit is that leaves out `tail`."""
        width: _Array = student.ppf(1 - tail, self.freedom) * self.error
        return width

    @property
    def estimate(self) -> Estimate:
        """Return one mean with its 95 % interval."""
        value, half = float(self.value), float(self.half(ALPHA / 2))
        return Estimate(value, value - half, value + half)


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest of several means: value, limits of its 95 % interval, one-sided p."""

    value: _Array
    low: _Array
    high: _Array
    p: _Array


@dataclass(frozen=True, slots=True)
class OverRuns:
    """A difference that counts how runs differ as well: interval, standard error, two-sided p."""

    estimate: Estimate
    error: float
    p: float

    @property
    def detectable(self) -> float:
        """Return the least difference whose interval would leave out zero."""
        return (self.estimate.high - self.estimate.low) / 2


def difference_over_runs(
    arm: _Array, reference: _Array, clusters: Codes | None = None
) -> OverRuns | None:
    """Return the difference of two arms' means over questions and runs, both counted as drawn.

    Where neither arm has two runs nothing is known of how runs differ, and there is no answer.
    """
    if max(len(arm), len(reference)) < 2:
        return None
    found = studentised(arm, reference, clusters)
    p = 2 * student.sf(abs(found.value) / found.error, found.freedom) if found.error else None
    if p is None:
        p = 0.0 if found.value else 1.0
    return OverRuns(found.estimate, float(found.error), float(p))


def studentised(arm: _Array, reference: _Array, clusters: Codes | None = None) -> Studentised:
    """Return the difference of two arms' means over questions and, where several, over runs.

    Each arm has shape (runs, questions): its seeds, or its draws of a training set. Variance
    components by the method of moments for crossed random effects (Searle, Casella and McCulloch,
    Variance Components, 1992, chapter 4), degrees of freedom by Satterthwaite (Biometrics Bulletin
    2, 1946): with three runs a bootstrap over runs would be too sure.
    """
    difference = arm.mean(axis=0) - reference.mean(axis=0)
    n_clusters = difference.size if clusters is None else int(clusters.max()) + 1
    of_questions = variance_of_mean(difference[None, :], clusters)
    variance, spread = of_questions, of_questions**2 / max(n_clusters - 1, 1)
    for runs in (arm, reference):
        added, uncertainty = _variance_of_runs(runs, clusters, n_clusters)
        variance, spread = variance + added, spread + uncertainty
    freedom = variance**2 / spread if spread else 1.0
    return Studentised(difference.mean(), np.sqrt(variance), freedom)


def _variance_of_runs(runs: _Array, clusters: Codes | None, n_clusters: int) -> tuple[float, float]:
    """Return what an arm's runs add to the variance, and the square of its own uncertainty.

    Runs differ in their means for two reasons; that each got other questions right is in the
    variance of the questions already and is taken off.
    """
    count = len(runs)
    if count < 2:
        return 0.0, 0.0
    of_means = float(runs.mean(axis=1).var(ddof=1)) / count
    # Each run's own questions: what is left of its answers after run and question.
    noise = variance_of_mean(runs - runs.mean(axis=0), clusters) / (count - 1) / count
    freedom = (count - 1) * max(n_clusters - 1, 1)
    return max(0.0, of_means - noise), of_means**2 / (count - 1) + noise**2 / freedom


def over_targets(scores: Sequence[_Array], clusters: Sequence[Codes | None]) -> Studentised:
    """Return the mean over targets of their mean scores, one array of questions a target."""
    if len(scores) == 1:
        return studentised(scores[0][None, :], np.zeros((1, scores[0].size)), clusters[0])
    pairs = zip(scores, clusters, strict=True)
    of_questions = [variance_of_mean(target[None, :], own) for target, own in pairs]
    return over_means(np.array([target.mean() for target in scores]), np.array(of_questions))


def over_means(means: _Array, of_questions: _Array) -> Studentised:
    """Return the mean over targets of means of shape (..., targets), two targets or more.

    Its variance is that of the targets' means over their number, and never less than what the
    questions alone give (`of_questions`, same shape): two targets can be equal by accident.
    """
    n = means.shape[-1]
    variance = np.maximum(means.var(axis=-1, ddof=1), of_questions.mean(axis=-1)) / n
    return Studentised(means.mean(axis=-1), np.sqrt(variance), n - 1)


def smallest(means: Sequence[Studentised]) -> Smallest:
    """Return the smallest of several means, tested for being above zero, as all must be.

    p is the largest one-sided p (intersection-union test: Berger, Technometrics 24, 1982). The
    interval goes from the least lower 97.5 % limit to the least upper limit, which is as much
    wider as there are means to choose from: the one that came out smallest was picked.
    """
    tail = ALPHA / 2
    return Smallest(
        value=np.min([each.value for each in means], axis=0),
        low=np.min([each.value - each.half(tail) for each in means], axis=0),
        high=np.min([each.value + each.half(tail / len(means)) for each in means], axis=0),
        p=np.max([each.p_above for each in means], axis=0),
    )
