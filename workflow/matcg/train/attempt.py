"""One try at a run: what it has done so far, kept so that the next try goes on from there."""

import errno
import json
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import nn

from matcg.errors import ResourceError, StoppedError
from matcg.train import checkpoint
from matcg.train.checkpoint import State, Store
from matcg.train.lock import Lock

METRICS = "metrics.jsonl"
SAID = 30.0  # seconds between two progress lines
SHARE = 20  # training takes at least so many times what writing its checkpoints takes
FULL = (errno.ENOSPC, errno.EDQUOT)
# A time limit or preemption; what `sbatch --signal=USR1@120` sends before these; Ctrl-C.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Stop:
    """Notes a signal that asks to stop, so that training ends between two steps."""

    def __init__(self) -> None:
        self.name = ""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Stop":
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.name = signal.Signals(number).name

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Attempt:
    """Metrics and checkpoints of one try, in a folder that outlives it.

    Args:
        store: where checkpoints are kept.
        minutes: between two checkpoints; None writes one only when asked to stop.
        stop: says whether the process was asked to stop.
        lock: makes sure that no other process writes to the same folders.
    """

    def __init__(self, store: Store, minutes: float | None, stop: Stop, lock: Lock) -> None:
        self.store = store
        self.lock = lock
        self.stop = stop
        self.rows: list[dict[str, float]] = []
        self.tries = 1
        self._every = 60 * minutes if minutes is not None else float("inf")
        self._began = self._said = time.monotonic()
        self._before = 0.0  # seconds that earlier tries spent on the steps that are kept
        self._due = self._began + self._every

    @property
    def seconds(self) -> float:
        """Return the time spent, earlier tries included, without what they lost."""
        return self._before + time.monotonic() - self._began

    @property
    def metrics(self) -> Path:
        """Return the file of rows that can be looked at while training goes on."""
        return self.store.folder / METRICS

    def resume(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> int:
        """Return the number of steps done, with their state in model and optimiser."""
        state = self.store.read()
        if state:
            checkpoint.restore(model, optimiser, state.tensors)
            self.rows = state.rows
            self.tries, self._before = state.tries + 1, state.seconds
            print(f"goes on after step {state.step} from {self.store.folder}", flush=True)
        self.store.folder.mkdir(parents=True, exist_ok=True)
        self.metrics.write_text(_lines(self.rows))
        self._due = time.monotonic() + self._every
        return state.step if state else 0

    def note(self, row: dict[str, float], steps: int) -> None:
        """Add a step's row to the metrics, and now and then a line to the log."""
        self.rows.append(row)
        with self.metrics.open("a") as stream:
            stream.write(_lines([row]))
        now, done = time.monotonic(), len(self.rows)
        if now - self._said > SAID or done == steps:
            self._said = now
            left = (steps - done) * self.seconds / done / 60
            print(
                f"step {done} of {steps}: loss {row['loss']:.4f}, {row['samples_per_s']} samples/s,"
                f" {row['tokens_per_s']} tokens/s, {row['peak_mb']} MB, {left:.0f} min left",
                flush=True,
            )

    def keep(self, model: nn.Module, optimiser: torch.optim.Optimizer, steps: int) -> None:
        """Write a checkpoint where one is due or the process is asked to stop.

        Raises:
            StoppedError: it is asked to stop; says how far it came.
        """
        done = len(self.rows)
        stopped = self.stop.name if done < steps else ""
        if not (stopped or time.monotonic() >= self._due):
            return
        self.lock.check()
        began = time.monotonic()
        tensors = checkpoint.gather(model, optimiser)
        self.store.write(State(done, tensors, self.rows, self.seconds, self.tries))
        now = time.monotonic()
        self._due = now + max(self._every, SHARE * (now - began))
        print(f"checkpoint after step {done}, written in {now - began:.2f} s", flush=True)
        if stopped:
            raise StoppedError(
                f"stopped by {stopped} (time limit, preemption or user) after step {done} of"
                f" {steps}; the checkpoint is in {self.store.folder}, and the next try goes on"
                " from there"
            )

    def finish(self, out: Path) -> None:
        """Move the metrics to `out`."""
        self.metrics.replace(out / METRICS)

    def clear(self) -> None:
        """Remove the checkpoints, once nothing needs them."""
        for path in self.store.folder.glob("checkpoint-*"):
            shutil.rmtree(path)
        self.metrics.unlink(missing_ok=True)


def _lines(rows: list[dict[str, float]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def peak_mb(device: torch.device) -> int:
    """Return the most memory in use so far: on a GPU in tensors, on a CPU by the process (RSS)."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Say what to free where the disk is full while the body runs.

    Raises:
        ResourceError: no space, or quota, is left on the disk of `folder`.
    """
    try:
        yield
    except Exception as error:
        # safetensors gives the system's number in its text only.
        number = getattr(error, "errno", None)
        if number not in FULL and not any(f"(os error {n})" in str(error) for n in FULL):
            raise
        free = -1
        with suppress(OSError):
            free = shutil.disk_usage(folder).free >> 20
        raise ResourceError(
            f"{folder}: the disk is full ({free} MB free). Free some (results/plan/unused.tsv names"
            " what no plan uses) and call again: training goes on from its last checkpoint"
        ) from None
