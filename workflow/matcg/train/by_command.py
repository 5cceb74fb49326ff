"""Training by a command of the backbone's own, in the place of the loop.

It is given a mix as `export.py` writes it, with settings.json beside it: recipe and seed.
"""

import json
import shutil
import time
from collections.abc import Sequence

from matcg.errors import MatcgError
from matcg.models.commands import run_command
from matcg.models.identity import files_below
from matcg.provenance import begin, device_name
from matcg.train.export import export
from matcg.train.job import Job
from matcg.train.lock import Claim
from matcg.train.record import record_run
from matcg.train.tasks import TrainingSample
from matcg.train.training_state import METRICS, Stop

SETTINGS = "settings.json"


def by_command(job: Job, tasks: Sequence[TrainingSample], lock: Claim, stop: Stop) -> None:
    """Let the command train; the metrics say no more, since it keeps its own.

    Raises:
        ConfigError: it cannot be started.
        MatcgError: it failed, or wrote no weights.
        StoppedError: it was asked to stop; the next try begins anew.
    """
    begin()
    begun = time.perf_counter()
    data, weights = (job.store / "data").absolute(), (job.out / "weights").absolute()
    for folder in (data, weights):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    export(tasks, job.backbone, data)
    settings = {"recipe": job.recipe.model_dump(mode="json"), "seed": job.seed}
    (data / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    places = {"weights": job.backbone.weights, "data": str(data), "out": str(weights)}
    run_command(job.backbone, "train", places, lambda: stop.number)
    if not files_below(weights):
        raise MatcgError(
            f"{job.backbone.where}: commands.train: has written no weights to {{out}}, {weights}"
        )
    lock.check()
    shutil.rmtree(data)
    (job.out / METRICS).write_text(json.dumps({"command": True}) + "\n", encoding="utf-8")
    record_run(
        job,
        samples=len(tasks),
        threads=job.threads,
        device=device_name(bool(job.leased)),
        seconds=round(time.perf_counter() - begun, 2),
        tries=1,
    )
