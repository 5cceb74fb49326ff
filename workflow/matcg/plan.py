"""The plan: every mix, run and evaluation of the experiments, enumerated once.

A pure function of frozen records: it reads no file and no clock, and the order in which anything is
listed changes nothing. Aggregation takes its inputs from here and never looks what files exist.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any, Literal

from matcg.combinations import Combination, combine, select
from matcg.config import Arm, Backbone, Catalog, Experiment, Project
from matcg.errors import ConfigError, MatcgError, nearest
from matcg.seeds import derive

MAX_SLUG = 100


@dataclass(frozen=True, slots=True, order=True)
class Mix:
    """A training set: how many samples of which subsets, drawn with a seed, labelled how."""

    id: str
    catalog: str
    parts: tuple[tuple[str, int], ...]
    seed: int
    labels: Literal["true", "shuffled"]

    @property
    def total(self) -> int:
        """Return the number of training samples."""
        return sum(n for _, n in self.parts)


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
    """All runs of a backbone that answer one target's questions (`baseline` first)."""

    backbone: str
    catalog: str
    target: str
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """What a run is for: one arm of one experiment on one target. Rule empty: a shared arm."""

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


@dataclass(frozen=True, slots=True, order=True)
class Excluded:
    """What is not run although it could be thought to be, and why."""

    experiment: str
    catalog: str
    target: str
    rule: str
    arm: str
    reason: str


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


@dataclass(frozen=True, slots=True)
class _Case:
    """One arm for one target, before backbones and seeds."""

    target: str
    arm: str
    rule: str
    combination: str
    mix: Mix | None


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
        cases, left_out = _cases(experiment, project)
        excluded |= left_out
        mixes |= {case.mix.id: case.mix for case in cases if case.mix}
        rows |= set(_rows(experiment, cases, project))
        for index, count in enumerate(_naive(experiment, cases)):
            naive[index] += count
    forbidden = _forbidden(rows, mixes, project.experiments)
    runs = {Run(r.backbone, r.recipe, r.mix, r.seed) for r in rows if r.mix}
    subsets = {(mix.catalog, name) for mix in mixes.values() for name, _ in mix.parts}
    return Plan(
        rows=tuple(sorted(rows)),
        mixes=tuple(sorted(mixes.values())),
        runs=tuple(sorted(runs)),
        evaluations=_evaluations(rows),
        excluded=tuple(sorted(excluded)),
        forbidden=forbidden,
        subsets=tuple(sorted(subsets | {(row.catalog, row.target) for row in rows})),
        naive=(naive[0], naive[1]),
    )


def _cases(experiment: Experiment, project: Project) -> tuple[list[_Case], set[Excluded]]:
    """Return an experiment's cases and what it leaves out."""
    catalog = project.catalogs[experiment.catalog]
    targets = find_targets(experiment, catalog)
    found: list[_Case] = []
    excluded: set[Excluded] = set()
    for arm, rule in _asked(experiment):
        matched = False
        for target in targets:
            combinations = _combinations(experiment, arm, rule, catalog, target, project)
            matched = matched or bool(combinations) or not rule
            chosen, reason = _chosen(experiment, arm, rule, catalog.name, combinations)
            found += [_case(experiment, catalog, target, arm, c) for c in chosen]
            if reason:
                shown = rule if arm == "cg" else ""
                excluded.add(Excluded(experiment.name, catalog.name, target, shown, arm, reason))
        if not matched:
            raise ConfigError(
                f"{experiment.where}: rule '{rule}' (arm '{arm}') matches no combination for any of"
                f" the {len(targets)} targets; change the targets, the rule or the catalog"
            )
    return found, excluded


def _asked(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Yield each arm with each rule that gives its sources; the baseline has none."""
    for name, arm in experiment.arms.items():
        for rule in experiment.rules if name == "cg" else (arm.rule or "",):
            yield name, rule


def find_targets(experiment: Experiment, catalog: Catalog) -> list[str]:
    """Return the ids of an experiment's targets, sorted, each once.

    Raises:
        ConfigError: no such subset, element or value, with the nearest valid one.
    """
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


def _combinations(
    experiment: Experiment, arm: str, rule: str, catalog: Catalog, target: str, project: Project
) -> list[Combination]:
    """Return all combinations for an arm; an arm made of target data alone needs no sources."""
    if not rule:
        return [Combination(target, "", ())]
    if experiment.arms[arm].target == experiment.samples:
        return [Combination(target, rule, ())]
    return combine(project.rules[rule], catalog, catalog.subset(target))


def _chosen(
    experiment: Experiment, arm: str, rule: str, catalog: str, found: Sequence[Combination]
) -> tuple[list[Combination], str]:
    """Return the combinations to run and the reason why others are not.

    The choice ranks by derived seeds, so that it does not depend on what else there is to choose
    from; shared arms take one.
    """
    if not found:
        return [], f"rule '{rule}' matches no combination"
    seed, n = experiment.choose.seed, experiment.choose.n if arm == "cg" else 1

    def rank(combination: Combination) -> tuple[int, Combination]:
        target = combination.target
        return derive(seed, catalog, target, rule, *sorted(combination.sources)), combination

    chosen = sorted(found, key=rank)[:n]
    left = len(found) - len(chosen)
    reason = f"{left} of {len(found)} combinations not chosen (choose: n {n}, seed {seed})"
    return chosen, reason if left else ""


def _case(
    experiment: Experiment, catalog: Catalog, target: str, arm: str, combination: Combination
) -> _Case:
    settings = experiment.arms[arm]
    shown = combination.readable if arm == "cg" else ""
    rule = combination.rule if arm == "cg" else ""
    if arm == "baseline":
        return _Case(target, arm, "", "", None)
    parts = _parts(experiment, settings, target, arm, combination)
    _check_sizes(experiment, catalog, target, arm, parts)
    mix = make_mix(catalog.name, parts, experiment.data_seed, settings.labels)
    return _Case(target, arm, rule, shown, mix)


def _parts(
    experiment: Experiment, arm: Arm, target: str, name: str, combination: Combination
) -> dict[str, int]:
    """Spread the samples over the sources, the target's own share aside."""
    parts = spread(experiment.samples - arm.target, combination.sources)
    if min(parts.values(), default=1) == 0:
        raise ConfigError(
            f"{experiment.where}: samples: {experiment.samples - arm.target} are fewer than the"
            f" {len(parts)} sources of arm '{name}' (rule '{combination.rule}', target '{target}')"
        )
    return {**parts, target: arm.target} if arm.target else parts


def spread(total: int, sources: Iterable[str]) -> dict[str, int]:
    """Divide `total` evenly over sources; the first in sorted order take what is left over."""
    names = sorted(set(sources))
    if not names:
        return {}
    share, rest = divmod(total, len(names))
    return {name: share + (position < rest) for position, name in enumerate(names)}


def _check_sizes(
    experiment: Experiment, catalog: Catalog, target: str, arm: str, parts: Mapping[str, int]
) -> None:
    for name, n in parts.items():
        if n > catalog.split.train:
            raise ConfigError(
                f"{experiment.where}: samples: arm '{arm}' of target '{target}' asks {n} samples of"
                f" '{name}', but catalog '{catalog.name}' keeps at most {catalog.split.train} a"
                " subset (split.train); lower `samples` or raise the cap"
            )


def make_mix(
    catalog: str, parts: Mapping[str, int], seed: int, labels: Literal["true", "shuffled"] = "true"
) -> Mix:
    """Return a mix with its slug, which says what it holds and differs where anything does."""
    ordered = tuple(sorted(parts.items()))
    spec = json.dumps([catalog, ordered, seed, labels], separators=(",", ":"))
    tail = f"s{seed}" + ("-shuffled" if labels == "shuffled" else "")
    tail += "-" + hashlib.sha256(spec.encode()).hexdigest()[:8]
    slug = "+".join(f"{name}.{n}" for name, n in ordered) + f"-{tail}"
    if len(slug) > MAX_SLUG:
        slug = f"{len(ordered)}subsets.{sum(parts.values())}-{tail}"
    return Mix(slug, catalog, ordered, seed, labels)


def _rows(experiment: Experiment, cases: Iterable[_Case], project: Project) -> Iterator[Row]:
    """Yield a row for each case, backbone and seed; the untouched backbone has but one seed."""
    for name in experiment.backbones:
        _recipe(experiment, project.backbones[name])
    for case, backbone, seed in product(cases, experiment.backbones, experiment.seeds):
        mix = case.mix
        run = Run(backbone, experiment.recipe, mix.id, seed).key if mix else "baseline"
        yield Row(
            experiment=experiment.name,
            catalog=experiment.catalog,
            target=case.target,
            rule=case.rule,
            combination=case.combination,
            arm=case.arm,
            backbone=backbone,
            recipe=experiment.recipe,
            seed=seed if mix else min(experiment.seeds),
            mix=mix.id if mix else "",
            run=run,
            n_train=mix.total if mix else 0,
        )


def _recipe(experiment: Experiment, backbone: Backbone) -> None:
    if experiment.recipe not in backbone.recipes:
        raise ConfigError(
            f"{experiment.where}: recipe: backbone '{backbone.name}' has no recipe"
            f" '{experiment.recipe}'.{nearest(experiment.recipe, backbone.recipes)}"
        )


def _naive(experiment: Experiment, cases: Sequence[_Case]) -> tuple[int, int]:
    """Count trainings and evaluations if each combination brought all arms along."""
    combinations = sum(case.arm == "cg" for case in cases)
    times = combinations * len(experiment.backbones) * len(experiment.seeds)
    arms = len(experiment.arms)
    return times * (arms - ("baseline" in experiment.arms)), times * arms


def _forbidden(
    rows: Iterable[Row], mixes: Mapping[str, Mix], experiments: Iterable[Experiment]
) -> dict[str, tuple[str, ...]]:
    """Return the targets each mix must not hold, having made sure that it holds none."""
    allowed = {
        (e.name, name): bool(arm.target) for e in experiments for name, arm in e.arms.items()
    }
    targets: dict[str, set[str]] = {name: set() for name in mixes}
    for row in rows:
        if not row.mix or allowed[row.experiment, row.arm]:
            continue
        if row.target in dict(mixes[row.mix].parts):
            raise MatcgError(
                f"experiment '{row.experiment}': arm '{row.arm}' of target '{row.target}' would"
                f" train on the target's own data (mix {row.mix}); its rule must not return it"
            )
        targets[row.mix].add(row.target)
    return {name: tuple(sorted(found)) for name, found in sorted(targets.items())}


def _evaluations(rows: Iterable[Row]) -> tuple[Evaluation, ...]:
    groups: dict[tuple[str, str, str], set[str]] = {}
    for row in rows:
        groups.setdefault((row.backbone, row.catalog, row.target), set()).add(row.run)
    return tuple(
        Evaluation(*place, tuple(sorted(runs, key=lambda run: (run != "baseline", run))))
        for place, runs in sorted(groups.items())
    )


# --- Tables --------------------------------------------------------------------------------------


def render(plan: Plan, project: Project) -> dict[str, str]:
    """Return the text of each file of `results/plan`, by file name."""
    return {
        "experiments.tsv": _tsv(Row, plan.rows),
        "mixes.tsv": _table(
            ("mix", "catalog", "subset", "n", "seed", "labels", "forbidden"),
            (
                (
                    mix.id,
                    mix.catalog,
                    name,
                    n,
                    mix.seed,
                    mix.labels,
                    " ".join(plan.forbidden[mix.id]),
                )
                for mix in plan.mixes
                for name, n in mix.parts
            ),
        ),
        "runs.tsv": _tsv(Run, plan.runs),
        "evaluations.tsv": _table(
            ("backbone", "catalog", "target", "run"),
            ((e.backbone, e.catalog, e.target, run) for e in plan.evaluations for run in e.runs),
        ),
        "excluded.tsv": _tsv(Excluded, plan.excluded),
        "summary.md": summarise(plan, project),
    }


def _tsv(record: Any, rows: Iterable[Any]) -> str:
    return _table([field.name for field in fields(record)], (astuple(row) for row in rows))


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["\t".join(header), *("\t".join(str(cell) for cell in row) for row in rows)]
    return "\n".join(lines) + "\n"


def summarise(plan: Plan, project: Project) -> str:
    """Return the plan in a page of Markdown: jobs, what sharing saves, time and disk."""
    jobs = {
        "prepare": len(plan.subsets),
        "mix": len(plan.mixes),
        "finetune": len(plan.runs),
        "predict": len(plan.evaluations),
        "compare": len(project.experiments),
    }
    answered = sum(len(evaluation.runs) for evaluation in plan.evaluations)
    lines = ["# Plan", "", "| step | jobs |", "|---|---|"]
    lines += [f"| {step} | {n} |" for step, n in jobs.items()]
    lines += [
        "",
        f"{len(plan.runs)} distinct runs and {answered} evaluations (run x target), in place of"
        f" {plan.naive[0]} and {plan.naive[1]} if every combination had arms of its own.",
        f"Left out, with reasons in excluded.tsv: {len(plan.excluded)}.",
        "",
        "| backbone | recipe | runs | training samples | estimated time | disk |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        _cost(plan, project, *pair) for pair in sorted({(r.backbone, r.recipe) for r in plan.runs})
    ]
    lines += ["", "Rough: fine-tuning only, from `resources` of the backbone."]
    return "\n".join(lines) + "\n"


def _cost(plan: Plan, project: Project, backbone: str, recipe: str) -> str:
    """Return one backbone's and recipe's line: samples seen, device hours, disk."""
    totals = {mix.id: mix.total for mix in plan.mixes}
    mine = [run for run in plan.runs if (run.backbone, run.recipe) == (backbone, recipe)]
    resources = project.backbones[backbone].resources
    seen = sum(totals[run.mix] for run in mine) * project.backbones[backbone].recipes[recipe].epochs
    hours, disk = "unknown", "unknown"
    if resources.samples_per_second:
        device = "GPU" if resources.gpu else "CPU"
        each = resources.gpu or resources.threads
        hours = f"{seen / resources.samples_per_second / 3600 * each:.1f} {device}-hours"
    if resources.weights_mb:
        disk = f"{len(mine) * resources.weights_mb / 1000:.1f} GB"
    return f"| {backbone} | {recipe} | {len(mine)} | {seen} | {hours} | {disk} |"


def digest(tables: Mapping[str, str]) -> str:
    """Return what identifies a plan: its tables, not the estimates in the summary."""
    text = json.dumps({name: tables[name] for name in sorted(tables) if name.endswith(".tsv")})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write(tables: Mapping[str, str], folder: Path) -> None:
    """Write rendered tables below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (folder / name).write_text(text, encoding="utf-8")
