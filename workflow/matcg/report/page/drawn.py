"""Findings as the page draws them over a picture: boxes, and masks by the runs of their rows."""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby

from matcg.geometry import Square
from matcg.samples import Finding, read_findings

WHOLE = 1000  # a picture's sides as drawn, in whatever shape it is
_CELLS = 40  # of a mask as drawn: finer than any that is answered, coarse enough for many

# A label, whether it is a mask, and the corners [x1, y1, x2, y2) of its parts.
Shape = tuple[str, bool, list[list[int]]]


def shapes_of(text: str, size: Sequence[int]) -> list[Shape]:
    """Return the shapes of findings that answers hold as JSON."""
    return shapes(read_findings(json.loads(text)), size)


def shapes(findings: Iterable[Finding], size: Sequence[int]) -> list[Shape]:
    """Return the shapes of findings in a picture of this width and height."""
    square = Square(size, WHOLE, "squash")
    return [
        (each.label, bool(each.mask), _runs(each, square) if each.mask else _box(each, square))
        for each in findings
    ]


def _box(finding: Finding, square: Square) -> list[list[int]]:
    box = square.box_seen(finding.box)
    return [[round(value) for value in box]] if box else []


def _runs(finding: Finding, square: Square) -> list[list[int]]:
    """Return the stretches of each row of cells that a mask covers, joined where rows are alike."""
    covered = (square.shares(finding.mask, _CELLS) >= 0.5).tolist()
    found: list[list[int]] = []
    top = 0
    for row, alike in groupby(covered):
        bottom, left = top + len(list(alike)), 0
        for inside, cells in groupby(row):
            right = left + len(list(cells))
            if inside:
                found.append([n * WHOLE // _CELLS for n in (left, top, right, bottom)])
            left = right
        top = bottom
    return found
