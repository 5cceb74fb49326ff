"""Class folders: every file is a question, or is set aside with its reason."""

import json
import os

import numpy as np
import pytest

from data_makers import asked, picture, spec
from images import hospital as made
from matcg.data.candidates import ImageCount
from matcg.data.class_folders import count, read
from matcg.data.prepare import prepare
from matcg.errors import ConfigError, DataError
from matcg.samples import read_samples

OPTIONS = {
    "files": "films/*/{class}/{image}",
    "split_by": {"path": "^films/(train|test|val)/", "train": ["train", "val"]},
    "labels": {"NORMAL": "normal", "LUNG_OPACITY": "lung opacity"},
    "rebuild": {"instructions": ["What does this film show?"]},
}


@pytest.fixture
def place(tmp_path):
    """Return a data folder with 30 pictures of three classes, ten of them to test on."""
    for n in range(30):
        name = ("NORMAL", "LUNG_OPACITY", "Effusion")[n % 3]
        file = tmp_path / f"films/{('train', 'val', 'test')[n // 10]}/{name}/{n}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(n))
    return tmp_path


def samples(found):
    return {found.load(at).origin: found.load(at) for at in range(len(found.pool))}


def test_a_file_becomes_a_question_about_its_folder_s_label(place):
    prepare(asked(reader="class_folders", options=OPTIONS), place, place / "out")
    train, test = (read_samples(place / f"out/{side}.parquet") for side in ("train", "test"))
    assert (len(train), len(test)) == (20, 9)
    assert {each.origin.split("/")[1] for each in test} == {"test"}
    for each in train + test:
        assert each.sample_id == f"30-{each.origin}"
        assert each.question == "What does this film show?"
        assert sorted(each.options) == ["effusion", "lung opacity", "normal"]
        assert each.options[each.answer] == each.label
    named = {each.origin.split("/")[2]: each.label for each in train}
    assert named == {"NORMAL": "normal", "LUNG_OPACITY": "lung opacity", "Effusion": "effusion"}
    account = json.loads((place / "out/summary.json").read_text())
    assert (account["rows"], account["files"]) == (30, ["films/*/{class}/{image}"])


def test_folders_below_a_class_are_its_own_and_tell_patients(place):
    for n, file in enumerate(sorted(place.glob("films/train/NORMAL/*"))):
        below = file.parent / f"p{n % 2}/{file.name}"
        below.parent.mkdir(exist_ok=True)
        file.rename(below)
    found = samples(read(spec(), {**OPTIONS, "group_by": r"/(p\d)/"}, place))
    assert found["films/train/NORMAL/p0/0.png"].group == "p0"
    assert {each.label for name, each in found.items() if "/p1/" in name} == {"normal"}
    assert found["films/train/Effusion/2.png"].group == ""


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("films/train/NORMAL/.DS_Store", "hidden file"),
        ("films/train/NORMAL/._0.png", "hidden file"),
        ("films/train/.cache/0.png", "hidden file"),
        ("films/other/NORMAL/x.png", "split unknown: ''"),
        ("films/train/\u200b/x.png", "no answer"),
        ("films/train/NORMAL/\udcff.png", "wrong type: half a character"),
    ],
)
def test_a_file_that_cannot_be_used_is_set_aside_with_its_reason(place, path, reason):
    file = place / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(picture(99))
    found = read(spec(), OPTIONS, place)
    assert (len(found.pool), found.rows) == (30, 31)
    (bad,) = found.quarantined
    assert bad.reason.startswith(reason)
    assert bad.image.encode() == os.fsencode(path).replace(b"\xff", rb"\udcff")


def test_what_is_no_picture_is_found_when_it_is_drawn(place):
    (place / "films/test/NORMAL/notes.txt").write_text("none")
    prepare(asked(reader="class_folders", options=OPTIONS), place, place / "out")
    aside = (place / "out/quarantine.tsv").read_text()
    assert "films/*/{class}/{image}" in aside
    assert "films/test/NORMAL/notes.txt" in aside


def test_a_link_that_leads_out_is_set_aside(place, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "x.png"
    elsewhere.write_bytes(picture(1))
    (place / "films/train/NORMAL/link.png").symlink_to(elsewhere)
    (bad,) = read(spec(), OPTIONS, place).quarantined
    assert bad.reason.startswith("image outside its data folder")


def test_only_some_classes_are_read_and_pictures_are_counted(place):
    chosen = {**OPTIONS, "only": ["NORMAL", "Effusion"]}
    found = read(spec(datasets=["7"]), chosen, place)
    assert set(found.pool.names) == {"normal", "effusion"}
    assert count(spec(datasets=["7"]), chosen, place) == (ImageCount("7", 20, 20, 0),)


def test_dicom_files_hide_the_names_of_their_folders(place):
    folder = place / "films/train/NORMAL/DOE_JOHN"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(made.dicom(np.zeros((8, 8), "u1") + 7))
    (folder / "2.dcm").write_bytes(b"damaged")
    prepare(asked(reader="class_folders", options=OPTIONS), place, place / "out")
    found = read(spec(), OPTIONS, place)
    assert "DOE" not in repr([found.pool.ids, found.files, found.quarantined])
    assert not [file for file in (place / "out").iterdir() if b"DOE" in file.read_bytes()]
    drawn = read_samples(place / "out/train.parquet")
    assert sum(each.group.startswith("patient-") for each in drawn) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": "films/{class}/*"}, r"'films/\{class\}/\*' needs \{class\} and \{image\}"),
        ({"files": []}, "files"),
        ({"rebuild": None}, "rebuild"),
        ({"rebuild": {"options": 3}}, "needs `instructions`"),
        ({"split_by": {"column": "x"}}, "names a column"),
        ({"clases": 1}, "clases: unknown key"),
    ],
)
def test_wrong_options_are_refused(place, change, message):
    with pytest.raises(ConfigError, match=message):
        read(spec(), {**OPTIONS, **change}, place)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": "film/{class}/{image}"}, "put the pictures there or mend option 'files'"),
        ({"only": "normal"}, "in a folder normal below .* mend option 'only'"),
    ],
)
def test_a_folder_without_such_pictures_is_an_error(place, change, message):
    with pytest.raises(DataError, match=message):
        read(spec(), {**OPTIONS, **change}, place)
