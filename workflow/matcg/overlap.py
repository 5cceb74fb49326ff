"""How far what was found covers what is there: areas of boxes and masks, and matched boxes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pycocotools import mask as run_lengths
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from matcg.samples import Finding

Box = Sequence[float]
_Array = npt.NDArray[np.float64]


def box_areas(true: Sequence[Box], given: Sequence[Box]) -> tuple[float, float]:
    """Return the areas of intersection and union of the unions of two lists of boxes.

    Boxes are [x1, y1, x2, y2); areas are in the square of their unit, and exact: the edges of all
    boxes cut the plane into cells, each of which a box covers wholly or not at all.
    """
    every = _corners([*true, *given])
    x, y = np.unique(every[:, ::2]), np.unique(every[:, 1::2])
    cells = np.outer(np.diff(x), np.diff(y))
    in_true, in_given = (_covered(_corners(boxes), x, y) for boxes in (true, given))
    return float(cells[in_true & in_given].sum()), float(cells[in_true | in_given].sum())


def mask_areas(
    true: Sequence[str], given: Sequence[str], size: tuple[int, ...]
) -> tuple[float, float]:
    """Return the same, in pixels, of masks as COCO's compressed run lengths.

    `size` is the width and height of the picture.
    """
    own, other, union = (_mask_area(masks, size) for masks in (true, given, [*true, *given]))
    return own + other - union, union


def matched(
    true: Sequence[Finding], given: Sequence[Finding], iou: float = 0.5
) -> tuple[int, int, int]:
    """Return the true positives, false positives and false negatives of the boxes given.

    As many pairs as there can be are matched, each box once, of equal label and an intersection
    over union of at least `iou`.
    """
    labels = np.array([each.label for each in true]), np.array([each.label for each in given])
    boxes = _corners([each.box for each in true]), _corners([each.box for each in given])
    alike = (labels[0][:, None] == labels[1]) & (_ious(*boxes) >= iou)
    found = 0
    if alike.any():
        found = int((maximum_bipartite_matching(csr_array(alike), "column") >= 0).sum())
    return found, len(given) - found, len(true) - found


def _corners(boxes: Sequence[Box]) -> _Array:
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _covered(boxes: _Array, x: _Array, y: _Array) -> npt.NDArray[np.bool_]:
    """Return which cells between the edges `x` and `y` any of the boxes covers."""
    across = (boxes[:, :1] <= x[:-1]) & (x[:-1] < boxes[:, 2:3])
    down = (boxes[:, 1:2] <= y[:-1]) & (y[:-1] < boxes[:, 3:])
    covered: npt.NDArray[np.bool_] = across.T @ down
    return covered


def _mask_area(masks: Sequence[str], size: tuple[int, ...]) -> float:
    width, height = size
    coded = [{"size": [height, width], "counts": counts} for counts in masks]
    return float(run_lengths.area(run_lengths.merge(coded))) if coded else 0.0


def _ious(true: _Array, given: _Array) -> _Array:
    """Return the intersection over union of each true box with each given one."""
    low = np.maximum(true[:, None, :2], given[:, :2])
    high = np.minimum(true[:, None, 2:], given[:, 2:])
    inter = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (true, given)]
    ious: _Array = inter / (areas[0][:, None] + areas[1] - inter)
    return ious
