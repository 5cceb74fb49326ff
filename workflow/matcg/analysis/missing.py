"""What an experiment lacks: evaluations without answers, and why a cell of a table is empty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matcg.analysis.answers import asked_of_all, read_answers, read_found
from matcg.analysis.clusters import Folders, read_origins
from matcg.analysis.pairs import Study
from matcg.plan.records import Excluded, Key, Row
from matcg.words import counted

NO_ANSWERS = "no answers yet"
_OTHERS = ": other runs only were asked"


@dataclass(frozen=True, slots=True)
class Missing:
    """A planned evaluation that has no answers, for one of the arms that it serves."""

    target: str
    arm: str
    backbone: str
    run: str
    reason: str


def read_study(
    rows: Sequence[Row],
    places: Mapping[Key, Path],
    show_missing: bool,
    folders: Folders | None = None,
) -> Study:
    """Return planned evaluations with their answers, which lie at `places`.

    Of questions those count that all backbones were asked. With `show_missing` those without
    answers are left out, else they are an error. `folders` are those of prepared subsets, which
    know the questions about one patient or picture.

    Raises:
        DataError: answers are missing, or runs were asked different questions.
    """
    if show_missing:
        answers, _ = read_found(places, rows)
    else:
        answers = read_answers(places, rows)
    answers = asked_of_all(answers)
    asked = {(catalog, target): each.sample_id for (_, catalog, target, _), each in answers.items()}
    origins = read_origins(folders, asked) if folders else None
    kept = [row for row in rows if row.key in answers]
    return Study(kept, answers, origins, planned=rows if show_missing else None)


def find_missing(study: Study) -> list[Missing]:
    """Return the planned evaluations without answers, once for each arm that they serve."""
    answered = {key[:3] for key in study.answers}
    uses = {(*row.key, row.arm): row for row in study.planned if row.key not in study.answers}
    return [
        Missing(
            *(row.target, row.arm, row.backbone, row.asked),
            NO_ANSWERS + _OTHERS * (row.key[:3] in answered),
        )
        for row in uses.values()
    ]


def add_missing(found: dict[str, Any], study: Study) -> None:
    """Say in a headline how many of the planned evaluations have no answers."""
    planned = {row.key for row in study.planned}
    missing = len(planned - set(study.answers))
    found |= {"missing": missing, "planned": len(planned)}
    if missing:
        verb = "is" if missing == 1 else "are"
        found["headline"] += f"; {missing} of {counted(len(planned), 'evaluation')} {verb} missing"


class Reasons:
    """Why there is no result of ours where a paper has a figure, as far as the plan says."""

    def __init__(self, planned: Sequence[Row], excluded: Sequence[Excluded]) -> None:
        self._planned = planned
        self._arms = {row.arm for row in planned}
        self._excluded = excluded

    def why(self, arm: str, target: str, rule: str, backbone: str) -> str:
        """Return the reason why nothing of this arm is planned; an empty rule is any."""
        left_out = [row for row in self._excluded if row.target == target and row.arm in ("", arm)]
        # A listed combination is excluded under the name of its list, not of the rule it shows.
        left_out.sort(key=lambda row: (row.rule != rule, row.arm != arm))
        if left_out:
            return f"left out by the plan: {left_out[0].reason}"
        if arm not in self._arms:
            return f"the experiment has no arm '{arm}'"
        alike = [row for row in self._planned if (row.arm, row.target) == (arm, target)]
        if any(row.backbone != backbone for row in alike) and not any(
            row.backbone == backbone for row in alike
        ):
            return f"not run for backbone {backbone}"
        return "not in the plan"
