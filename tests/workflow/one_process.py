"""Snakemake whose scripts run in its own process: `python one_process.py ARGUMENTS`.

Plan, scheduling and what is kept of jobs are Snakemake's own. Hundreds of calls with jobs that take
no time are so not spent on starting Python. One job at a time: scripts send the output of the
process into their logs.
"""

import sys
import time
from pathlib import Path
from typing import Any

from snakemake import script
from snakemake.cli import main


def execute(step: Any, name: str, edit: bool = False) -> None:
    """Run a script as Snakemake has written it, which starts by unpacking its parameters."""
    del edit
    begun, path = time.perf_counter(), list(sys.path)
    code = compile(Path(name).read_text(), name, "exec")
    exec(code, {"__name__": "__main__", "__file__": name})
    sys.path[:] = path  # which each script makes longer by itself
    if step.bench_record:
        step.bench_record.running_time = time.perf_counter() - begun


script.PythonScript.execute_script = execute
if __name__ == "__main__":
    sys.argv[0] = "snakemake"
    main()
