"""Options of the readers of release files and of the phantom world, as catalogs give them."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from matcg.config.base import Float, Model, Natural
from matcg.config.explain import validate
from matcg.config.scan_options import Parts, Slices
from matcg.errors import BadRowError
from matcg.words import tidy

# The release changed its mind about dashes and about the folder.
FILES = (
    "Aggregated_Subsets/Subset--{id}-train.json",
    "Aggregated_Subsets/Subset-{id}-train.json",
    "Subset--{id}-train.json",
    "Subset-{id}-train.json",
)
MOST_OPTIONS = 26  # as many as there are letters


def _texts(value: Any) -> list[str]:
    """Let one text stand for a list of one, and a whole number for its digits."""
    listed = value if isinstance(value, list | tuple) else [value] if value else []
    if not all(isinstance(each, str | int) and not isinstance(each, bool) for each in listed):
        raise ValueError("must be a text or a list of texts")
    return list(map(str, listed))


def _compiled(text: Any) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, TypeError) as error:
        raise ValueError(f"'{text}' is no regular expression ({error}); mend it") from None


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("a blank is no text; write the answer and the label that it counts as")
    return text


def _rising(window: tuple[float, float]) -> tuple[float, float]:
    if window[0] >= window[1]:
        raise ValueError("write [black, white], the smaller value first")
    return window


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Values = Annotated[frozenset[str], BeforeValidator(_texts)]
Pattern = Annotated[re.Pattern[str], BeforeValidator(_compiled)]
Window = Annotated[tuple[Float, Float], AfterValidator(_rising)]
Filled = Annotated[str, AfterValidator(_not_blank)]


class SplitBy(Model):
    """Where a source's own split is told: by a text column, or by a pattern in the path of the
    image or of the file that has the row.

    `train` and `test` are the values that mean each side; a row with any other is set aside.
    """

    column: str = ""
    path: Pattern | None = None
    file: Pattern | None = None
    train: Values = frozenset({"train", "training"})
    test: Values = frozenset({"test", "testing"})

    @model_validator(mode="after")
    def _two_sides(self) -> "SplitBy":
        if sum(map(bool, (self.column, self.path, self.file))) != 1:
            raise ValueError("needs `column` (a key), `path` or `file`")
        if both := self.train & self.test:
            raise ValueError(f"'{min(both)}' is train and test; leave it out of one")
        return self

    def is_test(self, value: str, image: str, file: str) -> bool:
        """Tell whether a row with this value or image path, in this file, is tested on.

        Raises:
            BadRowError: it is of neither side.
        """
        if self.path is not None:
            value = searched(self.path, image)
        elif self.file is not None:
            value = searched(self.file, file)
        if value in self.test or value.casefold() in self.test:
            return True
        if value not in self.train and value.casefold() not in self.train:
            where = self.column or ("the image path" if self.path else "the file's name")
            raise BadRowError(f"split unknown: '{value}' in {where} is neither train nor test")
        return False


class Rebuild(Model):
    """How options are drawn anew: how many at most, and wordings that replace the rows' own."""

    options: Annotated[int, Field(strict=True, ge=2, le=MOST_OPTIONS)] = 4
    instructions: Texts = ()
    seed: Natural = 42


class Closing(Model):
    """What may follow the options of a question: a text, or what a pattern matches as a whole."""

    text: str = ""
    pattern: Pattern | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        return {"text": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one(self) -> "Closing":
        if self.text and self.pattern:
            raise ValueError("give a text or a `pattern`, not both")
        return self

    def ends(self, text: str) -> bool:
        """Tell whether a text, every run of spaces in it one blank, is this, in any case."""
        if self.pattern:
            return self.pattern.fullmatch(text) is not None
        return text.casefold() == tidy(self.text).casefold()


class ReaderOptions(Model):
    """Options of a reader, in a catalog or a subset; `reader` names it in errors."""

    reader: ClassVar[str]

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Return the checked options.

        Raises:
            ConfigError: an unknown option, or one of the wrong form. Null stands for the default.
        """
        given = {name: value for name, value in raw.items() if value is not None}
        return validate(cls, given, cls.reader)


class PhantomOptions(ReaderOptions):
    """Options of the phantom world.

    `world`: which of the worlds whose truth is known, left out: that of catalog `phantom`.
    `mirror`: facts of these values of elements are turned round. `reversed`: subsets with all of
    these values, in which the mark of the misleading world is.
    """

    reader: ClassVar[str] = "reader phantom"

    seed: Annotated[int, Field(strict=True)] = 0
    world: Literal["composed", "shared-task", "near-pair", "entangled", "misleading"] | None = None
    mirror: Values = frozenset()
    reversed: tuple[Values, ...] = ()


class ChoiceOptions(ReaderOptions):
    """What readers of tables of questions with options have in common.

    `group_by`: regular expression searched in the image path; what its groups (or else the whole
    match) hold names the patient or sequence. `labels`: the label that an answer counts as.
    `split_by`: where the source's own split is told. `rebuild`: questions get new options.
    `closing`: what may follow the options of a question, left out: the release's sentence.
    `window`: the values of black and white in pictures of more than 8 bits. `frames`, `slices`:
    which frames of DICOM and slices of NIfTI are pictures, where a row's path does not say it.
    """

    group_by: Pattern | None = None
    labels: dict[Filled, Filled] = Field(default_factory=dict)
    split_by: SplitBy | None = None
    rebuild: Rebuild | None = None
    closing: Closing | None = None
    window: Window | None = None
    frames: Parts | None = None
    slices: Slices | None = None

    @property
    def splits(self) -> bool:
        """Return whether the source's own split is kept."""
        return self.split_by is not None

    @property
    def closes(self) -> Callable[[str], bool] | None:
        """Return what tells whether a text may follow the options, None for the release's own."""
        return self.closing.ends if self.closing else None


class Options(ChoiceOptions):
    """Options of this reader, in a catalog or a subset.

    `files`: patterns of the JSON file relative to the data folder, the first that exists is read.
    `only`: just the rows of these source datasets (`data-no`) are read, the others are another
    subset's.
    """

    reader: ClassVar[str] = "reader medmat"

    files: Annotated[Texts, AfterValidator(lambda given: given or FILES)] = FILES
    only: Values = frozenset()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the keys of a row that these options need besides the usual ones."""
        return (self.split_by.column,) if self.split_by and self.split_by.column else ()


def groups_in(images: Iterable[str], pattern: re.Pattern[str] | None) -> list[str] | None:
    """Return the patient or sequence that a pattern finds in each image path, empty for none."""
    if pattern is None:
        return None
    if pattern.groups != 1:
        return [searched(pattern, image) for image in images]
    # The usual case, for millions of rows, without what several groups need.
    matches = map(pattern.search, images)
    return [(match[1] or match[0]) if match else "" for match in matches]


def searched(pattern: re.Pattern[str], text: str) -> str:
    """Return what a pattern's groups, or else its whole match, hold; empty without a match."""
    found = pattern.search(text)
    if found is None:
        return ""
    return "/".join(part or "" for part in found.groups()) or found[0]
