"""Options of the reader of any table of questions, as a catalog or a subset gives them."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from matcg.config.base import Model, Positive, Text
from matcg.config.reader_options import ChoiceOptions, Filled, Texts, Values


def _one_or_more(given: Any) -> Any:
    """Keep one name apart from a list of one: a column of lists, or a column for each option."""
    return tuple(given) if isinstance(given, list) else given


OptionColumns = Annotated[
    Text | Annotated[tuple[Text, ...], Field(min_length=2)], BeforeValidator(_one_or_more)
]


class Columns(Model):
    """What a table calls its columns.

    `image` holds paths, or pictures as hub data sets store them: bytes, or bytes beside a path.
    `options` is one column, of lists or of text with a line for each (that of the question, where
    the options stand in it), or a list of columns with an option each.
    """

    image: Text
    id: str = ""
    question: str = ""
    options: OptionColumns | None = None
    answer: str = ""
    label: str = ""
    group: str = ""
    dataset: str = ""

    @property
    def offered(self) -> tuple[str, ...]:
        """Return the columns of the options."""
        return (self.options,) if isinstance(self.options, str) else self.options or ()

    def named(self) -> Iterator[str]:
        """Yield the columns that every row must have; an option may be missing."""
        given = (self.image, self.id, self.question, self.answer, self.label)
        single = self.offered if isinstance(self.options, str) else ()
        yield from filter(None, (*given, self.group, self.dataset, *single))


class Constants(Model):
    """What holds for every row, where a table has no column of it."""

    question: str = ""
    options: Texts = ()
    dataset: str = ""


def _by_name(given: Any) -> Any:
    """Let a list of findings stand for findings that are called as the table has them."""
    return {name: name for name in given} if isinstance(given, list | tuple) else given


class Findings(Model):
    """Findings of which rows are asked one at a time, yes or no.

    `names`: what the table calls them, and what questions call them. Each has a column with a cell
    of `yes` or of `no`; or one column, `listed`, has the list of those that are there, or a text
    with `separator` between them, in which each of `none` says that there is none.
    """

    names: Annotated[dict[Filled, Filled], BeforeValidator(_by_name), Field(min_length=1)]
    question: Filled = "Does this picture show {finding}?"
    listed: str = ""
    separator: Filled = "|"
    none: Values = frozenset()
    yes: Values = frozenset({"1", "1.0", "yes", "true"})
    no: Values = frozenset({"0", "0.0", "no", "false"})

    @model_validator(mode="after")
    def _whole(self) -> "Findings":
        if "{finding}" not in self.question:
            raise ValueError("`question` needs {finding}, which is what it asks of")
        if both := self.yes & self.no or self.none & set(self.names):
            raise ValueError(f"'{min(both)}' says that there is one and that there is none")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that say which findings are there."""
        return (self.listed,) if self.listed else tuple(self.names)


class Frequent(Model):
    """How often a label must occur in a subset, but for rows with one of these values."""

    rows: Positive
    unless: dict[Filled, Values] = Field(default_factory=dict)


class QuestionOptions(ChoiceOptions):
    """Options of this reader, in a catalog or a subset.

    `files`: patterns of tables below the data folder, `{id}` for the subset; all that match are
    read. `images`: where the pictures lie, `{image}` for what the table says. `columns`: what it
    calls its columns; `renamed`: other names that some files have for these. `constants`: what
    holds for every row. `answer`: whether the answer is an option's text, its letter, or its place
    counted from 0. `only`: just rows that have one of these values in these columns. `findings`:
    rows are asked of each of these, in place of columns of questions, options and answers.
    `frequent`: rows with rarer labels are set aside.
    """

    reader: ClassVar[str] = "reader questions"

    files: Annotated[Texts, Field(min_length=1)]
    images: Text = "{image}"
    columns: Columns
    renamed: dict[Filled, Filled] = Field(default_factory=dict)
    constants: Constants = Field(default=Constants())
    answer: Literal["text", "letter", "index"] = "text"
    only: dict[Filled, Values] = Field(default_factory=dict)
    findings: Findings | None = None
    frequent: Frequent | None = None

    @model_validator(mode="after")
    def _whole(self) -> "QuestionOptions":
        of, constant = self.columns, self.constants
        for name in ("question", "options", "dataset"):
            if getattr(of, name) and getattr(constant, name):
                raise ValueError(f"`{name}` is a column and a constant; leave it out of one")
        if self.findings:
            asked = (of.question, of.options, of.answer, of.label, constant.question)
            if any((*asked, constant.options, self.rebuild)):
                raise ValueError("`findings` make question, options and answer; leave these out")
        elif not (of.question or constant.question or (self.rebuild and self.rebuild.instructions)):
            raise ValueError("give `columns.question`, or one for all rows: `constants.question`")
        elif self.rebuild and not (of.label or of.answer):
            raise ValueError("give `columns.label` or `columns.answer`: what is right")
        elif not (self.rebuild or of.answer):
            raise ValueError("give `columns.answer`, or `rebuild` to ask for the label")
        if not self.findings and self.offers and not (of.options or constant.options):
            raise ValueError("give `columns.options`, or `rebuild` to make options of the labels")
        if of.group and self.group_by:
            raise ValueError("`columns.group` and `group_by` both tell the patient; leave one out")
        if "{image}" not in self.images:
            raise ValueError("`images` needs {image}, which is what the table calls a picture")
        return self

    @property
    def offers(self) -> bool:
        """Return whether a row's own options are needed."""
        by_place = not self.columns.label and self.answer != "text"
        return by_place if self.rebuild else True

    def needed(self) -> Iterator[str]:
        """Yield the columns that every row must have."""
        yield from self.columns.named()
        if self.split_by and self.split_by.column:
            yield self.split_by.column
        yield from self.only
        if self.frequent:
            yield from self.frequent.unless
