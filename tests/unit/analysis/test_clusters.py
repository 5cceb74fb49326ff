"""Which questions belong to one patient or picture, read from the canonical samples."""

from dataclasses import replace

import numpy as np
import pytest

from matcg.analysis.clusters import read_origins
from matcg.errors import DataError
from matcg.samples import Sample, write_samples

LUNG = ("cat", "lung")
SAMPLE = Sample(
    sample_id="",
    subset="lung",
    image=b"",
    fingerprint="",
    origin="",
    question="",
    options=("a", "b"),
    answer=0,
    label="a",
    dataset="",
)


def write(tmp_path, *samples):
    """Write samples given as (id, dataset, group, origin)."""
    names = ("sample_id", "dataset", "group", "origin")
    rows = [replace(SAMPLE, **dict(zip(names, each, strict=True))) for each in samples]
    write_samples(tmp_path / "test.parquet", rows)


def read(tmp_path, *names):
    return read_origins({LUNG: tmp_path}, {LUNG: names})[LUNG]


def test_questions_of_one_patient_or_else_one_picture_are_a_cluster(tmp_path):
    write(
        tmp_path,
        ("d", "x", "", "1.png"),
        ("a", "x", "p1", "2.png"),
        ("b", "x", "p1", "3.png"),
        ("c", "x", "", "1.png"),
        ("e", "y", "p1", "2.png"),
        ("f", "y", "", "1.png"),
    )
    found = read(tmp_path, "a", "b", "c", "d", "e", "f")
    a, b, c, d, e, f = found.clusters
    assert a == b
    assert c == d
    assert len({a, c, e, f}) == 4
    assert sorted(set(found.clusters)) == [0, 1, 2, 3]
    assert list(found.datasets) == ["x", "x", "x", "x", "y", "y"]


def test_where_all_differ_there_are_no_clusters(tmp_path):
    write(tmp_path, ("a", "x", "p1", "1.png"), ("b", "x", "p2", "1.png"), ("c", "x", "", "1.png"))
    assert read(tmp_path, "a", "b", "c").clusters is None


def test_clusters_of_some_of_the_questions_are_numbered_anew(tmp_path):
    write(tmp_path, *((name, "x", group, "") for name, group in zip("abcde", "pqrrs", strict=True)))
    found = read(tmp_path, *"abcde").only(np.array([False, True, True, True, False]))
    assert list(found.clusters) == [0, 1, 1]
    assert list(found.datasets) == ["x"] * 3


@pytest.mark.parametrize("names", [("a", "z"), ("0", "a"), ("a", "a0")])
def test_a_question_that_is_not_there_is_an_error(tmp_path, names):
    write(tmp_path, ("a", "x", "", "1.png"), ("b", "x", "", "2.png"))
    with pytest.raises(DataError, match="lacks questions that were answered; predict again"):
        read(tmp_path, *names)


def test_missing_test_samples_are_an_error(tmp_path):
    with pytest.raises(DataError, match=r"test\.parquet: cannot be read.*prepare the subset again"):
        read(tmp_path, "a")
