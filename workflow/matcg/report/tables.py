"""Compares the arms of an experiment: accuracies, CG against control, means over targets."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from matcg import seeds, statistics, told
from matcg.config.protocol import Protocol
from matcg.config.published import Printed
from matcg.records import (
    BASELINE,
    Key,
    PlanRow,
    read_excluded,
    read_folders,
    read_places,
    read_plan,
    read_runs,
)
from matcg.report import paper as papers
from matcg.report.agreement import agreement, sentences
from matcg.report.answers import read_leaked
from matcg.report.asked import write_asked
from matcg.report.beside import arm_names, beside_rows, beside_table
from matcg.report.columns import (
    SETTING_COLUMNS,
    SETTING_FIELDS,
    estimate_column,
    estimate_fields,
    setting_cells,
    spread,
)
from matcg.report.comparison import COMPARISON, Claims, comparison_rows
from matcg.report.headline import headline
from matcg.report.letters import CALIBRATION, LETTERS, calibration_rows, letter_rows
from matcg.report.missing import MISSING, add_missing, missing_rows, read_study
from matcg.report.paper import Paper
from matcg.report.protocols import further_rows
from matcg.report.render import Cell, Column, Field, Row, Table, read_csv, write_table
from matcg.report.study import (
    CG,
    SETTING,
    Array,
    Setting,
    Study,
    Target,
    arm_order,
    by_target,
    setting_of,
    without,
)
from matcg.report.targets import TARGETS, target_rows
from matcg.statistics import Estimate

__all__ = ["ACCURACY", "CLEAN", "COMPARISON", "SUMMARY", "compare"]

SEED = 0
# Tables that only figures and curious readers need, and that are not made without leaked questions.
MORE = ((TARGETS, target_rows), (LETTERS, letter_rows), (CALIBRATION, calibration_rows))
CLEAN = "_without_leaks"  # ends the names of tables without questions about leaked images

ACCURACY = Table(
    "accuracy",
    "Accuracy of every evaluation (%, Wilson 95 % interval)",
    (
        *SETTING_FIELDS,
        *(Field(name) for name in ("catalog", "target", "arm", "rule", "combination", "label")),
        Field("seed", "count"),
        Field("draw", "count"),
        Field("run"),
        Field("n", "count"),
        Field("correct", "count"),
        *estimate_fields("accuracy"),
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
        Column("Draw", "draw", "count"),
        Column("Questions", "n", "count"),
        estimate_column("Accuracy", "accuracy", "percent"),
        Column("Chance", "chance", "percent"),
        Column("Strict", "strict", "percent"),
        Column("Letter mass", "mass", "percent"),
    ),
)

SUMMARY = Table(
    "summary",
    "Means over targets (%, differences in points, bootstrap over targets and questions)",
    (
        *SETTING_FIELDS,
        *(Field(name) for name in ("arm", "rule", "reference")),
        *(Field(name, "count") for name in ("targets", "paired_targets", "runs", "questions")),
        *estimate_fields("accuracy"),
        Field("chance", "fraction"),
        *estimate_fields("minus_chance"),
        *estimate_fields("minus_reference"),
        *estimate_fields("mixed_model"),
        *estimate_fields("by_dataset"),
        *estimate_fields("minus_baseline"),
        *(Field(name, "count") for name in ("helps", "hurts", "comparisons")),
    ),
    (
        *SETTING_COLUMNS,
        Column("Arm", "arm"),
        Column("Rule", "rule"),
        Column("Targets", "targets", "count"),
        estimate_column("Accuracy", "accuracy", "percent"),
        Column("Chance", "chance", "percent"),
        estimate_column("Minus chance", "minus_chance", "points"),
        Column("Reference", "reference"),
        estimate_column("Minus reference", "minus_reference", "points"),
        estimate_column("by a mixed model", "mixed_model", "points"),
        estimate_column("by source dataset", "by_dataset", "points"),
        estimate_column("Minus baseline", "minus_baseline", "points"),
        Column("Helps", "helps", "count"),
        Column("Hurts", "hurts", "count"),
        Column("Comparisons", "comparisons", "count"),
    ),
)


def compare(
    plan: Path,
    experiment: str,
    out: Path,
    minimum_effect: float = statistics.MINIMUM_EFFECT,
    printed: Sequence[Printed] = (),
    leaked: Path | None = None,
    family: str = "rule",
    paper: Paper | None = None,
    show_missing: bool = False,
    protocols: Sequence[Protocol] = (),
) -> None:
    """Write an experiment's tables and headline.json under `out`.

    `plan` is the folder of the experiment's plan, which says where its runs, their answers and the
    questions lie. `minimum_effect` is the difference below which an insignificant result counts as
    evidence of nothing to find. `printed` are a paper's figures for the experiment, to stand beside
    ours. `leaked` is the table of test images that were trained on: where there are any, the tables
    are made once more without the questions about them. `family` names the comparisons that Holm's
    correction takes together. `paper` says how the table in the paper's shape is laid out. With
    `show_missing` evaluations without answers are listed and left out. `protocols` are how
    questions were asked: what is compared, and what is reported beside it.

    Raises:
        DataError: a planned evaluation has no answers, or answers that cannot be paired; or a run,
            an answer or a subset says that it is another than planned.
    """
    rows = read_plan(plan, experiment)
    places = read_places(plan)
    every = [*rows, *further_rows(rows, places, protocols)]
    everything = read_study(every, places, show_missing, read_folders(plan))
    check_runs(everything.rows, places, plan)
    study = everything.of(rows)
    claims = Claims(family, minimum_effect)
    found = _tabulate(study, experiment, out / "tables", claims)
    for table, rows_of in MORE:
        write_table(out / "tables", table, rows_of(study), experiment)
    names = read_leaked(leaked, rows) if leaked else {}
    if names:
        clean = without(study, names)
        found["without_leaks"] = {
            "questions": sum(map(len, names.values())),
            **_tabulate(clean, experiment, out / "tables", claims, CLEAN),
        }
    if show_missing:
        add_missing(found, everything)
        write_table(out / "tables", MISSING, missing_rows(everything), experiment)
    sentences_asked = write_asked(everything, every, protocols, experiment, out / "tables")
    found |= {"asked": sentences_asked} if sentences_asked else {}
    if printed or (paper and paper.layout):
        left_out = read_excluded(plan, experiment)
        laid_out = replace(paper or Paper(), printed=printed, excluded=left_out)
        found |= _as_printed(study, laid_out, experiment, out)
    text = json.dumps(found, indent=2, ensure_ascii=False)
    (out / "headline.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def check_runs(rows: Iterable[PlanRow], places: Mapping[Key, Path], plan: Path) -> None:
    """Refuse answers of runs that are others than planned, or were trained anew since."""
    runs = read_runs(plan)
    for row in {row.key: row for row in rows if row.mix}.values():
        told.check_trained(places[row.key], runs[row.backbone, row.run])


def _as_printed(study: Study, paper: Paper, experiment: str, out: Path) -> dict[str, Any]:
    """Write the tables beside a paper's figures and in its shape, and return what agrees."""
    folder, found, remark = out / "tables", {}, ""
    if paper.printed:
        beside = beside_rows(study, paper.printed)
        write_table(folder, beside_table(arm_names(paper.printed)), beside, experiment)
        found = {"published": agreement(beside, paper.printed)}
        remark = found["published"]["text"] = sentences(found["published"])
    comparison = read_csv(folder / f"{COMPARISON.stem}.csv", COMPARISON.fields)
    papers.write(study, paper, comparison, experiment, folder, remark)
    return found


def _tabulate(
    study: Study, experiment: str, out: Path, claims: Claims, ending: str = ""
) -> dict[str, Any]:
    """Write accuracy, comparison and summary of a study and return its headline."""
    if not study.rows and (ending or not study.partial):
        return {"experiment": experiment, "headline": "no question is left", "results": []}
    comparison = comparison_rows(study, claims)
    summary = summary_rows(study, comparison)
    tables = ((ACCURACY, accuracy_rows(study)), (COMPARISON, comparison), (SUMMARY, summary))
    for table, cells in tables:
        write_table(out, replace(table, stem=table.stem + ending), cells, experiment)
    return headline(study, experiment, summary)


def accuracy_rows(study: Study) -> list[Row]:
    """Return one row an evaluation, in the plan's order."""
    return [_accuracy_row(study, row) for row in study.rows]


def _accuracy_row(study: Study, row: PlanRow) -> Row:
    answers = study.answers[row.key]
    correct, n = int(answers.correct.sum()), answers.correct.size
    return {
        **setting_cells(setting_of(row)),
        **{name: getattr(row, name) for name in ("catalog", "target", "arm", "rule")},
        "combination": row.combination,
        "label": row.label,
        "seed": row.seed if row.trained else None,
        "draw": row.draw,
        "run": row.run,
        "n": n,
        "correct": correct,
        **spread("accuracy", statistics.wilson(correct, n)),
        "chance": statistics.chance(answers.n_options),
        "strict": float(answers.strict.mean()),
        "mass": float(answers.mass.mean()),
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
    accuracy = by_target(rows, study.correct)
    is_reference = arm == study.reference
    against = by_target(rows, lambda row: study.minus_reference(row, setting))
    against = {} if is_reference else against
    baseline = {} if arm == BASELINE else by_target(rows, study.minus_baseline)
    seed = _seed("summary", setting, arm, rule)
    mean = partial(_mean, study, seed)
    return {
        **setting_cells(setting),
        "arm": arm,
        "rule": rule,
        "reference": "" if is_reference else study.reference,
        "targets": len(accuracy),
        "paired_targets": len(against),
        "runs": len(rows),
        "questions": sum(scores.size for scores in accuracy.values()),
        **spread("accuracy", mean(accuracy)),
        "chance": float(np.mean([_target_chance(study, row) for row in _oneper_target(rows)])),
        **spread("minus_chance", mean(by_target(rows, study.minus_chance))),
        **spread("minus_reference", mean(against)),
        **_checks(study, against if arm == CG else {}),
        **spread("minus_baseline", mean(baseline)),
        **_verdicts(comparison, setting, arm, rule),
    }


def _mean(study: Study, seed: int, scores: Mapping[Target, Array]) -> Estimate | None:
    return study.mean(scores, seed)


def _checks(study: Study, scores: Mapping[Target, Array]) -> dict[str, Cell]:
    """Return the mean once more by a mixed model, and clustered by source dataset where known."""
    arrays = list(scores.values())
    mixed = statistics.mean_by_mixed_model(arrays) if arrays else None
    known = arrays and all(target in study.origins for target in scores)
    datasets = [study.origins[target].datasets for target in scores] if known else []
    grouped = statistics.mean_by_clusters(arrays, datasets) if datasets else None
    return {**spread("mixed_model", mixed), **spread("by_dataset", grouped)}


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
