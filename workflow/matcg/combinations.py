"""Combination rules: which sets of source subsets train for a held-out target.

A source has a value of an element when the value is among its own; so a COVID subset that also
counts as State is a source for State. `same` asks for a shared value, `other` for none.
"""

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from matcg.config import Catalog, Rule, SubsetSpec
from matcg.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True, order=True)
class Combination:
    """What a rule yields for one target: source subsets, in the order of the rule's patterns."""

    target: str
    rule: str
    sources: tuple[str, ...]

    @property
    def readable(self) -> str:
        """Name the sources for people."""
        if len(self.sources) > 6:
            return f"{len(self.sources)} subsets"
        return " + ".join(self.sources)


def combine(rule: Rule, catalog: Catalog, target: SubsetSpec) -> list[Combination]:
    """Return all combinations of a rule for a target, each set of sources once, sorted.

    Raises:
        ConfigError: a pattern names an element that the catalog has not, or a Python rule returns
            the target, an unknown subset, or anything but lists of ids.
    """
    others = sorted((s for s in catalog.subsets if s.id != target.id), key=lambda s: s.id)
    if rule.python:
        choices = _call(rule, catalog, target, others)
    else:
        choices = _match(rule, catalog, target, others)
    found: dict[frozenset[str], tuple[str, ...]] = {}
    for sources in sorted(choices):
        found.setdefault(frozenset(sources), sources)
    return [Combination(target.id, rule.name, sources) for sources in sorted(found.values())]


def _match(
    rule: Rule, catalog: Catalog, target: SubsetSpec, others: Sequence[SubsetSpec]
) -> list[tuple[str, ...]]:
    check_elements(rule, catalog)
    others = [s for s in others if not any(fits(p, s, target) for p in rule.exclude)]
    matches = [
        [s.id for s in others if fits({"kind": "same", **pattern}, s, target)]
        for pattern in rule.sources
    ]
    if rule.select == "all":
        together = tuple(sorted({name for names in matches for name in names}))
        return [together] if together else []
    return [choice for choice in product(*matches) if len(set(choice)) == len(choice)]


def check_elements(rule: Rule, catalog: Catalog) -> None:
    """Raise ConfigError where a rule names an element that the catalog does not describe."""
    valid = {*catalog.elements, "kind", "role"}
    for part, patterns in (("sources", rule.sources), ("exclude", rule.exclude)):
        for position, pattern in enumerate(patterns):
            for name in (name for key in pattern for name in key.split("+")):
                if name not in valid:
                    raise ConfigError(
                        f"{rule.where}: {part}[{position}].{name}: catalog '{catalog.name}' has no"
                        f" element '{name}'.{nearest(name, valid)}"
                    )


def fits(pattern: Mapping[str, str], source: SubsetSpec, target: SubsetSpec) -> bool:
    """Tell whether a source stands to the target as a pattern asks.

    A key that joins elements with `+` takes them as one: the same only where all are shared.
    """
    for key, relation in pattern.items():
        shared = all(source.values(name) & target.values(name) for name in key.split("+"))
        if relation != "any" and shared != (relation == "same"):
            return False
    return True


def _call(
    rule: Rule, catalog: Catalog, target: SubsetSpec, others: Sequence[SubsetSpec]
) -> list[tuple[str, ...]]:
    """Return what a Python rule yields, checked."""
    found = _function(rule)(target, tuple(others))
    valid = [subset.id for subset in others]
    choices = []
    for sources in found:
        names = tuple(sources) if not isinstance(sources, str) else (sources,)
        for name in names:
            if name == target.id:
                raise ConfigError(f"{rule.where}: python: returned the target '{name}' as a source")
            if name not in valid:
                raise ConfigError(
                    f"{rule.where}: python: returned '{name}', no subset of catalog"
                    f" '{catalog.name}'.{nearest(str(name), valid)}"
                )
        if names:
            choices.append(tuple(dict.fromkeys(names)))
    return choices


def _function(rule: Rule) -> Any:
    """Return the function that `python: file.py:function` names."""
    path, name = (rule.python or "").rsplit(":", 1)
    if not Path(path).is_file():
        raise ConfigError(f"{rule.where}: python: no file {path}")
    spec = importlib.util.spec_from_file_location(f"matcg_rule_{rule.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, name, None)):
        raise ConfigError(f"{rule.where}: python: {path} has no function '{name}'")
    return getattr(module, name)


def select(subsets: Iterable[SubsetSpec], pattern: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the ids of subsets that have one of the given values of each element, sorted."""
    return sorted(
        s.id for s in subsets if all(s.values(key) & set(pattern[key]) for key in pattern)
    )
