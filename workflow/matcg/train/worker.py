"""One of the processes that train a run together; `launch` starts it and tells it its part."""

import json
import sys
from pathlib import Path
from typing import Any

from matcg import errors
from matcg.config import Backbone, Recipe
from matcg.errors import MatcgError
from matcg.train.attempt import Stop
from matcg.train.finetune import Job, produce
from matcg.train.launch import end_with_parent
from matcg.train.lock import Claim
from matcg.train.parallel import Meeting
from matcg.train.tasks import read_mix


def job_of(plain: dict[str, Any]) -> Job:
    """Return the job that `launch.as_json` wrote."""
    paths = {name: Path(plain[name]) for name in ("mix", "data", "out", "store")}
    backbone = Backbone.model_validate_json(plain["backbone"])
    recipe = Recipe.model_validate_json(plain["recipe"])
    leased = tuple(plain["leased"])
    return Job(**{**plain, **paths, "backbone": backbone, "recipe": recipe, "leased": leased})


def main(spec: dict[str, Any]) -> int:
    """Take part in a run; what a user can mend is said in a file for the one that started it."""
    meeting = Meeting(**spec["meeting"])
    path, token = spec["lock"]
    job = job_of(spec["job"])
    try:
        with Stop() as stop:
            produce(job, read_mix(job.mix, job.data), Claim(Path(path), token), stop, meeting)
    except MatcgError as error:
        # What it is raised as again is one of those that every module knows.
        kind = next(each.__name__ for each in type(error).__mro__ if hasattr(errors, each.__name__))
        said = {"kind": kind, "text": str(error)}
        file = Path(spec["said"]) / f"{meeting.rank}.json"
        file.with_suffix(".part").write_text(json.dumps(said), encoding="utf-8")
        file.with_suffix(".part").rename(file)
        return 1
    return 0


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(json.load(sys.stdin)))
