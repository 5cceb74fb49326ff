"""Combination rules: which subsets train for a target."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from matcg.config.base import Kind, Model, Name, Natural, Positive, Slug

# What goes with each way to say which sources there are; `target: alone` says it by itself.
GOES_WITH = {
    "sources": {"select", "exclude", "kinds", "min_size", "quotas"},
    "python": {"exclude", "kinds", "min_size"},
    "listed": set[str](),
    "target: alone": set[str](),
}
Relation = Literal["same", "other", "any"]


class Listed(Model):
    """One combination written out, as a published table names it."""

    target: Slug
    sources: Annotated[tuple[Slug, ...], Field(min_length=1)]
    label: str = Field(default="", description="what the table calls it: its row")
    rule: Name | None = Field(default=None, description="the rule that it is an example of")


class Rule(Model):
    """A combination rule: which subsets train for a target.

    A pattern gives, for an element or for several taken as one (`[modality, area]`), how a source
    stands to the target: `same` shares a value, `other` shares none, `any` (as an element left out)
    does not matter. Sources are of the target's kind unless the pattern names `kind`, or the rule
    `kinds`.
    """

    name: Name
    description: str = ""
    sources: tuple[dict[str, Relation], ...] = Field(default=(), description="one pattern a source")
    select: Literal["each", "all"] = Field(
        default="each",
        description="each: every choice of one subset a pattern; all: every match together",
    )
    exclude: tuple[dict[str, Relation], ...] = Field(default=(), description="never a source")
    kinds: tuple[Kind, ...] = Field(
        default=(), description="kinds that a source may be of, whatever the target's"
    )
    min_size: Natural = Field(
        default=0, description="training samples that a source must be known to have"
    )
    quotas: tuple[Positive, ...] = Field(
        default=(), description="how many parts of the samples each pattern's sources give"
    )
    target: Literal["held-out", "included", "alone"] = Field(
        default="held-out",
        description="included, alone: the target trains too; only for arms that are no CG",
    )
    listed: tuple[Listed, ...] = Field(default=(), description="combinations, instead of patterns")
    python: str | None = Field(default=None, description="file.py:function, instead of patterns")

    @model_validator(mode="after")
    def _one_way(self) -> "Rule":
        ways = [way for way in ("sources", "listed", "python") if getattr(self, way)]
        ways += ["target: alone"] if self.target == "alone" else []
        if len(ways) != 1:
            raise ValueError(
                "give one of `sources` (patterns), `listed` (combinations) and `python`"
                " (file.py:function), or `target: alone`"
            )
        if self.python and not re.fullmatch(r".+\.py:[A-Za-z_]\w*", self.python):
            raise ValueError(f"python: '{self.python}' is not of the form file.py:function")
        for key in sorted(GOES_WITH["sources"] - GOES_WITH[ways[0]]):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: says nothing beside `{ways[0]}`; leave it out")
        return self

    @model_validator(mode="after")
    def _patterns_fit(self) -> "Rule":
        if self.quotas and len(self.quotas) != len(self.sources):
            raise ValueError(
                f"quotas: {len(self.quotas)} for {len(self.sources)} patterns; give one a pattern"
            )
        if self.target == "included" and not (self.sources and self.select == "all"):
            raise ValueError("target: 'included' needs `sources` with `select: all`")
        return self
