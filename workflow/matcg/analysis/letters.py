"""Letter bias and calibration: which letters each arm answers, and how sure of them it is.

Answers are pooled over the runs of an arm in a setting, every question of every target alike. What
could not be read is no letter, and wrong. Answers of other forms have no letters and no part in it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from matcg.analysis.answers import NO_ORDER, ChoiceAnswers
from matcg.analysis.pairs import Array, Setting, Study, arm_order, setting_of
from matcg.forms.choice import OPTION_LETTERS as NAMES
from matcg.plan.records import Row

BINS = 10


class Letter(NamedTuple):
    """One letter: how often it is right and is `answered`, and the accuracy where it is right.

    `answers` are those to all questions of so many options, `rstd` is the standard deviation of
    the recalls of their letters.
    """

    options: int
    letter: str
    answers: int
    right: float
    answered: float
    recall: float | None
    rstd: float


@dataclass(frozen=True, slots=True)
class LetterUse:
    """A letter in the answers of an arm."""

    setting: Setting
    arm: str
    use: Letter


@dataclass(frozen=True, slots=True)
class OrderUse:
    """A letter in an arm's answers to questions whose options were given in every order."""

    setting: Setting
    protocol: str
    arm: str
    use: Letter


@dataclass(frozen=True, slots=True)
class Bin:
    """An arm's answers of a confidence above `low` and up to `high`; `ece` is of all bins."""

    setting: Setting
    arm: str
    low: float
    high: float
    answers: int
    confidence: float
    accuracy: float
    ece: float


Counts = npt.NDArray[np.int64]


def letter_use(study: Study) -> list[LetterUse]:
    """Return one record a setting, arm, number of options and letter.

    Questions of two and of four options stand apart: a letter is right more often among two. RStd
    is that of Zheng et al. (ICLR 2024, arXiv 2309.03882) over the letters that are ever right, the
    others having no recall; some of it is chance where questions are few.
    """
    return [
        LetterUse(setting, arm, use)
        for setting, arm, rows in _groups(study)
        for use in _letters(_confusions(study, rows, _as_given))
    ]


def letters_in_orders(study: Study, protocol: str) -> list[OrderUse]:
    """Return the same over all cyclic orders in which options were given, by the letters they had.

    Where every option stood at every letter, how often a letter is answered is the prior for it.
    There are none where the answers do not tell of orders.
    """
    arms = sorted({row.arm for row in study.rows}, key=arm_order)
    return [
        OrderUse(setting, protocol, arm, use)
        for setting, arm in product(study.settings(), arms)
        for use in _letters(_confusions(study, study.arm(setting, arm), _in_orders))
    ]


def _groups(study: Study) -> Iterator[tuple[Setting, str, Sequence[Row]]]:
    """Yield each setting's arms with their rows; untrained rows are a setting of their own."""
    groups: dict[tuple[Setting, str], list[Row]] = defaultdict(list)
    for row in study.rows:
        groups[setting_of(row), row.arm].append(row)
    for setting, arm in sorted(groups, key=lambda group: (group[0], arm_order(group[1]))):
        yield setting, arm, groups[setting, arm]


def _choices(study: Study, rows: Iterable[Row]) -> Iterator[ChoiceAnswers]:
    found = (study.answers[row.key] for row in rows)
    return (each for each in found if isinstance(each, ChoiceAnswers))


# Right letter, letter answered (-1: none) and number of options of some answers.
_Places = tuple[Counts, Counts, Counts]


def _as_given(answers: ChoiceAnswers) -> Iterator[_Places]:
    yield answers.answer, answers.predicted, answers.n_options


def _in_orders(answers: ChoiceAnswers) -> Iterator[_Places]:
    """Yield the letters in each cyclic order; order k gives the option of place k first."""
    if answers.verdicts is None:
        return
    for order, verdicts in enumerate(answers.verdicts.T.astype(np.int64)):
        asked = verdicts != NO_ORDER
        right, said, options = answers.answer[asked], verdicts[asked], answers.n_options[asked]
        letters = np.where(said < 0, said, (said - order) % options)
        yield (right - order) % options, letters, options


def _confusions(
    study: Study, rows: Iterable[Row], places_of: Callable[[ChoiceAnswers], Iterable[_Places]]
) -> dict[int, Counts]:
    """Return for each number of options how often which letter (row) was answered as which.

    The last column counts what could not be read.
    """
    found: dict[int, Counts] = {}
    parts = (each for answers in _choices(study, rows) for each in places_of(answers))
    for right, said, n_options in parts:
        for options in map(int, np.unique(n_options)):
            asked = n_options == options
            said_here = np.where(said[asked] < 0, options, said[asked])
            places = right[asked] * (options + 1) + said_here
            counts = np.bincount(places, minlength=options * (options + 1))
            found[options] = counts + found.get(options, 0)
    return {options: counts.reshape(options, -1) for options, counts in found.items()}


def _letters(confusions: Mapping[int, Counts]) -> Iterator[Letter]:
    """Yield each letter from counts of shape (right letter, answered or not read)."""
    for options, counts in sorted(confusions.items()):
        total, right, answered = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
        recalls = [float(counts[i, i] / n) if n else None for i, n in enumerate(right)]
        rstd = float(np.std([recall for recall in recalls if recall is not None]))
        for letter, recall in enumerate(recalls):
            shares = (float(right[letter] / total), float(answered[letter] / total))
            yield Letter(options, NAMES[letter], int(total), *shares, recall, rstd)


def calibration(study: Study) -> list[Bin]:
    """Return one record a setting, arm and bin of confidence that holds answers.

    Bins are `BINS` of equal width, open below, as is the expected calibration error: the mean
    distance of accuracy from confidence, bins weighed by their answers (Guo et al., ICML 2017).
    Confidence is over the option letters alone: what the model gives to all other words is no part
    of it and stands in the accuracy table (`mass`).
    """
    return [
        each
        for setting, arm, rows in _groups(study)
        for each in _bins(setting, arm, _sums(study, rows))
    ]


def _sums(study: Study, rows: Iterable[Row]) -> Array:
    """Return answers, their confidence and right ones summed in each bin, shape (3, bins)."""
    sums = np.zeros((3, BINS))
    for answers in _choices(study, rows):
        confidence = answers.confidence.astype(np.float64)
        # 0.3 of 32 bits lies above 0.3: without rounding it would fall into the next bin.
        places = np.ceil((confidence * BINS).round(5)).astype(np.int64) - 1
        places = places.clip(0, BINS - 1)
        for line, weights in enumerate((None, confidence, answers.score)):
            sums[line] += np.bincount(places, weights, minlength=BINS)
    return sums


def _bins(setting: Setting, arm: str, sums: Array) -> Iterator[Bin]:
    counts, confidence, correct = sums
    if not counts.any():
        return
    ece = float(np.abs(correct - confidence).sum() / counts.sum())
    for place in map(int, np.flatnonzero(counts)):
        n = counts[place]
        means = (float(confidence[place] / n), float(correct[place] / n))
        yield Bin(setting, arm, place / BINS, (place + 1) / BINS, int(n), *means, ece)
