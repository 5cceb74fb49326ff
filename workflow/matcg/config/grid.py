"""Grids of a catalog: every combination of the elements' values as a subset, once a block."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from matcg.config.base import Model, Slug, Words
from matcg.errors import nearest

HeldOut = Literal["reported", "tuning"]


class Block(Model):
    """A copy of a grid: options of its subsets, and which of them are targets."""

    options: dict[str, Any] = Field(default={}, description="override the reader's")
    reported: tuple[Words, ...] = Field(
        default=(), description="targets that results are of: subsets with all of these values"
    )
    tuning: tuple[Words, ...] = Field(
        default=(), description="targets on which everything is tuned, and nothing is reported"
    )


class Grid(Model):
    """Every combination of the elements' values as a subset, once a block."""

    values: dict[Slug, Annotated[Words, Field(min_length=1)]] = Field(
        description="the values of each element"
    )
    blocks: Annotated[dict[Slug, Block], Field(min_length=1)]

    @model_validator(mode="after")
    def _targets_are_there(self) -> "Grid":
        known = {value for values in self.values.values() for value in values}
        for name, block in self.blocks.items():
            for value in (v for each in (*block.reported, *block.tuning) for v in each):
                if value not in known:
                    raise ValueError(
                        f"blocks.{name}: no element has a value '{value}'.{nearest(value, known)}"
                    )
        return self

    def subsets(self) -> Iterator[dict[str, Any]]:
        """Yield each subset as a file would list it; its id is its block and its values."""
        for (name, block), values in product(self.blocks.items(), product(*self.values.values())):
            yield {
                "id": "-".join([name, *(value.lower().replace("-", "") for value in values)]),
                "name": " ".join(values),
                "block": name,
                "options": block.options,
                "held_out": next(_lists(block, values), None),
                **dict(zip(self.values, values, strict=True)),
            }


def _lists(block: Block, values: Sequence[str]) -> Iterator[str]:
    """Yield the lists of targets that a subset of these values is on."""
    for name in get_args(HeldOut):
        if any(set(target) <= set(values) for target in getattr(block, name)):
            yield name


def in_grid(grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a grid's subsets, none where it is wrong: that is said where the field is checked."""
    try:
        return list(Grid.model_validate(grid).subsets())
    except ValidationError:
        return []
