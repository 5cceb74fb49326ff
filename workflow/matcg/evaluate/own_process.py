"""Answers for one run from an engine in a process of its own.

On a CPU that is a fork of this process, which has imported the engine's library: with a small
backbone half of what answers take. Neither a GPU's driver nor an engine survives a fork; with them
it is `python -m matcg.evaluate.own_process TASK RESULT`. TASK is JSON (`group.RunTask`). RESULT
gets the replies to the probe and the engine's times, or what was wrong, as JSON.
"""

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from matcg.errors import ConfigError, DataError, MatcgError, ResourceError
from matcg.evaluate import start
from matcg.evaluate.group import Group, RunTask
from matcg.evaluate.question_sets import QuestionSet
from matcg.forms import Reply
from matcg.processes import end_with

ERROR_KINDS = {kind.__name__: kind for kind in (MatcgError, ConfigError, DataError, ResourceError)}


def in_other_process(group: Group, run: str) -> list[tuple[float, ...]]:
    """Let one run answer in another process; return the log-probabilities of the probe.

    Raises:
        MatcgError: as `predict`.
        ResourceError: the process was killed.
    """
    with TemporaryDirectory() as folder:
        task, result = (Path(folder) / f"{name}.json" for name in ("task", "result"))
        task.write_text(group.task(run), encoding="utf-8")
        by_command = group.backbone.resources.gpu or start.started
        status = (_by_command if by_command else _by_fork)(group, task, result)
        told = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
    if "error" in told:
        raise ERROR_KINDS[told["kind"]](told["error"])
    if status or "probe" not in told:
        raise ResourceError(
            f"the engine of run {run} ended (exit status {status}); what had been answered is kept."
            " Its last words are above in the log"
        )
    group.timing.add(told["timing"])
    return [tuple(row) for row in told["probe"]]


def in_own_engine(group: Group, run: str, question_sets: Sequence[QuestionSet]) -> list[Reply]:
    """Answer for one run in an engine that is started for it; return its replies to the probe."""
    with group.whole(run) as weights:
        engine = group.start(weights, question_sets)
        group.answer(run, question_sets, engine)
        replies = group.probe(run, engine)
        engine.close()
    return replies


def _by_fork(group: Group, task: Path, result: Path) -> int | None:
    """Do a task in a fork; return its exit status, below 0 where a signal has ended it."""
    start.prepare_engine(group.backbone, group.engine)
    asked = (os.getpid(), task, result)
    fork = multiprocessing.get_context("fork").Process(target=main, args=asked)
    fork.start()
    fork.join()
    return fork.exitcode


def _by_command(group: Group, task: Path, result: Path) -> int:
    command = [sys.executable, "-m", "matcg.evaluate.own_process", str(task), str(result)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment) as process:
        # The shared engine comes next, and starts sooner so.
        start.prepare_engine(group.backbone, group.engine)
    return process.returncode


def main(parent: int, task_file: Path, result: Path) -> None:
    """Do the task in a file, as a process that `parent` has started."""
    # A job that is killed must not leave an engine behind that holds its device.
    end_with(parent)
    task = RunTask.model_validate_json(task_file.read_text(encoding="utf-8"))
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
    result.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(os.getppid(), *map(Path, sys.argv[1:]))
