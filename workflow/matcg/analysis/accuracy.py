"""Accuracy of every evaluation, and what else its answers say of it."""

from dataclasses import dataclass

from matcg.analysis import statistics
from matcg.analysis.pairs import Setting, Study, setting_of
from matcg.analysis.statistics import Estimate
from matcg.plan.records import Row


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One run's answers to one target's `n` questions, with Wilson's interval.

    `strict` is the share of answers that were a letter, `mass` the mean probability that all
    letters of options had together.
    """

    setting: Setting
    catalog: str
    target: str
    arm: str
    rule: str
    combination: str
    label: str
    seed: int | None
    draw: int
    run: str
    n: int
    correct: int
    accuracy: Estimate
    chance: float
    strict: float
    mass: float


def accuracies(study: Study) -> list[Accuracy]:
    """Return one record an evaluation, in the plan's order."""
    return [_accuracy(study, row) for row in study.rows]


def _accuracy(study: Study, row: Row) -> Accuracy:
    answers = study.answers[row.key]
    correct, n = int(answers.correct.sum()), answers.correct.size
    names = ("catalog", "target", "arm", "rule", "combination", "label", "draw", "run")
    return Accuracy(
        setting_of(row),
        **{name: getattr(row, name) for name in names},
        seed=row.seed if row.trained else None,
        n=n,
        correct=correct,
        accuracy=statistics.wilson(correct, n),
        chance=statistics.chance(answers.n_options),
        strict=float(answers.strict.mean()),
        mass=float(answers.mass.mean()),
    )
