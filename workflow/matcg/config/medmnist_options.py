"""Options of the reader of MedMNIST's files, as a catalog or a subset gives them."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from matcg.config.reader_options import ChoiceOptions, Filled


class MedmnistOptions(ChoiceOptions):
    """Options of this reader, in a catalog or a subset.

    `size`: of the pictures, in pixels. `names`: the labels in the order of their numbers. Of a set
    with several labels a picture each is asked by `question`, else questions are made by `rebuild`.
    `train`: the official splits that are trained on; its `test` is tested on.
    """

    reader: ClassVar[str] = "reader medmnist"

    size: Literal[28, 64, 128, 224] = 28
    names: Annotated[tuple[Filled, ...], Field(min_length=2)]
    question: str = ""
    train: Annotated[tuple[Literal["train", "val"], ...], Field(min_length=1)] = ("train",)

    @model_validator(mode="after")
    def _whole(self) -> "MedmnistOptions":
        made = bool(self.rebuild and self.rebuild.instructions)
        if made == bool(self.question):
            raise ValueError(
                "give `rebuild` with `instructions`, or `question` to ask of each name"
            )
        if self.question and "{finding}" not in self.question:
            raise ValueError("`question` needs {finding}, which is what it asks of")
        if len(set(self.names)) < len(self.names) or len(set(self.train)) < len(self.train):
            raise ValueError("`names` and `train` must not name one twice")
        if self.split_by:
            raise ValueError("`split_by`: leave it out; the official split is kept")
        return self

    @property
    def splits(self) -> bool:
        """Return that the official split is kept."""
        return True

    def file(self, subset: str) -> str:
        """Return the name of a subset's file, as the package `medmnist` names it."""
        return f"{subset}.npz" if self.size == 28 else f"{subset}_{self.size}.npz"
