"""The one sentence that answers an experiment, and the numbers behind it."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from matcg.analysis.composition import Composition
from matcg.analysis.coverage import Coverage, sentence
from matcg.analysis.pairs import Array, Setting, Study, per_target
from matcg.analysis.statistics import Estimate
from matcg.analysis.summary import Summary
from matcg.cells import Cell, cells_of, fields_of
from matcg.config.arm import CG
from matcg.forms import ACCURACY
from matcg.plan.records import Row
from matcg.words import counted, in_percent

_ABOVE = ("setting", "arm", "rule", "score")  # stand above what a record says
FIELDS = [each for each in fields_of(Summary, {}) if each.path[0] not in _ABOVE]


def headline(
    study: Study,
    experiment: str,
    summary: Sequence[Summary],
    covered: Sequence[Coverage] = (),
    composed: Sequence[Composition] = (),
) -> dict[str, Any]:
    """Return the numbers of headline.json and one sentence that says them.

    `covered` are the records of a design by coverage, which a sentence of its own says, `composed`
    those of both gains.
    """
    settings, parts = study.settings(), study.by_measure()
    results = [
        _headline_result(
            part,
            setting,
            [each for each in summary if each.score == score],
            sentence([e for e in covered if (e.setting, e.score) == (setting, score)]),
            [each for each in composed if each.score == score],
        )
        | ({} if score == ACCURACY else {"score": score})
        for setting, (score, part) in product(settings, parts.items())
        if part is study or setting in part.settings()
    ]
    names = [_name(result, len(settings) > 1, len(parts) > 1) for result in results]
    sentences = map("{}{}".format, names, (result["sentence"] for result in results))
    text = "; ".join(sentences) or "nothing has been answered yet"
    return {"experiment": experiment, "headline": text, "results": results}


def mark(found: dict[str, Any], text: str) -> None:
    """Let every sentence of a headline.json start with what its figures are of."""
    for name, value in found.items():
        if name in ("headline", "sentence"):
            found[name] = f"{text}: {value}"
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                mark(each, text)


def _name(result: Mapping[str, Any], setting: bool, score: bool) -> str:
    """Return what a sentence starts with where there are others, or other scores than accuracy."""
    parts = (
        result.get("score", ACCURACY if score else ""),
        *(_of_setting(result) if setting else ()),
    )
    text = ", ".join(part for part in parts if part)
    return f"{text}: " if text else ""


def _of_setting(result: Mapping[str, Any]) -> tuple[str, ...]:
    mixed = result["mixed_in"]
    return (
        result["backbone"],
        result["recipe"],
        f"{result['n_train']} samples",
        f"{mixed} of them the target's" if mixed else "",
    )


def _headline_result(
    study: Study,
    setting: Setting,
    summary: Sequence[Summary],
    covered: str,
    composed: Sequence[Composition],
) -> dict[str, Any]:
    mine = [each for each in summary if each.setting == setting]
    arms = {each.arm: each for each in mine if not each.rule}
    paired = _paired_accuracies(study, setting)
    # All rules together come first, where there are several.
    both = next((each for each in composed if each.setting == setting and not each.target), None)
    said = _sentence(study, arms, paired) + (_gain(both) if both else "")
    return {
        **setting._asdict(),
        "sentence": covered
        if CG not in arms and covered
        else said + f"; {covered}" * bool(covered),
        "reference": study.reference,
        "paired": paired,
        "arms": {arm: _rounded(each) for arm, each in arms.items()},
        "rules": {each.rule: _rounded(each) for each in mine if each.rule},
        **({"composition": _numbers(both)} if both else {}),
    }


def _gain(found: Composition) -> str:
    """Return what a sentence says of the composition gain and of both gains together."""
    gain = found.composition
    if gain is None:
        return f"; composition gain: {found.said}"
    more = f", {counted(found.not_testable, 'target')} not testable" * bool(found.not_testable)
    # Of what stays in its place nothing is known.
    stayed = " and ".join(found.untested.split())
    least = found.least + f", {stayed} not taken out" * bool(stayed)
    return (
        f"; composition gain {_points(gain)}, least without {least},"
        f" {counted(found.targets, 'target')}{more}: {found.said}"
    )


def _numbers(found: Composition) -> dict[str, Cell]:
    fields = fields_of(Composition, {"gains": list(found.gains), "lost": list(found.lost)})
    left_out = ("setting", "target", "combination", "score")
    cells = cells_of(found, [each for each in fields if each.path[0] not in left_out])
    return {n: round(c, 6) + 0.0 if isinstance(c, float) else c for n, c in cells.items()}


def _rounded(summary: Summary) -> dict[str, Cell]:
    return {
        name: round(value, 6) + 0.0 if isinstance(value, float) else value
        for name, value in cells_of(summary, FIELDS).items()
    }


def _paired_accuracies(study: Study, setting: Setting) -> dict[str, float] | None:
    """Return the CG and reference accuracies whose difference is the headline's.

    Both are means over the targets that have a reference, over the same seeds.
    """
    rows = [row for row in study.arm(setting, CG) if study.references(row, setting)]
    if not rows:
        return None

    def reference(row: Row) -> Array:
        return study.mean_score(study.references(row, setting))

    values = {CG: per_target(rows, study.score), "reference": per_target(rows, reference)}
    return {
        name: round(float(np.mean([scores.mean() for scores in targets])), 6)
        for name, targets in values.items()
    }


def _sentence(study: Study, arms: Mapping[str, Summary], paired: Mapping[str, float] | None) -> str:
    means = {arm: each.accuracy.value for arm, each in arms.items() if each.accuracy}
    if CG not in arms:
        said = ", ".join(f"{arm} {_percent(mean)} %" for arm, mean in means.items())
        return f"{said}; no combination was tested"
    cg, reference = arms[CG], study.reference
    if paired is None or cg.minus_reference is None:
        return f"CG {_percent(means[CG])} %, no {reference} to compare with"
    left_out = cg.targets - cg.paired_targets
    note = f" ({left_out} more without {reference})" if left_out else ""
    return (
        f"CG {_percent(paired[CG])} % against {reference} {_percent(paired['reference'])} %, "
        f"difference {_points(cg.minus_reference)}, "
        f"{counted(cg.paired_targets, 'target')}{note}"
    )


def _points(found: Estimate) -> str:
    return f"{_percent(found.value)} points [{_percent(found.low)}, {_percent(found.high)}]"


def _percent(share: float) -> str:
    # Rounded as it stands in the file, so that the sentence says no more than the numbers do.
    return in_percent(round(share, 6))
