"""Combination rules: which sets of source subsets train for a held-out target.

A source has a value of an element when the value is among its own; so a COVID subset that also
counts as State is a source for State. `same` asks for a shared value, `other` for none.
"""

import hashlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

from matcg.config.catalog import Catalog, SubsetSpec
from matcg.config.rule import Listed, Rule
from matcg.errors import ConfigError, nearest
from matcg.plan import mixes

_NAMED = 6  # sources that are listed by name
_Choice = tuple[tuple[str, ...], tuple[Fraction, ...]]


@dataclass(frozen=True, slots=True, order=True)
class Combination:
    """What a rule yields for one target: source subsets, in the order of the rule's patterns.

    `shares` says how many parts of the samples each source gives; empty, all give alike.
    """

    target: str
    rule: str
    sources: tuple[str, ...]
    shares: tuple[Fraction, ...] = ()
    label: str = ""

    @property
    def readable(self) -> str:
        """Name the sources for people."""
        if len(self.sources) > _NAMED:
            return f"{len(self.sources)} subsets {self.label}".rstrip()
        return " + ".join(self.sources)

    @property
    def weights(self) -> dict[str, Fraction]:
        """Return each source's share of the samples."""
        shares = self.shares or (Fraction(1),) * len(self.sources)
        return dict(zip(self.sources, shares, strict=True))

    def spread(self, total: int, caps: Mapping[str, int] | None) -> dict[str, int]:
        """Divide `total` over the sources, see `mixes.spread`."""
        return mixes.spread(total, self.weights, caps)


def combine(
    rule: Rule, catalog: Catalog, target: SubsetSpec, min_size: int = 0
) -> list[Combination]:
    """Return all combinations of a rule for a target, each set of sources once, sorted.

    `min_size` leaves out sources that are not known to have so many training samples, as the
    rule's own does.

    Raises:
        ConfigError: a pattern names an element that the catalog has not, a listed combination an
            unknown subset, or a Python rule returns the target, an unknown subset, or anything but
            lists of ids.
    """
    if rule.listed:
        return _listed(rule, catalog, target)
    if rule.target == "alone":
        return [Combination(target.id, rule.name, (target.id,))]
    check_elements(rule, catalog)
    offered, _ = offer(rule, catalog, target, min_size)
    found: dict[frozenset[tuple[str, Fraction | None]], _Choice] = {}
    call = rule.python is not None
    choices = _call(rule, catalog, target, offered) if call else _match(rule, target, offered)
    for sources, shares in sorted(choices):
        given = shares or (None,) * len(sources)
        found.setdefault(frozenset(zip(sources, given, strict=True)), (sources, shares))
    return [
        Combination(target.id, rule.name, *choice, label=_label(choice[0], len(found)))
        for choice in sorted(found.values())
    ]


def _label(sources: Sequence[str], siblings: int) -> str:
    """Return a name for one of several combinations whose sources are too many to be listed."""
    if siblings == 1 or len(sources) <= _NAMED:
        return ""
    return hashlib.sha256(" ".join(sorted(sources)).encode()).hexdigest()[:4]


def offer(
    rule: Rule, catalog: Catalog, target: SubsetSpec, min_size: int = 0
) -> tuple[list[SubsetSpec], list[SubsetSpec]]:
    """Return the subsets that a rule may choose from, sorted, and those too small for it.

    They are of the target's block. The target is among them only for a rule that includes it.
    """
    block = [subset for subset in catalog.subsets if subset.block == target.block]
    subsets = sorted(block, key=lambda subset: subset.id)
    if rule.target == "held-out":
        subsets = [subset for subset in subsets if subset.id != target.id]
    if rule.kinds:
        subsets = [subset for subset in subsets if subset.kind in rule.kinds]
    subsets = [s for s in subsets if not any(fits(p, s, target) for p in rule.exclude)]
    size = max(min_size, rule.min_size)
    small = [subset for subset in subsets if not catalog.gives(subset, size)]
    return [subset for subset in subsets if catalog.gives(subset, size)], small


def _fitting(rule: Rule, target: SubsetSpec, offered: Sequence[SubsetSpec]) -> list[list[str]]:
    """Return the sources that each of a rule's patterns finds."""
    usual = {} if rule.kinds else {"kind": "same"}
    return [
        [s.id for s in offered if fits({**usual, **pattern}, s, target)] for pattern in rule.sources
    ]


def found_by_pattern(rule: Rule, catalog: Catalog, target: SubsetSpec, min_size: int = 0) -> str:
    """Return in words how many sources each of a rule's patterns finds, empty if it has none."""
    offered, _ = offer(rule, catalog, target, min_size)
    found = _fitting(rule, target, offered)
    told = [
        f"sources[{position}] {{{', '.join(f'{k}: {v}' for k, v in pattern.items())}}} finds"
        f" {len(names)}"
        for position, (pattern, names) in enumerate(zip(rule.sources, found, strict=True))
    ]
    return f"for {target.id}, of {len(offered)} subsets, " + ", ".join(told) if told else ""


def _match(rule: Rule, target: SubsetSpec, offered: Sequence[SubsetSpec]) -> list[_Choice]:
    matches = _fitting(rule, target, offered)
    quotas = tuple(Fraction(quota) for quota in rule.quotas)
    if rule.select == "all":
        return _together(matches, quotas)
    return [(choice, quotas) for choice in product(*matches) if len(set(choice)) == len(choice)]


def _together(matches: Sequence[Sequence[str]], quotas: Sequence[Fraction]) -> list[_Choice]:
    """Return the one choice of all matches; each belongs to the first pattern that it matches.

    A pattern's quota is divided evenly among its sources. Where a pattern with a quota matches
    nothing there is no choice: the rest would not be what the rule asks for.
    """
    owner: dict[str, int] = {}
    for position, names in enumerate(matches):
        for name in names:
            owner.setdefault(name, position)
    sources = tuple(sorted(owner))
    positions = list(owner.values())
    if not sources or (quotas and set(positions) != set(range(len(quotas)))):
        return []
    if not quotas:
        return [(sources, ())]
    return [(sources, tuple(quotas[owner[n]] / positions.count(owner[n]) for n in sources))]


def _listed(rule: Rule, catalog: Catalog, target: SubsetSpec) -> list[Combination]:
    """Return the combinations written out for a target, each under the rule it exemplifies."""
    found = []
    for position, row in enumerate(rule.listed):
        _check_listed(rule, position, row, catalog)
        if row.target == target.id:
            found.append(
                Combination(target.id, row.rule or rule.name, row.sources, label=row.label)
            )
    return sorted(found)


def _check_listed(rule: Rule, position: int, row: Listed, catalog: Catalog) -> None:
    """Raise ConfigError where a listed combination names no subset, or its target as a source."""
    ids = [subset.id for subset in catalog.subsets]
    for name in (row.target, *row.sources):
        if name not in ids:
            raise ConfigError(
                f"{rule.where}: listed[{position}]: catalog '{catalog.name}' has no subset"
                f" '{name}'.{nearest(name, ids)}"
            )
    if row.target in row.sources or len(set(row.sources)) < len(row.sources):
        raise ConfigError(
            f"{rule.where}: listed[{position}]: a source is the target or stands twice; remove it"
        )


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
    rule: Rule, catalog: Catalog, target: SubsetSpec, offered: Sequence[SubsetSpec]
) -> list[_Choice]:
    """Return what a Python rule yields, checked."""
    found = _function(rule)(target, tuple(offered))
    valid = [subset.id for subset in offered]
    choices: list[_Choice] = []
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
            choices.append((tuple(dict.fromkeys(names)), ()))
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
