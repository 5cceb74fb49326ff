"""MedMNIST's files: every picture under its label, the official split kept, bad files refused."""

import io
import tracemalloc
import zipfile
from collections import Counter

import numpy as np
import pytest

from data_makers import asked, spec
from matcg.data.candidates import ImageCount
from matcg.data.medmnist import count, read
from matcg.data.prepare import prepare
from matcg.errors import ConfigError, DataError
from matcg.images import decode
from matcg.samples import read_samples
from medmnist_files import npz

NAMES = ["adipose", "debris", "mucus"]
OPTIONS = {"names": NAMES, "rebuild": {"instructions": ["Which tissue?"], "options": 3}}
SEVERAL = {"names": NAMES, "question": "Is there {finding}?"}


def source(folder, data, options=OPTIONS, name="30.npz", **more):
    (folder / name).write_bytes(data)
    return read(spec(), {**options, **more}, folder)


def samples(found):
    return [found.load(at) for at in range(len(found.pool))]


@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize(("size", "name"), [(28, "30.npz"), (64, "30_64.npz")])
def test_a_picture_becomes_a_sample_with_its_pixels(tmp_path, size, name, colours):
    data = npz(size, colours=colours)
    found = samples(source(tmp_path, data, name=name, size=size))
    arrays = np.load(io.BytesIO(data))
    assert [each.label for each in found[:4]] == ["adipose", "debris", "mucus", "adipose"]
    assert (found[1].sample_id, found[12].sample_id) == ("30-train-1", "30-test-0")
    assert found[1].origin == f"{name.removesuffix('.npz')}/train/1.png"
    for at, wanted in ((1, arrays["train_images"][1]), (-1, arrays["test_images"][-1])):
        got = np.asarray(decode(found[at].image, "x"))
        assert (got == (wanted if colours else wanted[..., None])).all()


def test_the_official_split_is_kept(tmp_path):
    (tmp_path / "30.npz").write_bytes(npz())
    prepare(asked(reader="medmnist", options=OPTIONS, test=9), tmp_path, tmp_path / "out")
    for side, n in (("train", 12), ("test", 9)):
        found = read_samples(tmp_path / f"out/{side}.parquet")
        assert {each.sample_id.split("-")[1] for each in found} == {side}
        assert len(found) == n
        assert {tuple(sorted(each.options)) for each in found} == {tuple(NAMES)}
    with_val = read(spec(), {**OPTIONS, "train": ["train", "val"]}, tmp_path)
    assert (len(with_val.pool), int(with_val.tests.sum())) == (24, 9)
    assert count(spec(), OPTIONS, tmp_path) == (ImageCount("30", 21, 21, 0),)


def test_several_labels_are_asked_of_one_at_a_time(tmp_path):
    found = source(tmp_path, npz(several=3), SEVERAL)
    assert len(found.pool) == 3 * 21
    third = samples(found)[9:12]
    assert [each.question for each in third] == [f"Is there {name}?" for name in NAMES]
    assert [each.label.split(": ")[1] for each in third] == ["yes", "yes", "no"]
    assert set(Counter(found.pool.units.tolist()).values()) == {3}
    (tmp_path / "30.npz").write_bytes(npz(several=3))
    prepare(asked(reader="medmnist", options=SEVERAL, test=18), tmp_path, tmp_path / "out")
    test = read_samples(tmp_path / "out/test.parquet")
    assert set(Counter(each.label for each in test).values()) == {len(test) // 6}


def test_a_label_without_a_name_is_set_aside(tmp_path):
    found = source(tmp_path, npz(labels=4))
    assert {each.reason for each in found.quarantined} == {"label unknown: [3] is not in 0 to 2"}
    assert [each.row for each in found.quarantined if "test" in each.image] == ["4", "8"]
    assert len(found.pool) + len(found.quarantined) == found.rows == 21


def test_labels_are_alike_by_rows_and_by_columns(tmp_path):
    data = npz(several=3)
    columns = np.asfortranarray(np.load(io.BytesIO(data))["train_labels"])
    found = [
        [each.label for each in samples(source(tmp_path, given, SEVERAL))]
        for given in (data, npz(several=3, train_labels=columns))
    ]
    assert found[0] == found[1]


def test_of_labels_no_more_is_read_than_there_are_pictures(tmp_path):
    data = rewritten(npz(), "test_labels.npy", lambda array: array + bytes(1 << 24))
    tracemalloc.start()
    try:
        assert len(source(tmp_path, data).pool) == 21
        assert tracemalloc.get_traced_memory()[1] < 1 << 23
    finally:
        tracemalloc.stop()


def truncated(data):
    return data[: len(data) // 2]


def rewritten(data, name, change):
    """Return a file with another array in place of one, or without it."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for each in old.namelist():
            array = change(old.read(each)) if each == name else old.read(each)
            if array is not None:
                new.writestr(each, array)
    return made.getvalue()


def without(data, name):
    return rewritten(data, name, lambda _: None)


def short(data, name):
    return rewritten(data, name, lambda array: array[:-5])


def endless(shape):
    """Return the head of an array without what it announces."""
    head = io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, about)
    return head.getvalue()


BAD = {
    "no archive": (b"<html>404</html>", "is no file of MedMNIST"),
    "cut": (truncated(npz()), "is no file of MedMNIST"),
    "no labels": (without(npz(), "test_labels.npy"), "test_labels.npy"),
    "another size": (npz(32), r"train_images are uint8 of shape \(12, 32, 32\)"),
    "other numbers": (npz(test_images=np.zeros((9, 28, 28))), "test_images are float64"),
    "columns first": (npz(test_images=np.asfortranarray(np.zeros((9, 28, 28), "u1"))), "test_im"),
    "fewer labels": (npz(test_labels=np.zeros((8, 1), "u1")), r"test_labels .* shape \(8, 1\)"),
    "several labels": (npz(several=3), r"train_labels are uint8 of shape \(12, 3\)"),
    "objects": (npz(test_labels=np.array([[{}]] * 9)), "test_labels are object"),
    "short": (short(npz(), "train_images.npy"), "train_images ends 5 bytes early"),
    "short labels": (short(npz(), "test_labels.npy"), "test_labels ends 5 bytes early"),
    "endless labels": (
        rewritten(npz(), "test_labels.npy", lambda _: endless((10**15, 1))),
        r"test_labels .* not numbers of shape \(9, 1\)",
    ),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_a_file_of_another_kind_is_an_error_that_says_what_it_is(tmp_path, data, message):
    with pytest.raises(DataError, match=rf"30.npz: .*{message}"):
        source(tmp_path, data)


def test_a_file_that_is_not_there_is_an_error_that_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"30_224.npz of .* fetch_tables .* mend option 'size'"):
        read(spec(), {**OPTIONS, "size": 224}, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 32}, "size"),
        ({"names": ["a"]}, "names"),
        ({"names": ["a", "a"]}, "twice"),
        ({"train": ["test"]}, "train"),
        ({"question": "Is there {finding}?"}, "give `rebuild` with `instructions`, or `question`"),
        ({"rebuild": None}, "give `rebuild`"),
        ({"rebuild": None, "question": "Well?"}, "needs {finding}"),
        ({"split_by": {"path": "x"}}, "the official split is kept"),
    ],
)
def test_wrong_options_are_refused(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        read(spec(), {**OPTIONS, **change}, tmp_path)
