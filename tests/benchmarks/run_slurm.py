"""Measure what Slurm costs: a job, the start of a large plan, and GPUs that wait in a campaign.

Starts the one-node Slurm of tests/slurm, as root; the GPUs are pretended. The campaign is the real
workflow with a fine-tuning that only waits, as long as the plan says that it takes, in small.
"""

import argparse
import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tests/slurm"), str(ROOT / "tests/benchmarks")]

import run_scale  # noqa: E402

from cluster import call, missing, started  # noqa: E402

JOBS = """\
rule all:
    input: expand("out/{{n}}", n=range({n}))
rule job:
    output: "out/{{n}}"
    resources: gpu={gpu}, mem_mb=500, runtime=5
    shell: "true; touch {{output}}"
"""
# Takes the place of scripts/finetune.py; what is in its files is read by nothing here.
WAIT = """\
import json, time
from pathlib import Path
run = str(Path(snakemake.output.metrics).parent)
time.sleep(json.loads(Path("seconds.json").read_text())[run])
Path(snakemake.output.weights).mkdir()
for name in ("metrics", "provenance"):
    Path(snakemake.output[name]).touch()
"""
CAMPAIGN = ("paper/table3", "paper/figure4")  # 64 runs of two lengths
# What fine-tuning waits for, or what is done before it.
EARLIER = ("enumerate", "enumerate_experiment", "prepare", "leaks", "mix", "audit")


def main() -> None:
    """Print a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9000, help="of the large plan")
    parser.add_argument("--scale", type=float, default=1000, help="how much shorter runs are")
    parser.add_argument("--gpus", type=int, default=2, help="that are pretended")
    parser.add_argument("--only", choices=["cost", "launch", "campaign"])
    arguments = parser.parse_args()
    if why := missing():
        sys.exit(f"No Slurm can be started here: {why}")
    print(f"{dt.date.today().isoformat()}, {run_scale.version()}, {run_scale.machine(1)}")
    parts = {"cost": cost, "launch": launch, "campaign": campaign}
    # A fine-tuning of 7B finds room for each GPU.
    gpus = arguments.gpus
    room = {"cpus": 16 * gpus, "memory": 128_000 * gpus, "gpus": gpus}
    with tempfile.TemporaryDirectory() as folder, started(Path(folder, "slurm"), **room):
        for name, part in parts.items():
            if arguments.only in (None, name):
                print(part(Path(folder, name), arguments), flush=True)


def workflow(folder: Path, n: int, gpu: int) -> None:
    """Write a workflow of `n` jobs that do nothing, with this repository's profiles."""
    folder.mkdir()
    for name in ("slurm", "profiles", "workflow"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "Snakefile").write_text(JOBS.format(n=n, gpu=gpu))


def snakemake(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start Snakemake in a folder; what it says goes to said.txt."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    with (folder / "said.txt").open("wb") as said:
        return subprocess.Popen(
            command, cwd=folder, stdout=said, stderr=said, start_new_session=True
        )


def fail(folder: Path) -> None:
    """End with what Snakemake said."""
    sys.exit((folder / "said.txt").read_text(errors="replace")[-3000:])


def seconds(folder: Path, *arguments: str) -> float:
    """Return how long Snakemake takes to its end."""
    began = time.perf_counter()
    if snakemake(folder, *arguments).wait():
        fail(folder)
    return time.perf_counter() - began


def cost(folder: Path, arguments: argparse.Namespace) -> str:
    """Return what a job that does nothing costs, on this machine and on Slurm."""
    folder.mkdir()
    found = {}
    for name, few, many, options in (
        ("local", 1, 201, ("--cores", "2")),
        ("slurm", 2, 22, ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "1")),
    ):
        took = []
        for n in (few, many):
            workflow(folder / f"{name}{n}", n, int(name == "slurm"))
            took.append(seconds(folder / f"{name}{n}", *options))
        found[name] = (took[1] - took[0]) / (many - few)
    local, ours = found["local"], found["slurm"]
    at_once = f"{arguments.gpus} at a time"
    return f"a job: {1000 * local:.0f} ms local, {ours:.2f} s on Slurm ({at_once})"


# --- The real workflow, its data made up ---------------------------------------------------------


def copy(folder: Path) -> None:
    """Copy the repository; the folder of images is there and empty."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*run_scale.LEFT_OUT))
    (folder / "data/medmat").mkdir(parents=True)


def lay(folder: Path) -> None:
    """Put an empty file in place of each that fine-tuning waits for, all of the same age."""
    now = time.time()  # younger than the scripts, since an older file is made again
    for job in run_scale.read_jobs(folder):
        if job.rule.name in EARLIER:
            for path in map(Path, job.output):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
                os.utime(path, (now, now))


def launch(folder: Path, arguments: argparse.Namespace) -> str:
    """Return the time from the command to the first jobs of a large plan, without and with data."""
    copy(folder)
    targets = run_scale.classification(folder)
    sizes = run_scale.alone(run_scale.count_runs, folder, targets)
    shape = run_scale.choose(targets, sizes, arguments.runs)
    run_scale.write_experiment(folder, shape.targets, shape.seeds)
    first = first_job(folder, "job")
    run_scale.alone(lay, folder)
    tuned = first_job(folder, "rule_finetune")
    return (
        f"launch of {shape.runs} runs: {first:.1f} s until the first job runs, of any kind;"
        f" {tuned:.1f} s until the first fine-tuning does, data and mixes being there"
    )


def first_job(folder: Path, kind: str) -> float:
    """Return after how many seconds Slurm runs a job whose comment holds `kind`."""
    began = time.perf_counter()
    process = snakemake(folder, "--profile", "slurm")
    while True:
        running = call("squeue", "-h", "-t", "R,CG", "-o", "job %k").stdout
        if kind in running:
            break
        if process.poll() is not None:
            fail(folder)
        time.sleep(0.05)
    took = time.perf_counter() - began
    end(folder, process)
    return took


def end(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """End Snakemake and all jobs, and let its folder know nothing of them."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    shutil.rmtree(folder / ".snakemake")
    call("scancel", "--user=root")
    while call("squeue", "-h").stdout:
        time.sleep(1)


# --- The campaign --------------------------------------------------------------------------------


@dataclass
class Held:
    """From when to when jobs ran, and device seconds: held, and idle as nothing was left."""

    gpus: int
    began: float = 0.0
    ended: float = 0.0
    seconds: float = 0.0
    left: float = 0.0

    def look(self, states: list[str], before: float, now: float) -> None:
        """Count the jobs of Slurm by their states, in the time between two looks."""
        running = sum(state != "PD" for state in states)
        if running:
            self.began, self.ended = self.began or before, now
            self.seconds += running * (now - before)
            self.left += (self.gpus - running) * (now - before) if "PD" not in states else 0.0


def campaign(folder: Path, arguments: argparse.Namespace) -> str:
    """Return the share of GPU time that no job held, or in which no fine-tuning waited."""
    copy(folder)
    run_scale.dump(folder / "config.yaml", {"experiments": list(CAMPAIGN)})
    (folder / "workflow/scripts/finetune.py").write_text(WAIT)
    run_scale.alone(lay, folder)
    lengths = {key: s / arguments.scale for key, s in run_scale.alone(estimates, folder).items()}
    (folder / "seconds.json").write_text(json.dumps(lengths))
    held = Held(arguments.gpus)
    watch(folder, snakemake(folder, "--profile", "slurm", "--until", "finetune"), held)
    span = held.gpus * (held.ended - held.began)
    used, n = sum(lengths.values()), len(lengths)
    shortest, longest = min(lengths.values()), max(lengths.values())
    return (
        f"campaign: {n} runs of {shortest:.0f} to {longest:.0f} s, mean {used / n:.0f} s (the"
        f" plan's estimates / {arguments.scale:g}), on {held.gpus} GPUs, {span / held.gpus:.0f} s:"
        f" {1 - held.seconds / span:.1%} of GPU time held by no job ({held.left / span:.1%} when no"
        f" run was left to start),"
        f" {1 - used / span:.1%} without its command running ({1 - used / (span - held.left):.1%}"
        f" while runs were left);"
        f" a job holds its GPU {(held.seconds - used) / n:.1f} s longer than its command"
    )


def estimates(folder: Path) -> dict[str, float]:
    """Return how many seconds the plan says that each of its runs takes, by its folder."""
    load_project, make_plan = run_scale.library(folder)
    from matcg.plan.places import Places
    from matcg.plan.price import price

    project = load_project(run_scale.load(folder / "config.yaml"), folder)
    plan, places = make_plan(project), Places.of(project)
    found = {}
    for run in plan.runs:
        cost = price(replace(plan, runs=(run,), evaluations=()), project, (), {})[0]
        found[places.run(run)] = 3600 * (cost.hours or 0.0)
    return found


def watch(folder: Path, process: subprocess.Popen[bytes], held: Held) -> None:
    """Look at the queue four times a second until Snakemake has ended."""
    while process.poll() is None:
        before = time.perf_counter()
        states = call("squeue", "-h", "-o", "%t").stdout.split()
        time.sleep(0.25)
        held.look(states, before, time.perf_counter())
    if process.returncode or not held.began:
        fail(folder)


if __name__ == "__main__":
    main()
