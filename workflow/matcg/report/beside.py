"""Our figures beside those that a paper prints for the same experiment."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matcg import seeds, statistics
from matcg.config.published import Printed, by_place, gains, tick
from matcg.power import paired_p
from matcg.records import PlanRow
from matcg.report.render import Cell, Column, Field, Row, Table
from matcg.report.study import CG, Array, Study, arm_order

__all__ = ["STEM", "arm_names", "beside_rows", "beside_table", "names_in"]

STEM = "published"
PLACE = ("label", "target", "rule")
MODEL = ("backbone", "recipe")
NAMES = {CG: "CG"}
SEED = 0


def beside_table(names: Iterable[str]) -> Table:
    """Return the table with, for every printed arm, the paper's figure, ours and how far apart."""
    fields = [Field(name) for name in (*PLACE, *MODEL)]
    columns = [Column("Row", "label"), Column("Target", "target"), Column("Rule", "rule")]
    columns += [Column("Backbone", "backbone"), Column("Recipe", "recipe")]
    for name in names:
        ends = ("printed", "ours", "ours_low", "ours_high", "apart")
        fields += [Field(f"{name}_{end}", "fraction") for end in ends]
        header = " minus ".join(NAMES.get(part, part) for part in name.split("-minus-"))
        bounds = (f"{name}_ours_low", f"{name}_ours_high")
        columns += [
            Column(f"{header}, printed", f"{name}_printed", "percent"),
            Column(f"{header}, ours", f"{name}_ours", "percent", bounds),
            Column("apart", f"{name}_apart", "points"),
        ]
    fields += [Field("printed_gain"), Field("our_gain")]
    columns += [Column("Gain, printed", "printed_gain"), Column("Gain, ours", "our_gain")]
    fields += [Field("printed_questions", "count"), Field("least_p", "p")]
    columns += [
        Column("Questions, printed", "printed_questions", "count"),
        Column("Least p, printed", "least_p", "p"),
    ]
    title = "Beside the published figures (%, ours with bootstrap 95 % intervals, apart in points)"
    return Table(STEM, title, tuple(fields), tuple(columns))


def arm_names(printed: Iterable[Printed]) -> list[str]:
    """Return the names of the printed arms, or differences of arms, in the table's order."""
    return list(_arms(printed))


def names_in(path: Path) -> list[str]:
    """Return the same of a table that was written."""
    with path.open(encoding="utf-8", newline="") as stream:
        header = next(csv.reader(stream))
    return [name.removesuffix("_printed") for name in header if name.endswith("_printed")]


def _arms(printed: Iterable[Printed]) -> dict[str, tuple[str, str]]:
    """Return the printed arms, or differences of arms, by the name of their columns."""
    found = {each.name: (each.arm, each.minus) for each in printed if not each.condition}
    return dict(sorted(found.items(), key=lambda item: (arm_order(item[1][0]), item[1][1])))


def beside_rows(study: Study, printed: Sequence[Printed]) -> list[Row]:
    """Return one row a model and printed combination; what was not run here is left empty."""
    sizes = {each.target: each.questions for each in printed if each.questions}
    arms = _arms(printed)
    # Arms may be of different sizes (table 1), and stand in one row all the same.
    models = dict.fromkeys((backbone, recipe) for backbone, recipe, *_ in study.settings())
    return [
        {
            **_row(study, model, place, arms, values),
            **_least(values, sizes.get(place[1])),
        }
        for model in models
        for place, values in by_place(printed).items()
    ]


def _row(
    study: Study,
    model: tuple[str, str],
    place: tuple[str, str, str],
    arms: Mapping[str, tuple[str, str]],
    values: Mapping[str, float],
) -> dict[str, Cell]:
    cells: dict[str, Cell] = dict(zip((*PLACE, *MODEL), (*place, *model), strict=True))
    ours: dict[str, float | None] = {}
    for name, (arm, minus) in arms.items():
        scores = _scores(study, model, place, arm)
        if scores is not None and minus:
            other = _scores(study, model, place, minus)
            scores = None if other is None else scores - other
        ours[name] = None if scores is None else float(scores.mean())
        cells |= _cells(name, values.get(name), scores, (*model, place[1], name))
    return {
        **cells,
        "printed_gain": tick(values),
        "our_gain": tick({name: value for name, value in ours.items() if value is not None}),
    }


def _scores(
    study: Study, model: tuple[str, str], place: tuple[str, str, str], arm: str
) -> Array | None:
    """Return the mean over an arm's runs of each question's score, None where there is no run."""
    label, target, rule = place
    rows = [
        row
        for row in study.rows
        if (row.arm, row.target, row.backbone) == (arm, target, model[0])
        and (not row.trained or row.recipe == model[1])
        and _fits(row, label, rule)
    ]
    if not rows:
        return None
    mean: Array = np.mean([study.correct(row) for row in rows], axis=0)
    return mean


def _fits(row: PlanRow, label: str, rule: str) -> bool:
    """Tell whether a run is of a printed combination, or of an arm that belongs to all."""
    return not row.rule or ((not label or row.label == label) and (not rule or row.rule == rule))


def _cells(
    name: str, printed: float | None, scores: Array | None, parts: tuple[Any, ...]
) -> dict[str, Cell]:
    cells: dict[str, Cell] = {f"{name}_printed": printed}
    found = None
    if scores is not None:
        seed = seeds.derive(SEED, "published", *map(str, parts))
        found = statistics.mean_over_questions(scores, seed)
    cells[f"{name}_ours"] = found.value if found else None
    cells[f"{name}_ours_low"] = found.low if found else None
    cells[f"{name}_ours_high"] = found.high if found else None
    cells[f"{name}_apart"] = found.value - printed if found and printed is not None else None
    return cells


def _least(printed: Mapping[str, float], questions: int | None) -> dict[str, Cell]:
    """Return the paper's number of questions, and the least p that its gain can have had.

    Only accuracies are printed, not on which questions the arms differ: see `paired_p`.
    """
    gained = gains(printed).values()
    found: dict[str, Cell] = {"printed_questions": questions, "least_p": None}
    if gained and questions:
        found["least_p"] = paired_p(min(gained), questions)
    return found
