"""Tab-separated text of records, without anything that is slow to import."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a header and rows as text, a line each."""
    lines = ["\t".join(header), *("\t".join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def records(record: Any, rows: Iterable[Any]) -> str:
    """Return the table of instances of a dataclass, a column a field."""
    names = [field.name for field in fields(record)]
    return table(names, map(attrgetter(*names), rows))
