"""An experiment's table in the shape in which a paper prints it, its figures beside ours.

How it is laid out is data (`layout:` in the experiment's file); rows, columns and reasons come from
the plan, so that what was not run stands there with the reason.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from matcg import seeds, statistics
from matcg.config.layout import Layout, LayoutColumn, slug_of
from matcg.config.published import Printed, by_place, tick
from matcg.records import BASELINE, Excluded, PlanRow
from matcg.report.beside import NAMES, SEED, arm_names
from matcg.report.grid import CatalogElements
from matcg.report.missing import NO_ANSWERS, Reasons
from matcg.report.render import Cell, Field, Row, csv_text, in_percent
from matcg.report.sheet import Block, Group, Sheet, write_texts
from matcg.report.study import CG, Array, Study, arm_order

__all__ = ["STEM", "Paper", "write"]

STEM = "paper"
KEYS = ("backbone", "recipe", "rule", "label", "target", "combination", "arm")
NONE = "\N{EN DASH}"
NOTED = "abcdefghijklmnopqrstuvwxyz"
TRAINED = 1_000_000  # sorts labels that are no numbers behind those that are
AS_HERE = "as run here"
ACROSS = {
    "samples": "number of training samples",
    "mixed_in": "number of training samples of the target",
    "condition": "what the paper did besides",
}
HEADINGS = {"rule": "Rule", "backbone": "Backbone", "target": "Target"}


@dataclass(frozen=True, slots=True)
class Paper:
    """What an experiment's file says of its table; `excluded` is what its plan leaves out."""

    printed: Sequence[Printed] = ()
    layout: Layout | None = None
    question: str = ""
    catalog: CatalogElements | None = None
    excluded: Sequence[Excluded] = ()

    def words(self, subset: str) -> str:
        """Return a subset as a reader knows it: the values of its elements, and its id."""
        if self.catalog is None or subset not in self.catalog["subsets"]:
            return subset
        values = self.catalog["subsets"][subset]["elements"]
        names = ["/".join(values.get(element, ())) for element in self.catalog["elements"]]
        text = " ".join(filter(None, names))
        return text if subset.replace("-", " ").lower() == text.lower() else f"{text} ({subset})"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a row is about; empty text is any."""

    backbone: str
    recipe: str
    target: str
    rule: str = ""
    label: str = ""
    combination: str = ""

    def fits(self, row: PlanRow, column: LayoutColumn, arm: str) -> bool:
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


@dataclass(frozen=True, slots=True)
class Figure:
    """A cell: what is printed and what is ours, as fractions; `note` is about ours."""

    printed: float | None = None
    printed_sd: float | None = None
    ours: float | None = None
    low: float | None = None
    high: float | None = None
    sd: float | None = None
    runs: int = 0
    note: str = ""

    @property
    def apart(self) -> float | None:
        """Return ours less the printed, None where one is missing."""
        return None if self.ours is None or self.printed is None else self.ours - self.printed

    def cells(self, slug: str) -> dict[str, Cell]:
        """Return the cells of the CSV."""
        spread = (self.low, self.high, self.sd)
        values = (self.printed, self.printed_sd, self.ours, *spread, self.apart)
        names = (f"{slug}{end}" for end in ENDS)
        cells: dict[str, Cell] = dict(zip(names, values, strict=True))
        return {**cells, f"{slug}_runs": self.runs, f"{slug}_note": self.note}


ENDS = ("_printed", "_printed_sd", "_ours", "_ours_low", "_ours_high", "_ours_sd", "_apart")


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table: its entry, the arm where sizes are the columns, and a figure a column."""

    entry: Entry
    arm: str
    figures: Sequence[Figure]
    tick: str = ""
    verdict: str = ""


@dataclass
class Builder:
    """A study with what is asked of its table."""

    study: Study
    paper: Paper
    comparison: Sequence[Row]
    reasons: Reasons
    layout: Layout = field(init=False)
    columns: Sequence[LayoutColumn] = field(init=False)

    def __post_init__(self) -> None:
        self.layout = self.paper.layout or Layout()
        self.columns = self.layout.columns or self._default_columns()

    def _default_columns(self) -> list[LayoutColumn]:
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
        return [Entry(backbone, recipe, target) for target in dict.fromkeys([*printed, *planned])]

    def _combinations(self, backbone: str, recipe: str) -> list[Entry]:
        planned = {
            Entry(backbone, recipe, row.target, row.rule, row.label, row.combination)
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
            found += fitting or [Entry(backbone, recipe, target, rule, label)]
        return list(dict.fromkeys([*found, *ordered]))

    # --- Cells -----------------------------------------------------------------------------------

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

    def _lines(self, entry: Entry) -> list[Line]:
        if self.layout.across:
            return [
                Line(entry, column.name, list(self._across(entry, column)))
                for column in self.columns
            ]
        figures = [self._figure(entry, column) for column in self.columns]
        return [Line(entry, "", figures, self._tick(entry), self._verdict(entry))]

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
        printed = self._printed(entry, column)
        value = printed.value / 100 if printed else None
        sd = printed.sd / 100 if printed and printed.sd is not None else None
        if column.condition and column.condition not in self.layout.conditions:
            return Figure(value, sd, note=f"{column.condition}: not run")
        parts = [self._runs(entry, column, arm, size) for arm in _arms(column)]
        notes = [note for _, note in parts if note]
        if any(not rows for rows, _ in parts):
            return Figure(value, sd, note="; ".join(dict.fromkeys(notes)))
        scores = self._scores(parts[0][0])
        scatter = self._deviation(parts[0][0])
        if column.minus:
            scores, scatter = scores - self._scores(parts[1][0]), None
        name = "-minus-".join(rows[0].arm for rows, _ in parts)
        place = ("published", entry.backbone, entry.recipe, entry.target, name)
        seed = seeds.derive(SEED, *place, *filter(None, [column.condition]))
        found = statistics.mean_over_questions(scores, seed)
        runs = len({row.run for row in parts[0][0]})
        note = "; ".join(dict.fromkeys(notes))
        return Figure(value, sd, found.value, found.low, found.high, scatter, runs, note)

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
    ) -> tuple[list[PlanRow], str]:
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

    def _under(self, condition: str, rows: Sequence[PlanRow]) -> list[PlanRow]:
        """Return the evaluations of the same runs that were asked as the condition says."""
        protocol = self.layout.conditions[condition]
        runs = {(*row.key[:3], row.run) for row in rows}
        return [
            row
            for row in self.study.planned
            if row.protocol == protocol and (*row.key[:3], row.run) in runs
        ]

    def _of_size(self, row: PlanRow, size: int | None) -> bool:
        if size is None:
            return True
        return size == (row.mixed_in if self.layout.across == "mixed_in" else row.n_train)

    def _scores(self, rows: Iterable[PlanRow]) -> Array:
        mean: Array = np.mean([self.study.correct(row) for row in rows], axis=0)
        return mean

    def _deviation(self, rows: Sequence[PlanRow]) -> float | None:
        """Return the standard deviation of accuracy over seeds, or over the draws of one seed.

        None where there is but one of both.
        """
        by = "seed" if len({row.seed for row in rows}) > 1 else "draw"
        groups: dict[int | None, list[Array]] = defaultdict(list)
        for row in rows:
            groups[getattr(row, by)].append(self.study.correct(row))
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
        names = ("backbone", "recipe", "target", "rule", "label", "combination")
        asked = tuple(getattr(entry, name) for name in names)
        found = [
            str(row["verdict"])
            for row in self.comparison
            if entry.combination and tuple(row[name] for name in names) == asked
        ]
        return "; ".join(dict.fromkeys(found))


def _header(arm: str, minus: str | None) -> str:
    return " minus ".join(NAMES.get(part, part.capitalize()) for part in (arm, minus) if part)


def _arms(column: LayoutColumn) -> tuple[str, ...]:
    return (column.arm, column.minus) if column.minus else (column.arm,)


def _alike(asked: Sequence[str], own: Sequence[str], both: bool = False) -> bool:
    """Tell whether two places agree where the first, or with `both` either, says something."""
    pairs = zip(asked, own, strict=True)
    return all(not one or one == other or (both and not other) for one, other in pairs)


def _entry_order(entry: Entry) -> tuple[str, int, str, str, str]:
    number = int(entry.label) if entry.label.isdecimal() else TRAINED
    return (entry.rule, number, entry.label, entry.target, entry.combination)


# --- Writing -------------------------------------------------------------------------------------


def write(
    study: Study,
    paper: Paper,
    comparison: Sequence[Row],
    experiment: str,
    folder: Path,
    remark: str = "",
) -> None:
    """Write paper.csv, .md and .tex: a table in the paper's shape.

    `comparison` are the rows of our comparison, whose verdict stands beside the paper's tick. A
    `remark` is added to the notes below the table.
    """
    reasons = Reasons(study.planned, paper.excluded)
    builder = Builder(study, paper, comparison, reasons)
    lines = builder.lines()
    slugs = list(builder.names())
    title = (paper.layout.title if paper.layout else "") or paper.question or experiment
    sheet = _sheet(builder, lines, title, remark)
    rows = [_csv_row(line, slugs) for line in lines]
    write_texts(folder, STEM, csv_text(_fields(slugs), rows), sheet)


def _fields(slugs: Iterable[str]) -> list[Field]:
    fields = [Field(name) for name in KEYS]
    for slug in slugs:
        fields += [Field(f"{slug}{end}", "fraction") for end in ENDS]
        fields += [Field(f"{slug}_runs", "count"), Field(f"{slug}_note")]
    return [*fields, Field("printed_tick"), Field("our_verdict")]


def _csv_row(line: Line, slugs: Sequence[str]) -> Row:
    values = {name: getattr(line.entry, name) for name in KEYS if name != "arm"}
    cells: dict[str, Cell] = {**values, "arm": line.arm}
    for slug, figure in zip(slugs, line.figures, strict=True):
        cells |= figure.cells(slug)
    return {**cells, "printed_tick": line.tick, "our_verdict": line.verdict}


@dataclass
class Notes:
    """Letters for the reasons below a table."""

    letters: dict[str, str] = field(default_factory=dict)

    def mark(self, text: str) -> str:
        """Return the letter of a note in brackets, empty for none."""
        if not text:
            return ""
        number = len(self.letters)
        letter = NOTED[number] if number < len(NOTED) else str(number + 1)
        return f" ({self.letters.setdefault(text, letter)})"

    def lines(self) -> list[str]:
        """Return all notes, a line each."""
        return [f"({letter}) {text}." for text, letter in self.letters.items()]


def _sheet(builder: Builder, lines: Sequence[Line], title: str, remark: str) -> Sheet:
    notes = Notes()
    scatter = builder.layout.scatter
    by_column = zip(*(line.figures for line in lines), strict=True)
    printed = [any(figure.printed is not None for figure in column) for column in by_column]
    ends = _ends(lines)
    lead = _lead(builder, lines)
    groups = [Group(name, numeric=False) for name in lead]
    for name, theirs in zip(builder.names().values(), printed, strict=False):
        below = ("paper", "ours", "apart") if theirs else ("ours",) if any(printed) else ()
        groups.append(Group(name, below))
    groups += [Group(name, numeric=False) for name in ends]
    blocks: dict[tuple[str, ...], list[list[str]]] = {}
    for line in lines:
        row = [text(line) or NONE for text in lead.values()]
        for figure, theirs in zip(line.figures, printed, strict=True):
            row += _shown(figure, scatter, theirs, notes)
        row += [text(line) or NONE for text in ends.values()]
        blocks.setdefault(builder.heading(line.entry), []).append(row)
    named = [Block(_heading(builder, key), rows) for key, rows in blocks.items()]
    below_it = [_legend(builder, any(printed)), *notes.lines(), *([remark] if remark else [])]
    return Sheet(title, groups, named, below_it)


def _ends(lines: Sequence[Line]) -> dict[str, Callable[[Line], str]]:
    """Return the columns behind the figures: header, and the text of a row."""
    found: dict[str, Callable[[Line], str]] = {}
    if any(line.tick for line in lines):
        found["Tick, paper"] = lambda line: line.tick
    if found or any(line.verdict for line in lines):
        found["Verdict, ours"] = lambda line: line.verdict
    return found


def _heading(builder: Builder, values: Sequence[str]) -> str:
    parts = [
        f"{HEADINGS[name]}: {builder.paper.words(value) if name == 'target' else value or 'any'}"
        for name, value in zip(builder.blocks, values, strict=True)
    ]
    return ", ".join(parts)


def _lead(builder: Builder, lines: Sequence[Line]) -> dict[str, Callable[[Line], str]]:
    """Return the columns before the figures: header, and the text of a row."""
    words = builder.paper.words
    found: dict[str, Callable[[Line], str]] = {}
    if any(line.entry.label for line in lines):
        found["Row"] = lambda line: line.entry.label
    if builder.by_combination and "rule" not in builder.blocks:
        found["Rule"] = lambda line: line.entry.rule
    if builder.by_combination:
        found["Related combination"] = lambda line: " + ".join(
            words(source) for source in line.entry.combination.split(" + ")
        )
    if "target" not in builder.blocks:
        found["Target"] = lambda line: words(line.entry.target)
    if builder.layout.across:
        found["Arm"] = lambda line: line.arm
    return found


def _shown(figure: Figure, scatter: str, printed: bool, notes: Notes) -> list[str]:
    """Return the texts of a figure: the paper's, ours, and how far apart; or ours alone."""
    theirs = _with_sd(figure.printed, figure.printed_sd, _as_printed)
    ours = _with_sd(figure.ours, figure.sd if scatter == "seeds" else None, in_percent)
    if scatter == "questions" and figure.low is not None and figure.high is not None:
        ours += f" [{in_percent(figure.low)}, {in_percent(figure.high)}]"
    ours += notes.mark(figure.note)
    apart = NONE if figure.apart is None else f"{100 * figure.apart:+.1f}"
    return [theirs, ours, apart] if printed else [ours]


def _as_printed(share: float) -> str:
    return f"{round(100 * share, 6):g}"


def _with_sd(value: float | None, sd: float | None, text: Callable[[float], str]) -> str:
    if value is None:
        return NONE
    return text(value) + ("" if sd is None else f" \N{PLUS-MINUS SIGN} {text(sd)}")


def _repeated(builder: Builder) -> str:
    return "draws of examples" if builder.layout.conditions else "seeds"


def _legend(builder: Builder, printed: bool) -> str:
    """Return what the numbers are."""
    spread = {
        "questions": "brackets: 95 % bootstrap interval over questions",
        "seeds": f"\N{PLUS-MINUS SIGN}: standard deviation over {_repeated(builder)}",
    }[builder.layout.scatter]
    text = f"Accuracy in %, differences in points; {spread}."
    if printed:
        text += f" Paper {NONE}, or no such column: not printed. Apart: ours less the paper's."
    if builder.layout.across:
        text += f" Columns: {ACROSS[builder.layout.across]}."
    return text
