"""Fine-tunes as the script does, in a process that comes to harm at a chosen step.

Run as `python harmed_training.py '{...}'`, with the arguments of `main` as JSON. The harm is real:
the process sends itself a signal, or is left without memory.
"""

import json
import os
import resource
import signal
import sys
from pathlib import Path

import psutil

from matcg.cluster.devices import lease
from matcg.config.backbone import Backbone, Recipe
from matcg.steps.script import logged
from matcg.train import checkpoint, loop
from matcg.train import training_state as attempt
from matcg.train.finetune import finetune

# Bytes for what has no way to say that memory has ended, such as threads and the tokeniser, and
# less than one layer of the enlarged batch needs.
ROOM = 20_000_000


def main(
    mix: str,
    data: str,
    backbone: str,
    recipe: str,
    out: str,
    log: str,
    often: bool,
    harm: dict,
    devices: int = 0,
) -> None:
    """Train; `often` writes a checkpoint after every step, otherwise after the first one only.

    With `devices` so many processes train, and none of them comes to harm.
    """
    attempt.SHARE = 0 if often else 1_000_000
    before_step(harm)
    if "write" in harm:
        kill_in_checkpoint(harm["write"])
    with logged(log), lease(devices, log):
        finetune(
            Path(mix),
            Path(data),
            Backbone.model_validate_json(backbone),
            Recipe.model_validate_json(recipe),
            seed=0,
            out=Path(out),
            threads=1,
            minutes=1e-9,
        )


def before_step(harm: dict) -> None:
    """Send a signal, or ask for more memory than there is, before step `harm["step"]`."""
    made = loop.step_of

    def step_of(number, batch, micro, *rest):
        if number == harm.get("step"):
            if harm.get("signal"):
                os.kill(os.getpid(), signal.Signals[harm["signal"]])
            else:
                used = psutil.Process().memory_info().vms
                resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, resource.RLIM_INFINITY))
                # What earlier steps freed would do for another one like them.
                batch, micro = [*batch] * 50, 50 * micro
        return made(number, batch, micro, *rest)

    loop.step_of = step_of


def kill_in_checkpoint(number: int) -> None:
    """Kill the process when the tensors of that checkpoint are written and its record is not."""
    write = checkpoint._write
    records = 0

    def counted(path: Path, content: bytes) -> None:
        nonlocal records
        if path.name == checkpoint.STATE_FILE:
            records += 1
            if records == number:
                os.kill(os.getpid(), signal.SIGKILL)
        write(path, content)

    checkpoint._write = counted


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
