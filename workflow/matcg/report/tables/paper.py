"""An experiment's table in the shape in which a paper prints it, its figures beside ours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matcg.analysis.elements import subset_words
from matcg.analysis.paper_cells import Builder, Figure, Line
from matcg.cells import cells_of
from matcg.report.tables.table import Table
from matcg.report.tables.typeset import ColumnGroup, RowBlock, Typeset, write_texts
from matcg.report.tables.write import csv_text
from matcg.words import in_percent

_NONE = "\N{EN DASH}"
NOTED = "abcdefghijklmnopqrstuvwxyz"
ACROSS = {
    "samples": "number of training samples",
    "mixed_in": "number of training samples of the target",
    "condition": "what the paper did besides",
}
HEADINGS = {"rule": "Rule", "backbone": "Backbone", "target": "Target"}


def write_paper(builder: Builder, experiment: str, folder: Path, remark: str = "") -> None:
    """Write paper.csv, .md and .tex: a table in the paper's shape.

    A `remark` is added to the notes below the table.
    """
    paper, lines = builder.paper, builder.lines()
    title = (paper.layout.title if paper.layout else "") or paper.question or experiment
    table = Table("paper", title, Line, (), {"figures": list(builder.names())})
    cells = [cells_of(line, table.fields) for line in lines]
    write_texts(folder, table.stem, csv_text(table, cells), _sheet(builder, lines, title, remark))


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


def _sheet(builder: Builder, lines: Sequence[Line], title: str, remark: str) -> Typeset:
    notes = Notes()
    scatter = builder.layout.scatter
    by_column = zip(*(line.figures.values() for line in lines), strict=True)
    printed = [any(figure.printed is not None for figure in column) for column in by_column]
    ends = _ends(lines)
    lead = _lead(builder, lines)
    groups = [ColumnGroup(name, numeric=False) for name in lead]
    for name, theirs in zip(builder.names().values(), printed, strict=False):
        below = ("paper", "ours", "apart") if theirs else ("ours",) if any(printed) else ()
        groups.append(ColumnGroup(name, below))
    groups += [ColumnGroup(name, numeric=False) for name in ends]
    blocks: dict[tuple[str, ...], list[list[str]]] = {}
    for line in lines:
        row = [text(line) or _NONE for text in lead.values()]
        for figure, theirs in zip(line.figures.values(), printed, strict=True):
            row += _shown(figure, scatter, theirs, notes)
        row += [text(line) or _NONE for text in ends.values()]
        blocks.setdefault(builder.heading(line.entry), []).append(row)
    named = [RowBlock(_heading(builder, key), rows) for key, rows in blocks.items()]
    below_it = [_legend(builder, any(printed)), *notes.lines(), *([remark] if remark else [])]
    return Typeset(title, groups, named, below_it)


def _ends(lines: Sequence[Line]) -> dict[str, Callable[[Line], str]]:
    """Return the columns behind the figures: header, and the text of a row."""
    found: dict[str, Callable[[Line], str]] = {}
    if any(line.printed_tick for line in lines):
        found["Tick, paper"] = lambda line: line.printed_tick
    if found or any(line.our_verdict for line in lines):
        found["Verdict, ours"] = lambda line: line.our_verdict
    return found


def _heading(builder: Builder, values: Sequence[str]) -> str:
    catalog = builder.paper.catalog
    parts = [
        f"{HEADINGS[name]}: {subset_words(catalog, value) if name == 'target' else value or 'any'}"
        for name, value in zip(builder.blocks, values, strict=True)
    ]
    return ", ".join(parts)


def _lead(builder: Builder, lines: Sequence[Line]) -> dict[str, Callable[[Line], str]]:
    """Return the columns before the figures: header, and the text of a row."""
    catalog = builder.paper.catalog
    found: dict[str, Callable[[Line], str]] = {}
    if any(line.entry.label for line in lines):
        found["Row"] = lambda line: line.entry.label
    if builder.by_combination and "rule" not in builder.blocks:
        found["Rule"] = lambda line: line.entry.rule
    if builder.by_combination:
        found["Related combination"] = lambda line: " + ".join(
            subset_words(catalog, source) for source in line.entry.combination.split(" + ")
        )
    if "target" not in builder.blocks:
        found["Target"] = lambda line: subset_words(catalog, line.entry.target)
    if builder.layout.across:
        found["Arm"] = lambda line: line.arm
    return found


def _shown(figure: Figure, scatter: str, printed: bool, notes: Notes) -> list[str]:
    """Return the texts of a figure: the paper's, ours, and how far apart; or ours alone."""
    theirs = _with_sd(figure.printed, figure.printed_sd, _as_printed)
    value = figure.ours.value if figure.ours else None
    ours = _with_sd(value, figure.ours_sd if scatter == "seeds" else None, in_percent)
    if scatter == "questions" and figure.ours:
        ours += f" [{in_percent(figure.ours.low)}, {in_percent(figure.ours.high)}]"
    ours += notes.mark(figure.note)
    apart = _NONE if figure.apart is None else f"{100 * figure.apart:+.1f}"
    return [theirs, ours, apart] if printed else [ours]


def _as_printed(share: float) -> str:
    return f"{round(100 * share, 6):g}"


def _with_sd(value: float | None, sd: float | None, text: Callable[[float], str]) -> str:
    if value is None:
        return _NONE
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
        text += f" Paper {_NONE}, or no such column: not printed. Apart: ours less the paper's."
    if builder.layout.across:
        text += f" Columns: {ACROSS[builder.layout.across]}."
    return text
