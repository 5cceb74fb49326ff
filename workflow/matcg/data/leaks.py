"""Test images of targets that are also, or nearly, training images of any prepared subset.

Med-MAT's subsets overlap in their sources, so that a "related" subset may hold the target's very
images. Near duplicates are found by perceptual hash; those whose decoded pixels have one SHA-256
are exact, whatever the file format. One pass over all subsets; who trains on what comes later.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pyarrow.parquet as pq

from matcg.data.near import hashes, near_pairs
from matcg.images import decode, pixel_digest
from matcg.tsv import write_table

if TYPE_CHECKING:
    from matcg.config import Overlap

OVERLAPS = (
    "catalog", "datasets", "known", "source", "test_images", "train_images", "exact", "near",
    "examples",
)  # fmt: skip
EXAMPLES = 3


@dataclass(frozen=True, slots=True, order=True)
class Leak:
    """A target's test image and a training image that show the same, both by sample id.

    `bits` of 256 are different in their hashes; `exact` says whether all pixels are equal.
    """

    catalog: str
    target: str
    test: str
    test_dataset: str
    source: str
    train: str
    train_dataset: str
    bits: int
    exact: bool


@dataclass(frozen=True)
class Search:
    """What is looked for in one catalog: test images of targets among images of sources.

    `distance` is in how many bits the hashes of a pair may differ; `known` are the source datasets
    that are said to share images.
    """

    catalog: str
    targets: Sequence[str]
    sources: Sequence[str]
    distance: int
    known: Sequence["Overlap"] = ()


@dataclass(frozen=True)
class Side:
    """The samples of one side of some subsets, as far as their pictures tell."""

    subsets: list[str]
    ids: list[str]
    datasets: list[str]
    fingerprints: list[str]


def search(data: Path, searches: Iterable[Search], out: Path) -> None:
    """Write leaks.tsv and overlaps.tsv into the folder `out`.

    `data` is the folder of catalogs of prepared subsets.
    """
    leaks: list[Leak] = []
    overlaps: list[list[object]] = []
    for each in searches:
        found = find_leaks(data, each)
        leaks += found
        overlaps += find_overlaps(data, each, found)
    write_leaks(out / "leaks.tsv", leaks)
    write_table(out / "overlaps.tsv", OVERLAPS, overlaps)


def find_leaks(data: Path, asked: Search) -> list[Leak]:
    """Return all pairs of a test image of the targets and a training image of the sources."""
    folder, catalog = data / asked.catalog, asked.catalog
    tests = _side(folder, asked.targets, "test")
    trained = _side(folder, asked.sources, "train")
    near = near_pairs(hashes(tests.fingerprints), hashes(trained.fingerprints), asked.distance)
    pairs = list(near)
    of_test = _digests(folder, "test", tests, {i for i, _, _ in pairs})
    of_train = _digests(folder, "train", trained, {j for _, j, _ in pairs})
    return sorted(
        Leak(
            catalog=catalog,
            target=tests.subsets[i],
            test=tests.ids[i],
            test_dataset=tests.datasets[i],
            source=trained.subsets[j],
            train=trained.ids[j],
            train_dataset=trained.datasets[j],
            bits=bits,
            exact=of_test[i] == of_train[j],
        )
        for i, j, bits in pairs
    )


def _side(folder: Path, subsets: Iterable[str], side: str) -> Side:
    found = Side([], [], [], [])
    for subset in sorted(set(subsets)):
        columns = ["sample_id", "dataset", "fingerprint"]
        table = pq.read_table(folder / subset / f"{side}.parquet", columns=columns)
        found.subsets.extend([subset] * len(table))
        for name, column in zip(
            columns, (found.ids, found.datasets, found.fingerprints), strict=True
        ):
            column.extend(table[name].to_pylist())
    return found


def _digests(folder: Path, side: str, samples: Side, places: Iterable[int]) -> dict[int, str]:
    """Return the SHA-256 of the decoded pixels of the samples at some places."""
    wanted: dict[str, dict[str, int]] = defaultdict(dict)
    for at in places:
        wanted[samples.subsets[at]][samples.ids[at]] = at
    return {
        ids[name]: pixel_digest(decode(image, name))
        for subset, ids in wanted.items()
        for name, image in read_images(folder / subset / f"{side}.parquet", ids).items()
    }


def read_images(path: Path, ids: Iterable[str]) -> dict[str, bytes]:
    """Return the image files of some samples of a Parquet file, by sample id."""
    wanted = sorted(set(ids))
    found: dict[str, bytes] = {}
    if not wanted:
        return found
    # A part of the file at a time: photographs of all samples may not fit in memory.
    for batch in pq.ParquetFile(path).iter_batches(256, columns=["sample_id", "image"]):
        chosen = batch.filter(pc.is_in(batch["sample_id"], pc.pa.array(wanted)))
        found |= dict(zip(*(chosen[name].to_pylist() for name in chosen.schema.names), strict=True))
    return found


def write_leaks(path: Path, leaks: Iterable[Leak]) -> None:
    """Write leaks as a table, a line each."""
    write_table(path, [field.name for field in fields(Leak)], map(astuple, leaks))


def read_leaks(path: Path) -> list[Leak]:
    """Return what `write_leaks` has written."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        Leak(**{**row, "bits": int(row["bits"]), "exact": row["exact"] == "True"})  # type: ignore[arg-type]
        for row in rows
    ]


def find_overlaps(data: Path, asked: Search, leaks: Sequence[Leak]) -> list[list[object]]:
    """Return the rows of `OVERLAPS`: the known relations, measured, and any other two datasets.

    Counted are test images of one dataset that are training images of another; of what was drawn,
    not of all that there is.
    """
    folder = data / asked.catalog
    tests = Counter(_side(folder, asked.targets, "test").datasets)
    trained = Counter(_side(folder, asked.sources, "train").datasets)
    told = {relation.datasets: (relation.what, relation.source) for relation in asked.known}
    groups: dict[tuple[str, ...], list[Leak]] = {names: [] for names in told}
    for leak in leaks:
        pair = {leak.test_dataset, leak.train_dataset}
        known = [names for names in told if len(pair) == 2 and pair <= set(names)]
        for names in known or [tuple(sorted(pair))]:
            groups.setdefault(names, []).append(leak)
    return [
        [
            *(asked.catalog, " ".join(names), *told.get(names, ("", ""))),
            *(sum(counts[name] for name in names) for counts in (tests, trained)),
            *(sum(leak.exact is exact for leak in found) for exact in (True, False)),
            shown(found),
        ]
        for names, found in groups.items()
    ]


def shown(leaks: Iterable[Leak]) -> str:
    """Return the closest few pairs as "test sample = training sample"."""
    closest = sorted(leaks, key=lambda leak: (not leak.exact, leak.bits, leak))
    return "; ".join(f"{leak.test} = {leak.train}" for leak in closest[:EXAMPLES])


@cache
def leaks_by_target(path: Path) -> Mapping[tuple[str, str], tuple[Leak, ...]]:
    """Return the leaks in a table by catalog and target."""
    found: dict[tuple[str, str], list[Leak]] = defaultdict(list)
    for leak in read_leaks(path):
        found[leak.catalog, leak.target].append(leak)
    return {place: tuple(leaks) for place, leaks in found.items()}
