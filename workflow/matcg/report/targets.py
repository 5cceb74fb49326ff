"""Accuracy of each arm and each rule on every target, its runs together: what figures draw."""

from collections import defaultdict
from collections.abc import Sequence

from matcg import seeds, statistics
from matcg.records import PlanRow
from matcg.report.columns import (
    SETTING_COLUMNS,
    SETTING_FIELDS,
    estimate_column,
    estimate_fields,
    setting_cells,
    spread,
)
from matcg.report.render import Column, Field, Row, Table
from matcg.report.study import Setting, Study, arm_order, per_target, setting_of

__all__ = ["TARGETS", "target_rows"]

SEED = 0

TARGETS = Table(
    "targets",
    "Accuracy of every arm on each target, over its runs (%, bootstrap over questions)",
    (
        *SETTING_FIELDS,
        *(Field(name) for name in ("catalog", "target", "arm", "rule")),
        *(Field(name, "count") for name in ("combinations", "runs", "questions")),
        *estimate_fields("accuracy"),
        Field("chance", "fraction"),
    ),
    (
        *SETTING_COLUMNS,
        Column("Target", "target"),
        Column("Arm", "arm"),
        Column("Rule", "rule"),
        Column("Combinations", "combinations", "count"),
        Column("Runs", "runs", "count"),
        Column("Questions", "questions", "count"),
        estimate_column("Accuracy", "accuracy", "percent"),
        Column("Chance", "chance", "percent"),
    ),
)

Group = tuple[Setting, str, str, str, str]


def target_rows(study: Study) -> list[Row]:
    """Return one row a setting, target and arm, and one for each of its rules.

    Every rule of an arm weighs alike, as in the means over targets. The interval is that of other
    questions of the kind, with these runs. Untrained rows are a setting of their own.
    """
    groups: dict[Group, list[PlanRow]] = defaultdict(list)
    for row in study.rows:
        for rule in dict.fromkeys(("", row.rule)):
            groups[setting_of(row), row.catalog, row.target, row.arm, rule].append(row)
    return [_target_row(study, group, groups[group]) for group in sorted(groups, key=_order)]


def _order(group: Group) -> tuple[Setting, str, str, tuple[int, str], str]:
    setting, catalog, target, arm, rule = group
    return (setting, catalog, target, arm_order(arm), rule)


def _target_row(study: Study, group: Group, rows: Sequence[PlanRow]) -> Row:
    setting, catalog, target, arm, rule = group
    (scores,) = per_target(rows, study.correct)
    seed = seeds.derive(SEED, "target", *map(str, setting), catalog, target, arm, rule)
    return {
        **setting_cells(setting),
        "catalog": catalog,
        "target": target,
        "arm": arm,
        "rule": rule,
        "combinations": len({row.combination for row in rows if row.combination}),
        "runs": len(rows),
        "questions": scores.size,
        **spread(
            "accuracy",
            statistics.mean_over_questions(scores, seed, study.clusters((catalog, target))),
        ),
        "chance": statistics.chance(study.answers[rows[0].key].n_options),
    }
