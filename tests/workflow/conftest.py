"""Workspaces for the tests that run Snakemake, and one real run that all share."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from repository import SMALL, fresh_copy, snakemake
from workspace import Workspace, build

from untrained import tiny, tokenizer

__all__ = ["tiny", "tokenizer", "workspace", "workspaces"]


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Workspace]:
    """Return a function that builds a workspace by name."""
    return lambda name: build(tmp_path_factory.mktemp(name))


@pytest.fixture(scope="module")
def workspace(workspaces: Callable[[str], Workspace]) -> Workspace:
    """Return a workspace that a module's tests share and leave as it is."""
    return workspaces("shared")


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a folder in which all of the small experiment has run, to read or to copy.

    Made once for all processes of pytest-xdist, by the first that needs it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "small"
    shared.mkdir(exist_ok=True)
    said = shared / "said.txt"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            shutil.rmtree(shared / "matcg", ignore_errors=True)
            done = snakemake(fresh_copy(shared), "--cores", "2", *SMALL, "--logger", "matcg")
            assert done.returncode == 0, done.stdout
            said.write_text(done.stdout)
    return shared / "matcg"


@pytest.fixture
def copy_of_small_run(small_run: Path, tmp_path: Path) -> Path:
    """Return a copy of that folder, to go on from."""
    return Path(shutil.copytree(small_run, tmp_path / "matcg", symlinks=True))
