"""Samples of derived subsets: pictures of other subsets, changed and asked about the change.

Who is tested on follows the subsets that pictures are of, the first one that has a picture or a
patient: what is made of a test picture is tested on, in every derived subset.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from matcg import forms
from matcg.config.catalog import Preparation, Split, SubsetSpec
from matcg.config.derived_options import DerivedOptions
from matcg.data import readers
from matcg.data.candidates import Flags, ImageCount, Pool, Quarantined, Source, pool_of
from matcg.data.image_folder import Folder
from matcg.data.medmat import find_folder
from matcg.data.prepare import sides
from matcg.data.scans import Named
from matcg.forms.choice import rebuild
from matcg.images.changes import changed, require_contrast
from matcg.samples import Sample
from matcg.seeds import derive

OFFERED = 4


@dataclass(frozen=True)
class _Picture:
    """A picture of a subset, as one of its samples; what it is known by, and its group."""

    source: Source
    at: int
    key: str
    group: str
    test: bool


def read(
    subset: SubsetSpec, options: Mapping[str, Any], root: Path | None, caps: Split | None = None
) -> Source:
    """Return a sample for each thing that is made of each picture of the subsets named.

    Raises:
        ConfigError: a wrong option.
        DataError: as the readers of these subsets.
    """
    del caps
    chosen = DerivedOptions.parse(options)
    sources = {each.subset.id: _source(each, root) for each in chosen.of}
    pictures = _pictures((each, sources[each.subset.id]) for each in chosen.of)
    made = _Made(subset.id, chosen, pictures)
    bad = {each for source in sources.values() for each in source.quarantined}
    return Source(
        pool=made.pool(),
        load=made.load,
        underlying=made.underlying if chosen.change else None,
        reject=made.reject,
        rows=len(made.rows) + len(bad),
        quarantined=tuple(sorted(bad, key=lambda each: (each.file, each.row, each.image))),
        files=tuple(dict.fromkeys(name for source in sources.values() for name in source.files)),
        tests=np.array([p.test for p, _ in made.rows], dtype=np.bool_),
        images=tuple(count for source in sources.values() for count in source.images),
        ask=lambda drawn: rebuild(drawn, chosen.choices, OFFERED, chosen.questions, chosen.seed),
    )


class _Made:
    """The samples of a derived subset: a row is a picture and the number of what is made of it."""

    def __init__(self, subset: str, options: DerivedOptions, pictures: Sequence[_Picture]) -> None:
        self.subset, self.options = subset, options
        self.rows = [(p, n) for p in pictures for n in range(len(options.labels))]
        self.ids = [
            f"{subset}-{p.source.pool.ids[p.at]}" + (f"-{n + 1}" if options.change else "")
            for p, n in self.rows
        ]

    def pool(self) -> Pool:
        return pool_of(
            self.ids,
            [self.options.labels[n] for _, n in self.rows],
            [p.key for p, _ in self.rows],
            [p.group for p, _ in self.rows],
        )

    def load(self, at: int) -> Sample:
        """Return a sample with its picture as it is made."""
        sample = self._unchanged(at)
        if not self.options.change:
            return sample
        seed = derive(self.options.seed, "change", sample.sample_id)
        image = changed(sample.image, sample.origin, self.options.change, self.rows[at][1], seed)
        return replace(sample, image=image)

    def underlying(self, at: int) -> bytes:
        """Return the picture that a sample's is made of."""
        sample = self._unchanged(at)
        require_contrast(sample.image, sample.origin)
        return sample.image

    def _unchanged(self, at: int) -> Sample:
        picture, n = self.rows[at]
        sample = picture.source.load(picture.at)
        return Sample(
            sample_id=self.ids[at],
            subset=self.subset,
            image=sample.image,
            fingerprint="",
            origin=sample.origin,
            question="",
            options=(),
            answer=0,
            label=self.options.labels[n],
            dataset=sample.dataset,
            group=sample.group,
        )

    def reject(self, at: int, why: str) -> Quarantined:
        """Return the row of a picture that cannot be used, as its own subset has it."""
        picture, _ = self.rows[at]
        return picture.source.reject(picture.at, why)


def count(
    subset: SubsetSpec, options: Mapping[str, Any], root: Path | None
) -> tuple[ImageCount, ...]:
    """Return how many pictures are there of each source dataset of each subset named.

    Raises:
        ConfigError, DataError: as `read`.
    """
    del subset
    found: list[ImageCount] = []
    for each in DerivedOptions.parse(options).of:
        reader = readers.get(each.reader)
        if reader.count:
            found += reader.images(each.subset, each.all_options, root)
    return tuple(found)


def named(subset: SubsetSpec, options: Mapping[str, Any], root: Path | None) -> Named:
    """Return the folder of pictures, and source dataset and path of each file that is named.

    Raises:
        ConfigError, DataError: as `read`.
    """
    found: list[tuple[str, str]] = []
    for each in DerivedOptions.parse(options).of:
        reader = readers.get(each.reader)
        if reader.named:
            found += reader.names(each.subset, each.all_options, root)[1]
    return Folder(find_folder(root, subset)), list(dict.fromkeys(found))


def _source(asked: Preparation, root: Path | None) -> Source:
    source = readers.get(asked.reader).source(asked.subset, asked.all_options, root, asked.split)
    balanced = forms.named(asked.subset.form_of_answer).balanced
    return source if balanced else replace(source, pool=source.pool.unlabelled())


def _tests(asked: Preparation, source: Source) -> Flags:
    """Return the marks of what the subset itself may be tested on."""
    ranks = source.pool.ranks(derive(asked.split.seed, "split", asked.subset.id))
    return sides(asked, source.pool, source.tests, ranks)[0]


def _pictures(of: Iterable[tuple[Preparation, Source]]) -> list[_Picture]:
    """Return each picture once; whom several subsets have is tested on as the first one says."""
    found: dict[str, _Picture] = {}
    tested: dict[str, bool] = {}
    for asked, source in of:
        pool, tests = source.pool, _tests(asked, source)
        own: dict[str, bool] = {}
        for at in range(len(pool)):
            unit, grouped = pool.keys[pool.units[at]], bool(pool.grouped[at])
            key = source.reject(at, "").image if grouped else unit
            test = tested.get(unit, bool(tests[at]))
            own[unit] = own.get(unit, False) or test
            found.setdefault(key, _Picture(source, at, key, unit if grouped else "", test))
        tested |= own
    return list(found.values())
