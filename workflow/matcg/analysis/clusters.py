"""Which of a target's questions belong together: those about one patient or image, and those that
come from one source dataset.

Answers to such questions are no independent evidence. What is known of them stands in the canonical
samples, not in the answers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from matcg import told
from matcg.errors import DataError

_COLUMNS = ["sample_id", "dataset", "group", "origin"]

# The folder of the samples of each subset, by catalog and id.
Folders = Mapping[tuple[str, str], Path]


@dataclass(frozen=True, slots=True)
class Origins:
    """The clusters and source datasets of a target's questions, in the order of their ids.

    `clusters` numbers them from 0; it is None where no two questions share a patient or image.
    """

    clusters: npt.NDArray[np.int64] | None
    datasets: npt.NDArray[np.str_]

    def only(self, chosen: npt.NDArray[np.bool_]) -> "Origins":
        """Return the origins of the marked questions."""
        codes = None if self.clusters is None else _numbered(self.clusters[chosen])
        return Origins(codes, self.datasets[chosen])


def _numbered(names: npt.ArrayLike) -> npt.NDArray[np.int64] | None:
    """Return each name's number, None where all differ."""
    found, codes = np.unique(names, return_inverse=True)
    return None if found.size == codes.size else codes.astype(np.int64)


def read_origins(
    folders: Folders, asked: Mapping[tuple[str, str], Iterable[str]]
) -> dict[tuple[str, str], Origins]:
    """Return the origins of the questions that were asked, whose samples are in `folders`.

    `asked` gives the sorted sample ids of each target (catalog, id).

    Raises:
        DataError: a target's test samples are missing, or lack a question that was asked.
    """
    return {
        target: _read(folders[target] / "test.parquet", list(names))
        for target, names in asked.items()
    }


def _read(path: Path, names: list[str]) -> Origins:
    told.samples_digest(path)
    try:
        table = pq.read_table(path, columns=_COLUMNS)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({error}); prepare the subset again") from None
    columns = {name: table[name].to_numpy().astype(str) for name in _COLUMNS}
    order = np.argsort(columns["sample_id"])
    places = np.searchsorted(columns["sample_id"], names, sorter=order)
    rows = order[np.minimum(places, order.size - 1)] if order.size else order
    if rows.size != len(names) or (columns["sample_id"][rows] != names).any():
        raise DataError(f"{path}: lacks questions that were answered; predict again")
    dataset, group, origin = (columns[name][rows] for name in _COLUMNS[1:])
    # A patient's number, or a picture's path, names the same thing within its dataset only.
    together = np.where(group != "", np.char.add("group ", group), np.char.add("image ", origin))
    return Origins(_numbered(np.char.add(np.char.add(dataset, "\n"), together)), dataset)
