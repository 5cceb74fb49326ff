"""One of the processes that train a run together; `launch` starts it and tells it its part."""

import json
import os
import socket
import sys
from pathlib import Path

from matcg import errors
from matcg.errors import MatcgError, StoppedError
from matcg.train.finetune import produce
from matcg.train.job import Told
from matcg.train.launch import end_with_parent, place
from matcg.train.parallel import Meeting
from matcg.train.tasks import read_mix
from matcg.train.training_state import Stop


def main(file: Path) -> int:
    """Take part in a run; what a user can mend is said in a file for the one that started it.

    Returns 0 where nothing is wrong: others may still write the checkpoint that all stopped for.
    """
    told = Told.model_validate_json(file.read_text(encoding="utf-8"))
    job, meeting = told.job, Meeting(told.host, told.port, told.job.processes, *place())
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    print(f"process {meeting.rank} of {meeting.size} is on {node}", flush=True)
    try:
        with Stop() as stop:
            produce(job, read_mix(job.mix, job.data), told.lock, stop, meeting)
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
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of torch may still run: taking all down beneath them has aborted a finished process.
    os._exit(code)
