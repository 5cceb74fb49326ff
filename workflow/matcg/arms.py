"""From an experiment to its cases: what each arm trains on, for each target.

An arm is data: every arm's sources come from a rule and its mix from the same functions.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product

from matcg.combinations import Combination, combine, offer, select
from matcg.config.catalog import Catalog
from matcg.config.experiment import Arm, Experiment
from matcg.config.rule import Rule
from matcg.errors import ConfigError, nearest
from matcg.mixes import planned_mix, spread
from matcg.records import Excluded, Mix
from matcg.seeds import derive

NAMED = 8  # ids in one reason
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


@dataclass(frozen=True)
class Scope:
    """An experiment with what its names stand for."""

    experiment: Experiment
    catalog: Catalog
    rules: Mapping[str, Rule]

    def excluded(self, target: str, rule: str, arm: str, reason: str) -> Excluded:
        """Return the record of something that is not run."""
        return Excluded(self.experiment.name, self.catalog.name, target, rule, arm, reason)


def find_cases(scope: Scope) -> tuple[list[Case], set[Excluded]]:
    """Return an experiment's cases and what it leaves out.

    Raises:
        ConfigError: an unknown target or label, a rule that matches for no target, or a mix that
            asks more of a subset than its catalog gives.
    """
    _check_labels(scope)
    _check_general(scope)
    targets = find_targets(scope)
    chosen, excluded = _chosen_combinations(scope, targets)
    tested = [target for target in targets if target in chosen or not scope.experiment.rules]
    for target in sorted(set(targets) - set(tested)):
        excluded.add(scope.excluded(target, "", "", "no combination, so no other arm is run"))
    cases: list[Case] = []
    for arm, settings in scope.experiment.arms.items():
        if arm == "baseline" or settings.like == "baseline":
            cases += [Case(target, arm) for target in tested]
            continue
        if arm == "cg" or settings.like:
            sources = [each for target in tested for each in chosen[target]]
            draws = list(product(range(settings.draws), sources))
        else:
            sources, left = _shared(scope, arm, settings, tested)
            excluded |= left
            draws = list(_in_turn(sources, settings.draws))
        cases += [case for draw, each in draws for case in _sized(scope, arm, each, draw)]
    return cases, excluded


def find_targets(scope: Scope) -> list[str]:
    """Return the ids of an experiment's targets, sorted, each once.

    Raises:
        ConfigError: no such subset, element or value, with the nearest valid one.
    """
    experiment, catalog = scope.experiment, scope.catalog
    if not experiment.targets:
        return _listed_targets(scope)
    found: set[str] = set()
    for position, target in enumerate(experiment.targets):
        key = f"{experiment.where}: targets[{position}]"
        if isinstance(target, str):
            try:
                found.add(catalog.subset(target).id)
            except ConfigError as error:
                raise ConfigError(f"{key}: {error}") from None
        else:
            _check_pattern(target, catalog, key)
            matches = select(catalog.subsets, target)
            if not matches:
                raise ConfigError(f"{key}: no subset of catalog '{catalog.name}' is all of these")
            found.update(matches)
    return sorted(found)


def _listed_targets(scope: Scope) -> list[str]:
    """Return the targets of the listed combinations that the experiment takes."""
    labels = set(scope.experiment.choose.labels)
    rows = [row for name in scope.experiment.rules for row in scope.rules[name].listed]
    found = {row.target for row in rows if not labels or row.label in labels}
    if not found:
        raise ConfigError(
            f"{scope.experiment.where}: targets: is missing; name subsets to hold out, or rules"
            " with `listed` combinations"
        )
    return sorted(found)


def _check_labels(scope: Scope) -> None:
    """Raise ConfigError where a label is asked for that no rule lists."""
    valid = {row.label for name in scope.experiment.rules for row in scope.rules[name].listed}
    for label in scope.experiment.choose.labels:
        if label not in valid:
            raise ConfigError(
                f"{scope.experiment.where}: choose.labels: no rule lists a combination '{label}'."
                f"{nearest(label, valid)}"
            )


def _check_general(scope: Scope) -> None:
    """Raise ConfigError where a set that is to be added is none of the catalog's general sets."""
    valid = {subset.id for subset in scope.catalog.general}
    for name in scope.experiment.general:
        if name not in valid:
            raise ConfigError(
                f"{scope.experiment.where}: general.{name}: catalog '{scope.catalog.name}' has no"
                f" such set below `general`.{nearest(name, valid)}"
            )


def _check_pattern(pattern: Mapping[str, Sequence[str]], catalog: Catalog, key: str) -> None:
    """Raise ConfigError where a target pattern names an unknown element or value."""
    elements = {*catalog.elements, "kind", "role"}
    for element, values in pattern.items():
        if element not in elements:
            raise ConfigError(
                f"{key}.{element}: catalog '{catalog.name}' has no element '{element}'."
                f"{nearest(element, elements)}"
            )
        valid = {value for subset in catalog.subsets for value in subset.values(element)}
        for value in values:
            if value not in valid:
                raise ConfigError(
                    f"{key}.{element}: catalog '{catalog.name}' has no {element} '{value}'."
                    f"{nearest(value, valid)}"
                )


# --- Which combinations --------------------------------------------------------------------------


def _chosen_combinations(
    scope: Scope, targets: Sequence[str]
) -> tuple[dict[str, list[Combination]], set[Excluded]]:
    """Return each target's combinations of all rules, and those that are not run."""
    chosen: dict[str, list[Combination]] = {}
    excluded: set[Excluded] = set()
    for name in scope.experiment.rules:
        if scope.rules[name].target != "held-out":
            raise ConfigError(
                f"{scope.experiment.where}: rules: '{name}' trains on the target itself; it can"
                " give the sources of an arm of its own, not of 'cg'"
            )
        found = _matches(scope, "cg", name, targets)
        taken = _choose(scope, name, found)
        excluded |= _left_out(scope, "cg", name, found, taken)
        for target, combinations in taken.items():
            chosen.setdefault(target, []).extend(combinations)
    return {target: each for target, each in chosen.items() if each}, excluded


def _matches(
    scope: Scope, arm: str, name: str, targets: Iterable[str]
) -> dict[str, list[Combination]]:
    """Return a rule's combinations for each target.

    Raises:
        ConfigError: there are none for any.
    """
    rule, catalog, experiment = scope.rules[name], scope.catalog, scope.experiment
    found = {
        target: combine(rule, catalog, catalog.subset(target), experiment.min_size)
        for target in targets
    }
    if not any(found.values()):
        small = sorted({each.reason for each in _too_small(scope, arm, name, targets)})
        raise ConfigError(
            f"{experiment.where}: rule '{name}' (arm '{arm}') matches no combination for any of"
            f" the {len(found)} targets; change the targets, the rule or the catalog"
            + "".join(f" ({reason})" for reason in small[:1])
        )
    return found


def _too_small(scope: Scope, arm: str, name: str, targets: Iterable[str]) -> set[Excluded]:
    """Return, for each target, the subsets that a rule would not take for their size."""
    rule, least = scope.rules[name], scope.experiment.min_size
    size = max(least, rule.min_size)
    if not size or rule.listed:
        return set()
    found = set()
    for target in targets:
        _, small = offer(rule, scope.catalog, scope.catalog.subset(target), least)
        if small:
            names = ", ".join(subset.id for subset in small[:NAMED])
            more = f" and {len(small) - NAMED} more" if len(small) > NAMED else ""
            reason = f"{len(small)} subsets not known to give {size} samples: {names}{more}"
            found.add(scope.excluded(target, name if arm == "cg" else "", arm, reason))
    return found


def _choose(
    scope: Scope, rule: str, found: Mapping[str, Sequence[Combination]]
) -> dict[str, list[Combination]]:
    """Return the combinations to run.

    The choice ranks by derived seeds, so that it does not depend on what else there is to choose
    from.
    """
    choose = scope.experiment.choose
    wanted = {
        target: [each for each in combinations if not choose.labels or each.label in choose.labels]
        for target, combinations in found.items()
    }
    pools: dict[str, list[Combination]] = defaultdict(list)
    for each in sorted(chain(*wanted.values()), key=lambda each: _rank(scope, rule, each)):
        # A list of published rows holds several rules: each is a pool of its own.
        pools[each.rule if choose.per == "rule" else each.target].append(each)
    taken = {each for pool in pools.values() for each in pool[: choose.n]}
    return {target: [each for each in found if each in taken] for target, found in wanted.items()}


def _rank(scope: Scope, rule: str, combination: Combination) -> tuple[int, Combination]:
    seed, target = scope.experiment.choose.seed, combination.target
    place = derive(seed, scope.catalog.name, target, rule, *sorted(combination.sources))
    return place, combination


def _left_out(
    scope: Scope,
    arm: str,
    name: str,
    found: Mapping[str, Sequence[Combination]],
    taken: Mapping[str, Sequence[Combination]],
) -> set[Excluded]:
    """Return what an arm does not run of a rule: no match, too small, or not chosen."""
    excluded = _too_small(scope, arm, name, found)
    rule = name if arm == "cg" else ""
    for target, combinations in found.items():
        left = len(combinations) - len(taken[target])
        if not combinations:
            reason = f"rule '{name}' matches no combination"
            excluded.add(scope.excluded(target, rule, arm, reason))
        elif left:
            how = _how(scope) if arm == "cg" else _draws_of(scope, arm)
            reason = f"{left} of {len(combinations)} combinations not chosen (choose: {how})"
            excluded.add(scope.excluded(target, rule, arm, reason))
    return excluded


def _draws_of(scope: Scope, arm: str) -> str:
    """Return how the combinations of an arm with its own rule are chosen."""
    return f"n {scope.experiment.arms[arm].draws}, seed {scope.experiment.choose.seed}"


def _how(scope: Scope) -> str:
    """Return how the combinations of the CG arm are chosen."""
    choose = scope.experiment.choose
    how = f"n {choose.n}, " if choose.n else ""
    how += "per rule, " if choose.per == "rule" else ""
    return how + (f"labels {' '.join(choose.labels)}" if choose.labels else f"seed {choose.seed}")


def _shared(
    scope: Scope, arm: str, settings: Arm, targets: Sequence[str]
) -> tuple[list[Combination], set[Excluded]]:
    """Return the combinations that an arm's draws take for each target, and where it has none.

    A rule that chooses gives each draw another combination, as long as there are others.
    """
    name = settings.rule or ""
    if settings.target and {settings.target} == {
        settings.samples or n for n in scope.experiment.sizes
    }:
        # Made of the target's data alone, it needs no sources.
        return [Combination(target, name, ()) for target in targets], set()
    if arm in ("control", "floor") and scope.rules[name].target != "held-out":
        raise ConfigError(
            f"{scope.experiment.where}: arms.{arm}.rule: '{name}' trains on the target itself"
        )
    found = _matches(scope, arm, name, targets)
    taken = {
        target: sorted(combinations, key=lambda each: _rank(scope, name, each))[: settings.draws]
        for target, combinations in found.items()
    }
    return list(chain(*taken.values())), _left_out(scope, arm, name, found, taken)


# --- What they train on --------------------------------------------------------------------------


def _in_turn(sources: Iterable[Combination], n: int) -> Iterator[tuple[int, Combination]]:
    """Yield n draws a target, numbered from 0; they take the target's combinations in turn."""
    groups: dict[str, list[Combination]] = defaultdict(list)
    for each in sources:
        groups[each.target].append(each)
    for found in groups.values():
        yield from ((draw, found[draw % len(found)]) for draw in range(n))


def _sized(scope: Scope, arm: str, combination: Combination, draw: int) -> Iterator[Case]:
    """Yield an arm's case at each size; an arm with a size of its own has but that."""
    settings = scope.experiment.arms[arm]
    shown: Combination | None = combination
    if arm != "cg" and not settings.like:
        shown = None
    if settings.samples:
        sizes: Iterable[tuple[int, int]] = [(settings.samples, 0)]
    else:
        sizes = product(scope.experiment.sizes, sorted(set(scope.experiment.mixed_in)))
    for samples, mixed_in in sizes:
        mix = _mix(scope, arm, combination, (samples, mixed_in), draw)
        yield Case(combination.target, arm, shown, mix, samples + mixed_in, mixed_in, draw)


def _mix(scope: Scope, arm: str, combination: Combination, size: tuple[int, int], draw: int) -> Mix:
    """Return the mix of one arm: the sources' samples and the target's own share."""
    experiment, catalog, target = scope.experiment, scope.catalog, combination.target
    settings, (samples, mixed_in) = experiment.arms[arm], size
    asked = Asked(scope, arm, target)
    parts = asked.spread(samples - settings.target, combination)
    if settings.target + mixed_in:
        parts[target] = parts.get(target, 0) + settings.target + mixed_in
    parts |= experiment.general
    repeat = experiment.short == "repeat" and not all(
        catalog.gives(catalog.member(name), n) for name, n in parts.items()
    )
    if experiment.short != "repeat":
        asked.check(parts)
    leaky = experiment.leaks == "report"
    seed = experiment.data_seed
    if draw:
        asked.check_draws(parts)
        seed = derive(seed, "draw", draw) % SEEDS
    return planned_mix(catalog.name, parts, seed, settings.labels, repeat, leaky)


@dataclass(frozen=True)
class Asked:
    """Who asks for samples, for the errors that say so."""

    scope: Scope
    arm: str
    target: str

    def spread(self, samples: int, combination: Combination) -> dict[str, int]:
        """Divide samples over the sources of a combination.

        Raises:
            ConfigError: there are fewer samples than sources, or the sources have too few.
        """
        catalog, experiment = self.scope.catalog, self.scope.experiment
        if not samples:
            return {}
        caps = {name: catalog.capacity(catalog.subset(name)) for name in combination.sources}
        try:
            parts = spread(
                samples, combination.weights, caps if experiment.short == "others" else None
            )
        except ValueError:
            raise self.error(
                f"asks {samples} samples of {len(caps)} sources that have {sum(caps.values())}"
                f" together (rule '{combination.rule}'); lower `samples` or say `short: repeat`"
            ) from None
        if min(parts.values()) == 0:
            raise self.error(
                f"has {samples} samples, fewer than the {len(parts)} sources of rule"
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
        catalog, shuffled = self.scope.catalog, self.scope.experiment.arms[self.arm].labels
        if shuffled == "true" and all(
            n >= catalog.capacity(catalog.member(name)) for name, n in parts.items()
        ):
            raise self.error(
                "takes all that its sources have, so that every one of its `draws` would be the"
                " same; lower `samples` or say `draws: 1`"
            )

    def error(self, text: str) -> ConfigError:
        """Return the error that names experiment, arm and target."""
        where = f"{self.scope.experiment.where}: samples"
        return ConfigError(f"{where}: arm '{self.arm}' of target '{self.target}' {text}")


def label_of(case: Case) -> tuple[str, str, str]:
    """Return rule, sources and label of a case as the plan shows them; empty for a shared arm."""
    if case.combination is None:
        return "", "", ""
    return case.combination.rule, case.combination.readable, case.combination.label
