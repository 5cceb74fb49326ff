"""How a paper lays out the table of an experiment."""

import re
from typing import Literal

from pydantic import Field, model_validator

from matcg.config.base import Model, Name, Slug, Text


def slug_of(name: str) -> str:
    """Return a heading as the names of CSV columns start with it."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower().replace("+", "_plus")).strip("_")


class LayoutColumn(Model):
    """A column of a paper's table: an arm's accuracy, or its difference from the arm `minus`."""

    name: Text = Field(description="what the paper calls it")
    arm: Slug
    minus: Slug | None = None
    rule: Name | None = Field(default=None, description="only the runs of this rule")
    condition: str = Field(
        default="", description="what the paper did besides, as its published figures name it"
    )


class Layout(Model):
    """How a paper lays out the table of an experiment; everything has a default."""

    title: str = Field(default="", description="left out: the experiment's question")
    rows: Literal["combination", "target"] | None = Field(
        default=None, description="left out: combinations where there is an arm `cg`, else targets"
    )
    blocks: tuple[Literal["backbone", "rule", "target"], ...] | None = Field(
        default=None, description="what rows are grouped by; left out: rules, if there are any"
    )
    columns: tuple[LayoutColumn, ...] = Field(
        default=(), description="left out: what is printed, or all arms"
    )
    across: Literal["samples", "mixed_in", "condition"] | None = Field(
        default=None, description="a column a size or a condition; `columns` become rows"
    )
    conditions: dict[str, Text] = Field(
        default_factory=dict,
        description="the protocol in which arms of this experiment do what the paper did besides",
    )
    scatter: Literal["questions", "seeds"] = Field(
        default="questions",
        description="beside ours: a 95 % interval over questions, or the deviation over seeds, or"
        " over the draws of one seed",
    )

    @model_validator(mode="after")
    def _columns_differ(self) -> "Layout":
        slugs = [slug_of(column.name) for column in self.columns]
        for column, slug in zip(self.columns, slugs, strict=True):
            if not slug or slugs.count(slug) > 1:
                raise ValueError(f"columns: name '{column.name}' is not told apart; rename it")
        return self
