"""A run that is trained on two nodes of a Slurm: both daemons are on this machine."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import Cluster, call
from data_makers import folder, write_mix
from matcg.config.library import load
from matcg.phantom.world import generate
from matcg.samples import read_samples

pytestmark = pytest.mark.slow("each job starts torch in three processes")

NODES = 2
ROOT = Path(__file__).parents[2]
SUBSET = "ct-brain-state"
TRAIN = """
import sys
from pathlib import Path
from matcg.config.backbone import Recipe
from matcg.config.library import load
from matcg.train.finetune import finetune

place, out, nodes = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
backbone = load("backbone", Path(sys.argv[4]))
recipe = Recipe(learning_rate=1e-3, epochs=int(sys.argv[5]), batch_size=5)
finetune(place / "mix.parquet", place, backbone, recipe, 0, out, threads=1, nodes=nodes)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a mix of eleven samples, their data, and what trains on them."""
    root = tmp_path_factory.mktemp("nodes")
    catalog = load("catalog", ROOT / "catalogs" / "phantom.yaml")
    folder(root, SUBSET, list(generate(catalog.subset(SUBSET), {"seed": 0}, "train", 11)))
    write_mix(root / "mix.parquet", read_samples(root / SUBSET / "train.parquet"))
    (root / "train.py").write_text(TRAIN)
    return root


def command(place: Path, nodes: int, epochs: int = 2, name: str = "run") -> list[str]:
    out = place / f"{name}-{nodes}"
    out.mkdir(exist_ok=True)
    backbone = ROOT / "backbones" / "tiny-llava.yaml"
    code = f"PYTHONPATH={ROOT / 'workflow'} {sys.executable} {place / 'train.py'}"
    return ["bash", "-c", f"{code} {place} {out} {nodes} {backbone} {epochs}"]


def submit(
    place: Path, log: Path, line: list[str], *how: str
) -> "subprocess.CompletedProcess[str]":
    """Submit a command as a job of two nodes."""
    script = place / "job.sh"
    script.write_text(f"#!/bin/bash\n{line[-1]}\n")
    asked = ("--nodes=2", "--ntasks=2", "--cpus-per-task=1", "--mem=4000", "--no-requeue")
    return call("sbatch", *asked, *how, f"--output={log}", str(script))


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def wait(ready: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.1)


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_two_nodes_train_one_run_as_one_process_does(slurm: Cluster, place: Path) -> None:
    assert len(slurm.names) == 2
    log = place / "whole.log"
    assert submit(place, log, command(place, 2), "--wait").returncode == 0, log.read_text()
    said = log.read_text()
    assert all(f"process {n} of 2 is on {name}\n" in said for n, name in enumerate(slurm.names))
    subprocess.run(command(place, 1), check=True)
    one, two = place / "run-1", place / "run-2"
    assert losses(two) == pytest.approx(losses(one), abs=1e-4)
    records = [json.loads((out / "provenance.json").read_text()) for out in (one, two)]
    assert [record["processes"] for record in records] == [1, 2]


def test_a_signal_reaches_the_processes_on_all_nodes(slurm: Cluster, place: Path) -> None:
    assert len(slurm.names) == 2
    log = place / "stopped.log"
    line = command(place, 2, epochs=300, name="long")
    job = submit(place, log, line, "--parsable").stdout.strip()
    unfinished = place / "long-2" / "unfinished"
    wait(lambda: len(lines(unfinished / "metrics.jsonl")) > 3)
    call("scancel", "--signal=USR1", job)
    wait(lambda: call("squeue", "-h", "-j", job, "-t", "R,CG").stdout == "")
    assert "stopped by SIGUSR1" in log.read_text()
    (kept,) = unfinished.glob("checkpoint-*")
    done = len(lines(unfinished / "metrics.jsonl"))
    assert kept.name == f"checkpoint-{done:08d}"
    assert 3 < done < 900


def test_nodes_outside_of_an_allocation_are_refused(place: Path) -> None:
    done = subprocess.run(command(place, 3), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "nodes=3: a run is trained on several nodes in a Slurm allocation" in done.stderr
