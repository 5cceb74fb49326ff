"""Starts a process for each device of a job, passes signals on, and tells what stopped them.

Not torchrun: it gives processes half a minute after a signal, and a checkpoint may take longer.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from matcg import errors
from matcg.errors import MatcgError, ResourceError, StoppedError
from matcg.train.lock import Claim
from matcg.train.parallel import Meeting, host

if TYPE_CHECKING:
    from matcg.train.attempt import Stop
    from matcg.train.finetune import Job

POLL = 0.1  # seconds between two looks at the processes
GRACE = 10.0  # seconds that the others get to end by themselves, once one of them has failed


def launch(job: "Job", lock: Claim, stop: "Stop") -> None:
    """Train a run with as many processes as it has devices; return when its outputs are there.

    Raises:
        MatcgError: what stopped one of them.
        RuntimeError: one failed otherwise; its traceback is in the log.
    """
    meeting = host()
    with TemporaryDirectory() as said:
        spec = {"job": as_json(job), "lock": [str(lock.path), lock.token], "said": said}
        children = [
            _start(spec, meeting.port, rank, job.processes) for rank in range(job.processes)
        ]
        try:
            _watch(children, stop)
        finally:
            for child in children:
                child.kill()
                child.wait()
        _raise_first(Path(said), [child.returncode for child in children])


def as_json(job: "Job") -> dict[str, Any]:
    """Return a job as JSON can hold it."""
    plain = {field: getattr(job, field) for field in job.__slots__}
    for field in ("mix", "data", "out", "store"):
        plain[field] = str(plain[field])
    for field in ("backbone", "recipe"):
        plain[field] = plain[field].model_dump_json()
    return plain


def _start(spec: dict[str, Any], port: int, rank: int, size: int) -> "subprocess.Popen[str]":
    meeting = Meeting(port, rank, size)
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    child = subprocess.Popen(
        [sys.executable, "-m", "matcg.train.worker"],
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert child.stdin is not None
    with child.stdin as stream:
        stream.write(json.dumps({**spec, "meeting": asdict(meeting)}))
    return child


def _watch(children: Sequence["subprocess.Popen[str]"], stop: "Stop") -> None:
    """Wait until all have ended, or one has failed and the others have had time to end too."""
    passed, failed = 0, float("inf")
    while time.monotonic() < failed + GRACE:
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
        time.sleep(POLL)


def _raise_first(said: Path, codes: Sequence[int]) -> None:
    """Raise what a process said that failed; one that stood still for the others says less."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(said.iterdir())]
    found.sort(key=lambda error: error["kind"] == StoppedError.__name__)
    for error in found:
        kind: type[MatcgError] = getattr(errors, error["kind"])
        raise kind(error["text"])
    for rank, code in enumerate(codes):
        if code == -signal.SIGKILL and not all(c == code for c in codes):
            raise ResourceError(
                f"process {rank} of {len(codes)} was killed; where nobody did that, memory has"
                " ended: raise `mem_mb` in the backbone's resources"
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
