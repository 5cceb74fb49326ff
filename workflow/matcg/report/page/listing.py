"""Tables as the page lists them: some rows as HTML, all as data for the library that sorts them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from matcg.cells import Cell
from matcg.plan.records import BASELINE
from matcg.report.page.embed import as_json
from matcg.report.tables.table import Column, Table, read_cells
from matcg.report.tables.write import shown_cell
from matcg.tsv import read_tsv

# Tables above this many rows show their first few where there is no JavaScript.
HTML_ROWS = 200
PREVIEW = 20
# Rows beyond these are left to the file: 30,000 evaluations take about 4 MB.
ROWS = 50_000
TABLE_BYTES = 8_000_000

NUMBER = re.compile(r"-?\d+(\.\d+)?")
# These say nothing where they are the same in every row; the headline names them.
_SETTING = ("backbone", "recipe", "n_train")
MARKS = {"verdict": {"helps": "good", "composed": "good", "hurts": "bad", "harm": "bad"}}

_Row = Mapping[str, Cell]
Number = float | int | None
# What a row holds: the number of a text, a number, or a number and how it is shown.
Encoded = Number | list[Number | str]


class Texts:
    """The texts of a page's data, each once; data hold their numbers. `size` is their length."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.size = 0

    def number(self, text: str) -> int:
        """Return the number of a text."""
        if text not in self._numbers:
            self._numbers[text] = len(self._numbers)
            self.size += len(text)
        return self._numbers[text]

    @property
    def all(self) -> list[str]:
        """Return all texts in the order of their numbers."""
        return list(self._numbers)


@dataclass(frozen=True, slots=True)
class Head:
    """A column: its header, whether it holds numbers, and what texts have a CSS class."""

    title: str
    numeric: bool
    marks: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Listing:
    """A table for the template: `preview` are its first rows as text, `data` all as JSON.

    `count` is the number of rows in the file, `files` what it can be had as.
    """

    heads: Sequence[Head]
    preview: Sequence[Sequence[str]]
    data: Markup
    count: int
    held: int
    files: Sequence[str]

    @property
    def note(self) -> str:
        """Return what is said where not all rows are on the page."""
        return (
            f"The first {self.held:,} rows; all are in the file." if self.held < self.count else ""
        )


def list_csv(results: Path, folder: Path, table: Table[Any]) -> Listing:
    """Return a table that `write_table` wrote to `folder`, without columns that say nothing."""
    path, rows = folder / f"{table.stem}.csv", read_cells(folder, table)
    columns = [column for column in table.for_readers(rows)[1] if _tells(rows, column.field)]
    heads = [Head(c.header, c.numeric, MARKS.get(c.field, {})) for c in columns]
    cells = [[(_value(row, column), shown_cell(row, column)) for column in columns] for row in rows]
    others = (path.with_suffix(ending) for ending in (".csv", ".md", ".tex"))
    return _listing(heads, cells, [f.relative_to(results).as_posix() for f in others if f.exists()])


def list_tsv(results: Path, paths: Iterable[Path]) -> Listing | None:
    """Return the rows of tab-separated files with the same columns below `results`.

    What an earlier file has is not listed again; None where there is no such file.
    """
    made = [path for path in paths if path.exists()]
    if not made:
        return None
    with made[0].open(encoding="utf-8") as file:
        names = file.readline().rstrip("\n").split("\t")
    rows: list[tuple[str, ...]] = []
    for path in made:
        known = set(rows)
        found = (tuple(row[name] or "" for name in names) for row in read_tsv(path))
        rows += [row for row in found if row not in known]
    return list_cells(names, rows, [path.relative_to(results).as_posix() for path in made])


def list_cells(
    header: Sequence[str], rows: Sequence[Sequence[str]], files: Sequence[str] = ()
) -> Listing:
    """Return a table of texts; columns with nothing but numbers sort as such, empty ones go."""
    kept = [n for n in range(len(header)) if not rows or any(row[n] for row in rows)]
    numeric = {n for n in kept if rows and all(_is_number(row[n]) for row in rows)}
    heads = [Head(header[n], n in numeric, {}) for n in kept]
    cells = [[(_parsed(row[n]) if n in numeric else None, row[n]) for n in kept] for row in rows]
    return _listing(heads, cells, files)


def _listing(
    heads: Sequence[Head], cells: Sequence[Sequence[tuple[Number, str]]], files: Sequence[str]
) -> Listing:
    texts = Texts()
    rows = [
        [
            _number_cell(value, text) if head.numeric else texts.number(text)
            for head, (value, text) in zip(heads, row, strict=True)
        ]
        for row in _within(cells)
    ]
    columns = [{"numeric": head.numeric, "marks": head.marks} for head in heads]
    data = {"columns": columns, "texts": texts.all, "rows": rows}
    first = cells[: HTML_ROWS if len(cells) <= HTML_ROWS else PREVIEW]
    preview = [[text for _, text in row] for row in first]
    return Listing(heads, preview, as_json(data), len(cells), len(rows), files)


def _within(
    cells: Sequence[Sequence[tuple[Number, str]]],
) -> Iterable[Sequence[tuple[Number, str]]]:
    """Yield rows until there are too many, or too much text in them."""
    left = TABLE_BYTES
    for row in cells[:ROWS]:
        # Of a number its value is written too.
        left -= sum(len(text) + (0 if value is None else 8) + 2 for value, text in row)
        if left < 0:
            return
        yield row


def _number_cell(value: Number, text: str) -> Encoded:
    # JavaScript writes 50.0 as 50.
    same = text == ("" if value is None else f"{value:g}")
    return value if same else [value, text]


def _value(row: _Row, column: Column) -> Number:
    value = row[column.field]
    if isinstance(value, str) or value is None:
        return None
    # Readers filter by what they see: fractions in percent.
    unit = 100 if column.kind == "fraction" else 1
    return value if column.kind == "count" else float(f"{value * unit:.6g}")


def _is_number(text: str) -> bool:
    return not text or NUMBER.fullmatch(text) is not None


def _parsed(text: str) -> Number:
    if not text:
        return None
    return float(text) if "." in text else int(text)


def _tells(rows: Sequence[_Row], name: str) -> bool:
    """Tell whether a column says anything: one without only widens the table."""
    values = {row[name] for row in rows} - {"", None}
    if name == "mixed_in":
        return bool(values - {0})
    return len(_trained(rows, name)) > 1 if name in _SETTING else not rows or bool(values)


def _trained(rows: Iterable[_Row], name: str) -> set[Cell]:
    # Untrained rows have no recipe and no samples; that is no difference between settings.
    return {row[name] for row in rows if row.get("run", "") != BASELINE}
