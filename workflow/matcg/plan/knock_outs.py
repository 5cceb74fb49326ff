"""Combinations with an element taken out: knock-outs and parts.

Both are operations on the sources of a combination, whatever rule it is of. A *knock-out* without
an element has every source that shares it with the target exchanged for one that shares all else
that it shared. A *part* is the combination without the sources that share an element, at full size.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Literal

from matcg.config.arm import EACH, OfCombinations
from matcg.config.catalog import SubsetSpec
from matcg.config.rule import Rule
from matcg.plan.combinations import Combination, offer
from matcg.plan.mixes import spread
from matcg.plan.records import Excluded, Reduced
from matcg.plan.targets import Scope
from matcg.seeds import derive

Elements = frozenset[str]


@dataclass(frozen=True, slots=True)
class Variant:
    """A combination without an element: which sources go, and by what weights others come.

    Without swaps nothing can be taken out of it.
    """

    record: Reduced
    swaps: tuple[tuple[tuple[str, ...], Mapping[str, Fraction]], ...]

    def of(self, parts: Mapping[str, int]) -> dict[str, int]:
        """Return the samples by subset after the exchange, as many in all.

        What stays gives as many as before, so it gives the same samples.
        """
        going = {name for gone, _ in self.swaps for name in gone}
        found = Counter({name: n for name, n in parts.items() if name not in going})
        for gone, weights in self.swaps:
            found.update(spread(sum(parts[name] for name in gone), weights))
        return {name: n for name, n in found.items() if n}


def variants(
    around: "Surroundings", arm: str, settings: OfCombinations, combination: Combination, draw: int
) -> tuple[list[Variant], set[Excluded]]:
    """Return what an arm makes of a combination, one an element, and what is to be said of it.

    Further draws of a knock-out exchange a source for another one, as long as there are others.
    """
    reduction = Reduction(around, arm, combination, draw)
    shared = reduction.elements
    if len(shared) < 2:
        what = f"{shared[0]} alone" if shared else "no element"
        reason = f"{combination.readable} shares {what} with the target: not testable"
        return [reduction.untestable()], {reduction.excluded(arm, reason)}
    if settings.parts:
        return reduction.parts(), set()
    asked = shared if EACH in settings.knock_out else settings.knock_out
    found = [reduction.knock_out(element) for element in shared if element in asked]
    notes = [
        each if isinstance(each, Excluded) else reduction.excluded(each.record.arm, _said(each))
        for each in found
        if isinstance(each, Excluded) or each.record.note
    ]
    return [each for each in found if isinstance(each, Variant)], set(notes)


def _said(variant: Variant) -> str:
    return f"{variant.record.combination}: {variant.record.note}"


@dataclass(frozen=True)
class Surroundings:
    """What the subsets of a catalog share with a target, and which a rule may take."""

    scope: Scope
    target: SubsetSpec
    rule: Rule

    @classmethod
    def of(cls, scope: Scope, target: str, name: str) -> "Surroundings":
        """Return those of a combination's rule; that of a listed one may be known by name only."""
        rules = [scope.rules[each] for each in scope.experiment.rules]
        rule = scope.rules.get(name) or next(each for each in rules if each.listed)
        return cls(scope, scope.catalog.subset(target), rule)

    @cached_property
    def shared(self) -> dict[str, Elements]:
        """Return what each subset shares with the target."""
        catalog = self.scope.catalog
        return {each.id: catalog.shared(each, self.target) for each in catalog.subsets}

    @cached_property
    def pools(self) -> dict[tuple[Elements, str], list[str]]:
        """Return what may be a source, by what it shares with the target and by kind.

        It is ranked by derived seeds, after what is known to give as many samples as CG's sources.
        """
        scope = self.scope
        pools: dict[tuple[Elements, str], list[str]] = defaultdict(list)
        offered, _ = offer(self.rule, scope.catalog, self.target, scope.experiment.min_size)
        for subset in sorted(offered, key=self._rank):
            if subset.id != self.target.id:
                pools[self.shared[subset.id], subset.kind].append(subset.id)
        return dict(pools)

    def _rank(self, subset: SubsetSpec) -> tuple[bool, int]:
        catalog, experiment = self.scope.catalog, self.scope.experiment
        share = max(experiment.sizes) // (len(self.rule.sources) or 2)
        known = (catalog.name, self.target.id, "in place", subset.id)
        return not catalog.gives(subset, share), derive(experiment.choose.seed, *known)


@dataclass(frozen=True)
class Reduction:
    """A combination from which an element is to be taken."""

    around: Surroundings
    arm: str
    combination: Combination
    draw: int

    @cached_property
    def shared(self) -> dict[str, Elements]:
        """Return what each source shares with the target."""
        return {name: self.around.shared[name] for name in self.combination.sources}

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Return what the combination shares with the target, in the catalog's order."""
        found = frozenset[str]().union(*self.shared.values())
        return tuple(e for e in self.around.scope.catalog.elements if e in found)

    def excluded(self, arm: str, reason: str) -> Excluded:
        """Return a remark on the combination."""
        combination = self.combination
        return self.around.scope.excluded(combination.target, combination.rule, arm, reason)

    def knock_out(self, element: str) -> Variant | Excluded:
        """Return the combination with every source's relation on an element turned to `other`.

        Where no subset shares all the rest, those that share the catalog's last element alone, the
        task, come in its place, else unrelated ones; the reason why there are not even these.
        """
        groups: dict[tuple[Elements, str], list[str]] = defaultdict(list)
        for name, shared in self.shared.items():
            if element in shared:
                of = self.around.scope.catalog.subset(name)
                groups[shared - {element}, of.kind].append(name)
        swaps, notes = [], []
        for (kept, kind), gone in sorted(groups.items(), key=lambda group: group[1]):
            come, note = self._in_place(kept, kind, len(gone))
            if not come:
                reason = f"{self.combination.readable}: nothing could stand for {' + '.join(gone)}"
                return self.excluded(f"{self.arm}-{element}", reason)
            swaps.append((tuple(gone), dict.fromkeys(come, Fraction(1))))
            notes += [f"in place of {' + '.join(gone)} {note}"] if note else []
        return self._variant("knock-out", element, swaps, "; ".join(notes))

    def _in_place(self, kept: Elements, kind: str, n: int) -> tuple[list[str], str]:
        """Return what shares just these elements, and what it is where nothing does."""
        pools, task = self.around.pools, self.around.scope.catalog.elements[-1]
        if found := pools.get((kept, kind), []):
            return (found if self.around.rule.select == "all" else self._choice(found, n)), ""
        wanted = [(frozenset({task}), f"all that share {task} alone")] if task in kept else []
        for elements, note in [*wanted, (frozenset[str](), "unrelated data")]:
            if found := pools.get((elements, kind), []):
                return found, note
        return [], ""

    def _choice(self, pool: Sequence[str], n: int) -> list[str]:
        """Return n of a ranked pool, those that are no source yet first, further draws others."""
        ranked = sorted(pool, key=self.combination.sources.__contains__)
        start = self.draw * n % len(ranked)
        return (ranked[start:] + ranked[:start])[:n]

    def parts(self) -> list[Variant]:
        """Return for each shared element the largest part without it, where there is one."""
        weights, sources = self.combination.weights, self.combination.sources
        found = []
        for element in self.elements:
            rest = {name: weights[name] for name in sources if element not in self.shared[name]}
            found += [self._variant("part", element, [(sources, rest)])] if rest else []
        return found

    def untestable(self) -> Variant:
        """Return that nothing can be taken out of the combination."""
        return Variant(replace(self._record(self.combination.sources, ""), kind="none"), ())

    def _variant(
        self,
        kind: Literal["knock-out", "part"],
        element: str,
        swaps: Sequence[tuple[tuple[str, ...], Mapping[str, Fraction]]],
        note: str = "",
    ) -> Variant:
        gone = {name for each, _ in swaps for name in each}
        come = {name for _, weights in swaps for name in weights}
        names = tuple(sorted(set(self.combination.sources) - gone | come))
        record = replace(self._record(names, element), kind=kind, note=note)
        return Variant(record, tuple(swaps))

    def _record(self, sources: tuple[str, ...], element: str) -> Reduced:
        own = self.combination
        return Reduced(
            *(own.target, own.rule, own.readable, f"{self.arm}-{element}".rstrip("-"), "knock-out"),
            element=element,
            shared=" ".join(self.elements),
            sources=Combination(own.target, own.rule, sources).readable,
        )
