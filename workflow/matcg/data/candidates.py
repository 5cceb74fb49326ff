"""All usable rows of one subset as columns: enough to split and draw before an image is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.util import hash_array

from matcg.samples import Sample

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that is set aside; `row` counts from 1, `reason` reads "kind" or "kind: detail"."""

    file: str
    row: str
    reason: str
    image: str

    @property
    def kind(self) -> str:
        """The countable part of the reason."""
        return self.reason.split(": ", 1)[0]


@dataclass(frozen=True)
class Pool:
    """The rows of a subset that can be used as far as is known without their images.

    `labels` index `names`, `units` number what must stay on one side of a split: the samples of a
    patient or sequence (`grouped`), else of an image. All are of equal length. `keys` says what
    each unit is of: the patient, or the image.
    """

    ids: Sequence[str]
    labels: Numbers
    names: tuple[str, ...]
    units: Numbers
    grouped: Flags
    keys: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.ids)

    def unlabelled(self) -> "Pool":
        """Return the pool with one label for all, so that no label is balanced."""
        return replace(self, labels=np.zeros_like(self.labels), names=("",))

    def ranks(self, seed: int) -> Numbers:
        """Return each sample's place in the random order of `seed`, which no other row moves.

        A keyed hash (SipHash, by pandas) of the sample id: a tenth of the time that deriving
        millions of seeds takes. Some stand in tests/unit/data/test_split.py: a change is noticed.
        """
        ids = np.array(self.ids, dtype=object)
        found = hash_array(ids, hash_key=f"{seed:016x}"[-16:], categorize=False)
        return (found >> np.uint64(1)).astype(np.int64)


def pool_of(
    ids: Sequence[str],
    labels: Sequence[str],
    images: Sequence[str],
    groups: Sequence[str] | None = None,
) -> Pool:
    """Return the pool of rows with these ids, labels, image paths and, where known, groups."""
    codes, names = _codes(labels, sort=True)
    units = np.zeros(len(ids), dtype=np.int64)
    grouped = np.zeros(len(ids), dtype=np.bool_)
    n_groups, keys = 0, np.array([], dtype=object)
    if groups is not None:
        units, values = _codes(groups)
        grouped = np.array([bool(value) for value in values], dtype=np.bool_)[units]
        n_groups, keys = len(values), values
    if not grouped.all():
        # Numbered after all groups, so that no image is taken for one.
        alone = np.array(images, dtype=object)[~grouped]
        numbers, paths = _codes(alone)
        units[~grouped] = n_groups + numbers
        keys = np.concatenate([keys, paths])
    return Pool(ids, codes, tuple(names), units, grouped, keys)


def _codes(values: Any, sort: bool = False) -> tuple[Numbers, npt.NDArray[Any]]:
    """Return for each value the number of it among the different ones, and these."""
    given = values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
    codes, different = pd.factorize(given, sort=sort)
    return codes.astype(np.int64), different


@dataclass(frozen=True, slots=True)
class ImageCount:
    """How many rows a source dataset has, how many pictures they name, and which are missing."""

    dataset: str
    rows: int
    images: int
    missing: int
    example: str = ""


@dataclass(frozen=True)
class Source:
    """All that one subset's files hold.

    `rows` counts what was read, usable or not; `files` are the tables read, relative to the data
    folder. `load` returns sample number i of the pool with its image, and raises `BadRowError`
    where that cannot be used; `underlying`, where there is one, returns the picture that its own is
    made of, by which duplicates are found. `reject` returns the quarantined row of sample i for a
    reason.
    `tests` marks the source's own test split, None where it has none. `images` counts pictures, and
    those that are missing, by source dataset. `ask` returns drawn samples with the options that
    they are asked with.
    """

    pool: Pool
    load: Callable[[int], Sample]
    reject: Callable[[int, str], Quarantined]
    rows: int
    quarantined: tuple[Quarantined, ...] = ()
    files: tuple[str, ...] = ()
    tests: Flags | None = None
    images: tuple[ImageCount, ...] = ()
    ask: Callable[[list[Sample]], list[Sample]] = list
    underlying: Callable[[int], bytes] | None = None
