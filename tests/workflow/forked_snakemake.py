"""Snakemake in forks of a process that has imported it: `python forked_snakemake.py [MODULE...]`.

Most of what a dry run of a small workflow takes is imports, as is half of a short fine-tuning: the
modules named are imported too, and the library of the call's folder, as it is. Plan, jobs and what
is kept of them are Snakemake's own. Each line of stdin is a call as JSON: a list of the folder, the
arguments, the environment, the file that takes all output, and where scripts run (a key of
`SCRIPTS`). Each line of stdout is the exit status of a call.
"""

import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

# What Snakemake imports when it reads a Snakefile, and our scripts when they start.
import nbformat.v4  # noqa: F401
import numpy as np  # noqa: F401
import pandas as pd  # noqa: F401
import pyarrow.parquet as pq  # noqa: F401
import smart_open  # noqa: F401
from snakemake import assets, cli, profiles, script, storage  # noqa: F401
from snakemake.report import html_reporter  # noqa: F401


def main() -> None:
    """Serve calls, one at a time, until stdin ends."""
    # A library that is edited and put back within a second would be taken for the edited one.
    sys.dont_write_bytecode = True
    for name in sys.argv[1:]:
        importlib.import_module(name)
    cli.get_argument_parser()  # what it finds of plugins is kept
    known: dict[Path, int] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        known = library(Path(asked[0]) / "workflow", known)
        child = os.fork()
        if not child:
            call(*asked)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def library(workflow: Path, known: dict[Path, int]) -> dict[Path, int]:
    """Have a folder's library imported as it is; return its files with their times.

    That is a third of a dry run. `known` is what was returned by the call before.
    """
    files = {path: path.stat().st_mtime_ns for path in workflow.glob("matcg/**/*.py")}
    if files != known:
        for name in [name for name in sys.modules if name.partition(".")[0] == "matcg"]:
            del sys.modules[name]  # of another folder, or the one that is installed, by torch
        sys.path.insert(0, str(workflow))
        with suppress(Exception):  # said by the Snakefile, which imports it again
            for name in ("config.project", "steps.experiments", "steps.launch_checks"):
                importlib.import_module(f"matcg.{name}")
        sys.path.remove(str(workflow))
    return files


def call(
    folder: str, arguments: list[str], environment: dict[str, str], out: str, scripts: str
) -> None:
    """Be the command `snakemake`, and end."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = False
    with Path(out).open("w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    os.environ["MATCG_FORKS"] = "no"  # toy steps import nothing, and real ones run in forks of ours
    if scripts:
        script.PythonScript.execute_script = SCRIPTS[scripts]
    sys.path[0] = folder
    sys.argv = ["snakemake", *arguments]
    try:
        cli.main()
    finally:
        sys.stdout.flush()


def execute(step: Any, name: str, edit: bool = False) -> None:
    """Run a script as Snakemake has written it, which starts by unpacking its parameters.

    Only for one job at a time: scripts send the output of the process into their logs.
    """
    del edit
    begun, path = time.perf_counter(), list(sys.path)
    code = compile(Path(name).read_text(), name, "exec")
    exec(code, {"__name__": "__main__", "__file__": name})
    sys.path[:] = path  # which each script makes longer by itself
    if step.bench_record:
        step.bench_record.running_time = time.perf_counter() - begun


def execute_in_fork(step: Any, name: str, edit: bool = False) -> None:
    """Run a script in a fork, the only thread of which is its main one.

    Not prediction: vLLM looks at all that is imported, and stumbles over Snakemake's proxies.
    """
    if name.endswith(".predict.py"):
        return EXECUTE(step, name, edit)
    child = os.fork()
    if not child:
        status = 1
        try:
            execute(step, name, edit)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if status:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), name)
    if step.bench_record:
        step.bench_record.running_time = 1.0
    return None


EXECUTE = script.PythonScript.execute_script
SCRIPTS = {"inside": execute, "forks": execute_in_fork}

if __name__ == "__main__":
    main()
