"""What a place alone is worth: the one answer for all pictures that fits training answers best."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from matcg import forms, told
from matcg.analysis.answers import LocatedAnswers
from matcg.analysis.clusters import Folders
from matcg.analysis.pairs import Study, Target
from matcg.geometry import decoded
from matcg.plan.records import Row
from matcg.samples import Finding, Sample, read_samples

# Places are compared on a grid of so many cells a side, whatever the size of a picture.
CELLS = 64
# So many findings of a training set stand for an answer, and so many shares of its pictures.
MOST, LEVELS = 500, 32
PICTURES = 5_000  # of a training set that answers are tried on

# What is to be found in a picture of a width and height in pixels.
Picture = tuple[Sequence[Finding], Sequence[int]]
Cells = npt.NDArray[np.float32]


def with_priors(study: Study, mixes: Mapping[str, Path], folders: Folders) -> Study:
    """Return the study with the prior of every run that was trained on one of `mixes`, by name.

    It is the score on each of a target's pictures of the run's best place (`best_place`); nothing
    where it was trained on no answer of the target's form that has a finding.

    Raises:
        DataError: a mix, or samples, are others than their names stand for.
    """
    targets: dict[Target, list[Row]] = defaultdict(list)
    for row in study.rows:
        if isinstance(study.answers[row.key], LocatedAnswers) and row.mix in mixes:
            targets[row.catalog, row.target].append(row)
    places, found = _Places(mixes, folders), dict(study.answers)
    for target, rows in targets.items():
        form, names, pictures = _tested(folders[target] / "test.parquet")
        for row in rows:
            answers, place = found[row.key], places.of(row.catalog, row.mix, form)
            if isinstance(answers, LocatedAnswers) and place is not None:
                asked = pictures[np.searchsorted(names, answers.sample_id)]
                prior = scores(place[None], asked, form.main == "dice")[0].astype(np.float64)
                found[row.key] = replace(answers, prior=prior)
    return Study(study.rows, found, study.origins, study.planned if study.partial else None)


def best_place(training: Sequence[Picture], dice: bool) -> Cells | None:
    """Return the box, or with `dice` the mask, that scores best if given to all these pictures.

    Tried are the findings themselves, and where at least so many of the pictures have one: these
    masks, or the boxes around them. None where nothing is to be found.
    """
    training = training[:: max(1, -(-len(training) // PICTURES))]
    pictures = cells_of(training)
    shares = pictures.mean(axis=0)
    if not shares.any():
        return None
    alone = [([each], size) for findings, size in training for each in findings]
    levels = np.unique(shares[shares > 0])
    often = shares >= levels[:: -(-len(levels) // LEVELS)][:, None]
    tried = [cells_of(alone[:: -(-len(alone) // MOST)]), often if dice else _around(often)]
    answers = np.concatenate(tried).astype(np.float32)
    best: Cells = answers[scores(answers, pictures, dice).mean(axis=1).argmax()]
    return best


def scores(answers: Cells, pictures: Cells, dice: bool) -> Cells:
    """Return the IoU, or Dice, of each answer on each picture; 0 where nothing is to be found."""
    inter = answers @ pictures.T
    # What is smaller than a cell may cover none.
    both = np.maximum(answers.sum(axis=1)[:, None] + pictures.sum(axis=1), 1)
    found: Cells = 2 * inter / both if dice else inter / (both - inter)
    return found


def cells_of(pictures: Sequence[Picture]) -> Cells:
    """Return which cells of each picture findings cover, shape (pictures, cells)."""
    covered = np.zeros((len(pictures), CELLS, CELLS), np.float32)
    for cells, (findings, size) in zip(covered, pictures, strict=True):
        # The middles of cells, in pixels.
        x, y = ((np.arange(CELLS) + 0.5) * side / CELLS for side in size)
        for each in findings:
            if each.mask:
                cells += decoded(each.mask, size)[np.ix_(y.astype(int), x.astype(int))]
            else:
                x1, y1, x2, y2 = each.box
                cells += np.outer((y1 <= y) & (y < y2), (x1 <= x) & (x < x2))
    return np.minimum(covered, 1).reshape(len(pictures), -1)


def _around(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the box around each mask of cells."""
    grids = masks.reshape(-1, CELLS, CELLS)
    between = [
        np.maximum.accumulate(some, axis=1) & np.maximum.accumulate(some[:, ::-1], axis=1)[:, ::-1]
        for some in (np.asarray(grids.any(axis=2)), np.asarray(grids.any(axis=1)))
    ]
    boxes: npt.NDArray[np.bool_] = between[0][:, :, None] & between[1][:, None]
    return boxes.reshape(masks.shape)


def _tested(path: Path) -> tuple[forms.Form, list[str], Cells]:
    """Return a target's form of answer, and its test pictures in the order of their ids."""
    there = sorted(read_samples(path, pictures=False), key=lambda sample: sample.sample_id)
    form, names = forms.of(there[0]), [each.sample_id for each in there]
    return form, names, cells_of([(form.truth(each), each.size) for each in there])


class _Places:
    """The best places of training sets, each found once."""

    def __init__(self, mixes: Mapping[str, Path], folders: Folders) -> None:
        self._mixes, self._folders = mixes, folders
        self.of, self._samples = cache(self._of), cache(self._read)

    def _of(self, catalog: str, mix: str, form: forms.Form) -> Cells | None:
        """Return the place that fits the answers of a form best that a mix is trained on."""
        path = self._mixes[mix]
        told.mix_label(path)
        table = pq.read_table(path)
        if form.answer.name not in table.column_names:
            return None
        rows = table.filter(table[form.answer.name].is_valid()).to_pylist()
        pictures = [
            (
                form.unpacked(row[form.answer.name]),
                self._samples(catalog, row["subset"])[row["sample_id"]].size,
            )
            for row in rows
        ]
        return best_place(pictures, form.main == "dice")

    def _read(self, catalog: str, subset: str) -> dict[str, Sample]:
        path = self._folders[catalog, subset] / "train.parquet"
        told.samples_digest(path)
        return {each.sample_id: each for each in read_samples(path, pictures=False)}
