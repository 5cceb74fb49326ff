"""Cells of a row of anybody's table, as texts."""

from collections.abc import Mapping
from typing import Any

from matcg.errors import BadRowError


def text_of(row: Mapping[str, Any], column: str) -> str:
    """Return a cell as text, empty where there is nothing in it, or raise BadRowError."""
    return cell_text(row.get(column), column)


def cell_text(value: Any, column: str) -> str:
    """Return the text of a cell's value, empty for none, or raise BadRowError."""
    if isinstance(value, str):
        return value.strip()
    if not is_given(value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    raise BadRowError(f"wrong type: {column} is neither text nor a whole number")


def is_given(value: Any) -> bool:
    """Tell whether there is something in a cell: not null, NaN or blanks."""
    if isinstance(value, str):
        return bool(value) and not value.isspace()
    return value is not None and value == value


def renamed(row: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a row with the usual names of its columns."""
    found = row
    for theirs, ours in names.items():
        given, known = row.get(theirs), row.get(ours)
        if not is_given(given):
            continue
        if is_given(known) and given != known:
            raise BadRowError(f"key twice: {ours} and {theirs} disagree")
        found = {**found, ours: given}
    return found


def require_text(*texts: str) -> None:
    """Raise BadRowError where a text cannot be written."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise BadRowError("wrong type: half a character, which is no valid text") from None
