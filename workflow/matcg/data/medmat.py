"""Reader of the Med-MAT release: one JSON file a subset, image paths below the data folder.

Layout as published at huggingface.co/datasets/FreedomIntelligence/Med-MAT (images are not part of
that release). Any table of the same keys will do, as a JSON list or as JSON lines.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from matcg.config.catalog import Split, SubsetSpec
from matcg.config.reader_options import Options, Rebuild, groups_in
from matcg.data.candidates import ImageCount, Pool, Quarantined, Source, pool_of
from matcg.data.image_folder import Folder
from matcg.data.release_table import ReleaseTable, read_table
from matcg.data.scanned_rows import use_pictures, veiled
from matcg.data.scans import Named, Scans
from matcg.errors import DataError
from matcg.forms.choice import rebuild, turned
from matcg.samples import Sample


def read_medmat(
    subset: SubsetSpec, options: Mapping[str, Any], root: Path | None, caps: Split | None = None
) -> Source:
    """Return the usable rows of `subset`, and those set aside; caps apply after the split.

    Every row and the place of every image is checked here; what is in an image only when it is
    drawn, since a subset may have a million and use four thousand.

    Raises:
        ConfigError: a wrong option.
        DataError: no data folder, no JSON file for the subset, or a file that is no list of rows.
    """
    del caps
    chosen = Options.parse(options)
    table, scans = open_table(subset, chosen, root)
    images = count_images(table, scans)
    return _source(table, scans, subset.id, chosen, images)


def count(
    subset: SubsetSpec, options: Mapping[str, Any], root: Path | None
) -> tuple[ImageCount, ...]:
    """Return how many pictures of each source dataset are there.

    Raises:
        ConfigError, DataError: as `read_medmat`.
    """
    return count_images(*open_table(subset, Options.parse(options), root))


def named(subset: SubsetSpec, options: Mapping[str, Any], root: Path | None) -> Named:
    """Return the folder of pictures, and source dataset and path of each file that rows name.

    Raises:
        ConfigError, DataError: as `read_medmat`.
    """
    table, scans = open_table(subset, Options.parse(options), root)
    return scans.files(zip(table.dataset, table.images, strict=True))


def open_table(
    subset: SubsetSpec, options: Options, root: Path | None
) -> tuple[ReleaseTable, Scans]:
    """Return the rows of a subset and its images.

    Raises:
        DataError: as `read_medmat`.
    """
    place = find_folder(root, subset)
    path = find_table(place, options.files, subset)
    name = path.relative_to(place).as_posix()
    return read_table(path, name, subset.id, options), Scans(Folder(place), options)


def find_folder(root: Path | None, subset: SubsetSpec) -> Path:
    """Return the data folder.

    Raises:
        DataError: it is not known or does not exist.
    """
    if root is None:
        raise DataError(
            f"subset {subset.id}: the folder of its images and JSON files is not known; "
            "name it in the config under 'data:' with the catalog's name as key"
        )
    if not root.is_dir():
        raise DataError(
            f"subset {subset.id}: data folder {root} does not exist; make it (`snakemake"
            " fetch_medmat` does for Med-MAT) or mend the config's 'data:'"
        )
    return root


def find_table(folder: Path, patterns: Iterable[str], subset: SubsetSpec) -> Path:
    """Return a subset's JSON file: the first of the patterns that exists.

    Raises:
        DataError: none does.
    """
    names = [pattern.replace("{id}", subset.id) for pattern in patterns]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"subset {subset.id}: none of {', '.join(names)} in {folder}; put the file there"
        f" (`snakemake fetch_medmat` gets Med-MAT's) or mend option 'files' (kind {subset.kind})"
    )


def count_images(table: ReleaseTable, scans: Scans) -> tuple[ImageCount, ...]:
    """Set the rows aside whose image is not there, and return the count of each dataset's.

    Rows that name a file of several pictures become one for each of them.
    """
    rows: Counter[str] = Counter()
    named: dict[str, set[str]] = defaultdict(set)
    missing: dict[str, set[str]] = defaultdict(set)
    kept: list[int] = []
    pictures: list[str] = []
    for at, (image, dataset) in enumerate(zip(table.images, table.dataset, strict=True)):
        found = scans.looked_at(image)
        rows[dataset] += 1
        named[dataset].add(image)
        if isinstance(found, str):
            missing[dataset].add(scans.shown(image))
            table.reject(table.numbers[at], found, image)
        else:
            kept += [at] * len(found)
            pictures += found
    if pictures != table.images:
        use_pictures(table, kept, pictures)
    return tuple(
        ImageCount(
            name, rows[name], len(named[name]), len(missing[name]), min(missing[name], default="")
        )
        for name in sorted(rows)
    )


def asking(
    how: Rebuild | None, pool: Pool, by_finding: bool = False
) -> Callable[[list[Sample]], list[Sample]]:
    """Return what gives drawn samples new options of the pool's labels, where that is wanted.

    Those of samples `by_finding`, yes and no, only change places.
    """
    if by_finding:
        return lambda drawn: turned(drawn, Rebuild().seed)
    if how is None:
        return list
    return lambda drawn: rebuild(drawn, pool.names, how.options, how.instructions, how.seed)


def _source(
    table: ReleaseTable,
    scans: Scans,
    subset: str,
    options: Options,
    images: tuple[ImageCount, ...],
) -> Source:
    """Return the rows of a table as a source."""
    labels = np.array(table.labels, dtype=object)[np.array(table.label)]
    groups = groups_in((scans.split(image)[0] for image in table.images), options.group_by)

    def load(at: int) -> Sample:
        return Sample(
            sample_id=table.ids[at],
            subset=subset,
            image=scans.read(table.images[at], options.window),
            fingerprint="",
            origin=table.images[at],
            question=table.questions[table.question[at]],
            options=table.choices[table.asked[at]],
            answer=table.answer[at],
            label=table.labels[table.label[at]],
            dataset=table.dataset[at],
            group=groups[at] if groups else "",
        )

    def reject(at: int, reason: str) -> Quarantined:
        return Quarantined(
            table.name, str(table.numbers[at]), reason, scans.shown(table.images[at])
        )

    pool = pool_of(table.ids, labels, table.images, groups)
    found = Source(
        pool=pool,
        ask=asking(options.rebuild, pool),
        load=load,
        reject=reject,
        rows=table.rows,
        quarantined=tuple(each for _, each in sorted(table.bad, key=lambda pair: pair[0])),
        files=(table.name,),
        tests=np.array(table.tests, dtype=np.bool_) if options.split_by else None,
        images=images,
    )
    return veiled(found, scans, subset, table.images, groups)
