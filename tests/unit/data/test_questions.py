"""Any table of questions: good rows are read whole, every bad one is set aside with its reason."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_makers import asked, picture, spec
from matcg.data.candidates import ImageCount
from matcg.data.prepare import prepare
from matcg.data.questions import count, read
from matcg.data.sampling import Draw
from matcg.errors import BadRowError, ConfigError, DataError
from matcg.samples import read_samples

COLUMNS = {
    "id": "nr", "image": "file", "question": "asked", "options": ["one", "two", "three"],
    "answer": "right",
}  # fmt: skip
OPTIONS = {"files": "t.*", "images": "pictures/{image}", "columns": COLUMNS}


def line(number, **changes):
    """Return a good row; a change to None takes the key away."""
    row = {
        "nr": number,
        "file": f"{number}.png",
        "asked": "What is it?",
        "one": "Cat",
        "two": "dog",
        "three": "a cow",
        "right": ("cat", "Dog.", "a cow")[number % 3],
        **changes,
    }
    return {key: value for key, value in row.items() if value is not None}


@pytest.fixture
def place(tmp_path):
    """Return a data folder with pictures 0 to 39."""
    (tmp_path / "pictures").mkdir()
    for number in range(40):
        (tmp_path / f"pictures/{number}.png").write_bytes(picture(number))
    return tmp_path


def source(place, rows, subset=None, **options):
    (place / "t.json").write_text(json.dumps(rows))
    return read(subset or spec(), {**OPTIONS, **options}, place)


def samples(found):
    return [found.load(at) for at in range(len(found.pool))]


def with_columns(**columns):
    return {"columns": {k: v for k, v in {**COLUMNS, **columns}.items() if v is not None}}


def test_a_row_becomes_a_sample(place):
    found = source(place, [line(1), line(2, three=""), line(3)])
    first, last = samples(found)
    assert first.sample_id == "30-1"
    assert (first.question, first.options) == ("What is it?", ("Cat", "dog", "a cow"))
    assert (first.answer, first.label, first.dataset) == (1, "dog", "30")
    assert (first.origin, first.image) == ("pictures/1.png", picture(1))
    assert (last.answer, last.label) == (0, "cat")
    (bad,) = found.quarantined
    assert (bad.file, bad.row, bad.image) == ("t.json", "2", "2.png")
    assert bad.reason == "answer not among its options: a cow"


# Each with the beginning of its reason; every row is number 3 of a file with four rows.
BAD_ROWS = {
    "no object": ([1], "not an object"),
    "no answer": (line(2, right=None), "key missing: right"),
    "blank answer": (line(2, right=" "), "key missing: right"),
    "no number": (line(2, right=float("nan")), "key missing: right"),
    "not offered": (line(2, right="pig"), "answer not among its options: pig"),
    "no id": (line(2, nr=None), "key missing: nr"),
    "no image": (line(2, file=""), "key missing: file"),
    "no question": (line(2, asked=None), "key missing: asked"),
    "question is a number": (line(2, asked=5), "wrong type: asked is no text"),
    "image is a number": (line(2, file=5), "wrong type: file is neither a path nor a picture"),
    "answer is a list": (line(2, right=["a"]), "wrong type: right"),
    "option is a fraction": (line(2, one=0.5), "wrong type: one"),
    "a gap": (line(2, two=""), "options unreadable: an option is empty"),
    "one option": (line(2, two="", three=""), "options unreadable: 1 options"),
    "twice": (line(2, two="cat."), "options unreadable: an option is given twice"),
    "half a character": (line(2, asked="\ud800"), "wrong type: half a character"),
    "duplicate id": (line(0), "duplicate id: the one of row 1 of t.json"),
    "missing image": (line(2, file="none.png"), "image missing"),
    "outside": (line(2, file="../../x.png"), "image outside its data folder"),
}


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_set_aside_with_its_reason(place, row, reason):
    found = source(place, [line(0), line(1), row, line(3)])
    assert [each.sample_id for each in samples(found)] == ["30-0", "30-1", "30-3"]
    (bad,) = found.quarantined
    assert bad.row == "3"
    assert bad.reason.startswith(reason)
    assert found.rows == 4


def test_the_same_rows_are_read_from_every_kind_of_file(place):
    rows = [{key: str(value) for key, value in line(n).items()} for n in range(6)]
    wanted = samples(source(place, rows))
    pq.write_table(pa.Table.from_pylist(rows), place / "u.parquet")
    (place / "u.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for mark, name in ((",", "u.csv"), ("\t", "u.tsv")):
        (place / name).write_text(
            "".join(mark.join(cells) + "\n" for cells in (rows[0], *(r.values() for r in rows)))
        )
    for name in ("u.parquet", "u.jsonl", "u.csv", "u.tsv"):
        assert samples(read(spec(), {**OPTIONS, "files": name}, place)) == wanted


@pytest.mark.parametrize(
    ("cell", "offered"),
    [
        (["Cat", "dog"], ("Cat", "dog")),
        ('["Cat", "dog"]', ("Cat", "dog")),
        ({"A": "Cat", "B": "dog", "C": None}, ("Cat", "dog")),
        ("A: Cat\nB: dog", ("Cat", "dog")),
        (["1", 2, True], ("1", "2", "true")),
    ],
)
def test_options_stand_in_one_cell(place, cell, offered):
    row = line(0, all=cell, right=offered[1])
    (found,) = samples(source(place, [row], **with_columns(options="all")))
    assert (found.options, found.answer) == (offered, 1)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("['Cat', 'dog']", "all is no list in JSON"),
        ({"A": "Cat", "C": "dog"}, "all has keys other than A, B, C"),
        ([["Cat"], "dog"], "wrong type: an option"),
        (["x"] * 27, "27 options"),
        (5, "all is no list"),
        ("Cat or dog", "fewer than two lines"),
    ],
)
def test_a_cell_without_options_costs_its_row(place, cell, reason):
    found = source(place, [line(0, all=cell)], **with_columns(options="all"))
    assert len(found.pool) == 0
    assert reason in found.quarantined[0].reason


def test_options_stand_inside_the_question(place):
    rows = [line(0, asked="Which one\nis it?\nA. Cat\nB. dog"), line(1, asked="A. Cat\nB. dog")]
    found = source(place, rows, **with_columns(options="asked"))
    (good,) = samples(found)
    assert (good.question, good.options, good.answer) == ("Which one is it?", ("Cat", "dog"), 0)
    assert found.quarantined[0].reason == "options unreadable: before them stands no question"


@pytest.mark.parametrize(
    ("how", "answer", "place_of"),
    [
        *(("letter", text, 1) for text in ("B", "B.", "(B)", "B: dog")),
        *(("index", text, 2) for text in (2, "2", 2.0)),
        *(("letter", text, None) for text in ("D", "B: cat", "dog", "7")),
        *(("index", text, None) for text in (3, -1, "B", "\u00b2")),
    ],
)
def test_an_answer_is_a_letter_or_a_place(place, how, answer, place_of):
    found = source(place, [line(0, right=answer)], answer=how)
    if place_of is None:
        assert len(found.quarantined) == 1
    else:
        (good,) = samples(found)
        assert good.answer == place_of
        assert good.label == ("Cat", "dog", "a cow")[place_of].casefold()


def test_label_patient_and_dataset_have_columns(place):
    columns = with_columns(label="kind", group="patient", dataset="from")
    rows = [line(n, kind="Pet", patient=f"p{n // 2}", **{"from": "x"}) for n in range(4)]
    found = source(place, [*rows, line(9)], **columns)
    first = samples(found)[0]
    assert (first.label, first.group, first.dataset) == ("pet", "p0", "x")
    assert first.sample_id == "30-x-0"
    assert found.pool.units.tolist() == [0, 0, 1, 1]
    assert found.quarantined[0].reason == "key missing: kind, patient, from"


def test_answers_count_as_the_labels_of_a_map(place):
    found = source(place, [line(0), line(1), line(2)], labels={"CAT": "pet", "dog": "pet"})
    assert [each.label for each in samples(found)] == ["pet", "pet", "a cow"]


def test_constants_stand_for_columns(place):
    constants = {"question": "Is it a cat?", "options": ["yes", "no"], "dataset": "d"}
    rows = [{"file": "0.png", "right": "no"}]
    found = source(
        place,
        rows,
        constants=constants,
        columns={"image": "file", "answer": "right"},
    )
    (good,) = samples(found)
    assert (good.question, good.options, good.answer) == ("Is it a cat?", ("yes", "no"), 1)
    assert (good.dataset, good.sample_id) == ("d", "30-t.json-1")


def test_questions_without_options_get_them_of_the_labels(place):
    rows = [line(n, one=None, two=None, three=None) for n in range(30)]
    options = {**with_columns(options=None), "rebuild": {"options": 3}}
    (place / "t.json").write_text(json.dumps(rows))
    prepare(asked(reader="questions", options={**OPTIONS, **options}), place, place / "out")
    test = read_samples(place / "out/test.parquet")
    assert {tuple(sorted(each.options)) for each in test} == {("a cow", "cat", "dog")}
    assert {each.options[each.answer] == each.label for each in test} == {True}
    assert len(test) == 9


def test_rows_of_other_values_are_passed_over(place):
    rows = [line(0, kind=1), line(1, kind="2"), line(2, kind="3"), line(3)]
    found = source(place, rows, only={"kind": ["1", 2]})
    assert [each.sample_id for each in samples(found)] == ["30-0", "30-1"]
    assert [each.reason for each in found.quarantined] == ["key missing: kind"]
    assert found.rows == 3


def test_a_column_that_a_file_calls_otherwise_is_found(place):
    rows = [line(0), line(1, right=None, truth="dog"), line(2, truth="dog")]
    found = source(place, rows, renamed={"truth": "right"})
    assert [each.label for each in samples(found)] == ["cat", "dog"]
    assert found.quarantined[0].reason == "key twice: right and truth disagree"


@pytest.mark.parametrize("held", ["bytes", "struct"])
def test_pictures_stand_in_a_parquet_file(place, held):
    def cell(number):
        data = picture(number)
        return data if held == "bytes" else {"bytes": data, "path": f"{number}.png"}

    rows = [line(n, file=cell(n % 5)) for n in range(8)]
    pq.write_table(pa.Table.from_pylist(rows), place / "t.parquet", row_group_size=3)
    found = read(spec(), OPTIONS, place)
    got = samples(found)
    assert [each.image for each in got] == [picture(n % 5) for n in range(8)]
    assert got[1].origin == f"t.parquet/{'1.png' if held == 'struct' else 2}"
    # Questions about one picture stay on one side.
    assert found.pool.units.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert len(set(Draw(found, found.pool.ranks(1), 2, {}).test(found.pool.labels >= 0, 6))) == 6


def test_a_column_of_pictures_may_be_called_otherwise_in_a_file(place):
    rows = [{**line(n), "picture": picture(n)} for n in range(2)]
    for row in rows:
        del row["file"]
    pq.write_table(pa.Table.from_pylist(rows), place / "t.parquet")
    found = read(spec(), {**OPTIONS, "renamed": {"picture": "file"}}, place)
    assert [each.image for each in samples(found)] == [picture(0), picture(1)]


def test_pictures_are_copied_only_where_they_are_drawn(place, monkeypatch):
    rows = [line(n, file=picture(n % 2)) for n in range(4)]
    pq.write_table(pa.Table.from_pylist(rows), place / "t.parquet")
    monkeypatch.setattr("tempfile.TemporaryFile", None)
    assert count(spec(), OPTIONS, place) == (ImageCount("30", 4, 2, 0, ""),)
    with pytest.raises(TypeError):
        read(spec(), OPTIONS, place)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ABx"), inner),
    max_leaves=6,
)
SHAPES = [
    {},
    with_columns(options="one"),
    with_columns(options="asked"),
    {**with_columns(label="two", group="three"), "answer": "index", "renamed": {"x": "file"}},
    {"only": {"one": ["Cat"]}, "rebuild": {"options": 3}, "answer": "letter"},
    {"split_by": {"column": "one", "train": ["Cat"], "test": ["dog"]}},
]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from([*line(0), "x"]), ANYTHING, max_size=3), max_size=4),
    st.sampled_from(SHAPES),
)
def test_whatever_rows_hold_each_is_read_set_aside_or_another_subset_s(made, shape):
    with tempfile.TemporaryDirectory() as folder:
        rows = [line(n) | change for n, change in enumerate(made)]
        (Path(folder) / "t.json").write_text(json.dumps(rows))
        found = read(spec(), {**OPTIONS, **shape}, Path(folder))
    passed = sum(text_in(row.get("one")) not in ("", "Cat") for row in rows) * ("only" in shape)
    assert len(rows) - passed <= found.rows <= len(rows)
    assert len(found.pool) + len(found.quarantined) == found.rows


def text_in(cell):
    """Return what `only` compares a cell by: text, a whole number, or true and false."""
    if isinstance(cell, str):
        return cell.strip()
    whole = isinstance(cell, int) or (isinstance(cell, float) and cell.is_integer())
    return str(cell) if whole else ""


def test_a_struct_without_bytes_is_a_path_and_an_empty_one_is_a_bad_row(place):
    cells = [{"bytes": None, "path": "1.png"}, {"bytes": b"", "path": None}]
    rows = [line(n, file=cell) for n, cell in enumerate(cells)]
    pq.write_table(pa.Table.from_pylist(rows), place / "t.parquet")
    found = read(spec(), OPTIONS, place)
    assert [each.origin for each in samples(found)] == ["pictures/1.png"]
    assert found.quarantined[0].reason.startswith("key missing: file holds neither")


def test_a_picture_in_a_table_that_is_none_is_refused_when_it_is_drawn(place):
    pq.write_table(pa.Table.from_pylist([line(0, file=b"GIF")]), place / "t.parquet")
    found = read(spec(), OPTIONS, place)
    draw = Draw(found, found.pool.ranks(1), 1, {})
    assert not draw.test(found.pool.labels >= 0, 5)
    assert [found.reject(at, why).row for at, why in draw.rejected.items()] == ["1"]


def test_the_source_s_own_split_is_a_column_or_in_the_path(place):
    rows = [line(0, part="train"), line(1, part="test"), line(2, part="dev")]
    found = source(place, rows, split_by={"column": "part"})
    assert found.tests.tolist() == [False, True]
    assert found.quarantined[0].reason == "split unknown: 'dev' in part is neither train nor test"
    for part in ("train", "test"):
        row = line(4 + len(part), file=picture(1))
        pq.write_table(pa.Table.from_pylist([row]), place / f"{part}-0.parquet")
    options = {**OPTIONS, "files": "*.parquet", "split_by": {"path": "^(train|test)-"}}
    assert read(spec(), options, place).tests.tolist() == [True, False]


def test_all_files_of_a_pattern_are_read_and_rows_named_by_theirs(place):
    for name in ("b", "a"):
        (place / f"{name}.json").write_text(json.dumps([line(0), line(1)]))
    options = {**OPTIONS, "files": ["?.json", "[ab].json", "*.json"]}
    found = read(spec(), options, place)
    assert found.files == ("a.json", "b.json")
    assert [each.file for each in found.quarantined] == ["b.json", "b.json"]
    assert "row 1 of a.json" in found.quarantined[0].reason
    with pytest.raises(DataError, match=r"subset 30: no file x30.csv in"):
        read(spec(), {**OPTIONS, "files": "x{id}.csv"}, place)


def test_a_table_that_is_a_link_out_of_the_folder_is_refused(place, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "secret.json"
    out.write_text(json.dumps([line(0)]))
    (place / "t.json").symlink_to(out)
    with pytest.raises(DataError, match=r"no file t\.\* in|t.json: is not read"):
        read(spec(), OPTIONS, place)


def test_pictures_are_counted_by_dataset(place):
    rows = [line(0), line(1), line(2, file="0.png"), line(3, file="x.png")]
    (place / "t.json").write_text(json.dumps(rows))
    assert count(spec(datasets=["d"]), OPTIONS, place) == (
        ImageCount("d", 4, 3, 1, "pictures/x.png"),
    )


def test_all_is_prepared_and_every_row_accounted_for(place):
    (place / "t.json").write_text(json.dumps([line(n) for n in range(39)] + [line(39, right="x")]))
    prepare(asked(reader="questions", options=OPTIONS), place, place / "out")
    account = json.loads((place / "out/summary.json").read_text())
    assert (account["rows"], account["usable"], account["files"]) == (40, 39, ["t.json"])
    got = [read_samples(place / f"out/{side}.parquet") for side in ("train", "test")]
    assert Counter(each.label for each in got[1]) == {"cat": 3, "dog": 3, "a cow": 3}
    assert not {each.origin for each in got[0]} & {each.origin for each in got[1]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colums": {}}, "reader questions: colums: unknown key. Did you mean 'columns'"),
        (with_columns(anwser="x"), "anwser: unknown key. Did you mean 'answer'"),
        (with_columns(image=None), "columns.image"),
        (with_columns(answer=None), "give `columns.answer`, or `rebuild`"),
        (with_columns(question=None), "give `columns.question`, or one for all rows"),
        (with_columns(options=None), "give `columns.options`, or `rebuild`"),
        ({"constants": {"question": "x"}}, "`question` is a column and a constant"),
        ({**with_columns(group="g"), "group_by": "x"}, "both tell the patient"),
        ({"images": "pictures"}, "`images` needs {image}"),
        ({"answer": "number"}, "answer"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(place, change, message):
    with pytest.raises(ConfigError) as error:
        read(spec(), {**OPTIONS, **change}, place)
    assert message in str(error.value)


def test_what_is_drawn_of_a_picture_that_vanished_is_a_bad_row(place):
    found = source(place, [line(0)])
    (place / "pictures/0.png").unlink()
    with pytest.raises(BadRowError, match="image missing"):
        found.load(0)
