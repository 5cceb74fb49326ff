"""The plan of this config, and the thin functions that lead from wildcards into it."""

import gc
import json
import sys
from collections import defaultdict
from dataclasses import asdict, astuple
from functools import cache
from itertools import chain
from pathlib import Path

from matcg import identity, price, throughput, unused, versions
from matcg.config import project
from matcg.config.catalog import read_sources
from matcg.config.library import Library
from matcg.config.project import find_origins, load_project
from matcg.config.published import has_gains
from matcg.data import readers
from matcg.errors import MatcgError
from matcg.evaluate import check_engine
from matcg.groups import find_groups
from matcg.models.identity import of_original, with_weights
from matcg.places import (
    Places,
    experiment_folder,
    needed,
    plan_name,
    point_to,
    report_as_linked,
)
from matcg.plan import make_plan
from matcg.plan_tables import digest as plan_digest
from matcg.plan_tables import read_tests, render, summarise
from matcg.records import BASELINE, tag_of
from matcg.steps import snakemake_internals as inside
from matcg.steps.launch_checks import Launch
from matcg.unused import older_layout

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
        inside.tell_config(workflow, f"experiments=[{','.join(asked)}]")


# Jobs live as long as Snakemake does. Python's collector would look through all of them and all of the
# plan again and again, and free hardly anything: a fifth of a large dry run (docs/benchmarks.md).
gc.set_threshold(10_000)


def read_plan():
    """Return project, plan and who said what; a user's mistake ends Snakemake with one line."""
    try:
        choose_collection()
        origins = find_origins(*inside.config_sources(workflow))
        project = load_project(config, ROOT, origins)
        for each in project.catalogs.values():
            readers.check(each)
        for each in project.backbones.values():
            check_engine(each)
        for warning in chain(*(each.warnings() for each in project.experiments)):
            if inside.is_main_process(workflow):
                sys.stderr.write(f"matcg: {warning}\n")
        return project, make_plan(project), origins
    except MatcgError as error:
        raise SystemExit(f"matcg: {error}")


PROJECT, PLAN, ORIGINS = read_plan()
PLACES = Places.of(PROJECT)
CATALOGS = PROJECT.catalogs
TRAINED = {PLACES.trained[name]: each for name, each in PROJECT.backbones.items()}
ASKED = {PLACES.asked[name]: each for name, each in PROJECT.backbones.items()}
BACKBONES = {name: with_weights(each) for name, each in (TRAINED | ASKED).items()}
SETTINGS = {name: backbone.canonical() for name, backbone in BACKBONES.items()}
ORIGINALS = {
    with_weights(backbone).weights: of_original(backbone.original)
    for backbone in PROJECT.backbones.values()
    if backbone.original
}
DECLARED = {experiment.name: experiment for experiment in PROJECT.experiments}
SHOW_MISSING = PROJECT.config.missing == "show"
MIXES = {mix.name: mix for mix in PLAN.mixes}
SUBSETS = {(c, PLACES.names.subset(c, name)): name for c, name in PLAN.subsets}
RECIPES = {
    (PLACES.trained[name], PLACES.names.recipe(name, recipe)): settings.canonical()
    for name, backbone in PROJECT.backbones.items()
    for recipe, settings in backbone.recipes.items()
}
PLAN_TABLES = ["experiments", "mixes", "runs", "evaluations", "subsets", "excluded"]
DATA_TABLES = ["summary", "images", "quarantine", "leaks", "overlaps", "audit"]
BOUNDS = {"runtime": "minutes", "mem_mb": "mem_mb"}  # what a partition calls them
PHANTOMS = sorted(name for name in CATALOGS if readers.get(CATALOGS[name].reader).world)
WORLD = [
    f"results/figures/world-{identity.digest(versions.WORLD, CATALOGS[name].canonical())}.png"
    for name in PHANTOMS[:1]
]
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


def planned(table, key):
    """Return what the plan holds for a path that was asked for, or say that it holds nothing."""
    if key not in table:
        raise SystemExit(f"matcg: {key} is not in the plan; results/plan lists what is")
    return table[key]


def samples(catalog, names, side):
    """Return a file of samples of each of some subsets."""
    return [f"{PLACES.subset(catalog, name)}/{side}.parquet" for name in names]


def train_files(wildcards):
    """Return the training samples that a mix draws from."""
    inside.end_with_job(workflow)
    mix = planned(MIXES, wildcards.mix)
    return samples(mix.catalog, [name for name, _ in mix.parts], "train")


def test_files(wildcards):
    """Return the test questions whose pictures a mix must not hold."""
    mix = planned(MIXES, wildcards.mix)
    return samples(mix.catalog, mix.targets, "test")


def mix_of(wildcards):
    """Return a mix, with the folders of its subsets and targets, as JSON."""
    mix = planned(MIXES, wildcards.mix)
    names = {*mix.targets, *(name for name, _ in mix.parts)}
    folders = {name: PLACES.subset(mix.catalog, name) for name in sorted(names)}
    distance = CATALOGS[mix.catalog].near_duplicates
    return json.dumps({"mix": asdict(mix), "folders": folders, "distance": distance})


def base_weights(wildcards):
    """Return a backbone's own weights where a rule makes them."""
    weights = planned(BACKBONES, wildcards.backbone).weights
    return [weights] if weights in ORIGINALS else []


@cache
def users():
    """Return the experiments that train on each mix."""
    found = defaultdict(list)
    for name, part in PLAN.parts.items():
        for mix in part.mixes:
            found[mix.name].append(DECLARED[name])
    return dict(found)


def size_of(mix):
    """Return the number of samples of every trained arm of the experiments that use a mix."""
    one, *_ = users()[mix]
    rows = PLAN.parts[one.name].rows
    asked = next(row.n_train for row in rows if row.mix == MIXES[mix].id)
    return asked + sum(one.general.values())


def leak_policy(mix):
    """Return what is done about leaks in a mix: the strictest of its experiments decides."""
    policies = {each.leaks for each in users()[mix]}
    return next(each for each in ("error", "drop", "report") if each in policies)


def reader_of(wildcards):
    """Return what reads the files of a catalog."""
    return readers.get(planned(CATALOGS, wildcards.catalog).reader)


@cache
def catalog(name):
    """Return a catalog by name, planned or not."""
    if name in CATALOGS:
        return CATALOGS[name]
    try:
        found = Library(ROOT).load("catalog", name, ROOT / "config.yaml", "data")
        readers.check(found)
        return found
    except MatcgError as error:
        raise SystemExit(f"matcg: {error}")


def data_folder(name):
    """Return where a catalog's files are, or go."""
    file = ORIGINS.get("data", ROOT / "config.yaml")
    return str(project.data_folder(PROJECT.config, file, ROOT, catalog(name)))


def release_of(name):
    """Return where a catalog's files can be fetched, as JSON."""
    return catalog(name).release.canonical()


def checked():
    """Return the subsets whose images are looked for: the plan's, else all of Med-MAT's questions."""
    real = [(c, s) for c, s in PLAN.subsets if readers.get(CATALOGS[c].reader).count]
    asked = [s.id for s in catalog("medmat").subsets if s.kind == "classification"]
    return real or [("medmat", name) for name in asked]


def source_links(names):
    """Return name and link of the source datasets of some catalogs, as JSON."""
    try:
        return json.dumps({name: read_sources(catalog(name)) for name in sorted(names)})
    except MatcgError as error:
        raise SystemExit(f"matcg: {error}")


@cache
def groups(name=None):
    """Return the groups of runs of an experiment, or of all, with what each of them is asked."""
    return find_groups(PLAN.parts[name] if name else PLAN, PROJECT.config.engine.runs)


@cache
def answering():
    """Return all groups by the names that backbone and group have in paths."""
    return {(PLACES.asked[name], group): runs for (name, group), runs in groups().items()}


def group_runs(wildcards):
    """Return what the runs that one engine answers for are asked, by their places."""
    return planned(answering(), (wildcards.backbone, wildcards.group))


def group_asked(wildcards):
    """Return what each run of a group is asked, as JSON."""
    return json.dumps(
        {run: list(map(sheet, asked)) for run, asked in group_runs(wildcards).items()}
    )


def sheet(asked):
    """Return of an evaluation what `read_asked` needs."""
    folder = PLACES.names.subset(asked.catalog, asked.target)
    file = asked.place.removeprefix(f"{asked.run}/")
    return asked.catalog, asked.target, folder, tag_of(asked.asked), file


def group_weights(wildcards):
    """Return the weights of a group's runs."""
    inside.end_with_job(workflow)
    name = planned(BACKBONES, wildcards.backbone).name
    return [PLACES.weights(name, run) for run in group_runs(wildcards) if run != BASELINE]


def group_data(wildcards):
    """Return the questions that a group is asked, and the samples that examples come from."""
    asked = set(chain(*group_runs(wildcards).values()))
    shown = [each for each in asked if PROJECT.protocols[each.protocol].shots]
    sides = [("test", each) for each in asked] + [("train", each) for each in shown]
    return sorted({file for side, e in sides for file in samples(e.catalog, [e.target], side)})


def protocols(wildcards):
    """Return the protocols that a group is asked by, as JSON."""
    used = {each.protocol for each in chain(*group_runs(wildcards).values())}
    told = {name: json.loads(PROJECT.protocols[name].identity()) for name in used}
    return json.dumps(told, sort_keys=True)


@cache
def experiments():
    """Return the experiments by the names of their folders."""
    return {identity.named(name, digest_of(each)): each for name, each in DECLARED.items()}


def digest_of(experiment):
    """Return the digest of all that decides an experiment's tables and figures."""
    told = (leak_search, claims, asked_by, published, layout, elements, mixes_of)
    names = [(PLACES.trained[name], PLACES.asked[name]) for name in experiment.backbones]
    steps = ("LEAKS", "AUDIT", "COMPARE", "FIGURES", "LEAK_PAIRS")
    return identity.digest(
        plan_digest(PLAN.parts[experiment.name]),
        names,
        [getattr(versions, step) for step in steps],
        [function(experiment) for function in told],
        source_links([experiment.catalog]),
        experiment.leaks,
        SHOW_MISSING,
    )


@cache
def plan_place():
    """Return the name of this plan with its digest."""
    known = [*experiments(), versions.REPORT, WORLD]
    return identity.named(plan_name(DECLARED), identity.digest(known))


def of_experiment(function):
    """Return a function of wildcards that says something of the experiment they name."""
    return lambda wildcards: function(planned(experiments(), wildcards.experiment))


def folders(file=""):
    """Return a path below the folder of each experiment."""
    return [f"{experiment_folder(place)}/{file}".rstrip("/") for place in experiments()]


def report_file():
    """Return the path of this plan's report."""
    return f"results/report-{plan_place()}.html"


def wanted(wildcards):
    """Return what is made where nothing else is asked for.

    The links to the last plan are set here too, since no hook of Snakemake runs where there is
    nothing to do.
    """
    if inside.is_main_process(workflow):
        notice_older_layout()
        if inside.runs_jobs(workflow):
            point_to(plan_place(), experiments())
    return [f"results/plans/{plan_place()}/summary.md", report_file()]


@cache
def notice_older_layout():
    """Say what there is of the layout whose names had no digests."""
    if found := older_layout(Path("results")):
        sys.stderr.write(
            f"matcg: results/ holds {', '.join(found)} of the layout before digests stood in the"
            " names: all of that stays as it is, and is made anew beside it"
            f" (results/plans/{plan_place()}/{unused.FILE} lists what no plan needs)\n"
        )


def experiment_data(file):
    """Return a function that gives a file of every subset of an experiment."""

    def paths(experiment):
        subsets = PLAN.parts[experiment.name].subsets
        return [f"{PLACES.subset(*subset)}/{file}" for subset in subsets]

    return of_experiment(paths)


def leak_search(experiment):
    """Return whose test images are looked for in whose training images, as JSON."""
    part, settings = PLAN.parts[experiment.name], CATALOGS[experiment.catalog]
    asked = {
        "catalog": experiment.catalog,
        "targets": sorted({row.target for row in part.rows}),
        "sources": sorted({name for mix in part.mixes for name, _ in mix.parts}),
        "distance": settings.near_duplicates,
        "folders": {name: PLACES.subset(catalog, name) for catalog, name in part.subsets},
        "known": [overlap.model_dump() for overlap in settings.overlaps],
    }
    return json.dumps(asked, sort_keys=True)


def audited(experiment):
    """Return each mix with each target it is tested on, as JSON."""
    rows = PLAN.parts[experiment.name].rows
    return json.dumps(sorted({(row.catalog, row.mix, row.target) for row in rows if row.mix}))


def mixes_of(experiment):
    """Return the file of each mix of an experiment."""
    return {mix.id: PLACES.mix(mix) for mix in PLAN.parts[experiment.name].mixes}


def plan_files(wildcards):
    """Return the tables of an experiment's plan."""
    folder = experiment_folder(wildcards.experiment)
    return [f"{folder}/plan/{name}.tsv" for name in PLAN_TABLES]


def rendered(experiment):
    """Return the tables of an experiment's plan, by file name, as JSON."""
    return json.dumps(render(PLAN.parts[experiment.name], PLACES))


def about(experiment):
    """Return what is said of an experiment in its folder."""
    return f"Experiment {experiment.name}: {experiment.question or experiment.canonical()}"


def short_name(wildcards):
    """Return the experiment's name without its digest."""
    return identity.plain(wildcards.experiment)


def preparation(wildcards):
    """Return all that the samples of a subset depend on, as canonical JSON."""
    name = planned(SUBSETS, (wildcards.catalog, wildcards.subset))
    return CATALOGS[wildcards.catalog].preparation(name).canonical()


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
    targets = sorted({(row.catalog, row.target) for row in PLAN.rows})
    return read_tests({target: Path(PLACES.subset(*target)) for target in targets})


@cache
def summary():
    """Return the plan's summary, and kind and path of all that the plan needs, as JSON."""
    used = [
        *needed(PLAN, PLACES, groups()),
        *(("converted weights", path) for path in ORIGINALS),
        *(("experiment", path) for path in folders()),
        ("plan", f"results/plans/{plan_place()}"),
        ("report", report_file()),
    ]
    return json.dumps({"summary": summarise(PLAN, PROJECT, costs(), known_tests()), "used": used})


def at_hand(paths):
    """Return the paths, sorted; of those that are not there none where the config says so."""
    return sorted(path for path in set(paths) if not SHOW_MISSING or Path(path).exists())


def answers(experiment):
    """Return the answers that an experiment compares: the records of all groups that give them.

    Where missing ones are shown, the files of those that there are.
    """
    part = PLAN.parts[experiment.name]
    if SHOW_MISSING:
        return at_hand(map(PLACES.answers, part.evaluations))
    return sorted(PLACES.group(*group) for group in groups(experiment.name))


def tests(experiment):
    """Return the test questions of an experiment, which say what belongs to one patient."""
    names = sorted({row.target for row in PLAN.parts[experiment.name].rows})
    return samples(experiment.catalog, names, "test")


def claims(experiment):
    """Return what an experiment declares of its comparisons, as canonical JSON."""
    return json.dumps({name: getattr(experiment, name) for name in ("family", "minimum_effect")})


def asked_by(experiment):
    """Return the protocols of an experiment, that of its comparisons first, as JSON."""
    names = dict.fromkeys((experiment.protocol, *experiment.also))
    return json.dumps([json.loads(PROJECT.protocols[name].identity()) for name in names])


def published(experiment):
    """Return what a paper prints for an experiment as canonical JSON, one list a number."""
    return json.dumps([astuple(row) for row in PROJECT.published.get(experiment.name, ())])


def layout(experiment):
    """Return the question of an experiment and how its table is laid out, as canonical JSON."""
    shape = experiment.layout.model_dump(mode="json") if experiment.layout else None
    limit = {"smoke": PROJECT.config.limit.mark} if PROJECT.config.limit else {}
    return json.dumps({"question": experiment.question, "layout": shape} | limit, sort_keys=True)


@cache
def tested():
    """Return the experiments for which a paper prints gains, by name and digest of their tables.

    These are called `table3` where the experiment is `paper-table3`.
    """
    found = {}
    for name, rows in PROJECT.published.items():
        if has_gains(rows):
            digest = identity.digest(versions.PUBLISHED_TEST, published(DECLARED[name]))
            found[name.removeprefix("paper-"), digest] = DECLARED[name]
    return found


def agreement(wildcards):
    """Return the tables of how far a paper's figures agree with ours."""
    folder = f"results/plans/{plan_place()}"
    return [f"{folder}/agreement.{ending}" for ending in ("csv", "md", "tex")]


def metrics(experiment):
    """Return the training curves of an experiment's runs."""
    return at_hand(f"{PLACES.run(run)}/metrics.jsonl" for run in PLAN.parts[experiment.name].runs)


def elements(experiment):
    """Return the elements of an experiment's catalog and of each subset as canonical JSON."""
    catalog = CATALOGS[experiment.catalog]
    subsets = {s.id: {"kind": s.kind, "elements": s.elements} for s in catalog.subsets}
    return json.dumps({"elements": catalog.elements, "subsets": subsets})


def needs(name, grows=False):
    """Return a resource function: what the backbone's file asks for, for this recipe, more on each retry."""

    def amount(wildcards, attempt):
        LAUNCH.check()
        resources = planned(BACKBONES, wildcards.backbone).resources
        asked = resources.amount(name, recipe_of(wildcards))
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


def recipe_of(wildcards):
    """Return the recipe of a run as its backbone's file calls it; None of what is not trained."""
    recipe = wildcards.get("recipe")
    return recipe and identity.plain(recipe)


def finish():
    """Keep how fast the finished jobs were, for the price of the next plan, and link to this one."""
    throughput.write(throughput.collect(PLAN, PLACES))
    point_to(plan_place(), experiments())


def headlines():
    """Return each experiment's headline and where the report is, where they have been made."""
    found = [Path(path) for path in folders("headline.json")]
    lines = [json.loads(path.read_text())["headline"] for path in found if path.exists()]
    return "\n".join(lines + [f"Report: {page}" for page in report_as_linked(plan_place())])


LAUNCH = Launch(workflow, PROJECT, BACKBONES, data_folder, costs)
