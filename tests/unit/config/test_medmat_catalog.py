"""catalogs/medmat.yaml says what the paper's tables say (tests/data/paper, arXiv 2412.20070v2)."""

import csv
from pathlib import Path

import pytest

from matcg.config.library import load

REPO = Path(__file__).parents[3]


def facts(name: str) -> list[dict[str, str]]:
    with (REPO / "tests" / "data" / "paper" / name).open(newline="") as file:
        return list(csv.DictReader(file))


CATALOG = load("catalog", REPO / "catalogs" / "medmat.yaml")
SUBSETS = facts("subsets.csv")


def numbers(text: str) -> list[str]:
    """Return the numbers in "3 9-11"."""
    found = []
    for part in text.split():
        first, _, last = part.partition("-")
        found += [str(n) for n in range(int(first), int(last or first) + 1)]
    return found


def test_all_subsets_stand_in_the_paper_s_order():
    assert [subset.id for subset in CATALOG.subsets] == [row["subset"] for row in SUBSETS]


@pytest.mark.parametrize("row", SUBSETS, ids=lambda row: row["subset"])
def test_a_subset_is_as_published(row):
    subset = CATALOG.subset(row["subset"])
    assert subset.name == row["task_name"]
    assert subset.elements["modality"] == (row["modality"],)
    assert subset.elements["area"] == (row["area"],)
    assert (subset.kind, subset.role or "") == (row["kind"], row["role"])
    assert list(subset.datasets) == numbers(row["datasets"])
    if row["task_labels"]:
        assert list(subset.elements["task"]) == row["task_labels"].split()


def test_detection_and_segmentation_subsets_play_what_their_names_say():
    for subset in CATALOG.subsets:
        if subset.kind != "classification":
            said = {"Detection": "Det", "Segmentation": "Seg"}
            tasks = {task for task, word in said.items() if word in subset.name.split()[-1]}
            assert set(subset.elements["task"]) == tasks


def test_every_dataset_named_is_a_published_one():
    known = {row["dataset"] for row in facts("datasets.csv")}
    assert {number for subset in CATALOG.subsets for number in subset.datasets} <= known
