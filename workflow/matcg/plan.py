"""The plan: every mix, run and evaluation of the experiments, enumerated once.

A pure function of frozen records: it reads no file and no clock, and the order in which anything is
listed changes nothing. Aggregation takes its inputs from here and never looks what files exist.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from matcg.arms import Case, Excluded, Scope, find_cases, label_of
from matcg.config import Backbone, Experiment, Project, Protocol
from matcg.errors import ConfigError, MatcgError, nearest
from matcg.mixes import Mix

__all__ = [
    "BASELINE",
    "Evaluation",
    "Excluded",
    "Mix",
    "Plan",
    "Row",
    "Run",
    "make_plan",
    "run_of",
    "tag_of",
]

BASELINE = "baseline"  # the run of the untouched backbone, and the arm that is nothing else


def run_of(name: str) -> str:
    """Return the run in the name of answers (`Evaluation`)."""
    return name.split("@")[0]


def tag_of(name: str) -> str:
    """Return what the name of answers says of the protocol; nothing for `letters`."""
    return name[len(run_of(name)) :]


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """One fine-tuning; `key` names it among the runs of its backbone."""

    backbone: str
    recipe: str
    mix: str
    seed: int

    @property
    def key(self) -> str:
        """Return `{recipe}/{mix}/seed{n}`, also its folder below the backbone's."""
        return f"{self.recipe}/{self.mix}/seed{self.seed}"


@dataclass(frozen=True, slots=True, order=True)
class Evaluation:
    """All runs of a backbone that answer one target's questions (`baseline` first).

    A run that is asked by another protocol than `letters` is named `{run}@{protocol}`, with the
    number of the draw where there are several.
    """

    backbone: str
    catalog: str
    target: str
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """What a run is for: one arm of one experiment on one target. Rule empty: a shared arm.

    `n_train` is the size that was asked for; of it `mixed_in` samples are the target's, in every
    arm alike. `draw` numbers the training sets of an arm that has several, or the draws of the
    examples that it is shown. `asked` names the answers: the run, and the protocol (`Evaluation`).
    """

    experiment: str
    catalog: str
    target: str
    rule: str
    combination: str
    arm: str
    backbone: str
    recipe: str
    seed: int
    mix: str
    run: str
    n_train: int
    mixed_in: int = 0
    label: str = ""
    draw: int = 0
    asked: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything there is to do, sorted, each thing once.

    `forbidden` gives, for a mix, the targets whose data must not be in it. `naive` counts the
    trainings and evaluations there would be if every combination had arms of its own.
    """

    rows: tuple[Row, ...]
    mixes: tuple[Mix, ...]
    runs: tuple[Run, ...]
    evaluations: tuple[Evaluation, ...]
    excluded: tuple[Excluded, ...]
    forbidden: Mapping[str, tuple[str, ...]]
    subsets: tuple[tuple[str, str], ...]
    naive: tuple[int, int]


def make_plan(project: Project) -> Plan:
    """Enumerate a project.

    Raises:
        ConfigError: an unknown target or recipe, a rule that matches for no target, or a mix that
            asks more of a subset than its catalog gives.
        MatcgError: a target's data would be in a mix that must not hold it.
    """
    rows: set[Row] = set()
    mixes: dict[str, Mix] = {}
    excluded: set[Excluded] = set()
    naive = [0, 0]
    for experiment in project.experiments:
        scope = Scope(experiment, project.catalogs[experiment.catalog], project.rules)
        cases, left_out = find_cases(scope)
        excluded |= left_out
        mixes |= {case.mix.id: case.mix for case in cases if case.mix}
        rows |= set(_rows(experiment, cases, project))
        for index, count in enumerate(_naive(experiment, cases)):
            naive[index] += count
    forbidden = _forbidden(rows, mixes, project)
    runs = {Run(r.backbone, r.recipe, r.mix, r.seed) for r in rows if r.mix}
    subsets = {(mix.catalog, name) for mix in mixes.values() for name, _ in mix.parts}
    return Plan(
        rows=tuple(sorted(rows)),
        mixes=tuple(sorted(mixes.values())),
        runs=tuple(sorted(runs)),
        evaluations=_evaluations(rows, project),
        excluded=tuple(sorted(excluded)),
        forbidden=forbidden,
        subsets=tuple(sorted(subsets | {(row.catalog, row.target) for row in rows})),
        naive=(naive[0], naive[1]),
    )


def _rows(experiment: Experiment, cases: Iterable[Case], project: Project) -> Iterator[Row]:
    """Yield a row for each case, backbone, seed and draw of examples.

    The untouched backbone has but one seed.
    """
    for name in experiment.backbones:
        _recipe(experiment, project.backbones[name])
    for case, backbone, seed in product(cases, experiment.backbones, experiment.seeds):
        mix = case.mix
        run = Run(backbone, experiment.recipe, mix.id, seed).key if mix else BASELINE
        rule, combination, label = label_of(case)
        protocol = _protocol(experiment, case.arm, project.backbones[backbone], project)
        for number, tag in enumerate(protocol.tags):
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
    own = experiment.arms[arm].protocol
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
    combinations = arms["cg"] or max(arms.values(), default=0)
    times = combinations * len(experiment.backbones) * len(experiment.seeds)
    return times * (len(arms) - (BASELINE in arms)), times * len(arms)


def _forbidden(
    rows: Iterable[Row], mixes: Mapping[str, Mix], project: Project
) -> dict[str, tuple[str, ...]]:
    """Return the targets each mix must not hold, having made sure that it holds none."""
    allowed = {
        (experiment.name, name): _sees_target(experiment, name, project)
        for experiment in project.experiments
        for name in experiment.arms
    }
    held = {name: dict(mix.parts) for name, mix in mixes.items()}
    targets: dict[str, set[str]] = {name: set() for name in mixes}
    for row in rows:
        if not row.mix or row.mixed_in or allowed[row.experiment, row.arm]:
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
    of_rule = bool(arm.rule) and project.rules[arm.rule or ""].target != "held-out"
    return bool(arm.target) or of_rule


def _evaluations(rows: Iterable[Row], project: Project) -> tuple[Evaluation, ...]:
    """Return who answers what: each row's run as its arm is asked, and by the further protocols."""
    also = {
        experiment.name: [tag for name in experiment.also for tag in project.protocols[name].tags]
        for experiment in project.experiments
    }
    groups: dict[tuple[str, str, str], set[str]] = {}
    for row in rows:
        asked = groups.setdefault((row.backbone, row.catalog, row.target), set())
        asked.add(row.asked)
        asked.update(row.run + tag for tag in also[row.experiment])
    return tuple(
        Evaluation(*place, tuple(sorted(runs, key=_baseline_first)))
        for place, runs in sorted(groups.items())
    )


def _baseline_first(asked: str) -> tuple[bool, str]:
    return run_of(asked) != BASELINE, asked
