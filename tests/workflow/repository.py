"""A copy of the repository in which a real run of the whole workflow takes place."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEFT_OUT = (
    ".git", ".venv", ".*_cache", ".snakemake", "results", "logs", "__pycache__", "*.egg-info",
)  # fmt: skip


def fresh_copy(folder: Path) -> Path:
    """Copy the repository without anything that was made in it."""
    copy = folder / "matcg"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return copy


def command(*arguments: str) -> list[str]:
    """Return the command line of Snakemake in this environment."""
    return [sys.executable, "-m", "snakemake", *arguments]


def environment() -> dict[str, str]:
    """Return the environment without the variables of a Snakemake that runs these tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SNAKEMAKE")}


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake and return what it said; stdout and stderr are one text."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
