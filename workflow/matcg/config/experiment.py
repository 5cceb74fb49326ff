"""Experiments: targets, rules, arms, sizes, seeds and backbones of one question."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from matcg.config.arm import (
    ARMS,
    BASELINE,
    CG,
    CONTROL,
    EMPTY,
    STANDARD,
    Arm,
    Covering,
    OfCombinations,
    check_arm,
    reference,
)
from matcg.config.base import Float, Model, Name, Natural, Once, Positive, Sizes, Slug, Text, Words
from matcg.config.layout import Layout
from matcg.config.protocol import DEFAULT_PROTOCOL
from matcg.telling import MINIMUM

LIKE = 0.7  # how alike a name must be to be taken for a misspelt one


class Choose(Model):
    """Which of a rule's combinations are run."""

    n: Positive | None = Field(default=1, description="how many; null takes all")
    per: Literal["target", "rule"] = Field(
        default="target", description="target: n for each target; rule: n over all targets together"
    )
    seed: Natural = 42
    labels: Words = Field(default=(), description="only listed combinations of these labels")


class Experiment(Model):
    """A named question: targets, rules, arms, backbones, seeds."""

    name: Name
    question: str = ""
    catalog: Text
    targets: Annotated[tuple[str | dict[str, Words], ...], Once] = Field(
        default=(), description="ids or patterns; left out: the targets of the listed combinations"
    )
    rules: Annotated[tuple[Text, ...], Once] = Field(
        default=(), description="where the CG arm's sources come from"
    )
    choose: Choose = Field(default=Choose())
    samples: Sizes = Field(description="size of every training mix; several: one after the other")
    mixed_in: Sizes = Field(
        default=(0,),
        description="so many training samples of the target are added to every mix",
    )
    general: dict[Slug, Positive] = Field(
        default_factory=dict,
        description="so many samples of the catalog's general sets are added to every mix",
    )
    leaks: Literal["drop", "report", "error"] = Field(
        default="drop",
        description="training pictures that are a target's test pictures: left out; trained on and"
        " reported; an error",
    )
    min_size: Natural = Field(
        default=0, description="training samples that every source must be known to have"
    )
    short: Literal["refuse", "others", "repeat"] = Field(
        default="refuse",
        description="where a source has too few samples: an error; the others give more; its"
        " samples are repeated",
    )
    arms: dict[Slug, Arm] = Field(
        default_factory=dict, json_schema_extra={"properties": dict.fromkeys(STANDARD, EMPTY)}
    )
    design: Literal["coverage"] | None = Field(
        default=None,
        description="coverage: an arm for every set of the catalog's elements, instead of `arms` or"
        " beside them",
    )
    sharing: Literal["exact", "up-to"] = Field(
        default="exact",
        description="sources of a covered element: exact: they share no other element with the"
        " target; up-to: none but covered ones",
    )
    backbones: Annotated[tuple[Text, ...], Field(min_length=1), Once]
    recipe: Name = "full"
    seeds: Annotated[tuple[Natural, ...], Field(min_length=1), Once] = (0,)
    data_seed: Natural = Field(default=0, description="seed of the draw from each subset")
    family: Literal["rule", "target", "experiment"] = Field(
        default="rule",
        description="comparisons over which a false claim is guarded against (Holm): those of a"
        " rule, of a target, all of the experiment",
    )
    minimum_effect: Annotated[Float, Field(gt=0, lt=1)] = Field(
        default=0.10,
        description="smallest difference of interest: a test that could have missed it is called"
        " `not detectable at this n`, and no evidence against",
    )
    minimum_questions: Natural = Field(
        default=MINIMUM,
        description="test questions that a target must have for a verdict; smoke runs ask for none",
    )
    published: str | None = Field(
        default=None, description="CSV file, relative to this one, of printed figures for it"
    )
    protocol: Text = Field(
        default=DEFAULT_PROTOCOL, description="how questions are asked and answers read"
    )
    also: Annotated[tuple[Text, ...], Once] = Field(
        default=(), description="further protocols, reported beside what is compared"
    )
    layout: Layout | None = Field(
        default=None, description="how a paper lays its table out; left out: as is printed"
    )

    @property
    def compared(self) -> str:
        """Say what differences are taken from."""
        found = reference(self.arms)
        if found in self.arms:
            return f"differences are taken from the arm '{found}'"
        return f"there is no arm '{CONTROL}' or '{BASELINE}' that differences could be taken from"

    def warnings(self) -> Iterator[str]:
        """Yield a line for each arm whose name looks like a misspelt one that the report reads."""
        missing = [name for name in ARMS if name not in self.arms]
        for name in sorted(self.arms.keys() - ARMS):
            for close in get_close_matches(name.casefold(), missing, 1, LIKE):
                yield (
                    f"{self.where}: arms.{name}: did you mean '{close}'? As it is, {self.compared}"
                )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the sizes that are trained, in order."""
        return tuple(sorted(self.samples))

    @model_validator(mode="before")
    @classmethod
    def _write_out_arms(cls, data: Any) -> Any:
        """Let `{}` stand for what the arm's name says."""
        if not isinstance(data, dict) or not isinstance(data.get("arms"), dict):
            return data
        arms = dict(data["arms"])
        for name in STANDARD.keys() & arms.keys():
            if arms[name] == {}:
                arms[name] = STANDARD[name]
            elif isinstance(arms[name], dict) and "like" not in arms[name]:
                raise ValueError(f"arms.{name}: takes no settings; write `{name}: {{}}`")
        return {**data, "arms": arms}

    @model_validator(mode="after")
    def _sizes_make_sense(self) -> "Experiment":
        if 0 in self.samples:
            raise ValueError(
                "samples: 0 trains nothing: leave it out; the arm `baseline: {}` stands for it"
            )
        if self.published and (len(self.sizes) > 1 or len(self.mixed_in) > 1):
            raise ValueError("published: printed figures are of one size; give one of each")
        if self.published and self.layout and self.layout.across in ("samples", "mixed_in"):
            raise ValueError("layout.across: printed figures are of one size; drop one of the two")
        return self

    @model_validator(mode="after")
    def _conditions_are_met(self) -> "Experiment":
        asked = {arm.protocol for arm in self.arms.values()}
        for name, protocol in self.layout.conditions.items() if self.layout else ():
            if protocol not in asked:
                raise ValueError(
                    f"layout.conditions.{name}: no arm is asked by protocol '{protocol}'; give it"
                    " arms, such as `{like: cg, protocol: " + protocol + "}`"
                )
        return self

    @model_validator(mode="after")
    def _arms_make_sense(self) -> "Experiment":
        if not self.arms and not self.design:
            raise ValueError("arms: is missing; add `arms: ...`, or `design: coverage`")
        for name, arm in self.arms.items():
            check_arm(name, arm, self.sizes)
        covering = self.design or any(isinstance(arm, Covering) for arm in self.arms.values())
        if self.sharing != "exact" and not covering:
            raise ValueError("sharing: says nothing without `design: coverage`; leave it out")
        if self.rules and CG not in self.arms:
            raise ValueError("arms: 'cg', the arm under test, is missing; add `cg: {}`")
        if not self.rules and any(isinstance(arm, OfCombinations) for arm in self.arms.values()):
            raise ValueError("rules: is missing; the arm 'cg' takes its sources from rules")
        return self
