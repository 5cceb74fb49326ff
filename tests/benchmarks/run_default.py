"""Measures installation and the default run, and prints a row for docs/benchmarks.md.

`python tests/benchmarks/run_default.py [--cores 2] [--once]` works in a temporary copy of the
repository, so the checkout's own environment and results stay as they are. Needs psutil, which the
environment of `make demo` has.
"""

import argparse
import datetime as dt
import filecmp
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
LEFT_OUT = (".git", ".venv", ".snakemake", "results", "logs", "__pycache__", "*.egg-info")
SECONDS_BETWEEN_LOOKS = 0.5


@dataclass(frozen=True)
class Measured:
    """Wall time in seconds and peak resident memory in bytes of a command and its children."""

    seconds: float
    peak: int


def main() -> None:
    """Install, run once or twice, print the row."""
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "matcg")
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
        install = measure(["make", "install"], copy)
        demo = ["make", "demo", f"CORES={arguments.cores}"]
        first = measure(demo, copy)
        second = measure(demo, copy)
        identical = "not tried" if arguments.once else repeat(demo, copy)
        cells = [
            dt.date.today().isoformat(),
            version(),
            machine(arguments.cores),
            f"{install.seconds:.0f}",
            f"{first.seconds:.0f}",
            f"{second.seconds:.0f}",
            f"{first.peak / 1e9:.1f}",
            identical,
        ]
    print(f"| {' | '.join(cells)} |")


def parse() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--once", action="store_true", help="do not run again to compare tables")
    return parser.parse_args()


def measure(command: list[str], folder: Path) -> Measured:
    """Run a command, its output on stderr, and measure it."""
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=sys.stderr)
    peaks = [0]
    watcher = threading.Thread(target=watch, args=(process, peaks))
    watcher.start()
    code = process.wait()
    seconds = time.monotonic() - began
    watcher.join()
    if code:
        sys.exit(f"{' '.join(command)} ended with code {code}")
    return Measured(seconds, max(peaks))


def watch(process: subprocess.Popen[bytes], peaks: list[int]) -> None:
    """Append the resident memory of a process tree until it ends."""
    while process.poll() is None:
        peaks.append(resident(process.pid))
        time.sleep(SECONDS_BETWEEN_LOOKS)


def resident(pid: int) -> int:
    """Return the resident bytes of a process and all below it."""
    try:
        parent = psutil.Process(pid)
        tree = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in tree:
        try:
            total += process.memory_info().rss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return total


def repeat(command: list[str], folder: Path) -> str:
    """Run from nothing again and say whether the tables are the same, naming those that are not."""
    (folder / "results").rename(folder / "first")
    shutil.rmtree(folder / ".snakemake")
    measure(command, folder)
    before, after = tables(folder / "first"), tables(folder / "results")
    names = before.keys() ^ after.keys()
    shared = before.keys() & after.keys()
    names |= {name for name in shared if not filecmp.cmp(before[name], after[name], shallow=False)}
    if not before:
        return "no tables"
    return f"no: {', '.join(sorted(names))}" if names else f"yes ({len(shared)} files)"


def tables(results: Path) -> dict[str, Path]:
    """Return the files of tables and headlines by their path below `results`."""
    folder = results / "experiments"
    found = [*folder.glob("*/tables/[!.]*"), *folder.glob("*/headline.json")]
    return {str(path.relative_to(results)): path for path in found}


def machine(cores: int) -> str:
    """Return cores, memory and system in words."""
    memory = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{cores} of {os.cpu_count()} cores, {memory:.0f} GiB, {system}"


def version() -> str:
    """Return the commit, with a plus where files differ from it."""
    commit = git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{commit}+" if git("status", "--porcelain") else commit


def git(*arguments: str) -> str:
    """Return what git says, or nothing where this is no repository."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    main()
