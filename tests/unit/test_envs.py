"""The conda environments and the locks name the same versions."""

import re
import runpy
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ENVS = sorted((ROOT / "envs").glob("*.yaml"))
LOCKS = ("cpu", "gpu", "dev", "executors", "slurm")


def read_lock(name: str) -> dict[str, str]:
    return {line.split("==")[0]: re.split("==| ", line)[1] for line in locked(name)}


def locked(name: str) -> list[str]:
    lines = (ROOT / "requirements" / f"{name}.lock").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_the_digests_that_pip_is_to_require(name: str) -> None:
    form = re.compile(r"[a-z0-9-]+==[^ ]+( --hash=sha256:[0-9a-f]{64})+")
    assert [line for line in locked(name) if not form.fullmatch(line)] == []


def requirements(path: Path) -> dict[str, str]:
    """Return package -> exact version of an environment, conda's and pip's packages together."""
    entries = yaml.safe_load(path.read_text())["dependencies"]
    nested = [entry for entry in entries if isinstance(entry, dict)]
    lines = [entry for entry in entries if isinstance(entry, str)]
    lines += [line for entry in nested for line in entry["pip"]]
    pins = dict(
        re.split(r"==?", line.split(";")[0].strip(), maxsplit=1) for line in lines if "=" in line
    )
    return {name: pin for name, pin in pins.items() if name not in {"python", "pip"}}


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_environment_agrees_with_the_gpu_lock(path: Path) -> None:
    lock = read_lock("gpu")
    pins = requirements(path)
    assert pins
    assert {name: lock.get(name) for name in pins} == pins


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_every_package_of_an_environment_is_pinned(path: Path) -> None:
    entries = yaml.safe_load(path.read_text())["dependencies"]
    loose = [entry for entry in entries if isinstance(entry, str) and "=" not in entry]
    assert loose in (["pip"], [])


@pytest.mark.parametrize("name", ["gpu", "slurm"])
def test_locks_agree_where_they_share_a_package(name: str) -> None:
    allowed = {"gpu": {"torch", "apache-tvm-ffi", "setuptools"}, "slurm": {"numpy"}}
    cpu, other = read_lock("cpu"), read_lock(name)
    different = {package for package in cpu.keys() & other.keys() if cpu[package] != other[package]}
    assert different <= allowed[name]


def test_test_tools_change_no_package_of_the_workflow() -> None:
    assert not read_lock("cpu").keys() & read_lock("dev").keys()


def test_locks_hold_what_their_inputs_name() -> None:
    for name in LOCKS:
        lines = (ROOT / "requirements" / f"{name}.in").read_text().splitlines()
        asked = [re.match(r"[\w-]+", line) for line in lines]
        missing = {match[0] for match in asked if match} - read_lock(name).keys()
        assert not missing, f"{name}.lock lacks {missing}: run requirements/lock.py {name}"


def test_uv_is_told_where_pip_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "pip.conf"
    told.write_text(
        "[global]\nindex-url = https://a.example/simple\nextra-index-url =\n    https://b.example/simple\n"
        "    https://c.example/simple\nfind-links = /all\n[install]\nfind-links = /wheels /more\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(told))
    monkeypatch.setenv("PIP_INDEX_URL", "https://d.example/simple")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    variables = runpy.run_path(str(ROOT / "requirements/install.py"))["variables"]()
    assert variables["UV_DEFAULT_INDEX"] == "https://d.example/simple"
    assert variables["UV_INDEX"] == "https://b.example/simple https://c.example/simple"
    assert variables["UV_FIND_LINKS"] == "/wheels,/more"
