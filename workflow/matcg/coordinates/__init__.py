"""How places in a picture are put into words: one module a format, found by its file here.

Each holds `FORMAT`. Boxes stand in pixels of the square that a backbone sees, floats from 0 to its
edge. The patterns keep to what the grammars of vLLM and of outlines read alike: no looking around,
no backward references, all repetitions bounded.
"""

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from itertools import groupby

from matcg import plugins
from matcg.words import one_form

NONE = "none"  # the answer where there is nothing to be found, and what cells hold of nothing

Box = tuple[float, ...]
Placed = tuple[str, Box]  # a label and [x1, y1, x2, y2)

_SLOTS = re.compile(r"(LABEL|[XY][12]|COUNT)")
# What engines may drop or leave of special tokens, and of Markdown's fences.
_MARKS = re.compile(r"<\|\w+\|>|```(?:json)?")
_NUMBER = r"(-?[0-9]*\.?[0-9]+)"


class Coordinates:
    """A format of boxes, and of masks as row-wise run lengths of a coarse grid.

    The masks are Text4Seg's (arXiv 2410.09855; `encode_mask` in its code, of which
    `others` is `none` here): runs of a row as `LABEL *COUNT`, one row below the other.
    """

    box = ""  # with LABEL, X1, Y1, X2 and Y2
    before, between, after = "", "", ""  # around all boxes, and from one to the next
    request = ""  # how a question asks for them
    whole = 0  # the number at the square's far end; 0: its edge in pixels
    unit = 1.0  # by how much two numbers differ at least
    digits = ".0f"
    grid = 16  # cells a side of a mask
    run, beside, below = "LABEL *COUNT", "| ", "\n"
    cells = "d"
    mask_request = "Answer with 16 rows of 16 cells, each as label *n| none *n"

    def numbers(self, end: int) -> str:
        """Return a regular expression of the numbers from 0 to `end`."""
        return up_to(end)

    def said(self, label: str) -> str:
        """Return a label as it stands in the text."""
        return label

    def literal(self, text: str) -> str:
        """Return a regular expression of a text."""
        return re.sub(r"([\\^$.|?*+()\[\]{}])", r"\\\1", text)

    # --- Boxes -----------------------------------------------------------------------------------

    def write(self, boxes: Iterable[Placed], edge: int) -> str:
        """Return boxes as text, each once; `none` where there are none.

        Numbers are the nearest ones. Where a box is narrower than a unit these may be the same:
        then they are those around it, so that it stays a box.
        """
        told = [_filled(self.box, self._values(label, box, edge)) for label, box in boxes]
        return (
            f"{self.before}{self.between.join(dict.fromkeys(told))}{self.after}" if told else NONE
        )

    def read(self, text: str, labels: Sequence[str], edge: int) -> tuple[list[Placed], int]:
        """Return the boxes that a text has, and how much of it is ill-formed.

        A box is ill-formed with corners swapped or beyond the square, with a label that is none of
        `labels`, or where the same stands before. So is each other stretch of words or numbers,
        such as a box that was cut off, and an answer that says nothing at all. White space is not
        looked at, since a tokeniser may drop it or put it between any two tokens.
        """
        text = _bare(text)
        if text.casefold().rstrip(".") in (NONE, self.before + self.after):
            return [], 0 if text else 1
        known = {self._name(self.said(label)): label for label in labels}
        found: list[Placed] = []
        bad, end = 0, 0
        for match in self._reader.finditer(text):
            bad += _says(text[end : match.start()])
            end = match.end()
            placed = self._placed(match, known, edge)
            if placed is None or placed in found:
                bad += 1
            else:
                found.append(placed)
        bad += _says(text[end:])
        return found, bad if found else max(bad, 1)

    def pattern(self, labels: Sequence[str], most: int, edge: int) -> str:
        """Return a regular expression of `none` and of 1 to `most` boxes with these labels."""
        names = self._any(map(self.said, labels))
        number = self.numbers(self.whole or edge)
        slots = {"LABEL": names, **dict.fromkeys(("X1", "Y1", "X2", "Y2"), number)}
        box = _filled(self.box, slots, self.literal)
        more = f"(?:{self.literal(self.between)}{box}){{0,{most - 1}}}" if most > 1 else ""
        return f"(?:{NONE}|{self.literal(self.before)}{box}{more}{self.literal(self.after)})"

    def longest(self, labels: Sequence[str], most: int, edge: int) -> int:
        """Return how many characters, and so tokens, an answer of `most` boxes takes at most."""
        box = max(len(self.write([(label, (0, 0, edge, edge))], edge)) for label in labels)
        return most * (box + len(self.between) + 4 * len(str(self.whole or edge)))

    def _values(self, label: str, box: Sequence[float], edge: int) -> dict[str, str]:
        """Return what stands in the slots of a box."""
        scale = (self.whole or edge) / edge / self.unit
        values = {"LABEL": self.said(label)}
        for axis, low, high in (("X", box[0], box[2]), ("Y", box[1], box[3])):
            # Half up: to even, 1.5 and 2.5 would be one.
            ends = [math.floor(value * scale + 0.5) for value in (low, high)]
            if ends[0] == ends[1]:
                ends = [math.floor(low * scale), math.ceil(high * scale)]
            values |= {
                f"{axis}{n}": format(end * self.unit, self.digits)
                for n, end in enumerate(ends, start=1)
            }
        return values

    @cached_property
    def _reader(self) -> re.Pattern[str]:
        """Return what finds boxes in a bare text, of any label and numbers."""
        slots = {"LABEL": "(.{0,200}?)", **dict.fromkeys(("X1", "Y1", "X2", "Y2"), _NUMBER)}
        return re.compile(_filled(_bare(self.box), slots, self.literal))

    def _placed(self, match: re.Match[str], known: Mapping[str, str], edge: int) -> Placed | None:
        """Return label and box of what `_reader` found, None where they are ill-formed."""
        slots = dict(zip(_SLOTS.findall(self.box), match.groups(), strict=True))
        label = known.get(self._name(slots["LABEL"]))
        whole = self.whole or edge
        x1, y1, x2, y2 = (float(slots[name]) for name in ("X1", "Y1", "X2", "Y2"))
        if label is None or not (0 <= x1 < x2 <= whole and 0 <= y1 < y2 <= whole):
            return None
        return label, tuple(value * edge / whole for value in (x1, y1, x2, y2))

    def _name(self, label: str) -> str:
        """Return a label in the text without what may stand before it."""
        return _bare(label).casefold().lstrip(self.between + self.before)

    def _any(self, texts: Iterable[str]) -> str:
        """Return a regular expression of one of some texts."""
        return f"(?:{'|'.join(map(self.literal, texts))})"

    # --- Masks -----------------------------------------------------------------------------------

    def write_grid(self, rows: Sequence[Sequence[str]]) -> str:
        """Return a grid of labels, empty ones for cells of nothing, as text; `none` if all are."""
        if not any(map(any, rows)):
            return NONE
        return self.below.join(
            self.beside.join(
                _filled(self.run, {"LABEL": label or NONE, "COUNT": self._count(len(list(cells)))})
                for label, cells in groupby(row)
            )
            for row in rows
        )

    def read_grid(self, text: str, labels: Sequence[str]) -> tuple[list[list[str]], int]:
        """Return the grid that a text has, and how many of its rows are ill-formed.

        An ill-formed row, with unknown labels or of another length than the grid, has nothing. Rows
        that lack, and such as there are too many, count as one.
        """
        empty = [[""] * self.grid for _ in range(self.grid)]
        if _bare(text).casefold().rstrip(".") == NONE:
            return empty, 0
        known = {_bare(label).casefold(): label for label in labels} | {NONE: ""}
        lines = text.strip().split(self.below.strip() or self.below)
        rows = [self._row(_bare(line), known) for line in lines]
        bad = rows.count(None) + (len(rows) != self.grid)
        rows += [None] * self.grid
        return [row or nothing for row, nothing in zip(rows, empty, strict=False)], bad

    def grid_pattern(self, labels: Sequence[str]) -> str:
        """Return a regular expression of `none` and of all grids; a row's sum it cannot hold."""
        counts = "|".join(self._count(n) for n in range(1, self.grid + 1))
        slots = {"LABEL": self._any((*labels, NONE)), "COUNT": f"(?:{counts})"}
        run = _filled(self.run, slots, self.literal)
        row = f"{run}(?:{self.literal(self.beside)}{run}){{0,{self.grid - 1}}}"
        return f"(?:{NONE}|{row}(?:{self.literal(self.below)}{row}){{{self.grid - 1}}})"

    def longest_grid(self, labels: Sequence[str]) -> int:
        """Return how many characters, and so tokens, a grid takes at most."""
        other = [max((*labels, NONE), key=len), NONE]
        rows = [[other[n % 2] for n in range(self.grid)]] * self.grid
        return len(
            self.write_grid([[cell if cell != NONE else "" for cell in row] for row in rows])
        )

    def _count(self, n: int) -> str:
        """Return how many cells a run has, as it is written."""
        return format(n, self.cells)

    @cached_property
    def _runs(self) -> re.Pattern[str]:
        """Return what finds one run of a bare row."""
        slots = {"LABEL": "(.{0,200}?)", "COUNT": "([0-9]{1,4})"}
        return re.compile(_filled(_bare(self.run), slots, self.literal))

    def _row(self, text: str, known: Mapping[str, str]) -> list[str] | None:
        """Return the cells of a row, None where it is ill-formed."""
        cells: list[str] = []
        end = 0
        for match in self._runs.finditer(text):
            label = known.get(match[1].casefold().lstrip(self.beside))
            if label is None or match.start() > end:
                return None
            cells += [label] * int(match[2])
            end = match.end()
        return cells if len(cells) == self.grid and end == len(text) else None


@cache
def find(name: str) -> Coordinates:
    """Return the format of a name.

    Raises:
        ConfigError: no module is named like it.
    """
    found: Coordinates = plugins.load_module(sys.modules[__name__], name, "coordinates").FORMAT
    return found


def up_to(end: int) -> str:
    """Return a regular expression of the whole numbers from 0 to `end`, without leading zeros."""
    last = str(end)
    parts = [last, *(["0"] if end else [])]
    parts += [f"[1-9][0-9]{{{n}}}" if n else "[1-9]" for n in range(len(last) - 1)]
    for at, digit in enumerate(last):
        first, rest = int(at == 0), len(last) - at - 1
        if int(digit) > first:
            more = f"[0-9]{{{rest}}}" if rest else ""
            parts.append(f"{last[:at]}[{first}-{int(digit) - 1}]{more}")
    return f"(?:{'|'.join(parts)})"


def _filled(
    template: str, slots: Mapping[str, str], literal: Callable[[str], str] = lambda text: text
) -> str:
    """Return a template with its slots filled, and all else put through `literal`."""
    return "".join(slots.get(part) or literal(part) for part in _SLOTS.split(template))


def _bare(text: str) -> str:
    """Return a text without white space, and without what `_MARKS` finds."""
    return "".join(_MARKS.sub("", one_form(text)).split())


def _says(text: str) -> bool:
    """Return whether a text has a word or a number."""
    return re.search(r"\w", text) is not None
