"""Reader of the Med-MAT release: one JSON list a subset, image paths below the data folder.

Keys of a row: id, caption, image, Question, Answer, Question-choice, Answer-choice, data-no. A row
that cannot be used is quarantined with its reason and never stops the others. Layout as published
at huggingface.co/datasets/FreedomIntelligence/Med-MAT (images are not part of that release).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from matcg.data.questions import parse_letter, parse_options, tidy
from matcg.data.source import Quarantined, Source
from matcg.errors import ConfigError, DataError, nearest
from matcg.images import ImageError, decode, pixel_digest
from matcg.samples import Sample

if TYPE_CHECKING:
    from matcg.config import SubsetSpec

# The release changed its mind about dashes and about the folder.
FILES = (
    "Aggregated_Subsets/Subset--{id}-train.json",
    "Aggregated_Subsets/Subset-{id}-train.json",
    "Subset--{id}-train.json",
    "Subset-{id}-train.json",
)
TEXT_KEYS = ("image", "Question", "Question-choice")
ANSWER_KEYS = ("Answer", "Answer-choice")
# A file is read whole before its header tells its size in pixels.
MAX_BYTES = 512 * 2**20


class BadRowError(Exception):
    """Why one row cannot be used; becomes the reason of a quarantined row."""


@dataclass(frozen=True)
class Options:
    """Options of this reader, in a catalog or a subset.

    `files`: patterns of the JSON file relative to the data folder, the first that exists is read.
    `group_by`: regular expression searched in the image path; what its groups (or else the whole
    match) hold names the patient or sequence. `labels`: the label that an answer counts as. `only`:
    just the rows of these source datasets (`data-no`) are read, the others are another subset's.
    """

    files: tuple[str, ...] = FILES
    group_by: re.Pattern[str] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    only: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> "Options":
        """Return the checked options.

        Raises:
            ConfigError: an unknown option, or one of the wrong form.
        """
        known = [each.name for each in fields(cls)]
        for key in raw:
            if key not in known:
                raise ConfigError(f"reader medmat: unknown option '{key}'.{nearest(key, known)}")
        files = raw.get("files") or FILES
        return cls(
            files=(files,) if isinstance(files, str) else tuple(files),
            group_by=_pattern(raw.get("group_by")),
            labels=dict(raw.get("labels") or {}),
            only=frozenset(map(str, raw.get("only") or ())),
        )


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise ConfigError(
            f"reader medmat: option group_by '{text}' is no regular expression ({error}); mend it"
        ) from None


def read(subset: "SubsetSpec", options: Mapping[str, Any], root: Path | None) -> Source:
    """Return the usable samples of `subset` in the order of its file, and the rows set aside.

    Images are decoded one at a time to check and digest them; `Source.load` reads the bytes again.

    Raises:
        ConfigError: a wrong option.
        DataError: no data folder, no JSON file for the subset, or a file that is no JSON list.
    """
    chosen = Options.parse(options)
    folder = _folder(root, subset)
    path = _table(folder, chosen.files, subset)
    name = path.relative_to(folder).as_posix()
    rows = _rows(path, name)
    results = list(_samples(rows, folder, name, subset.id, chosen))
    return Source(
        samples=tuple(each for each in results if isinstance(each, Sample)),
        quarantined=tuple(each for each in results if isinstance(each, Quarantined)),
        rows=len(results),
        files=(name,),
        load=partial(_load, folder),
    )


def _folder(root: Path | None, subset: "SubsetSpec") -> Path:
    if root is None:
        raise DataError(
            f"subset {subset.id}: the folder of its images and JSON files is not known; "
            "name it in the config under 'data:' with the catalog's name as key"
        )
    if not root.is_dir():
        raise DataError(
            f"subset {subset.id}: data folder {root} does not exist; mend the config's 'data:'"
        )
    return root


def _table(folder: Path, patterns: Iterable[str], subset: "SubsetSpec") -> Path:
    names = [pattern.replace("{id}", subset.id) for pattern in patterns]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"subset {subset.id}: none of {', '.join(names)} in {folder}; "
        f"put the file there or mend option 'files' (kind {subset.kind})"
    )


def _rows(path: Path, name: str) -> list[Any]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: is not valid JSON ({error}); fetch the file again") from None
    if not isinstance(rows, list):
        raise DataError(f"{name}: holds no JSON list of rows; fetch the file again")
    return rows


def _samples(
    rows: Iterable[Any], folder: Path, file: str, subset: str, options: Options
) -> Iterator[Sample | Quarantined]:
    """Yield a sample or a quarantined row for every row, in order."""
    first_row: dict[str, int] = {}
    resolved = folder.resolve()
    for number, row in enumerate(rows, 1):
        if options.only and _of_another(row, options.only):
            continue
        image = row.get("image", "") if isinstance(row, dict) else ""
        try:
            sample = _sample(row, subset, options)
            first = first_row.setdefault(sample.sample_id, number)
            if first != number:
                raise BadRowError(f"duplicate id: the one of row {first}")
            yield replace(sample, digest=_digest(resolved, sample.origin))
        except BadRowError as error:
            yield Quarantined(file, str(number), str(error), str(image))


def _of_another(row: Any, only: frozenset[str]) -> bool:
    """Tell whether a row says that it is of another dataset; one that does not say is read."""
    dataset = row.get("data-no") if isinstance(row, dict) else None
    return _given(dataset) and str(dataset) not in only


def _sample(row: Any, subset: str, options: Options) -> Sample:
    """Return the sample without its image and digest."""
    _check(row)
    choices, answer = _answer(row)
    dataset = str(row["data-no"])
    return Sample(
        sample_id=f"{subset}-{dataset}-{row['id']}",
        subset=subset,
        image=b"",
        digest="",
        origin=row["image"],
        question=tidy(row["Question"]),
        options=choices,
        answer=answer,
        label=options.labels.get(choices[answer], choices[answer]),
        dataset=dataset,
        group=_group(row["image"], options.group_by),
    )


def _check(row: Any) -> None:
    """Raise BadRowError unless `row` has every key with a usable value."""
    if not isinstance(row, dict):
        raise BadRowError("not an object: a row must be {key: value, ...}")
    if not all(_given(row.get(key)) for key in ANSWER_KEYS):
        raise BadRowError("no answer: Answer or Answer-choice is missing or empty")
    missing = [key for key in ("id", *TEXT_KEYS, "data-no") if not _given(row.get(key))]
    if missing:
        raise BadRowError(f"key missing: {', '.join(missing)}")
    for key in (*TEXT_KEYS, *ANSWER_KEYS):
        if not isinstance(row[key], str):
            raise BadRowError(f"wrong type: {key} is no text")
    for key in ("id", "data-no"):
        if not isinstance(row[key], str | int):
            raise BadRowError(f"wrong type: {key} is neither text nor a whole number")
    try:
        "".join(str(row[key]) for key in (*TEXT_KEYS, *ANSWER_KEYS, "id", "data-no")).encode()
    except UnicodeEncodeError:
        raise BadRowError("wrong type: half a character, which is no valid text") from None


def _given(value: Any) -> bool:
    return value is not None and value != "" and not (isinstance(value, str) and value.isspace())


def _answer(row: Mapping[str, str]) -> tuple[tuple[str, ...], int]:
    """Return the options and the index of the right one, which letter and text must agree on."""
    try:
        choices = parse_options(row["Question-choice"])
    except ValueError as error:
        raise BadRowError(f"options unreadable: {error}") from None
    answer = tidy(row["Answer"])
    if answer not in choices:
        raise BadRowError(f"answer not among its options: {answer}")
    try:
        index, text = parse_letter(row["Answer-choice"])
    except ValueError as error:
        raise BadRowError(f"letter unreadable: {error}") from None
    if index != choices.index(answer) or text not in ("", answer):
        raise BadRowError(f"letter disagrees with answer: {row['Answer-choice']} and {answer}")
    return choices, index


def _group(path: str, pattern: re.Pattern[str] | None) -> str:
    found = pattern.search(path) if pattern else None
    if found is None:
        return ""
    return "/".join(part or "" for part in found.groups()) or found[0]


def _digest(folder: Path, origin: str) -> str:
    data = _bytes(folder, origin)
    try:
        return pixel_digest(decode(data, origin))
    except ImageError as error:
        raise BadRowError(f"{error.kind}: {error.detail}") from None


def _bytes(folder: Path, origin: str) -> bytes:
    """Return the file at `origin` below the resolved `folder`, or raise BadRowError."""
    if PurePosixPath(origin).is_absolute() or PureWindowsPath(origin).drive:
        raise BadRowError("image outside its data folder: the path is absolute")
    if ".." in PurePosixPath(origin).parts:
        raise BadRowError("image outside its data folder: the path climbs with '..'")
    try:
        path = (folder / origin).resolve()
        if not path.is_relative_to(folder):
            raise BadRowError("image outside its data folder: a link leads out")
        # A pipe or a device would block or never end.
        if not path.is_file():
            raise BadRowError("image missing: no file at this path")
        if path.stat().st_size > MAX_BYTES:
            raise BadRowError(f"image too large: the file exceeds {MAX_BYTES} bytes")
        return path.read_bytes()
    except (OSError, ValueError, RuntimeError) as error:
        raise BadRowError(f"image missing: {error}") from None


def _load(folder: Path, sample: Sample) -> Sample:
    try:
        return replace(sample, image=_bytes(folder.resolve(), sample.origin))
    except BadRowError as error:
        raise DataError(
            f"{sample.origin}: changed while it was read ({error}); prepare the subset again"
        ) from None
