"""The plan of this config, and the few functions by which rules ask it."""

import gc
import sys
from itertools import chain
from pathlib import Path

from matcg import versions
from matcg.cluster.site import GRES
from matcg.config.project import find_origins, load_project
from matcg.data import readers
from matcg.errors import MatcgError
from matcg.evaluate import check_engine
from matcg.identity import plain
from matcg.plan.enumerate import make_plan
from matcg.steps import snakemake_internals as inside
from matcg.steps.experiments import PLAN_TABLES, Experiments
from matcg.steps.launch_checks import Launch, count_cards, require_coordinates, require_text
from matcg.steps.lookup import Lookup

PAPER = sorted(path.stem for path in (ROOT / "experiments/paper").glob("*.yaml"))
KNOWN = {
    name: name.replace("_", "-") for name in ("known_truth", "known_truth_small", "ideal_reader")
}
COLLECTIONS = {"paper": "paper", **{name: f"paper/{name}" for name in PAPER}, **KNOWN}
# Words that ask for other things of experiments than results, or for tables before there is an experiment.
WORDS = COLLECTIONS | {"published_tests": "paper", "catalog": "phantom", "fetch_tables": "phantom"}
DATA_TABLES = "summary images cut cut_pictures quarantine leaks overlaps audit".split()
BOUNDS = {"runtime": "minutes", "mem_mb": "mem_mb"}  # what a partition calls them


def choose_collection():
    """Let `snakemake table3` stand for `snakemake --config experiments=[paper/table3]`.

    The words of the command are looked at, since Snakemake tells targets after it has read the
    rules. Said as if by --config, the choice also reaches the processes that run jobs elsewhere.
    """
    asked = [WORDS[word] for word in sys.argv[1:] if word in WORDS]
    if asked and not inside.is_module(workflow):
        config["experiments"] = asked
        inside.tell_config(workflow, f"experiments=[{','.join(asked)}]")


# Jobs live as long as Snakemake does. Python's collector would look through all of them and all of the
# plan again and again, and free hardly anything: a fifth of a large dry run (docs/benchmarks.md).
gc.set_threshold(10_000)


def read_plan():
    """Return project, plan and who said what; a user's mistake ends Snakemake with one line."""
    try:
        choose_collection()
        origins = find_origins(*inside.config_sources(workflow))
        if inside.is_module(workflow):
            # What a module is given comes from another Snakefile: its paths start where that runs.
            origins = {key: Path.cwd() / "module" for key in config}
        project = count_cards(
            load_project(config, ROOT, origins), inside.uses_own_devices(workflow)
        )
        for each in project.catalogs.values():
            readers.check(each)
        for each in project.backbones.values():
            check_engine(each)
        for warning in chain(*(each.warnings() for each in project.experiments)):
            if inside.is_main_process(workflow):
                sys.stderr.write(f"matcg: {warning}\n")
        prefix, plan = inside.prefix(workflow), make_plan(project)
        require_coordinates(project, plan)
        require_text(project, plan)
        return Lookup(project, plan, ROOT, origins, prefix)
    except MatcgError as error:
        raise SystemExit(f"matcg: {error}")


LOOKUP = read_plan()
EXPERIMENTS = Experiments(LOOKUP)
LAUNCH = Launch(workflow, LOOKUP.project, LOOKUP.backbones, LOOKUP.data_folder, LOOKUP.costs)
SHOW_MISSING = LOOKUP.show_missing
gc.freeze()


# Where a name ends in a digest of what decides what lies there, so does the wildcard's value.
wildcard_constraints:
    catalog=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    subset=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    mix=r"[A-Za-z0-9][A-Za-z0-9._+-]*",
    backbone=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    group=r"[A-Za-z0-9][A-Za-z0-9._+-]*",
    recipe=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    experiment=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    plan=r"[A-Za-z0-9][A-Za-z0-9._+-]*",
    digest=r"[0-9a-f]{8}",
    seed=r"\d+",


def asking(of, name):
    """Return a method that rules ask, by whose mistakes Snakemake ends with one line."""

    def answer(*arguments):
        try:
            return getattr(of, name)(*arguments)
        except MatcgError as error:
            raise SystemExit(f"matcg: {error}")

    return answer


def spec(rule):
    """Return a function that gives what a rule's job makes, as JSON.

    A function of `input` too, which Snakemake compares with nothing: what decides an output stands
    in its path, so that another is another file (identity.py).
    """
    make = asking(EXPERIMENTS if hasattr(Experiments, rule) else LOOKUP, rule)
    return lambda wildcards, input: make(wildcards).canonical()


def files(name, *more):
    """Return an input function by the name of the lookup's method, with what else this is given."""
    find = asking(EXPERIMENTS if hasattr(Experiments, name) else LOOKUP, name)

    def paths(wildcards):
        inside.lift_start_limit(workflow)
        return find(wildcards, *more)

    return paths


def short_name(wildcards):
    """Return the experiment's name without its digest."""
    return plain(wildcards.experiment)


def data_table(name):
    """Return a table about an experiment's data, as `snakemake --report` shows it."""
    return report(
        f"results/experiments/{{experiment}}/data/{name}.tsv",
        caption="../workflow/report/data.rst",
        category="Data",
        subcategory=short_name,
        labels={"data": name},
    )


def gres_of(rule):
    """Return how the site asks for a rule's GPUs where --gres does, else an empty text."""
    return inside.overridden_text(workflow, rule, GRES)


def gpus(rule):
    """Return a resource function: the GPUs of a job, 0 where --gres asks for them."""
    return lambda wildcards, attempt: 0 if gres_of(rule) else needs("gpu")(wildcards, attempt)


def gres(rule):
    """Return a resource function: what --gres is told of the GPUs of a job, if it is used."""

    def filled(wildcards, attempt):
        count = needs("gpu")(wildcards, attempt)
        return gres_of(rule).replace("{n}", str(count)) if gres_of(rule) and count else None

    return filled


def needs(name, grows=False):
    """Return a resource function: what the backbone's file asks for, for this recipe, more on each retry."""

    def amount(wildcards, attempt):
        LAUNCH.check()
        asked = LOOKUP.amount(name, wildcards)
        if not grows:
            return asked
        most = getattr(LAUNCH.most(wildcards.backbone, wildcards.get("recipe")), BOUNDS[name])
        return min(asked * attempt, most or asked * attempt)

    return amount


def checked(amount):
    """Return a resource function before which it is looked whether this call may start its jobs."""

    def known(wildcards):
        LAUNCH.check()
        return amount

    return known


def begin(wildcards):
    """Return the plan's summary, having set the links to it: where nothing is to be done no job does."""
    if inside.is_main_process(workflow):
        EXPERIMENTS.notice_older_layout()
        if inside.runs_jobs(workflow):
            asking(EXPERIMENTS, "begin")()
    return EXPERIMENTS.summary_file()


def wanted(wildcards):
    """Return what is made where nothing else is asked for: not where its plan is asked for."""
    return [] if "plan" in sys.argv[1:] else [begin(wildcards), EXPERIMENTS.report_file()]
