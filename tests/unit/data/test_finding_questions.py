"""Several findings a picture: each asked of, no picture on both sides, no answer from none."""

import json
from collections import Counter, defaultdict

import pytest

from data_makers import asked, picture, spec
from matcg import identity
from matcg.data.leaks import Search, search
from matcg.data.prepare import prepare
from matcg.data.questions import read
from matcg.errors import ConfigError
from matcg.samples import read_samples
from matcg.tsv import read_tsv

NAMES = {"Effusion": "effusion", "Pleural_Thickening": "pleural thickening"}
OPTIONS = {
    "files": "t.json",
    "columns": {"image": "file", "id": "nr"},
    "findings": {"names": NAMES, "question": "Is there {finding}?"},
}
LISTED = {"names": NAMES, "listed": "all", "none": "No Finding"}


@pytest.fixture
def place(tmp_path):
    """Return a data folder with pictures 0 to 39."""
    for number in range(40):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    return tmp_path


def line(number, **changes):
    """Return a row with a column a finding, whose cells are the digits of its number in binary."""
    cells = {name: number >> at & 1 for at, name in enumerate(NAMES)}
    return {"nr": number, "file": f"{number}.png", **cells, **changes}


def source(place, rows, **options):
    (place / "t.json").write_text(json.dumps(rows))
    return read(spec(), {**OPTIONS, **options}, place)


def samples(found):
    return {found.load(at).sample_id: found.load(at) for at in range(len(found.pool))}


def test_a_row_is_asked_of_each_finding(place):
    found = samples(source(place, [line(1)]))
    assert list(found) == ["30-1-effusion", "30-1-pleural thickening"]
    one, other = found.values()
    assert (one.question, one.options, one.answer) == ("Is there effusion?", ("yes", "no"), 0)
    assert (other.question, other.answer) == ("Is there pleural thickening?", 1)
    assert (one.label, other.label) == ("effusion: yes", "pleural thickening: no")
    assert one.origin == other.origin == "1.png"


@pytest.mark.parametrize("cells", [("1", "0"), (1.0, 0.0), (True, False), ("yes", "NO".lower())])
def test_cells_say_yes_and_no_in_several_ways(place, cells):
    found = samples(source(place, [line(0, **dict(zip(NAMES, cells, strict=True)))]))
    assert [each.answer for each in found.values()] == [0, 1]


@pytest.mark.parametrize(
    ("cell", "there"),
    [
        ("Effusion|Pleural_Thickening", [0, 0]),
        (["Pleural_Thickening"], [1, 0]),
        ([], [1, 1]),
        ("No Finding", [1, 1]),
        (" Effusion ", [0, 1]),
    ],
)
def test_one_column_lists_what_is_there(place, cell, there):
    found = samples(source(place, [{"nr": 1, "file": "1.png", "all": cell}], findings=LISTED))
    assert [each.answer for each in found.values()] == there


@pytest.mark.parametrize(
    ("options", "row", "n", "reason"),
    [
        ({}, line(1, Effusion="-1.0"), 1, "finding neither yes nor no: Effusion '-1.0'"),
        ({}, line(1, Effusion=None), 1, "finding neither yes nor no: Effusion ''"),
        ({}, line(1, Effusion=["x"]), 0, "wrong type: Effusion"),
        ({}, line(1, file=""), 0, "key missing: file"),
        ({"findings": LISTED}, line(1, all="Effusion|Mass"), 0, "finding unknown: Mass in all"),
        ({"findings": LISTED}, line(1, all=""), 0, "key missing: all"),
        ({"findings": LISTED}, line(1, all=[["Effusion"]]), 0, "wrong type: all"),
        ({}, line(0), 0, "duplicate id"),
    ],
)
def test_what_a_row_does_not_tell_is_set_aside_with_its_reason(place, options, row, n, reason):
    good = line(0, all=[])
    found = source(place, [good, row], **options)
    assert len(found.pool) == 2 + n
    (bad,) = found.quarantined
    assert bad.row == "2"
    assert bad.reason.startswith(reason)


def test_questions_about_one_picture_never_part_and_letters_tell_nothing(place):
    rows = [line(n, nr=f"{n}-{again}") for n in range(40) for again in "ab"]
    asked_for = asked(reader="questions", options=OPTIONS, train=200, test=40)
    (place / "t.json").write_text(json.dumps(rows))
    prepare(asked_for, place, place / "out")
    train, test = (read_samples(place / f"out/{side}.parquet") for side in ("train", "test"))
    assert not {each.origin for each in train} & {each.origin for each in test}
    assert {len(v) for v in by_origin(train).values()} == {4}
    labels = Counter(each.label for each in test)
    assert len(labels) == 4
    assert len(set(labels.values())) == 1
    for label in labels:
        places = Counter(each.answer for each in train if each.label == label)
        assert abs(places[0] - places[1]) <= 1
    for each in train:
        assert each.label.endswith(each.options[each.answer])


def by_origin(samples):
    found = defaultdict(list)
    for each in samples:
        found[each.origin].append(each)
    return found


def test_leaks_take_out_all_questions_about_a_picture(place):
    """A picture that another subset tests on is a leak by each of its questions, and goes whole."""
    folders = {}
    for name, rows in (("a", range(30)), ("b", range(10, 40))):
        (place / "t.json").write_text(json.dumps([line(n) for n in rows]))
        each = asked(spec(name), reader="questions", options=OPTIONS, train=200, test=40)
        folders[name] = place / identity.named(name, identity.of_subset(each))
        prepare(each, place, folders[name])
    search(Search("tiny", ["a"], ["b"], 24, folders), place)
    leaks = read_tsv(place / "leaks.tsv")
    tested = {each.origin for each in read_samples(folders["a"] / "test.parquet")}
    trained = by_origin(read_samples(folders["b"] / "train.parquet"))
    shared = tested & set(trained)
    assert shared
    for origin in shared:
        names = {each.sample_id for each in trained[origin]}
        assert len(names) == 2
        assert names <= {each["train"] for each in leaks}
    assert len({each["train"] for each in leaks}) == 2 * len(shared)


@pytest.mark.parametrize(
    ("findings", "message"),
    [
        ({"names": []}, "names"),
        ({"names": ["a"], "question": "Well?"}, "needs {finding}"),
        ({"names": ["a"], "yes": ["0"]}, "'0' says that there is one and that there is none"),
        ({"names": ["a"], "listed": "x", "none": "a"}, "'a' says"),
    ],
)
def test_wrong_findings_are_refused(place, findings, message):
    with pytest.raises(ConfigError, match=message):
        source(place, [line(1)], findings=findings)


@pytest.mark.parametrize(
    "more",
    [
        {"rebuild": {"instructions": ["Well?"]}},
        {"columns": {**OPTIONS["columns"], "answer": "right"}},
        {"constants": {"question": "Well?"}},
    ],
)
def test_findings_stand_in_the_place_of_questions(place, more):
    with pytest.raises(ConfigError, match="leave these out"):
        source(place, [line(1)], **more)
