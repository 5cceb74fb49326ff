"""Our figures beside those that a paper prints for the same experiment."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from matcg import seeds, statistics
from matcg.published import Printed
from matcg.report.answers import BASELINE, PlanRow
from matcg.report.render import Cell, Column, Field, Row, Table
from matcg.report.study import CG, Array, Study, arm_order

__all__ = ["STEM", "agreement", "arm_names", "beside_rows", "beside_table", "names_in"]

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
    found = {(each.arm, each.minus) for each in printed}
    ordered = sorted(found, key=lambda pair: (arm_order(pair[0]), pair[1]))
    return {_name(arm, minus): (arm, minus) for arm, minus in ordered}


def _name(arm: str, minus: str) -> str:
    return f"{arm}-minus-{minus}" if minus else arm


def beside_rows(study: Study, printed: Sequence[Printed]) -> list[Row]:
    """Return one row a model and printed combination; what was not run here is left empty."""
    places: dict[tuple[str, str, str], dict[str, float]] = {}
    for each in printed:
        place = (each.label, each.target, each.rule)
        places.setdefault(place, {})[_name(each.arm, each.minus)] = each.value / 100
    sizes = {each.target: each.questions for each in printed if each.questions}
    shared = {place[1]: values for place, values in places.items() if place[::2] == ("", "")}
    # What is printed for a target alone stands in each of its rows, or in one of its own.
    kept = {
        place: shared.get(place[1], {}) | values
        for place, values in places.items()
        if place[::2] != ("", "") or not any(p[1] == place[1] and p != place for p in places)
    }
    arms = _arms(printed)
    # Arms may be of different sizes (table 1), and stand in one row all the same.
    models = dict.fromkeys((backbone, recipe) for backbone, recipe, *_ in study.settings())
    return [
        {
            **_row(study, model, place, arms, values),
            **_least(values, sizes.get(place[1])),
        }
        for model in models
        for place, values in kept.items()
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
        "printed_gain": _gain(values),
        "our_gain": _gain({name: value for name, value in ours.items() if value is not None}),
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
        and (row.run == BASELINE or row.recipe == model[1])
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


def _gain(values: Mapping[str, float]) -> str:
    """Return the paper's verdict: whether CG is above every other arm printed beside it."""
    gains = _gains(values)
    return "" if not gains else "yes" if min(gains) > 0 else "no"


def _least(printed: Mapping[str, float], questions: int | None) -> dict[str, Cell]:
    """Return the paper's number of questions, and the least p that its gain can have had.

    Only accuracies are printed, not on which questions the arms differ. Least p of exact McNemar
    is where they differ on no more than the gain asks for, all of them the same way.
    """
    gains = _gains(printed)
    found: dict[str, Cell] = {"printed_questions": questions, "least_p": None}
    if gains and questions:
        differing = round(abs(min(gains)) * questions)
        found["least_p"] = statistics.mcnemar_p(np.ones(differing))
    return found


def _gains(values: Mapping[str, float]) -> list[float]:
    """Return CG's printed differences, that from the best of the other arms among them."""
    gains = [value for name, value in values.items() if name.startswith(f"{CG}-minus-")]
    others = [value for name, value in values.items() if name in ("baseline", "control")]
    if CG in values and others:
        gains += [values[CG] - max(others)]
    return gains


def agreement(rows: Sequence[Row], printed: Iterable[Printed]) -> dict[str, Any]:
    """Return how many printed figures lie in our intervals, verdicts that agree, and rank order."""
    names = arm_names(printed)
    pairs = [(row, name) for row in rows for name in names if row[f"{name}_apart"] is not None]
    inside = sum(_inside(row, name) for row, name in pairs)
    verdicts = [row for row in rows if row["printed_gain"] and row["our_gain"]]
    return {
        "figures": len(pairs),
        "inside": inside,
        "verdicts": len(verdicts),
        "same_verdict": sum(row["printed_gain"] == row["our_gain"] for row in verdicts),
        **_possible(rows),
        "rank_correlation": {name: _rank_correlation(rows, name) for name in names},
    }


def _possible(rows: Iterable[Row]) -> dict[str, int]:
    """Return how many printed gains have a known test size, and how many could be significant."""
    known = {
        (row["label"], row["target"], row["rule"]): row["least_p"]
        for row in rows
        if row["printed_gain"] == "yes" and row["least_p"] is not None
    }
    possible = sum(isinstance(p, float) and p < statistics.ALPHA for p in known.values())
    return {"gains_of_known_size": len(known), "gains_possibly_significant": possible}


def _inside(row: Row, name: str) -> bool:
    low, printed, high = (row[f"{name}_{end}"] for end in ("ours_low", "printed", "ours_high"))
    assert isinstance(low, float)
    assert isinstance(printed, float)
    assert isinstance(high, float)
    return low <= printed <= high


def _rank_correlation(rows: Iterable[Row], name: str) -> float | None:
    """Return Spearman's correlation of ours with the printed; None below three different values."""
    pairs = [
        (row[f"{name}_printed"], row[f"{name}_ours"])
        for row in rows
        if row[f"{name}_apart"] is not None
    ]
    if min((len(set(values)) for values in zip(*pairs, strict=True)), default=0) < 3:
        return None
    return round(float(spearmanr(pairs).statistic), 6)
