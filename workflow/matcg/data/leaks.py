"""Test images of targets that are also, or nearly, training images of any prepared subset.

Med-MAT's subsets overlap in their sources, so that a "related" subset may hold the target's very
images. Near duplicates are found by perceptual hash; those whose decoded pixels have one SHA-256
are exact, whatever the file format. One pass over all subsets; who trains on what comes later.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from matcg.config.catalog import Overlap
from matcg.data.near_duplicates import hashes, near_pairs
from matcg.errors import DataError
from matcg.images import decode, pixel_digest
from matcg.tsv import read_tsv, write_tsv

OVERLAPS = (
    "catalog", "datasets", "known", "source", "images", "exact", "near", "examples",
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

    `distance` is in how many bits the hashes of a pair may differ; `folders` leads from a subset to
    its prepared data; `known` are the source datasets that are said to share images.
    """

    catalog: str
    targets: Sequence[str]
    sources: Sequence[str]
    distance: int
    folders: Mapping[str, Path]
    known: Sequence[Overlap] = ()


@dataclass(frozen=True)
class Side:
    """The samples of one side of some subsets, as far as their pictures tell."""

    subsets: list[str]
    ids: list[str]
    datasets: list[str]
    fingerprints: list[str]


def search(asked: Search, out: Path) -> None:
    """Write leaks.tsv and overlaps.tsv into the folder `out`."""
    leaks = find_leaks(asked)
    write_leaks(out / "leaks.tsv", leaks)
    write_tsv(out / "overlaps.tsv", OVERLAPS, find_overlaps(asked, leaks))


def find_leaks(asked: Search, pixels: bool = True) -> list[Leak]:
    """Return all pairs of a test image of the targets and a training image of the sources.

    Without `pixels` these are not compared, so that none is `exact`.
    """
    tests = _side(asked.folders, asked.targets, "test")
    trained = _side(asked.folders, asked.sources, "train")
    near = near_pairs(hashes(tests.fingerprints), hashes(trained.fingerprints), asked.distance)
    return sorted(_pairs(asked, ("test", tests), ("train", trained), list(near), pixels))


def _pairs(
    asked: Search,
    one: tuple[str, Side],
    other: tuple[str, Side],
    pairs: Sequence[tuple[int, int, int]],
    pixels: bool = True,
) -> list[Leak]:
    """Return pairs of two sides as records, with their pixels compared."""
    (_, tests), (_, trained) = one, other
    of_test = _digests(asked.folders, *one, {i for i, _, _ in pairs if pixels})
    of_train = _digests(asked.folders, *other, {j for _, j, _ in pairs if pixels})
    return [
        Leak(
            catalog=asked.catalog,
            target=tests.subsets[i],
            test=tests.ids[i],
            test_dataset=tests.datasets[i],
            source=trained.subsets[j],
            train=trained.ids[j],
            train_dataset=trained.datasets[j],
            bits=bits,
            exact=pixels and of_test[i] == of_train[j],
        )
        for i, j, bits in pairs
    ]


def _side(folders: Mapping[str, Path], subsets: Iterable[str], side: str) -> Side:
    found = Side([], [], [], [])
    for subset in sorted(set(subsets)):
        columns = ["sample_id", "dataset", "fingerprint"]
        table = pq.read_table(folders[subset] / f"{side}.parquet", columns=columns)
        found.subsets.extend([subset] * len(table))
        for name, column in zip(
            columns, (found.ids, found.datasets, found.fingerprints), strict=True
        ):
            column.extend(table[name].to_pylist())
    return found


def _digests(
    folders: Mapping[str, Path], side: str, samples: Side, places: Iterable[int]
) -> dict[int, str]:
    """Return the SHA-256 of the decoded pixels of the samples at some places."""
    wanted: dict[str, dict[str, int]] = defaultdict(dict)
    for at in places:
        wanted[samples.subsets[at]][samples.ids[at]] = at
    return {
        ids[name]: pixel_digest(decode(image, name))
        for subset, ids in wanted.items()
        for name, image in read_images(folders[subset] / f"{side}.parquet", ids)
    }


def read_images(path: Path, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield id and image file of some samples of a Parquet file.

    Only the parts of the file that hold them are read, one at a time: all photographs of a subset
    may not fit in memory.
    """
    wanted = set(ids)
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        names = file.read_row_group(group, columns=["sample_id"])["sample_id"].to_pylist()
        places = [at for at, name in enumerate(names) if name in wanted]
        if places:
            images = file.read_row_group(group, columns=["image"])["image"]
            for at in places:
                yield names[at], images[at].as_py()


def write_leaks(path: Path, leaks: Iterable[Leak]) -> None:
    """Write leaks as a table, a line each."""
    write_tsv(path, [field.name for field in fields(Leak)], map(astuple, leaks), exact=True)


def read_leaks(path: Path) -> list[Leak]:
    """Return what `write_leaks` has written."""
    return [
        Leak(**{**row, "bits": int(row["bits"]), "exact": row["exact"] == "True"})  # type: ignore[arg-type]
        for row in read_tsv(path)
    ]


def find_overlaps(asked: Search, leaks: Sequence[Leak]) -> list[list[object]]:
    """Return the rows of `OVERLAPS`: the known relations, measured, and any other two datasets.

    Of a known relation all pictures that were drawn from its datasets are compared, whatever their
    side; pairs are of two datasets. Of others it is the leaks that are counted.
    """
    subsets = {*asked.targets, *asked.sources}
    sides = {side: _side(asked.folders, subsets, side) for side in ("test", "train")}
    drawn = Counter(name for side in sides.values() for name in side.datasets)
    rows = [
        _row(asked, drawn, each.datasets, _shared(sides, each.datasets, asked), each)
        for each in asked.known
    ]
    others: dict[tuple[str, ...], list[Leak]] = defaultdict(list)
    for leak in leaks:
        pair = {leak.test_dataset, leak.train_dataset}
        if not any(len(pair) == 2 and pair <= set(each.datasets) for each in asked.known):
            others[tuple(sorted(pair))].append(leak)
    return rows + [_row(asked, drawn, names, found) for names, found in others.items()]


def _row(
    asked: Search,
    drawn: Mapping[str, int],
    datasets: tuple[str, ...],
    pairs: Sequence[Leak],
    known: Overlap | None = None,
) -> list[object]:
    exact = sum(pair.exact for pair in pairs)
    told = (known.what, known.source) if known else ("", "")
    images = sum(drawn.get(name, 0) for name in datasets)
    counts = (images, exact, len(pairs) - exact)
    return [asked.catalog, " ".join(datasets), *told, *counts, shown_leaks(pairs)]


def _shared(sides: Mapping[str, Side], datasets: Sequence[str], asked: Search) -> list[Leak]:
    """Return the pairs of pictures that two of some datasets share."""
    found = []
    parts = [(side, _of(samples, datasets)) for side, samples in sides.items()]
    for (side, one), (other_side, other) in combinations_with_replacement(parts, 2):
        near = near_pairs(hashes(one.fingerprints), hashes(other.fingerprints), asked.distance)
        pairs = [
            (i, j, bits)
            for i, j, bits in near
            if one.datasets[i] != other.datasets[j] and (side != other_side or i < j)
        ]
        found += _pairs(asked, (side, one), (other_side, other), pairs)
    return found


def _of(samples: Side, datasets: Sequence[str]) -> Side:
    """Return the samples of some datasets."""
    kept = [at for at, name in enumerate(samples.datasets) if name in datasets]
    columns = (samples.subsets, samples.ids, samples.datasets, samples.fingerprints)
    return Side(*([column[at] for at in kept] for column in columns))


def shown_leaks(leaks: Iterable[Leak]) -> str:
    """Return the closest few pairs as "test sample = training sample"."""
    closest = sorted(leaks, key=lambda leak: (not leak.exact, leak.bits, leak))
    return "; ".join(f"{leak.test} = {leak.train}" for leak in closest[:EXAMPLES])


def leaks_by_target(path: Path) -> Mapping[tuple[str, str], tuple[Leak, ...]]:
    """Return the leaks in a table by catalog and target."""
    found: dict[tuple[str, str], list[Leak]] = defaultdict(list)
    for leak in read_leaks(path):
        found[leak.catalog, leak.target].append(leak)
    return {place: tuple(leaks) for place, leaks in found.items()}


def barred(
    mix: str, policy: Literal["drop", "report", "error"], leaks: Sequence[Leak]
) -> Sequence[Leak]:
    """Return the leaks that must not be drawn.

    Raises:
        DataError: the policy is `error` and there are any.
    """
    if policy == "error" and leaks:
        leak = leaks[0]
        raise DataError(
            f"mix {mix}: {len(leaks)} training pictures of its subsets are test pictures of its"
            f" targets, such as {leak.train} = {leak.test} ({leak.bits} of 256 bits differ);"
            " leaks.tsv of the experiment lists all. Say `leaks: drop` in the experiment to leave"
            " them out, or mend the sources"
        )
    return [] if policy == "report" else leaks
