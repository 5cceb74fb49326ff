"""What the subsets of a catalog are: their values of each of its elements."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict


class SubsetElements(TypedDict):
    """A subset's kind, its values of every element, and its block if it is in one."""

    kind: str
    elements: Mapping[str, Sequence[str]]
    block: NotRequired[str]


class CatalogElements(TypedDict):
    """A catalog's elements in their order, and its subsets by id."""

    elements: Sequence[str]
    subsets: Mapping[str, SubsetElements]


def subset_words(catalog: CatalogElements | None, subset: str) -> str:
    """Return a subset as a reader knows it: the values of its elements, and its id."""
    if catalog is None or subset not in catalog["subsets"]:
        return subset
    values = catalog["subsets"][subset]["elements"]
    names = ["/".join(values.get(element, ())) for element in catalog["elements"]]
    text = " ".join(filter(None, names))
    return text if subset.replace("-", " ").lower() == text.lower() else f"{text} ({subset})"
