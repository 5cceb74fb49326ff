"""Tables as CSV for machines, Markdown and LaTeX for readers, in formats that never vary.

CSV holds fractions to six decimals, the others percentages to one.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from matcg.cells import Cell, cells_of
from matcg.report.tables.table import Column, Table
from matcg.report.tables.typeset import ColumnGroup, RowBlock, Typeset, write_texts
from matcg.words import fixed, in_percent

_T = TypeVar("_T")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else fixed(value, 3)


FOR_CSV: dict[str, Callable[[float], str]] = {
    "count": lambda value: f"{int(value)}",
    "fraction": lambda value: fixed(value, 6),
    "share": lambda value: fixed(value, 6),
    "p": lambda value: f"{value:.6g}",
}
FOR_READERS: dict[str, Callable[[float], str]] = {
    "count": lambda value: f"{int(value)}",
    "fraction": in_percent,
    "share": lambda value: fixed(value, 2),
    "p": _p,
}


def _text(value: Cell, kind: str, formats: Mapping[str, Callable[[float], str]]) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return str(value) if isinstance(value, str) else formats[kind](value)


def shown_cell(cells: Mapping[str, Cell], column: Column) -> str:
    """Return the cell as readers see it, with its interval; empty where there is no value."""
    ends = ("", "_low", "_high") if column.bounds else ("",)
    value, *bounds = (_text(cells[column.field + end], column.kind, FOR_READERS) for end in ends)
    return f"{value} [{', '.join(bounds)}]" if value and bounds else value


def write_table(
    folder: Path, table: Table[_T], rows: Iterable[_T], prefix: str, fitted: bool = False
) -> None:
    """Write a table as .csv, .md and .tex; the same rows give the same bytes.

    `prefix` says before the title what the table belongs to. With `fitted` LaTeX fits its page;
    else columns that are empty in every row are left to the CSV.
    """
    cells = [cells_of(row, table.fields) for row in rows]
    title, columns = table.for_readers(cells)
    texts = {column: [shown_cell(row, column) for row in cells] for column in columns}
    kept = {c: column for c, column in texts.items() if fitted or any(column) or not cells}
    groups = [ColumnGroup(column.header, numeric=column.numeric) for column in kept]
    lines = list(zip(*kept.values(), strict=True))
    sheet = Typeset(f"{prefix}: {title}", groups, [RowBlock("", lines)])
    write_texts(folder, table.stem, csv_text(table, cells), sheet, fitted)


def csv_text(table: Table[_T], rows: Sequence[Mapping[str, Cell]]) -> str:
    """Return rows of cells as CSV with a header."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    left_out = table.left_out(rows)
    fields = [field for field in table.fields if field.name not in left_out]
    writer.writerow([field.name for field in fields])
    for row in rows:
        writer.writerow([_text(row[field.name], field.kind, FOR_CSV) for field in fields])
    return buffer.getvalue()
