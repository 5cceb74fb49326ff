"""The plan of this config, and the thin functions that lead from wildcards into it."""

import gc
import json
import sys
from collections import defaultdict
from dataclasses import astuple
from functools import cache
from pathlib import Path

ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).parent
sys.path.insert(0, str(ROOT / "workflow"))

from matcg import config as files
from matcg import devices, partition, price, throughput, versions
from matcg.config import by_tag, find_origins, load_project
from matcg.errors import MatcgError
from matcg.groups import find_groups
from matcg.plan import BASELINE, make_plan, run_of, tag_of
from matcg.plan_tables import digest, read_tests, render, summarise
from matcg.published import has_gains

PAPER = sorted(path.stem for path in (ROOT / "experiments/paper").glob("*.yaml"))
COLLECTIONS = {"paper": "paper", **{name: f"paper/{name}" for name in PAPER}}
# Words of the command that ask for other things of the paper's experiments than their results.
WORDS = COLLECTIONS | {"published_tests": "paper"}


def choose_collection():
    """Let `snakemake table3` stand for `snakemake --config experiments=[paper/table3]`.

    The words of the command are looked at, since Snakemake tells targets after it has read the
    rules. Said as if by --config, the choice also reaches the processes that run jobs elsewhere.
    """
    asked = [WORDS[word] for word in sys.argv[1:] if word in WORDS]
    if asked:
        config["experiments"] = asked
        settings = workflow.config_settings
        told = f"experiments=[{','.join(asked)}]"
        settings.config_args = [*(settings.config_args or []), told]


# Jobs live as long as Snakemake does. Python's collector would look through all of them and all of the
# plan again and again, and free hardly anything: a fifth of a large dry run (docs/benchmarks.md).
gc.set_threshold(10_000)


def read_plan():
    """Return project, plan and who said what; a user's mistake ends Snakemake with one line."""
    settings = workflow.config_settings
    try:
        choose_collection()
        origins = find_origins(workflow.configfiles, settings.configfiles, settings.config)
        project = load_project(config, ROOT, origins)
        return project, make_plan(project), origins
    except MatcgError as error:
        raise SystemExit(f"matcg: {error}")


PROJECT, PLAN, ORIGINS = read_plan()
CATALOGS = PROJECT.catalogs
BACKBONES = PROJECT.backbones
IDENTITIES = {name: backbone.identity() for name, backbone in BACKBONES.items()}
SETTINGS = {name: backbone.canonical() for name, backbone in BACKBONES.items()}
ORIGINALS = {
    backbone.weights: backbone.original.identity()
    for backbone in BACKBONES.values()
    if backbone.original
}
DECLARED = {experiment.name: experiment for experiment in PROJECT.experiments}
EXPERIMENTS = list(DECLARED)
SHOW_MISSING = PROJECT.config.missing == "show"
MIXES = {mix.id: mix for mix in PLAN.mixes}
ADDED = {each.name: sum(each.general.values()) for each in PROJECT.experiments}
SIZES = {row.mix: row.n_train + ADDED[row.experiment] for row in PLAN.rows if row.mix}
EVALUATIONS = {(e.backbone, e.catalog, e.target): e for e in PLAN.evaluations}
GROUPS = find_groups(PLAN, PROJECT.config.engine.runs)
GROUP_OF = {(name, run): group for (name, group), runs in GROUPS.items() for run in runs}
TAGGED = by_tag(PROJECT.protocols.values())
RECIPES = {
    (name, recipe): settings.canonical()
    for name, backbone in BACKBONES.items()
    for recipe, settings in backbone.recipes.items()
}
AGREEMENT = [f"results/paper/agreement.{ending}" for ending in ("csv", "md", "tex")]
DATA_TABLES = ["summary", "images", "quarantine", "leaks", "overlaps", "audit"]
LAUNCHED = set()  # rules with jobs in this call, once it has started
CEILINGS = {}  # the most that a backbone's recipe can ask for, on Slurm
PHANTOMS = sorted(name for name in CATALOGS if CATALOGS[name].reader == "phantom")
gc.freeze()


wildcard_constraints:
    catalog=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    subset=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    mix=r"[A-Za-z0-9][A-Za-z0-9._+-]*",
    backbone=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    group=r"[A-Za-z0-9][A-Za-z0-9._+-]*",
    recipe=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    experiment=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    seed=r"\d+",


def planned(table, key):
    """Return what the plan holds for a path that was asked for, or say that it holds nothing."""
    if key not in table:
        raise SystemExit(f"matcg: {key} is not in the plan; results/plan lists what is")
    return table[key]


def data_files(name):
    """Return a file of every subset in the plan."""
    return [f"results/data/{catalog}/{subset}/{name}" for catalog, subset in PLAN.subsets]


def end_with_job():
    """Let the Snakemake that runs a job elsewhere end with it: a second less of a GPU, twice a job.

    Its limit on job starts has a clock that goes on after the last job. Input functions call this,
    since the setting is not there yet when the rules are read.
    """
    if not workflow.is_main_process:
        workflow.scheduling_settings.max_jobs_per_timespan = None


def train_files(wildcards):
    """Return the training samples that a mix draws from."""
    end_with_job()
    mix = planned(MIXES, wildcards.mix)
    return [f"results/data/{mix.catalog}/{name}/train.parquet" for name, _ in mix.parts]


def base_weights(wildcards):
    """Return a backbone's own weights where a rule makes them."""
    weights = planned(BACKBONES, wildcards.backbone).weights
    return [weights] if weights in ORIGINALS else []


@cache
def users():
    """Return the rows of the plan that train on each mix."""
    found = defaultdict(list)
    for row in PLAN.rows:
        if row.mix:
            found[row.mix].append(row)
    return dict(found)


def audited():
    """Return each mix with each target it is tested on, and whether it may hold leaks, as JSON."""
    uses = {(r.catalog, r.mix, r.target, MIXES[r.mix].leaky) for r in PLAN.rows if r.mix}
    return json.dumps(sorted(uses))


def leak_policy(mix):
    """Return what is done about leaks in a mix: the strictest of its experiments decides."""
    if MIXES[mix].leaky:
        return "report"
    names = {row.experiment for row in users()[mix]}
    policies = {each.leaks for each in PROJECT.experiments if each.name in names}
    return "error" if "error" in policies else "drop"


def leak_search():
    """Return whose test images are looked for in whose training images, a catalog each, as JSON."""
    asked = []
    for name, settings in CATALOGS.items():
        parts = {part for mix in PLAN.mixes if mix.catalog == name for part, _ in mix.parts}
        asked.append(
            {
                "catalog": name,
                "targets": sorted({row.target for row in PLAN.rows if row.catalog == name}),
                "sources": sorted(parts),
                "distance": settings.near_duplicates,
                "known": [overlap.model_dump() for overlap in settings.overlaps],
            }
        )
    return json.dumps(asked, sort_keys=True)


@cache
def catalog(name):
    """Return a catalog by name, planned or not."""
    if name in CATALOGS:
        return CATALOGS[name]
    try:
        return files.Library(ROOT).load("catalog", name, ROOT / "config.yaml", "data")
    except MatcgError as error:
        raise SystemExit(f"matcg: {error}")


def data_folder(name):
    """Return where a catalog's files are, or go."""
    file = ORIGINS.get("data", ROOT / "config.yaml")
    return str(files.data_folder(PROJECT.config, file, ROOT, catalog(name)))


def release_of(name):
    """Return where a catalog's files can be fetched, as JSON."""
    return catalog(name).release.canonical()


def checked():
    """Return the subsets whose images are looked for: the plan's, else all of Med-MAT's questions."""
    real = [(c, s) for c, s in PLAN.subsets if CATALOGS[c].reader == "medmat"]
    asked = [s.id for s in catalog("medmat").subsets if s.kind == "classification"]
    return real or [("medmat", name) for name in asked]


def source_links(names):
    """Return name and link of the source datasets of some catalogs, as JSON."""
    try:
        return json.dumps({name: files.read_sources(catalog(name)) for name in sorted(names)})
    except MatcgError as error:
        raise SystemExit(f"matcg: {error}")


def asked_identity(name):
    """Return what decides a backbone's answers: what it is, and what it is asked with."""
    return planned(IDENTITIES, name) + BACKBONES[name].asked()


def group_runs(wildcards):
    """Return the runs that one engine answers for."""
    return planned(GROUPS, (wildcards.backbone, wildcards.group))


@cache
def asked_of():
    """Return for each (backbone, run) what it is asked: catalog, target and end of the name."""
    found = defaultdict(list)
    for each in PLAN.evaluations:
        for name in each.runs:
            place = (each.catalog, each.target, tag_of(name))
            found[each.backbone, run_of(name)].append(place)
    return dict(found)


def group_asked(wildcards):
    """Return what each run of a group is asked, as JSON."""
    runs = group_runs(wildcards)
    return json.dumps({run: asked_of()[wildcards.backbone, run] for run in runs})


def group_weights(wildcards):
    """Return the weights of a group's runs."""
    end_with_job()
    runs = group_runs(wildcards)
    return [f"results/runs/{wildcards.backbone}/{run}/weights" for run in runs if run != BASELINE]


def group_data(wildcards):
    """Return the questions that a group is asked, and the samples that examples come from."""
    asked = {place for r in group_runs(wildcards) for place in asked_of()[wildcards.backbone, r]}
    questions = {f"results/data/{catalog}/{name}/test.parquet" for catalog, name, _ in asked}
    shown = {(catalog, name) for catalog, name, tag in asked if TAGGED[tag][0].shots}
    pools = {f"results/data/{catalog}/{name}/train.parquet" for catalog, name in shown}
    return sorted(questions | pools)


def protocols(wildcards):
    """Return the protocols that a group is asked by, as JSON."""
    tags = {tag for run in group_runs(wildcards) for *_, tag in asked_of()[wildcards.backbone, run]}
    used = {TAGGED[tag][0] for tag in tags}
    return json.dumps({p.name: json.loads(p.identity()) for p in used}, sort_keys=True)


def gathered(wildcards):
    """Return the groups that hold answers to a target's questions."""
    names = planned(EVALUATIONS, (wildcards.backbone, wildcards.catalog, wildcards.subset)).runs
    groups = {GROUP_OF[wildcards.backbone, run_of(name)] for name in names}
    return sorted(f"results/answers/{wildcards.backbone}/{group}.parquet" for group in groups)


def answer_names(wildcards):
    """Return whose answers to a target's questions there are, as JSON."""
    place = (wildcards.backbone, wildcards.catalog, wildcards.subset)
    return json.dumps(planned(EVALUATIONS, place).runs)


@cache
def rows_by_experiment():
    """Return the plan's rows of each experiment."""
    found = defaultdict(list)
    for row in PLAN.rows:
        found[row.experiment].append(row)
    return dict(found)


def experiment_rows(wildcards):
    """Return the plan's rows of an experiment."""
    return planned(rows_by_experiment(), wildcards.experiment)


@cache
def costs():
    """Return what the plan takes, by what finished jobs have measured."""
    try:
        return price.price(PLAN, PROJECT, throughput.read(), known_tests())
    except MatcgError as error:
        raise SystemExit(f"matcg: {error}")


@cache
def known_tests():
    """Return how many test questions prepared subsets have."""
    return read_tests(Path("results/data/summary.tsv"))


@cache
def tables():
    """Return the plan's tables and summary as canonical JSON."""
    summary = summarise(PLAN, PROJECT, costs(), known_tests())
    return json.dumps(render(PLAN) | {"summary.md": summary})


def at_hand(paths):
    """Return the paths, sorted; of those that are not there none where the config says so."""
    return sorted(path for path in set(paths) if not SHOW_MISSING or Path(path).exists())


def predictions(wildcards):
    """Return the answers that an experiment compares."""
    rows = experiment_rows(wildcards)
    return at_hand(f"results/predictions/{r.backbone}/{r.catalog}/{r.target}.parquet" for r in rows)


def tests(wildcards):
    """Return the test questions of an experiment, which say what belongs to one patient."""
    rows = experiment_rows(wildcards)
    return sorted({f"results/data/{r.catalog}/{r.target}/test.parquet" for r in rows})


def claims(wildcards):
    """Return what an experiment declares of its comparisons, as canonical JSON."""
    experiment = planned(DECLARED, wildcards.experiment)
    return json.dumps({name: getattr(experiment, name) for name in ("family", "minimum_effect")})


def asked_by(wildcards):
    """Return the protocols of an experiment, that of its comparisons first, as JSON."""
    experiment = planned(DECLARED, wildcards.experiment)
    names = dict.fromkeys((experiment.protocol, *experiment.also))
    return json.dumps([json.loads(PROJECT.protocols[name].identity()) for name in names])


def published(wildcards):
    """Return what a paper prints for an experiment as canonical JSON, one list a number."""
    planned(rows_by_experiment(), wildcards.experiment)
    printed = PROJECT.published.get(wildcards.experiment, ())
    return json.dumps([astuple(row) for row in printed])


def layout(wildcards):
    """Return the question of an experiment and how its table is laid out, as canonical JSON."""
    found = planned(DECLARED, wildcards.experiment)
    shape = found.layout.model_dump(mode="json") if found.layout else None
    return json.dumps({"question": found.question, "layout": shape}, sort_keys=True)


def short_name(experiment):
    """Return what an experiment's own tables of the paper are called: `table3` of `paper-table3`."""
    return experiment.removeprefix("paper-")


def tested():
    """Return the experiments for which a paper prints gains, by the name of their tables."""
    return {short_name(name): name for name, rows in PROJECT.published.items() if has_gains(rows)}


def metrics(wildcards):
    """Return the training curves of an experiment's runs."""
    rows = experiment_rows(wildcards)
    return at_hand(f"results/runs/{r.backbone}/{r.run}/metrics.jsonl" for r in rows if r.mix)


def catalog_elements(wildcards):
    """Return the elements of an experiment's catalog and of each subset as canonical JSON."""
    catalog = CATALOGS[experiment_rows(wildcards)[0].catalog]
    subsets = {s.id: {"kind": s.kind, "elements": s.elements} for s in catalog.subsets}
    return json.dumps({"elements": catalog.elements, "subsets": subsets})


def needs(name, grows=False):
    """Return a resource function: what the backbone's file asks for, for this recipe, more on each retry."""

    def amount(wildcards, attempt):
        resources = planned(BACKBONES, wildcards.backbone).resources
        recipe = wildcards.get("recipe")
        asked = resources.amount(name, recipe)
        most = CEILINGS.get((wildcards.backbone, recipe, name)) or asked * attempt
        return min(asked * attempt, most) if grows else asked

    return amount


def check_launch():
    """Stop before the first job where images are not at hand or the plan is above its budget."""
    LAUNCHED.update(job.rule.name for job in workflow.dag.needrun_jobs())
    if workflow.executor_plugin.name == "slurm":
        fit_partitions(partition.read_partitions())
    if "prepare" in LAUNCHED:
        require_data()
    if LAUNCHED & {"finetune", "predict"}:
        require_budget()
        share_devices()


def fit_partitions(partitions):
    """Refuse what a job can never get from its partition, and let no later try ask for that."""
    refused = []
    for job in distinct(workflow.dag.needrun_jobs()):
        group = workflow.dag.get_job_group(job)
        what = f"a group of {job.rule.name}" if group else f"rule {job.rule.name}"
        asked = partition.request_of(what, (group or job).threads, (group or job).resources)
        if reason := partition.impossible(asked, partitions):
            refused.append(reason)
        elif job.rule.name in ("finetune", "predict"):
            most, recipe = partition.most(asked, partitions), job.wildcards.get("recipe")
            CEILINGS[job.wildcards.backbone, recipe, "runtime"] = most.minutes
            CEILINGS[job.wildcards.backbone, recipe, "mem_mb"] = most.mem_mb
    if refused:
        raise WorkflowError(
            f"Not launched: {'; '.join(dict.fromkeys(refused))}. Ask for less (`resources` in the"
            " backbone's file, --set-resources), or name another partition in slurm/site.yaml."
        )


def distinct(jobs):
    """Return one job of each group, and of each rule, backbone, recipe and catalog."""
    found = {}
    for job in jobs:
        if not job.is_local:
            kind = [job.wildcards.get(name) for name in ("backbone", "recipe", "catalog")]
            group = workflow.dag.get_job_group(job)
            found.setdefault(group or (job.rule.name, *kind), job)
    return found.values()


def require_budget():
    """Refuse a plan that is above the config's budget, or whose price is not known."""
    refused = price.over_budget(costs(), PROJECT.config.budget)
    if refused:
        raise WorkflowError(
            f"Not launched: {'; '.join(refused)}. `snakemake plan` shows what takes how much; plan"
            " less, or raise the budget in the config."
        )


def share_devices():
    """On this machine, start no more jobs than there are GPUs, without `--resources gpu=N` too."""
    if workflow.touch or not workflow.local_exec:
        return
    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name in ("finetune", "predict")]
    overridden = workflow.resource_settings.overwrite_resources
    asked = defaultdict(int)
    for job in jobs:
        if "gpu" not in overridden.get(job.rule.name, {}):
            name, recipe = job.wildcards.backbone, job.wildcards.get("recipe")
            wanted = BACKBONES[name].resources.amount("gpu", recipe)
            asked[name] = max(asked[name], wanted)
    if not any(asked.values()):
        return
    total = workflow.global_resources
    given = total["gpu"].value if "gpu" in total else None
    try:
        count = devices.limit(asked, given)
    except MatcgError as error:
        raise WorkflowError(f"Not launched: {error}")
    if given is None:
        workflow.register_resource("gpu", count)
        # Only what stands here too is counted down when jobs start.
        workflow.scheduler.global_resources["gpu"] = count


def require_data():
    """Refuse where a catalog's folder of images is not configured."""
    for name, root in PROJECT.roots.items():
        if root is None and CATALOGS[name].reader != "phantom":
            raise WorkflowError(
                f"data.{name} is not set: the folder that catalog '{name}' reads its images from,"
                f" {data_folder(name)} unless the config says another; `snakemake fetch_medmat` gets"
                " Med-MAT's questions, `snakemake check_images` says which images are missing"
            )


def note_throughput():
    """Keep how fast the finished jobs were, for the price of the next plan."""
    throughput.write(throughput.collect(PLAN, Path("results")))


def headlines():
    """Return each experiment's headline and where the report is, where they have been made."""
    if "report" not in LAUNCHED:
        return ""
    found = [Path(f"results/experiments/{name}/headline.json") for name in EXPERIMENTS]
    lines = [json.loads(path.read_text())["headline"] for path in found if path.exists()]
    page = Path("results/report.html")
    return "\n".join(lines + ([f"Report: {page}"] if page.exists() else []))
