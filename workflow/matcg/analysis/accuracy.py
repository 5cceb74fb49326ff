"""Accuracy of every evaluation, and what else its answers say of it."""

from dataclasses import dataclass

from matcg import seeds
from matcg.analysis import statistics
from matcg.analysis.answers import ChoiceAnswers
from matcg.analysis.pairs import Setting, Study, setting_of
from matcg.analysis.statistics import Estimate
from matcg.forms import ACCURACY
from matcg.plan.records import Row


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One run's answers to one target's `n` questions, with Wilson's interval.

    Where `score` is not accuracy, its mean stands there with a bootstrap interval. `strict` is the
    share of answers that were a letter, `mass` the mean probability that all letters of options had
    together.
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
    correct: int | None
    accuracy: Estimate
    chance: float | None
    strict: float | None
    mass: float | None
    score: str = ACCURACY


def accuracies(study: Study) -> list[Accuracy]:
    """Return one record an evaluation, in the plan's order."""
    return [_accuracy(study, row) for row in study.rows]


def _accuracy(study: Study, row: Row) -> Accuracy:
    answers, n = study.answers[row.key], study.score(row).size
    choice = answers if isinstance(answers, ChoiceAnswers) else None
    correct = int(choice.score.sum()) if choice else None
    names = ("catalog", "target", "arm", "rule", "combination", "label", "draw", "run")
    return Accuracy(
        setting_of(row),
        **{name: getattr(row, name) for name in names},
        seed=row.seed if row.trained else None,
        n=n,
        correct=correct,
        accuracy=_mean(study, row) if correct is None else statistics.wilson(correct, n),
        chance=study.chance([row]),
        strict=float(choice.strict.mean()) if choice else None,
        mass=float(choice.mass.mean()) if choice else None,
        score=answers.measure,
    )


def _mean(study: Study, row: Row) -> Estimate:
    seed = seeds.derive(seeds.ANALYSIS, "evaluation", *row.key)
    return statistics.mean_over_questions(study.score(row), seed, study.clusters(row.key[1:3]))
