"""From an experiment to its cases: what each arm trains on, for each target.

An arm is data: every arm's sources come from a rule and its mix from the same functions.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from matcg.config.arm import Covering, OfCombinations, OfRule, Trained, Untrained
from matcg.errors import ConfigError
from matcg.plan.chosen import chosen_combinations, shared_combinations
from matcg.plan.combinations import Combination
from matcg.plan.covers import Cover, find_covers
from matcg.plan.knock_outs import Surroundings, Variant, variants
from matcg.plan.mixes import planned_mix
from matcg.plan.records import Excluded, Mix, Reduced
from matcg.plan.targets import Scope
from matcg.seeds import derive

SEEDS = 10**6  # of further draws: short, since a mix is named after its seed


@dataclass(frozen=True, slots=True)
class Case:
    """One arm for one target at one size, before backbones and seeds; no mix: the baseline."""

    target: str
    arm: str
    combination: Combination | None = None
    mix: Mix | None = None
    n_train: int = 0
    mixed_in: int = 0
    draw: int = 0

    @property
    def shown(self) -> tuple[str, str, str]:
        """Return rule, sources and label as the plan shows them; empty for a shared arm."""
        found = self.combination
        return (found.rule, found.readable, found.label) if found else ("", "", "")


def find_cases(scope: Scope) -> tuple[list[Case], set[Excluded], set[Reduced]]:
    """Return an experiment's cases, what it leaves out, and what lacks an element of its CG.

    Raises:
        ConfigError: an unknown target or label, a rule that matches for no target, or a mix that
            asks more of a subset than its catalog gives.
    """
    scope.check()
    targets = scope.targets()
    chosen, excluded = chosen_combinations(scope, targets)
    excluded |= set(scope.not_asked())
    tested = [target for target in targets if target in chosen or not scope.experiment.rules]
    for target in sorted(set(targets) - set(tested)):
        excluded.add(scope.excluded(target, "", "", "no combination, so no other arm is run"))
    for target in tested[scope.limit :] if scope.limit else ():
        excluded.add(scope.excluded(target, "", "", f"limit: only the first {scope.limit} targets"))
    tested = tested[: scope.limit]
    cases: list[Case] = []
    reduced: set[Reduced] = set()
    draws: list[tuple[int, Combination | Cover]]
    for arm, settings in scope.experiment.arms.items():
        if isinstance(settings, Untrained):
            cases += [Case(target, arm) for target in tested]
            continue
        asked, left = _asked(scope, arm, settings, tested)
        excluded |= left
        if isinstance(settings, OfCombinations):
            sources = [each for target in asked for each in chosen[target]]
            if settings.reduced:
                found, left, records = _without_elements(scope, arm, settings, sources)
                cases, excluded, reduced = cases + found, excluded | left, reduced | records
                continue
            draws = list(product(range(settings.draws), sources))
        elif isinstance(settings, Covering):
            covers, left = find_covers(scope, arm, settings, asked)
            excluded |= left
            draws = list(product(range(settings.draws), covers))
        else:
            sources, left = shared_combinations(scope, arm, settings, asked)
            excluded |= left
            draws = list(_in_turn(sources, settings.draws))
        for draw, each in draws:
            cases += Demand(scope, arm, settings, each.target).cases(each, draw)
    return cases, excluded, reduced


def _asked(
    scope: Scope, arm: str, settings: Trained, tested: Sequence[str]
) -> tuple[list[str], set[Excluded]]:
    """Return the targets that an arm is for, and those that it leaves out."""
    if not settings.targets:
        return list(tested), set()
    reason = "not among the targets that this arm is for"
    left = {scope.excluded(t, "", arm, reason) for t in tested if t not in settings.targets}
    return [target for target in tested if target in settings.targets], left


def _without_elements(
    scope: Scope,
    arm: str,
    settings: OfCombinations,
    combinations: Iterable[Combination],
) -> tuple[list[Case], set[Excluded], set[Reduced]]:
    """Return the cases of combinations that lack an element, an arm an element."""
    cases: list[Case] = []
    excluded: set[Excluded] = set()
    reduced: set[Reduced] = set()
    around: dict[tuple[str, str], Surroundings] = {}
    for draw, each in product(range(settings.draws), combinations):
        key = (each.target, each.rule)
        around[key] = around.get(key) or Surroundings.of(scope, *key)
        found, left = variants(around[key], arm, settings, each, draw)
        excluded |= left
        for variant in found:
            demand = Demand(scope, variant.record.arm, settings, each.target, variant)
            made = list(demand.cases(each, draw)) if variant.swaps else []
            cases += made
            if not draw:
                sizes = sorted({case.n_train for case in made if case.mix and case.mix.repeat})
                reduced.add(replace(variant.record, repeated=" ".join(map(str, sizes))))
    return cases, excluded, reduced


def _in_turn(sources: Iterable[Combination], n: int) -> Iterator[tuple[int, Combination]]:
    """Yield n draws a target, numbered from 0; they take the target's combinations in turn."""
    groups: dict[str, list[Combination]] = defaultdict(list)
    for each in sources:
        groups[each.target].append(each)
    for found in groups.values():
        yield from ((draw, found[draw % len(found)]) for draw in range(n))


@dataclass(frozen=True)
class Demand:
    """An arm that asks its catalog for samples for one target; `variant` takes an element out."""

    scope: Scope
    arm: str
    settings: OfCombinations | OfRule | Covering
    target: str
    variant: Variant | None = None

    def cases(self, combination: Combination | Cover, draw: int) -> Iterator[Case]:
        """Yield the arm's case at each size; an arm with a size of its own has but that."""
        settings, experiment = self.settings, self.scope.experiment
        own = isinstance(settings, OfCombinations)
        shown = combination if own and isinstance(combination, Combination) else None
        sizes: Iterable[tuple[int, int]] = product(experiment.sizes, sorted(experiment.mixed_in))
        for samples, mixed_in in [(settings.samples, 0)] if settings.samples else sizes:
            mix = self.mix(combination, (samples, mixed_in), draw)
            yield Case(self.target, self.arm, shown, mix, samples + mixed_in, mixed_in, draw)

    def mix(self, combination: Combination | Cover, size: tuple[int, int], draw: int) -> Mix:
        """Return a training set: the sources' samples and the target's own share, as many each.

        Raises:
            ConfigError: a subset has too few samples, or a further draw would be as the first.
        """
        experiment, catalog = self.scope.experiment, self.scope.catalog
        settings, (samples, mixed_in) = self.settings, size
        parts = self.spread(samples - settings.target, combination)
        if self.variant:
            parts = self.variant.of(parts)
        if settings.target + mixed_in:
            parts[self.target] = parts.get(self.target, 0) + settings.target + mixed_in
        parts |= experiment.general
        # What is to be as large as CG is so whatever its sources have.
        may_repeat = experiment.short == "repeat" or self.variant is not None
        repeat = may_repeat and not all(
            catalog.gives(catalog.member(name), n) for name, n in parts.items()
        )
        if not may_repeat:
            self.check(parts)
        leaky = experiment.leaks == "report"
        seed = experiment.data_seed
        if draw:
            self.check_draws(parts)
            seed = derive(seed, "draw", draw) % SEEDS
        return planned_mix(catalog.name, parts, seed, settings.labels, repeat, leaky)

    def spread(self, samples: int, combination: Combination | Cover) -> dict[str, int]:
        """Divide samples over the sources of a combination.

        Raises:
            ConfigError: there are fewer samples than sources, or the sources have too few.
        """
        catalog, experiment = self.scope.catalog, self.scope.experiment
        if not samples:
            return {}
        caps = {name: catalog.capacity(catalog.subset(name)) for name in combination.sources}
        try:
            parts = combination.spread(samples, caps if experiment.short == "others" else None)
        except ValueError:
            raise self.error(
                f"asks {samples} samples of {len(caps)} sources that have {sum(caps.values())}"
                f" together (rule '{combination.rule}'); lower `samples` or say `short: repeat`"
            ) from None
        if min(parts.values()) == 0:
            raise self.error(
                f"has {samples} samples, too few for each of the {len(parts)} sources of rule"
                f" '{combination.rule}'"
            )
        return parts

    def check(self, parts: Mapping[str, int]) -> None:
        """Raise ConfigError where a subset is asked more than its catalog says that it gives."""
        catalog = self.scope.catalog
        for name, n in parts.items():
            subset = catalog.member(name)
            most = catalog.capacity(subset)
            if n > most:
                raise self.error(
                    f"asks {n} samples of '{name}', but catalog '{catalog.name}' keeps at most"
                    f" {most} of it; lower `samples`, raise split.train, or say `short: others`"
                    " (the other sources give more) or `short: repeat`"
                )
            if n >= catalog.split.train and not catalog.gives(subset, n):
                raise self.error(
                    f"asks {n} samples of '{name}', which is declared `role: ood`, with fewer; say"
                    f" `short: repeat`, or how many it has (`train:`) in catalog '{catalog.name}'"
                )

    def check_draws(self, parts: Mapping[str, int]) -> None:
        """Raise ConfigError where another draw would hold the same samples again."""
        catalog = self.scope.catalog
        if self.settings.labels == "true" and all(
            n >= catalog.capacity(catalog.member(name)) for name, n in parts.items()
        ):
            raise self.error(
                "takes all that its sources have, so that every one of its `draws` would be the"
                " same; lower `samples` or say `draws: 1`"
            )

    def error(self, text: str) -> ConfigError:
        """Return the error that names experiment, arm and target."""
        return self.scope.error(f"samples: arm '{self.arm}' of target '{self.target}' {text}")
