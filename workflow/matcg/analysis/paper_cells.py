"""The cells of a paper's table: what it prints of each row and column, and what we have there.

How the table is laid out is data (`layout:` in the experiment's file); rows, columns and reasons
come from the plan, so that what was not run stands there with the reason.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from matcg import seeds
from matcg.analysis import statistics
from matcg.analysis.beside_published import arm_names
from matcg.analysis.comparison import Comparison
from matcg.analysis.elements import CatalogElements
from matcg.analysis.missing import NO_ANSWERS, Reasons
from matcg.analysis.pairs import Array, Study, arm_order
from matcg.analysis.statistics import Estimate
from matcg.config.arm import CG
from matcg.config.layout import Layout, LayoutColumn, slug_of
from matcg.config.published import Printed, by_place, tick
from matcg.plan.records import BASELINE, Row

TRAINED = 1_000_000  # sorts labels that are no numbers behind those that are
AS_HERE = "as run here"
_NAMES = {CG: "CG"}


@dataclass(frozen=True, slots=True)
class Paper:
    """What an experiment's file says of its table, and what a paper prints."""

    printed: Sequence[Printed] = ()
    layout: Layout | None = None
    question: str = ""
    catalog: CatalogElements | None = None


class Entry(NamedTuple):
    """What a row is about; empty text is any."""

    backbone: str
    recipe: str
    rule: str
    label: str
    target: str
    combination: str

    def fits(self, row: Row, column: LayoutColumn, arm: str) -> bool:
        """Tell whether an evaluation of this arm belongs into a cell of this row."""
        if (row.arm, row.backbone, row.target) != (arm, self.backbone, self.target):
            return False
        if row.trained and row.recipe != self.recipe:
            return False
        if not row.rule:  # an arm that all combinations share
            return True
        asked = (column.rule or self.rule, self.label, self.combination)
        own = (row.rule, row.label, row.combination)
        return all(not one or one == other for one, other in zip(asked, own, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A cell: what is printed and what is ours, as fractions; `note` is about ours."""

    printed: float | None
    printed_sd: float | None
    ours: Estimate | None = None
    ours_sd: float | None = None
    apart: float | None = None
    runs: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table: its entry, the arm where sizes are the columns, and a figure a column."""

    entry: Entry
    arm: str
    figures: Mapping[str, Figure]
    printed_tick: str = ""
    our_verdict: str = ""


@dataclass(frozen=True)
class Builder:
    """A study with what is asked of its table."""

    study: Study
    paper: Paper
    comparisons: Sequence[Comparison]
    reasons: Reasons

    @property
    def layout(self) -> Layout:
        """Return how the table is laid out."""
        return self.paper.layout or Layout()

    @cached_property
    def columns(self) -> Sequence[LayoutColumn]:
        """Return what the columns are about: what the layout says, else what is printed."""
        if self.layout.columns:
            return self.layout.columns
        printed = {p.name: (p.arm, p.minus or None) for p in self.paper.printed if not p.condition}
        found = [printed[name] for name in arm_names(self.paper.printed)]
        arms = sorted({row.arm for row in self.study.planned}, key=arm_order)
        return [
            LayoutColumn(name=_header(arm, minus), arm=arm, minus=minus)
            for arm, minus in found or [(arm, None) for arm in arms]
        ]

    @property
    def by_combination(self) -> bool:
        """Tell whether a row is a combination, not a target."""
        if self.layout.rows:
            return self.layout.rows == "combination"
        return any(row.arm == CG for row in self.study.planned)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Return what rows are grouped by."""
        if self.layout.blocks is not None:
            return self.layout.blocks
        several = len({row.backbone for row in self.study.planned}) > 1
        return (("backbone",) if several else ()) + (("rule",) if self.by_combination else ())

    def models(self) -> list[tuple[str, str]]:
        """Return backbone and recipe of all that is planned."""
        trained = dict.fromkeys((r.backbone, r.recipe) for r in self.study.planned if r.mix)
        known = {backbone for backbone, _ in trained}
        rows = self.study.planned
        return sorted([*trained, *{(r.backbone, "") for r in rows if r.backbone not in known}])

    def entries(self) -> list[Entry]:
        """Return what the rows are about: all that is printed, then what else is planned."""
        find = self._combinations if self.by_combination else self._targets
        return [entry for model in self.models() for entry in find(*model)]

    def _targets(self, backbone: str, recipe: str) -> list[Entry]:
        printed = [each.target for each in self.paper.printed]
        planned = sorted({row.target for row in self.study.planned})
        return [
            Entry(backbone, recipe, "", "", target, "")
            for target in dict.fromkeys([*printed, *planned])
        ]

    def _combinations(self, backbone: str, recipe: str) -> list[Entry]:
        planned = {
            Entry(backbone, recipe, row.rule, row.label, row.target, row.combination)
            for row in self.study.planned
            if (row.arm, row.backbone, row.recipe) == (CG, backbone, recipe)
        }
        ordered = sorted(planned, key=_entry_order)
        found: list[Entry] = []
        for label, target, rule in dict.fromkeys(
            (p.label, p.target, p.rule) for p in self.paper.printed if p.label or p.rule
        ):
            asked = (target, rule, label)
            fitting = [
                entry for entry in ordered if _alike(asked, (entry.target, entry.rule, entry.label))
            ]
            found += fitting or [Entry(backbone, recipe, rule, label, target, "")]
        return list(dict.fromkeys([*found, *ordered]))

    def sizes(self) -> list[int]:
        """Return the sizes that are columns; 0 samples are the untrained backbone."""
        rows = self.study.planned
        if self.layout.across == "mixed_in":
            return sorted({row.mixed_in for row in rows if row.mix})
        untrained = {0} if any(not row.mix for row in rows) else set()
        return sorted(untrained | {row.n_train for row in rows if row.mix})

    def conditions(self) -> list[str]:
        """Return the conditions that are columns; the one without a name is as all else here."""
        printed = (each.condition for each in self.paper.printed)
        return list(dict.fromkeys(["", *printed, *self.layout.conditions]))

    def names(self) -> dict[str, str]:
        """Return the headers of the columns by what starts their names in CSV."""
        if self.layout.across == "condition":
            headers = [name or AS_HERE for name in self.conditions()]
            return {slug_of(header): header for header in headers}
        if self.layout.across:
            return {str(size): str(size) for size in self.sizes()}
        return {slug_of(column.name): column.name for column in self.columns}

    def lines(self) -> list[Line]:
        """Return the rows of the table, by block."""
        found = [line for entry in self.entries() for line in self._lines(entry)]
        order = list(dict.fromkeys(self.heading(line.entry) for line in found))
        return sorted(found, key=lambda line: order.index(self.heading(line.entry)))

    def _lines(self, entry: Entry) -> Iterator[Line]:
        slugs = self.names()
        if self.layout.across:
            for column in self.columns:
                figures = zip(slugs, self._across(entry, column), strict=True)
                yield Line(entry, column.name, dict(figures))
        else:
            figures = zip(slugs, (self._figure(entry, each) for each in self.columns), strict=True)
            yield Line(entry, "", dict(figures), self._tick(entry), self._verdict(entry))

    def _across(self, entry: Entry, column: LayoutColumn) -> Iterator[Figure]:
        if self.layout.across == "condition":
            for condition in self.conditions():
                yield self._figure(entry, column.model_copy(update={"condition": condition}))
        else:
            for size in self.sizes():
                yield self._figure(entry, column, size)

    def heading(self, entry: Entry) -> tuple[str, ...]:
        """Return the values that the row's block shares."""
        return tuple(getattr(entry, name) for name in self.blocks)

    def _figure(self, entry: Entry, column: LayoutColumn, size: int | None = None) -> Figure:
        found = self._printed(entry, column)
        value = found.value / 100 if found else None
        printed = partial(
            Figure,
            printed=value,
            printed_sd=found.sd / 100 if found and found.sd is not None else None,
        )
        if column.condition and column.condition not in self.layout.conditions:
            return printed(note=f"{column.condition}: not run")
        parts = [self._runs(entry, column, arm, size) for arm in _arms(column)]
        note = "; ".join(dict.fromkeys(note for _, note in parts if note))
        arms = [rows for rows, _ in parts]
        if not all(arms):
            return printed(note=note)
        ours = self._ours(entry, column, arms)
        return printed(
            ours=ours,
            ours_sd=None if column.minus else self._deviation(arms[0]),
            apart=None if value is None else ours.value - value,
            runs=len({row.run for row in arms[0]}),
            note=note,
        )

    def _ours(self, entry: Entry, column: LayoutColumn, arms: Sequence[Sequence[Row]]) -> Estimate:
        """Return the accuracy of the first arm, or its difference from the second."""
        scores, *minus = map(self.study.mean_score, arms)
        name = "-minus-".join(rows[0].arm for rows in arms)
        place = ("published", entry.backbone, entry.recipe, entry.target, name)
        seed = seeds.derive(seeds.ANALYSIS, *place, *filter(None, [column.condition]))
        return statistics.mean_over_questions(scores - minus[0] if minus else scores, seed)

    def _printed(self, entry: Entry, column: LayoutColumn) -> Printed | None:
        """Return the printed figure of a cell, None where there is none or several fit."""
        asked = (entry.label, column.rule or entry.rule)
        fitting = [
            each
            for each in self.paper.printed
            if (each.target, each.arm, each.minus, each.condition)
            == (entry.target, column.arm, column.minus or "", column.condition)
            and _alike((each.label, each.rule), asked, both=True)
        ]
        return fitting[0] if len({each.value for each in fitting}) == 1 else None

    def _runs(
        self, entry: Entry, column: LayoutColumn, arm: str, size: int | None
    ) -> tuple[list[Row], str]:
        """Return the answered evaluations of a cell, and a note where some or all are missing."""
        if size == 0 and self.layout.across == "samples":
            arm = BASELINE
        fitting = [
            row
            for row in self.study.planned
            if entry.fits(row, column, arm) and (not row.mix or self._of_size(row, size))
        ]
        if column.condition:
            fitting = self._under(column.condition, fitting)
        planned = list({row.key: row for row in fitting}.values())
        if not planned:
            rule = column.rule or entry.rule
            return [], self.reasons.why(arm, entry.target, rule, entry.backbone)
        answered = [row for row in planned if row.key in self.study.answers]
        if not answered:
            return [], NO_ANSWERS
        few = len(answered) < len(planned)
        return answered, f"mean of {len(answered)} of {len(planned)} runs" if few else ""

    def _under(self, condition: str, rows: Sequence[Row]) -> list[Row]:
        """Return the evaluations of the same runs that were asked as the condition says."""
        protocol = self.layout.conditions[condition]
        runs = {(*row.key[:3], row.run) for row in rows}
        return [
            row
            for row in self.study.planned
            if row.protocol == protocol and (*row.key[:3], row.run) in runs
        ]

    def _of_size(self, row: Row, size: int | None) -> bool:
        if size is None:
            return True
        return size == (row.mixed_in if self.layout.across == "mixed_in" else row.n_train)

    def _deviation(self, rows: Sequence[Row]) -> float | None:
        """Return the standard deviation of accuracy over seeds, or over the draws of one seed.

        None where there is but one of both.
        """
        by = "seed" if len({row.seed for row in rows}) > 1 else "draw"
        groups: dict[int | None, list[Array]] = defaultdict(list)
        for row in rows:
            groups[getattr(row, by)].append(self.study.score(row))
        means = [float(np.mean(scores)) for scores in groups.values()]
        return float(np.std(means, ddof=1)) if len(means) > 1 else None

    def _tick(self, entry: Entry) -> str:
        """Return the paper's tick: whether CG is printed above every other arm."""
        for (label, target, rule), values in by_place(self.paper.printed).items():
            same = target == entry.target
            if same and _alike((label, rule), (entry.label, entry.rule), both=True):
                found = tick(values)
                if found:
                    return found
        return ""

    def _verdict(self, entry: Entry) -> str:
        found = [
            each.verdict
            for each in self.comparisons
            if entry.combination
            and entry
            == (
                *(each.setting.backbone, each.setting.recipe),
                *(each.rule, each.label, each.target, each.combination),
            )
        ]
        return "; ".join(dict.fromkeys(found))


def _header(arm: str, minus: str | None) -> str:
    return " minus ".join(_NAMES.get(part, part.capitalize()) for part in (arm, minus) if part)


def _arms(column: LayoutColumn) -> tuple[str, ...]:
    return (column.arm, column.minus) if column.minus else (column.arm,)


def _alike(asked: Sequence[str], own: Sequence[str], both: bool = False) -> bool:
    """Tell whether two places agree where the first, or with `both` either, says something."""
    pairs = zip(asked, own, strict=True)
    return all(not one or one == other or (both and not other) for one, other in pairs)


def _entry_order(entry: Entry) -> tuple[str, int, str, str, str]:
    number = int(entry.label) if entry.label.isdecimal() else TRAINED
    return (entry.rule, number, entry.label, entry.target, entry.combination)
