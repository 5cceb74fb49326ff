"""Rows of any kind of table: all of them, in their order, or what is wrong with the file."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matcg.data.table_rows import read_rows
from matcg.errors import DataError

ROWS = [{"a": f"{n}", "b": 'x, "y"\nz'} for n in range(9000)]


def write(path, rows):
    """Write rows as the kind of table that the path ends in."""
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        mark = {".csv": ",", ".tsv": "\t"}[path.suffix]
        cells = [list(rows[0]), *(row.values() for row in rows)]
        quoted = [['"' + cell.replace('"', '""') + '"' for cell in line] for line in cells]
        path.write_text("\ufeff" + "".join(mark.join(line) + "\n" for line in quoted))
    return path


def rows_in(path, needed=(), wanted=("a", "b")):
    return [row for batch in read_rows(path, path.name, needed, wanted) for row in batch]


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "tsv", "parquet"])
def test_every_kind_gives_the_same_rows(tmp_path, kind):
    assert rows_in(write(tmp_path / f"t.{kind}", ROWS), ["a"]) == ROWS


def test_a_kind_is_known_in_capitals(tmp_path):
    (tmp_path / "t.CSV").write_text("a\n1\n")
    assert rows_in(tmp_path / "t.CSV") == [{"a": "1"}]


def test_only_columns_that_are_wanted_are_read_of_parquet(tmp_path):
    path = write(tmp_path / "t.parquet", [{"a": "1", "picture": b"x"}])
    assert rows_in(path) == [{"a": "1"}]


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_a_column_that_is_not_there_is_an_error_that_names_the_nearest(tmp_path, kind):
    path = write(tmp_path / f"t.{kind}", [{"answers": "1"}])
    with pytest.raises(DataError, match=rf"t.{kind}: has no column 'answer'.*'answers'\?"):
        rows_in(path, ["answer"])


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", b"a,a\n1,2\n", "t.csv: column 'a' stands twice"),
        ("t.csv", b'a,b\n1,2\n3,"4\n5,6\n', "t.csv, line 4: is no table in UTF-8"),
        ("t.csv", b"a,b\n1,\xff\n", "t.csv.*: is no table in UTF-8"),
        ("t.json", b"{}", "t.json: holds no JSON list of rows"),
        ("t.parquet", b"PAR1 not", "t.parquet: is no Parquet file"),
        ("t.xlsx", b"", "t.xlsx: is no .json, .jsonl, .csv, .tsv, .parquet file"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        rows_in(tmp_path / name)


def test_a_row_of_other_length_is_a_bad_row_and_a_blank_line_is_none(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n\n3\n4,5,6\n7,8\n")
    good, short, long, last = rows_in(tmp_path / "t.csv")
    assert (good, last) == ({"a": "1", "b": "2"}, {"a": "7", "b": "8"})
    assert str(short) == "not a row: 1 cells under 2 columns"
    assert str(long) == "not a row: 3 cells under 2 columns"
