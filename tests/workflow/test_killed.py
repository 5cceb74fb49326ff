"""What is lost when a job or Snakemake itself is killed: that job's work, and no other."""

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from repository import SMALL, snakemake, start

from matcg.train.lock import read_holder

pytestmark = pytest.mark.slow(
    "real fine-tunings one after the other, since one of them is to be killed"
)

RUNS = 3  # of those of the small experiment
LIMIT = 600  # seconds until a run is being fine-tuned, after another one on one core


def fine_tuning(process: subprocess.Popen[str], folder: Path) -> psutil.Process:
    """Wait until a run is finished and the next one is being trained; return its process.

    Which one that is says the run's lock: when a process began is known to a second only.
    """
    end = time.monotonic() + LIMIT
    while time.monotonic() < end and process.poll() is None:
        for lock in folder.glob("results/runs/*/*/*/*/unfinished/lock.json"):
            holder = read_holder(lock)
            ended = (lock.parents[1] / "provenance.json").exists()
            if holder and finished(folder) and not ended:
                with suppress(psutil.NoSuchProcess):
                    return psutil.Process(holder.pid)
        time.sleep(0.1)
    raise AssertionError((folder / "said.txt").read_text())


def finished(folder: Path) -> dict[Path, int]:
    """Return when each run's record was written, in nanoseconds."""
    found = folder.glob("results/runs/*/*/*/*/provenance.json")
    return {path: path.stat().st_mtime_ns for path in found}


def test_a_killed_job_fails_alone_and_is_made_again(copy_of_small_run: Path) -> None:
    folder = copy_of_small_run
    paths = sorted(str(path.relative_to(folder)) for path in finished(folder))
    trained = (*paths[:RUNS], *SMALL)
    shutil.rmtree(folder / "results/runs")
    with (folder / "said.txt").open("w") as out:
        process = start(folder, "--cores", "1", *trained, session=True, out=out)
        training = fine_tuning(process, folder)
        assert "matcg.steps.fork_server" in training.cmdline()
        training.kill()
        assert process.wait() == 1
    log = r"logs/finetune/tiny-llava-[0-9a-f]{8}/full-[0-9a-f]{8}/"
    assert re.search(log, (folder / "said.txt").read_text())
    kept = finished(folder)
    assert kept

    # Snakemake has no time to tidy up when it is killed itself.
    with (folder / "said.txt").open("w") as out:
        process = start(folder, "--cores", "1", *trained, session=True, out=out)
        fine_tuning(process, folder)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    locked = snakemake(folder, "--cores", "1", *trained)
    assert locked.returncode == 1
    assert "--unlock" in locked.stdout
    assert snakemake(folder, *SMALL, "--unlock").returncode == 0
    done = snakemake(folder, "--cores", "2", *trained)
    assert done.returncode == 0, done.stdout
    now = finished(folder)
    assert len(now) == RUNS > len(kept)
    assert {path: now[path] for path in kept} == kept
