"""One of the processes that train a run together; `launch` starts it and tells it its part."""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from matcg import errors
from matcg.config.backbone import Backbone, Recipe
from matcg.errors import MatcgError, StoppedError
from matcg.train.finetune import produce
from matcg.train.job import Job
from matcg.train.launch import end_with_parent, meeting_of
from matcg.train.lock import Claim
from matcg.train.tasks import read_mix
from matcg.train.training_state import Stop


def job_of(plain: dict[str, Any]) -> Job:
    """Return the job that `launch.as_json` wrote."""
    paths = {name: Path(plain[name]) for name in ("mix", "data", "out", "store")}
    backbone = Backbone.model_validate_json(plain["backbone"])
    recipe = Recipe.model_validate_json(plain["recipe"])
    leased = tuple(plain["leased"])
    return Job(**{**plain, **paths, "backbone": backbone, "recipe": recipe, "leased": leased})


def main(file: Path) -> int:
    """Take part in a run; what a user can mend is said in a file for the one that started it.

    Returns 0 where nothing is wrong: others may still write the checkpoint that all stopped for.
    """
    spec = json.loads(file.read_text(encoding="utf-8"))
    meeting = meeting_of(spec)
    path, token = spec["lock"]
    job = job_of(spec["job"])
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    print(f"process {meeting.rank} of {meeting.size} is on {node}", flush=True)
    try:
        with Stop() as stop:
            produce(job, read_mix(job.mix, job.data), Claim(Path(path), token), stop, meeting)
    except MatcgError as error:
        # What it is raised as again is one of those that every module knows.
        kind = next(each.__name__ for each in type(error).__mro__ if hasattr(errors, each.__name__))
        part = file.with_name(f"said-{meeting.rank}.part")
        part.write_text(json.dumps({"kind": kind, "text": str(error)}), encoding="utf-8")
        part.rename(part.with_suffix(".json"))
        return 0 if isinstance(error, StoppedError) else 1
    return 0


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(Path(sys.argv[1])))
