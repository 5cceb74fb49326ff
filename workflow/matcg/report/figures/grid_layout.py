"""Where the marks of a catalog's subsets stand in the grid of its elements."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, product
from math import ceil, sqrt

from matcg.analysis.elements import SubsetElements


@dataclass(frozen=True, slots=True)
class Mark:
    """A subset at one of its values; `value` is that of the further elements, together."""

    subset: str
    row: int
    column: int
    value: str
    x: float
    y: float


class GridLayout:
    """Where the marks of some subsets stand; every panel of a target has the same.

    The unit is the distance between two marks of a cell: rows and columns are as wide as their
    fullest cell asks for.
    """

    def __init__(self, names: Sequence[str], subsets: Mapping[str, SubsetElements]) -> None:
        places = [(s, *place) for s in subsets for place in _places(names, subsets[s]["elements"])]
        self.rows, self.columns, self.values = (
            list(dict.fromkeys(place[part] for place in places)) for part in (1, 2, 3)
        )
        cells: dict[tuple[int, int], list[tuple[int, str]]] = defaultdict(list)
        for subset, row, column, value in places:
            cell = self.rows.index(row), self.columns.index(column)
            cells[cell].append((self.values.index(value), subset))
        sides = {cell: _side(len(marks)) for cell, marks in cells.items()}
        self.row_edges = _edges((row, lines) for (row, _), (_, lines) in sides.items())
        self.column_edges = _edges((column, side) for (_, column), (side, _) in sides.items())
        self.marks = [mark for cell, marks in cells.items() for mark in self._marks(*cell, marks)]

    def _marks(self, row: int, column: int, marks: list[tuple[int, str]]) -> Iterator[Mark]:
        """Yield a cell's marks, by value, in lines around its middle."""
        side, lines = _side(len(marks))
        x, y = middles(self.column_edges)[column], middles(self.row_edges)[row]
        for place, (value, subset) in enumerate(sorted(marks)):
            dx, dy = place % side - (side - 1) / 2, place // side - (lines - 1) / 2
            yield Mark(subset, row, column, self.values[value], x + dx, y + dy)

    @property
    def inches(self) -> float:
        """Return the unit: marks need room, small grids get more."""
        return max(0.115, min(0.17, 1.7 / self.column_edges[-1]))

    @property
    def upright(self) -> bool:
        """Tell whether the columns' names are too long to stand side by side."""
        widths = (right - left for left, right in pairwise(self.column_edges))
        return any(
            len(name) * 4.2 > 72 * self.inches * width
            for name, width in zip(self.columns, widths, strict=True)
        )


def _side(n: int) -> tuple[int, int]:
    """Return how many marks a cell of n has in a line, and how many lines."""
    side = ceil(sqrt(n))
    return side, ceil(n / side)


def _edges(sides: Iterable[tuple[int, int]]) -> list[float]:
    """Return where rows or columns begin and end, from (row or column, marks in a line)."""
    most: dict[int, int] = defaultdict(int)
    for place, side in sides:
        most[place] = max(most[place], side)
    return list(accumulate((most[place] + 0.3 for place in sorted(most)), initial=0.0))


def middles(edges: Sequence[float]) -> list[float]:
    """Return the middles between successive edges."""
    return [(low + high) / 2 for low, high in pairwise(edges)]


def _places(
    names: Sequence[str], elements: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str, str]]:
    """Yield row, column and joint further value of each of a subset's values."""
    values = [elements[name] for name in names]
    for row, *others in product(*values):
        yield row, others[0] if others else "", ", ".join(others[1:])
