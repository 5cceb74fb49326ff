"""Which of a rule's combinations an arm runs, and why it does not run the others.

Choices rank by derived seeds, so that they do not depend on what else there is to choose from.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from matcg.config.arm import CG, OfRule
from matcg.config.rule import Rule
from matcg.plan.combinations import Combination, combine, found_by_pattern, offer
from matcg.plan.records import Excluded
from matcg.plan.targets import Scope
from matcg.seeds import derive

_NAMED = 8  # ids in one reason

# The combinations of each target.
Chosen = dict[str, list[Combination]]


@dataclass(frozen=True)
class Matches:
    """The combinations that a rule, by its name, gives an arm for some targets."""

    scope: Scope
    arm: str
    name: str
    targets: Sequence[str]

    @property
    def rule(self) -> Rule:
        """Return the rule."""
        return self.scope.rules[self.name]

    @cached_property
    def found(self) -> Chosen:
        """Return all combinations of each target.

        Raises:
            ConfigError: there are none for any.
        """
        catalog, least = self.scope.catalog, self.scope.experiment.min_size
        found = {
            target: combine(self.rule, catalog, catalog.subset(target), least)
            for target in self.targets
        }
        if not any(found.values()):
            small = sorted({each.reason for each in self._too_small()})
            first = catalog.subset(self.targets[0])
            told = found_by_pattern(self.rule, catalog, first, least)
            raise self.scope.error(
                f"rule '{self.name}' (arm '{self.arm}') matches no combination for any of the"
                f" {len(found)} targets; change the targets, the rule or the catalog"
                + "".join(f" ({reason})" for reason in [*filter(None, [told]), *small[:1]])
            )
        return found

    def chosen(self) -> Chosen:
        """Return the combinations that `choose` takes."""
        choose = self.scope.experiment.choose
        wanted = {
            target: [each for each in found if not choose.labels or each.label in choose.labels]
            for target, found in self.found.items()
        }
        pools: dict[str, list[Combination]] = defaultdict(list)
        for each in sorted(chain(*wanted.values()), key=self._rank):
            # A list of published rows holds several rules: each is a pool of its own.
            pools[each.rule if choose.per == "rule" else each.target].append(each)
        taken = {each for pool in pools.values() for each in pool[: choose.n]}
        return {target: [e for e in found if e in taken] for target, found in wanted.items()}

    def first(self, n: int) -> Chosen:
        """Return the first n combinations of each target, by rank."""
        return {target: sorted(found, key=self._rank)[:n] for target, found in self.found.items()}

    def left_out(self, taken: Chosen, how: str) -> set[Excluded]:
        """Return what is not run: no match, too small, or not taken; `how` says how one chose."""
        excluded = self._too_small()
        for target, found in self.found.items():
            left = len(found) - len(taken[target])
            if not found:
                excluded.add(self._excluded(target, f"rule '{self.name}' matches no combination"))
            elif left:
                reason = f"{left} of {len(found)} combinations not chosen (choose: {how})"
                excluded.add(self._excluded(target, reason))
        return excluded

    def _too_small(self) -> set[Excluded]:
        """Return, for each target, the subsets that the rule would not take for their size."""
        least = self.scope.experiment.min_size
        size = max(least, self.rule.min_size)
        if not size or self.rule.listed:
            return set()
        found = set()
        for target in self.targets:
            subset = self.scope.catalog.subset(target)
            _, small = offer(self.rule, self.scope.catalog, subset, least)
            if small:
                names = ", ".join(subset.id for subset in small[:_NAMED])
                more = f" and {len(small) - _NAMED} more" if len(small) > _NAMED else ""
                reason = f"{len(small)} subsets not known to give {size} samples: {names}{more}"
                found.add(self._excluded(target, reason))
        return found

    def _rank(self, combination: Combination) -> tuple[int, Combination]:
        seed, target = self.scope.experiment.choose.seed, combination.target
        known = (self.scope.catalog.name, target, self.name, *sorted(combination.sources))
        return derive(seed, *known), combination

    def _excluded(self, target: str, reason: str) -> Excluded:
        return self.scope.excluded(target, self.name if self.arm == CG else "", self.arm, reason)


def chosen_combinations(scope: Scope, targets: Sequence[str]) -> tuple[Chosen, set[Excluded]]:
    """Return each target's combinations of all rules of the arm `cg`, and those that are not run.

    Raises:
        ConfigError: a rule matches for none.
    """
    chosen: Chosen = {}
    excluded: set[Excluded] = set()
    for name in scope.experiment.rules:
        matches = Matches(scope, CG, name, targets)
        taken = matches.chosen()
        excluded |= matches.left_out(taken, _how(scope))
        for target, combinations in taken.items():
            chosen.setdefault(target, []).extend(combinations)
    return {target: each for target, each in chosen.items() if each}, excluded


def shared_combinations(
    scope: Scope, arm: str, settings: OfRule, targets: Sequence[str]
) -> tuple[list[Combination], set[Excluded]]:
    """Return the combinations that an arm's draws take for each target, and where it has none.

    A rule that chooses gives each draw another combination, as long as there are others.

    Raises:
        ConfigError: there is none for any target.
    """
    matches = Matches(scope, arm, settings.rule, targets)
    sizes = {settings.samples or n for n in scope.experiment.sizes}
    if settings.target and {settings.target} == sizes:
        # Made of the target's data alone, it needs no sources.
        return [Combination(target, matches.name, ()) for target in targets], set()
    taken = matches.first(settings.draws)
    how = f"n {settings.draws}, seed {scope.experiment.choose.seed}"
    return list(chain(*taken.values())), matches.left_out(taken, how)


def _how(scope: Scope) -> str:
    """Return how the combinations of the arm `cg` are chosen."""
    choose = scope.experiment.choose
    how = f"n {choose.n}, " if choose.n else ""
    how += "per rule, " if choose.per == "rule" else ""
    return how + (f"labels {' '.join(choose.labels)}" if choose.labels else f"seed {choose.seed}")
