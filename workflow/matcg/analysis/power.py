"""What tests can show of printed accuracies, whose answers are not public.

Two arms that differ by a gain differ on at least as many questions as the gain asks for. How many
more there were, a paper that prints accuracies does not say: here it is assumed.
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import binom
from statsmodels.stats.proportion import proportions_ztest

from matcg.analysis.statistics import ALPHA

Whole = npt.NDArray[np.int64]

# Where even so many questions are too few, a gain is too small to be worth the search.
MOST = 2**20


def paired_p(gain: float, questions: int, discordant: float | None = None) -> float:
    """Return the exact two-sided McNemar p of a gain (a fraction) on so many questions.

    `discordant` is the share of questions that one arm alone answers right. None is the best case,
    and the least p there can be: no more of them than the gain asks for, all one way. Gain and
    share are rounded to whole questions; where these are odd and even, one more differs.
    """
    return float(_paired(gain, np.array([questions]), discordant)[0])


def _paired(gain: float, questions: Whole, discordant: float | None) -> npt.NDArray[np.float64]:
    apart = np.rint(abs(gain) * questions).astype(np.int64)
    differing = apart
    if discordant is not None:
        differing = np.maximum(apart, np.rint(discordant * questions).astype(np.int64))
        differing = differing + (differing - apart) % 2
    p: npt.NDArray[np.float64] = 2 * binom.cdf((differing - apart) // 2, differing, 0.5)
    return np.minimum(p, 1.0)


def fewest_questions(gain: float, discordant: float | None = None) -> int | None:
    """Return with how many questions a gain is first significant, None without a gain.

    See `paired_p`. As counts are whole, a few more questions can again be too few.
    """
    start, stop = 1, 1024
    while gain > 0 and start < MOST:
        questions = np.arange(start, stop)
        significant = _paired(gain, questions, discordant) < ALPHA
        if significant.any():
            return int(questions[significant.argmax()])
        start, stop = stop, 2 * stop
    return None


def unpaired_p(one: float, other: float, questions: int) -> float:
    """Return the two-sided p of the pooled z test of two accuracies on so many questions each.

    Accuracies are rounded to whole questions. The arms are taken for independent, which they are
    not: they answer the same questions.
    """
    right = np.rint(np.array([one, other]) * questions)
    if right[0] == right[1]:
        return 1.0
    return float(proportions_ztest(right, np.array([questions, questions]))[1])
