"""The workflow as a module of another Snakefile, and called from another folder."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from repository import snakemake
from workspace import EXPERIMENT, Workspace

HOST = """\
module matcg:
    snakefile: "{root}/Snakefile"
    prefix: "there"
    config: {{"experiments": ["mine/own.yaml"], "budget": {{"disk_gb": {budget}}}}}


use rule * from matcg as own_*


onstart:
    print("the host's own")


rule summed:
    default_target: True
    input: rules.own_all.input
    output: "summed.txt"
    shell: "cat there/results/experiments/own/headline.json > {{output}}"
"""


@pytest.fixture(scope="module")
def clone(workspaces: Callable[[str], Workspace]) -> Workspace:
    """Return a clone whose one backbone says how large it is."""
    mine = workspaces("clone")
    mine.edit("backbones/toy.yaml", "threads: 1", "threads: 1, weights_mb: 600")
    return mine


def host(clone: Workspace, folder: Path, budget: float = 100) -> Path:
    """Write a Snakefile that uses the clone for an experiment of its own."""
    folder.mkdir()
    (folder / "Snakefile").write_text(HOST.format(root=clone.root, budget=budget))
    (folder / "mine").mkdir()
    own = EXPERIMENT.replace("name: toy", "name: own").replace("ct-brain-state", "us-lung-side")
    (folder / "mine/own.yaml").write_text(own)
    return folder


@pytest.fixture(scope="module")
def ran(clone: Workspace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder of a finished run as a module, and what it said."""
    folder = host(clone, tmp_path_factory.mktemp("host") / "work")
    done = snakemake(folder, "--cores", "2")
    assert done.returncode == 0, done.stdout
    return folder, done.stdout


@pytest.mark.slow("one whole run as a module, which the next two tests read too")
def test_a_module_makes_its_own_experiment_below_its_prefix(ran: tuple[Path, str]) -> None:
    folder, _ = ran
    assert json.loads((folder / "summed.txt").read_text())["headline"] == "CG against control"
    assert not (folder / "results").exists()
    paths = [
        path for path in (folder / "there/results/plan/used.tsv").read_text().split() if "/" in path
    ]
    assert paths
    assert all(path.startswith("there/results/") for path in paths)
    # Mixes are exported when asked for.
    assert not [p for p in paths if "/exports/" not in p and not (folder / p).exists()]


def test_what_the_last_job_says_is_said_in_a_module_too(ran: tuple[Path, str]) -> None:
    _, said = ran
    assert "the host's own" in said
    assert "CG against control\nReport: there/results/report.html" in said


def test_a_second_call_of_a_module_has_nothing_to_do(ran: tuple[Path, str]) -> None:
    folder, _ = ran
    done = snakemake(folder, "--cores", "2")
    assert done.returncode == 0, done.stdout
    assert "Nothing to be done" in done.stdout


def test_a_module_is_refused_what_the_clone_is_refused(clone: Workspace, tmp_path: Path) -> None:
    folder = host(clone, tmp_path / "work", budget=1)
    done = snakemake(folder, "--cores", "1")
    assert done.returncode == 1
    assert "Not launched: the plan takes 1.2 GB of weights, budget.disk_gb is 1" in done.stdout
    assert not (folder / "there").exists()


@pytest.mark.parametrize("arguments", [("--directory", "elsewhere"), ("--no-hooks",)])
def test_checks_hold_however_the_clone_is_called(
    clone: Workspace, arguments: tuple[str, ...]
) -> None:
    done = clone.snakemake("--cores", "1", "--config", "budget={disk_gb: 1}", *arguments)
    assert done.returncode == 1
    assert "Not launched: the plan takes 1.2 GB" in done.stdout


def test_a_folder_elsewhere_takes_the_clones_config(clone: Workspace, tmp_path: Path) -> None:
    for folder, arguments in [
        (tmp_path, ("-s", str(clone.root / "Snakefile"))),
        (clone.root, ("--directory", str(tmp_path))),
    ]:
        done = snakemake(folder, *arguments, "-n", "--quiet", "rules")
        assert done.returncode == 0, done.stdout
        assert "finetune" in done.stdout
