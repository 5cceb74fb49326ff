"""Canonical samples survive their file."""

from dataclasses import replace

import pyarrow.parquet as pq

from data_makers import sample
from matcg.samples import SCHEMA, Finding, label_of, read_samples, write_samples


def test_samples_come_back_as_written_in_their_order(tmp_path):
    written = [
        replace(
            sample(2),
            findings=(
                Finding("cell", (1.0, 2.0, 3.5, 4.0)),
                Finding("", (0.0, 0.0, 1.0, 1.0), "x"),
            ),
            size=(9, 7),
            group="p1",
        ),
        replace(sample(1, "no"), question="Größe der Läsion?"),
    ]
    write_samples(tmp_path / "deep" / "a.parquet", written)
    assert read_samples(tmp_path / "deep" / "a.parquet") == written


def test_same_samples_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_samples(tmp_path / name, [sample(n) for n in range(5)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_without_samples_keeps_its_columns(tmp_path):
    write_samples(tmp_path / "none", [])
    assert read_samples(tmp_path / "none") == []
    assert pq.read_schema(tmp_path / "none").names == SCHEMA.names


def test_a_file_says_of_what_it_is_unless_it_is_none_or_cut_short(tmp_path):
    path = tmp_path / "a.parquet"
    assert label_of(path) == {}
    write_samples(path, [sample(1)], "0123abcd")
    assert label_of(path) == {"digest": "0123abcd"}
    path.write_bytes(path.read_bytes()[:-9])
    assert label_of(path) == {}
