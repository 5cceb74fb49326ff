"""Answers for one run in a process of its own: `python -m matcg.evaluate.own_process TASK RESULT`.

TASK is JSON (`predict.RunTask`). RESULT gets the replies to the probe and the engine's times, or
what was wrong, as JSON.
"""

import ctypes
import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from matcg.errors import MatcgError
from matcg.evaluate.group import RunTask
from matcg.evaluate.predict import ERROR_KINDS, in_own_engine

PR_SET_PDEATHSIG = 1


def main(task_file: str, result: str) -> int:
    """Do the task in a file."""
    parent = os.getppid()
    # A job that is killed must not leave an engine behind that holds its device.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 1
    task = RunTask.model_validate_json(Path(task_file).read_text(encoding="utf-8"))
    group = task.group()
    try:
        replies = in_own_engine(group, task.run, group.missing().get(task.run, []))
    except MatcgError as error:
        name = type(error).__name__
        kind = name if name in ERROR_KINDS else MatcgError.__name__
        told: dict[str, object] = {"error": str(error), "kind": kind}
    else:
        told = {
            "probe": [reply.logprobs for reply in replies],
            "timing": asdict(group.timing),
        }
    Path(result).write_text(json.dumps(told), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
