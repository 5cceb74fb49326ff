"""Options of the reader of class folders, as a catalog or a subset gives them."""

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from matcg.config.reader_options import ChoiceOptions, Rebuild, Texts, Values


class ClassFolderOptions(ChoiceOptions):
    """Options of this reader, in a catalog or a subset.

    `files`: patterns of the pictures below the data folder, with `{class}` for the folder that says
    what is right, `{image}` for the rest of the path, `{id}` for the subset. `only`: just these
    class folders. `labels`: the label that a class folder counts as.
    """

    reader: ClassVar[str] = "reader class_folders"

    files: Annotated[Texts, Field(min_length=1)]
    only: Values = frozenset()
    rebuild: Rebuild

    @model_validator(mode="after")
    def _whole(self) -> "ClassFolderOptions":
        for pattern in self.files:
            if "{class}" not in pattern or "{image}" not in pattern:
                raise ValueError(f"`files`: '{pattern}' needs {{class}} and {{image}}")
        if not self.rebuild.instructions:
            raise ValueError("`rebuild` needs `instructions`: folders hold no questions")
        if self.split_by and self.split_by.column:
            raise ValueError("`split_by` names a column; folders have none, so give its `path`")
        return self
