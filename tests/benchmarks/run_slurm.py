"""Measure what Slurm costs: a job, the start of a large plan, and GPUs that wait in a campaign.

Starts the one-node Slurm of tests/slurm, as root; the GPUs are pretended and the campaign's jobs
sleep, so nothing here depends on what is trained.
"""

import argparse
import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tests/slurm"), str(ROOT / "tests/benchmarks")]

import run_scale  # noqa: E402
from cluster import Cluster, call, missing  # noqa: E402

JOBS = """\
rule all:
    input: expand("out/{{n}}", n=range({n}))
rule job:
    output: "out/{{n}}"
    resources: gpu={gpu}, mem_mb=500, runtime=5
    shell: "{command}; touch {{output}}"
"""
GPUS = 2
LAUNCH = "has been submitted with SLURM jobid"


def main() -> None:
    """Print a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9000, help="of the large plan")
    parser.add_argument("--campaign", type=int, default=64, help="jobs of the campaign")
    parser.add_argument("--seconds", type=float, default=10, help="that each of them sleeps")
    parser.add_argument("--only", choices=["cost", "launch", "campaign"])
    arguments = parser.parse_args()
    if why := missing():
        sys.exit(f"No Slurm can be started here: {why}")
    print(f"{dt.date.today().isoformat()}, {run_scale.version()}, {run_scale.machine(1)}")
    parts = {"cost": cost, "launch": launch, "campaign": campaign}
    with tempfile.TemporaryDirectory() as folder, slurm(Path(folder)):
        for name, part in parts.items():
            if arguments.only in (None, name):
                print(part(Path(folder, name), arguments), flush=True)


@contextmanager
def slurm(folder: Path) -> Iterator[None]:
    """Have a Slurm while the body runs."""
    place = folder / "slurm"
    place.mkdir()
    cluster = Cluster(place)
    try:
        cluster.start()
        yield
    finally:
        cluster.stop()


def workflow(folder: Path, n: int, gpu: int, command: str) -> None:
    """Write a workflow of `n` equal jobs, with this repository's profiles."""
    folder.mkdir()
    for name in ("slurm", "profiles", "workflow"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "workflow/Snakefile").unlink()
    (folder / "Snakefile").write_text(JOBS.format(n=n, gpu=gpu, command=command))


def snakemake(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start Snakemake in a folder; what it says goes to said.txt."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    with (folder / "said.txt").open("wb") as said:
        return subprocess.Popen(
            command, cwd=folder, stdout=said, stderr=said, start_new_session=True
        )


def seconds(folder: Path, *arguments: str) -> float:
    """Return how long Snakemake takes to its end."""
    began = time.perf_counter()
    if snakemake(folder, *arguments).wait():
        sys.exit((folder / "said.txt").read_text()[-2000:])
    return time.perf_counter() - began


def cost(folder: Path, arguments: argparse.Namespace) -> str:  # noqa: ARG001
    """Return what a job that does nothing costs, on this machine and on Slurm."""
    folder.mkdir()
    found = {}
    for name, few, many, options in (
        ("local", 1, 201, ("--cores", "2")),
        ("slurm", 2, 22, ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "1")),
    ):
        took = []
        for n in (few, many):
            workflow(folder / f"{name}{n}", n, int(name == "slurm"), "true")
            took.append(seconds(folder / f"{name}{n}", *options))
        found[name] = (took[1] - took[0]) / (many - few)
    local, ours = found["local"], found["slurm"]
    return f"a job: {1000 * local:.0f} ms local, {ours:.2f} s on Slurm ({GPUS} at a time)"


def launch(folder: Path, arguments: argparse.Namespace) -> str:
    """Return the time from the command to the first submitted job of a large plan."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*run_scale.LEFT_OUT))
    targets = run_scale.classification(folder)
    sizes = run_scale.alone(run_scale.count_runs, folder, targets)
    shape = run_scale.choose(targets, sizes, arguments.runs)
    run_scale.write_experiment(folder, shape.targets, shape.seeds)
    # Without images: the measurement ends before a job could miss them.
    (folder / "data/medmat").mkdir(parents=True)
    began = time.perf_counter()
    process = snakemake(folder, "--profile", "slurm")
    while LAUNCH not in (folder / "said.txt").read_text(errors="replace"):
        if process.poll() is not None:
            sys.exit((folder / "said.txt").read_text()[-2000:])
        time.sleep(0.05)
    took = time.perf_counter() - began
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    call("scancel", "--user=root")
    while call("squeue", "-h").stdout:
        time.sleep(1)
    return f"launch: {took:.1f} s to the first Slurm job of a plan of {shape.runs} runs"


def campaign(folder: Path, arguments: argparse.Namespace) -> str:
    """Return the share of GPU time that no job held, or that its command did not use."""
    workflow(folder, arguments.campaign, 1, f"sleep {arguments.seconds}")
    process = snakemake(folder, "--profile", "slurm")
    began = last = None
    held = 0.0
    while process.poll() is None:
        before = time.perf_counter()
        running = call("squeue", "-h", "-t", "R,CG", "-o", "%i").stdout.split()
        time.sleep(0.25)
        now = time.perf_counter()
        if running:
            began, last = began or before, now
            held += len(running) * (now - before)
    if process.returncode or began is None or last is None:
        sys.exit((folder / "said.txt").read_text()[-2000:])
    span = GPUS * (last - began)
    used = arguments.campaign * arguments.seconds
    extra = (held - used) / arguments.campaign
    return (
        f"campaign: {arguments.campaign} jobs of {arguments.seconds:.0f} s on {GPUS} GPUs:"
        f" {1 - held / span:.1%} of GPU time held by no job,"
        f" {1 - used / span:.1%} without its command running;"
        f" a job holds its GPU {extra:.1f} s longer than its command"
    )


if __name__ == "__main__":
    main()
