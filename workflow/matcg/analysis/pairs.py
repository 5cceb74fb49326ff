"""An experiment's evaluations, and which run is compared with which.

Arms are paired question by question: every run with the control of its target, seed and training
size, and of its combination where the control has one each. Means weigh every target alike and,
within one, every rule alike. Runs are compared with runs that were asked alike (`protocols/`).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from matcg.analysis.answers import Answers
from matcg.analysis.clusters import Origins
from matcg.analysis.statistics import Estimate, mean_over_targets
from matcg.config.arm import ARMS, CG, reference
from matcg.errors import DataError
from matcg.forms import ACCURACY
from matcg.plan.records import Key, Row

Array = npt.NDArray[np.float64]
Target = tuple[str, str]


class Setting(NamedTuple):
    """What compared runs share: backbone, recipe, training size, and the target's samples in it."""

    backbone: str
    recipe: str
    n_train: int
    mixed_in: int


class Study:
    """An experiment's evaluations and the pairing between its arms.

    Every run is paired with the reference run of its target, backbone, recipe, seed and size that
    was asked alike: an arm that is asked otherwise, with the reference of that protocol if there is
    one.
    The reference is the control arm, or the baseline in an experiment without control.
    `planned` are all evaluations where `rows` are only those that have answers: of these one may be
    without its reference.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        answers: Mapping[Key, Answers],
        origins: Mapping[Target, Origins] | None = None,
        planned: Sequence[Row] | None = None,
    ) -> None:
        self.rows = rows
        self.answers = answers
        self.origins = origins or {}
        self.partial = planned is not None
        self.planned = rows if planned is None else planned
        self.reference = reference({row.arm for row in self.planned})
        self._elsewhere: set[Key] = set()
        self._references: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
        self._baselines: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
        of_reference = {(*row.key[:3], row.run) for row in rows if row.arm == self.reference}
        own = {row.key for row in rows if row.arm == self.reference}
        for row in rows:
            place = (row.backbone, row.catalog, row.target)
            # Another arm may be the reference's run, asked by a protocol of its own.
            if row.key not in own and (*place, row.run) in of_reference:
                self._elsewhere.add(row.key)
            if row.arm == self.reference or row.key in self._elsewhere:
                self._references[place].append(row)
            if not row.trained:
                self._baselines[place].append(row)

    def of(self, rows: Sequence[Row]) -> "Study":
        """Return the study of some of the planned evaluations."""
        kept = [row for row in rows if row.key in self.answers]
        return Study(kept, self.answers, self.origins, planned=rows if self.partial else None)

    def by_measure(self) -> dict[str, "Study"]:
        """Return the study of each main score: no mean is over several."""
        measures = {row.key[1:3]: self.answers[row.key].measure for row in self.rows}
        if len(set(measures.values())) < 2:
            return {next(iter(measures.values()), ACCURACY): self}
        return {
            name: self.of([row for row in self.planned if measures.get(row.key[1:3]) == name])
            for name in sorted(set(measures.values()))
        }

    def settings(self) -> list[Setting]:
        """Return the setting of every group that is summarised alone."""
        trained = {setting_of(row) for row in self.rows if row.trained}
        backbones = {backbone for backbone, *_ in trained}
        untrained = {setting_of(row) for row in self.rows if row.backbone not in backbones}
        return sorted(trained | untrained)

    def arm(self, setting: Setting, arm: str) -> list[Row]:
        """Return an arm's rows in a setting; untrained rows belong to all of their backbone."""
        return [
            row
            for row in self.rows
            if row.arm == arm
            and (
                setting_of(row) == setting or (not row.trained and row.backbone == setting.backbone)
            )
        ]

    def score(self, row: Row) -> Array:
        """Return the main score of each answer: 1.0 for a right, 0.0 for a wrong one."""
        return self.answers[row.key].score

    def mean_score(self, rows: Sequence[Row]) -> Array:
        """Return the mean of the same over evaluations of one target."""
        mean: Array = np.mean([self.score(row) for row in rows], axis=0)
        return mean

    def mean(self, scores: Mapping[Target, Array], seed: int) -> Estimate | None:
        """Return the mean over targets of scores (questions,), None where there are none."""
        ordered = sorted(scores)
        clusters = [self.clusters(target) for target in ordered]
        values = [scores[target] for target in ordered]
        return mean_over_targets(values, seed, clusters) if scores else None

    def clusters(self, target: Target) -> npt.NDArray[np.int64] | None:
        """Return the number of each question's patient or image, None where all differ."""
        return self.origins[target].clusters if target in self.origins else None

    def replicates(self, rows: Iterable[Row]) -> Array:
        """Return the mean scores of an arm's draws, or of its seeds, shape (runs, questions).

        Draws where there are several: what another training set would change counts what another
        seed would. Of several draws of the examples that a run is shown the mean counts; they stand
        for themselves where there is but one run.
        """
        distinct = list({row.key: row for row in rows}.values())
        first: dict[str, int] = {}
        for row in distinct:
            first[row.run] = min(row.draw, first.get(row.run, row.draw))
        several = len(set(first.values())) > 1
        groups: dict[int, list[Array]] = defaultdict(list)
        for row in distinct:
            number = first[row.run] if several else row.seed
            groups[row.draw if len(first) == 1 else number].append(self.score(row))
        return np.array([np.mean(scores, axis=0) for scores in groups.values()])

    def baselines(self, row: Row) -> list[Row]:
        """Return the untouched backbone's evaluations on a row's target, asked as the row is."""
        found = self._baselines.get((row.backbone, row.catalog, row.target), [])
        return [other for other in found if other.protocol == row.protocol]

    def minus_baseline(self, row: Row) -> Array | None:
        """Return per-question differences from the baseline, None where there is none."""
        found = self.baselines(row) if row.trained else []
        return self.score(row) - self.mean_score(found) if found else None

    def chance(self, rows: Iterable[Row]) -> float | None:
        """Return what blind guessing would get, a mean over targets; None where it is unknown."""
        one_a_target = {row.key[1:3]: self.answers[row.key].chance for row in rows}
        means = [each.mean() for each in one_a_target.values() if each is not None]
        return float(np.mean(means)) if means else None

    def minus_chance(self, row: Row) -> Array | None:
        """Return scores less what blind guessing would get on each question; None as `chance`."""
        chance = self.answers[row.key].chance
        return None if chance is None else self.score(row) - chance

    def references(self, row: Row, setting: Setting) -> list[Row]:
        """Return the reference runs that `row` is compared with.

        There are none where the target has none, for an arm of a size or protocol of its own, and
        for what is itself a reference.

        Raises:
            DataError: the target has reference runs, yet none of the row's seed, or, for a
                combination, none of its size.
        """
        if row.key in self._elsewhere:
            return []
        runs = self._references[row.backbone, row.catalog, row.target]
        runs = [other for other in runs if other.protocol == row.protocol]
        alike = [o for o in runs if not o.trained or setting_of(o) == setting]
        matching = [o for o in alike if not (row.trained and o.trained) or row.seed == o.seed]
        if row.rule:
            # A control with a run for each combination is compared with its own.
            own = (("", ""), (row.rule, row.combination))
            matching = [other for other in matching if (other.rule, other.combination) in own]
        # A combination must have its control; an arm of a size of its own may have none.
        if (runs if row.arm == CG else alike) and not matching and not self.partial:
            raise DataError(
                f"experiment {row.experiment}: {row.arm} run {row.run} on {row.target} has no "
                f"{self.reference} run of its seed and size; plan one"
            )
        return matching

    def minus_reference(self, row: Row, setting: Setting) -> Array | None:
        """Return per-question differences from the reference, None where there is none."""
        references = self.references(row, setting)
        if not references:
            return None
        return self.score(row) - self.mean_score(references)


def without(study: Study, left_out: Mapping[tuple[str, str], Collection[str]]) -> Study:
    """Return the study without some questions (sample ids by catalog and target).

    A target of which none is left is left out with its runs.
    """
    kept: dict[Key, Answers] = {}
    origins = dict(study.origins)
    for key, answers in study.answers.items():
        target = (key[1], key[2])
        names = left_out.get(target, ())
        chosen = ~np.isin(answers.sample_id, sorted(names)) if names else None
        if chosen is None or chosen.any():
            kept[key] = answers if chosen is None else answers.only(chosen)
        if chosen is not None and target in study.origins:
            origins[target] = study.origins[target].only(chosen)
    rows = [row for row in study.rows if row.key in kept]
    return Study(rows, kept, origins, planned=study.planned if study.partial else None)


def setting_of(row: Row) -> Setting:
    """Return what a run shares with those that it is compared with."""
    recipe = row.recipe if row.trained else ""
    return Setting(row.backbone, recipe, row.n_train, row.mixed_in)


def arm_order(arm: str) -> tuple[int, str]:
    """Return the sort key that puts CG first, its control second."""
    return (ARMS.index(arm) if arm in ARMS else len(ARMS), arm)


def per_target(rows: Iterable[Row], score: Callable[[Row], Array | None]) -> list[Array]:
    """Return each target's mean scores: over the runs of a rule, then over rules."""
    return list(by_target(rows, score).values())


def by_target(rows: Iterable[Row], score: Callable[[Row], Array | None]) -> dict[Target, Array]:
    """Return the same by target (catalog, id)."""
    groups: dict[Target, dict[str, list[Array]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        scores = score(row)
        if scores is not None:
            groups[row.catalog, row.target][row.rule].append(scores)
    return {
        target: np.mean([np.mean(runs, axis=0) for runs in rules.values()], axis=0)
        for target, rules in groups.items()
    }
