"""Watches a training loop from its optimiser: the same clock for every tool that is measured.

PyTorch calls a hook after every step of any optimiser, so that no tool needs to be changed. Imports
neither matcg nor transformers: other tools' environments run it too.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Enough(BaseException):
    """Ends a training after its last measured step; passes what catches exceptions."""


class Steps:
    """Times the steps after the first `warm` ones.

    Args:
        warm: steps that are not measured: memory is gathered, kernels are chosen.
        last: number of the step after which training ends by `Enough`; None lets it go on.
        begin: called after the warm steps, before the clock starts.
        settle: called before the clock is read, where work may still be under way.
    """

    def __init__(
        self,
        warm: int = 1,
        last: int | None = None,
        begin: Callable[[], object] = lambda: None,
        settle: Callable[[], object] = lambda: None,
    ) -> None:
        from torch.optim.optimizer import register_optimizer_step_post_hook

        self.done = 0
        self.began = self.ended = self.cpu_began = self.cpu_ended = 0.0
        self.seen: dict[str, Any] = {}
        self._warm, self._last, self._begin, self._settle = warm, last, begin, settle
        register_optimizer_step_post_hook(self._after)

    @property
    def seconds(self) -> float:
        """Return the seconds of all measured steps."""
        return self.ended - self.began

    @property
    def cpu_seconds(self) -> float:
        """Return what this process had of the cores meanwhile, all its threads together."""
        return self.cpu_ended - self.cpu_began

    @property
    def measured(self) -> int:
        """Return how many steps were measured."""
        return self.done - self._warm

    def _after(self, optimiser: Any, *_: object) -> None:
        self.done += 1
        if self.done < self._warm:
            return
        if self.done == self._warm:
            self._note(optimiser)
            self._begin()
        self._settle()
        self.ended, self.cpu_ended = time.perf_counter(), time.process_time()
        if self.done == self._warm:
            self.began, self.cpu_began = self.ended, self.cpu_ended
        if self.done == self._last:
            raise Enough

    def _note(self, optimiser: Any) -> None:
        """Note what is trained, and by what."""
        trained = [each for group in optimiser.param_groups for each in group["params"]]
        fused = " fused" if optimiser.defaults.get("fused") else ""
        self.seen = {
            "parameters": sum(each.numel() for each in trained),
            "types": sorted({str(each.dtype) for each in trained}),
            "optimiser": type(optimiser).__name__ + fused,
        }


def keep_to_cores(threads: int) -> None:
    """Keep this process, helper threads included, to as many cores as it may have threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def peak_mb() -> int:
    """Return the most resident memory of this process in MB; a parent's pages do not count."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kibibytes = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    return round(int(kibibytes) / 1024)
