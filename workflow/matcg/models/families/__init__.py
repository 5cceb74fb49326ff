"""Families of models, as transformers' `model_type` names them: one module each, found by its file.

Each holds `FAMILY`: all that differs between families. A module is light, since every name of a
weight is looked up in all of them: transformers and torch are imported where models are made.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from matcg import plugins
from matcg.models.shape import Config, Shape


@dataclass(frozen=True, slots=True)
class Seen:
    """What becomes of a picture before the language model reads it.

    `patches` are embedded, `rows` states go through the tower's layers, and `pairs` of them attend
    to each other in each layer; layers beyond those named there are not read. Each projector is
    given as many rows as there are `states` in the end. `aside`: the text model does not read them
    among its tokens, but in layers of their own.
    """

    tower: Any
    patches: int
    rows: int
    pairs: Sequence[int]
    projectors: Sequence[Any]
    states: int
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Sibling:
    """How a tiny model of a family with random weights is made.

    `edge` is the picture's in pixels; `begin` the token that the published tokeniser puts before
    every text, "" for none; `make` gives model and processor for a tokeniser and an edge.
    """

    edge: int
    begin: str
    pad: str
    tokens: tuple[str, ...]
    make: Callable[[Any, int], tuple[Any, Any]]


def _as_it_is(folder: Path) -> None:
    del folder


@dataclass(frozen=True)
class Family:
    """What differs between families of models.

    Args:
        tower, projector: what stands in the names of their parameters; all else is the language
            model.
        siblings: by the text model's `model_type`, or "" where there is but one.
        seen: returns what becomes of a square picture of so many pixels a side in a model; None
            where its tower or text model is one whose arithmetic is not counted.
        publish: changes what transformers saved to how the published weights lie on the hub.
        shape: returns the sizes of a model by what its config.json says, for square pictures of so
            many pixels a side beside so many tokens of text; None of those that are not known.
    """

    tower: tuple[str, ...]
    projector: tuple[str, ...]
    siblings: Mapping[str, Sibling] = field(default_factory=dict)
    seen: Callable[[Any, int], Seen | None] | None = None
    publish: Callable[[Path], None] = _as_it_is
    shape: Callable[[Config, int, int], Shape | None] | None = None


def find(kind: str) -> Family | None:
    """Return the family of a `model_type`; None where no module is named like it."""
    here = sys.modules[__name__]
    if kind not in plugins.names_in(here):
        return None
    found: Family = plugins.load_module(here, kind, "family").FAMILY
    return found


@cache
def parameter_marks() -> Mapping[str, frozenset[str]]:
    """Return what stands in names of towers' and of projectors' parameters, over all families."""
    known = list(_all().values())
    return {
        "projector": frozenset(mark for each in known for mark in each.projector),
        "tower": frozenset(mark for each in known for mark in each.tower),
    }


def siblings() -> dict[str, Sibling]:
    """Return all siblings by what a backbone's `architecture` says."""
    return {
        f"{kind}/{text}" if text else kind: sibling
        for kind, family in _all().items()
        for text, sibling in family.siblings.items()
    }


def _all() -> dict[str, Family]:
    found = {kind: find(kind) for kind in plugins.names_in(sys.modules[__name__])}
    return {kind: family for kind, family in found.items() if family}
