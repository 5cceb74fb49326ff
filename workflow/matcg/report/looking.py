"""What is answered without looking: the same runs with grey pictures and with swapped ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from matcg import statistics
from matcg.records import PlanRow
from matcg.report.columns import (
    SETTING_COLUMNS,
    SETTING_FIELDS,
    estimate_column,
    estimate_fields,
    setting_cells,
    spread,
)
from matcg.report.protocols import Asked, difference_name, mean_of, place_of
from matcg.report.render import Cell, Column, Field, Row, Table, in_percent, number
from matcg.report.study import CG, SETTING, Array, Setting, Study, Target, arm_order, by_target

__all__ = ["LOOKING", "looking_rows", "sentences"]

# Where pictures are not the question's own; what is compared is `shown`.
HIDDEN = ("blank", "shuffled")
REMAINS = {"blank": "with a grey picture", "shuffled": "with another question's picture"}

LOOKING = Table(
    "looking",
    "Accuracy with the question's picture, a grey one and another question's (%, differences in"
    " points, bootstrap over targets and questions)",
    (
        *SETTING_FIELDS,
        Field("arm"),
        Field("chance", "fraction"),
        *(field for name in ("shown", *HIDDEN) for field in estimate_fields(name)),
        *(field for name in HIDDEN for field in estimate_fields(f"minus_{name}")),
    ),
    (
        *SETTING_COLUMNS,
        Column("Arm", "arm"),
        Column("Chance", "chance", "percent"),
        estimate_column("Picture shown", "shown", "percent"),
        estimate_column("Grey picture", "blank", "percent"),
        estimate_column("Another's picture", "shuffled", "percent"),
        estimate_column("Shown minus grey", "minus_blank", "points"),
        estimate_column("Shown minus another's", "minus_shuffled", "points"),
    ),
)

Scores = Mapping[Target, Array]
# Per-question scores of evaluations in a study.
Score = Callable[[Study, PlanRow], Array | None]


@dataclass(frozen=True, slots=True)
class Views:
    """The main protocol and, by what is shown, those that differ from it by the picture alone."""

    main: Asked
    hidden: Mapping[str, Asked]


def _views(ways: Sequence[Asked]) -> Views:
    main = ways[0]
    only = {"name", "description", "image", *([] if main.protocol.shots else ["seed"])}
    rest = main.protocol.canonical(only)
    found = {way.protocol.image: way for way in ways if way.protocol.canonical(only) == rest}
    return Views(main, {name: found[name] for name in HIDDEN if name in found})


def looking_rows(ways: Sequence[Asked]) -> list[Row]:
    """Return one row a setting and arm, and one of CG minus its reference.

    Differences are taken question by question over the runs that were asked both ways. There are
    no rows where the main protocol shows no pictures, or no protocol differs from it by them alone.
    """
    views = _views(ways)
    if views.main.protocol.image != "shown" or not views.hidden:
        return []
    study = views.main.study
    arms = sorted({row.arm for row in study.rows}, key=arm_order)
    found: list[Row] = []
    for setting in study.settings():
        for arm in arms:
            row = _row(views, setting, arm, arm, lambda s, r: s.correct(r))
            found += [row] if row else []

        def against(of: Study, row: PlanRow, setting: Setting = setting) -> Array | None:
            return of.minus_reference(row, setting)

        row = _row(views, setting, CG, difference_name(study), against)
        # Chance is the same for both arms, and no part of their difference.
        found += [{**row, "chance": None}] if row else []
    return found


def _row(views: Views, setting: Setting, arm: str, name: str, score: Score) -> Row | None:
    """Return the row of an arm's scores, None where there are none."""
    study = views.main.study
    shown = by_target(study.arm(setting, arm), lambda row: score(study, row))
    if not shown:
        return None
    chances = [
        statistics.chance(study.answers[row.key].n_options)
        for row in {row.key[1:3]: row for row in study.arm(setting, arm)}.values()
    ]
    cells: dict[str, Cell] = {field.name: None for field in LOOKING.fields}
    cells |= {**setting_cells(setting), "arm": name, "chance": float(np.mean(chances))}
    cells |= _spread(study, setting, arm, "shown", shown)
    for image, way in views.hidden.items():
        pairs = _paired(views.main, way, setting, arm, score)
        if pairs:
            cells |= _spread(study, setting, arm, image, pairs[1])
            apart = {target: each - pairs[1][target] for target, each in pairs[0].items()}
            cells |= _spread(study, setting, arm, f"minus_{image}", apart)
    return cells


def _spread(
    study: Study, setting: Setting, arm: str, column: str, scores: Scores
) -> dict[str, Cell]:
    return spread(column, mean_of(study, setting, scores, arm))


def _paired(
    main: Asked, way: Asked, setting: Setting, arm: str, score: Score
) -> tuple[Scores, Scores] | None:
    """Return by target the scores of the runs that have answers both ways, None without any."""
    both = main.by_place.keys() & way.by_place.keys()
    parts = []
    for study in (main.study, way.study):
        rows = [row for row in study.arm(setting, arm) if place_of(row) in both]
        parts.append(by_target(rows, partial(score, study)))
    shared = parts[0].keys() & parts[1].keys()
    kept = [{target: each for target, each in part.items() if target in shared} for part in parts]
    return (kept[0], kept[1]) if shared else None


def sentences(rows: Sequence[Row]) -> list[str]:
    """Return what the rows of `LOOKING` say, a sentence or two a setting."""
    found: dict[tuple[Cell, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in SETTING), []).append(row)
    several = len(found) > 1
    return [
        (f"{setting[0]}, {setting[2]} samples: " if several else "") + _sentence(mine)
        for setting, mine in found.items()
    ]


def _sentence(rows: Sequence[Row]) -> str:
    first, last = rows[0], rows[-1]
    name = "CG" if first["arm"] == CG else str(first["arm"])
    text = f"Of {name}'s {_percent(first, 'shown')} %, {_remains(first, ' %')}; chance is"
    text += f" {_percent(first, 'chance')} %."
    if last["arm"] != first["arm"] and " minus " in str(last["arm"]):
        other = str(last["arm"]).partition(" minus ")[2]
        text += f" Of the {_percent(last, 'shown')} points between CG and {other},"
        text += f" {_remains(last, '')}."
    return text


def _remains(row: Row, unit: str) -> str:
    found = [(image, words) for image, words in REMAINS.items() if row[image] is not None]
    verbs = [" remain", *[""] * len(found)]
    parts = [
        f"{_percent(row, image)}{unit}{verb} {words}"
        for (image, words), verb in zip(found, verbs, strict=False)
    ]
    return " and ".join(parts)


def _percent(row: Row, name: str) -> str:
    return in_percent(number(row[name]))
