"""Our figures beside those that a paper prints for the same experiment."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matcg import seeds
from matcg.analysis import statistics
from matcg.analysis.pairs import Array, Study, arm_order
from matcg.analysis.power import paired_p
from matcg.analysis.statistics import Estimate
from matcg.cells import P
from matcg.config.published import Place, Printed, by_place, gains, tick
from matcg.plan.records import Row


@dataclass(frozen=True, slots=True)
class Compared:
    """A printed figure and ours, as fractions; None where there is none."""

    printed: float | None
    ours: Estimate | None = None
    apart: float | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """What a paper prints for a combination, beside what a model of ours has.

    `arms` are the printed arms, or differences of arms, by name. A gain is yes where CG is above
    every other arm. `least_p` is the least p that the printed gain can have had on as many
    questions.
    """

    label: str
    target: str
    rule: str
    backbone: str
    recipe: str
    arms: Mapping[str, Compared]
    printed_gain: str
    our_gain: str
    printed_questions: int | None
    least_p: P | None


def arm_names(printed: Iterable[Printed]) -> list[str]:
    """Return the names of the printed arms, or differences of arms, in the table's order."""
    return list(_arms(printed))


def _arms(printed: Iterable[Printed]) -> dict[str, tuple[str, str]]:
    """Return the printed arms, or differences of arms, by the name of their columns."""
    found = {each.name: (each.arm, each.minus) for each in printed if not each.condition}
    return dict(sorted(found.items(), key=lambda item: (arm_order(item[1][0]), item[1][1])))


def beside(study: Study, printed: Sequence[Printed]) -> list[Beside]:
    """Return one record a model and printed combination; what was not run here is left empty."""
    sizes = {each.target: each.questions for each in printed if each.questions}
    arms = _arms(printed)
    # Arms may be of different sizes (table 1), and stand in one row all the same.
    models = dict.fromkeys((setting.backbone, setting.recipe) for setting in study.settings())
    return [
        _beside(study, model, place, arms, values, sizes.get(place[1]))
        for model in models
        for place, values in by_place(printed).items()
    ]


def _beside(
    study: Study,
    model: tuple[str, str],
    place: Place,
    arms: Mapping[str, tuple[str, str]],
    values: Mapping[str, float],
    questions: int | None,
) -> Beside:
    found = {
        name: _compared(study, model, place, name, of_arm, values.get(name))
        for name, of_arm in arms.items()
    }
    return Beside(
        *place,
        *model,
        found,
        printed_gain=tick(values),
        our_gain=tick({name: each.ours.value for name, each in found.items() if each.ours}),
        printed_questions=questions,
        least_p=_least_p(values, questions),
    )


def _compared(
    study: Study,
    model: tuple[str, str],
    place: Place,
    name: str,
    arms: tuple[str, str],
    printed: float | None,
) -> Compared:
    scores = [_scores(study, model, place, arm) for arm in arms if arm]
    known = [each for each in scores if each is not None]
    if len(known) < len(scores):
        return Compared(printed)
    seed = seeds.derive(seeds.ANALYSIS, "published", *model, place[1], name)
    first, *other = known
    ours = statistics.mean_over_questions(first - other[0] if other else first, seed)
    return Compared(printed, ours, None if printed is None else ours.value - printed)


def _scores(study: Study, model: tuple[str, str], place: Place, arm: str) -> Array | None:
    """Return the mean over an arm's runs of each question's score, None where there is no run."""
    label, target, rule = place
    rows = [
        row
        for row in study.rows
        if (row.arm, row.target, row.backbone) == (arm, target, model[0])
        and (not row.trained or row.recipe == model[1])
        and _fits(row, label, rule)
    ]
    return study.mean_score(rows) if rows else None


def _fits(row: Row, label: str, rule: str) -> bool:
    """Tell whether a run is of a printed combination, or of an arm that belongs to all."""
    return not row.rule or ((not label or row.label == label) and (not rule or row.rule == rule))


def _least_p(printed: Mapping[str, float], questions: int | None) -> float | None:
    """Return the least p that a printed gain can have had.

    Only accuracies are printed, not on which questions the arms differ: see `paired_p`.
    """
    gained = gains(printed).values()
    return paired_p(min(gained), questions) if gained and questions else None
