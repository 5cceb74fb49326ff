"""A copy of the repository in which a real run of the whole workflow takes place."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
SMALL = ("--configfile", "tests/configs/small.yaml")
LEFT_OUT = (
    ".git", ".venv", ".*_cache", ".snakemake", "results", "logs", "__pycache__", "*.egg-info",
)  # fmt: skip


def fresh_copy(folder: Path) -> Path:
    """Copy the repository without anything that was made in it."""
    copy = folder / "matcg"
    made = shutil.ignore_patterns(*LEFT_OUT)

    def left_out(place: str, names: list[str]) -> set[str]:
        # A folder of the same name belongs to the library; this one holds a user's images.
        images = {"data"} if Path(place) == ROOT else set()
        return made(place, names) | images & set(names)

    shutil.copytree(ROOT, copy, ignore=left_out)
    return copy


def environment() -> dict[str, str]:
    """Return the environment without the variables of a Snakemake that runs these tests.

    And so that what a copy's first process compiles is there for all others.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SNAKEMAKE")}
    return {k: v for k, v in kept.items() if k != "PYTHONDONTWRITEBYTECODE"}


def start(
    folder: Path, *arguments: str, session: bool = False, out: IO[str] | None = None
) -> subprocess.Popen[str]:
    """Start Snakemake, its stdout and stderr one text; in a session of its own where asked.

    Without `out` the text goes into a pipe, which must be read: a full one stops Snakemake.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=folder,
        env=environment(),
        stdout=out or subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=session,
    )


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake and return what it said."""
    process = start(folder, *arguments, session=True)
    try:
        said, _ = process.communicate()
    except BaseException:  # a test's time is over, or the user's patience: jobs end too
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, said)


def tables(folder: Path) -> dict[str, bytes]:
    """Return the content of every table and headline that was made in a folder, by its path."""
    below = folder / "results" / "experiments"
    paths = [*below.glob("*-????????/tables/[!.]*"), *below.glob("*-????????/headline.json")]
    return {str(path.relative_to(below)): path.read_bytes() for path in paths}
