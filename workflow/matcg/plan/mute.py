"""Targets of a plan on which no verdict can rest, as far as is known before anything is asked."""

from collections.abc import Mapping
from typing import Any

from matcg.config.experiment import Experiment
from matcg.config.project import Project
from matcg.plan.enumerate import Plan
from matcg.plan.price import questions
from matcg.telling import faults, faults_in

# What is said of the samples of prepared targets, by catalog and id.
Accounts = Mapping[tuple[str, str], Mapping[str, Any]]


def minimum_questions(experiment: Experiment, project: Project, target: str = "") -> int:
    """Return how many questions a target must have: none where a smoke run asks only a few.

    A target of a block counts as one with its like in others (analysis/units.py): of one alone few
    are no fault.
    """
    limit, catalog = project.config.limit, project.catalogs[experiment.catalog]
    small = (limit and limit.questions) or (target and catalog.subset(target).block)
    return 0 if small else experiment.minimum_questions


def find_mute(plan: Plan, project: Project, accounts: Accounts) -> list[tuple[str, str, str]]:
    """Return experiment, target and reason: by a target's account, else by its catalog's caps."""
    declared, found = {each.name: each for each in project.experiments}, []
    for name, catalog, target in sorted({(r.experiment, r.catalog, r.target) for r in plan.rows}):
        minimum = minimum_questions(declared[name], project, target)
        account = accounts.get((catalog, target))
        if account:
            reasons = faults_in(account, minimum)
        else:
            reasons = faults(questions(project, catalog, target, {}), {}, minimum=minimum)
        found += [(name, target, "; ".join(reasons))] * bool(reasons)
    return found
