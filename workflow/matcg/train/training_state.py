"""One try at a run: what it has done so far, kept so that the next try goes on from there."""

import json
import resource
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

from matcg.errors import StoppedError
from matcg.train import checkpoint
from matcg.train.checkpoint import Checkpoints, State
from matcg.train.lock import Claim
from matcg.train.parallel import World

MetricsRow = dict[str, float | None]
METRICS = "metrics.jsonl"
SAID = 30.0  # seconds between two progress lines
_WIDTH = 20  # characters of a progress bar
SHARE = 20  # training takes at least so many times what writing its checkpoints takes
# A time limit or preemption; what `sbatch --signal=USR1@120` sends before these; Ctrl-C.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Stop:
    """Notes a signal that asks to stop, so that training ends between two steps."""

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Stop":
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.number = number

    def __exit__(self, *raised: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Attempt:
    """Metrics and checkpoints of one try, in a folder that outlives it; the first process writes.

    Args:
        store: where checkpoints are kept.
        minutes: between two checkpoints; None writes one only when asked to stop.
        stop: says whether the process was asked to stop.
        lock: makes sure that no other run writes to the same folders.
        world: the processes that train together.
    """

    def __init__(
        self, store: Checkpoints, minutes: float | None, stop: Stop, lock: Claim, world: World
    ) -> None:
        self.store = store
        self.lock = lock
        self.world = world
        self.stop = stop
        self.rows: list[MetricsRow] = []
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
        if self.world.first:
            self.store.tidy()
        self.world.sum(0)  # nobody reads before that
        state = self.store.read()
        if state:
            checkpoint.restore(model, optimiser, state.tensors)
            self.rows = state.rows
            self.tries, self._before = state.tries + 1, state.seconds
        if self.world.first:
            if state:
                print(f"goes on after step {state.step} from {self.store.folder}", flush=True)
            self.store.folder.mkdir(parents=True, exist_ok=True)
            self.metrics.write_text(_lines(self.rows))
        self._due = time.monotonic() + self._every
        return state.step if state else 0

    def note(self, row: MetricsRow, steps: int) -> None:
        """Add a step's row to the metrics, and now and then a line to the log."""
        self.rows.append(row)
        if not self.world.first:
            return
        with self.metrics.open("a") as stream:
            stream.write(_lines([row]))
        now, done = time.monotonic(), len(self.rows)
        if now - self._said > SAID or done == steps:
            self._said = now
            print(progress(row, done, steps, self.seconds), flush=True)

    def keep(self, model: nn.Module, optimiser: torch.optim.Optimizer, steps: int) -> None:
        """Write a checkpoint where one is due or the process is asked to stop.

        Raises:
            StoppedError: it is asked to stop; says how far it came.
        """
        done = len(self.rows)
        passed = self.world.first and time.monotonic() >= self._due
        # All do the same, whichever of them was signalled.
        stopped, due = map(int, self.world.highest(self.stop.number * (done < steps), passed))
        if not (stopped or due):
            return
        began = time.monotonic()
        tensors = checkpoint.gather(model, optimiser)
        if self.world.first:
            self.lock.check()
            self.store.write(State(done, tensors, self.rows, self.seconds, self.tries))
        else:
            checkpoint.assemble(tensors)
        now = time.monotonic()
        self._due = now + max(self._every, SHARE * (now - began))
        if self.world.first:
            print(f"checkpoint after step {done}, written in {now - began:.2f} s", flush=True)
        if stopped:
            raise StoppedError(
                f"stopped by {signal.Signals(stopped).name} (time limit, preemption or user) after"
                f" step {done} of {steps}; the checkpoint is in {self.store.folder}, and the next"
                " try goes on from there"
            )

    def finish(self, out: Path) -> None:
        """Move the metrics to `out`."""
        self.metrics.replace(out / METRICS)


def progress(row: MetricsRow, done: int, steps: int, seconds: float) -> str:
    """Return a line for the log: a bar, the time left, and what the last step's metrics say."""
    used = f", {row['mfu']:.1%} of peak" if row.get("mfu") else ""
    said = (
        f"loss {row['loss']:.4f}, {row['samples_per_s']} samples/s, {row['tokens_per_s']} tokens/s,"
        f" {row['peak_mb']} MB{used}"
    )
    bar = "#" * (_WIDTH * done // steps)
    left = (steps - done) * seconds / done / 60
    return f"[{bar:.<{_WIDTH}}] step {done} of {steps}, {left:.0f} min left: {said}"


def _lines(rows: list[MetricsRow]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def peak_mb(device: torch.device) -> int:
    """Return the most memory in use so far: on a GPU in tensors, on a CPU by the process (RSS)."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)
