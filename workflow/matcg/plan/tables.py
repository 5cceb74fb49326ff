"""The plan as people and later steps read it: tables, a summary with its price, what is unused."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

from matcg import tsv
from matcg.config.catalog import Catalog
from matcg.config.project import Project
from matcg.config.release import Links
from matcg.identity import digest_in, plain
from matcg.plan import cards, records, unused
from matcg.plan.enumerate import Plan
from matcg.plan.gain_power import EXAMPLE, SPREAD, Shown, shown_gain
from matcg.plan.groups import find_groups
from matcg.plan.mute import Accounts, find_mute
from matcg.plan.places import Places
from matcg.plan.price import Cost, Tests, over_budget, questions, total, unsized
from matcg.provenance import read_record

# Two arms that know nothing of each other differ on half of their two-option questions.
DISCORDANT = 0.5
ALPHA, POWER = 0.05, 0.8
_SHOWN = 60  # lines of one table of the summary
_SUMMARY = "summary.md"


def render_tables(plan: Plan, places: Places) -> dict[str, str]:
    """Return the text of each table of a plan, by file name; paths are of the working folder."""
    mixes = (
        (
            *(m.id, m.catalog, name, n, m.seed, m.labels, m.repeat, m.leaky),
            *(" ".join(plan.forbidden[m.name]), m.digest, places.mix(m)),
        )
        for m in plan.mixes
        for name, n in m.parts
    )
    runs = (
        (r.backbone, r.recipe, r.mix, r.seed, _digests(places.trained[r.backbone], r), path)
        for r in plan.runs
        for path in [places.run(r)]
    )
    asked = (
        (e.backbone, e.catalog, e.target, e.asked, places.answers(e)) for e in plan.evaluations
    )
    subsets = (
        (catalog, name, places.names.digest(catalog, name), places.subset(catalog, name))
        for catalog, name in plan.subsets
    )
    return {
        "experiments.tsv": tsv.records(records.Row, plan.rows),
        "mixes.tsv": tsv.table(records.MIXES, mixes),
        "runs.tsv": tsv.table(records.RUNS, runs),
        "evaluations.tsv": tsv.table(records.EVALUATIONS, asked),
        "subsets.tsv": tsv.table(records.SUBSETS, subsets),
        "excluded.tsv": tsv.records(records.Excluded, plan.excluded),
    }


def _digests(backbone: str, run: records.Run) -> str:
    """Return the digests of a run's backbone, recipe and mix."""
    recipe, mix, _ = run.place.split("/")
    return ".".join(map(digest_in, (backbone, recipe, mix)))


def plan_digest(plan: Plan) -> str:
    """Return what identifies a plan: all that its tables say, and no estimate."""
    kinds: tuple[tuple[type, Iterable[object]], ...] = (
        (records.Row, plan.rows),
        (records.Mix, plan.mixes),
        (records.Run, plan.runs),
        (records.Evaluation, plan.evaluations),
        (records.Excluded, plan.excluded),
    )
    if plan.reduced:
        kinds += ((records.Reduced, plan.reduced),)
    text = "".join(tsv.records(kind, found) for kind, found in kinds)
    return hashlib.sha256(f"{text}{sorted(plan.forbidden.items())}".encode()).hexdigest()[:16]


def summarise_plan(plan: Plan, project: Project, costs: Sequence[Cost], accounts: Accounts) -> str:
    """Return the plan in a page of Markdown: jobs, what sharing saves, price, power, exclusions."""
    tests, mute = question_counts(accounts), find_mute(plan, project, accounts)
    head = ("experiment", "target", "reason")
    parts = [
        ["# Plan", "", *_jobs(plan, project)],
        *([["## No verdict", "", *_markdown(head, mute)]] if mute else []),
        ["## Price", "", *_price(costs), "", *_budget(costs, project)],
        *([["## Cards", "", *lines]] if (lines := _cards(plan, project)) else []),
        ["## Smallest effect", "", *_power(plan, project, tests), *_gains(plan, project)],
        ["## Left out", "", *_left_out(plan)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    more = [f"| and {len(lines) - _SHOWN} more |" + " |" * (len(header) - 1)]
    return [
        f"| {' | '.join(header)} |",
        "|" + "---|" * len(header),
        *lines[:_SHOWN],
        *(more if len(lines) > _SHOWN else []),
    ]


def _jobs(plan: Plan, project: Project) -> list[str]:
    jobs = {
        "prepare": len(plan.subsets),
        "mix": len(plan.mixes),
        "finetune": len(plan.runs),
        "predict": len(find_groups(plan, project.config.engine.runs)),
        "compare": len(project.experiments),
    }
    return [
        *_markdown(("step", "jobs"), jobs.items()),
        "",
        f"{len(plan.runs)} distinct runs and {len(plan.evaluations)} evaluations (run x target), in"
        f" place of {plan.naive[0]} and {plan.naive[1]} if every combination had arms of its own.",
        "",
        *([f"- A {project.config.limit.mark}."] if project.config.limit else []),
        *(f"- {each.name}: {each.compared}." for each in project.experiments),
        *(f"- {warning}." for each in project.experiments for warning in each.warnings()),
        *(f"- {line}." for line in _unverified(project)),
    ]


def _unverified(project: Project) -> Iterator[str]:
    """Yield which files of catalogs have no published digest."""
    for name, catalog in sorted(project.catalogs.items()):
        files = catalog.release.unverified if isinstance(catalog.release, Links) else []
        if files:
            yield (
                f"Catalog {name}: no digest is published of {', '.join(files)} (unverified); the"
                " first fetch records what it got"
            )
        if catalog.sources:
            yield (
                f"Catalog {name}: no digest is published of the images of its source datasets"
                " (unverified); `fetch_images` records what it gets first"
            )


def _price(costs: Iterable[Cost]) -> list[str]:
    header = ("step", "backbone", "recipe", "jobs", "units", "estimated time", "disk", "speed from")
    rows = [
        (
            *(cost.step, cost.backbone, cost.recipe, cost.jobs),
            f"{cost.units} {'samples seen' if cost.step == 'finetune' else 'questions'}",
            "unknown" if cost.hours is None else f"{cost.hours:.2f} {cost.device}-hours",
            "unknown" if cost.disk_gb is None else f"{cost.disk_gb:.1f} GB",
            cost.basis,
        )
        for cost in costs
    ]
    return _markdown(header, rows)


def _budget(costs: Sequence[Cost], project: Project) -> list[str]:
    whole = total(costs)
    unknown = f" (without {', '.join(whole.unknown)}, unknown)" if whole.unknown else ""
    lacking = dict.fromkeys(unsized(costs))
    disk = f" (without {', '.join(lacking)}, unknown)" if lacking else ""
    in_all = (
        f"In all {whole.gpu_hours:.1f} GPU-hours, {whole.cpu_hours:.1f} CPU-hours{unknown} and"
        f" {whole.disk_gb:.1f} GB of weights{disk}; what is done already is counted too."
    )
    refused = over_budget(costs, project.config.budget)
    return [in_all, f"Not launched: {'; '.join(refused)}."] if refused else [in_all]


def _cards(plan: Plan, project: Project) -> list[str]:
    """Return how many cards of each size hold what runs on GPUs; nothing where nothing does."""
    found = cards.needs(plan, project)
    head = ("step", "backbone", "recipe", *(f"{size} GB" for size in cards.CARDS))
    size = project.config.card_gb
    large = cards.too_large(plan, project, cards.room_of(size)) if size else []
    return (
        [
            "The fewest cards that hold it, by arithmetic (docs/gpus.md); -: eight do not.",
            "",
            *_markdown(head, found),
            *(["", f"Not launched: {'; '.join(large)}."] if large else []),
        ]
        if found
        else []
    )


def _power(plan: Plan, project: Project, tests: Tests) -> list[str]:
    targets = sorted({(row.catalog, row.target) for row in plan.rows})
    rows = []
    for catalog, target in targets:
        n = questions(project, catalog, target, tests)
        known = "" if (catalog, target) in tests else "at most "
        least = "" if (catalog, target) in tests else "at least "
        rows.append((catalog, target, f"{known}{n}", f"{least}{100 * smallest_effect(n):.0f}"))
    return [
        "The difference between two arms that a test set shows with 80 % power at two-sided 5 %, if"
        " the arms differ on half of the questions (the most that unrelated answers to two-option"
        " questions do); several seeds and targets together show smaller ones.",
        "",
        *_markdown(("catalog", "target", "questions", "points"), rows),
    ]


def _gains(plan: Plan, project: Project) -> list[str]:
    """Say what composition gain each experiment with knock-outs can show."""
    lines = []
    for experiment in sorted(project.experiments, key=lambda each: each.name):
        reduced = plan.parts[experiment.name].reduced if experiment.name in plan.parts else ()
        tested = {each.target for each in reduced if each.kind == "knock-out"}
        elements = {each.element for each in reduced if each.kind == "knock-out"}
        alone = sorted({each.target for each in reduced if each.kind == "none"} - tested)
        if not reduced:
            continue
        n = len(_units(tested, project.catalogs[experiment.catalog]))
        can = _can_show(shown_gain(n, len(elements)))
        lines += ["", f"{experiment.name}, {n} targets, {len(elements)} knock-outs: {can}."]
        lines += [f"Not testable, one element being shared: {' '.join(alone)}."] if alone else []
    return lines


def _units(targets: Iterable[str], catalog: Catalog) -> set[object]:
    """Return the targets, those as one that are alike in different blocks (analysis/units.py)."""
    subsets = map(catalog.subset, targets)
    return {
        tuple(each.values(e) for e in catalog.elements) if each.block else each.id
        for each in subsets
    }


def _can_show(found: Shown | None) -> str:
    if found is None or found.gain >= 1:
        return "too few for a composition gain to be claimed"
    return (
        f"a composition gain of {100 * found.gain:.0f} points is claimed in {100 * POWER:.0f} % of"
        f" cases, one of {100 * EXAMPLE:.0f} points in {100 * found.example:.0f} %, if gains differ"
        f" by {100 * SPREAD:.0f} points (SD) between targets"
    )


def smallest_effect(n: int, discordant: float = DISCORDANT) -> float:
    """Return the smallest difference in accuracy that `n` paired questions show with 80 % power.

    McNemar's test, two-sided 5 %, when a share `discordant` of the questions is answered right by
    one arm only: the difference at which Connor's sample size is `n` (Biometrics 43, 1987, 207).
    At most `discordant`; 1 where even that could not be shown.
    """
    normal = NormalDist()
    alpha, power = normal.inv_cdf(1 - ALPHA / 2), normal.inv_cdf(POWER)

    def needed(effect: float) -> float:
        root = alpha * sqrt(discordant) + power * sqrt(discordant - effect**2)
        return (root / effect) ** 2

    low, high = 0.0, discordant
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if n < needed(middle) else (low, middle)
    return high if n >= needed(high) - 1e-6 else 1.0


def _left_out(plan: Plan) -> list[str]:
    groups: dict[tuple[str, str, str], list[records.Excluded]] = defaultdict(list)
    for row in plan.excluded:
        groups[row.experiment, row.rule, row.arm].append(row)
    if not groups:
        return ["Nothing: every combination of the rules is run."]
    rows = [
        (*key, len(found), f"{found[0].target}: {found[0].reason}")
        for key, found in sorted(groups.items())
    ]
    return [
        *_markdown(("experiment", "rule", "arm", "notes", "the first"), rows),
        "",
        "All are in results/plan/excluded.tsv.",
    ]


def read_accounts(folders: Mapping[tuple[str, str], Path]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the accounts of the samples of those targets that are prepared, in `folders`."""
    found = {target: read_record(folder / "summary.json") for target, folder in folders.items()}
    return {target: account for target, account in found.items() if account}


def question_counts(accounts: Accounts) -> dict[tuple[str, str], int]:
    """Return how many test questions targets have, by their accounts."""
    return {target: int(account["given"]["test"]) for target, account in accounts.items()}


def write_tables(tables: Mapping[str, str], folder: Path) -> None:
    """Write rendered tables below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (folder / name).write_text(text, encoding="utf-8")


def write_summary(summary: str, used: Sequence[tuple[str, str]], folder: Path) -> str:
    """Write the summary, what the plan uses and what is no longer used; return the summary.

    `used` gives kind and path. What is unused is looked up here, where it costs no other call of
    Snakemake anything.
    """
    paths = [path for _, path in used]
    found = unused.find_unused(paths, folder.parents[1], plain(folder.name))
    summary += unused.describe_unused(found)
    texts = {
        _SUMMARY: summary,
        unused.FILE: unused.render_unused(found),
        unused.USED: tsv.table(("kind", "path"), used),
    }
    write_tables(texts, folder)
    return summary
