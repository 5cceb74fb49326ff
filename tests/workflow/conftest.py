"""Workspaces for the tests that run Snakemake."""

from collections.abc import Callable

import pytest
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
