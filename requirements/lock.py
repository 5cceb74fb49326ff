"""Writes requirements/NAME.lock from requirements/NAME.in: `python requirements/lock.py cpu`.

Needs uv, and tells it nothing of where packages are: beside PyPI it looks where its variables say,
for `cpu` in an index or a folder that has torch's CPU build (UV_INDEX or UV_FIND_LINKS), for the
other sets nowhere else. What is pinned stays so, digests included, but for what the options
`--upgrade` or `--upgrade-package NAME` name. The other sets are constrained to the versions of
cpu.lock (but for what they cannot share), so write that one first.
"""

import os
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
# The machine that the sets are for, whatever this one is. PyTorch's index has old releases of other
# packages too: of all sources the best version is taken.
UV = [
    *("uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-annotate"),
    *("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"),
    *("--index-strategy", "unsafe-best-match"),
]


def main(name: str, *options: str) -> None:
    """Resolve one set and write its lock, a line a package."""
    lock = HERE / f"{name}.lock"
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as shared:
        shared.writelines(f"{package}=={version}\n" for package, version in constraints(name))
        shared.flush()
        left_out = [word for package in unwanted(name) for word in ("--no-emit-package", package)]
        files = [HERE / f"{name}.in", "--output-file", lock, "--constraints", shared.name]
        words = [*UV, *map(str, files), *left_out, *options]
        command = f"python requirements/lock.py {name}"
        subprocess.run(words, check=True, env={**os.environ, "UV_CUSTOM_COMPILE_COMMAND": command})
    text = lock.read_text(encoding="utf-8")
    lock.write_text(re.sub(r" \\\n +", " ", text), encoding="utf-8")


def constraints(name: str) -> list[tuple[str, str]]:
    """Return the versions that a set has to share with cpu.lock."""
    if name == "cpu":
        return []
    return [pin for pin in read_lock("cpu").items() if pin[0] not in UNSHARED[name]]


def read_lock(name: str) -> dict[str, str]:
    """Return package -> version of a lock."""
    text = (HERE / f"{name}.lock").read_text(encoding="utf-8")
    return dict(re.findall(r"^([^\s#=]+)==(\S+)", text, flags=re.MULTILINE))


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


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in UNSHARED:
        sys.exit(f"usage: python requirements/lock.py {'|'.join(UNSHARED)} [option of uv ...]")
    main(*sys.argv[1:])
