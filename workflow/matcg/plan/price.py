"""What a plan costs before it is launched: device hours and disk, and whether that is too much."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matcg.config.backbone import Backbone
from matcg.config.project import Project
from matcg.config.workflow import Budget
from matcg.plan.enumerate import Plan
from matcg.plan.groups import find_groups
from matcg.plan.records import Run
from matcg.plan.throughput import Measured

KNOWN_BY = {
    "gpu_hours": "samples_per_second, questions_per_second",
    "cpu_hours": "samples_per_second, questions_per_second",
    "disk_gb": "weights_mb, adapter_mb",
}

Tests = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Cost:
    """One step of one backbone and recipe: jobs, device hours, disk; None is not known.

    `basis` says where the speed comes from: measured jobs, the backbone's file, or nowhere.
    """

    step: str
    backbone: str
    recipe: str
    jobs: int
    units: int
    device: str
    hours: float | None
    disk_gb: float | None
    basis: str


@dataclass(frozen=True, slots=True)
class Total:
    """A plan's hours by device and its disk, as far as they are known; `unknown` names the rest."""

    gpu_hours: float
    cpu_hours: float
    disk_gb: float
    unknown: tuple[str, ...]


def price(plan: Plan, project: Project, measured: Iterable[Measured], tests: Tests) -> list[Cost]:
    """Return what fine-tuning and prediction cost, whether or not some of it is done already.

    `tests` gives the number of test questions of (catalog, subset) where it is known; else the
    catalog's cap counts.
    """
    speeds = best(measured)
    costs = [
        _finetune(plan, project.backbones[backbone], recipe, speeds)
        for backbone, recipe in sorted({(run.backbone, run.recipe) for run in plan.runs})
    ]
    names = sorted({evaluation.backbone for evaluation in plan.evaluations})
    return costs + [_predict(plan, project, name, speeds, tests) for name in names]


def best(measured: Iterable[Measured]) -> dict[tuple[str, str, str], Measured]:
    """Return for each step, backbone and recipe the device with the most measured jobs."""
    found: dict[tuple[str, str, str], Measured] = {}
    for row in sorted(measured, key=lambda row: (row.jobs, row.device)):
        found[row.step, row.backbone, row.recipe] = row
    return found


def _finetune(
    plan: Plan, backbone: Backbone, recipe: str, speeds: Mapping[tuple[str, str, str], Measured]
) -> Cost:
    mine = [run for run in plan.runs if (run.backbone, run.recipe) == (backbone.name, recipe)]
    seen = _seen(plan, mine) * backbone.recipes[recipe].epochs
    resources, full = backbone.resources, backbone.recipes[recipe].method == "full"
    disk = resources.weights_mb if full else resources.adapter_mb
    row = speeds.get(("finetune", backbone.name, recipe))
    return Cost(
        "finetune",
        backbone.name,
        recipe,
        len(mine),
        seen,
        *_hours(backbone, recipe, (len(mine), seen), row, resources.speed(recipe)),
        len(mine) * disk / 1000 if disk else None,
        _basis(row, resources.speed(recipe)),
    )


def _seen(plan: Plan, runs: Iterable[Run]) -> int:
    totals = {mix.id: mix.total for mix in plan.mixes}
    return sum(totals[run.mix] for run in runs)


def _predict(
    plan: Plan,
    project: Project,
    name: str,
    speeds: Mapping[tuple[str, str, str], Measured],
    tests: Tests,
) -> Cost:
    backbone = project.backbones[name]
    asked = sum(
        questions(project, each.catalog, each.target, tests)
        * project.protocols[each.protocol].permutations
        for each in plan.evaluations
        if each.backbone == name
    )
    jobs = sum(owner == name for owner, _ in find_groups(plan, project.config.engine.runs))
    row = speeds.get(("predict", name, ""))
    prior = backbone.resources.questions_per_second
    device, hours = _hours(backbone, None, (jobs, asked), row, prior)
    return Cost("predict", name, "", jobs, asked, device, hours, 0.0, _basis(row, prior))


def questions(project: Project, catalog: str, target: str, tests: Tests) -> int:
    """Return how many test questions of a target are asked, at most where that is not known."""
    split, declared = project.catalogs[catalog].split, project.catalogs[catalog].subset(target).test
    found = tests.get((catalog, target), min(split.test, declared or split.test))
    limit = project.config.limit
    return min(found, limit.questions or found) if limit else found


def _hours(
    backbone: Backbone,
    recipe: str | None,
    asked: tuple[int, int],
    row: Measured | None,
    prior: float | None,
) -> tuple[str, float | None]:
    """Return the device that is counted, and its hours: GPUs, or the cores of CPU jobs.

    `asked` are jobs and units.
    """
    resources = backbone.resources
    gpus = resources.amount("gpu", recipe)
    device, each = ("GPU", gpus) if gpus else ("CPU", resources.amount("threads", recipe))
    seconds = row.time(*asked, prior) if row else asked[1] / prior if prior else None
    return device, (None if seconds is None else seconds / 3600 * each)


def _basis(row: Measured | None, prior: float | None) -> str:
    if row:
        return f"measured, {row.jobs} jobs on {row.device}"
    return "backbone's file" if prior else "unknown"


def total(costs: Sequence[Cost]) -> Total:
    """Return the sums over all steps."""
    hours = {
        device: sum(cost.hours or 0.0 for cost in costs if cost.device == device)
        for device in ("GPU", "CPU")
    }
    unknown = [f"{cost.step} {cost.backbone}" for cost in costs if cost.hours is None]
    disk = sum(cost.disk_gb or 0.0 for cost in costs)
    return Total(hours["GPU"], hours["CPU"], disk, tuple(dict.fromkeys(unknown)))


def over_budget(costs: Sequence[Cost], budget: Budget) -> list[str]:
    """Return why a plan must not be launched, one sentence a bound; none where it may be."""
    whole = total(costs)
    sums = {
        "gpu_hours": (whole.gpu_hours, "GPU-hours", _unpriced(costs, "GPU")),
        "cpu_hours": (whole.cpu_hours, "CPU-hours", _unpriced(costs, "CPU")),
        "disk_gb": (whole.disk_gb, "GB of weights", unsized(costs)),
    }
    found = []
    for key, (value, unit, unknown) in sums.items():
        bound = getattr(budget, key)
        if bound is None:
            continue
        if value > bound:
            found.append(f"the plan takes {value:.1f} {unit}, budget.{key} is {bound:g}")
        elif unknown:
            names = ", ".join(unknown)
            found.append(
                f"budget.{key} is {bound:g}, and what {names} takes is not known: say in the"
                f" backbone's file ({KNOWN_BY[key]})"
            )
    return found


def _unpriced(costs: Iterable[Cost], device: str) -> list[str]:
    return [f"{c.step} {c.backbone}" for c in costs if c.hours is None and c.device == device]


def unsized(costs: Iterable[Cost]) -> list[str]:
    """Return step and backbone of what takes disk, and it is not known how much."""
    return [f"{cost.step} {cost.backbone}" for cost in costs if cost.disk_gb is None]
