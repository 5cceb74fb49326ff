"""What every model of a YAML file is made of: a closed record, and the types of its values."""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Kind = Literal["classification", "detection", "segmentation"]


def _number(value: object) -> object:
    """Read `1e-4`, which YAML 1.1 takes for a string, as the number its author meant."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value


def _listed(value: object) -> object:
    """Let one value stand for a list of one."""
    return [value] if isinstance(value, str | int | float) else value


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse a list that says something twice."""
    for position, value in enumerate(values):
        if value in values[:position]:
            said = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else repr(value)
            raise ValueError(f"{said} stands twice; remove one")
    return values


# Strict: YAML's `true` is no number and its `"3"` no integer, whatever pydantic would make of them.
Float = Annotated[float, BeforeValidator(_number), Field(strict=True, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]
Slug = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=60)]
Text = Annotated[str, Field(min_length=1)]
Words = Annotated[
    tuple[Text, ...], BeforeValidator(_listed, json_schema_input_type=str | tuple[Text, ...])
]
Once = AfterValidator(_once)
Positive = Annotated[int, Field(strict=True, gt=0)]
Natural = Annotated[int, Field(strict=True, ge=0)]
Sizes = Annotated[
    tuple[Natural, ...],
    BeforeValidator(_listed, json_schema_input_type=Natural | tuple[Natural, ...]),
    Field(min_length=1),
    Once,
]
Fraction = Annotated[Float, Field(ge=0, lt=1)]


class Model(BaseModel):
    """A closed, immutable, strictly typed record; `_file` is where it was read from, for errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    _file: str = ""

    @property
    def where(self) -> str:
        """Name the record in an error: its file where it came from one."""
        return self._file or f"{type(self).__name__.lower()} '{getattr(self, 'name', '')}'"

    def canonical(self, exclude: set[str] | None = None) -> str:
        """Return JSON with sorted keys: equal records give equal text."""
        data = self.model_dump(mode="json", exclude=exclude)
        return json.dumps(data, sort_keys=True, separators=(",", ":"))
