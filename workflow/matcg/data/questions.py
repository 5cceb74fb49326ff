"""Reader of any table of questions: columns by the user's own names, pictures by path or within."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matcg.config.catalog import Split, SubsetSpec
from matcg.config.question_options import QuestionOptions
from matcg.config.reader_options import groups_in
from matcg.data.candidates import Flags, ImageCount, Pool, Quarantined, Source, pool_of
from matcg.data.image_folder import Folder
from matcg.data.medmat import find_folder
from matcg.data.question_table import QuestionTable, Row, read_questions
from matcg.forms.choice import rebuild
from matcg.images import as_shown
from matcg.samples import Sample


def read(
    subset: SubsetSpec, options: Mapping[str, Any], root: Path | None, caps: Split | None = None
) -> Source:
    """Return the usable rows of `subset`, and those set aside; caps apply after the split.

    Raises:
        ConfigError: a wrong option.
        DataError: no data folder, no table, one that cannot be read or lacks a column.
    """
    del caps
    chosen = QuestionOptions.parse(options)
    folder = Folder(find_folder(root, subset))
    table = read_questions(folder, chosen, subset.id, default_dataset(subset))
    images = count_images(table, folder)
    return source_of(table, folder, subset.id, chosen, images)


def count(
    subset: SubsetSpec, options: Mapping[str, Any], root: Path | None
) -> tuple[ImageCount, ...]:
    """Return how many pictures of each source dataset are there.

    Raises:
        ConfigError, DataError: as `read`.
    """
    chosen = QuestionOptions.parse(options)
    folder = Folder(find_folder(root, subset))
    dataset = default_dataset(subset)
    return count_images(read_questions(folder, chosen, subset.id, dataset, named=True), folder)


def default_dataset(subset: SubsetSpec) -> str:
    """Return the source dataset of rows that name none."""
    return subset.datasets[0] if len(subset.datasets) == 1 else subset.id


def count_images(table: QuestionTable, folder: Folder) -> tuple[ImageCount, ...]:
    """Set the rows aside whose picture is not there, and return the count of each dataset's."""
    rows: dict[str, list[str]] = defaultdict(list)
    missing: dict[str, set[str]] = defaultdict(set)
    kept: list[Row] = []
    seen: dict[str, str] = {}
    for row in table.rows:
        reason = seen.get(row.image)
        if reason is None:
            reason = seen[row.image] = "" if row.held else folder.reason(row.image)
        rows[row.dataset].append(row.held or row.image)
        if reason:
            missing[row.dataset].add(row.image)
            table.bad.append(_set_aside(row, reason))
        else:
            kept.append(row)
    table.rows = kept
    return tuple(
        ImageCount(
            *(name, len(images), len(set(images)), len(missing[name])),
            min(missing[name], default=""),
        )
        for name, images in sorted(rows.items())
    )


def _set_aside(row: Row, reason: str) -> Quarantined:
    return Quarantined(row.file, str(row.number), reason, row.image)


def source_of(
    table: QuestionTable,
    folder: Folder,
    subset: str,
    options: QuestionOptions,
    images: tuple[ImageCount, ...] = (),
) -> Source:
    """Return the rows of a table as a source; questions about one picture are of one unit."""
    rows, names = table.rows, table.labels
    groups = groups_of(rows, options)

    def load(at: int) -> Sample:
        row = rows[at]
        data = table.pictures.read(row.held) if row.held else folder.read(row.image)
        return Sample(
            sample_id=row.name,
            subset=subset,
            image=as_shown(data, row.image, options.window),
            fingerprint="",
            origin=row.image,
            question=row.question,
            options=row.options,
            answer=row.answer,
            label=names[row.label],
            dataset=row.dataset,
            group=groups[at] if groups else "",
        )

    pool = pool_in(rows, [row.name for row in rows], names, groups)
    how = options.rebuild
    return Source(
        pool=pool,
        ask=(lambda drawn: rebuild(drawn, pool.names, how.options, how.instructions, how.seed))
        if how
        else list,
        load=load,
        reject=lambda at, reason: _set_aside(rows[at], reason),
        rows=len(rows) + len(table.bad),
        quarantined=tuple(sorted(table.bad, key=lambda each: (each.file, int(each.row)))),
        files=table.files,
        tests=tests_in(rows, options),
        images=images,
    )


def pool_in(
    rows: Sequence[Row], ids: Sequence[str], labels: Sequence[str], groups: Sequence[str] | None
) -> Pool:
    """Return the pool of rows under these ids; `labels` are those that the rows number."""
    return pool_of(
        ids, [labels[row.label] for row in rows], [row.held or row.image for row in rows], groups
    )


def tests_in(rows: Sequence[Row], options: QuestionOptions) -> Flags | None:
    """Return the marks of the source's own test split, None where it has none."""
    return np.array([row.test for row in rows], dtype=np.bool_) if options.split_by else None


def groups_of(rows: Sequence[Row], options: QuestionOptions) -> list[str] | None:
    """Return the patient of each row, None where nothing tells them."""
    if options.columns.group:
        return [row.group for row in rows]
    return groups_in((row.image for row in rows), options.group_by)
