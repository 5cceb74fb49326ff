"""Boxes and masks between a picture and the square that a backbone sees of it (`images.fit`)."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

Box = tuple[float, ...]

# Less than this of a pixel is no part of a finding, but the rounding of a division.
_NOTHING = 1e-6


class Square:
    """The square of `edge` pixels in which a picture of some size is seen.

    Both count pixels from their left upper corner; boxes are [x1, y1, x2, y2).
    """

    def __init__(self, size: Sequence[int], edge: int, geometry: str) -> None:
        """Take the picture's width and height, and how it becomes a square (`images.fit`)."""
        self.size, self.edge = (size[0], size[1]), edge
        shorter, longer = min(size), max(size)
        self._scale = (edge / size[0], edge / size[1])
        self._shift = (0.0, 0.0)
        if geometry == "pad":
            # Whole pixels, rounded as ImageOps.pad rounds them.
            taken = [max(1, round(n / longer * edge)) for n in self.size]
            self._scale = (taken[0] / size[0], taken[1] / size[1])
            self._shift = (float(round((edge - taken[0]) / 2)), float(round((edge - taken[1]) / 2)))
        elif geometry == "crop":
            self._scale = (edge / shorter, edge / shorter)
            across, down = ((shorter - n) / 2 * edge / shorter for n in self.size)
            self._shift = (across, down)

    def box_seen(self, box: Sequence[float]) -> Box | None:
        """Return what is seen of a picture's box, in pixels of the square; None if nothing is."""
        return _clipped(self._moved(box), (self.edge, self.edge))

    def box_meant(self, box: Sequence[float]) -> Box | None:
        """Return a box of the square in pixels of the picture; None where it is outside of it."""
        corners = zip(box, self._scale * 2, self._shift * 2, strict=True)
        return _clipped([(value - shift) / scale for value, scale, shift in corners], self.size)

    def cut(self, boxes: Iterable[Sequence[float]]) -> int:
        """Return how many boxes of the picture are not seen whole."""
        return sum(
            any(not -_NOTHING <= value <= self.edge + _NOTHING for value in self._moved(box))
            for box in boxes
        )

    def shares(self, mask: str, cells: int) -> NDArray[np.float64]:
        """Return how much a picture's mask covers of each cell, `cells` a side of the square.

        `mask` has COCO's run lengths. What of a cell is outside the picture is not covered.
        """
        across, down = (self._weights(axis, cells) for axis in (0, 1))
        # Only what is around the mask: findings are small, and pictures large.
        x1, y1, x2, y2 = map(int, box_around(mask, self.size))
        around = decoded(mask, self.size)[y1:y2, x1:x2].astype(np.float64)
        found: NDArray[np.float64] = down[:, y1:y2] @ around @ across[:, x1:x2].T
        return found

    def mask_meant(self, covered: NDArray[Any]) -> str:
        """Return the picture's mask, as COCO's run lengths, of which such cells are covered.

        A pixel has what the cell has that its centre lies in.
        """
        cells = len(covered)
        framed = np.pad(covered.astype(bool), 1)  # a pixel that is not seen lies in the frame
        columns, rows = (
            np.clip(np.floor(self._centres(axis) * cells / self.edge).astype(int), -1, cells) + 1
            for axis in (0, 1)
        )
        return encoded(framed[np.ix_(rows, columns)])

    def _moved(self, box: Sequence[float]) -> list[float]:
        """Return a picture's box in pixels of the square, beyond which it may reach."""
        corners = zip(box, self._scale * 2, self._shift * 2, strict=True)
        return [value * scale + shift for value, scale, shift in corners]

    def _centres(self, axis: int) -> NDArray[Any]:
        """Return where in the square the centres of the picture's columns (0) or rows lie."""
        return (np.arange(self.size[axis]) + 0.5) * self._scale[axis] + self._shift[axis]

    def _weights(self, axis: int, cells: int) -> NDArray[np.float64]:
        """Return which share of each cell's side each column or row takes, as (cells, n)."""
        ends = np.linspace(0, self.edge, cells + 1) - self._shift[axis]
        ends = ends[:, None] / self._scale[axis]
        at = np.arange(self.size[axis])
        taken = np.minimum(ends[1:], at + 1) - np.maximum(ends[:-1], at)
        weights: NDArray[np.float64] = taken.clip(0) / (ends[1:] - ends[:-1])
        return weights


def decoded(mask: str, size: Sequence[int]) -> NDArray[np.uint8]:
    """Return a mask (height, width) of COCO's run lengths for a picture of width and height."""
    found: NDArray[np.uint8] = coco.decode({"size": [size[1], size[0]], "counts": mask.encode()})
    return found


def encoded(mask: NDArray[Any]) -> str:
    """Return COCO's run lengths of a mask (height, width)."""
    counts: bytes = coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    return counts.decode()


def filled(box: Sequence[float], size: Sequence[int]) -> str:
    """Return the mask, of COCO's run lengths, of the pixels whose centres lie in a box."""
    x, y = (np.arange(side) + 0.5 for side in size)
    return encoded(np.outer((box[1] <= y) & (y < box[3]), (box[0] <= x) & (x < box[2])))


def merged(masks: Sequence[str], size: Sequence[int]) -> str:
    """Return the union of masks of COCO's run lengths."""
    lengths = [{"size": [size[1], size[0]], "counts": mask.encode()} for mask in masks]
    counts: bytes = coco.merge(lengths)["counts"]
    return counts.decode()


def scaled(mask: str, size: Sequence[int], to: Sequence[int]) -> str:
    """Return a mask of a picture of one size for one of another, pixel by nearest pixel."""
    at = [
        ((np.arange(new) + 0.5) * old / new).astype(int) for old, new in zip(size, to, strict=True)
    ]
    return encoded(decoded(mask, size)[np.ix_(at[1], at[0])])


def box_around(mask: str, size: Sequence[int]) -> Box:
    """Return the box around a mask of COCO's run lengths."""
    x, y, width, height = coco.toBbox({"size": [size[1], size[0]], "counts": mask.encode()})
    return (float(x), float(y), float(x + width), float(y + height))


def _clipped(box: Sequence[float], size: Sequence[float]) -> Box | None:
    """Return what of a box lies within [0, size), None where nothing of an area does."""
    found = tuple(min(max(value, 0.0), end) for value, end in zip(box, (*size, *size), strict=True))
    wide, high = found[2] - found[0], found[3] - found[1]
    return found if min(wide, high) > _NOTHING else None
