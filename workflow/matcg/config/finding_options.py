"""Options of the readers of boxes and masks, as a catalog or a subset gives them."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from matcg.config.base import Positive, Text
from matcg.config.reader_options import Filled, Pattern, ReaderOptions, SplitBy, Texts, Window
from matcg.config.scan_options import Parts, Slices

QUESTION = "Find all of these in the picture."


class FindingOptions(ReaderOptions):
    """Options of these readers, in a catalog or a subset.

    `files` and `images` are patterns below the data folder. In both `{id}` is the subset,
    `{dataset}` each of its source datasets in turn, `*` any part of a name. `{image}` is what the
    files call a picture, and `{class}` (of masks) what they call a class.

    `classes`: the label that a class counts as, null to leave its findings out; a class that is
    not named is an error, unless there is no such map. `names`: the file that names YOLO's classes.
    `columns`: what a table calls its columns. `corners`: whether VOC's corners count from 1 and
    belong to the box. `coding`: what the values of a mask's pixels are. `boxes`: the outermost box
    of a mask, or one for each connected component of `smallest` pixels or more. `questions`: how
    to ask, of which a sample gets one. `group_by`, `split_by`, `window`, `frames`, `slices`: as
    those of the reader medmat, but that each file has one picture.
    """

    reader: ClassVar[str] = "reader of boxes and masks"

    files: Annotated[Texts, Field(min_length=1)]
    images: Text
    classes: dict[Filled, Filled | None] | None = None
    names: str = ""
    columns: dict[
        Literal["image", "label", "x1", "y1", "x2", "y2", "x", "y", "w", "h", "runs", "group"], Text
    ] = Field(default_factory=dict)
    corners: Literal["inclusive", "exclusive"] = "inclusive"
    coding: Literal["binary", "values", "instances"] = "binary"
    boxes: Literal["outer", "component"] = "outer"
    smallest: Positive = 1
    questions: Annotated[Texts, Field(min_length=1)] = (QUESTION,)
    group_by: Pattern | None = None
    split_by: SplitBy | None = None
    window: Window | None = None
    frames: Parts | None = None
    slices: Slices | None = None

    def of(self, subset: str, dataset: str) -> "FindingOptions":
        """Return the options with the patterns of one source dataset of a subset."""

        def put(pattern: str) -> str:
            return pattern.replace("{id}", subset).replace("{dataset}", dataset)

        return self.model_copy(
            update={
                "files": tuple(map(put, self.files)),
                "images": put(self.images),
                "names": put(self.names),
            }
        )
