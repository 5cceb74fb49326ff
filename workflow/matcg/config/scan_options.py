"""Which frames of DICOM and slices of NIfTI are pictures, as options of readers say it."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from matcg.config.base import Model, Positive


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, int) and not isinstance(given, bool) else given


class Parts(Model):
    """Which parts of a file are pictures: `every` n-th, or those `at` these numbers, from 1."""

    every: Positive | None = None
    at: (
        Literal["middle"]
        | Annotated[tuple[Positive, ...], BeforeValidator(_listed), Field(min_length=1)]
        | None
    ) = None

    @model_validator(mode="after")
    def _one(self) -> "Parts":
        if self.every and self.at:
            raise ValueError("give `every` or `at`, not both")
        if isinstance(self.at, tuple) and len(set(self.at)) < len(self.at):
            raise ValueError("`at` has a number twice")
        return self

    @property
    def said(self) -> bool:
        """Return whether there is a rule."""
        return self.every is not None or self.at is not None


class Slices(Parts):
    """Which slices of a volume are pictures, and how it is cut.

    `orientation: stored` takes the volume's axes for right, front and up as they are.
    """

    axis: Literal["axial", "coronal", "sagittal"] = "axial"
    orientation: Literal["canonical", "stored"] = "canonical"
