"""The examples of docs/extending.md, word for word, added to the workflow and planned with."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import BLOCK, EXAMPLE, follow
from PIL import Image
from repository import fresh_copy
from workspace import REPO, Workspace

from matcg.config.library import load
from matcg.data.class_folders import read

FOLDERS = ("combinations", "catalogs", "backbones", "protocols", "experiments")


def examples() -> dict[str, str]:
    """Return the text of each file that the page shows, by its path."""
    page = (REPO / "docs/extending.md").read_text(encoding="utf-8")
    return dict(EXAMPLE.findall(page))


@pytest.fixture(scope="module")
def extended(workspaces: Callable[[str], Workspace]) -> Workspace:
    """Return a workspace with every example in it."""
    mine = workspaces("extended")
    for path, text in examples().items():
        assert path == "config.yaml" or not (mine.root / path).exists()
        mine.write(path, text)
    return mine


def added(folder: Path, start: str, end: str) -> tuple[Workspace, list[str]]:
    """Return a copy of the repository with the files that a part of the page shows, and the part's
    commands and outputs.
    """
    page = (REPO / "docs/extending.md").read_text(encoding="utf-8")
    part = page.split(start)[1].split(end)[0]
    copy = Workspace(fresh_copy(folder))
    for path, text in EXAMPLE.findall(part):
        copy.write(path, text)
    return copy, BLOCK.findall(EXAMPLE.sub("", part))


def look(copy: Workspace, command: str, shown: str) -> None:
    """Type a command, which must say what the page shows."""
    said = follow(copy.root, command)
    for line in shown.splitlines():
        assert line in said


def plan(workspace: Workspace, *arguments: str) -> str:
    done = workspace.snakemake("-n", *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_page_shows_one_of_each() -> None:
    assert {Path(path).parts[0] for path in examples()} == {*FOLDERS, "config.yaml", "data"}


def test_catalog_backbone_and_experiment_are_planned(extended: Workspace) -> None:
    text = plan(extended)
    for target in ("child", "adult"):
        assert re.search(rf"results/data/clinic/xray-chest-{target}-\w{{8}}/train.parquet", text)
    assert re.search(r"results/answers/llava-interleave-\w{8}/adapters\+all-\w{8}.json", text)
    assert re.search(r"results/runs/llava-interleave-\w{8}/adapters-\w{8}/.*/seed2/weights", text)
    assert re.search(r"results/experiments/clinic-\w{8}/headline.json", text)


def test_the_rules_are_planned(extended: Workspace) -> None:
    experiment = (extended.root / "experiments/toy.yaml").read_text()
    for rule in ("task-elsewhere", "same-source"):
        extended.write(
            f"experiments/{rule}.yaml",
            experiment.replace("name: toy", f"name: {rule}").replace("fixed-task", rule),
        )
    # Two tasks and two of everything else give one subset elsewhere: two are needed.
    catalog = (extended.root / "catalogs/toy.yaml").read_text()
    catalog += "  - {id: mri-knee-state, modality: mri, area: knee, task: state, datasets: [a]}\n"
    catalog = catalog.replace("{id: ct-brain-state,", "{id: ct-brain-state, datasets: [a],")
    extended.write("catalogs/toy.yaml", catalog)
    text = plan(extended, "--config", "experiments=[task-elsewhere,same-source]")
    assert "mri-knee-state.10+us-lung-state.10-s0-" in text
    assert "mri-knee-state.20-s0-" in text


@pytest.mark.slow("the page's six fine-tunings, and what follows from them")
def test_a_combination_rule_is_added_as_the_page_says(tmp_path: Path) -> None:
    """Do what the section says, from its files to the report, and compare what it shows.

    When that is compared, the experiment is made smaller.
    """
    copy, (command, shown, run) = added(
        tmp_path, "## Add a combination rule", "### What a rule can say"
    )
    look(copy, command, shown)
    copy.edit("catalogs/phantom.yaml", "train: 240, test: 144", "train: 24, test: 24")
    copy.edit("experiments/task-elsewhere.yaml", "samples: 480", "samples: 48")
    copy.without_vllm()
    assert "task-elsewhere" in follow(copy.root, run)
    assert (copy.root / "results/report.html").stat().st_size > 100_000


def test_a_table_becomes_a_catalog_as_the_page_says(tmp_path: Path) -> None:
    copy, blocks = added(tmp_path, "### A catalog of any table", "### A catalog of class")
    # What stands in the config then may name a catalog that is yet to be found.
    copy.write("config.yaml", "experiments: [toy]\n")
    look(copy, *blocks)
    found = load("catalog", copy.root / "catalogs/wards-found.yaml")
    assert {each.id: each.rows for each in found.subsets}["x-ray-chest-size"] == 2


def test_class_folders_become_a_catalog_as_the_page_says(tmp_path: Path) -> None:
    copy, (pictures, *blocks) = added(tmp_path, "### A catalog of class folders", "### A grid")
    for path in pictures.splitlines():
        place = copy.root / "data/films" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), int(place.stem)).save(place)
    look(copy, *blocks)
    catalog = load("catalog", copy.root / "catalogs/films.yaml")
    for name, tests in (("adults", "3 4"), ("children", "5 6 7 8")):
        asked = catalog.preparation(name)
        found = read(asked.subset, asked.all_options, copy.root / "data/films")
        samples = [found.load(at) for at in range(len(found.pool))]
        marked = [True] * len(samples) if found.tests is None else found.tests
        chosen = [each for each, test in zip(samples, marked, strict=True) if test]
        assert " ".join(Path(each.origin).stem for each in chosen) == tests
    assert {each.group for each in samples} == {"p1", "p2"}
    assert {each.label for each in samples} == {"normal", "pneumonia"}
