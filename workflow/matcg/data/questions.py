"""Reader of any table of questions: columns by the user's own names, pictures by path or within."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from matcg.config.catalog import Split, SubsetSpec
from matcg.config.question_options import QuestionOptions
from matcg.config.reader_options import ChoiceOptions, groups_in
from matcg.data.candidates import Flags, ImageCount, Pool, Quarantined, Source, pool_of
from matcg.data.image_folder import Folder
from matcg.data.medmat import asking, find_folder
from matcg.data.question_table import QuestionTable, Row, read_questions
from matcg.data.scanned_rows import veiled
from matcg.data.scans import Named, Scans
from matcg.images import as_shown
from matcg.samples import Sample


class Tables(Protocol):
    """What reads the rows of a subset: with `named` no picture can be asked for."""

    def __call__(
        self, folder: Folder, options: Any, subset: str, dataset: str, *, named: bool = False
    ) -> QuestionTable: ...


@dataclass(frozen=True)
class QuestionReader:
    """A reader of questions, by its options and by what reads the rows of a subset."""

    options: type[ChoiceOptions]
    tables: Tables

    def read(
        self,
        subset: SubsetSpec,
        options: Mapping[str, Any],
        root: Path | None,
        caps: Split | None = None,
    ) -> Source:
        """Return the usable rows of `subset`, and those set aside; caps apply after the split.

        Raises:
            ConfigError: a wrong option.
            DataError: no data folder, no table, one that cannot be read or lacks a column.
        """
        del caps
        table, scans, chosen = self._opened(subset, options, root)
        images = count_images(table, scans)
        return source_of(table, scans, subset.id, chosen, images)

    def count(
        self, subset: SubsetSpec, options: Mapping[str, Any], root: Path | None
    ) -> tuple[ImageCount, ...]:
        """Return how many pictures of each source dataset are there.

        Raises:
            ConfigError, DataError: as `read`.
        """
        table, scans, _ = self._opened(subset, options, root, named=True)
        return count_images(table, scans)

    def named(self, subset: SubsetSpec, options: Mapping[str, Any], root: Path | None) -> Named:
        """Return the folder of pictures, and source dataset and path of each file that rows name.

        Raises:
            ConfigError, DataError: as `read`.
        """
        table, scans, _ = self._opened(subset, options, root, named=True)
        return scans.files((row.dataset, row.image) for row in table.rows if not row.held)

    def _opened(
        self,
        subset: SubsetSpec,
        options: Mapping[str, Any],
        root: Path | None,
        named: bool = False,
    ) -> tuple[QuestionTable, Scans, ChoiceOptions]:
        chosen = self.options.parse(options)
        scans = Scans(Folder(find_folder(root, subset)), chosen)
        # Rows that name no source dataset are of the subset's, where it has one.
        dataset = subset.datasets[0] if len(subset.datasets) == 1 else subset.id
        return self.tables(scans.folder, chosen, subset.id, dataset, named=named), scans, chosen


def by_frequency(
    rows: Sequence[Row], options: QuestionOptions
) -> tuple[list[Row], list[tuple[Row, int]]]:
    """Return a subset's rows without those of rare labels, and these with how many there are."""
    if not options.frequent:
        return list(rows), []
    counts = Counter(row.label for row in rows)
    kept: list[Row] = []
    rare: list[tuple[Row, int]] = []
    for row in rows:
        if row.rare or counts[row.label] >= options.frequent.rows:
            kept.append(row)
        else:
            rare.append((row, counts[row.label]))
    return kept, rare


def _read_frequent(
    folder: Folder, options: QuestionOptions, subset: str, dataset: str, *, named: bool = False
) -> QuestionTable:
    table = read_questions(folder, options, subset, dataset, named=named)
    table.rows, rare = by_frequency(table.rows, options)
    table.bad += [
        _set_aside(row, f"rare answer: {table.labels[row.label]}, {n} of it") for row, n in rare
    ]
    return table


_QUESTIONS = QuestionReader(QuestionOptions, _read_frequent)
read, count, named = _QUESTIONS.read, _QUESTIONS.count, _QUESTIONS.named


def count_images(table: QuestionTable, scans: Scans) -> tuple[ImageCount, ...]:
    """Set the rows aside whose picture is not there, and return the count of each dataset's.

    Rows that name a file of several pictures become one for each of them.
    """
    rows: dict[str, list[str]] = defaultdict(list)
    missing: dict[str, set[str]] = defaultdict(set)
    kept: list[Row] = []
    for row in table.rows:
        found = (row.image,) if row.held else scans.looked_at(row.image)
        rows[row.dataset].append(row.held or row.image)
        if isinstance(found, str):
            missing[row.dataset].add(scans.shown(row.image))
            table.bad.append(_set_aside(row, found))
        else:
            kept += [_part(row, picture) for picture in found]
    table.rows = kept
    return tuple(
        ImageCount(
            *(name, len(images), len(set(images)), len(missing[name])),
            min(missing[name], default=""),
        )
        for name, images in sorted(rows.items())
    )


def _part(row: Row, picture: str) -> Row:
    """Return a row about one picture of its file."""
    if picture == row.image:
        return row
    return replace(row, image=picture, name=row.name + picture.removeprefix(row.image))


def _set_aside(row: Row, reason: str) -> Quarantined:
    return Quarantined(row.file, str(row.number), reason, row.image)


def source_of(
    table: QuestionTable,
    scans: Scans,
    subset: str,
    options: ChoiceOptions,
    images: tuple[ImageCount, ...] = (),
) -> Source:
    """Return the rows of a table as a source; questions about one picture are of one unit."""
    rows, names = table.rows, table.labels
    groups = groups_of(rows, options, scans)

    def load(at: int) -> Sample:
        row = rows[at]
        held = table.pictures.read(row.held) if row.held else b""
        return Sample(
            sample_id=row.name,
            subset=subset,
            image=as_shown(held, row.image, options.window)
            if held
            else scans.read(row.image, options.window),
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
    found = Source(
        pool=pool,
        ask=asking(options.rebuild, pool, table.by_finding),
        load=load,
        reject=lambda at, reason: _set_aside(rows[at], reason),
        rows=len(rows) + len(table.bad),
        quarantined=tuple(sorted(table.bad, key=lambda each: (each.file, int(each.row)))),
        files=table.files,
        tests=tests_in(rows, options),
        images=images,
    )
    return veiled(found, scans, subset, [row.image for row in rows], groups)


def pool_in(
    rows: Sequence[Row], ids: Sequence[str], labels: Sequence[str], groups: Sequence[str] | None
) -> Pool:
    """Return the pool of rows under these ids; `labels` are those that the rows number."""
    return pool_of(
        ids, [labels[row.label] for row in rows], [row.held or row.image for row in rows], groups
    )


def tests_in(rows: Sequence[Row], options: ChoiceOptions) -> Flags | None:
    """Return the marks of the source's own test split, None where it has none."""
    return np.array([row.test for row in rows], dtype=np.bool_) if options.splits else None


def groups_of(
    rows: Sequence[Row], options: ChoiceOptions, scans: Scans | None = None
) -> list[str] | None:
    """Return the patient of each row, None where nothing tells them."""
    if any(row.group for row in rows):
        return [row.group for row in rows]
    return groups_in(
        (scans.split(row.image)[0] if scans else row.image for row in rows), options.group_by
    )
