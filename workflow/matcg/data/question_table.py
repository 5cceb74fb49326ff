"""Tables of questions as checked rows: whose columns have which names, the options say.

A row that cannot be used is set aside with its reason and never stops the others. Pictures that a
table holds are put aside into one unnamed file, since rows are drawn in no order of the table's.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from matcg.config.question_options import QuestionOptions
from matcg.data.annotated import matching
from matcg.data.candidates import Quarantined
from matcg.data.finding_questions import Asked, by_finding
from matcg.data.image_folder import Folder
from matcg.data.label_names import LabelNames
from matcg.data.option_lines import parse_letter, place_among, split_options
from matcg.data.row_cells import cell_text, is_given, renamed, require_text, text_of
from matcg.data.table_rows import read_rows
from matcg.errors import BadRowError, DataError, disk_errors
from matcg.forms.choice import OPTION_LETTERS, normal
from matcg.words import tidy


@dataclass(frozen=True, slots=True)
class Row:
    """A good row, as far as is known without its picture.

    `image` is where this is, or where the table holds it; `held` is then its digest. `options` are
    empty where they are to be drawn. `test`: whether the source's own split tests on it. `also` has
    the texts of columns that were asked for besides. `rare`: whether its label may be rare.
    """

    file: str
    number: int
    name: str
    image: str
    held: str
    question: str
    options: tuple[str, ...]
    answer: int
    label: int
    dataset: str
    group: str
    test: bool
    also: tuple[str, ...]
    rare: bool = False


class Pictures:
    """Pictures that tables hold, each kept once, in a file that ends with the process.

    With `named` only their digests are wanted, and none is kept.
    """

    def __init__(self, named: bool = False) -> None:
        self._named = named
        self._file: IO[bytes] | None = None
        self._places: dict[str, tuple[int, int]] = {}

    def keep(self, data: bytes) -> str:
        """Keep a picture and return its digest."""
        digest = sha256(data).hexdigest()
        if not self._named and digest not in self._places:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115
            self._places[digest] = self._file.tell(), len(data)
            self._file.write(data)
        return digest

    def flush(self) -> None:
        """Write what is kept before it is read: a fork would write its copy of what is not."""
        if self._file:
            self._file.flush()

    def read(self, digest: str) -> bytes:
        """Return a picture; any thread or fork may ask, once all are kept and written."""
        start, length = self._places[digest]
        assert self._file is not None
        return os.pread(self._file.fileno(), length, start)


@dataclass
class QuestionTable:
    """The good rows of a subset's tables, its labels, and the rows set aside.

    `by_finding`: whether each asks of one finding, yes or no.
    """

    files: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    bad: list[Quarantined] = field(default_factory=list)
    by_finding: bool = False
    pictures: Pictures = field(default_factory=Pictures)


def read_questions(
    folder: Folder,
    options: QuestionOptions,
    subset: str,
    dataset: str,
    also: tuple[str, ...] = (),
    named: bool = False,
) -> QuestionTable:
    """Return the rows of all tables that the options name; `dataset` is that of rows without one.

    `also` are columns whose cells are wanted besides; with `named` no picture can be asked for.

    Raises:
        DataError: no table, or one that cannot be read or lacks a column.
        ResourceError: no room for the pictures that a table holds.
    """
    patterns = [each.replace("{id}", subset) for each in options.files]
    files = sorted({path for each in patterns for path, _ in matching(folder, each)})
    if not files:
        raise DataError(
            f"subset {subset}: no file {' or '.join(patterns)} in {folder.root}; put it there or"
            " mend option 'files'"
        )
    table = QuestionTable(tuple(files), by_finding=bool(options.findings), pictures=Pictures(named))
    reader = _Reader(table, options, subset, dataset, also)
    with disk_errors(
        Path(tempfile.gettempdir()), "TMPDIR names another folder for temporary files"
    ):
        for name in files:
            reader.read(folder, name)
        table.pictures.flush()
    return table


class _Reader:
    """Puts the rows of files into a table."""

    def __init__(
        self,
        table: QuestionTable,
        options: QuestionOptions,
        subset: str,
        dataset: str,
        also: tuple[str, ...],
    ) -> None:
        self.table, self.options, self.also = table, options, also
        self.columns = options.columns
        self.subset, self.dataset = subset, options.constants.dataset or dataset
        self.labels = LabelNames(options.labels, table.labels)
        self.seen: dict[tuple[str, ...], tuple[int, str]] = {}
        self.file, self.number = "", 0
        self.needed = tuple(options.needed())
        of = self.columns
        self.inside = bool(of.question) and of.options == of.question

    def read(self, folder: Folder, name: str) -> None:
        """Read one file; its rows count from 1, without a header and blank lines."""
        try:
            folder.find(name)
        except BadRowError as error:
            raise DataError(f"{name}: is not read ({error}); put the file itself there") from None
        self.file, self.number = name, 0
        names, findings = self.options.renamed, self.options.findings
        of_findings = findings.columns if findings else ()
        needed = {*self.needed, *of_findings} - set(names.values())
        wanted = {*needed, *names.values(), *self.columns.offered, *self.also, *names}
        for batch in read_rows(folder.root / name, name, needed, wanted):
            for raw in batch:
                self.number += 1
                try:
                    self._add(raw)
                except BadRowError as error:
                    image = _image_of(raw, self.columns.image)
                    self.table.bad.append(Quarantined(name, str(self.number), str(error), image))

    def _add(self, raw: Any) -> None:
        """Add a row, or pass over one that is another subset's."""
        if isinstance(raw, ValueError):
            raise BadRowError(str(raw))
        if not isinstance(raw, dict):
            raise BadRowError("not an object: a row must be {key: value, ...}")
        options = self.options
        row = renamed(raw, options.renamed)
        for column, values in options.only.items():
            cell = text_of(row, column)
            if cell and cell not in values:
                return
        missing = [name for name in self.needed if not is_given(row.get(name))]
        if missing:
            raise BadRowError(f"key missing: {', '.join(missing)}")
        for asked in by_finding(row, options.findings) if options.findings else [self._asked(row)]:
            if isinstance(asked, BadRowError):
                raise asked
            good = self._good(row, asked)
            self.seen[good.name, *good.also] = self.number, self.file
            self.table.rows.append(good)

    def _good(self, row: Mapping[str, Any], asked: Asked) -> Row:
        """Return a row with every column in place, or refuse it."""
        of, split = self.columns, self.options.split_by
        question, options, place, label, finding = asked
        dataset = text_of(row, of.dataset) if of.dataset else self.dataset
        image, data = self._picture(row)
        also = tuple(text_of(row, column) for column in self.also)
        group = text_of(row, of.group) if of.group else ""
        name = self._name(row, finding, dataset, also)
        require_text(name, image, question, *options, label, dataset, group, *also)
        side = text_of(row, split.column) if split and split.column else ""
        test = split.is_test(side, image, self.file) if split else False
        held = self.table.pictures.keep(data) if data else ""
        offered = () if self.options.rebuild else options
        number = self.labels.index(label)
        return Row(
            *(self.file, self.number, name, image, held, question, offered),
            *(0 if self.options.rebuild else place, number, dataset, group, test, also),
            self._may_be_rare(row),
        )

    def _may_be_rare(self, row: Mapping[str, Any]) -> bool:
        unless = self.options.frequent.unless if self.options.frequent else {}
        return any(text_of(row, column) in values for column, values in unless.items())

    def _name(
        self, row: Mapping[str, Any], finding: str, dataset: str, also: tuple[str, ...]
    ) -> str:
        """Return a row's name, or refuse one that stands twice; of other subsets it may."""
        of = self.columns
        own = text_of(row, of.id) if of.id else f"{self.file}-{self.number}"
        parts = [self.subset, dataset if of.dataset else "", own, finding]
        name = "-".join(filter(None, parts))
        if (name, *also) in self.seen:
            number, file = self.seen[name, *also]
            raise BadRowError(f"duplicate id: the one of row {number} of {file}")
        return name

    def _picture(self, row: Mapping[str, Any]) -> tuple[str, bytes]:
        """Return where a picture is, and its bytes where the table holds it."""
        value = row[self.columns.image]
        path, data = value, None
        if isinstance(value, dict):
            path, data = value.get("path"), value.get("bytes")
        elif isinstance(value, bytes):
            path, data = None, value
        if path is not None and not isinstance(path, str):
            raise BadRowError(f"wrong type: {self.columns.image} is neither a path nor a picture")
        if isinstance(data, bytes) and data:
            return "/".join([self.file, path or str(self.number)]), data
        if data is not None and not isinstance(data, bytes):
            raise BadRowError(f"wrong type: bytes of {self.columns.image} are none")
        if not path or not path.strip():
            raise BadRowError(f"key missing: {self.columns.image} holds neither path nor picture")
        return self.options.images.replace("{image}", path), b""

    def _asked(self, row: Mapping[str, Any]) -> Asked:
        """Return what a row asks; without options where these are to be drawn."""
        question, options = self._question(row)
        return Asked(question, options, *self._right(row, options))

    def _question(self, row: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
        """Return question and options; none where these are to be drawn."""
        of = self.columns
        question = row[of.question] if of.question else self.options.constants.question
        if not isinstance(question, str):
            raise BadRowError(f"wrong type: {of.question} is no text")
        try:
            if self.inside:
                question, options = split_options(question, self.options.closes)
                if not question:
                    raise ValueError("before them stands no question")
                return question, options
            return tidy(question), self._offered(row) if self.options.offers else ()
        except ValueError as error:
            raise BadRowError(f"options unreadable: {error}") from None

    def _offered(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """Return a row's options.

        Raises:
            ValueError: fewer than two, a gap between them, one twice.
        """
        of = self.columns
        if of.options is None:
            given: list[Any] = list(self.options.constants.options)
        elif isinstance(of.options, str):
            value = row[of.options]
            if isinstance(value, str) and not value.lstrip().startswith("["):
                return split_options(value, self.options.closes)[1]
            given = _listed(value, of.options)
        else:
            given = [text_of(row, column) for column in of.options]
            while given and not given[-1]:
                given.pop()
        return _options(tuple([cell_text(each, "an option") for each in given]))

    def _right(self, row: Mapping[str, Any], options: tuple[str, ...]) -> tuple[int, str]:
        """Return the place of the right option, 0 where there are none yet, and the label."""
        of = self.columns
        label = text_of(row, of.label) if of.label else ""
        place = 0
        if options or not label:
            text = tidy(text_of(row, of.answer)) if of.answer else ""
            if options and not (self.options.rebuild and label):
                place = _place(options, text, self.options.answer)
            label = label or (options[place] if self.options.answer != "text" else text)
        if not normal(label):
            raise BadRowError(f"no answer: {of.label or of.answer} is empty")
        return place, label


@lru_cache(4096)  # few lists of options are those of a whole table
def _options(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return texts as options, or raise ValueError where they cannot be."""
    found = tuple(map(tidy, given))
    plain = set(map(normal, found))
    if len(found) < 2 or len(found) > len(OPTION_LETTERS):
        raise ValueError(f"{len(found)} options; there must be 2 to {len(OPTION_LETTERS)}")
    if "" in plain:
        raise ValueError("an option is empty, and a later one is not")
    if len(plain) < len(found):
        raise ValueError("an option is given twice")
    return found


def _place(options: tuple[str, ...], answer: str, how: str) -> int:
    """Return which option an answer means: one of its text, its letter, or its place from 0."""
    if how == "text":
        found = place_among(options, answer)
        if found is None:
            raise BadRowError(f"answer not among its options: {answer}")
        return found
    if how == "index":
        found = int(answer) if answer.isascii() and answer.isdecimal() else -1
        if not 0 <= found < len(options):
            raise BadRowError(f"answer outside its options: {answer} of 0 to {len(options) - 1}")
        return found
    try:
        found, text = parse_letter(answer)
    except ValueError as error:
        raise BadRowError(f"letter unreadable: {error}") from None
    if found >= len(options):
        raise BadRowError(f"answer outside its options: {answer} of {len(options)}")
    if text and place_among(options, text) != found:
        raise BadRowError(f"letter disagrees with its option: {answer}")
    return found


def _listed(value: Any, column: str) -> list[Any]:
    """Return the options in one cell: a list, as JSON too, or texts under letters from A on.

    Raises:
        ValueError: none of these.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"{column} is no list in JSON") from None
    if isinstance(value, dict):
        given = {letter: each for letter, each in value.items() if each is not None}
        if list(given) != list(OPTION_LETTERS[: len(given)]):
            raise ValueError(f"{column} has keys other than A, B, C in this order")
        return list(given.values())
    if not isinstance(value, list):
        raise ValueError(f"{column} is no list")
    return value


def _image_of(row: Any, column: str) -> str:
    """Return what a bad row says of its picture, for the list of these."""
    value = row.get(column) if isinstance(row, dict) else ""
    if isinstance(value, dict):
        value = value.get("path")
    return value if isinstance(value, str) else ""
