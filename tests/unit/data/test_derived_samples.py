"""Subsets that are derived from others: the same pictures, split and searched for as they are."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from data_makers import picture, release, row
from matcg.config.catalog import Catalog, Preparation
from matcg.config.explain import validate
from matcg.data import readers
from matcg.data.derived import count, named, read
from matcg.data.leaks import Search, find_leaks
from matcg.data.prepare import prepare
from matcg.identity import named as with_digest
from matcg.identity import of_subset
from matcg.images import fingerprint
from matcg.samples import read_samples

RAW = {
    "name": "c",
    "reader": "medmat",
    "options": {"group_by": r"(\d)\.png"},  # ten patients
    "elements": ["modality", "area", "task"],
    "split": {"train": 200, "test": 40, "test_fraction": 0.25},
    "derived": ["orientation", "quality", "modality", "area"],
    "subsets": [
        {"id": "30", "modality": "CT", "area": "Brain", "task": "State"},
        {"id": "31", "modality": "CT", "area": "Brain", "task": "Level"},
        {"id": "32", "modality": "MRI", "area": "Lung", "task": "State"},
    ],
}


@pytest.fixture
def place(tmp_path):
    """Return a release of three subsets; pictures 8 to 11 are in two that are alike."""
    parts = {30: range(12), 31: range(8, 20), 32: range(20)}
    for name, numbers in parts.items():
        rows = [row(n) for n in numbers] + [row(n + 100, image=f"med-mat/{n}.png") for n in numbers]
        release(tmp_path / "data", rows, f"Subset--{name}-train.json")
    return tmp_path


def catalog(**changes):
    return validate(Catalog, {**RAW, **changes}, "c.yaml")


def prepared(place, name, made=None, out="out"):
    asked = (made or catalog()).preparation(name)
    # As a job has it: through JSON.
    asked = Preparation.model_validate_json(asked.model_dump_json())
    folder = place / out / with_digest(name, of_subset(asked))
    prepare(asked, place / "data", folder)
    return folder


def samples(folder):
    return [read_samples(folder / f"{side}.parquet") for side in ("train", "test")]


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_every_picture_is_turned_in_all_four_ways_and_asked(place):
    train, test = samples(prepared(place, "ct-brain-orientation"))
    ways = ("upright", "turned a quarter clockwise", "upside down")
    assert {each.origin for each in train + test} == {f"med-mat/{n}.png" for n in range(20)}
    assert len(train + test) == 80 == len({each.sample_id for each in train + test})
    for each in test:
        assert each.options[each.answer] == each.label
        assert (len(set(each.options)), each.question.count("?")) == (4, 1)
        if each.label in ways:
            own = opened(picture(int(Path(each.origin).stem)))
            assert (opened(each.image) == np.rot90(own, -ways.index(each.label))).all()
    letters = [sum(each.answer == n for each in test) for n in range(4)]
    assert max(letters) - min(letters) <= 1


def test_what_is_made_of_one_picture_never_parts(place):
    sides: list[set[str]] = [set(), set()]
    made = catalog()
    for name in ("30", *(f"ct-brain-{t}" for t in ("orientation", "area"))):
        for found, part in zip(sides, samples(prepared(place, name, made)), strict=True):
            found.update(each.group for each in part)
    assert not sides[0] & sides[1]
    assert len(sides[1]) >= 2


def test_leaks_are_seen_by_the_picture_it_is_made_of(place):
    made = catalog()
    folders = {name: prepared(place, name, made) for name in ("ct-brain-orientation", "32")}
    for each in samples(folders["ct-brain-orientation"])[1]:
        assert each.fingerprint == fingerprint(picture(int(Path(each.origin).stem)), "x")
    asked = Search("c", ["ct-brain-orientation"], ["32"], 0, folders)
    # Subset 32 is split otherwise: its training pictures are among them, turned or not.
    leaks = find_leaks(asked)
    turned = {leak.test.rpartition("-")[2] for leak in leaks}
    assert turned == set("1234")


def test_the_same_bytes_again(place):
    one, again = (prepared(place, "mri-lung-quality", out=out) for out in ("a", "b"))
    for name in ("train.parquet", "test.parquet", "quarantine.tsv"):
        assert (one / name).read_bytes() == (again / name).read_bytes()


def test_a_question_about_an_element_shows_pictures_as_they_are(place):
    _, test = samples(prepared(place, "mri-lung-modality"))
    assert {each.label for each in test} == {"MRI"}
    assert {frozenset(each.options) for each in test} == {frozenset({"CT", "MRI"})}
    assert all(each.image == picture(int(Path(each.origin).stem)) for each in test)


def test_rows_that_cannot_be_used_are_told_of_once(place):
    table = place / "data/Aggregated_Subsets/Subset--32-train.json"
    rows = json.loads(table.read_text())
    flat = io.BytesIO()
    Image.new("L", (8, 8), 90).save(flat, "PNG")
    (place / "data/med-mat/flat.png").write_bytes(flat.getvalue())
    rows += [row(500, image="med-mat/none.png"), row(501, image="med-mat/flat.png")]
    table.write_text(json.dumps(rows))
    folder = prepared(place, "mri-lung-quality", catalog(split={"train": 200, "test": 50}))
    lines = (folder / "quarantine.tsv").read_text().splitlines()[1:]
    reasons = [line.split("\t")[2].split(":")[0] for line in lines]
    assert reasons == ["image missing", *["picture without contrast"] * 4]
    account = json.loads((folder / "summary.json").read_text())
    assert account["rows"] == 4 * 21 + 1 == account["usable"] + 5


def test_pictures_of_boxes_and_of_hospitals_will_do(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for n in range(8):
        (data / f"{n}.png").write_bytes(picture(n))
    (data / "t.csv").write_text(
        "image,label,x1,y1,x2,y2\n" + "".join(f"{n}.png,cell,1,1,5,5\n" for n in range(8))
    )
    (data / "ct.dcm").write_bytes(Path(get_testdata_file("CT_small.dcm")).read_bytes())
    columns = {"image": "i", "question": "q", "options": ["a", "b"], "answer": "a"}
    (data / "q.csv").write_text("i,q,a,b\n" + "".join("ct.dcm,What?,x,y\n" for _ in range(3)))
    boxes = {"files": "t.csv", "images": "{image}"}
    made = catalog(
        reader="questions",
        options={"files": "q.csv", "columns": columns},
        subsets=[
            {"id": "q", "modality": "CT", "area": "Brain", "task": "State"},
            {"id": "b", "modality": "Mic", "area": "Cell", "task": "Detection"}
            | {"kind": "detection", "reader": "table", "options": boxes},
        ],
    )
    readers.check(made)
    train, test = samples(prepared(tmp_path, "mic-cell-quality", made))
    assert (len(train), len(test), train[0].form, train[0].findings) == (24, 8, "choice", ())
    asked = made.preparation("ct-brain-quality").subset
    found = read(asked, asked.options, data)
    shown = [found.load(at) for at in range(len(found.pool))]
    assert [each.label for each in shown] == ["sharp", "blurred", "noisy", "low contrast"]
    assert len({each.image for each in shown}) == 4
    assert all(each.origin.startswith("dicom-") for each in shown)
    assert all("ct.dcm" not in each.sample_id for each in shown)
    assert [each.images for each in count(asked, asked.options, data)] == [1]


def test_what_is_to_be_placed_are_the_pictures_of_all_subsets(place):
    asked = catalog().preparation("ct-brain-quality").subset
    folder, files = named(asked, asked.options, place / "data")
    assert folder.root == place / "data"
    assert sorted(files) == sorted(("5", f"med-mat/{n}.png") for n in range(20))
    assert [each.rows for each in count(asked, asked.options, place / "data")] == [24, 24]


def test_the_phantom_world_will_do_too():
    raw = {**RAW, "reader": "phantom", "options": {}, "split": {"train": 8, "test": 4}}
    sub = {"id": "p", "modality": "CT", "area": "Brain", "task": "Side"}
    other = {"id": "r", "modality": "MRI", "area": "Knee", "task": "Side"}
    made = validate(Catalog, {**raw, "subsets": [sub, other]}, "c.yaml")
    asked = made.preparation("ct-brain-orientation").subset
    found = read(asked, asked.options, None)
    assert len(found.pool) == 48
    assert sum(found.tests) == 16
    assert count(asked, asked.options, None) == ()
