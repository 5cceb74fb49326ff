"""Catalogs: subsets of data, the elements they are described by, and how each is split."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from matcg.config.base import Fraction, Kind, Model, Name, Natural, Positive, Slug, Text, Words
from matcg.config.derived import READER as DERIVED
from matcg.config.derived import DerivedAsGiven, derived_subsets
from matcg.config.grid import Grid, HeldOut, in_grid
from matcg.config.release import Links, Release
from matcg.config.yaml_file import shown_path
from matcg.errors import ConfigError, nearest

RESERVED = frozenset(
    {
        *("id", "name", "kind", "role", "datasets", "train", "test", "elements", "options"),
        *("python", "description", "form", "reader", "block", "held_out", "rows", "asks"),
    }
)


FOUND = "-found"  # ends the name of a catalog that a look at tables wrote
# What patterns of targets can name besides elements.
ASKED = ("kind", "role", "block", "held_out", "asks")
FORMS = {"classification": "choice", "detection": "boxes", "segmentation": "mask"}


class Split(Model):
    """How many samples of a subset train and test may hold, and whether tests balance labels."""

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
    # Left out of digests where they are what they always were.
    per_label: Positive | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="cap on a label's training samples in a subset, for all arms alike",
    )
    balanced_tests: Annotated[bool, Field(strict=True)] = Field(
        default=True,
        exclude_if=bool,
        description="every label equally often in tests; false: as often as the source has it",
    )

    def with_reserve(self, n: int) -> int:
        """Return how many training samples are kept where `n` may be trained on."""
        return n + int(self.reserve * n)


class SubsetSpec(Model):
    """The unit that is held out: samples that share the values of the catalog's elements."""

    id: Slug
    name: str = ""
    kind: Kind = "classification"
    form: Name | None = Field(
        default=None, description="how it is answered, a module of forms/; left out: by its kind"
    )
    reader: Name | None = Field(
        default=None, description="what reads its files, with no options but its own"
    )
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
    # None of these decides a sample, so they are in no digest.
    rows: Natural | None = Field(
        default=None, exclude=True, description="rows that a look at its tables found"
    )
    block: Name | None = Field(
        default=None,
        exclude=True,
        description="subsets of another block are never its sources; targets of several blocks that"
        " are alike in all elements count as one",
    )
    held_out: HeldOut | None = Field(
        default=None, exclude=True, description="the list of targets that it is on"
    )
    asks: Slug | None = Field(
        default=None,
        exclude=True,
        description="the element that its questions ask for; no target then, unless by its id or by"
        " a pattern that says `asks`",
    )

    @property
    def form_of_answer(self) -> str:
        """Return the name of its form of answer."""
        return self.form or FORMS[self.kind]

    def values(self, element: str) -> frozenset[str]:
        """Return what the subset has of an element, or of one of `ASKED` besides."""
        if element in ASKED:
            value: str | None = getattr(self, element)
            return frozenset({value} if value else ())
        return frozenset(self.elements[element])


class ElementColumn(Model):
    """The column of a table that says a row's value of an element, as it stands or by a map."""

    column: Text
    map: dict[Text, Text | None] = Field(
        default={}, description="{cell: value}; null leaves its rows out; without a map, the cell"
    )
    asks: dict[Text, Slug] = Field(
        default={}, description="{value: element}: subsets whose questions ask for that element"
    )

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) else given


class Found(Model):
    """What a look at a catalog's tables found besides its subsets: numbers of rows."""

    catalog: Name = Field(description="the one whose tables were looked at")
    rows: Natural
    set_aside: Natural = Field(default=0, description="of these, rows that cannot be used")
    rare: Natural = Field(default=0, description="rows whose answer is too rare in their subset")
    one_answer: Natural = Field(
        default=0, description="rows of subsets with one answer, of which no options can be made"
    )
    uncovered: dict[str, dict[str, Natural]] = Field(
        default={}, description="rows with values that no map covers, by element"
    )
    left_out: dict[str, dict[str, Natural]] = Field(
        default={}, description="rows with values that a map leaves out, by element"
    )
    without: dict[str, Natural] = Field(default={}, description="rows without a value, by element")


class Overlap(Model):
    """Source datasets that are known or suspected to share images; the leak audit measures it."""

    datasets: Annotated[Words, Field(min_length=2)]
    what: Text
    source: Text = Field(description="who says so")


class Catalog(Model):
    """A table of subsets and where their samples come from."""

    name: Name
    description: str = ""
    reader: Name = Field(description="what reads its files: a module of data/readers")
    release: Release | Links | None = Field(
        default=None, description="where its files can be fetched"
    )
    folder: Name | None = Field(
        default=None, description="name of the catalog whose data folder this one shares"
    )
    sources: str | None = Field(
        default=None, description="CSV file of source datasets: dataset, name, url, and any more"
    )
    overlaps: tuple[Overlap, ...] = ()
    options: dict[str, Any] = Field(default_factory=dict, description="settings of the reader")
    elements: Annotated[
        tuple[Slug, ...],
        BeforeValidator(
            lambda given: given,
            json_schema_input_type=tuple[Slug, ...] | dict[Slug, Text | ElementColumn],
        ),
        Field(min_length=1),
    ] = Field(
        description="their names; or the column of each in the catalog's tables, of which"
        " `snakemake catalog` then makes a catalog with a subset for each combination of values"
    )
    columns: dict[Slug, ElementColumn] = Field(
        default={}, exclude=True, description="not written: those of `elements`"
    )
    found: Found | None = Field(
        default=None, exclude=True, description="written by `snakemake catalog`"
    )
    split: Split = Field(default=Split())
    near_duplicates: Annotated[int, Field(strict=True, ge=0, lt=64)] = Field(
        default=24, description="bits of 256 in which the hashes of two equal pictures may differ"
    )
    grid: Grid | None = Field(
        default=None, exclude=True, description="subsets that are not listed one by one"
    )
    subsets: tuple[SubsetSpec, ...] = ()
    derived: DerivedAsGiven | None = Field(
        default=None,
        exclude=True,
        description="tasks whose answers are certain, made of all subsets' pictures",
    )
    general: tuple[SubsetSpec, ...] = Field(
        default=(), description="sets without elements that are only ever added to training"
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_elements(cls, data: Any) -> Any:
        """Move each subset's element keys, flat in the file, below `elements`."""
        if not isinstance(data, dict):
            return data
        if "columns" in data:
            raise ValueError("columns: write them as `elements: {element: column}`")
        if isinstance(data.get("elements"), Mapping):
            return _by_columns(data)
        if not isinstance(data.get("elements"), list | tuple):
            return data
        names = [name for name in data["elements"] if isinstance(name, str)]
        subsets = data.get("subsets", () if "grid" in data else None)
        if not isinstance(subsets, list | tuple):
            return data
        if isinstance(data.get("grid"), Mapping):
            subsets = [*in_grid(data["grid"]), *subsets]
        listed = [_gathered(subset, names) for subset in subsets]
        if data.get("derived") is not None and names:
            listed += derived_subsets(data["derived"], names, listed)
        return {**data, "subsets": listed}

    @model_validator(mode="after")
    def _consistent(self) -> "Catalog":
        if not self.subsets and not self.columns:
            raise ValueError("subsets: there is none; list one or more")
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
        for name, column in self.columns.items():
            for value, element in column.asks.items():
                if element not in self.elements:
                    raise ValueError(
                        f"elements.{name}.asks.{value}: no element"
                        f" '{element}'.{nearest(element, self.elements)}"
                    )
        for position, subset in enumerate(self.subsets):
            if subset.asks and subset.asks not in self.elements:
                raise ValueError(
                    f"subsets[{position}].asks: no element"
                    f" '{subset.asks}'.{nearest(subset.asks, self.elements)}"
                )
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

    def shared(self, one: SubsetSpec, other: SubsetSpec) -> frozenset[str]:
        """Return the elements of which two subsets have a value in common."""
        return frozenset(e for e in self.elements if one.values(e) & other.values(e))

    def member(self, name: str) -> SubsetSpec:
        """Return one subset or general set by id.

        Raises:
            ConfigError: there is none of that id.
        """
        return next((each for each in self.general if each.id == name), None) or self.subset(name)

    def preparation(self, name: str) -> "Preparation":
        """Return all that the samples of one subset or general set depend on."""
        found = self._preparation(name)
        if found.reader != DERIVED:
            return found
        options = found.subset.options
        of = [self._preparation(each).model_dump(mode="json") for each in options.get("of", ())]
        made = found.subset.model_copy(update={"options": {**options, "of": of}})
        return found.model_copy(update={"subset": made})

    def _preparation(self, name: str) -> "Preparation":
        subset = self.member(name)
        return Preparation(
            catalog=self.name,
            reader=subset.reader or self.reader,
            options={} if subset.reader else self.options,
            split=self.split,
            near_duplicates=self.near_duplicates,
            subset=subset.model_copy(update={"train": None, "test": None}),
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
    reader: Name
    options: dict[str, Any]
    split: Split
    near_duplicates: int
    subset: SubsetSpec
    general: bool = False

    @property
    def all_options(self) -> dict[str, Any]:
        """Return the reader's settings: each as the subset says it, else as the catalog does."""
        return {**self.options, **self.subset.options}


def _by_columns(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a catalog whose elements are columns as the model has it."""
    listed = [key for key in ("subsets", "grid", "found") if key in data]
    if listed:
        raise ValueError(
            f"{listed[0]}: `snakemake catalog` finds the subsets where elements are columns; leave"
            " it out"
        )
    return {**data, "elements": list(data["elements"]), "columns": data["elements"]}


def _gathered(subset: Any, names: Sequence[str]) -> Any:
    if not isinstance(subset, dict) or "elements" in subset:
        return subset
    rest = {key: value for key, value in subset.items() if key not in names}
    return {**rest, "elements": {key: subset[key] for key in names if key in subset}}


def source_rows(catalog: Catalog) -> list[dict[str, str]]:
    """Return the rows of a catalog's table of source datasets; none where it has no table.

    Raises:
        ConfigError: the table is missing, or lacks a column.
    """
    if not catalog.sources:
        return []
    try:
        with Path(catalog.sources).open(encoding="utf-8", newline="") as stream:
            table = csv.DictReader(stream)
            lacking = {"dataset", "name", "url"} - set(table.fieldnames or ())
            if lacking:
                raise ValueError(f"without {' and '.join(sorted(lacking))}")
            return list(table)
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(
            f"{catalog.where}: sources: {shown_path(Path(catalog.sources))} is no CSV file with the"
            f" columns dataset, name and url ({error})"
        ) from None


def read_sources(catalog: Catalog) -> dict[str, tuple[str, str]]:
    """Return name and link of each source dataset of a catalog, by its number.

    Raises:
        ConfigError: as `source_rows`.
    """
    return {row["dataset"]: (row["name"], row["url"]) for row in source_rows(catalog)}
