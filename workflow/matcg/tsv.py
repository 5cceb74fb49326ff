"""Tab-separated text of records, without anything that is slow to import."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from matcg.errors import DataError

_R = TypeVar("_R")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a header and rows as text, a line each."""
    lines = ["\t".join(header), *("\t".join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def records(record: Any, rows: Iterable[Any]) -> str:
    """Return the table of instances of a dataclass, a column a field."""
    names = [field.name for field in fields(record)]
    return table(names, map(attrgetter(*names), rows))


def write_tsv(
    path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]], exact: bool = False
) -> None:
    """Write a TSV. Control characters in a cell become visible escapes, a line a row.

    With `exact`, for tables that are read again, they stay, in a row whose cells are quoted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        plain = csv.writer(file, delimiter="\t", lineterminator="\n")
        quoted = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
        plain.writerow(head)
        for row in rows:
            if exact and not all(str(cell).isprintable() for cell in row):
                quoted.writerow(row)
            else:
                plain.writerow([_plain(cell) for cell in row])


def read_tsv(path: Path) -> list[dict[str, str]]:
    """Return a table's rows as text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def read_records(path: Path, record: type[_R]) -> list[_R]:
    """Return the instances of a dataclass of text and whole numbers that `records` wrote.

    Raises:
        DataError: a column is absent, or a number is not one.
    """
    kinds: dict[str, Any] = {field.name: field.type for field in fields(record)}  # type: ignore[arg-type]
    rows = read_tsv(path)
    absent = [name for name in kinds if rows and name not in rows[0]]
    if absent:
        raise DataError(f"{path}: column {', '.join(absent)} is absent; write the plan again")
    numbers = [name for name, kind in kinds.items() if kind is int]
    for line, row in enumerate(rows, 2):
        for name in numbers:
            if not row[name].isdecimal():
                raise DataError(
                    f"{path}: line {line}: {name} is '{row[name]}', which is no whole number"
                )
    return [record(**{name: kind(row[name]) for name, kind in kinds.items()}) for row in rows]


def _plain(cell: Any) -> str:
    text = str(cell)
    return text if text.isprintable() else text.encode("unicode_escape").decode()
