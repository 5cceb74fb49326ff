"""Reader of the Med-MAT release: one JSON file a subset, image paths below the data folder.

Layout as published at huggingface.co/datasets/FreedomIntelligence/Med-MAT (images are not part of
that release). Any table of the same keys will do, as a JSON list or as JSON lines.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from matcg.config.catalog import Split, SubsetSpec
from matcg.config.reader_options import Options
from matcg.data.candidates import ImageCount, Quarantined, Source, pool_of
from matcg.data.image_folder import Folder
from matcg.data.release_table import ReleaseTable, read_table
from matcg.errors import DataError
from matcg.forms.choice import rebuild
from matcg.images import as_shown
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
    table, folder = open_table(subset, chosen, root)
    images = count_images(table, folder)
    return _source(table, folder, subset.id, chosen, images)


def count(
    subset: SubsetSpec, options: Mapping[str, Any], root: Path | None
) -> tuple[ImageCount, ...]:
    """Return how many pictures of each source dataset are there.

    Raises:
        ConfigError, DataError: as `read_medmat`.
    """
    return count_images(*open_table(subset, Options.parse(options), root))


def open_table(
    subset: SubsetSpec, options: Options, root: Path | None
) -> tuple[ReleaseTable, Folder]:
    """Return the rows of a subset and the folder that its images are in.

    Raises:
        DataError: as `read_medmat`.
    """
    place = find_folder(root, subset)
    path = find_table(place, options.files, subset)
    name = path.relative_to(place).as_posix()
    return read_table(path, name, subset.id, options), Folder(place)


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


def count_images(table: ReleaseTable, folder: Folder) -> tuple[ImageCount, ...]:
    """Set the rows aside whose image is not there, and return the count of each dataset's."""
    seen: dict[str, str] = {}
    rows: Counter[str] = Counter()
    named: dict[str, set[str]] = defaultdict(set)
    missing: dict[str, set[str]] = defaultdict(set)
    kept = []
    for at, (image, dataset) in enumerate(zip(table.images, table.dataset, strict=True)):
        reason = seen.get(image)
        if reason is None:
            reason = seen[image] = folder.reason(image)
        rows[dataset] += 1
        named[dataset].add(image)
        if reason:
            missing[dataset].add(image)
            table.reject(table.numbers[at], reason, image)
        else:
            kept.append(at)
    if len(kept) < len(table.ids):
        table.keep(kept)
    return tuple(
        ImageCount(
            name, rows[name], len(named[name]), len(missing[name]), min(missing[name], default="")
        )
        for name in sorted(rows)
    )


def _source(
    table: ReleaseTable,
    folder: Folder,
    subset: str,
    options: Options,
    images: tuple[ImageCount, ...],
) -> Source:
    """Return the rows of a table as a source whose images lie in a folder."""
    labels = np.array(table.labels, dtype=object)[np.array(table.label)]
    groups = options.groups(table.images)

    def load(at: int) -> Sample:
        return Sample(
            sample_id=table.ids[at],
            subset=subset,
            image=as_shown(folder.read(table.images[at]), table.images[at], options.window),
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
        return Quarantined(table.name, str(table.numbers[at]), reason, table.images[at])

    pool = pool_of(table.ids, labels, table.images, groups)
    how = options.rebuild
    return Source(
        pool=pool,
        ask=(lambda drawn: rebuild(drawn, pool.names, how.options, how.instructions, how.seed))
        if how
        else list,
        load=load,
        reject=reject,
        rows=table.rows,
        quarantined=tuple(each for _, each in sorted(table.bad, key=lambda pair: pair[0])),
        files=(table.name,),
        tests=np.array(table.tests, dtype=np.bool_) if options.split_by else None,
        images=images,
    )
