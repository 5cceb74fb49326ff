"""Compares the arms of an experiment: accuracies, CG against control, means over targets."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from matcg import seeds, statistics
from matcg.published import Printed
from matcg.report.answers import BASELINE, PlanRow, read_answers, read_leaked, read_plan
from matcg.report.beside import agreement, arm_names, beside_rows, beside_table
from matcg.report.headline import headline
from matcg.report.render import Cell, Column, Field, Row, Table, write_table
from matcg.report.study import (
    CG,
    CONTROL,
    SETTING,
    Array,
    Setting,
    Study,
    arm_order,
    per_target,
    setting_of,
    without,
)
from matcg.statistics import Estimate

__all__ = ["ACCURACY", "CLEAN", "COMPARISON", "SUMMARY", "compare"]

SEED = 0
CLEAN = "_without_leaks"  # ends the names of tables without questions about leaked images

SETTING_FIELDS = (
    Field("backbone"),
    Field("recipe"),
    Field("n_train", "count"),
    Field("mixed_in", "count"),
)
SETTING_COLUMNS = (
    Column("Backbone", "backbone"),
    Column("Recipe", "recipe"),
    Column("Samples", "n_train", "count"),
    Column("Target's", "mixed_in", "count"),
)


def _estimate_fields(name: str) -> tuple[Field, ...]:
    return tuple(Field(f"{name}{end}", "fraction") for end in ("", "_low", "_high"))


def _estimate_column(header: str, name: str, kind: str) -> Column:
    return Column(header, name, kind, (f"{name}_low", f"{name}_high"))


ACCURACY = Table(
    "accuracy",
    "Accuracy of every evaluation (%, Wilson 95 % interval)",
    (
        *SETTING_FIELDS,
        *(Field(name) for name in ("catalog", "target", "arm", "rule", "combination", "label")),
        Field("seed", "count"),
        Field("run"),
        Field("n", "count"),
        Field("correct", "count"),
        *_estimate_fields("accuracy"),
        *(Field(name, "fraction") for name in ("chance", "strict", "mass")),
    ),
    (
        *SETTING_COLUMNS,
        Column("Target", "target"),
        Column("Arm", "arm"),
        Column("Rule", "rule"),
        Column("Sources", "combination"),
        Column("Row", "label"),
        Column("Seed", "seed", "count"),
        Column("Questions", "n", "count"),
        _estimate_column("Accuracy", "accuracy", "percent"),
        Column("Chance", "chance", "percent"),
        Column("Strict", "strict", "percent"),
        Column("Letter mass", "mass", "percent"),
    ),
)

COMPARISON = Table(
    "comparison",
    "Every combination against the reference arm on the same questions (%, difference in points)",
    (
        *SETTING_FIELDS,
        *(Field(name) for name in ("target", "rule", "combination", "label", "reference")),
        Field("seeds", "count"),
        Field("n", "count"),
        *(Field(name, "fraction") for name in ("chance", "cg", "control", "baseline")),
        *_estimate_fields("difference"),
        Field("better", "count"),
        Field("worse", "count"),
        *(Field(name, "p") for name in ("p_mcnemar", "p_holm", "q_bh")),
        Field("detectable", "fraction"),
        Field("verdict"),
    ),
    (
        *SETTING_COLUMNS,
        Column("Target", "target"),
        Column("Rule", "rule"),
        Column("Sources", "combination"),
        Column("Row", "label"),
        Column("Baseline", "baseline", "percent"),
        Column("Control", "control", "percent"),
        Column("CG", "cg", "percent"),
        _estimate_column("Difference", "difference", "points"),
        Column("Verdict", "verdict"),
        Column("McNemar p", "p_mcnemar", "p"),
        Column("Holm p", "p_holm", "p"),
        Column("BH q", "q_bh", "p"),
        Column("Questions", "n", "count"),
        Column("Chance", "chance", "percent"),
        Column("Detectable", "detectable", "points"),
    ),
)

SUMMARY = Table(
    "summary",
    "Means over targets (%, differences in points, bootstrap over targets and questions)",
    (
        *SETTING_FIELDS,
        *(Field(name) for name in ("arm", "rule", "reference")),
        *(Field(name, "count") for name in ("targets", "paired_targets", "runs", "questions")),
        *_estimate_fields("accuracy"),
        Field("chance", "fraction"),
        *_estimate_fields("minus_chance"),
        *_estimate_fields("minus_reference"),
        *(Field(name, "count") for name in ("helps", "hurts", "comparisons")),
    ),
    (
        *SETTING_COLUMNS,
        Column("Arm", "arm"),
        Column("Rule", "rule"),
        Column("Targets", "targets", "count"),
        _estimate_column("Accuracy", "accuracy", "percent"),
        Column("Chance", "chance", "percent"),
        _estimate_column("Minus chance", "minus_chance", "points"),
        Column("Reference", "reference"),
        _estimate_column("Minus reference", "minus_reference", "points"),
        Column("Helps", "helps", "count"),
        Column("Hurts", "hurts", "count"),
        Column("Comparisons", "comparisons", "count"),
    ),
)


def compare(
    plan: Path,
    predictions: Path,
    experiment: str,
    out: Path,
    minimum_effect: float = statistics.MINIMUM_EFFECT,
    printed: Sequence[Printed] = (),
    leaked: Path | None = None,
) -> None:
    """Write an experiment's tables and headline.json under `out`.

    `plan` is experiments.tsv, `predictions` the folder results/predictions. `minimum_effect` is
    the difference below which an insignificant result counts as evidence of nothing to find.
    `printed` are a paper's figures for the experiment, to stand beside ours. `leaked` is the table
    of test images that were trained on: where there are any, the tables are made once more without
    the questions about them.

    Raises:
        DataError: a planned evaluation has no answers, or answers that cannot be paired.
    """
    rows = read_plan(plan, experiment)
    study = Study(rows, read_answers(predictions, rows))
    found = _tabulate(study, experiment, out / "tables", minimum_effect)
    names = read_leaked(leaked, rows) if leaked else {}
    if names:
        clean = without(study, names)
        found["without_leaks"] = {
            "questions": sum(map(len, names.values())),
            **_tabulate(clean, experiment, out / "tables", minimum_effect, CLEAN),
        }
    if printed:
        beside = beside_rows(study, printed)
        write_table(out / "tables", beside_table(arm_names(printed)), beside, experiment)
        found["published"] = agreement(beside, printed)
    text = json.dumps(found, indent=2, ensure_ascii=False)
    (out / "headline.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def _tabulate(
    study: Study, experiment: str, out: Path, minimum_effect: float, ending: str = ""
) -> dict[str, Any]:
    """Write accuracy, comparison and summary of a study and return its headline."""
    if not study.rows:
        return {"experiment": experiment, "headline": "no question is left", "results": []}
    comparison = comparison_rows(study, minimum_effect)
    summary = summary_rows(study, comparison)
    tables = ((ACCURACY, accuracy_rows(study)), (COMPARISON, comparison), (SUMMARY, summary))
    for table, cells in tables:
        write_table(out, replace(table, stem=table.stem + ending), cells, experiment)
    return headline(study, experiment, summary)


def _columns(setting: Setting) -> dict[str, Cell]:
    return dict(zip(SETTING, setting, strict=True))


def _spread(name: str, estimate: Estimate | None) -> dict[str, Cell]:
    values = (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def accuracy_rows(study: Study) -> list[Row]:
    """Return one row an evaluation, in the plan's order."""
    return [_accuracy_row(study, row) for row in study.rows]


def _accuracy_row(study: Study, row: PlanRow) -> Row:
    answers = study.answers[row.key]
    correct, n = int(answers.correct.sum()), answers.correct.size
    return {
        **_columns(setting_of(row)),
        **{name: getattr(row, name) for name in ("catalog", "target", "arm", "rule")},
        "combination": row.combination,
        "label": row.label,
        "seed": row.seed,
        "run": row.run,
        "n": n,
        "correct": correct,
        **_spread("accuracy", statistics.wilson(correct, n)),
        "chance": statistics.chance(answers.n_options),
        "strict": float(answers.strict.mean()),
        "mass": float(answers.mass.mean()),
    }


def comparison_rows(study: Study, minimum_effect: float) -> list[Row]:
    """Return one row a combination, its seeds pooled, with p values adjusted over their families.

    Holm's family is a rule within a setting; Benjamini and Hochberg's is the whole table.
    """
    groups: dict[tuple[Setting, str, str, str, str], list[PlanRow]] = defaultdict(list)
    for row in study.rows:
        if row.arm == CG:
            key = (setting_of(row), row.catalog, row.target, row.rule, row.combination)
            groups[key].append(row)
    cells = [_comparison_row(study, key[0], rows) for key, rows in groups.items()]
    tested = [cell for cell in cells if cell["p_mcnemar"] is not None]
    families: dict[tuple[Cell, ...], list[dict[str, Cell]]] = defaultdict(list)
    for cell in tested:
        families[tuple(cell[name] for name in (*SETTING, "rule"))].append(cell)
    for family in families.values():
        _adjust(family, "p_holm", statistics.holm)
    _adjust(tested, "q_bh", statistics.benjamini_hochberg)
    return [{**cell, "verdict": _verdict(cell, study.reference, minimum_effect)} for cell in cells]


def _adjust(
    rows: Sequence[dict[str, Cell]], name: str, adjust: Callable[[Sequence[float]], list[float]]
) -> None:
    for row, p in zip(rows, adjust([_number(row["p_mcnemar"]) for row in rows]), strict=True):
        row[name] = p


def _number(cell: Cell) -> float:
    if cell is None or isinstance(cell, str):
        raise TypeError(f"{cell!r} is no number")
    return float(cell)


def _verdict(row: Row, reference: str, minimum_effect: float) -> str:
    if row["difference"] is None:
        return f"no {reference}"
    difference, p, detectable = (
        _number(row[name]) for name in ("difference", "p_holm", "detectable")
    )
    return statistics.verdict(difference, p, detectable, minimum_effect)


def _comparison_row(study: Study, setting: Setting, rows: Sequence[PlanRow]) -> dict[str, Cell]:
    first = rows[0]
    references = [other for row in rows for other in study.references(row, setting)]
    baselines = [row for row in study.arm(setting, BASELINE) if row.target == first.target]
    n_options = study.answers[first.key].n_options
    return {
        **_columns(setting),
        **{name: getattr(first, name) for name in ("target", "rule", "combination", "label")},
        "reference": study.reference,
        "seeds": len(rows),
        "n": n_options.size,
        "chance": statistics.chance(n_options),
        "cg": _mean_accuracy(study, rows),
        "control": _mean_accuracy(study, [row for row in references if row.arm == CONTROL]),
        "baseline": _mean_accuracy(study, baselines),
        **_paired(study, setting, rows),
    }


def _mean_accuracy(study: Study, rows: Sequence[PlanRow]) -> float | None:
    return float(np.mean([study.correct(row).mean() for row in rows])) if rows else None


def _paired(study: Study, setting: Setting, rows: Sequence[PlanRow]) -> dict[str, Cell]:
    """Return difference, discordant questions and p of one combination's runs."""
    found = [study.minus_reference(row, setting) for row in rows]
    parts = [part for part in found if part is not None]
    if not parts:
        names = ("better", "worse", "p_mcnemar", "p_holm", "q_bh", "detectable")
        return {**_spread("difference", None), **dict.fromkeys(names)}
    differences: Array = np.mean(parts, axis=0).round(9)
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    seed = _seed("combination", setting, rows[0].target, rows[0].rule, rows[0].combination)
    return {
        **_spread("difference", statistics.mean_over_questions(differences, seed)),
        "better": better,
        "worse": worse,
        "p_mcnemar": statistics.mcnemar_p(differences),
        "p_holm": None,
        "q_bh": None,
        "detectable": statistics.detectable_difference(differences.size, better + worse),
    }


def _seed(kind: str, setting: Setting, *parts: str) -> int:
    return seeds.derive(SEED, kind, *setting, *parts)


def summary_rows(study: Study, comparison: Sequence[Row]) -> list[Row]:
    """Return one row an arm and one a rule, for every setting."""
    arms = list(dict.fromkeys(row.arm for row in study.rows))
    cells: list[Row] = []
    for setting in study.settings():
        for arm in sorted(arms, key=arm_order):
            rows = study.arm(setting, arm)
            if not rows:
                continue
            cells.append(_summary_row(study, setting, rows, comparison, rule=""))
            if arm == CG:
                for rule in dict.fromkeys(row.rule for row in rows):
                    chosen = [row for row in rows if row.rule == rule]
                    cells.append(_summary_row(study, setting, chosen, comparison, rule))
    return cells


def _summary_row(
    study: Study, setting: Setting, rows: Sequence[PlanRow], comparison: Sequence[Row], rule: str
) -> Row:
    arm = rows[0].arm
    accuracy = per_target(rows, study.correct)
    against = per_target(rows, lambda row: study.minus_reference(row, setting))
    is_reference = arm == study.reference
    seed = _seed("summary", setting, arm, rule)
    return {
        **_columns(setting),
        "arm": arm,
        "rule": rule,
        "reference": "" if is_reference else study.reference,
        "targets": len(accuracy),
        "paired_targets": 0 if is_reference else len(against),
        "runs": len(rows),
        "questions": sum(scores.size for scores in accuracy),
        **_spread("accuracy", statistics.mean_over_targets(accuracy, seed)),
        "chance": float(np.mean([_target_chance(study, row) for row in _oneper_target(rows)])),
        **_spread("minus_chance", _mean(per_target(rows, study.minus_chance), seed)),
        **_spread("minus_reference", None if is_reference else _mean(against, seed)),
        **_verdicts(comparison, setting, arm, rule),
    }


def _mean(scores: Sequence[Array], seed: int) -> Estimate | None:
    return statistics.mean_over_targets(scores, seed) if scores else None


def _oneper_target(rows: Iterable[PlanRow]) -> list[PlanRow]:
    return list({(row.catalog, row.target): row for row in rows}.values())


def _target_chance(study: Study, row: PlanRow) -> float:
    return statistics.chance(study.answers[row.key].n_options)


def _verdicts(comparison: Sequence[Row], setting: Setting, arm: str, rule: str) -> dict[str, Cell]:
    if arm != CG:
        return dict.fromkeys(("helps", "hurts", "comparisons"))
    verdicts = [
        row["verdict"]
        for row in comparison
        if tuple(row[name] for name in SETTING) == setting and rule in ("", row["rule"])
    ]
    counts = {name: verdicts.count(name) for name in ("helps", "hurts")}
    return {**counts, "comparisons": len(verdicts)}
