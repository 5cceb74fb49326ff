"""Samples of boxes and masks: what files say is in a picture, checked against the picture.

A picture of which one finding cannot be used is set aside whole, since the truth about it would be
incomplete.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco
from scipy import ndimage

from matcg.config.catalog import Split, SubsetSpec
from matcg.config.finding_options import FindingOptions
from matcg.config.reader_options import searched
from matcg.coordinates import NONE
from matcg.data.annotated import Picture, Pictures, Raw
from matcg.data.candidates import ImageCount, Quarantined, Source, pool_of
from matcg.data.image_folder import Folder
from matcg.data.medmat import find_folder
from matcg.data.scans import Named, Scans
from matcg.errors import BadRowError, DataError
from matcg.images import ImageError
from matcg.samples import Finding, Sample
from matcg.seeds import derive
from matcg.words import one_form

# Pixels that a box or polygon may reach beyond its picture, to which it is cut: files round.
ROUNDING = 0.5
_CORNERS_TOUCH = np.ones((3, 3))  # pixels that share a corner are of one component

Size = tuple[int, int]  # width, height
_MALFORMED = (KeyError, TypeError, ValueError, OverflowError, AttributeError)


def read(
    pictures: Pictures,
    subset: SubsetSpec,
    options: Mapping[str, Any],
    root: Path | None,
    caps: Split,
) -> Source:
    """Return a sample for each usable picture of a subset, and the pictures set aside.

    Raises:
        ConfigError: a wrong option.
        DataError: no data folder, no files in it, files of another format, or no finding in any.
    """
    del caps
    reading = _Reading(pictures, subset, options, root)
    listed = reading.listed()
    used: list[tuple[Picture, Sample, bool]] = []
    bad: list[Quarantined] = []
    for dataset, picture in listed:
        try:
            used.append((picture, *reading.sample(dataset, picture)))
        except _BadFindingError as error:
            bad.append(reading.set_aside(picture, str(error), error.row))
    samples = reading.asked([sample for _, sample, _ in used])
    columns = ("sample_id", "label", "origin", "group")
    return Source(
        pool=pool_of(*([getattr(each, name) for each in samples] for name in columns)),
        load=lambda at: replace(samples[at], image=reading.picture(used[at][0])),
        reject=lambda at, why: reading.set_aside(used[at][0], why),
        rows=len(listed),
        quarantined=tuple(bad),
        files=tuple(dict.fromkeys(reading.file(picture) for _, picture in listed)),
        tests=np.array([t for *_, t in used], dtype=bool) if reading.options.split_by else None,
        images=_counts(reading.scans, listed),
    )


def count(
    pictures: Pictures, subset: SubsetSpec, options: Mapping[str, Any], root: Path | None
) -> tuple[ImageCount, ...]:
    """Return how many pictures of each source dataset are there.

    Raises:
        ConfigError, DataError: as `read`, but for what is found in pictures.
    """
    reading = _Reading(pictures, subset, options, root)
    return _counts(reading.scans, reading.listed())


def named(
    pictures: Pictures, subset: SubsetSpec, options: Mapping[str, Any], root: Path | None
) -> Named:
    """Return the folder of pictures, and source dataset and path of each file that is named.

    Raises:
        ConfigError, DataError: as `count`.
    """
    reading = _Reading(pictures, subset, options, root)
    return reading.scans.files((name, each.image) for name, each in reading.listed() if each.image)


def _counts(scans: Scans, listed: Sequence[tuple[str, Picture]]) -> tuple[ImageCount, ...]:
    rows: dict[str, list[str]] = defaultdict(list)
    for dataset, picture in listed:
        rows[dataset].append(picture.image)
    found = []
    for dataset, images in sorted(rows.items()):
        named = sorted(set(images) - {""})
        missing = [scans.shown(image) for image in named if scans.lacks(image)]
        found.append(
            ImageCount(dataset, len(images), len(named), len(missing), min(missing, default=""))
        )
    return tuple(found)


class _BadFindingError(BadRowError):
    """Why a picture cannot be used, by the row of its file that says so."""

    def __init__(self, row: str, reason: str) -> None:
        super().__init__(reason)
        self.row = row


@dataclass
class _Reading:
    """One subset's files as they are read."""

    pictures: Pictures
    subset: SubsetSpec
    given: Mapping[str, Any]
    root: Path | None

    def __post_init__(self) -> None:
        self.options = FindingOptions.parse(self.given)
        self.scans = Scans(Folder(find_folder(self.root, self.subset)), self.options)
        self.seen: set[str] = set()
        self.hides = False
        # Names are told apart by what is seen of them.
        self.classes = self.options.classes and {
            one_form(name): label and one_form(label)
            for name, label in self.options.classes.items()
        }

    def listed(self) -> list[tuple[str, Picture]]:
        """Return all pictures that the files name, each with its source dataset.

        Raises:
            DataError: there is no file, or one of another format.
        """
        names = self.subset.datasets
        if not any("{dataset}" in each for each in (*self.options.files, self.options.images)):
            names = names if len(names) == 1 else ("",)
        found = []
        for name in names:
            options = self.options.of(self.subset.id, name)
            try:
                found += [(name, each) for each in self.pictures(self.scans.folder, options)]
            except (DataError, BadRowError) as error:
                raise DataError(f"subset {self.subset.id}: {error}") from None
        self.hides = any(self.scans.hidden(picture.image) for _, picture in found)
        return found

    def picture(self, picture: Picture) -> bytes:
        """Return a picture as a file of 8 bits."""
        return self.scans.read(self.part(picture), self.options.window)

    def part(self, picture: Picture) -> str:
        """Return the path of a picture, with the number of a part where its file has parts.

        Raises:
            BadRowError: it is not there, or its file has several pictures.
        """
        found = self.scans.pictures(picture.image)
        if len(found) > 1:
            raise BadRowError(f"several pictures: {len(found)} are meant, findings are of one")
        return found[0]

    def file(self, picture: Picture) -> str:
        """Return what results call a picture's file: those of one picture are named like it."""
        if self.hides and picture.row == "-":
            return f"file-{self.scans.names.of('file', picture.file)}"
        return picture.file

    def set_aside(self, picture: Picture, why: str, row: str = "") -> Quarantined:
        """Return a picture that cannot be used, for the table of these."""
        image = picture.image
        reason = self.scans.reason(image, why)
        row = row or picture.row
        return Quarantined(self.file(picture), row, reason, self.scans.shown(image))

    def sample(self, dataset: str, picture: Picture) -> tuple[Sample, bool]:
        """Return a picture's sample without the picture, and whether the source tests on it.

        Raises:
            _BadFindingError: it cannot be used.
        """
        by, row = self.options.split_by, picture.row
        try:
            size = self._size(picture)
            test = by.is_test(picture.split, picture.image, picture.file) if by else False
            findings: list[Finding] = []
            for row, raw in picture.rows:  # noqa: B007, what goes wrong is of this row
                for each in raw():
                    findings += self._findings(each, size)
        except BadRowError as error:
            raise _BadFindingError(row, str(error)) from None
        except _MALFORMED as error:
            raise _BadFindingError(row, f"finding unreadable: {error!r}") from None
        part = self.part(picture)
        self.seen.add(part)
        base, _ = self.scans.split(part)
        by_path = searched(self.options.group_by, base) if self.options.group_by else ""
        label = " + ".join(sorted({each.label for each in findings})) or NONE
        return Sample(
            sample_id=f"{self.subset.id}-{self.scans.shown(part)}",
            subset=self.subset.id,
            image=b"",
            fingerprint="",
            origin=self.scans.shown(part),
            question="",
            options=(),
            answer=0,
            label=label,
            dataset=dataset,
            group=self.scans.group(part, by_path or picture.group),
            findings=tuple(findings),
            size=size,
            form=self.subset.form_of_answer,
        ), test

    def asked(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return the samples with their questions, and the labels there can be.

        Raises:
            DataError: there is none.
        """
        names = {label for label in (self.classes or {}).values() if label}
        names = names or {each.label for sample in samples for each in sample.findings}
        if samples and not names:
            raise DataError(
                f"subset {self.subset.id}: no picture has a finding; mend option 'files', or say in"
                " option 'classes' what there could be"
            )
        if NONE in names:
            raise DataError(
                f"subset {self.subset.id}: '{NONE}' is the answer where there is no finding, not a"
                " class; call it otherwise in option 'classes'"
            )
        texts = self.options.questions
        return [
            replace(
                each,
                options=tuple(sorted(names)),
                question=texts[derive(0, "question", each.sample_id) % len(texts)],
            )
            for each in samples
        ]

    def _size(self, picture: Picture) -> Size:
        """Return width and height of a picture as it is displayed."""
        if picture.error:
            raise BadRowError(picture.error)
        part = self.part(picture)
        if part in self.seen:
            raise BadRowError("duplicate image: another row has findings of it")
        try:
            return self.scans.size(part)
        except ImageError as error:
            raise BadRowError(f"{error.kind}: {error.detail}") from None

    def _findings(self, raw: Raw, size: Size) -> list[Finding]:
        """Return what a finding of a file comes to, checked against its picture.

        Raises:
            BadRowError: it cannot be in the picture.
        """
        name, classes = one_form(raw.name), self.classes
        if not name or (classes is not None and name not in classes):
            raise BadRowError(f"unknown class: '{raw.name}' is not in option 'classes'")
        label = name if classes is None else classes[name]
        if label is None:
            return []
        if not raw.mask:
            if self.subset.kind == "segmentation":
                raise BadRowError("no mask: the file has but a box")
            width, height = size if raw.fractions else (1, 1)
            box = [x * scale for x, scale in zip(raw.box, (width, height) * 2, strict=True)]
            return [Finding(label, _checked(box, size))]
        runs = run_lengths(raw.mask, size)
        masks = [runs]
        if self.options.boxes == "component":
            masks = _components(runs, self.options.smallest)
        return [Finding(label, _outermost(each), each["counts"].decode()) for each in masks]


def _checked(box: Sequence[float], size: Size) -> tuple[float, ...]:
    """Return a box that lies in its picture and has an area."""
    x1, y1, x2, y2 = box
    if not all(map(math.isfinite, box)):
        raise BadRowError(f"box unreadable: {box} are not all numbers")
    if x2 < x1 or y2 < y1:
        raise BadRowError(f"box with corners swapped: {box}")
    if x2 == x1 or y2 == y1:
        raise BadRowError(f"box of no area: {box}")
    cut = tuple(min(max(at, 0.0), float(end)) for at, end in zip(box, size * 2, strict=True))
    if max(abs(a - b) for a, b in zip(cut, box, strict=True)) >= ROUNDING:
        raise BadRowError(f"box outside its picture: {box}, which is {size[0]} x {size[1]}")
    return cut


def _outermost(runs: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the outermost box of a mask, in whole pixels."""
    x, y, w, h = coco.toBbox(runs).tolist()
    return (x, y, x + w, y + h)


def run_lengths(mask: Any, size: Size) -> dict[str, Any]:
    """Return a mask of polygons or run lengths as COCO's compressed ones, checked.

    Raises:
        BadRowError: it is of another size than the picture, reaches out of it, or is empty.
    """
    width, height = size
    if isinstance(mask, list):
        runs = coco.merge(coco.frPyObjects(_polygons(mask, size), height, width))
    else:
        held = [int(each) for each in mask.get("size", (height, width))]
        if held != [height, width]:
            raise BadRowError(
                f"mask of another size: {held[1]} x {held[0]}, its picture is {width} x {height}"
            )
        runs = _compressed(mask["counts"], "size" in mask, size)
    if not coco.area(runs):
        raise BadRowError("mask of no area: it has no pixel")
    return dict(runs)


def _polygons(given: Iterable[Sequence[float]], size: Size) -> list[list[float]]:
    """Return polygons cut to their picture, which they may leave by what files round."""
    found = []
    for each in given:
        x, y = np.array(each[::2], dtype=float), np.array(each[1::2], dtype=float)
        if len(x) < 3 or len(x) != len(y) or not np.isfinite(each).all():
            raise BadRowError("polygon unreadable: it needs three corners or more, x and y of each")
        cut = np.clip(x, 0, size[0]), np.clip(y, 0, size[1])
        if max(abs(cut[0] - x).max(), abs(cut[1] - y).max()) >= ROUNDING:
            raise BadRowError(f"mask outside its picture, which is {size[0]} x {size[1]}")
        found.append(np.stack(cut, axis=1).ravel().tolist())
    return found


def _compressed(counts: Any, whole: bool, size: Size) -> dict[str, Any]:
    """Return run lengths in their compressed form; where they need not be `whole`, fill them up."""
    width, height = size
    lengths = _lengths(counts) if isinstance(counts, str | bytes) else list(map(int, counts))
    rest = width * height - sum(lengths)
    if rest < 0 or (rest and (whole or len(lengths) % 2)) or min(lengths, default=0) < 0:
        raise BadRowError(f"mask of another size: its runs are not those of {width} x {height}")
    held = {"size": [height, width], "counts": [*lengths, rest]}
    # Written anew, since the same mask can be told with runs of no length.
    found: dict[str, Any] = coco.encode(coco.decode(coco.frPyObjects(held, height, width)))
    return found


def _lengths(counts: str | bytes) -> list[int]:
    """Return the numbers in COCO's compressed run lengths.

    The library reads them unchecked, beyond its memory where they are damaged. Characters from 48
    hold 5 bits each, low ones first, and whether another follows; from the third number on they say
    how much it is more than the last but one (`rleToString` of its maskApi.c).
    """
    found: list[int] = []
    value = shift = 0
    for code in counts.encode() if isinstance(counts, str) else counts:
        if not 48 <= code < 112 or shift > 30:
            raise BadRowError("mask unreadable: its counts are no compressed run lengths")
        bits = code - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits < 32:
            value -= (1 << shift) if bits & 16 else 0
            found.append(value + (found[-2] if len(found) > 2 else 0))
            value = shift = 0
    return found


def _components(runs: Mapping[str, Any], smallest: int) -> list[dict[str, Any]]:
    """Return the connected components of a mask of so many pixels or more, in reading order."""
    numbered, n = ndimage.label(coco.decode(runs), _CORNERS_TOUCH)
    sizes = np.bincount(numbered.ravel(), minlength=n + 1)
    kept = [at for at in range(1, n + 1) if sizes[at] >= smallest]
    return [coco.encode(np.asfortranarray(numbered == at, dtype=np.uint8)) for at in kept]
