"""Typed, closed models of every YAML file a user writes, and a loader that explains what is wrong.

Config, catalogs, combination rules, backbones and experiments are read here and nowhere else. A
file may name another by its name (`phantom`, searched in the folder of its kind) or by a path that
ends in `.yaml`, relative to the file that names it.
"""

import csv
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    model_validator,
)

from matcg import versions
from matcg.data.options import Options
from matcg.errors import ConfigError, nearest
from matcg.published import Printed, read_published

# One file a thing, in one folder a kind, below the repository.
FOLDERS = {
    "experiment": "experiments",
    "catalog": "catalogs",
    "rule": "combinations",
    "backbone": "backbones",
    "protocol": "protocols",
}
RESERVED = frozenset(
    {
        *("id", "name", "kind", "role", "datasets", "train", "test", "elements", "options"),
        *("python", "description"),
    }
)
LETTERS = "letters"  # the protocol that is used where none is named
# Keys of a backbone that matter when it is asked, and to no training.
ASKING = {"turn_end", "several_images", "engine"}
CONVERTED = "results/converted"  # where the rule `convert` writes
SMALL_WEIGHTS = 64_000_000  # bytes up to which weights are digested whole
BLOCKS, BLOCK = 32, 4096  # blocks, and bytes of each, that stand for a larger file

Kind = Literal["classification", "detection", "segmentation"]
Relation = Literal["same", "other", "any"]


def _number(value: object) -> object:
    """Read `1e-4`, which YAML 1.1 takes for a string, as the number its author meant."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value


def _listed(value: object) -> object:
    """Let one value stand for a list of one."""
    return [value] if isinstance(value, str | int | float) else value


# Strict: YAML's `true` is no number and its `"3"` no integer, whatever pydantic would make of them.
Float = Annotated[float, BeforeValidator(_number), Field(strict=True, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]
Slug = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=60)]
Text = Annotated[str, Field(min_length=1)]
Words = Annotated[
    tuple[Text, ...], BeforeValidator(_listed, json_schema_input_type=str | tuple[Text, ...])
]
Positive = Annotated[int, Field(strict=True, gt=0)]
Natural = Annotated[int, Field(strict=True, ge=0)]
Sizes = Annotated[
    tuple[Natural, ...],
    BeforeValidator(_listed, json_schema_input_type=Natural | tuple[Natural, ...]),
    Field(min_length=1),
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


class Split(Model):
    """How many samples of a subset train and test may hold; tests are strictly label-balanced."""

    train: Positive = Field(default=3000, description="cap on a subset's training samples")
    test: Positive = Field(default=1000, description="cap on a subset's test questions")
    test_fraction: Fraction = Field(
        default=0.1, description="share of a source without its own test split"
    )
    reserve: Fraction = Field(
        default=0.1,
        description="share of `train` kept besides, for pictures that a target is tested on",
    )
    seed: Natural = 42


class SubsetSpec(Model):
    """The unit that is held out: samples that share the values of the catalog's elements."""

    id: Slug
    name: str = ""
    kind: Kind = "classification"
    role: Literal["id", "ood"] | None = None
    datasets: Words = ()
    train: Natural | None = Field(
        default=None, description="training samples it has, where fewer than the split's cap"
    )
    test: Natural | None = Field(
        default=None, description="test questions it has, where fewer than the split's cap"
    )
    elements: dict[str, Words] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict, description="override the reader's")

    def values(self, element: str) -> frozenset[str]:
        """Return what the subset has of an element; `kind` and `role` can be asked for as well."""
        if element == "kind":
            return frozenset({self.kind})
        if element == "role":
            return frozenset({self.role} if self.role else ())
        return frozenset(self.elements[element])


class Release(Model):
    """Where a catalog's tables can be fetched from: a data set on the Hugging Face hub."""

    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{7,40}$")] = Field(
        description="commit, so that it is the same tomorrow; seven digits or more"
    )
    files: Annotated[tuple[Text, ...], Field(min_length=1)] = Field(
        description="patterns of the files that are fetched"
    )


class Overlap(Model):
    """Source datasets that are known or suspected to share images; the leak audit measures it."""

    datasets: Annotated[Words, Field(min_length=2)]
    what: Text
    source: Text = Field(description="who says so")


class Catalog(Model):
    """A table of subsets and where their samples come from."""

    name: Name
    description: str = ""
    reader: Literal["phantom", "medmat"]
    release: Release | None = Field(default=None, description="where its files can be fetched")
    folder: Name | None = Field(
        default=None, description="name of the catalog whose data folder this one shares"
    )
    sources: str | None = Field(
        default=None, description="CSV file of source datasets: dataset, name, url, and any more"
    )
    overlaps: tuple[Overlap, ...] = ()
    options: dict[str, Any] = Field(default_factory=dict, description="settings of the reader")
    elements: Annotated[tuple[Slug, ...], Field(min_length=1)]
    split: Split = Field(default=Split())
    near_duplicates: Annotated[int, Field(strict=True, ge=0, lt=64)] = Field(
        default=24, description="bits of 256 in which the hashes of two equal pictures may differ"
    )
    subsets: Annotated[tuple[SubsetSpec, ...], Field(min_length=1)]
    general: tuple[SubsetSpec, ...] = Field(
        default=(), description="sets without elements that are only ever added to training"
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_elements(cls, data: Any) -> Any:
        """Move each subset's element keys, flat in the file, below `elements`."""
        if not isinstance(data, dict) or not isinstance(data.get("elements"), list | tuple):
            return data
        names = [name for name in data["elements"] if isinstance(name, str)]
        subsets = data.get("subsets")
        if not isinstance(subsets, list | tuple):
            return data
        return {**data, "subsets": [_gathered(subset, names) for subset in subsets]}

    @model_validator(mode="after")
    def _consistent(self) -> "Catalog":
        for element in self.elements:
            if element in RESERVED or self.elements.count(element) > 1:
                raise ValueError(f"elements: '{element}' is reserved or stands twice; rename it")
        seen: set[str] = set()
        for key in ("subsets", "general"):
            for position, subset in enumerate(getattr(self, key)):
                if subset.id.casefold() in seen:
                    raise ValueError(
                        f"{key}[{position}].id: '{subset.id}' stands twice; rename one"
                    )
                seen.add(subset.id.casefold())
        for position, subset in enumerate(self.subsets):
            for element in self.elements:
                if not subset.elements.get(element):
                    raise ValueError(
                        f"subsets[{position}] ('{subset.id}'): no value for element '{element}';"
                        f" add `{element}: ...`"
                    )
        return self

    def subset(self, name: str) -> SubsetSpec:
        """Return one subset by id.

        Raises:
            ConfigError: no subset has that id.
        """
        for subset in self.subsets:
            if subset.id == name:
                return subset
        ids = [subset.id for subset in self.subsets]
        raise ConfigError(f"catalog '{self.name}' has no subset '{name}'.{nearest(name, ids)}")

    def member(self, name: str) -> SubsetSpec:
        """Return one subset or general set by id.

        Raises:
            ConfigError: there is none of that id.
        """
        return next((each for each in self.general if each.id == name), None) or self.subset(name)

    def preparation(self, name: str) -> "Preparation":
        """Return all that the samples of one subset or general set depend on."""
        return Preparation(
            catalog=self.name,
            reader=self.reader,
            options=self.options,
            split=self.split,
            near_duplicates=self.near_duplicates,
            subset=self.member(name).model_copy(update={"train": None, "test": None}),
            general=any(each.id == name for each in self.general),
        )

    def capacity(self, subset: SubsetSpec) -> int:
        """Return how many training samples a subset gives at most, as far as the catalog knows."""
        return self.split.train if subset.train is None else min(self.split.train, subset.train)

    def gives(self, subset: SubsetSpec, n: int) -> bool:
        """Tell whether a subset is known to give `n` training samples.

        A subset with role `ood` is declared to have fewer than the cap, how many is not known
        unless it says `train`.
        """
        unknown = subset.role == "ood" and subset.train is None
        return n == 0 or (self.capacity(subset) >= n and not unknown)


class Preparation(Model):
    """How one subset or general set becomes samples."""

    catalog: Name
    reader: Literal["phantom", "medmat"]
    options: dict[str, Any]
    split: Split
    near_duplicates: int
    subset: SubsetSpec
    general: bool = False


def _gathered(subset: Any, names: Sequence[str]) -> Any:
    if not isinstance(subset, dict) or "elements" in subset:
        return subset
    rest = {key: value for key, value in subset.items() if key not in names}
    return {**rest, "elements": {key: subset[key] for key in names if key in subset}}


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
        ways = sum(map(bool, (self.sources, self.listed, self.python)))
        if ways != (self.target != "alone"):
            raise ValueError(
                "give one of `sources` (patterns), `listed` (combinations) and `python`"
                " (file.py:function), or `target: alone`"
            )
        if self.python and not re.fullmatch(r".+\.py:[A-Za-z_]\w*", self.python):
            raise ValueError(f"python: '{self.python}' is not of the form file.py:function")
        return self

    @model_validator(mode="after")
    def _patterns_fit(self) -> "Rule":
        if self.quotas and len(self.quotas) != len(self.sources):
            raise ValueError(
                f"quotas: {len(self.quotas)} for {len(self.sources)} patterns; give one a pattern"
            )
        if self.target == "included" and not (self.sources and self.select == "all"):
            raise ValueError("target: 'included' needs `sources` with `select: all`")
        if self.listed and (self.exclude or self.kinds or self.min_size):
            raise ValueError("listed: takes no `exclude`, `kinds` or `min_size`; leave rows out")
        return self


class Image(Model):
    """How a picture reaches the vision tower."""

    size: Positive = Field(description="edge in pixels")
    geometry: Literal["squash", "pad", "crop"] = "squash"


class Recipe(Model):
    """How to fine-tune."""

    method: Literal["full", "lora"] = "full"
    learning_rate: Annotated[Float, Field(gt=0)]
    epochs: Positive
    batch_size: Positive
    warmup: Fraction = Field(
        default=0.0, description="share of all steps with a rising learning rate"
    )
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    weight_decay: Annotated[Float, Field(ge=0)] = 0.0
    trains: tuple[Literal["llm", "projector", "tower"], ...] = ("llm", "projector", "tower")
    rank: Positive | None = Field(default=None, description="LoRA only")
    alpha: Annotated[Float, Field(gt=0)] | None = Field(default=None, description="LoRA only")

    @model_validator(mode="after")
    def _lora(self) -> "Recipe":
        given = self.rank is not None or self.alpha is not None
        if (self.method == "lora") != (self.rank is not None) or (given and self.method == "full"):
            raise ValueError("`rank` and `alpha` belong to method lora, which needs `rank`")
        return self


class Amounts(Model):
    """What fine-tuning with one recipe needs in place of what the backbone's jobs need."""

    gpu: Positive | None = Field(default=None, description="a process each trains the run")
    threads: Positive | None = None
    mem_mb: Positive | None = None
    runtime: Positive | None = Field(default=None, description="minutes of the first try")
    samples_per_second: Annotated[Float, Field(gt=0)] | None = Field(
        default=None, description="fine-tuning speed of a job, until runs have been measured"
    )


class Resources(Model):
    """Where a backbone's jobs run; changes no result and reruns nothing."""

    gpu: Natural = 0
    threads: Positive = 1
    mem_mb: Positive = 4000
    runtime: Positive = Field(default=60, description="minutes of the first try; retries get more")
    micro_batch: Positive | None = Field(
        default=None, description="samples at a time on the device"
    )
    gradient_checkpointing: StrictBool = Field(
        default=False,
        description="keep no layer's inner values for the way back, but compute them again: a third"
        " more arithmetic, and far less memory",
    )
    samples_per_second: Annotated[Float, Field(gt=0)] | None = Field(
        default=None, description="fine-tuning speed of a job, until runs have been measured"
    )
    questions_per_second: Annotated[Float, Field(gt=0)] | None = Field(
        default=None, description="prediction speed of a job, until some have been measured"
    )
    weights_mb: Positive | None = Field(
        default=None, description="disk that one fully fine-tuned copy takes"
    )
    adapter_mb: Positive | None = Field(default=None, description="disk that one LoRA run takes")
    recipes: dict[Name, Amounts] = Field(default={}, description="amounts of single recipes")

    def amount(self, name: str, recipe: str | None) -> int:
        """Return how much of a resource a job needs: its recipe's own amount or the common one."""
        asked: int = self._own(name, recipe) or getattr(self, name)
        return asked

    def speed(self, recipe: str) -> float | None:
        """Return how many samples a second fine-tuning is thought to see, None if not said."""
        return self._own("samples_per_second", recipe) or self.samples_per_second

    def _own(self, name: str, recipe: str | None) -> Any:
        return getattr(self.recipes.get(recipe or "", Amounts()), name, None)


class Original(Model):
    """Weights as LLaVA's own code writes them, of which a rule makes those that are loaded."""

    weights: Text = Field(description="folder relative to this file, or a hub name org/model")
    revision: str | None = Field(
        default=None, description="commit on the hub; needed for a hub name"
    )
    tower: Text | None = Field(
        default=None,
        description="folder or hub name of the CLIP that the vision tower was: its settings, and"
        " its weights where the checkpoint holds none; left out: the folder of the checkpoint that"
        " its config.json names",
    )
    tower_revision: str | None = Field(
        default=None, description="commit of the tower; needed for a hub name"
    )

    def folder(self, backbone: str) -> str:
        """Return where its weights as another class are, under a name that others would not have.

        What was trained on them can so be older than they are: who removes them may make them anew.
        """
        digest = hashlib.sha256(self.identity().encode()).hexdigest()
        return f"{CONVERTED}/{backbone}/{digest[:8]}"

    def identity(self) -> str:
        """Return what decides the weights made of it, wherever its files lie."""
        parts = [(self.weights, self.revision)]
        if self.tower:
            parts.append((self.tower, self.tower_revision))
        known = [digest_tree(Path(name)) or f"{name}@{revision}" for name, revision in parts]
        return " ".join([f"llava.{versions.CONVERT}", *known])


class Backbone(Model):
    """A base model: its weights, how it is asked, its recipes."""

    name: Name
    description: str = ""
    weights: str = Field(
        default="",
        description="folder relative to this file, or a hub name org/model; left out beside"
        " `original`",
    )
    revision: str | None = Field(
        default=None, description="commit on the hub; needed for a hub name"
    )
    original: Original | None = Field(
        default=None,
        description="in place of `weights`: a checkpoint in the layout of LLaVA's own code",
    )
    trust_remote_code: StrictBool = False
    architecture: Annotated[str, Field(pattern=r"^[a-z0-9_]+(/[a-z0-9_]+)?$")] | None = Field(
        default=None,
        description="`model_type` in the weights' config.json, as in qwen2_vl; where one class has"
        " several text models a slash and the text model's, as in llava/qwen2",
    )
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    image: Image
    prompt: Text = Field(description="holds {question}, and <image> where the picture goes")
    turn_end: str = Field(
        default="\n", description="between an example's answer and the next prompt, for examples"
    )
    several_images: StrictBool = Field(
        default=False, description="a prompt may hold several pictures, as examples need"
    )
    engine: Literal["vllm", "transformers"] = Field(
        default="vllm", description="what answers; transformers for classes that vLLM lacks"
    )
    recipes: Annotated[dict[Name, Recipe], Field(min_length=1)]
    resources: Resources = Field(default=Resources())

    _digest: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> "Backbone":
        if not self.weights and not self.original:
            raise ValueError("weights: is missing; a folder, a hub name, or `original` instead")
        made = not self.weights or self.weights.startswith(f"{CONVERTED}/")
        if self.original and (self.revision or not made):
            raise ValueError(
                "original: takes the place of `weights` and `revision`; leave these two out"
            )
        return self

    @model_validator(mode="after")
    def _askable(self) -> "Backbone":
        if "{question}" not in self.prompt:
            raise ValueError("prompt: has no {question}, where the question and its options go")
        for name in self.resources.recipes:
            if name not in self.recipes:
                raise ValueError(
                    f"resources.recipes: no recipe '{name}'.{nearest(name, self.recipes)}"
                )
        return self

    def asked(self) -> str:
        """Return canonical JSON of what decides how it is asked, and that training does not see."""
        return json.dumps({key: getattr(self, key) for key in sorted(ASKING)})

    def identity(self) -> str:
        """Return canonical JSON of what decides a fine-tuned model, wherever its files lie."""
        if not self._digest:
            folder = Path(self.weights)
            if self.original:
                found = self.original.identity()
            else:
                found = digest_weights(folder) if folder.is_dir() else ""
            self._digest = found or f"{self.weights}@{self.revision}"
        hidden = {"architecture", "description", "original", "recipes", "resources", "weights"}
        hidden |= ASKING
        return json.dumps(
            {**json.loads(self.canonical(hidden)), "weights": self._digest},
            sort_keys=True,
            separators=(",", ":"),
        )


class Protocol(Model):
    """How test questions are asked and answers read."""

    name: Slug  # a dot would be read as the number of a draw
    description: str = ""
    scoring: Literal["letter", "option-text", "generate"] = Field(
        default="letter",
        description="the likeliest option letter; the option with the likeliest text, by mean over"
        " its tokens; free text that a parser reads",
    )
    permutations: Positive = Field(
        default=1, description="cyclic orders of the options, over which probabilities are averaged"
    )
    image: Literal["shown", "blank", "shuffled"] = Field(
        default="shown", description="blank: grey; shuffled: that of another question of the target"
    )
    shots: Natural = Field(
        default=0, description="examples in the prompt, from the target's training samples"
    )
    per: Literal["label", "prompt"] = Field(
        default="label", description="so many `shots` of each label, or in all, labels in turn"
    )
    draws: Positive = Field(default=1, description="so many draws of examples, each asked")
    seed: Natural = Field(default=42, description="of examples, and of shuffled pictures")
    max_tokens: Positive = Field(default=16, description="generate: length of an answer")

    @model_validator(mode="after")
    def _sensible(self) -> "Protocol":
        if self.draws > 1 and not self.shots:
            raise ValueError("draws: there is nothing to draw without `shots`")
        if self.permutations > 1 and self.scoring != "letter":
            raise ValueError("permutations: orders matter to letters only; use `scoring: letter`")
        return self

    def identity(self) -> str:
        """Return canonical JSON of what decides answers."""
        return self.canonical({"description"})

    @property
    def tags(self) -> tuple[str, ...]:
        """Return what a run's name ends in where it is asked by this protocol, one a draw."""
        if self.name == LETTERS:
            return ("",)
        if self.draws == 1:
            return (f"@{self.name}",)
        return tuple(f"@{self.name}.{draw}" for draw in range(self.draws))


def by_tag(protocols: Iterable[Protocol]) -> dict[str, tuple[Protocol, int]]:
    """Return the protocol, and the number of its draw, that the end of a name stands for."""
    return {tag: (each, draw) for each in protocols for draw, tag in enumerate(each.tags)}


class Choose(Model):
    """Which of a rule's combinations are run."""

    n: Positive | None = Field(default=1, description="how many; null takes all")
    per: Literal["target", "rule"] = Field(
        default="target", description="target: n for each target; rule: n over all targets together"
    )
    seed: Natural = 42
    labels: Words = Field(default=(), description="only listed combinations of these labels")


class Arm(Model):
    """One way to train for the comparison. `baseline` and `cg` have no settings of their own."""

    rule: str | None = Field(default=None, description="where its sources come from")
    like: Literal["cg", "baseline"] | None = Field(
        default=None,
        description="the sources of each CG combination, instead of a rule's; or no training",
    )
    protocol: Text | None = Field(
        default=None, description="how this arm is asked, where not as the others"
    )
    labels: Literal["true", "shuffled"] = "true"
    target: Natural = Field(
        default=0, description="so many of the samples are the target's training data"
    )
    samples: Positive | None = Field(
        default=None, description="size of this arm's mix, where it is not to be that of the others"
    )
    draws: Positive = Field(
        default=1,
        description="so many training sets, each drawn anew, so that the luck of one draw shows",
    )


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


class Experiment(Model):
    """A named question: targets, rules, arms, backbones, seeds."""

    name: Name
    question: str = ""
    catalog: Text
    targets: tuple[str | dict[str, Words], ...] = Field(
        default=(), description="ids or patterns; left out: the targets of the listed combinations"
    )
    rules: tuple[Text, ...] = Field(default=(), description="where the CG arm's sources come from")
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
    arms: Annotated[dict[Slug, Arm], Field(min_length=1)]
    backbones: Annotated[tuple[Text, ...], Field(min_length=1)]
    recipe: Name = "full"
    seeds: Annotated[tuple[Natural, ...], Field(min_length=1)] = (0,)
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
    published: str | None = Field(
        default=None, description="CSV file, relative to this one, of printed figures for it"
    )
    protocol: Text = Field(default=LETTERS, description="how questions are asked and answers read")
    also: tuple[Text, ...] = Field(
        default=(), description="further protocols, reported beside what is compared"
    )
    layout: Layout | None = Field(
        default=None, description="how a paper lays its table out; left out: as is printed"
    )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the sizes that are trained; 0 among `samples` stands for the baseline."""
        return tuple(sorted({n for n in self.samples if n}))

    @model_validator(mode="after")
    def _sizes_make_sense(self) -> "Experiment":
        if not self.sizes:
            raise ValueError("samples: 0 alone trains nothing; add a size")
        if 0 in self.samples and "baseline" not in self.arms:
            raise ValueError("samples: 0 stands for the baseline; add `baseline: {}` to `arms`")
        if self.published and (len(self.sizes) > 1 or len(set(self.mixed_in)) > 1):
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
        for name, arm in self.arms.items():
            _check_arm(name, arm, self.sizes)
        if self.rules and "cg" not in self.arms:
            raise ValueError("arms: 'cg', the arm under test, is missing; add `cg: {}`")
        if not self.rules and any(n == "cg" or arm.like == "cg" for n, arm in self.arms.items()):
            raise ValueError("rules: is missing; the arm 'cg' takes its sources from rules")
        return self


def _check_arm(name: str, arm: Arm, sizes: Sequence[int]) -> None:
    """Raise ValueError where an arm's settings contradict its name or each other."""
    if name in ("baseline", "cg"):
        if arm != Arm():
            raise ValueError(f"arms.{name}: takes no settings; write `{name}: {{}}`")
        return
    if arm.like == "baseline":
        if arm != Arm(like="baseline", protocol=arm.protocol) or not arm.protocol:
            raise ValueError(
                f"arms.{name}: an untrained model differs from `baseline` by its `protocol` alone"
            )
        return
    if bool(arm.rule) == bool(arm.like):
        raise ValueError(f"arms.{name}: needs `rule:`, which names its sources, or `like: cg`")
    if name in ("control", "floor") and arm.target:
        raise ValueError(f"arms.{name}.target: this arm must not see the target's data")
    if name in ("control", "floor") and arm.samples:
        raise ValueError(f"arms.{name}.samples: this arm must be of the same size as 'cg'")
    size = arm.samples or min(sizes, default=0)
    if arm.target > size:
        raise ValueError(f"arms.{name}.target: {arm.target} exceed `samples: {size}`")


class Engine(Model):
    """Settings of the prediction engine; they change how fast it answers, not what."""

    runs: Positive = Field(default=32, description="runs at most that one engine answers for")

    gpu_memory_utilization: Annotated[Float, Field(gt=0, le=1)] | None = None
    kv_cache_mb: Positive | None = Field(
        default=None, description="memory for attention keys on a CPU"
    )
    max_num_seqs: Positive | None = Field(default=None, description="questions answered at once")
    max_model_len: Positive = Field(
        default=8192,
        description="tokens of the longest prompt that vLLM keeps memory for, where the backbone"
        " takes more; one that exceeds it is an error",
    )
    enforce_eager: StrictBool = True


class Training(Model):
    """How a fine-tuning survives being killed; changes no result and reruns nothing."""

    checkpoint_minutes: Annotated[Float, Field(gt=0)] | None = Field(
        default=10.0,
        description="between two checkpoints; null: only when the job is told to stop",
    )


class Budget(Model):
    """What the whole plan may take; nothing is launched above it. Null: no bound."""

    gpu_hours: Annotated[Float, Field(gt=0)] | None = None
    cpu_hours: Annotated[Float, Field(gt=0)] | None = None
    disk_gb: Annotated[Float, Field(gt=0)] | None = None


class Config(Model):
    """The file that says what to run: `config.yaml`."""

    experiments: Annotated[Words, Field(min_length=1)]
    data: dict[str, str | None] = Field(
        default_factory=dict, description="a catalog's folder of images, by the catalog's name"
    )
    budget: Budget = Field(default=Budget())
    missing: Literal["refuse", "show"] = Field(
        default="refuse",
        description="evaluations without answers: an error; or shown as missing in tables and"
        " report, which are made from the answers that there are, and nothing is trained or asked",
    )
    engine: Engine = Field(default=Engine())
    training: Training = Field(default=Training())


@dataclass(frozen=True)
class Project:
    """All that a config names, read and checked; what `make_plan` enumerates from."""

    config: Config
    experiments: tuple[Experiment, ...]
    catalogs: Mapping[str, Catalog]
    rules: Mapping[str, Rule]
    backbones: Mapping[str, Backbone]
    roots: Mapping[str, Path | None]
    published: Mapping[str, tuple[Printed, ...]] = field(default_factory=dict)
    protocols: Mapping[str, Protocol] = field(
        default_factory=lambda: {LETTERS: Protocol(name=LETTERS)}
    )


M = TypeVar("M", bound=Model)
TYPES: dict[str, type[Model]] = {
    "experiment": Experiment,
    "catalog": Catalog,
    "rule": Rule,
    "backbone": Backbone,
    "protocol": Protocol,
}


# --- YAML ----------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses duplicated keys and joins list keys: `[modality, area]: other`."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    pairs: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, list):
            key = "+".join(str(part) for part in key)
        if not isinstance(key, str):
            shown = key_node.value if isinstance(key_node, yaml.ScalarNode) else str(key)
            raise yaml.MarkedYAMLError(
                problem=f"key {shown} must be text; put it in quotes",
                problem_mark=key_node.start_mark,
            )
        if key in pairs:
            raise yaml.MarkedYAMLError(
                problem=f"key '{key}' stands twice; remove one", problem_mark=key_node.start_mark
            )
        pairs[key] = loader.construct_object(value_node, deep=True)
    return pairs


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        ConfigError: missing, not YAML, a key twice, or not a mapping.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            data = yaml.load(stream, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{shown(path)}{line}: {error.problem or error.context}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or "not a YAML text file"
        raise ConfigError(f"{shown(path)}: cannot be read ({reason})") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{shown(path)}: holds no `key: value` pairs")
    return data


def shown(path: Path) -> str:
    """Return a path as a user would type it: relative to the working folder where it is below."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)


# --- Validation ----------------------------------------------------------------------------------


def validate(model: type[M], data: Mapping[str, Any], file: str) -> M:
    """Return `data` as a `model`; `file` names it in errors.

    Raises:
        ConfigError: one line with the file, the key's path, what is wrong and a valid key.
    """
    try:
        record = model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{file}: {_explain(model, data, error)}") from None
    record._file = file
    return record


def _explain(model: type[Model], data: Mapping[str, Any], error: ValidationError) -> str:
    """Return the first finding in words; one is enough to mend before the next look."""
    found = error.errors(include_url=False)
    # A misspelt key is missing as well, and a union reports once a branch: the first says the most.
    order = ["extra_forbidden", "missing"]
    first = min(found, key=lambda e: order.index(e["type"]) if e["type"] in order else len(order))
    path, last = _key_path(first["loc"]), str(first["loc"][-1]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return f"{path}: unknown key.{nearest(last, _valid_keys(model, data, first['loc'][:-1]))}"
    if first["type"] == "missing":
        return f"{path}: is missing; add `{last}: ...`"
    if first["type"] == "value_error":
        message = str(first["ctx"]["error"])
        return f"{path}: {message}" if path else message
    return f"{path}: {_sentence(first)}{_yaml_hint(first['input'], first['type'])}"


def _sentence(finding: Any) -> str:
    """Return pydantic's message with the value it is about."""
    message = str(finding["msg"]).replace("Input should be", "must be").replace("String", "text")
    message = message.replace("a valid tuple", "a list").replace("a valid dictionary", "a mapping")
    message = message.replace("Tuple", "the list").replace("Dictionary", "the mapping")
    value = finding["input"]
    if finding["type"] == "literal_error" and isinstance(value, str):
        valid = re.findall(r"'([^']+)'", message)
        return f"'{value}' {message}.{nearest(value, valid)}"
    if isinstance(value, str | int | float | bool):
        return f"{value!r} {message}"
    return message


def _yaml_hint(value: object, kind: str) -> str:
    if kind not in ("string_type", "literal_error", "float_type", "int_type", "tuple_type"):
        return ""
    if isinstance(value, bool) and kind not in ("float_type", "int_type"):
        return "; YAML reads yes, no, on and off as truth values: put the word in quotes"
    if isinstance(value, int | float) and kind not in ("float_type", "int_type"):
        return "; YAML reads it as a number: put it in quotes"
    if isinstance(value, str) and kind in ("float_type", "int_type"):
        return "; write a plain number without quotes, such as 0.0001 or 1.0e-4"
    return ""


def _key_path(loc: Iterable[int | str]) -> str:
    """Return `arms.control.rule` or `subsets[3].task`, without the names of union branches."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in ("[key]", "str") and "[" not in part:
            path += f".{part}" if path else part
    return path


def _valid_keys(model: type[Model], data: Mapping[str, Any], loc: Sequence[int | str]) -> set[str]:
    """Return the keys allowed where `loc` points, a catalog's elements in its subsets included."""
    kind: Any = model
    for part in loc:
        kind = _inside(kind, part)
    if kind is SubsetSpec:
        return (set(SubsetSpec.model_fields) - {"elements"}) | set(data.get("elements", ()))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return set(kind.model_fields)
    return set()


def _inside(kind: Any, part: int | str) -> Any:
    """Return the type found below key or index `part` of `kind`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return _bare(field.annotation) if field else None
    arguments = [_bare(argument) for argument in get_args(kind)]
    origin = get_origin(kind)
    if origin is dict and len(arguments) == 2:
        return arguments[1]
    return arguments[0] if origin is tuple and arguments else None


def _bare(kind: Any) -> Any:
    """Strip `Annotated` and `| None` off a type."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        rest = [part for part in get_args(kind) if part is not type(None)]
        return _bare(rest[0]) if len(rest) == 1 else kind
    return kind


# --- References ----------------------------------------------------------------------------------


class Library:
    """Finds the files that names stand for, and reads each once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: dict[Path, Model] = {}

    def names(self, kind: str) -> list[str]:
        """Return the names that can be used for a kind, from the repository's folder."""
        folder = self.root / FOLDERS[kind]
        found = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.yaml"))
        return sorted(path.as_posix() for path in found)

    def expand(self, references: Iterable[str]) -> list[str]:
        """Return experiments by name, with a folder of `experiments/` as all that it holds."""
        names = self.names("experiment")
        found: list[str] = []
        for reference in references:
            inside = [name for name in names if name.startswith(f"{reference}/")]
            found += inside if reference not in names and inside else [reference]
        return found

    def find(self, kind: str, reference: str, file: Path, key: str) -> Path:
        """Return the file that `reference`, written under `key` of `file`, stands for.

        Raises:
            ConfigError: there is none.
        """
        if reference.endswith((".yaml", ".yml")):
            path = (file.parent / reference).resolve()
            if not path.is_file():
                raise ConfigError(f"{shown(file)}: {key}: no file {shown(path)}")
            return path
        if reference not in (names := self.names(kind)):
            raise ConfigError(
                f"{shown(file)}: {key}: no {kind} '{reference}' in {FOLDERS[kind]}/."
                f"{nearest(reference, names)}"
            )
        return (self.root / FOLDERS[kind] / f"{reference}.yaml").resolve()

    def load(self, kind: str, reference: str, file: Path, key: str) -> Any:
        """Return the record a reference stands for, of the type in `TYPES`."""
        path = self.find(kind, reference, file, key)
        if path not in self._read:
            self._read[path] = load(kind, path)
        return self._read[path]


def load(kind: str, path: Path) -> Any:
    """Return one file as the record of its kind; a backbone's weights are looked for."""
    record = validate(TYPES[kind], read_yaml(path), shown(path))
    if isinstance(record, Backbone):
        return _located(record, path)
    if isinstance(record, Catalog):
        _check_options(record, path)
        if record.sources:
            sources = str((path.parent / record.sources).resolve())
            return record.model_copy(update={"sources": sources})
    if isinstance(record, Rule) and record.python:
        script, function = record.python.rsplit(":", 1)
        absolute = (path.parent / script).resolve()
        return record.model_copy(update={"python": f"{absolute}:{function}"})
    return record


def _check_options(catalog: Catalog, path: Path) -> None:
    """Raise ConfigError where the reader will not take the options of a subset."""
    if catalog.reader != "medmat":
        return
    for key in ("subsets", "general"):
        for position, subset in enumerate(getattr(catalog, key)):
            try:
                Options.parse({**catalog.options, **subset.options})
            except ConfigError as error:
                at = f"{key}[{position}] ('{subset.id}')" if subset.options else "options"
                raise ConfigError(f"{shown(path)}: {at}: {error}") from None


def _located(backbone: Backbone, path: Path) -> Backbone:
    """Return the backbone with the absolute folders of its weights, or hub names with revisions.

    Raises:
        ConfigError: neither a folder nor a hub name; a hub name without revision.
    """
    original = backbone.original
    if not original:
        folder = _source(path, "", "weights", backbone.weights, backbone.revision)
        return backbone.model_copy(update={"weights": folder})
    places = {"weights": _source(path, "original.", "weights", original.weights, original.revision)}
    if original.tower:
        places["tower"] = _source(
            path, "original.tower_", "tower", original.tower, original.tower_revision
        )
    found = original.model_copy(update=places)
    return backbone.model_copy(update={"original": found, "weights": found.folder(backbone.name)})


def _source(path: Path, block: str, key: str, name: str, revision: str | None) -> str:
    """Return the absolute folder that `name` is, or the name on the hub.

    `block` is what stands before `revision` in the keys of the file.
    """
    folder = (path.parent / Path(name).expanduser()).resolve()
    if folder.is_dir():
        return str(folder)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name):
        at = f"{block.split('.')[0]}.{key}" if block else key
        raise ConfigError(
            f"{shown(path)}: {at}: no folder {shown(folder)}, and '{name}' is not a"
            " hub name (org/model); give one of the two"
        )
    if not revision:
        raise ConfigError(
            f"{shown(path)}: {block}revision: is missing; a hub name needs the commit it stands for"
        )
    return name


def digest_tree(folder: Path) -> str:
    """Return a digest of a folder of weights and of those in it; "" where there is no folder."""
    if not folder.is_dir():
        return ""
    inner = sorted(path.parent for path in folder.glob("*/**/config.json"))
    return ".".join(digest_weights(each) for each in (folder, *inner))


def digest_weights(folder: Path) -> str:
    """Return a digest of a weights folder: of all bytes where they are few, else of samples.

    Weights that were trained on differ nearly everywhere, so that samples tell them from others of
    the same size; the workflow is read too often for all bytes.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors"))
    whole = sum(path.stat().st_size for path in files) <= SMALL_WEIGHTS
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name} {path.stat().st_size} ".encode())
        if whole or path.suffix == ".json":
            digest.update(path.read_bytes())
        else:
            digest.update(sampled(path))
    return digest.hexdigest()


def sampled(path: Path) -> bytes:
    """Return some blocks of a file, evenly spaced from its first to its last bytes."""
    last = max(0, path.stat().st_size - BLOCK)
    blocks = []
    with path.open("rb") as stream:
        for number in range(BLOCKS):
            stream.seek(last * number // (BLOCKS - 1))
            blocks.append(stream.read(BLOCK))
    return b"".join(blocks)


def load_project(
    config: Mapping[str, Any], root: Path, origins: Mapping[str, Path] | None = None
) -> Project:
    """Read everything a config names.

    Args:
        config: the merged config.
        root: the repository, which holds `catalogs/` and its siblings.
        origins: the file that gave each top-level key of `config`, for relative paths and errors;
            `config.yaml` in `root` where not said.

    Raises:
        ConfigError: one line, see `validate` and `Library`.
    """
    default = root / "config.yaml"
    origins = origins or {}
    unknown = next((key for key in config if key not in Config.model_fields), None)
    first = origins.get(unknown or "experiments", default)
    checked = validate(Config, config, shown(first))
    library = Library(root)
    file = origins.get("experiments", default)
    parts: dict[str, dict[str, Any]] = {kind: {} for kind in FOLDERS}
    published: dict[str, tuple[Printed, ...]] = {}
    experiments, renamed = [], []
    for i, name in enumerate(library.expand(checked.experiments)):
        path = library.find("experiment", name, file, f"experiments[{i}]")
        experiments.append(library.load("experiment", name, file, f"experiments[{i}]"))
        renamed.append(_resolve(experiments[i], path, library, parts))
        if renamed[i].published:
            published[renamed[i].name] = _published(renamed[i], path, parts["catalog"])
    _distinct(experiments)
    return Project(
        config=checked,
        experiments=tuple(sorted(renamed, key=lambda experiment: experiment.name)),
        catalogs=parts["catalog"],
        rules=parts["rule"],
        backbones=parts["backbone"],
        roots=_roots(checked, origins.get("data", default), parts["catalog"], library),
        published=published,
        protocols=parts["protocol"],
    )


def _published(
    experiment: Experiment, path: Path, catalogs: Mapping[str, Catalog]
) -> tuple[Printed, ...]:
    """Return the figures printed for an experiment, checked against its arms and catalog."""
    file = (path.parent / str(experiment.published)).resolve()
    targets = [subset.id for subset in catalogs[experiment.catalog].subsets]
    return read_published(file, shown(file), experiment.arms, targets)


def _distinct(experiments: Sequence[Experiment]) -> None:
    names = [experiment.name for experiment in experiments]
    for experiment in experiments:
        if names.count(experiment.name) > 1:
            raise ConfigError(
                f"{experiment.where}: name: experiment '{experiment.name}' is listed twice;"
                " rename or remove one"
            )


def _resolve(
    experiment: Experiment, path: Path, library: Library, parts: dict[str, dict[str, Any]]
) -> Experiment:
    """Return the experiment with plain names, and put what they stand for into `parts`."""

    def take(kind: str, reference: str, key: str) -> str:
        record = library.load(kind, reference, path, key)
        known = parts[kind].setdefault(record.name, record)
        if known is not record:
            raise ConfigError(
                f"{record.where}: name: '{record.name}' is also the name of {known.where};"
                " rename one"
            )
        return str(record.name)

    arms = {}
    for name, arm in experiment.arms.items():
        named = {kind: getattr(arm, kind) for kind in ("rule", "protocol") if getattr(arm, kind)}
        plain = {kind: take(kind, n, f"arms.{name}.{kind}") for kind, n in named.items()}
        arms[name] = arm.model_copy(update=plain)
    return experiment.model_copy(
        update={
            "catalog": take("catalog", experiment.catalog, "catalog"),
            "rules": tuple(take("rule", n, f"rules[{i}]") for i, n in enumerate(experiment.rules)),
            "backbones": tuple(
                take("backbone", n, f"backbones[{i}]") for i, n in enumerate(experiment.backbones)
            ),
            "protocol": take("protocol", experiment.protocol, "protocol"),
            "also": tuple(take("protocol", n, f"also[{i}]") for i, n in enumerate(experiment.also)),
            "arms": arms,
        }
    )


def _roots(
    config: Config, file: Path, catalogs: Mapping[str, Catalog], library: Library
) -> dict[str, Path | None]:
    """Return each planned catalog's data folder, None where there is none."""
    valid = {*catalogs, *library.names("catalog")}
    for name in config.data:
        if name not in valid:
            raise ConfigError(f"{shown(file)}: data.{name}: no such catalog.{nearest(name, valid)}")
    roots: dict[str, Path | None] = {}
    for name, catalog in catalogs.items():
        folder = data_folder(config, file, library.root, catalog)
        roots[name] = folder if folder.is_dir() else None
        key = name if config.data.get(name) else catalog.folder or name
        if config.data.get(key) and not folder.is_dir():
            raise ConfigError(
                f"{shown(file)}: data.{key}: no folder {config.data[key]}; mend the path, or make"
                " the folder"
            )
    return roots


def data_folder(config: Config, file: Path, root: Path, catalog: Catalog) -> Path:
    """Return the folder of a catalog's images: the config's, by default `data/NAME` in `root`.

    `file` is what says `data:`, since paths are relative to the file that says them.
    """
    shared = catalog.folder or catalog.name
    folder = config.data.get(catalog.name) or config.data.get(shared)
    if folder:
        return (file.parent / Path(folder).expanduser()).resolve()
    return root / "data" / shared


def read_sources(catalog: Catalog) -> dict[str, tuple[str, str]]:
    """Return name and link of each source dataset of a catalog, by its number.

    Raises:
        ConfigError: the catalog's table of them is missing, or lacks a column.
    """
    if not catalog.sources:
        return {}
    try:
        with Path(catalog.sources).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return {row["dataset"]: (row["name"], row["url"]) for row in rows}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"{catalog.where}: sources: {shown(Path(catalog.sources))} is no CSV file with the"
            f" columns dataset, name and url ({error})"
        ) from None


def find_origins(
    files: Iterable[Path | str], overrides: Iterable[Path | str], given: Iterable[str]
) -> dict[str, Path]:
    """Return which file gave each top-level key of a merged config.

    Args:
        files: all config files.
        overrides: those among them that were laid on top, in order (`--configfile`).
        given: keys from the command line (`--config`); their paths start at the working folder.
    """
    last = [Path(path).resolve() for path in overrides]
    first = [path for path in (Path(file).resolve() for file in files) if path not in last]
    origins = {key: path for path in [*first, *last] for key in read_yaml(path)}
    return origins | {key: Path.cwd() / "--config" for key in given}


# --- Schemas -------------------------------------------------------------------------------------


def schemas() -> Iterator[tuple[str, str]]:
    """Yield the file name and text of each kind's JSON schema."""
    kinds: dict[str, type[Model]] = {"config": Config, **TYPES}
    for kind, model in kinds.items():
        schema = model.model_json_schema()
        _open_subsets(schema)
        yield f"{kind}.schema.json", json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _open_subsets(schema: dict[str, Any]) -> None:
    """Describe subsets as they are written: with the catalog's own elements as flat keys."""
    subset = schema.get("$defs", {}).get("SubsetSpec")
    if subset:
        elements = subset["properties"].pop("elements")
        subset["additionalProperties"] = elements["additionalProperties"]


def main(arguments: Sequence[str]) -> int:
    """Write `schemas/*.schema.json`: `python -m matcg.config --schema [folder]`."""
    if not arguments or arguments[0] != "--schema" or len(arguments) > 2:
        print("usage: python -m matcg.config --schema [folder]", file=sys.stderr)
        return 2
    folder = Path(arguments[1] if len(arguments) == 2 else "schemas")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
