"""What a table is: the record of a row, and the columns that readers see.

The CSV has all cells of the record, in its order; columns for readers are some of them, an estimate
with its interval in one.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

from matcg.cells import Cell, Field, Keys, fields_of, record_of
from matcg.errors import DataError

_T = TypeVar("_T")
# A cell, or a cell and its header where that is not its name.
ShownColumn = str | tuple[str, str]
_OF_SCORES = {
    "Accuracy": "Mean score",
    "Wilson 95 % interval": "95 % interval: Wilson's of accuracy, else bootstrap",
    "its McNemar p": "its p",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column for readers; with `bounds` the cell's interval is shown after the value."""

    header: str
    field: str
    kind: str
    bounds: bool

    @property
    def numeric(self) -> bool:
        """Return whether the column is set flush right."""
        return self.kind != "text"


@dataclass(frozen=True)
class Table(Generic[_T]):
    """A table of records; `shown` are the cells that readers see, with headers that differ.

    `keys` are those of the record's mappings, by field. A column of `usual` is left out where all
    its cells are as it says.
    """

    stem: str
    title: str
    record: type[_T]
    shown: Sequence[ShownColumn]
    keys: Keys = field(default_factory=dict)
    usual: Mapping[str, Cell] = field(default_factory=dict)

    @cached_property
    def fields(self) -> Sequence[Field]:
        """Return the columns of the CSV."""
        return tuple(fields_of(self.record, self.keys))

    @cached_property
    def columns(self) -> Sequence[Column]:
        """Return the columns for readers."""
        kinds = {each.name: each.kind for each in self.fields}
        named = [
            (each, each.replace("_", " ").capitalize()) if isinstance(each, str) else each
            for each in self.shown
        ]
        return [Column(header, name, kinds[name], f"{name}_low" in kinds) for name, header in named]

    def for_readers(self, rows: Sequence[Mapping[str, Cell]]) -> tuple[str, list[Column]]:
        """Return title and columns as these rows need them.

        Where they are not all about accuracy, neither speaks of it.
        """
        left_out = self.left_out(rows)
        columns = [each for each in self.columns if each.field not in left_out]
        if "score" not in self.usual or "score" in left_out:
            return self.title, columns
        headers = [replace(each, header=_of_scores(each.header)) for each in columns]
        return _of_scores(self.title), headers

    def left_out(self, rows: Sequence[Mapping[str, Cell]]) -> set[str]:
        """Return the columns that rows need not have."""
        return {n for n, cell in self.usual.items() if all(row[n] == cell for row in rows)}


def _of_scores(text: str) -> str:
    """Return a title or header of accuracies as one of other scores too."""
    for of_accuracy, of_all in _OF_SCORES.items():
        text = text.replace(of_accuracy, of_all)
    return text


def read_cells(folder: Path, table: Table[_T]) -> list[dict[str, Cell]]:
    """Return the cells that `write_table` wrote, numbers as numbers, None for empty ones.

    Raises:
        DataError: the file has other columns.
    """
    path, kinds = folder / f"{table.stem}.csv", {each.name: each.kind for each in table.fields}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        head = reader.fieldnames or []
        if head != [name for name in kinds if name in head or name not in table.usual]:
            raise DataError(f"{path}: columns are not those of this version; compare again")
        rows = ({name: _value(row[name], kinds[name]) for name in head} for row in reader)
        return [{**table.usual, **row} for row in rows]


def read_rows(folder: Path, table: Table[_T]) -> list[_T]:
    """Return the records that `write_table` wrote; raises as `read_cells` does."""
    return [record_of(table.record, cells, table.keys) for cells in read_cells(folder, table)]


def _value(text: str, kind: str) -> Cell:
    if kind == "text":
        return text
    if not text:
        return None
    return int(text) if kind == "count" else float(text)
