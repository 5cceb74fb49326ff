"""Masks: findings as row-wise run lengths of their labels on a coarse grid, or none.

After Text4Seg (arXiv 2410.09855; abstract and published code read 2026-11-30): its grid has 16
cells a side and its rows one line each. A cell is covered here if findings cover at least half of
it, and has the label that covers most of it. A backbone that writes boxes alone (`masks: box`) says
the box around each finding instead, and means all pixels in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from matcg import coordinates
from matcg.forms import KEYS, How, Pairs, View
from matcg.forms.boxes import Boxes, Findings, share, square_of
from matcg.geometry import Square, box_around, filled, merged
from matcg.overlap import mask_areas
from matcg.samples import FINDINGS, Finding, Sample, read_findings

Rows = list[list[str]]

_HALF = 0.5 - 1e-9  # a share is the sum of many


class Mask(Boxes):
    """All findings of a picture as masks, one of each label."""

    columns = pa.schema(
        [
            *KEYS,
            ("true", FINDINGS),
            ("given", FINDINGS),
            ("ill_formed", pa.int16()),
            *((name, pa.float64()) for name in ("inter", "union", "dice", "iou", "ceiling")),
            ("text", pa.string()),
        ]
    )
    main = "dice"
    measure = "mean Dice"
    answer = pa.field("masks", FINDINGS)

    def truth(self, sample: Sample) -> Findings:
        """Return the findings with their masks."""
        return sample.findings

    def told(self, sample: Sample, answer: Any, view: View) -> str:
        """Return as text the cells that findings cover of what is seen, or their boxes."""
        if view.masks == "box":
            return super().told(sample, answer, view)
        words = coordinates.find(view.coordinates)
        return words.write_grid(_cells(answer, square_of(sample, view), words.grid))

    def read(
        self, sample: Sample, pairs: Pairs, tokens: Mapping[str, int], view: View
    ) -> dict[str, Any]:
        """Return true and given masks of the picture, and how many rows were ill-formed.

        `ceiling` is the Dice of the true mask with itself after it was text.
        """
        coded, _ = self.meant(self.told(sample, sample.findings, view), sample, view)
        ceiling = _dice(*_areas(sample.findings, coded, sample))
        return super().read(sample, pairs, tokens, view) | {"ceiling": ceiling}

    def meant(self, text: str, sample: Sample, view: View) -> tuple[list[Finding], int]:
        """Return the masks that a text means, in the picture, and how much is ill-formed."""
        if view.masks == "box":
            found, bad = super().meant(text, sample, view)
            return [replace(each, mask=filled(each.box, sample.size)) for each in found], bad
        rows, bad = coordinates.find(view.coordinates).read_grid(text, sample.options)
        return _masks(rows, square_of(sample, view)), bad

    def score(self, sample: Sample, answered: Mapping[str, Any]) -> dict[str, Any]:
        """Return areas of intersection and union of all masks, IoU and Dice."""
        inter, union = _areas(sample.findings, read_findings(answered["given"]), sample)
        overlap = {"dice": _dice(inter, union), "iou": share(inter, union)}
        return {"inter": inter, "union": union, **overlap}

    def request(self, view: View) -> str:
        """Return how the answer is asked for."""
        if view.masks == "box":
            return super().request(view)
        return coordinates.find(view.coordinates).mask_request

    def bounds(self, sample: Sample, how: How, view: View) -> tuple[int, str]:
        """Return how long an answer can be, in tokens at most, and the pattern of all answers."""
        if view.masks == "box":
            return super().bounds(sample, how, view)
        words = coordinates.find(view.coordinates)
        return words.longest_grid(sample.options), words.grid_pattern(sample.options)


FORM = Mask()


def _cells(findings: Sequence[Finding], square: Square, cells: int) -> Rows:
    """Return the label of each cell of the square, empty where less than half is covered."""
    masks: dict[str, list[str]] = {}
    for each in findings:
        masks.setdefault(each.label, []).append(each.mask)
    if not masks:
        return [[""] * cells for _ in range(cells)]
    names = np.array(list(masks))
    shares = [square.shares(merged(each, square.size), cells) for each in masks.values()]
    whole = square.shares(merged(list(chain(*masks.values())), square.size), cells)
    rows: Rows = np.where(whole >= _HALF, names[np.argmax(shares, axis=0)], "").tolist()
    return rows


def _masks(rows: Rows, square: Square) -> list[Finding]:
    """Return the mask of each label of a grid, in the picture; none of what lies beside it."""
    cells = np.array(rows)
    masks = {str(label): square.mask_meant(cells == label) for label in np.unique(cells) if label}
    boxes = {label: box_around(mask, square.size) for label, mask in masks.items()}
    return [
        Finding(label, boxes[label], mask)
        for label, mask in masks.items()
        if boxes[label][2] > boxes[label][0]
    ]


def _areas(
    true: Sequence[Finding], given: Sequence[Finding], sample: Sample
) -> tuple[float, float]:
    """Return the pixels of intersection and union of all masks."""
    return mask_areas([each.mask for each in true], [each.mask for each in given], sample.size)


def _dice(inter: float, union: float) -> float:
    """Return twice the intersection over both areas, 1 where there is nothing in either."""
    return 2 * inter / (inter + union) if union else 1.0
