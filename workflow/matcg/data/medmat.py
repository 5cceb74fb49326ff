"""Reader of the Med-MAT release: one JSON file a subset, image paths below the data folder.

Keys of a row: id, caption, image, Question, Answer, Question-choice, Answer-choice, data-no. A row
that cannot be used is quarantined with its reason and never stops the others. Layout as published
at huggingface.co/datasets/FreedomIntelligence/Med-MAT (images are not part of that release). Any
table of the same keys will do, as a JSON list or as JSON lines.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from matcg.data.folder import Folder
from matcg.data.options import Options
from matcg.data.pool import BadRowError, ImageCount, Quarantined, Source, pool_of
from matcg.data.questions import normal, parse_letter, parse_options, rebuild, tidy
from matcg.data.rows import Row, read_rows, row_type
from matcg.errors import DataError
from matcg.samples import Sample

if TYPE_CHECKING:
    from matcg.config import SubsetSpec

ANSWER_KEYS = ("Answer", "Answer-choice")
TEXT_KEYS = ("image", "Question", "Question-choice")
# Parsed option blocks that are remembered: with many labels no two rows may be alike.
REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class Content:
    """What a row asks apart from its picture and its wording; no options: to be drawn."""

    options: tuple[str, ...]
    answer: int
    label: str


@dataclass
class Table:
    """The rows of one file as columns; `contents` and `questions` are stored once each.

    `numbers` counts the rows of the file from 1; `tests` says whether the source's own split has
    them in its test set.
    """

    name: str
    ids: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    numbers: "array[int]" = field(default_factory=lambda: array("l"))
    content: "array[int]" = field(default_factory=lambda: array("l"))
    question: "array[int]" = field(default_factory=lambda: array("l"))
    dataset: list[str] = field(default_factory=list)
    tests: bytearray = field(default_factory=bytearray)
    contents: list[Content] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    bad: list[tuple[int, Quarantined]] = field(default_factory=list)
    rows: int = 0

    def reject(self, number: int, reason: str, image: str) -> None:
        """Set a row aside."""
        self.bad.append((number, Quarantined(self.name, str(number), reason, image)))

    def keep(self, places: Iterable[int]) -> None:
        """Keep only the rows at these places."""
        kept = list(places)
        for name in ("ids", "images", "dataset"):
            column = getattr(self, name)
            setattr(self, name, [column[at] for at in kept])
        for name in ("numbers", "content", "question"):
            column = getattr(self, name)
            setattr(self, name, array("l", [column[at] for at in kept]))
        self.tests = bytearray(self.tests[at] for at in kept)


def read(subset: "SubsetSpec", options: Mapping[str, Any], root: Path | None) -> Source:
    """Return the usable rows of `subset`, and those set aside.

    Every row and the place of every image is checked here; what is in an image only when it is
    drawn, since a subset may have a million and use four thousand.

    Raises:
        ConfigError: a wrong option.
        DataError: no data folder, no JSON file for the subset, or a file that is no list of rows.
    """
    chosen = Options.parse(options)
    place = find_folder(root, subset)
    path = find_table(place, chosen.files, subset)
    table = read_table(path, path.relative_to(place).as_posix(), subset.id, chosen)
    folder = Folder(place)
    images = count_images(table, folder)
    return _source(table, folder, subset.id, chosen, images)


def find_folder(root: Path | None, subset: "SubsetSpec") -> Path:
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


def find_table(folder: Path, patterns: Iterable[str], subset: "SubsetSpec") -> Path:
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


# --- Rows ----------------------------------------------------------------------------------------


def read_table(path: Path, name: str, subset: str, options: Options) -> Table:
    """Return the rows of a JSON file; no image is looked for.

    Raises:
        DataError: the file is no list of rows.
    """
    table = Table(name)
    columns = [options.split_by.column] if options.split_by and options.split_by.column else []
    reader = _Reader(table, subset, options)
    for batch in read_rows(path, name, row_type(columns)):
        reader.add(batch)
    return table


class _Reader:
    """Puts rows into a table, each text parsed once."""

    def __init__(self, table: Table, subset: str, options: Options) -> None:
        self.table = table
        self.options = options
        self.prefix = f"{subset}-"
        self.position = 0
        self.first: dict[str, int] = {}
        self.questions: dict[str, int] = {}
        self.blocks: dict[str, tuple[str, ...]] = {}
        self.contents: dict[tuple[str, str, str], int] = {}
        self.datasets: dict[int | str, str] = {}

    def add(self, batch: Iterable[Any]) -> None:
        """Add rows in their order; a bad one is set aside, one of another subset passed over."""
        only = self.options.only
        for row in batch:
            self.position += 1
            if only and _of_another(row, only):
                continue
            self.table.rows += 1
            try:
                self._add(row if isinstance(row, Row) else self._typed(row))
            except BadRowError as error:
                self.table.reject(self.position, str(error), _image_of(row))

    def _add(self, row: Row) -> None:
        """Add a row whose values are of the right types.

        The commonest texts are looked up before anything else: this runs for every row.
        """
        table = self.table
        question = self.questions.get(row.question)
        if question is None:
            question = self._question(row)
        dataset = self.datasets.get(row.dataset) or self._dataset(row)
        if not row.image or row.id == "" or row.image.isspace():
            raise _incomplete(row, self.options)
        content = self._content(row)
        test = self.options.split_by is not None and self._is_test(row)
        name = f"{self.prefix}{dataset}-{row.id}"
        first = self.first.setdefault(name, self.position)
        if first != self.position:
            raise BadRowError(f"duplicate id: the one of row {first}")
        table.ids.append(name)
        table.images.append(row.image)
        table.numbers.append(self.position)
        table.content.append(content)
        table.question.append(question)
        table.dataset.append(dataset)
        table.tests.append(test)

    def _typed(self, row: Any) -> Row:
        """Return a row that the typed decoder did not take, or say why it cannot be used."""
        _check(row, self.options)
        given = {key: value for key, value in row.items() if value is not None}
        typed: Row = msgspec.convert(given, row_type(self.options.columns))
        return typed

    def _question(self, row: Row) -> int:
        text = tidy(row.question)
        if not text:
            raise _incomplete(row, self.options)
        self.table.questions.append(text)
        self.questions[row.question] = len(self.table.questions) - 1
        return self.questions[row.question]

    def _dataset(self, row: Row) -> str:
        text = str(row.dataset)
        if not text or text.isspace():
            raise _incomplete(row, self.options)
        return self.datasets.setdefault(row.dataset, text)

    def _content(self, row: Row) -> int:
        """Return the index of what a row asks: its options, the right one and the label."""
        # The wording is one of six, so that what follows it is met again sooner.
        block = row.choices.removeprefix(row.question)
        key = (block, row.answer, row.letter)
        index = self.contents.get(key)
        if index is None:
            content = self._parsed(row, block)
            self.table.contents.append(content)
            if len(self.contents) >= REMEMBERED:
                self.contents.clear()
                self.blocks.clear()
            index = self.contents[key] = len(self.table.contents) - 1
        return index

    def _parsed(self, row: Row, block: str) -> Content:
        if not row.answer or row.answer.isspace():
            raise _incomplete(row, self.options)
        answer = tidy(row.answer)
        label = _label(answer, self.options.labels)
        if self.options.rebuild:
            return Content((), 0, label)
        if not (row.letter and row.choices) or row.letter.isspace() or row.choices.isspace():
            raise _incomplete(row, self.options)
        choices = self.blocks.get(block)
        if choices is None:
            choices = self.blocks[block] = _options(block, row.choices)
        return Content(choices, _index(choices, answer, row.letter), label)

    def _is_test(self, row: Row) -> bool:
        """Tell on which side of its source's own split a row is."""
        by = self.options.split_by
        assert by is not None
        return by.is_test(getattr(row, "extra_0", ""), row.image)


def _options(block: str, whole: str) -> tuple[str, ...]:
    """Return the options in the block that follows the question, else in the whole text."""
    try:
        return parse_options(block)
    except ValueError:
        pass
    try:
        return parse_options(whole)
    except ValueError as error:
        raise BadRowError(f"options unreadable: {error}") from None


def _index(choices: tuple[str, ...], answer: str, letter: str) -> int:
    """Return the index of the right option, which letter and text must agree on."""
    found = _place(choices, answer)
    if found is None:
        raise BadRowError(f"answer not among its options: {answer}")
    try:
        index, text = parse_letter(letter)
    except ValueError as error:
        raise BadRowError(f"letter unreadable: {error}") from None
    if index != found or (text and _place(choices, text) != found):
        raise BadRowError(f"letter disagrees with answer: {letter} and {answer}")
    return index


def _place(choices: tuple[str, ...], text: str) -> int | None:
    """Return which option a text is, but for case and final punctuation."""
    if text in choices:
        return choices.index(text)
    alike = [at for at, choice in enumerate(choices) if normal(choice) == normal(text)]
    return alike[0] if alike else None


def _label(answer: str, labels: Mapping[str, str]) -> str:
    """Return the label that an answer counts as: by the user's map, else its normal form."""
    plain = normal(answer)
    return labels.get(answer) or labels.get(plain) or plain


def _of_another(row: Any, only: frozenset[str]) -> bool:
    """Tell whether a row says that it is of another dataset; one that does not say is read."""
    if isinstance(row, Row):
        dataset: Any = row.dataset
    else:
        dataset = row.get("data-no") if isinstance(row, dict) else None
    return _given(dataset) and str(dataset) not in only


def _image_of(row: Any) -> str:
    if isinstance(row, Row):
        return row.image
    return str(row.get("image", "")) if isinstance(row, dict) else ""


def _incomplete(row: Row, options: Options) -> BadRowError:
    """Return what is missing in a row of the right types."""
    names = {field.name: field.encode_name for field in msgspec.structs.fields(row)}
    try:
        _check({names[name]: value for name, value in msgspec.structs.asdict(row).items()}, options)
    except BadRowError as error:
        return error
    raise AssertionError(f"nothing is missing in {row}")


def _check(row: Any, options: Options) -> None:
    """Raise BadRowError unless `row` has every key with a usable value."""
    if isinstance(row, ValueError):
        raise BadRowError(str(row))
    if not isinstance(row, dict):
        raise BadRowError("not an object: a row must be {key: value, ...}")
    answers = ("Answer",) if options.rebuild else ("Answer", "Answer-choice")
    texts = ("image", "Question") if options.rebuild else ("image", "Question", "Question-choice")
    if not all(_given(row.get(key)) for key in answers):
        raise BadRowError(f"no answer: {' or '.join(answers)} is missing or empty")
    needed = ("id", *texts, "data-no", *options.columns)
    missing = [key for key in needed if not _given(row.get(key))]
    if missing:
        raise BadRowError(f"key missing: {', '.join(missing)}")
    for key in (*TEXT_KEYS, *ANSWER_KEYS, *options.columns):
        if not isinstance(row.get(key, ""), str):
            raise BadRowError(f"wrong type: {key} is no text")
    for key in ("id", "data-no"):
        if not isinstance(row[key], str | int) or isinstance(row[key], bool):
            raise BadRowError(f"wrong type: {key} is neither text nor a whole number")
    try:
        "".join(str(row.get(key, "")) for key in (*needed, *answers)).encode()
    except UnicodeEncodeError:
        raise BadRowError("wrong type: half a character, which is no valid text") from None


def _given(value: Any) -> bool:
    return value is not None and value != "" and not (isinstance(value, str) and value.isspace())


# --- Images --------------------------------------------------------------------------------------


def count_images(table: Table, folder: Folder) -> tuple[ImageCount, ...]:
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
    table: Table, folder: Folder, subset: str, options: Options, images: tuple[ImageCount, ...]
) -> Source:
    """Return the rows of a table as a source whose images lie in a folder."""
    labels = np.array([content.label for content in table.contents], dtype=object)
    groups = [options.group(image) for image in table.images] if options.group_by else None

    def load(at: int) -> Sample:
        content = table.contents[table.content[at]]
        return Sample(
            sample_id=table.ids[at],
            subset=subset,
            image=folder.read(table.images[at]),
            fingerprint="",
            origin=table.images[at],
            question=table.questions[table.question[at]],
            options=content.options,
            answer=content.answer,
            label=content.label,
            dataset=table.dataset[at],
            group=groups[at] if groups else "",
        )

    def reject(at: int, reason: str) -> Quarantined:
        return Quarantined(table.name, str(table.numbers[at]), reason, table.images[at])

    pool = pool_of(table.ids, labels[np.array(table.content)], table.images, groups)
    how = options.rebuild
    return Source(
        pool=pool,
        ask=(lambda drawn: rebuild(drawn, pool.names, how)) if how else list,
        load=load,
        reject=reject,
        rows=table.rows,
        quarantined=tuple(each for _, each in sorted(table.bad, key=lambda pair: pair[0])),
        files=(table.name,),
        tests=np.frombuffer(table.tests, dtype=np.bool_) if options.split_by else None,
        images=images,
    )
