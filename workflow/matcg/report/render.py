"""Tables as CSV for machines, Markdown and LaTeX for readers, in formats that never vary.

CSV holds fractions to six decimals, the others percentages to one.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matcg.errors import DataError

__all__ = [
    "Cell",
    "Column",
    "Field",
    "Row",
    "Table",
    "csv_text",
    "in_percent",
    "latex_escaped",
    "markdown_escaped",
    "number",
    "read_csv",
    "shown",
    "write_table",
]

Cell = str | int | float | None
Row = Mapping[str, Cell]

LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


@dataclass(frozen=True, slots=True)
class Field:
    """A CSV column; `kind` is text, count, fraction or p."""

    name: str
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Column:
    """A column for readers; `kind` is text, count, percent, points, share or p.

    `bounds` names the two fields of an interval shown after the value.
    """

    header: str
    field: str
    kind: str = "text"
    bounds: tuple[str, str] | None = None

    @property
    def numeric(self) -> bool:
        """Return whether the column is set flush right."""
        return self.kind != "text"


@dataclass(frozen=True, slots=True)
class Table:
    """What a table holds: its columns in CSV and those for readers."""

    stem: str
    title: str
    fields: tuple[Field, ...]
    columns: tuple[Column, ...]


def _fixed(value: float, decimals: int) -> str:
    # Adding zero turns -0.0 into 0.0, which the sign of a rounding error must not decide.
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def in_percent(share: float) -> str:
    """Return a share as percent, with one decimal."""
    return _fixed(100 * share, 1)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else _fixed(value, 3)


FOR_CSV: dict[str, Callable[[float], str]] = {
    "count": lambda value: f"{int(value)}",
    "fraction": lambda value: _fixed(value, 6),
    "p": lambda value: f"{value:.6g}",
}
FOR_READERS: dict[str, Callable[[float], str]] = {
    "count": lambda value: f"{int(value)}",
    "percent": in_percent,
    "points": in_percent,
    "share": lambda value: _fixed(value, 2),
    "p": _p,
}


def _text(value: Cell, kind: str, formats: Mapping[str, Callable[[float], str]]) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return str(value) if isinstance(value, str) else formats[kind](value)


def shown(row: Row, column: Column) -> str:
    """Return the cell as readers see it, with its interval; empty where there is no value."""
    text = _text(row[column.field], column.kind, FOR_READERS)
    if not text or column.bounds is None:
        return text
    low, high = (_text(row[name], column.kind, FOR_READERS) for name in column.bounds)
    return f"{text} [{low}, {high}]"


def number(cell: Cell) -> float:
    """Return a cell that must hold a number.

    Raises:
        TypeError: it is empty or text.
    """
    if cell is None or isinstance(cell, str):
        raise TypeError(f"{cell!r} is no number")
    return float(cell)


def write_table(folder: Path, table: Table, rows: Sequence[Row], prefix: str) -> None:
    """Write a table as .csv, .md and .tex; the same rows give the same bytes.

    `prefix` says before the title what the table belongs to. Columns that are empty in every row
    are left to the CSV.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_column = [(column, [shown(row, column) for row in rows]) for column in table.columns]
    filled = [(column, texts) for column, texts in by_column if any(texts) or not rows]
    columns = [column for column, _ in filled]
    cells = list(zip(*(texts for _, texts in filled), strict=True))
    title = f"{prefix}: {table.title}"
    texts = {
        "csv": csv_text(table.fields, rows),
        "md": _markdown(columns, cells, title),
        "tex": _latex(columns, cells, title),
    }
    for ending, text in texts.items():
        path = folder / f"{table.stem}.{ending}"
        path.write_text(text, encoding="utf-8", newline="\n")


def csv_text(fields: Sequence[Field], rows: Iterable[Row]) -> str:
    """Return rows as CSV with a header."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([field.name for field in fields])
    for row in rows:
        writer.writerow([_text(row[field.name], field.kind, FOR_CSV) for field in fields])
    return buffer.getvalue()


def read_csv(path: Path, fields: Sequence[Field]) -> list[dict[str, Cell]]:
    """Return the rows that `write_table` wrote, numbers as numbers, None for empty cells.

    Raises:
        DataError: the file has other columns.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != [field.name for field in fields]:
            raise DataError(f"{path}: columns are not those of this version; compare again")
        return [
            {field.name: _value(row[field.name], field.kind) for field in fields} for row in reader
        ]


def _value(text: str, kind: str) -> Cell:
    if kind == "text":
        return text
    if not text:
        return None
    return int(text) if kind == "count" else float(text)


def _markdown(columns: Sequence[Column], cells: Iterable[Sequence[str]], title: str) -> str:
    def line(values: Iterable[str]) -> str:
        return "| " + " | ".join(values) + " |"

    rules = ["---:" if column.numeric else "---" for column in columns]
    lines = [title, "", line(column.header for column in columns), line(rules)]
    for row in cells:
        texts = zip(columns, row, strict=True)
        shown_row = (t if column.numeric else markdown_escaped(t) for column, t in texts)
        lines.append(line(shown_row))
    return "\n".join(lines) + "\n"


def markdown_escaped(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    for character in "\\`*_|<>[]":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def _latex(columns: Sequence[Column], cells: Sequence[Sequence[str]], title: str) -> str:
    """Return a longtable, which breaks over pages; needs booktabs and longtable."""
    alignment = "".join("r" if column.numeric else "l" for column in columns)
    header = " & ".join(latex_escaped(column.header) for column in columns) + r" \\"
    lines = [
        r"% \usepackage{booktabs,longtable}",
        rf"\begin{{longtable}}{{@{{}}{alignment}@{{}}}}",
        rf"\caption{{{latex_escaped(title)}}} \\",
        r"\toprule",
        header,
        r"\midrule",
        r"\endfirsthead",
        r"\toprule",
        header,
        r"\midrule",
        r"\endhead",
        r"\bottomrule",
        r"\endlastfoot",
    ]
    lines += [" & ".join(latex_escaped(text) for text in row) + r" \\" for row in cells]
    return "\n".join([*lines, r"\end{longtable}"]) + "\n"


def latex_escaped(text: str) -> str:
    """Return text that LaTeX prints as it is; a leading bracket is no option of the line break."""
    escaped = "".join(LATEX_ESCAPES.get(character, character) for character in text)
    return f"{{}}{escaped}" if escaped.startswith("[") else escaped
