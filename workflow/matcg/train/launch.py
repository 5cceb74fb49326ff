"""Starts a process for each device of a run, passes signals on, and tells what stopped them.

Not torchrun: it gives processes half a minute after a signal, and a checkpoint may take longer.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from matcg import errors
from matcg.errors import ConfigError, MatcgError, ResourceError, StoppedError
from matcg.train.job import Job, Told
from matcg.train.lock import Claim
from matcg.train.parallel import HERE, meeting_store
from matcg.train.training_state import Stop

SPEC = "processes.json"  # what the processes are told, in the folder of the unfinished run
RANK = "MATCG_RANK"
_POLL = 0.1  # seconds between two looks at the processes
_GRACE = 10.0  # seconds that the others get to end by themselves, once one of them has failed

Child = subprocess.Popen[bytes]


def launch(job: Job, lock: Claim, stop: Stop) -> None:
    """Train a run with as many processes as it has devices; return when its outputs are there.

    Raises:
        ConfigError: it asks for several nodes outside of a Slurm allocation of so many.
        MatcgError: what stopped one of the processes.
        RuntimeError: one failed otherwise; its traceback is in the log.
    """
    _check_nodes(job.nodes)
    here = HERE if job.nodes == 1 else socket.gethostname()
    meeting = meeting_store()
    spec = job.store / SPEC
    said = {rank: spec.with_name(f"said-{rank}.json") for rank in range(job.processes)}
    told = Told(job=job, lock=lock, host=here, port=meeting.port)
    spec.write_text(told.model_dump_json(), encoding="utf-8")
    children: list[Child] = []
    try:
        if job.nodes == 1:
            children += [_start(spec, rank) for rank in said]
        else:
            children.append(_start_on_nodes(spec, job))
        _watch(children, stop)
        _raise_first(list(said.values()), [child.returncode for child in children], stop)
    finally:
        for child in children:
            child.kill()
            child.wait()
        for file in (spec, *said.values()):
            file.unlink(missing_ok=True)


def _check_nodes(nodes: int) -> None:
    there = int(os.environ.get("SLURM_JOB_NUM_NODES", "1"))
    if nodes > there:
        raise ConfigError(
            f"nodes={nodes}: a run is trained on several nodes in a Slurm allocation of so many,"
            f" and this one has {there}; see docs/finetuning.md, or leave it out"
        )


def _environment() -> dict[str, str]:
    """Return this process's environment, in which Python finds this package."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


def _command(spec: Path) -> list[str]:
    return [sys.executable, "-m", "matcg.train.worker", str(spec)]


def _start(spec: Path, rank: int) -> Child:
    return subprocess.Popen(_command(spec), env={**_environment(), RANK: str(rank)})


def _start_on_nodes(spec: Path, job: Job) -> Child:
    """Start all processes as one step of the Slurm job that this process runs in."""
    each = job.processes // job.nodes
    step = [
        *("srun", "--overlap", "--kill-on-bad-exit=1", "--mem=0", "--cpu-bind=none"),
        *(f"--nodes={job.nodes}", f"--ntasks={job.processes}", f"--ntasks-per-node={each}"),
        f"--cpus-per-task={max(1, job.threads // each)}",
    ]
    # What was asked for this process alone must not shape the step.
    kept = {k: v for k, v in _environment().items() if not k.startswith(("SLURM_", "SRUN_"))}
    kept["SLURM_JOB_ID"] = os.environ["SLURM_JOB_ID"]
    return subprocess.Popen([*step, *_command(spec)], env=kept)


def place() -> tuple[int, int]:
    """Return this process's rank, and that among those of its host, as it was started with."""
    if RANK in os.environ:
        return int(os.environ[RANK]), int(os.environ[RANK])
    return int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_LOCALID"])


def _watch(children: Sequence[Child], stop: Stop) -> None:
    """Wait until all have ended, or one has failed and the others have had time to end too."""
    passed, failed = 0, float("inf")
    while time.monotonic() < failed + _GRACE:
        codes = [child.poll() for child in children]
        if all(code is not None for code in codes):
            return
        if any(codes):
            failed = min(failed, time.monotonic())
        if stop.number != passed:
            passed = stop.number
            for child in children:
                with suppress(ProcessLookupError):
                    child.send_signal(passed)
        time.sleep(_POLL)


def _raise_first(said: Sequence[Path], codes: Sequence[int | None], stop: Stop) -> None:
    """Raise what a process said that failed; one that stood still for the others says less."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in said if file.exists()]
    found.sort(key=lambda error: error["kind"] == StoppedError.__name__)
    for error in found:
        kind: type[MatcgError] = getattr(errors, error["kind"])
        raise kind(error["text"])
    if any(codes) and stop.number:
        name = signal.Signals(stop.number).name
        raise StoppedError(f"stopped by {name} before the first step; call again")
    for rank, code in enumerate(codes):
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            raise ResourceError(
                f"process {rank} of {len(codes)} was killed ({name}); where nobody did that, memory"
                " has ended: raise `mem_mb` in the backbone's resources"
            )
    if any(codes):
        raise RuntimeError(f"processes ended with status {list(codes)}; see their tracebacks above")


def end_with_parent() -> None:
    """End this process soon after the one that started it, however that ended."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
