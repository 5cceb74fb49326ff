"""catalogs/medmat.yaml says what the paper's tables say (tests/data/paper, arXiv 2412.20070v2)."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from matcg.config.library import load
from matcg.data import readers

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


PLACED = [subset for subset in CATALOG.subsets if subset.kind != "classification"]


@pytest.mark.parametrize("subset", PLACED, ids=lambda subset: subset.id)
def test_boxes_and_masks_are_read_from_where_the_catalog_says(subset, tmp_path):
    """Put there what the catalog's comments say, of each dataset a picture and what is in it."""
    for name in subset.datasets:
        for image, values in (("a", [[0, 1], [0, 1]]), ("b", [[0, 0], [0, 0]])):
            place = tmp_path / f"det-seg/{name}"
            for file in ("images", "masks/x", "masks/left", "masks/right", "masks/disc"):
                (place / file).mkdir(parents=True, exist_ok=True)
            data = Image.fromarray(np.array(values, dtype=np.uint8))
            data.save(place / f"images/{image}.png")
            classes = subset.options.get("classes") or {"x": "x"}
            by_class = "{class}" in subset.options["files"]
            data.save(place / f"masks/{next(iter(classes)) if by_class else '.'}/{image}.png")
        (place / "boxes.csv").write_text("image,label,x1,y1,x2,y2\na,x,1,0,2,2\nb,,,,,\n")
        (place / "train-rle.csv").write_text("ImageId, EncodedPixels\na, 2 2\nb, -1\n")
    asked = CATALOG.preparation(subset.id)
    readers.check(CATALOG)
    found = readers.get(asked.reader).source(asked.subset, asked.all_options, tmp_path, asked.split)
    assert not found.quarantined
    samples = [found.load(at) for at in range(len(found.pool))]
    assert [each.dataset for each in samples] == [n for n in subset.datasets for _ in "ab"]
    boxes = [[one.box for one in each.findings] for each in samples]
    assert boxes == [[(1, 0, 2, 2)], []] * len(subset.datasets)


def test_every_dataset_named_is_a_published_one():
    known = {row["dataset"] for row in facts("datasets.csv")}
    assert {number for subset in CATALOG.subsets for number in subset.datasets} <= known
