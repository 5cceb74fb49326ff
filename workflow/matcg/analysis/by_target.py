"""Accuracy of each arm and each rule on every target, its runs together: what figures draw."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from matcg import seeds
from matcg.analysis import statistics
from matcg.analysis.pairs import Setting, Study, arm_order, per_target, setting_of
from matcg.analysis.statistics import Estimate
from matcg.forms import ACCURACY
from matcg.plan.records import Row


@dataclass(frozen=True, slots=True)
class ByTarget:
    """An arm's accuracy on a target over its `runs`, or a rule's where `rule` says one.

    `score` is the main score whose mean stands there, where not accuracy.
    """

    setting: Setting
    catalog: str
    target: str
    arm: str
    rule: str
    combinations: int
    runs: int
    questions: int
    accuracy: Estimate
    chance: float | None
    score: str = ACCURACY


_Group = tuple[Setting, str, str, str, str]


def by_targets(study: Study) -> list[ByTarget]:
    """Return one record a setting, target and arm, and one for each of its rules.

    Every rule of an arm weighs alike, as in the means over targets. The interval is that of other
    questions of the kind, with these runs. Untrained rows are a setting of their own.
    """
    groups: dict[_Group, list[Row]] = defaultdict(list)
    for row in study.rows:
        for rule in dict.fromkeys(("", row.rule)):
            groups[setting_of(row), row.catalog, row.target, row.arm, rule].append(row)
    return [_by_target(study, group, groups[group]) for group in sorted(groups, key=_order)]


def _order(group: _Group) -> tuple[Setting, str, str, tuple[int, str], str]:
    setting, catalog, target, arm, rule = group
    return (setting, catalog, target, arm_order(arm), rule)


def _by_target(study: Study, group: _Group, rows: Sequence[Row]) -> ByTarget:
    setting, catalog, target, arm, rule = group
    (scores,) = per_target(rows, study.score)
    first = study.answers[rows[0].key]
    seed = seeds.derive(seeds.ANALYSIS, "target", *map(str, setting), catalog, target, arm, rule)
    return ByTarget(
        *group,
        combinations=len({row.combination for row in rows if row.combination}),
        runs=len(rows),
        questions=scores.size,
        accuracy=statistics.mean_over_questions(scores, seed, study.clusters((catalog, target))),
        chance=study.chance(rows[:1]),
        score=first.measure,
    )
