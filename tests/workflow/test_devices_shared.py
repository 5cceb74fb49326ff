"""Jobs that share the GPUs of one machine: never two on a device, none idle while one waits."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from repository import start
from workspace import Workspace

# In place of training: say when this job asked for devices, had them and was done. Times are
# CLOCK_MONOTONIC, which all processes share.
STEP = """\
import json, os, time

def finetune(mix, data, backbone, recipe, seed, out, threads, **_):
    had = time.monotonic()
    time.sleep({seconds})
    record = {{
        "asked": float(os.environ["ASKED"]),
        "had": had,
        "done": time.monotonic(),
        "devices": os.environ["CUDA_VISIBLE_DEVICES"].split(","),
        "wanted": backbone.resources.gpu,
        "pid": os.getpid(),
    }}
    (out / "weights").mkdir(parents=True, exist_ok=True)
    for name in ("weights/w", "metrics.jsonl", "provenance.json"):
        (out / name).write_text(json.dumps(record))
"""
SECONDS = 1.5
RUN = ("--cores", "8", "--scheduler", "greedy", "--until", "finetune")


@dataclass(frozen=True)
class Job:
    """What one job wrote."""

    asked: float
    had: float
    done: float
    devices: list[str]
    wanted: int
    pid: int


def prepared(mine: Workspace, seeds: int, seconds: float = SECONDS) -> Workspace:
    """Return a workspace with two runs a seed on one GPU each, all that comes before them made."""
    mine.write("workflow/matcg/train/finetune.py", STEP.format(seconds=seconds))
    script = "workflow/scripts/finetune.py"
    clock = "    import os, time\n    os.environ['ASKED'] = str(time.monotonic())\n    with lease("
    mine.edit(script, "    with lease(", clock)
    mine.edit("backbones/toy.yaml", "threads: 1", "threads: 1, gpu: 1")
    mine.edit("experiments/toy.yaml", "recipe: full", f"recipe: full\nseeds: {list(range(seeds))}")
    done = mine.quickly("--scheduler", "greedy", "--until", "audit")
    assert done.returncode == 0, done.stdout
    return mine


@pytest.fixture
def mine(
    workspaces: Callable[[str], Workspace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    """Return a workspace of eight runs, on a machine that seems to have two GPUs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("MATCG_LEASES", str(tmp_path / "leases"))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return prepared(workspaces("devices"), seeds=4)


def jobs(mine: Workspace) -> list[Job]:
    """Return what all jobs wrote."""
    found = sorted((mine.root / "results/runs").glob("*/*/*/*/provenance.json"))
    return [Job(**json.loads(path.read_text())) for path in found]


def assert_never_shared(done: list[Job]) -> None:
    """Check that each job had as many devices as it wanted, and nobody else had one of them."""
    assert {device for job in done for device in job.devices} == {"0", "1"}
    assert all(len(set(job.devices)) == job.wanted for job in done)
    for device in "01":
        mine = sorted((job.had, job.done) for job in done if device in job.devices)
        assert all(before[1] <= after[0] for before, after in pairwise(mine))


def idle(done: list[Job]) -> float:
    """Return for how many device-seconds a device was free while a job waited that it would do."""
    times = sorted({time for job in done for time in (job.asked, job.had, job.done)})
    total = 0.0
    for begin, end in pairwise(times):
        used = sum(job.wanted for job in done if job.had <= begin < job.done)
        waiting = [job.wanted for job in done if job.asked <= begin < job.had]
        # Whom the queue would let go first is not known here: the one that wants most.
        if waiting and used + max(waiting) <= 2:
            total += (end - begin) * (2 - used)
    return total


def assert_busy(done: list[Job]) -> None:
    """Check that devices were idle for less than a quarter of the time in which they were used.

    Were jobs to use one of the two only, the other would be idle for as long as that one is used.
    """
    held = sum((job.done - job.had) * job.wanted for job in done)
    assert idle(done) < held / 4


def test_eight_jobs_share_two_devices_when_nobody_counts(mine: Workspace) -> None:
    # Snakemake believes that there are eight: all start, and six of them wait.
    done = mine.snakemake(*RUN, "--resources", "gpu=8")
    assert done.returncode == 0, done.stdout
    found = jobs(mine)
    assert len(found) == 8
    assert_never_shared(found)
    assert_busy(found)
    assert "waiting for 1 of these GPUs, last held by 0: process" in done.stdout


@pytest.mark.parametrize("resources", [("--resources", "gpu=2"), ()])
def test_no_more_jobs_start_than_there_are_devices(
    mine: Workspace, resources: tuple[str, ...]
) -> None:
    done = mine.snakemake(*RUN, *resources)
    assert done.returncode == 0, done.stdout
    found = jobs(mine)
    assert len(found) == 8
    assert_never_shared(found)
    started = [sum(job.asked <= each.asked < job.done for job in found) for each in found]
    assert max(started) == 2
    log = next((mine.root / "logs/finetune").rglob("*.log")).read_text()
    assert log in ("GPU 0 leased\n", "GPU 1 leased\n")


@pytest.mark.parametrize("site", [(), ("--set-resources", "finetune:gres_of='gpu:{n}'")])
def test_jobs_that_want_both_devices_get_them_among_others(
    mine: Workspace, site: tuple[str, ...]
) -> None:
    for name in ("backbones/toy", "backbones/wide"):
        mine.write(f"{name}/config.json", "{}")
    toy = (mine.root / "backbones/toy.yaml").read_text()
    wide = toy.replace("name: toy", "name: wide").replace("weights: toy", "weights: wide")
    mine.write("backbones/wide.yaml", wide.replace("gpu: 1", "gpu: 2"))
    mine.edit("experiments/toy.yaml", "[toy]", "[toy, wide]")
    mine.edit("experiments/toy.yaml", "seeds: [0, 1, 2, 3]", "seeds: [0, 1]")
    done = mine.snakemake(*RUN, "--resources", "gpu=8", *site)
    assert done.returncode == 0, done.stdout
    # Slurm must not be asked by --gpus for what --gres has asked for.
    assert ("gpu=0, gres=gpu:2" if site else "gpu=2") in done.stdout
    found = jobs(mine)
    assert sorted(job.wanted for job in found) == [1] * 4 + [2] * 4
    assert_never_shared(found)
    assert_busy(found)


def test_a_killed_job_frees_its_device(
    workspaces: Callable[[str], Workspace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    monkeypatch.setenv("MATCG_LEASES", str(tmp_path / "leases"))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    mine = prepared(workspaces("killed"), seeds=1, seconds=600)
    with (mine.root / "said.txt").open("w") as out:
        arguments = (*RUN, "--resources", "gpu=8", "--keep-going")
        process = start(mine.root, *arguments, session=True, out=out)
        try:
            pid = waited_for(mine, process)
            # The other job reads its step only once it has the device.
            mine.write("workflow/matcg/train/finetune.py", STEP.format(seconds=0))
            os.kill(pid, signal.SIGKILL)
            assert process.wait(timeout=300) == 1
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    (left,) = jobs(mine)
    assert left.devices == ["5"]
    assert left.pid != pid


def waited_for(mine: Workspace, process: subprocess.Popen[str]) -> int:
    """Wait until one job says that it waits for another; return that one's process."""
    end = time.monotonic() + 300
    while time.monotonic() < end and process.poll() is None:
        for path in (mine.root / "logs/finetune").rglob("*.log"):
            text = path.read_text()
            if "waiting for" in text and text.endswith(".log\n"):
                return int(text.split("process ")[1].split(",")[0])
        time.sleep(0.1)
    raise AssertionError((mine.root / "said.txt").read_text())


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ((), "backbone toy: a job asks for gpu=3, but CUDA_VISIBLE_DEVICES=0,1 names 2"),
        (("--resources", "gpu=2"), "gpu=3, but --resources gpu=2 allows 2"),
        (("--resources", "gpu=3"), "Not launched: backbone toy: a job asks for gpu=3, but CUDA"),
    ],
)
def test_a_job_that_wants_more_than_there_are_is_refused(
    mine: Workspace, resources: tuple[str, ...], said: str
) -> None:
    mine.edit("backbones/toy.yaml", "gpu: 1", "gpu: 3")
    done = mine.snakemake(*RUN, *resources)
    assert done.returncode == 1
    assert said in done.stdout
    assert not jobs(mine)
    assert mine.snakemake("-n", *resources).returncode == 0
