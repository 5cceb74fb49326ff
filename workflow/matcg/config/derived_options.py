"""Options of the reader of derived subsets, which a catalog's key `derived` makes."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from matcg.config.base import Natural
from matcg.config.catalog import Preparation
from matcg.config.reader_options import ReaderOptions, Texts


class DerivedOptions(ReaderOptions):
    """Options of this reader.

    `of`: how the subsets are prepared that pictures are of. `change`: what is made of a picture,
    left out: nothing. `labels`: what is right, of a change for each thing that is made of a
    picture. `choices`: what is offered, up to four of them. `questions`: wordings.
    """

    reader: ClassVar[str] = "reader derived"

    of: Annotated[tuple[Preparation, ...], Field(min_length=1)]
    change: Literal["orientation", "quality"] | None = None
    labels: Annotated[Texts, Field(min_length=1)]
    choices: Annotated[Texts, Field(min_length=2)]
    questions: Annotated[Texts, Field(min_length=1)]
    seed: Natural
