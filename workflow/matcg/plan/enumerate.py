"""The plan: every mix, run and evaluation of the experiments, enumerated once, with its name.

A pure function of frozen records: it reads no file and no clock, and the order in which anything is
listed changes nothing. Aggregation takes its inputs from here and never looks what files exist.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from operator import attrgetter
from typing import Any, TypeVar

from matcg import identity
from matcg.config.arm import CG, OfRule, Trained
from matcg.config.backbone import Backbone
from matcg.config.experiment import Experiment
from matcg.config.project import Project
from matcg.config.protocol import Protocol
from matcg.errors import ConfigError, MatcgError, nearest
from matcg.models.identity import of_measuring
from matcg.plan.arms import Case, find_cases
from matcg.plan.records import (
    BASELINE,
    Evaluation,
    Excluded,
    Mix,
    Reduced,
    Row,
    Run,
    protocol_of,
    tag_of,
    tags,
)
from matcg.plan.targets import Scope

_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything there is to do, sorted, each thing once.

    `forbidden` gives, for a mix by name, the targets whose data must not be in it. `subsets` are
    catalog and id. `naive` counts the trainings and evaluations there would be if every combination
    had arms of its own. `parts` are the plans of the single experiments: none of them depends on
    which others there are.
    """

    rows: tuple[Row, ...]
    mixes: tuple[Mix, ...]
    runs: tuple[Run, ...]
    evaluations: tuple[Evaluation, ...]
    excluded: tuple[Excluded, ...]
    forbidden: Mapping[str, tuple[str, ...]]
    subsets: tuple[tuple[str, str], ...]
    naive: tuple[int, int]
    reduced: tuple[Reduced, ...] = ()
    parts: Mapping[str, "Plan"] = field(default_factory=dict)


def make_plan(project: Project) -> Plan:
    """Enumerate a project.

    Raises:
        ConfigError: an unknown target or recipe, a rule that matches for no target, or a mix that
            asks more of a subset than its catalog gives.
        MatcgError: a target's data would be in a mix that must not hold it.
    """
    names = Names(project)
    parts = {each.name: _planned(each, project, names) for each in project.experiments}
    if len(parts) == 1:
        (whole,) = parts.values()
        return replace(whole, parts=parts)
    forbidden: dict[str, set[str]] = defaultdict(set)
    for part in parts.values():
        for name, targets in part.forbidden.items():
            forbidden[name].update(targets)

    def together(name: str) -> tuple[Any, ...]:
        found = {each for part in parts.values() for each in getattr(part, name)}
        return tuple(sorted(found) if name == "subsets" else in_order(found))

    lists = ("rows", "mixes", "runs", "evaluations", "excluded", "subsets")
    return Plan(
        **{name: together(name) for name in lists},
        forbidden={name: tuple(sorted(found)) for name, found in sorted(forbidden.items())},
        naive=(sum(p.naive[0] for p in parts.values()), sum(p.naive[1] for p in parts.values())),
        parts=parts,
    )


def _planned(experiment: Experiment, project: Project, names: "Names") -> Plan:
    """Enumerate one experiment."""
    limit = project.config.limit.targets if project.config.limit else None
    scope = Scope(experiment, project.catalogs[experiment.catalog], project.rules, limit)
    cases, excluded, reduced = find_cases(scope)
    rows = in_order(_rows(experiment, cases, project))
    drawn = {case.mix.id: case.mix for case in cases if case.mix}
    forbidden = _forbidden(rows, drawn, experiment, project)
    tested: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        tested[row.mix].add(row.target)
    measured = tuple(sorted(map(names.measured, experiment.backbones)))
    mixes = {name: names.mix(mix, tested[name], measured) for name, mix in drawn.items()}
    trained = {(row.backbone, row.run): row for row in rows if row.mix}
    runs = {key: names.run(row, mixes[row.mix]) for key, row in trained.items()}
    used = {(mix.catalog, name) for mix in mixes.values() for name, _ in mix.parts}
    return Plan(
        rows=tuple(rows),
        mixes=tuple(sorted(mixes.values())),
        runs=tuple(in_order(runs.values())),
        evaluations=tuple(in_order(_evaluations(rows, runs, experiment, names, project))),
        excluded=tuple(sorted(excluded)),
        forbidden={mixes[name].name: found for name, found in forbidden.items()},
        subsets=tuple(sorted(used | {(row.catalog, row.target) for row in rows})),
        naive=_naive(experiment, cases),
        reduced=tuple(in_order(reduced)),
    )


def in_order(records: Iterable[_R]) -> list[_R]:
    """Return records of one kind sorted, each once: as `sorted` does, which takes far longer."""
    found = list(records)
    if not found:
        return []
    first: Any = found[0]
    by = attrgetter(*(each.name for each in fields(first)))
    return list({by(each): each for each in sorted(found, key=by)}.values())


class Names:
    """The names of a project's subsets, mixes and runs, with digests of what decides them."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._subsets: dict[tuple[str, str], str] = {}
        self._recipes: dict[tuple[str, str], str] = {}
        self._measured: dict[str, str] = {}
        self._questions: dict[tuple[str, ...], str] = {}

    def digest(self, catalog: str, subset: str) -> str:
        """Return the digest of a subset's samples."""
        key = (catalog, subset)
        if key not in self._subsets:
            preparation = self._project.catalogs[catalog].preparation(subset)
            self._subsets[key] = identity.of_subset(preparation)
        return self._subsets[key]

    def subset(self, catalog: str, subset: str) -> str:
        """Return the name of a subset's folder below its catalog's."""
        return identity.named(subset, self.digest(catalog, subset))

    def measured(self, backbone: str) -> str:
        """Return a backbone's name with the digest of what decides which samples it is not asked.

        Its weights, which have its tokeniser, are looked at.
        """
        if backbone not in self._measured:
            found = of_measuring(self._project.backbones[backbone])
            self._measured[backbone] = identity.named(backbone, found)
        return self._measured[backbone]

    def mix(self, mix: Mix, targets: Iterable[str], measured: tuple[str, ...]) -> Mix:
        """Return a mix with its targets, the backbones that measure its samples, and its digest."""
        tested = () if mix.leaky else tuple(sorted(targets))
        parts = {name: self.digest(mix.catalog, name) for name, _ in mix.parts}
        mix = replace(mix, targets=tested, measured=measured)
        found = mix.digest_of(parts, {t: self.digest(mix.catalog, t) for t in tested})
        return replace(mix, digest=found)

    def recipe(self, backbone: str, recipe: str) -> str:
        """Return a recipe's name with its digest."""
        key = (backbone, recipe)
        if key not in self._recipes:
            settings = self._project.backbones[backbone].recipes[recipe]
            self._recipes[key] = identity.named(recipe, identity.of_recipe(settings))
        return self._recipes[key]

    def run(self, row: Row, mix: Mix) -> Run:
        """Return the run of a row."""
        place = f"{self.recipe(row.backbone, row.recipe)}/{mix.name}/seed{row.seed}"
        return Run(row.backbone, row.recipe, row.mix, row.seed, place)

    def questions(self, catalog: str, target: str, protocol: Protocol) -> str:
        """Return the name of the answers to a target's questions, below a run's folder."""
        key = (catalog, target, protocol.name)
        if key not in self._questions:
            found = identity.of_questions(self.digest(catalog, target), protocol)
            self._questions[key] = f"{catalog}/{identity.named(target, found)}"
        return self._questions[key]


def _rows(experiment: Experiment, cases: Iterable[Case], project: Project) -> Iterator[Row]:
    """Yield a row for each case, backbone, seed and draw of examples.

    The untouched backbone has but one seed.
    """
    for name in experiment.backbones:
        _recipe(experiment, project.backbones[name])
    for case, backbone, seed in product(cases, experiment.backbones, experiment.seeds):
        mix = case.mix
        run = Run(backbone, experiment.recipe, mix.id, seed).key if mix else BASELINE
        rule, combination, label = case.shown
        protocol = _protocol(experiment, case.arm, project.backbones[backbone], project)
        for number, tag in enumerate(tags(protocol)):
            yield Row(
                experiment=experiment.name,
                catalog=experiment.catalog,
                target=case.target,
                rule=rule,
                combination=combination,
                arm=case.arm,
                backbone=backbone,
                recipe=experiment.recipe,
                seed=seed if mix else min(experiment.seeds),
                mix=mix.id if mix else "",
                run=run,
                n_train=case.n_train,
                mixed_in=case.mixed_in,
                label=label,
                draw=case.draw * protocol.draws + number,
                asked=run + tag,
            )


def _protocol(experiment: Experiment, arm: str, backbone: Backbone, project: Project) -> Protocol:
    """Return how an arm is asked.

    Raises:
        ConfigError: the backbone cannot be asked so, or in one of the further protocols.
    """
    declared = experiment.arms.get(arm)  # none of an arm that lacks an element
    own = declared.protocol if declared else None
    found = {f"arms.{arm}.protocol" if own else "protocol": own or experiment.protocol}
    found |= {f"also[{i}]": name for i, name in enumerate(experiment.also)}
    for key, name in found.items():
        if project.protocols[name].shots and not backbone.several_images:
            raise ConfigError(
                f"{experiment.where}: {key}: protocol '{name}' puts examples into the prompt, but"
                f" backbone '{backbone.name}' takes one picture a prompt; use another, or say"
                " `several_images: true` in its file if it can"
            )
    return project.protocols[own or experiment.protocol]


def _recipe(experiment: Experiment, backbone: Backbone) -> None:
    if experiment.recipe not in backbone.recipes:
        raise ConfigError(
            f"{experiment.where}: recipe: backbone '{backbone.name}' has no recipe"
            f" '{experiment.recipe}'.{nearest(experiment.recipe, backbone.recipes)}"
        )


def _naive(experiment: Experiment, cases: Sequence[Case]) -> tuple[int, int]:
    """Count trainings and evaluations if each combination brought all arms along."""
    arms = Counter(case.arm for case in cases)
    combinations = arms[CG] or max(arms.values(), default=0)
    times = combinations * len(experiment.backbones) * len(experiment.seeds)
    return times * (len(arms) - (BASELINE in arms)), times * len(arms)


def _forbidden(
    rows: Iterable[Row], mixes: Mapping[str, Mix], experiment: Experiment, project: Project
) -> dict[str, tuple[str, ...]]:
    """Return the targets each mix must not hold, having made sure that it holds none."""
    allowed = {name: _sees_target(experiment, name, project) for name in experiment.arms}
    held = {name: dict(mix.parts) for name, mix in mixes.items()}
    targets: dict[str, set[str]] = {name: set() for name in mixes}
    for row in rows:
        if not row.mix or row.mixed_in or allowed.get(row.arm):
            continue
        if row.target in held[row.mix]:
            raise MatcgError(
                f"experiment '{row.experiment}': arm '{row.arm}' of target '{row.target}' would"
                f" train on the target's own data (mix {row.mix}); its rule must not return it"
            )
        targets[row.mix].add(row.target)
    return {name: tuple(sorted(found)) for name, found in sorted(targets.items())}


def _sees_target(experiment: Experiment, name: str, project: Project) -> bool:
    """Tell whether an arm is one that says that the target's data are in it."""
    arm = experiment.arms[name]
    if isinstance(arm, OfRule) and project.rules[arm.rule].target != "held-out":
        return True
    return isinstance(arm, Trained) and arm.target > 0


def _evaluations(
    rows: Iterable[Row],
    runs: Mapping[tuple[str, str], Run],
    experiment: Experiment,
    names: Names,
    project: Project,
) -> Iterator[Evaluation]:
    """Yield who answers what: each row's run as its arm is asked, and by the further protocols."""
    also = [tag for name in experiment.also for tag in tags(project.protocols[name])]
    asked = {
        (row.backbone, row.catalog, row.target, row.run, tag)
        for row in rows
        for tag in (tag_of(row.asked), *also)
    }
    for backbone, catalog, target, key, tag in asked:
        run = runs[backbone, key].place if key != BASELINE else BASELINE
        questions = names.questions(catalog, target, project.protocols[protocol_of(tag)])
        place = f"{run}/{questions}{tag}.parquet"
        yield Evaluation(backbone, catalog, target, key + tag, run, place)
