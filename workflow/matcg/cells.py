"""Records as rows of named cells, as CSV and JSON hold them, and back.

Names follow from the record: an estimate `accuracy` is the cells `accuracy`, `accuracy_low` and
`accuracy_high`. Parts of a named tuple, and what a mapping holds, stand under their own names.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

Cell = str | int | float | None
# Floats are fractions, shown in percent, but p values and shares, which are shown as they are.
P = Annotated[float, "p"]
Share = Annotated[float, "share"]
_KINDS = {str: "text", int: "count", float: "fraction"}
# The keys of each field of a record that is a mapping, by the field's name.
Keys = Mapping[str, Sequence[str]]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Field:
    """A cell: its name, its kind (text, count, fraction, share or p), and what leads to it."""

    name: str
    kind: str
    path: tuple[str, ...]


def fields_of(kind: Any, keys: Keys, name: str = "", path: tuple[str, ...] = ()) -> Iterator[Field]:
    """Yield the cells of a record of this type; within one, `name` is that of the part."""
    plain, of_cell = _plain(kind)
    if of_cell:
        yield Field(name, of_cell, path)
    for part, own, below in _parts(plain, keys, name, path[-1:]):
        yield from fields_of(below, keys, own, (*path, part))


def cells_of(record: object, fields: Sequence[Field]) -> dict[str, Cell]:
    """Return a record's cells by name, None in all parts of what is None."""
    return {field.name: reduce(_part, field.path, record) for field in fields}  # type: ignore[misc]


def record_of(kind: type[_T], cells: Mapping[str, Cell], keys: Keys) -> _T:
    """Return the record that has these cells."""
    found: _T = _read(kind, cells, keys, "", ())
    return found


def _read(
    kind: Any, cells: Mapping[str, Cell], keys: Keys, name: str, path: tuple[str, ...]
) -> Any:
    plain, of_cell = _plain(kind)
    if of_cell:
        return cells[name]
    parts = {
        part: _read(below, cells, keys, own, (part,))
        for part, own, below in _parts(plain, keys, name, path)
    }
    if plain is not kind and all(value is None for value in parts.values()):
        return None
    return parts if get_origin(plain) is Mapping else plain(**parts)


def _part(value: Any, part: str) -> Any:
    if value is None:
        return None
    return value.get(part) if isinstance(value, Mapping) else getattr(value, part)


def _parts(
    kind: Any, keys: Keys, name: str, path: tuple[str, ...]
) -> Iterator[tuple[str, str, Any]]:
    """Yield each part of a record or mapping, the name of its cells, and its type."""
    if get_origin(kind) is Mapping:
        for key in keys[path[-1]]:
            yield key, key, get_args(kind)[1]
        return
    own = not name or issubclass(kind, tuple)
    for part, below in _hints(kind).items():
        yield part, part if own else name if part == "value" else f"{name}_{part}", below


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return {} if kind in _KINDS else get_type_hints(kind, include_extras=True)


@cache
def _plain(kind: Any) -> tuple[Any, str]:
    """Return a type without `None` beside it, and the kind of its cell where it is one."""
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    if get_origin(kind) is Annotated:
        return get_args(kind)
    return kind, _KINDS.get(kind, "")
