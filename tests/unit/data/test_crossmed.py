"""CrossMed's sources in their layouts, and masks that are volumes: a slice, its mask, its place."""

from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco

from data_makers import picture
from images import hospital as made
from matcg.config.library import load
from matcg.data import readers
from matcg.data.prepare import prepare
from matcg.identity import named, of_subset
from matcg.samples import read_samples

CHEST = "CheXpert-v1.0-small"
DEPTH = 92  # the catalog names slices up to the 90th


def volume(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 1000, (6, 5, DEPTH)).astype(np.int16)


def chexpert(data: Path) -> None:
    lines = [
        "Path,Sex,Frontal/Lateral,Atelectasis,Cardiomegaly,Consolidation,Edema,Pleural Effusion"
    ]
    for n in range(24):
        path = f"{CHEST}/train/patient{n // 2:05d}/study1/view{n % 2}_frontal.jpg"
        view = "Lateral" if n == 23 else "Frontal"
        lines.append(f"{path},F,{view},{n // 2 % 2}.0,{n // 4 % 2}.0,-1.0,,{n // 2 % 2}.0")
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        (data / path).write_bytes(picture(n, "JPEG"))
    (data / CHEST / "train.csv").write_text("\n".join(lines))


def siim(data: Path) -> None:
    (data / "siim/dicom").mkdir(parents=True)
    lines = ["ImageId, EncodedPixels"]
    for n in range(12):
        pixels = np.random.default_rng(n).integers(0, 4000, (16, 16)).astype(np.uint16)
        name = f"1.2.276.0.{n}"
        file = made.dicom(pixels, PatientID=f"P{n}")
        (data / f"siim/dicom/{name}.dcm").write_bytes(file)
        lines.append(f"{name}, {'-1' if n % 2 else '17 3 13 3'}")
    (data / "siim/train-rle.csv").write_text("\n".join(lines))


def brats(data: Path) -> None:
    lines = ["Grade,BraTS_2017_subject_ID,BraTS_2018_subject_ID,BraTS_2020_subject_ID"]
    for n in range(12):
        name = f"BraTS20_Training_{n:03d}"
        (data / f"brats/{name}").mkdir(parents=True)
        mask = np.zeros((6, 5, DEPTH), dtype=np.int16)
        mask[1, 2, 59:70], mask[4, 4, 59] = 4, 2
        for what, values in (("flair", volume(n)), ("seg", mask)):
            file = made.nifti(values, packed=False)
            (data / f"brats/{name}/{name}_{what}.nii").write_bytes(file)
        lines.append(f"{('HGG', 'LGG')[n % 2]},NA,NA,{name}")
    (data / "brats/name_mapping.csv").write_text("\n".join(lines))


def mosmed(data: Path) -> None:
    for n in range(12):
        path = data / f"mosmed/CT-{n % 3}/study_{n:04d}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made.nifti(volume(100 + n)[..., :5]))
    (data / "mosmed/masks").mkdir()
    (data / "mosmed/masks/study_0001_mask.nii.gz").write_bytes(made.nifti(volume(0)[..., :5]))


SOURCES = {
    "xray-chest-classification": (chexpert, {"atelectasis: yes", "atelectasis: no"}),
    "xray-chest-segmentation": (siim, {"pneumothorax", "none"}),
    "mri-brain-classification": (brats, {"high-grade glioma", "low-grade glioma"}),
    "mri-brain-segmentation": (brats, {"tumour", "none"}),
    "ct-chest-classification": (mosmed, {"with signs", "without signs"}),
}


@pytest.fixture(scope="module")
def crossmed(request):
    found = load("catalog", request.config.rootpath / "catalogs/crossmed.yaml")
    readers.check(found)
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_each_source_is_read_in_its_layout(tmp_path, crossmed, name):
    make, labels = SOURCES[name]
    make(tmp_path)
    asked = crossmed.preparation(name)
    out = tmp_path / named(name, of_subset(asked))
    prepare(asked, tmp_path, out)
    train, test = (read_samples(out / f"{side}.parquet") for side in ("train", "test"))
    assert labels <= {each.label for each in train + test}
    assert not {each.group for each in train} & {each.group for each in test}
    # What a source says itself: the patient, or the volume that slices are of.
    assert all(each.group for each in train + test)
    assert len({each.image for each in train}) > 1


def test_a_slice_has_the_part_of_the_mask_that_lies_in_it(tmp_path, crossmed):
    brats(tmp_path)
    asked = crossmed.preparation("mri-brain-segmentation")
    out = tmp_path / named("x", of_subset(asked))
    prepare(asked, tmp_path, out)
    samples = [s for side in ("train", "test") for s in read_samples(out / f"{side}.parquet")]
    found = {each.origin.rpartition("#")[2]: each.findings for each in samples}
    assert {part: len(each) for part, each in found.items()} == {"60": 2, "70": 1, "80": 0, "90": 0}
    assert {each.size for each in samples} == {(6, 5)}
    whole = np.zeros((5, 6), dtype=np.uint8)
    for each in found["60"]:
        whole |= coco.decode({"size": [5, 6], "counts": each.mask.encode()})
    # Voxels 1, 2 and 4, 4 of axes that run to the right and the front: left is right, up is front.
    assert sorted(map(tuple, np.argwhere(whole))) == [(0, 1), (2, 4)]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (
            np.zeros((6, 5, 91), dtype=np.int16),
            "mask of another size: 91 slices, its picture has 92",
        ),
        (
            np.ones((5, 5, DEPTH), dtype=np.int16),
            "mask of another size: 5 x 5, its picture is 6 x 5",
        ),
        (np.full((6, 5, DEPTH), 0.5, dtype=np.float32), "mask unreadable: its values are no whole"),
        (None, "mask unreadable"),
    ],
)
def test_a_mask_that_does_not_fit_its_volume_is_told_of(tmp_path, crossmed, values, reason):
    brats(tmp_path)
    name = "BraTS20_Training_003"
    data = b"no volume" if values is None else made.nifti(values, packed=False)
    (tmp_path / f"brats/{name}/{name}_seg.nii").write_bytes(data)
    asked = crossmed.preparation("mri-brain-segmentation")
    source = readers.get("masks").source(asked.subset, asked.subset.options, tmp_path, asked.split)
    assert len(source.quarantined) == 4
    assert {each.reason.startswith(reason) for each in source.quarantined} == {True}
    assert {each.image.partition("#")[0] for each in source.quarantined} == {
        f"brats/{name}/{name}_flair.nii"
    }


def test_a_volume_without_a_rule_for_slices_is_set_aside_once(tmp_path, crossmed):
    brats(tmp_path)
    asked = crossmed.preparation("mri-brain-segmentation").subset
    options = {key: value for key, value in asked.options.items() if key != "slices"}
    source = readers.get("masks").source(asked, options, tmp_path, crossmed.split)
    assert [each.reason.split(":")[0] for each in source.quarantined] == ["several slices"] * 12
