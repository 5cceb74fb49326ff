"""Letter bias and calibration: which letters each arm answers, and how sure of them it is.

Answers are pooled over the runs of an arm in a setting, every question of every target alike. What
could not be read is no letter, and wrong.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from matcg.forms.choice import LETTERS as NAMES
from matcg.records import PlanRow
from matcg.report.answers import NO_ORDER, Answers
from matcg.report.columns import SETTING_COLUMNS, SETTING_FIELDS, setting_cells
from matcg.report.render import Cell, Column, Field, Row, Table
from matcg.report.study import Array, Setting, Study, arm_order, setting_of

__all__ = [
    "BINS",
    "CALIBRATION",
    "LETTERS",
    "ORDERS",
    "calibration_rows",
    "letter_rows",
    "order_rows",
]

BINS = 10

LETTERS = Table(
    "letters",
    "How often each letter is right and is answered, recall (accuracy where it is right),"
    " and RStd, the standard deviation of recalls (%)",
    (
        *SETTING_FIELDS,
        Field("arm"),
        Field("options", "count"),
        Field("letter"),
        Field("answers", "count"),
        *(Field(name, "fraction") for name in ("right", "answered", "recall", "rstd")),
    ),
    (
        *SETTING_COLUMNS,
        Column("Arm", "arm"),
        Column("Options", "options", "count"),
        Column("Letter", "letter"),
        Column("Answers", "answers", "count"),
        Column("Right", "right", "percent"),
        Column("Answered", "answered", "percent"),
        Column("Recall", "recall", "percent"),
        Column("RStd", "rstd", "percent"),
    ),
)

ORDERS = Table(
    "orders",
    "How often each letter is answered when every option stands at it in turn, accuracy where the"
    " right answer stands at it, and RStd, the standard deviation of these accuracies (%)",
    (*LETTERS.fields[:4], Field("protocol"), *LETTERS.fields[4:]),
    (
        *SETTING_COLUMNS,
        Column("Protocol", "protocol"),
        *(each for each in LETTERS.columns[4:] if each.field != "recall"),
        Column("Accuracy there", "recall", "percent"),
    ),
)

CALIBRATION = Table(
    "calibration",
    "Confidence (probability of the answered letter among the letters of the options) against"
    " accuracy, and expected calibration error (%)",
    (
        *SETTING_FIELDS,
        Field("arm"),
        *(Field(name, "fraction") for name in ("low", "high")),
        Field("answers", "count"),
        *(Field(name, "fraction") for name in ("confidence", "accuracy", "ece")),
    ),
    (
        *SETTING_COLUMNS,
        Column("Arm", "arm"),
        Column("Above", "low", "percent"),
        Column("Up to", "high", "percent"),
        Column("Answers", "answers", "count"),
        Column("Confidence", "confidence", "percent"),
        Column("Accuracy", "accuracy", "percent"),
        Column("ECE", "ece", "percent"),
    ),
)

Counts = npt.NDArray[np.int64]


def letter_rows(study: Study) -> list[Row]:
    """Return one row a setting, arm, number of options and letter.

    Questions of two and of four options stand apart: a letter is right more often among two. RStd
    is that of Zheng et al. (ICLR 2024, arXiv 2309.03882) over the letters that are ever right, the
    others having no recall; some of it is chance where questions are few.
    """
    return [
        {**setting_cells(setting), "arm": arm, "options": options, **cells}
        for setting, arm, rows in _groups(study)
        for options, counts in sorted(_confusions(study, rows, _as_given).items())
        for cells in _letters(counts)
    ]


def order_rows(study: Study, protocol: str) -> list[Row]:
    """Return the same over all cyclic orders in which options were given, by the letters they had.

    Where every option stood at every letter, how often a letter is answered is the prior for it.
    There are no rows where the answers do not tell of orders.
    """
    arms = sorted({row.arm for row in study.rows}, key=arm_order)
    return [
        {**setting_cells(setting), "protocol": protocol, "arm": arm, "options": options, **cells}
        for setting, arm in product(study.settings(), arms)
        for options, counts in sorted(
            _confusions(study, study.arm(setting, arm), _in_orders).items()
        )
        for cells in _letters(counts)
    ]


def _groups(study: Study) -> Iterator[tuple[Setting, str, Sequence[PlanRow]]]:
    """Yield each setting's arms with their rows; untrained rows are a setting of their own."""
    groups: dict[tuple[Setting, str], list[PlanRow]] = defaultdict(list)
    for row in study.rows:
        groups[setting_of(row), row.arm].append(row)
    for setting, arm in sorted(groups, key=lambda group: (group[0], arm_order(group[1]))):
        yield setting, arm, groups[setting, arm]


# Right letter, letter answered (-1: none) and number of options of some answers.
Places = tuple[Counts, Counts, Counts]


def _as_given(answers: Answers) -> Iterator[Places]:
    yield answers.answer, answers.predicted, answers.n_options


def _in_orders(answers: Answers) -> Iterator[Places]:
    """Yield the letters in each cyclic order; order k gives the option of place k first."""
    if answers.verdicts is None:
        return
    for order, verdicts in enumerate(answers.verdicts.T.astype(np.int64)):
        asked = verdicts != NO_ORDER
        right, said, options = answers.answer[asked], verdicts[asked], answers.n_options[asked]
        letters = np.where(said < 0, said, (said - order) % options)
        yield (right - order) % options, letters, options


def _confusions(
    study: Study, rows: Iterable[PlanRow], places_of: Callable[[Answers], Iterable[Places]]
) -> dict[int, Counts]:
    """Return for each number of options how often which letter (row) was answered as which.

    The last column counts what could not be read.
    """
    found: dict[int, Counts] = {}
    parts = (each for row in rows for each in places_of(study.answers[row.key]))
    for right, said, n_options in parts:
        for options in map(int, np.unique(n_options)):
            asked = n_options == options
            said_here = np.where(said[asked] < 0, options, said[asked])
            places = right[asked] * (options + 1) + said_here
            counts = np.bincount(places, minlength=options * (options + 1))
            found[options] = counts + found.get(options, 0)
    return {options: counts.reshape(options, -1) for options, counts in found.items()}


def _letters(counts: Counts) -> Iterator[dict[str, Cell]]:
    """Yield the cells of each letter from counts of shape (right letter, answered or not read)."""
    total, right, answered = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
    recalls = [float(counts[i, i] / n) if n else None for i, n in enumerate(right)]
    rstd = float(np.std([recall for recall in recalls if recall is not None]))
    for letter, recall in enumerate(recalls):
        yield {
            "letter": NAMES[letter],
            "answers": int(total),
            "right": float(right[letter] / total),
            "answered": float(answered[letter] / total),
            "recall": recall,
            "rstd": rstd,
        }


def calibration_rows(study: Study) -> list[Row]:
    """Return one row a setting, arm and bin of confidence that holds answers.

    Bins are `BINS` of equal width, open below, as is the expected calibration error: the mean
    distance of accuracy from confidence, bins weighed by their answers (Guo et al., ICML 2017).
    Confidence is over the option letters alone: what the model gives to all other words is no part
    of it and stands in the accuracy table (`mass`).
    """
    return [
        {**setting_cells(setting), "arm": arm, **cells}
        for setting, arm, rows in _groups(study)
        for cells in _bins(_sums(study, rows))
    ]


def _sums(study: Study, rows: Iterable[PlanRow]) -> Array:
    """Return answers, their confidence and right ones summed in each bin, shape (3, bins)."""
    sums = np.zeros((3, BINS))
    for row in rows:
        answers = study.answers[row.key]
        confidence = answers.confidence.astype(np.float64)
        # 0.3 of 32 bits lies above 0.3: without rounding it would fall into the next bin.
        places = np.ceil((confidence * BINS).round(5)).astype(np.int64) - 1
        places = places.clip(0, BINS - 1)
        for line, weights in enumerate((None, confidence, answers.correct)):
            sums[line] += np.bincount(places, weights, minlength=BINS)
    return sums


def _bins(sums: Array) -> Iterator[dict[str, Cell]]:
    counts, confidence, correct = sums
    ece = float(np.abs(correct - confidence).sum() / counts.sum())
    for place in np.flatnonzero(counts):
        yield {
            "low": int(place) / BINS,
            "high": (int(place) + 1) / BINS,
            "answers": int(counts[place]),
            "confidence": float(confidence[place] / counts[place]),
            "accuracy": float(correct[place] / counts[place]),
            "ece": ece,
        }
