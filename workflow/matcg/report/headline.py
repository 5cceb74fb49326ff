"""The one sentence that answers an experiment, and the numbers behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from matcg.records import PlanRow
from matcg.report.render import Cell, Row
from matcg.report.study import CG, SETTING, Array, Setting, Study, per_target

__all__ = ["counted", "headline"]


def headline(study: Study, experiment: str, summary: Sequence[Row]) -> dict[str, Any]:
    """Return the numbers of headline.json and one sentence that says them."""
    results = [_headline_result(study, setting, summary) for setting in study.settings()]
    several = len(results) > 1
    sentences = [
        f"{_name(result)}: {result['sentence']}" if several else result["sentence"]
        for result in results
    ]
    text = "; ".join(sentences) or "nothing has been answered yet"
    return {"experiment": experiment, "headline": text, "results": results}


def _name(result: Mapping[str, Any]) -> str:
    mixed = result["mixed_in"]
    parts = (
        result["backbone"],
        result["recipe"],
        f"{result['n_train']} samples",
        f"{mixed} of them the target's" if mixed else "",
    )
    return ", ".join(part for part in parts if part)


def _headline_result(study: Study, setting: Setting, summary: Sequence[Row]) -> dict[str, Any]:
    rows = [row for row in summary if tuple(row[name] for name in SETTING) == setting]
    arms = {str(row["arm"]): _rounded(row) for row in rows if not row["rule"]}
    rules = {str(row["rule"]): _rounded(row) for row in rows if row["rule"]}
    paired = _paired_accuracies(study, setting)
    return {
        **dict(zip(SETTING, setting, strict=True)),
        "sentence": _sentence(study, arms, paired),
        "reference": study.reference,
        "paired": paired,
        "arms": arms,
        "rules": rules,
    }


def _rounded(row: Row) -> dict[str, Cell]:
    skipped = {*SETTING, "arm", "rule"}
    return {
        name: round(value, 6) + 0.0 if isinstance(value, float) else value
        for name, value in row.items()
        if name not in skipped
    }


def _paired_accuracies(study: Study, setting: Setting) -> dict[str, float] | None:
    """Return the CG and reference accuracies whose difference is the headline's.

    Both are means over the targets that have a reference, over the same seeds.
    """
    rows = [row for row in study.arm(setting, CG) if study.references(row, setting)]
    if not rows:
        return None

    def reference(row: PlanRow) -> Array:
        runs = study.references(row, setting)
        mean: Array = np.mean([study.correct(run) for run in runs], axis=0)
        return mean

    values = {CG: per_target(rows, study.correct), "reference": per_target(rows, reference)}
    return {
        name: round(float(np.mean([scores.mean() for scores in targets])), 6)
        for name, targets in values.items()
    }


def _sentence(
    study: Study, arms: Mapping[str, Mapping[str, Any]], paired: Mapping[str, float] | None
) -> str:
    if CG not in arms:
        means = [f"{arm} {_percent(row['accuracy'])}" for arm, row in arms.items()]
        return f"{', '.join(means)}; no combination was tested"
    row = arms[CG]
    if paired is None:
        return f"CG {_percent(row['accuracy'])}, no {study.reference} to compare with"
    low, high = (100 * row[f"minus_reference_{end}"] for end in ("low", "high"))
    left_out = row["targets"] - row["paired_targets"]
    note = f" ({left_out} more without {study.reference})" if left_out else ""
    return (
        f"CG {_percent(paired[CG])} against {study.reference} {_percent(paired['reference'])}, "
        f"difference {_points(100 * row['minus_reference'])} points "
        f"[{_points(low)}, {_points(high)}], {counted(row['paired_targets'], 'target')}{note}"
    )


def _percent(share: float) -> str:
    return f"{_points(100 * share)} %"


def _points(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}"


def counted(n: int, noun: str) -> str:
    """Return a number of things, with the noun in the right form."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
