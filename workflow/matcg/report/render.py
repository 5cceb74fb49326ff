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
from matcg.report.table import Column, Table
from matcg.words import fixed, in_percent

__all__ = ["csv_text", "latex_escaped", "markdown_escaped", "shown", "write_table"]

T = TypeVar("T")

LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


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


def shown(cells: Mapping[str, Cell], column: Column) -> str:
    """Return the cell as readers see it, with its interval; empty where there is no value."""
    ends = ("", "_low", "_high") if column.bounds else ("",)
    value, *bounds = (_text(cells[column.field + end], column.kind, FOR_READERS) for end in ends)
    return f"{value} [{', '.join(bounds)}]" if value and bounds else value


def write_table(folder: Path, table: Table[T], rows: Iterable[T], prefix: str) -> None:
    """Write a table as .csv, .md and .tex; the same rows give the same bytes.

    `prefix` says before the title what the table belongs to. Columns that are empty in every row
    are left to the CSV.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cells = [cells_of(row, table.fields) for row in rows]
    by_column = [(column, [shown(row, column) for row in cells]) for column in table.columns]
    filled = [(column, texts) for column, texts in by_column if any(texts) or not cells]
    columns = [column for column, _ in filled]
    lines = list(zip(*(texts for _, texts in filled), strict=True))
    title = f"{prefix}: {table.title}"
    texts = {
        "csv": csv_text(table, cells),
        "md": _markdown(columns, lines, title),
        "tex": _latex(columns, lines, title),
    }
    for ending, text in texts.items():
        path = folder / f"{table.stem}.{ending}"
        path.write_text(text, encoding="utf-8", newline="\n")


def csv_text(table: Table[T], rows: Iterable[Mapping[str, Cell]]) -> str:
    """Return rows of cells as CSV with a header."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([field.name for field in table.fields])
    for row in rows:
        writer.writerow([_text(row[field.name], field.kind, FOR_CSV) for field in table.fields])
    return buffer.getvalue()


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
