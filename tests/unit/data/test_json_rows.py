"""Rows come out as they stand in the file, however it is laid out and wherever it is cut."""

import json
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matcg.data import json_rows as module
from matcg.data.json_rows import ReleaseRow, read_json_rows, row_type
from matcg.errors import DataError

# What could be taken for the end of a row, and what a decoder may stumble over.
NASTY = st.sampled_from(["}, {", '"}, {"', "}\n,\n{", "\\", "]", "é中", "\U0001f600", "\ud800", ""])
TEXT = st.lists(NASTY | st.text(max_size=8), max_size=4).map("".join)
GOOD = st.fixed_dictionaries(
    {
        "id": st.integers(0, 9) | TEXT,
        "image": TEXT,
        "Question": TEXT,
        "Answer": TEXT,
        "Question-choice": TEXT,
        "Answer-choice": TEXT,
        "data-no": TEXT,
        "caption": TEXT,
    }
)
ANY = GOOD | st.none() | st.integers() | TEXT | st.lists(GOOD, max_size=2) | st.just({"id": [{}]})
NAMES = {each.name: each.encode_name for each in msgspec.structs.fields(ReleaseRow)}


def plain(row: object) -> object:
    """Return a row as the JSON value that it was, as far as it is kept."""
    if isinstance(row, ReleaseRow):
        return {NAMES[name]: value for name, value in msgspec.structs.asdict(row).items()}
    if isinstance(row, dict):
        return {key: value for key, value in row.items() if key != "caption"}
    return row


def read(path, **settings) -> list[object]:
    return [plain(row) for batch in read_json_rows(path, "f.json", **settings) for row in batch]


BLOCKS = st.sampled_from([1, 7, 64, 1 << 20])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


@settings(max_examples=50)  # rows are long to invent
@given(st.lists(ANY, max_size=4), BLOCKS, st.sampled_from([None, 2]), st.booleans())
def test_every_row_is_read_in_order(folder, values, block, indent, ascii_only):
    path = folder / "f.json"
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    path.write_text(text, encoding="utf-8", errors="replace")
    expected = [plain(row) for row in json.loads(path.read_text(encoding="utf-8"))]
    with mock.patch.object(module, "BLOCK", block):
        assert read(path) == expected


@given(st.lists(GOOD, max_size=4), BLOCKS)
def test_every_line_is_read_in_order(folder, values, block):
    path = folder / "f.jsonl"
    path.write_text("\n\n".join(map(json.dumps, values)), encoding="utf-8")
    with mock.patch.object(module, "BLOCK", block):
        assert read(path) == [plain(row) for row in values]


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "is not valid JSON"),
        (b"[{}", "is not valid JSON"),
        (b"[{}, {}]]", "is not valid JSON"),
        (b"[{}, {} {}]", "is not valid JSON"),
        (b"[{},, {}]", "is not valid JSON"),
        (b'{"a": 1}', "holds no JSON list"),
        (b"\xff\xfe[]", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
    ],
)
def test_what_is_no_list_is_said_so(monkeypatch, tmp_path, text, why, block):
    monkeypatch.setattr(module, "BLOCK", block)
    (tmp_path / "f.json").write_bytes(text)
    with pytest.raises(DataError, match=f"f.json: {why}.*; fetch the file again"):
        read(tmp_path / "f.json")


def test_a_broken_file_is_not_read_into_memory_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 100)
    monkeypatch.setattr(module, "MAX_ROW", 1000)
    (tmp_path / "f.json").write_bytes(b'[{"a": "' + b"x" * 100_000)
    asked = []
    monkeypatch.setattr(module.json, "loads", lambda text: asked.append(len(text)) or json_error())
    with pytest.raises(DataError, match="is not valid JSON"):
        read(tmp_path / "f.json")
    assert max(asked) <= 1100


def json_error():
    raise ValueError("broken")


def test_a_mark_of_byte_order_and_blanks_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 4)
    (tmp_path / "f.json").write_text(" " * 50 + "\n[1]\n", encoding="utf-8-sig")
    assert read(tmp_path / "f.json") == [1]


def test_further_columns_are_read_when_asked_for(tmp_path):
    good = {"id": 1, "image": "a", "Question": "q", "Answer": "x", "data-no": 2, "fold": "test"}
    (tmp_path / "f.json").write_text(json.dumps([good]))
    ((row,),) = read_json_rows(tmp_path / "f.json", "f.json", row_type(["fold"]))
    assert (row.extra_0, row.choices, row.dataset) == ("test", "", 2)
