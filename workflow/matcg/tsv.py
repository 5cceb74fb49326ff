"""Tab-separated text of records, without anything that is slow to import."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a header and rows as text, a line each."""
    lines = ["\t".join(header), *("\t".join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def records(record: Any, rows: Iterable[Any]) -> str:
    """Return the table of instances of a dataclass, a column a field."""
    names = [field.name for field in fields(record)]
    return table(names, map(attrgetter(*names), rows))


def write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a TSV, a line a row: control characters in a cell become visible escapes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(head)
        writer.writerows([_plain(cell) for cell in row] for row in rows)


def _plain(cell: Any) -> str:
    text = str(cell)
    return text if text.isprintable() else text.encode("unicode_escape").decode()
