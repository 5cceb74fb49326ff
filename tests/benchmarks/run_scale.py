"""Measures planning, parsing and dry-runs of large experiments; prints rows for docs/benchmarks.md.

`python tests/benchmarks/run_scale.py [--runs 250 1000 2500 5000 9000] [--repeats 3] [--print-jobs]`
works in temporary copies of the repository and trains nothing. For each number of fine-tuning runs
it takes experiments/every-combination.yaml with two backbones, as many seeds as that needs, and
fewer targets where it needs fewer. From the DAG that Snakemake makes of this it writes a *bare*
Snakefile: the same rules, jobs, input and output files and edges, but no params, resources, logs,
benchmarks, scripts or constraints, and one look into a dict a job for its input. Both take turns,
each time in a new process. The columns are medians:

- runs, naive: distinct fine-tuning runs, and what there would be if none were shared.
- jobs, files: of the dry-run; both Snakefiles have the same, which is checked edge by edge.
- planning, tables: `load_project`, `make_plan` and `Places.of`; `render`. Without Python's start.
- parsing: Snakemake's reading of our Snakefile, in a process that has imported Snakemake: the
  imports of our library, planning, and the rules. No DAG is made.
- ours, bare: wall time and peak resident memory of `snakemake -n -q`, or of `snakemake -n`, which
  also lists each job, with --print-jobs.
"""

import argparse
import contextlib
import datetime as dt
import hashlib
import io
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from run_default import LEFT_OUT, ROOT, machine, version

EXPERIMENT, CATALOG = "every-combination", "medmat"
BACKBONE = "llava-1.5-7b"  # has a hub name, so that a dry-run needs no weights
BACKBONES = ("large-a", "large-b")
MOST_SEEDS = 12
NEAR = 0.04  # among sizes as near as this, the one with most targets is taken
PROFILE = Path("profiles", "default")
HEADER = """
| date | version | machine | runs | naive | jobs | files | planning (s) | tables (s) | parsing (s) \
| ours (s) | bare (s) | ratio | ours (MB) | bare (MB) | ratio |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|""".lstrip()
TITLE = '''"""The jobs and files of a workflow and nothing else."""

import pickle

with open("inputs.pickle", "rb") as file:
    INPUTS = pickle.load(file)
'''


@dataclass(frozen=True)
class Shape:
    """An experiment: its targets, how many seeds, and about how many runs that makes."""

    targets: list[str]
    seeds: int
    runs: int


@dataclass(frozen=True)
class Planned:
    """Seconds that a plan and its tables take, and its runs, shared and not."""

    planning: float
    tables: float
    runs: int
    naive: int


@dataclass(frozen=True)
class Graph:
    """A DAG in short: jobs by rule, number of files, and a digest of all jobs with their files."""

    jobs: dict[str, int]
    files: int
    digest: str


@dataclass(frozen=True)
class Used:
    """Wall time in seconds and peak resident memory in MB of a command."""

    seconds: float
    peak: float


@dataclass(frozen=True)
class Round:
    """One measurement of everything, in turn."""

    planned: Planned
    parsing: float
    ours: Used
    bare: Used


def main() -> None:
    """Print a row for each number of runs."""
    arguments = parse()
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "matcg")
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
        targets = classification(copy)
        sizes = alone(count_runs, copy, targets)
        for runs in arguments.runs:
            shape = choose(targets, sizes, runs)
            cells = measure(copy, Path(folder), shape, arguments)
            where = [dt.date.today().isoformat(), version(), machine(1)]
            print(f"| {' | '.join([*where, *cells])} |", flush=True)


def parse() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[250, 1000, 2500, 5000, 9000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--print-jobs", action="store_true", help="snakemake -n, without -q")
    return parser.parse_args()


def alone(function: Callable[..., Any], *arguments: object) -> Any:
    """Return what a function returns in a new process, which is gone afterwards."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


# --- Experiments ---------------------------------------------------------------------------------


def classification(copy: Path) -> list[str]:
    """Return the subsets of the catalog that can be asked to classify."""
    subsets = load(copy / "catalogs" / f"{CATALOG}.yaml")["subsets"]
    return [subset["id"] for subset in subsets if subset["kind"] == "classification"]


def count_runs(copy: Path, targets: list[str]) -> list[int]:
    """Return how many runs the first target, the first two, ... give with one seed; 0 for none."""
    return [runs_of(copy, targets[: n + 1]) for n in range(len(targets))]


def runs_of(copy: Path, targets: list[str]) -> int:
    """Return the runs of some targets with one seed; 0 where a rule matches none of them."""
    write_experiment(copy, targets, 1)
    load_project, make_plan = library(copy)
    from matcg.errors import ConfigError

    try:
        return len(make_plan(load_project(load(copy / "config.yaml"), copy)).runs)
    except ConfigError:
        return 0


def choose(targets: list[str], sizes: list[int], runs: int) -> Shape:
    """Return the experiment whose number of runs is nearest."""
    shapes = [
        Shape(targets[: n + 1], seeds, sizes[n] * seeds)
        for n, seeds in product(range(len(targets)), range(1, MOST_SEEDS + 1))
        if sizes[n]
    ]
    return min(shapes, key=lambda s: (max(abs(s.runs / runs - 1), NEAR), -len(s.targets)))


def write_experiment(copy: Path, targets: list[str], seeds: int) -> None:
    """Write the experiment, its backbones, and the config that names it."""
    for name in BACKBONES:
        backbone = {**load(copy / "backbones" / f"{BACKBONE}.yaml"), "name": name}
        dump(copy / "backbones" / f"{name}.yaml", backbone)
    own = {
        "name": "large",
        "targets": targets,
        "backbones": list(BACKBONES),
        "seeds": list(range(seeds)),
    }
    experiment = load(copy / "experiments" / f"{EXPERIMENT}.yaml") | own
    dump(copy / "experiments" / "large.yaml", experiment)
    dump(copy / "config.yaml", {"experiments": ["large"]})


def load(path: Path) -> dict[str, Any]:
    """Return what a YAML file holds."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def dump(path: Path, data: object) -> None:
    """Write a YAML file."""
    path.write_text(yaml.safe_dump(data), encoding="utf-8")


# --- Measurements --------------------------------------------------------------------------------


def measure(copy: Path, folder: Path, shape: Shape, arguments: argparse.Namespace) -> list[str]:
    """Return a row's cells, from `runs` on."""
    write_experiment(copy, shape.targets, shape.seeds)
    bare = folder / "bare"
    shutil.rmtree(bare, ignore_errors=True)
    shutil.copytree(copy / PROFILE, bare / PROFILE)
    graph = alone(strip, copy, bare)
    check(graph, alone(read_graph, bare))
    rounds = [take_turns(copy, bare, arguments) for _ in range(arguments.repeats)]
    return cells_of(graph, rounds)


def check(ours: Graph, bare: Graph) -> None:
    """End with the difference where the bare workflow is not the same."""
    if ours != bare:
        different = {**ours.jobs, **bare.jobs}
        shown = [f"{r} {ours.jobs.get(r)}/{bare.jobs.get(r)}" for r in sorted(different)]
        sys.exit(f"The bare Snakefile has other jobs or files (jobs ours/bare): {', '.join(shown)}")


def take_turns(copy: Path, bare: Path, arguments: argparse.Namespace) -> Round:
    """Measure everything once."""
    dry_run = ["-n"] if arguments.print_jobs else ["-n", "-q"]
    planned, parsing = alone(plan, copy), alone(parse_seconds, copy)
    return Round(planned, parsing, snakemake(copy, *dry_run), snakemake(bare, *dry_run))


def cells_of(graph: Graph, rounds: list[Round]) -> list[str]:
    """Return medians as text."""
    seconds = [median(getattr(r, who).seconds for r in rounds) for who in ("ours", "bare")]
    peaks = [median(getattr(r, who).peak for r in rounds) for who in ("ours", "bare")]
    planned = rounds[0].planned
    return [
        str(planned.runs),
        str(planned.naive),
        str(sum(graph.jobs.values())),
        str(graph.files),
        f"{median(r.planned.planning for r in rounds):.2f}",
        f"{median(r.planned.tables for r in rounds):.2f}",
        f"{median(r.parsing for r in rounds):.2f}",
        *(f"{value:.2f}" for value in (*seconds, seconds[0] / seconds[1])),
        *(f"{value:.0f}" for value in peaks),
        f"{peaks[0] / peaks[1]:.2f}",
    ]


def plan(copy: Path) -> Planned:
    """Plan as the Snakefile does."""
    load_project, make_plan = library(copy)
    from matcg.plan.places import Places
    from matcg.plan.tables import render_tables

    given = load(copy / "config.yaml")
    began = time.perf_counter()
    project = load_project(given, copy)
    made, places = make_plan(project), Places.of(project)
    planned = time.perf_counter()
    render_tables(made, places)
    ended = time.perf_counter()
    return Planned(planned - began, ended - planned, len(made.runs), made.naive[0])


def library(copy: Path) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the copy's own functions."""
    if (path := str(copy / "workflow")) not in sys.path:
        sys.path.insert(0, path)
    from matcg.config.project import load_project
    from matcg.plan.enumerate import make_plan

    return load_project, make_plan


def parse_seconds(copy: Path) -> float:
    """Return how long Snakemake takes to read the Snakefile."""
    with opened(copy) as workflow:
        began = time.perf_counter()
        _ = workflow._workflow  # read when first asked for
        return time.perf_counter() - began


def snakemake(folder: Path, *arguments: str) -> Used:
    """Run Snakemake to its end in a folder."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)} ended badly:\n{said.read().decode()[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB here
    return Used(seconds, usage.ru_maxrss * unit / 1e6)


# --- The bare Snakefile --------------------------------------------------------------------------


def strip(folder: Path, bare: Path) -> Graph:
    """Write the bare workflow of a workflow and return what both must have."""
    jobs = list(read_jobs(folder))
    inputs: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for job in jobs:
        names = [sys.intern(str(name)) for name in job.input]
        inputs.setdefault(job.rule.name, {})[tuple(job.wildcards)] = names
    rules = {job.rule.name: job.rule for job in jobs}
    first = [job.rule.name for job in jobs if not job.output]
    order = sorted(rules, key=lambda name: name not in first)
    text = TITLE + "".join(bare_rule(rules[name], inputs[name]) for name in order)
    (bare / "Snakefile").write_text(text, encoding="utf-8")
    (bare / "inputs.pickle").write_bytes(pickle.dumps(inputs))
    return summary(jobs)


def bare_rule(rule: Any, inputs: dict[tuple[str, ...], list[str]]) -> str:
    """Return a rule's text: input, output, and a command where there is something to make."""
    lines = ["", "", f"rule {rule.name}:"]
    if any(inputs.values()):
        look = f'INPUTS["{rule.name}"][tuple(wildcards)]'
        lines += ["    input:", f"        lambda wildcards: {look},"]
    if rule.output:
        lines += ["    output:", *(f"        {pattern}," for pattern in patterns(rule.output))]
        lines += ["    shell:", '        "true"']
    return "\n".join(lines) + "\n"


def patterns(output: Iterable[Any]) -> Iterator[str]:
    """Yield output paths with their wildcards but without constraints; folders stay folders."""
    from snakemake.io import is_flagged, strip_wildcard_constraints

    for file in output:
        text = repr(strip_wildcard_constraints(str(file)))
        yield f"directory({text})" if is_flagged(file, "directory") else text


def read_graph(folder: Path) -> Graph:
    """Return the DAG of a workflow in short."""
    return summary(list(read_jobs(folder)))


def summary(jobs: list[Any]) -> Graph:
    """Return jobs in short."""
    lines = sorted(
        f"{job.rule.name} {sorted(map(str, job.input))} {sorted(map(str, job.output))}"
        for job in jobs
    )
    files = {str(file) for job in jobs for file in (*job.input, *job.output)}
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return Graph(dict(Counter(job.rule.name for job in jobs)), len(files), digest)


def read_jobs(folder: Path) -> Iterator[Any]:
    """Yield the jobs of a dry-run."""
    with opened(folder) as workflow:
        workflow.dag().execute_workflow(executor="dryrun")
        yield from workflow._workflow.dag.jobs


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Any]:
    """Enter a folder with a Snakefile and give Snakemake's interface to it, silenced."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import OutputSettings, Quietness, ResourceSettings

    os.chdir(folder)
    # As with -q, which ends a dry-run once the DAG is made.
    settings = OutputSettings(dryrun=True, quiet={Quietness.RULES, Quietness.PROGRESS})
    with contextlib.redirect_stderr(io.StringIO()), SnakemakeApi(settings) as api:
        yield api.workflow(ResourceSettings(cores=1), snakefile=Path("Snakefile"))


if __name__ == "__main__":
    main()
