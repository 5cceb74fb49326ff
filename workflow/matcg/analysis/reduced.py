"""CG combinations with the answers of their knock-outs and of their parts."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from matcg.analysis.pairs import Array, Setting, Study, Target, setting_of
from matcg.analysis.statistics import Codes
from matcg.config.arm import CG
from matcg.plan.records import Reduced, Row

KNOCK_OUT, PART = "knock-out", "part"


def knocked_out(reduced: Collection[Reduced]) -> list[str]:
    """Return the elements of all knock-outs, in the catalog's order as far as records tell."""
    orders = sorted({each.shared for each in reduced}, key=lambda text: (-len(text), text))
    named = {each.element for each in reduced if each.kind == KNOCK_OUT}
    return [e for e in dict.fromkeys(" ".join(orders).split()) if e in named]


@dataclass(frozen=True)
class Case:
    """A combination in a setting: its answers, those without an element, and those of its parts."""

    study: Study
    setting: Setting
    rows: Sequence[Row]
    reduced: Sequence[Reduced]
    others: Mapping[str, Sequence[Row]]  # of other arms, for this combination

    @property
    def key(self) -> tuple[Setting, str, str, str]:
        """Return what names it among all combinations."""
        first = self.rows[0]
        return self.setting, first.target, first.rule, first.combination

    @property
    def target(self) -> Target:
        """Return catalog and id of the target."""
        return self.rows[0].catalog, self.rows[0].target

    @property
    def clusters(self) -> Codes | None:
        """Return the number of each question's patient or image."""
        return self.study.clusters(self.target)

    @cached_property
    def cg(self) -> Array:
        """Return the combination's scores, shape (runs, questions)."""
        return self.study.replicates(self.rows)

    def without(self, kind: str) -> dict[str, Array]:
        """Return the same of its knock-outs or parts, by the element that they lack."""
        found: dict[str, list[Row]] = defaultdict(list)
        for each in self.reduced:
            if each.kind == kind:
                found[each.element] += self.others.get(each.arm, ())
        return {element: self.study.replicates(rows) for element, rows in found.items() if rows}

    def repeats(self, kind: str, element: str) -> bool:
        """Tell whether a knock-out or part holds samples more than once."""
        sizes = [
            each.repeated.split()
            for each in self.reduced
            if (each.kind, each.element) == (kind, element)
        ]
        return any(str(self.setting.n_train) in each for each in sizes)

    @property
    def planned(self) -> list[str]:
        """Return the elements that are taken out of it."""
        return knocked_out(self.reduced)

    @property
    def untested(self) -> list[str]:
        """Return the elements that it shares and that are not taken out of it."""
        shared = self.reduced[0].shared.split() if self.reduced else []
        return [element for element in shared if element not in self.planned]


def cases_of(study: Study, reduced: Sequence[Reduced]) -> list[Case]:
    """Return all combinations in order, those without a knock-out too."""
    records: dict[tuple[str, str, str], list[Reduced]] = defaultdict(list)
    for each in reduced:
        records[each.target, each.rule, each.combination].append(each)
    rows: dict[tuple[Setting, str, str, str], dict[str, list[Row]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in study.rows:
        if row.combination:
            key = (setting_of(row), row.target, row.rule, row.combination)
            rows[key][row.arm].append(row)
    return [
        Case(study, key[0], arms[CG], records.get(key[1:], []), arms)
        for key, arms in sorted(rows.items())
        if CG in arms
    ]


def differences(cases: Sequence[Case], kind: str) -> dict[str, dict[Target, Array]]:
    """Return CG's differences by element and target: means over combinations, then over rules."""
    groups: dict[tuple[str, Target], dict[str, list[Array]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for case in cases:
        for element, other in case.without(kind).items():
            difference = (case.cg.mean(axis=0) - other.mean(axis=0)).round(9)
            groups[element, case.target][case.rows[0].rule].append(difference)
    found: dict[str, dict[Target, Array]] = defaultdict(dict)
    for (element, target), rules in sorted(groups.items()):
        means = [np.mean(each, axis=0) for _, each in sorted(rules.items())]
        found[element][target] = np.mean(means, axis=0)
    return found
