"""Writes requirements/NAME.lock from requirements/NAME.in: `python requirements/lock.py cpu`.

Needs pip 23.1 or newer and its configured sources; installs nothing. The other sets are constrained
to the versions of cpu.lock (but for what they cannot share), so write that one first. For `gpu`,
let pip see PyPI only: a CPU build of torch among its sources would satisfy vllm's requirement too.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
# Torch's builds differ; vllm pins another apache-tvm-ffi; the Slurm plugin wants a newer numpy,
# and botocore an older dateutil (it runs with the newer one).
UNSHARED: dict[str, set[str]] = {
    "cpu": set(),
    "dev": set(),
    "executors": {"python-dateutil"},
    "gpu": {"torch", "apache-tvm-ffi", "setuptools"},
    "slurm": {"numpy"},
}
HEADER = "# Made from {name}.in by `python requirements/lock.py {name}` on Python {python}.\n"


def main(name: str) -> None:
    """Resolve one set and write its lock."""
    pins = resolve(name)
    for package in unwanted(name):
        pins.pop(package, None)
    lines = [f"{package}=={version}\n" for package, version in sorted(pins.items())]
    header = HEADER.format(name=name, python=".".join(map(str, sys.version_info[:2])))
    (HERE / f"{name}.lock").write_text(header + "".join(lines), encoding="utf-8")


def resolve(name: str) -> dict[str, str]:
    """Return package -> version of everything pip would install into an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder, "constraints.txt")
        shared.write_text("".join(f"{p}=={v}\n" for p, v in constraints(name)), encoding="utf-8")
        report = Path(folder, "report.json")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        files = ["--report", report, "-r", HERE / f"{name}.in", "-c", shared]
        subprocess.run([*pip, *map(str, files)], check=True)
        rows = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {canonical(row["metadata"]["name"]): row["metadata"]["version"] for row in rows}


def constraints(name: str) -> list[tuple[str, str]]:
    """Return the versions that a set has to share with cpu.lock."""
    if name == "cpu":
        return []
    return [pin for pin in read_lock("cpu").items() if pin[0] not in UNSHARED[name]]


def read_lock(name: str) -> dict[str, str]:
    """Return package -> version of a lock."""
    lines = (HERE / f"{name}.lock").read_text(encoding="utf-8").splitlines()
    pins = (line.split("==", 1) for line in lines if line and not line.startswith("#"))
    return dict(pins)


def unwanted(name: str) -> list[str]:
    """Return the packages that a lock leaves out: beside cpu.lock, those of it."""
    return {"cpu": excluded, "dev": shared, "executors": shared}.get(name, list)()


def shared() -> list[str]:
    """Return the packages of cpu.lock."""
    return list(read_lock("cpu"))


def excluded() -> list[str]:
    """Return the packages of excluded.txt."""
    lines = (HERE / "excluded.txt").read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if line and not line.startswith("#")]


def canonical(package: str) -> str:
    """Return a package's name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", package).lower()


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in UNSHARED:
        sys.exit(f"usage: python requirements/lock.py {'|'.join(UNSHARED)}")
    main(sys.argv[1])
