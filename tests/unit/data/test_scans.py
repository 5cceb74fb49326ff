"""Files of hospitals as pictures of a table: which frame or slice, whose group, and no names."""

import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_makers import asked, row, spec
from images import hospital as made
from matcg.config.catalog import Split
from matcg.config.reader_options import Options
from matcg.config.scan_options import Parts
from matcg.data import readers
from matcg.data.candidates import Quarantined, Source
from matcg.data.image_folder import Folder
from matcg.data.medmat import read_medmat
from matcg.data.prepare import prepare
from matcg.data.pseudonyms import KEY, Pseudonyms
from matcg.data.release_table import ReleaseTable
from matcg.data.scanned_rows import use_pictures
from matcg.data.scans import Scans
from matcg.errors import BadRowError, ConfigError, DataError
from matcg.images import ImageError, decode

GREY = (np.arange(24 * 32).reshape(24, 32) * 5).astype("u2")
VOLUME = (np.arange(16 * 17 * 9).reshape(16, 17, 9) % 500).astype("i2")
NAMES = ("DOE", "JOHN", "MRN-", "ACC-0815", "1.2.3.4711", "1.2.3.4712", "Elsewhere", "ward7")


def frame(number: int) -> Any:
    return np.random.default_rng(number).integers(0, 4000, (24, 32)).astype("u2")


def scans(root: Path, **options: Any) -> Scans:
    return Scans(Folder(root), Options.parse(options))


def release(root: Path, rows: list[Any]) -> Path:
    (root / "rows.json").write_text(json.dumps(rows))
    return root


def read(root: Path, rows: list[Any], **options: Any) -> Source:
    return read_medmat(spec(), {"files": "rows.json"} | options, release(root, rows))


def test_a_path_names_a_frame_or_slice_counted_from_one(tmp_path: Path) -> None:
    frames = [frame(n) for n in range(3)]
    (tmp_path / "x.dcm").write_bytes(made.dicom(frames))
    (tmp_path / "v.nii.gz").write_bytes(made.nifti(VOLUME))
    held = scans(tmp_path, frames={"every": 1}, slices={"every": 1})
    assert held.pictures("x.dcm") == ["x.dcm#1", "x.dcm#2", "x.dcm#3"]
    assert list(held.pictures("x.dcm#2")) == ["x.dcm#2"]
    shown = np.asarray(decode(held.read("x.dcm#2", (0, 4000)), "x"))[..., 0]
    assert np.abs(shown - frames[1] / 4000 * 255).max() <= 0.501
    shown = np.asarray(decode(held.read("v.nii.gz#4", (0, 500)), "x"))[..., 0]
    assert np.abs(shown - VOLUME[::-1, ::-1, 3].T / 500 * 255).max() <= 0.501
    assert held.size("v.nii.gz#4") == (16, 17)
    assert held.size("x.dcm#4") == (32, 24)


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({"every": 4}, [4, 8]),
        ({"every": 4, "axis": "sagittal"}, [4, 8, 12, 16]),
        ({"at": "middle"}, [5]),
        ({"at": [2, 9]}, [2, 9]),
        ({"at": 3, "axis": "coronal"}, [3]),
        ({"at": [2, 10]}, "slice missing: number 10; the file has 9, from 1"),
        ({"every": 10}, "slice missing: number 10"),
        ({}, "several slices: the file has 9; name one after '#', or say which in option"),
    ],
)
def test_an_option_says_which_slices_are_meant(rule: Any, wanted: Any, tmp_path: Path) -> None:
    (tmp_path / "v.nii").write_bytes(made.nifti(VOLUME, packed=False))
    held = scans(tmp_path, slices=rule)
    if isinstance(wanted, str):
        with pytest.raises(BadRowError, match=wanted):
            held.pictures("v.nii")
    else:
        assert list(held.pictures("v.nii")) == [f"v.nii#{n}" for n in wanted]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"slices": {"axes": "axial"}}, "slices.axes: unknown key. Did you mean 'axis'"),
        ({"slices": {"every": 2, "at": "middle"}}, "give `every` or `at`, not both"),
        ({"frames": {"at": [2, 2]}}, "`at` has a number twice"),
        ({"frames": {"every": 0}}, "frames.every"),
        ({"frames": {"axis": "axial"}}, "frames.axis: unknown key"),
    ],
)
def test_wrong_options_are_refused(options: Any, said: str) -> None:
    for reader, more in (("medmat", {}), ("coco", {"files": "x", "images": "y"})):
        with pytest.raises(ConfigError, match=said):
            readers.get(reader).check(options | more)


def test_a_rule_is_said_by_either_key() -> None:
    assert not Parts().said
    assert Parts(every=2).said
    assert Parts(at="middle").said


def test_what_cannot_be_meant_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(made.dicom([frame(0), frame(1)]))
    (tmp_path / "one.dcm").write_bytes(made.dicom(frame(0)))
    (tmp_path / "bad.dcm").write_bytes(made.dicom(frame(0))[:300])
    (tmp_path / "text.dcm").write_text("no picture")
    (tmp_path / "p.png").write_bytes(b"\x89PNG")
    held = scans(tmp_path)
    assert list(held.pictures("one.dcm")) == ["one.dcm"]
    for path, reason in {
        "x.dcm": "several frames: the file has 2",
        "x.dcm#3": "frame missing: number 3; the file has 2",
        "x.dcm#0": "frame missing: number 0",
        "bad.dcm": "no picture|image damaged",
        "p.png#1": "image has no parts",
        "none.dcm": "image missing: no file at this path",
        "../x.dcm#1": "image outside its data folder",
    }.items():
        with pytest.raises(BadRowError, match=reason):
            held.pictures(path)


def test_a_hash_that_is_part_of_a_name_is_one(tmp_path: Path) -> None:
    (tmp_path / "x#2").write_bytes(made.dicom(frame(0)))
    assert list(scans(tmp_path).pictures("x#2")) == ["x#2"]


def test_rows_of_a_volume_become_one_a_slice_and_stay_together(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.nii.gz").write_bytes(made.nifti(VOLUME))
    rows = [row(at, image=f"{name}.nii.gz") for at, name in enumerate("ab")]
    source = read(tmp_path, rows, slices={"every": 3})
    assert [source.load(at).origin for at in range(6)] == [
        *(f"a.nii.gz#{n}" for n in (3, 6, 9)),
        *(f"b.nii.gz#{n}" for n in (3, 6, 9)),
    ]
    assert len(set(source.pool.ids)) == 6
    assert source.pool.units.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.pool.grouped.all()


def test_the_id_of_a_part_has_its_number_unless_the_path_names_it() -> None:
    table = ReleaseTable("x.json")
    row = {"dataset": "5", "asked": 0, "answer": 0, "label": 0, "question": 0, "tests": 0}
    for number, (name, image) in enumerate((("p", "a.nii"), ("q", "gone"), ("r", "b.nii#7"))):
        cells = row | {"ids": name, "images": image, "numbers": number}
        table.extend(**{key: [value] for key, value in cells.items()})
    use_pictures(table, [0, 0, 2], ["a.nii#1", "a.nii#2", "b.nii#7"])
    assert table.ids == ["p#1", "p#2", "r"]
    assert table.images == ["a.nii#1", "a.nii#2", "b.nii#7"]
    assert table.numbers.tolist() == [0, 0, 2]


def test_the_group_is_the_patient_unless_a_pattern_says_it(tmp_path: Path) -> None:
    patients = ["A", "A", "B", "", ""]
    for at, name in enumerate(patients):
        how = {"PatientID": name, "StudyInstanceUID": "1.2.3" if at < 4 else ""}
        (tmp_path / f"{at}.dcm").write_bytes(made.dicom(frame(at), **how))
    rows = [row(at, image=f"{at}.dcm") for at in range(5)]
    units = read(tmp_path, rows).pool.units.tolist()
    assert units == [0, 0, 1, 2, 3]
    assert read(tmp_path, rows, group_by=r"([0-2]|[34])\.dcm").pool.units.tolist() == list(range(5))
    source = read(tmp_path, rows, group_by=r"(\.)dcm")
    assert set(source.pool.units.tolist()) == {0}
    assert source.load(0).group.startswith("group-")


def test_the_key_is_made_once_for_its_owner_alone_and_decides_the_names(tmp_path: Path) -> None:
    first = Pseudonyms(tmp_path)
    name = first.of("patient", "A")
    assert stat.S_IMODE((tmp_path / KEY).stat().st_mode) == 0o600
    assert Pseudonyms(tmp_path).of("patient", "A") == name
    assert first.of("file", "A") != name
    assert list(tmp_path.iterdir()) == [tmp_path / KEY]
    (tmp_path / KEY).unlink()
    assert Pseudonyms(tmp_path).of("patient", "A") != name
    (tmp_path / KEY).write_text("short")
    with pytest.raises(DataError, match=r"cannot be used \(it is no key\); let it be written"):
        Pseudonyms(tmp_path).of("patient", "A")


def test_a_key_that_another_process_has_just_made_is_taken(tmp_path: Path) -> None:
    mine = Pseudonyms(tmp_path)
    theirs = Pseudonyms(tmp_path).of("patient", "A")
    mine._make()
    assert mine.of("patient", "A") == theirs
    assert [path.name for path in tmp_path.iterdir()] == [KEY]


def test_pictures_and_volumes_make_no_key(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(made.nifti(VOLUME))
    source = read(tmp_path, [row(0, image="a.nii.gz#2")])
    assert source.load(0).group == "a.nii.gz"
    assert not (tmp_path / KEY).exists()


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    """Return a folder whose files, rows and headers are full of names."""
    root = tmp_path / "data"
    (root / "ward7").mkdir(parents=True)
    rows = []
    for at in range(24):
        path = f"ward7/DOE_JOHN_{at}.dcm" if at % 2 else f"ward7/MRN-{at}"
        how = {"PatientID": f"MRN-{at}", "StudyInstanceUID": f"1.2.3.4711.{at}"}
        (root / path).write_bytes(made.dicom([frame(at), frame(at + 100)], **how))
        rows.append(row(at, image=path, id=f"DOE^JOHN-{at}"))
    (root / "ward7/DOE_cut.dcm").write_bytes((root / "ward7/DOE_JOHN_1.dcm").read_bytes()[:400])
    bad = made.changed((root / "ward7/DOE_JOHN_1.dcm").read_bytes(), RescaleSlope="NaN")
    (root / "ward7/DOE_bad.dcm").write_bytes(bad)
    odd = ["ward7/DOE_cut.dcm", "ward7/DOE_bad.dcm", "ward7/DOE_none.dcm", "ward7/DOE_JOHN_1.dcm#9"]
    rows += [row(50 + at, image=path, id=f"DOE-{at}") for at, path in enumerate(odd)]
    rows.append(row(60, image="ward7/DOE_JOHN_3.dcm", id="DOE^JOHN-60", **{"Answer-choice": "Z"}))
    return release(root, rows)


def written(folder: Path) -> bytes:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return b"\n".join(str(path.relative_to(folder)).encode() + path.read_bytes() for path in files)


@pytest.mark.parametrize("split", [None, {"path": "(DOE|MRN)", "test": "MRN", "train": "none"}])
def test_nothing_that_prepare_writes_or_says_holds_a_name_of_the_hospital(
    split: Any, ward: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = {"files": "rows.json", "frames": {"every": 1}, "group_by": r"ward7/(\w+)"}
    out = tmp_path / "out"
    said = ""
    try:
        prepare(asked(options=options | ({"split_by": split} if split else {})), ward, out, 2)
    except DataError as error:
        said = str(error)
    assert (out / "train.parquet").exists() == (split is None)
    said += "".join(capfd.readouterr())
    for path in out.glob("*.parquet"):
        said += str(pq.read_table(path).drop(["image"]).to_pylist())
        said += str([each.as_py() for each in pq.read_table(path)["image"]])
    text = written(out).decode("latin-1") + said
    assert [name for name in NAMES if name in text] == []
    if split is None:
        lines = (out / "quarantine.tsv").read_text().splitlines()[1:]
        reasons = [line.split("\t")[2].split(":")[0] for line in lines]
        assert {"image missing", "frame missing", "letter disagrees with answer"} <= set(reasons)
        assert all("dicom-" in line for line in lines)
    assert (ward / KEY).exists()


def test_pictures_with_boxes_hide_the_names_of_their_files_too(ward: Path) -> None:
    (ward / "labels").mkdir()
    for at in range(1, 24, 2):
        (ward / f"labels/DOE_JOHN_{at}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (ward / "labels/DOE_none.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    options = {"files": "labels/{image}.txt", "images": "ward7/{image}.dcm", "frames": {"at": [2]}}
    subset = spec(kind="detection")
    source = readers.get("yolo").source(subset, options, ward, Split())
    assert len(source.pool) == 12 + 1  # every second one, and that whose slope is no number
    found = source.load(0)
    assert found.size == (32, 24)
    assert found.origin.endswith("#2")
    text = repr([source.load(at) for at in range(3)]) + repr(source.quarantined)
    text += repr((source.files, source.images, source.pool.ids))
    assert [name for name in NAMES if name in text] == []


HIDDEN = [
    (
        "questions",
        {
            "files": "rows.json",
            "columns": {
                "id": "id",
                "image": "image",
                "question": "Question",
                "answer": "Answer",
                "group": "caption",
            },
            "constants": {"options": ["cat", "dog"]},
        },
    ),
    ("medmat", {"files": "rows.json", "group_by": r"(ward7)/DOE_JOHN_1"}),
]


@pytest.mark.parametrize(("reader", "options"), HIDDEN, ids=[name for name, _ in HIDDEN])
def test_every_reader_takes_frames_apart_and_hides_names(
    reader: str, options: Any, ward: Path
) -> None:
    names = [path for path in sorted((ward / "ward7").iterdir()) if "DOE_" in path.name]
    lines = ["picture,findings"]
    for at, path in enumerate(names):
        label = ("cat", "dog")[at % 2]
        (ward / "classes" / label).mkdir(parents=True, exist_ok=True)
        (ward / "classes" / label / path.name).write_bytes(path.read_bytes())
        lines.append(f"ward7/{path.name},{label if at % 3 else 'No Finding'}")
    lines.append("ward7/DOE_none.dcm,cat")
    (ward / "labels.csv").write_text("\n".join(lines))
    rule = {"frames": {"at": "middle"}}
    source = readers.get(reader).source(spec(), options | rule, ward, Split())
    counted = readers.get(reader).images(spec(), options | rule, ward)
    drawn: list[Any] = []
    for at in range(len(source.pool)):
        try:
            drawn.append(source.load(at))
        except (BadRowError, ImageError) as error:
            drawn.append(str(error))  # its slope is no number
            drawn.append(source.reject(at, str(error)))
    text = repr((drawn, source.quarantined, source.files, source.images, counted))
    text += repr(source.pool.ids)
    assert [name for name in NAMES if name in text] == []
    assert any("RescaleSlope is no number" in str(each) for each in drawn)
    samples = [each for each in drawn if not isinstance(each, str | Quarantined)]
    assert len(samples) >= 12
    assert all(each.origin.endswith("#1") and each.origin.startswith("dicom-") for each in samples)
    assert all(each.group.partition("-")[0] in ("patient", "group") for each in samples)
    assert len(set(source.pool.ids)) == len(source.pool)
