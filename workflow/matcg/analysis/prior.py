"""What a place alone is worth: the one answer for all pictures that fits training answers best."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pycocotools import mask as run_lengths

from matcg.samples import Finding

# Places are compared on a grid of so many cells a side, whatever the size of a picture.
CELLS = 64

# What is to be found in a picture of a width and height in pixels.
Picture = tuple[Sequence[Finding], tuple[int, ...]]
Cells = npt.NDArray[np.float64]


def prior(
    training: Sequence[Picture], tested: Sequence[Picture], dice: bool = False
) -> float | None:
    """Return the mean IoU, or Dice, on tested pictures of the best single answer of the training.

    Each finding of the training stands for an answer that is given to all pictures, at the same
    place as a share of their sides; the best is the one with the highest mean on the training
    pictures themselves. None where these have no finding, or nothing is tested.
    """
    alone = [([each], size) for findings, size in training for each in findings]
    if not alone or not tested:
        return None
    answers = np.unique(_cells(alone), axis=0)
    best = _scores(answers, _cells(training), dice).mean(axis=1).argmax()
    return float(_scores(answers[[best]], _cells(tested), dice).mean())


def _cells(pictures: Sequence[Picture]) -> Cells:
    """Return which cells of each picture findings cover, shape (pictures, cells)."""
    covered = np.zeros((len(pictures), CELLS, CELLS))
    for cells, (findings, size) in zip(covered, pictures, strict=True):
        # The middles of cells, in pixels.
        x, y = ((np.arange(CELLS) + 0.5) * side / CELLS for side in size)
        for each in findings:
            cells[_mask(each, x, y, size) if each.mask else _box(each, x, y)] = 1
    return covered.reshape(len(pictures), -1)


def _box(finding: Finding, x: Cells, y: Cells) -> npt.NDArray[np.bool_]:
    x1, y1, x2, y2 = finding.box
    return ((y1 <= y) & (y < y2))[:, None] & ((x1 <= x) & (x < x2))


def _mask(finding: Finding, x: Cells, y: Cells, size: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    coded = {"size": [size[1], size[0]], "counts": finding.mask}
    covered = run_lengths.decode([coded])[..., 0] > 0
    cells: npt.NDArray[np.bool_] = covered[np.ix_(y.astype(int), x.astype(int))]
    return cells


def _scores(answers: Cells, pictures: Cells, dice: bool) -> Cells:
    """Return the score of each answer on each picture; 0 where nothing is to be found."""
    inter = answers @ pictures.T
    # What is smaller than a cell may cover none.
    both = np.maximum(answers.sum(axis=1)[:, None] + pictures.sum(axis=1), 1)
    scores: Cells = 2 * inter / both if dice else inter / (both - inter)
    return scores
