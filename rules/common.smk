"""The plan of this config, and the thin functions that lead from wildcards into it."""

import json
import sys
from pathlib import Path

ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).parent
sys.path.insert(0, str(ROOT / "workflow"))

from matcg import versions
from matcg.config import find_origins, load_project
from matcg.errors import MatcgError
from matcg.plan import digest, make_plan, render


def read_plan():
    """Return project and plan; a user's mistake ends Snakemake with one line."""
    settings = workflow.config_settings
    try:
        origins = find_origins(workflow.configfiles, settings.configfiles, settings.config)
        project = load_project(config, ROOT, origins)
        return project, make_plan(project)
    except MatcgError as error:
        raise SystemExit(f"matcg: {error}")


PROJECT, PLAN = read_plan()
TABLES = render(PLAN, PROJECT)
CATALOGS = PROJECT.catalogs
BACKBONES = PROJECT.backbones
EXPERIMENTS = [experiment.name for experiment in PROJECT.experiments]
MIXES = {mix.id: mix for mix in PLAN.mixes}
SAMPLES = {experiment.name: experiment.samples for experiment in PROJECT.experiments}
SIZES = {row.mix: SAMPLES[row.experiment] for row in PLAN.rows if row.mix}
EVALUATIONS = {(e.backbone, e.catalog, e.target): e for e in PLAN.evaluations}
PHANTOMS = sorted(name for name in CATALOGS if CATALOGS[name].reader == "phantom")


wildcard_constraints:
    catalog=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    subset=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    mix=r"[A-Za-z0-9][A-Za-z0-9._+-]*",
    backbone=r"[A-Za-z0-9][A-Za-z0-9._-]*",
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


def train_files(wildcards):
    """Return the training samples that a mix draws from."""
    mix = planned(MIXES, wildcards.mix)
    return [f"results/data/{mix.catalog}/{name}/train.parquet" for name, _ in mix.parts]


def audited():
    """Return each mix with each target it is tested on (catalog, mix, target), as JSON."""
    return json.dumps(sorted({(r.catalog, r.mix, r.target) for r in PLAN.rows if r.mix}))


def answering(wildcards):
    """Return the weights of all runs that answer a target's questions."""
    keys = planned(EVALUATIONS, (wildcards.backbone, wildcards.catalog, wildcards.subset)).runs
    return [f"results/runs/{wildcards.backbone}/{key}/weights" for key in keys if key != "baseline"]


def run_keys(wildcards):
    """Return the same runs by key, the baseline among them, as canonical JSON."""
    place = (wildcards.backbone, wildcards.catalog, wildcards.subset)
    return json.dumps(planned(EVALUATIONS, place).runs)


def experiment_rows(wildcards):
    """Return the plan's rows of an experiment."""
    planned(dict.fromkeys(EXPERIMENTS), wildcards.experiment)
    return [row for row in PLAN.rows if row.experiment == wildcards.experiment]


def predictions(wildcards):
    """Return the answers that an experiment compares."""
    rows = experiment_rows(wildcards)
    return sorted(
        {f"results/predictions/{r.backbone}/{r.catalog}/{r.target}.parquet" for r in rows}
    )


def metrics(wildcards):
    """Return the training curves of an experiment's runs."""
    rows = experiment_rows(wildcards)
    return sorted({f"results/runs/{r.backbone}/{r.run}/metrics.jsonl" for r in rows if r.mix})


def target_elements(wildcards):
    """Return the element values of an experiment's targets as canonical JSON."""
    subsets = [CATALOGS[r.catalog].subset(r.target) for r in experiment_rows(wildcards)]
    return json.dumps({s.id: s.elements for s in subsets}, sort_keys=True)


def needs(name, grows=False):
    """Return a resource function: what the backbone's file asks for, more on each retry."""

    def amount(wildcards, attempt):
        asked = getattr(planned(BACKBONES, wildcards.backbone).resources, name)
        return asked * attempt if grows else asked

    return amount


def require_data():
    """Stop before the first job where a catalog's folder of images is not configured."""
    for name, root in PROJECT.roots.items():
        if root is None and CATALOGS[name].reader != "phantom":
            raise WorkflowError(
                f"data.{name} is not set: the folder that catalog '{name}' reads its images from"
            )


def headlines():
    """Return each experiment's headline and where the report is, as far as they exist."""
    found = [Path(f"results/experiments/{name}/headline.json") for name in EXPERIMENTS]
    lines = [json.loads(path.read_text())["headline"] for path in found if path.exists()]
    page = Path("results/report.html")
    return "\n".join(lines + ([f"Report: {page}"] if page.exists() else []))
