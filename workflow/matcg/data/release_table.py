"""The rows of one release file as columns: checked, each text parsed once, no image looked for.

Keys of a row: id, caption, image, Question, Answer, Question-choice, Answer-choice, data-no. A row
that cannot be used is set aside with its reason and never stops the others.
"""

import gc
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from matcg.config.reader_options import Options
from matcg.data.candidates import Quarantined
from matcg.data.json_rows import ReleaseRow, read_json_rows, row_type
from matcg.data.label_names import LabelNames
from matcg.data.option_lines import parse_letter, parse_options, place_among
from matcg.errors import BadRowError
from matcg.forms.choice import normal
from matcg.words import tidy

ANSWER_KEYS = ("Answer", "Answer-choice")
TEXT_KEYS = ("image", "Question", "Question-choice")
# Parsed texts that are remembered: with many labels hardly two rows may be alike.
REMEMBERED = 200_000
_COLUMNS = (
    *("ids", "images", "dataset", "numbers"),
    *("asked", "answer", "label", "question", "tests"),
)


def _numbers() -> "array[int]":
    return array("l")


@dataclass
class ReleaseTable:
    """The good rows as columns, and the bad ones.

    `numbers` counts the rows of the file from 1. `asked`, `label` and `question` are indices into
    `choices` (the options, empty where they are to be drawn), `labels` and `questions`; `answer` is
    the place of the right option. `tests` says whether the source's own split has a row in its test
    set.
    """

    name: str
    ids: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    dataset: list[str] = field(default_factory=list)
    numbers: "array[int]" = field(default_factory=_numbers)
    asked: "array[int]" = field(default_factory=_numbers)
    answer: "array[int]" = field(default_factory=_numbers)
    label: "array[int]" = field(default_factory=_numbers)
    question: "array[int]" = field(default_factory=_numbers)
    tests: "array[int]" = field(default_factory=_numbers)
    choices: list[tuple[str, ...]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    bad: list[tuple[int, Quarantined]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Return how many rows there are, good and bad, without those of another subset."""
        return len(self.ids) + len(self.bad)

    def reject(self, number: int, reason: str, image: str) -> None:
        """Set a row aside."""
        self.bad.append((number, Quarantined(self.name, str(number), reason, image)))

    def extend(self, **columns: Iterable[Any]) -> None:
        """Add good rows, given by all of their columns."""
        for name, values in columns.items():
            getattr(self, name).extend(values)

    def keep(self, places: Sequence[int]) -> None:
        """Keep only the good rows at these places."""
        for name in _COLUMNS:
            column = getattr(self, name)
            kept = [column[at] for at in places]
            setattr(self, name, array("l", kept) if isinstance(column, array) else kept)


def read_table(path: Path, name: str, subset: str, options: Options) -> ReleaseTable:
    """Return the rows of a JSON file; `name` stands for it in errors.

    Raises:
        DataError: the file is no list of rows.
    """
    table = ReleaseTable(name)
    reader = _Reader(table, subset, options)
    with _collector_paused():
        for batch in read_json_rows(path, name, row_type(options.columns)):
            reader.add(batch)
    return table


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep Python's collector off millions of texts, none of which it could free."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Memo(dict[Any, Any]):
    """Values that are made when they are first asked for."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self.make = make

    def __missing__(self, key: Any) -> Any:
        value = self[key] = self.make(key)
        return value


class _Reader:
    """Puts rows into a table.

    Good rows are taken a batch at a time, column by column. A batch with a bad one, or one that is
    good only on a closer look, is gone through row by row, which says what is wrong.
    """

    def __init__(self, table: ReleaseTable, subset: str, options: Options) -> None:
        self.table = table
        self.options = options
        self.prefix = f"{subset}-"
        self.position = 0
        self.seen: set[str] = set()
        self.first: dict[str, int] = {}
        self.names = LabelNames(options.labels, table.labels)
        # Options as texts are in the table, here without what tells no labels apart.
        self.plain: list[tuple[str, ...]] = []
        self.choices = _Memo(self._choices)
        self.answers = _Memo(_answer)
        self.labels = _Memo(self._label)
        self.letters = _Memo(_letter)
        self.questions = _Memo(self._question)
        self.datasets = _Memo(_dataset)

    def add(self, batch: Sequence[Any]) -> None:
        """Add rows in their order; a bad one is set aside, one of another subset passed over."""
        if len(self.choices) >= REMEMBERED:
            self.choices.clear()
        batched = self.options.split_by is None and not self.options.only
        if not (batched and set(map(type, batch)) <= {ReleaseRow} and self._add_all(batch)):
            self._add_each(batch)

    def _add_all(self, rows: Sequence[ReleaseRow]) -> bool:
        """Add rows if all of them are good at the first look, and tell whether they are.

        Whole columns are looked up by `map`: this is what reading millions of rows takes.
        """
        if not rows:
            return True
        ids, images, asked, answers, choices, letters, datasets = zip(
            *map(msgspec.structs.astuple, rows), strict=True
        )
        if not all(map(str.strip, images)) or not all(map(str.strip, map(str, ids))):
            return False
        try:
            questions = list(map(self.questions.__getitem__, asked))
            labels = list(map(self.labels.__getitem__, answers))
            of = map(self.datasets.__getitem__, datasets)
            names = [f"{self.prefix}{d}-{name}" for d, name in zip(of, ids, strict=True)]
            offered, places = self._asked(asked, answers, choices, letters)
        except (BadRowError, IndexError):
            return False
        new = set(names)
        if len(new) < len(names) or not self.seen.isdisjoint(new):
            return False
        self.seen |= new
        first, self.position = self.position + 1, self.position + len(rows)
        self.table.extend(
            ids=names,
            images=images,
            dataset=map(self.datasets.__getitem__, datasets),
            numbers=range(first, self.position + 1),
            asked=offered,
            answer=places,
            label=labels,
            question=questions,
            tests=bytes(len(rows)),
        )
        return True

    def _asked(
        self,
        asked: Sequence[str],
        answers: Sequence[str],
        choices: Sequence[str],
        letters: Sequence[str],
    ) -> tuple[list[int], list[int]]:
        """Return which options each row offers and which is right.

        Raises:
            BadRowError, IndexError: not told for all of them by the letter alone.
        """
        if self.options.rebuild:
            return [self.choices[""]] * len(asked), [0] * len(asked)
        # The wording is one of six, so that what follows it is met again sooner.
        blocks = map(str.removeprefix, choices, asked)
        offered = list(map(self.choices.__getitem__, blocks))
        places = list(map(self.letters.__getitem__, letters))
        plain = self.plain
        right = [plain[o][at] for o, at in zip(offered, places, strict=True)]
        if right != list(map(self.answers.__getitem__, answers)):
            raise BadRowError("letter disagrees with answer")
        return offered, places

    def _add_each(self, rows: Iterable[Any]) -> None:
        for row in rows:
            self.position += 1
            if self.options.only and _of_another(row, self.options.only):
                continue
            try:
                self._add(row if isinstance(row, ReleaseRow) else self._typed(row))
            except BadRowError as error:
                self.table.reject(self.position, str(error), _image_of(row))

    def _add(self, row: ReleaseRow) -> None:
        """Add a row whose values are of the right types."""
        _require(row, self.options)
        asked, answer = self._one_asked(row)
        by = self.options.split_by
        side = getattr(row, "extra_0", "")
        test = by.is_test(side, row.image, self.table.name) if by else False
        name = f"{self.prefix}{self.datasets[row.dataset]}-{row.id}"
        if name in self.seen:
            raise BadRowError(f"duplicate id: the one of row {self._first(name)}")
        self.seen.add(name)
        self.table.extend(
            ids=[name],
            images=[row.image],
            dataset=[self.datasets[row.dataset]],
            numbers=[self.position],
            asked=[asked],
            answer=[answer],
            label=[self.labels[row.answer]],
            question=[self.questions[row.question]],
            tests=[test],
        )

    def _first(self, name: str) -> int:
        """Return the row that has an id; which one is noted only when it is asked for."""
        start, table = len(self.first), self.table
        self.first.update(zip(table.ids[start:], table.numbers[start:], strict=True))
        return self.first[name]

    def _one_asked(self, row: ReleaseRow) -> tuple[int, int]:
        if self.options.rebuild:
            return self.choices[""], 0
        try:
            asked = self.choices[row.choices.removeprefix(row.question)]
        except BadRowError:
            # The question itself may hold the options.
            asked = self.choices[row.choices]
        return asked, _index(self.table.choices[asked], tidy(row.answer), row.letter)

    def _typed(self, row: Any) -> ReleaseRow:
        """Return a row that the typed decoder did not take, or say why it cannot be used."""
        _check(row, self.options)
        given = {key: value for key, value in row.items() if value is not None}
        typed: ReleaseRow = msgspec.convert(given, row_type(self.options.columns))
        return typed

    def _choices(self, text: str) -> int:
        choices = () if self.options.rebuild else self._offered(text)
        self.table.choices.append(choices)
        self.plain.append(tuple(map(normal, choices)))
        return len(self.plain) - 1

    def _offered(self, text: str) -> tuple[str, ...]:
        try:
            return parse_options(text, self.options.closes)
        except ValueError as error:
            raise BadRowError(f"options unreadable: {error}") from None

    def _label(self, answer: str) -> int:
        """Return the index of the label that an answer counts as, or refuse an empty one."""
        _answer(answer)
        return self.names.index(answer)

    def _question(self, asked: str) -> int:
        text = tidy(asked)
        if not text:
            raise BadRowError("key missing: Question")
        self.table.questions.append(text)
        return len(self.table.questions) - 1


def _answer(text: str) -> str:
    plain = normal(text)
    if not plain:
        raise BadRowError("no answer: Answer is empty")
    return plain


def _letter(text: str) -> int:
    """Return the index that a bare letter stands for."""
    try:
        index, option = parse_letter(text)
    except ValueError as error:
        raise BadRowError(f"letter unreadable: {error}") from None
    if option:
        raise BadRowError("letter with an option, which is to be compared")
    return index


def _dataset(given: int | str) -> str:
    text = str(given)
    if not text.strip():
        raise BadRowError("key missing: data-no")
    return text


def _index(choices: tuple[str, ...], answer: str, letter: str) -> int:
    """Return the index of the right option, which letter and text must agree on."""
    found = place_among(choices, answer)
    if found is None:
        raise BadRowError(f"answer not among its options: {answer}")
    try:
        index, text = parse_letter(letter)
    except ValueError as error:
        raise BadRowError(f"letter unreadable: {error}") from None
    if index != found or (text and place_among(choices, text) != found):
        raise BadRowError(f"letter disagrees with answer: {letter} and {answer}")
    return index


def _of_another(row: Any, only: frozenset[str]) -> bool:
    """Tell whether a row says that it is of another dataset; one that does not say is read."""
    if isinstance(row, ReleaseRow):
        dataset: Any = row.dataset
    else:
        dataset = row.get("data-no") if isinstance(row, dict) else None
    return _given(dataset) and str(dataset) not in only


def _image_of(row: Any) -> str:
    if isinstance(row, ReleaseRow):
        return row.image
    return str(row.get("image", "")) if isinstance(row, dict) else ""


def _require(row: ReleaseRow, options: Options) -> None:
    """Raise BadRowError where a row of the right types lacks something."""
    names = {field.name: field.encode_name for field in msgspec.structs.fields(row)}
    _check({names[name]: value for name, value in msgspec.structs.asdict(row).items()}, options)


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
