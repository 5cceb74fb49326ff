"""What can be asked of the paper's experiments without a run of them."""

import shutil
from collections.abc import Callable

import pytest
from workspace import REPO, Workspace


@pytest.mark.slow("plans of all the paper's tables, the largest that there are")
def test_published_gains_are_tested_without_data_or_runs(
    workspaces: Callable[[str], Workspace],
) -> None:
    mine = workspaces("paper")
    shutil.copytree(REPO / "experiments/paper", mine.root / "experiments/paper")
    for path in (REPO / "backbones").glob("*.yaml"):
        shutil.copy(path, mine.root / "backbones")
    asked = mine.snakemake("published_tests", "-n", "--quiet", "rules")
    assert asked.returncode == 0, asked.stdout
    counts = dict(line.split() for line in asked.stdout.splitlines() if len(line.split()) == 2)
    assert counts["published_test"] == "12"
    experiment = "experiments=[paper/table3]"
    done = mine.snakemake("published_tests", "--cores", "1", "--config", experiment)
    assert done.returncode == 0, done.stdout
    (table,) = mine.root.glob("results/paper/table3-*/table3_tests.csv")
    assert len(table.read_text().splitlines()) == 44
    assert not (mine.root / "results/data").exists()
    all_of_it = mine.snakemake("paper", "-n", "--quiet", "rules")
    assert all_of_it.returncode == 0, all_of_it.stdout
    assert "agreement" in all_of_it.stdout
