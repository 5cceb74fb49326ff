"""Prepared subsets: sizes, leaks, and an account in which every row of the source is found."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from realmat import REALMAT, needs_realmat

from data_makers import asked, picture, release, row, sample, spec
from matcg.config.library import load
from matcg.data import readers, sampling
from matcg.data.candidates import Quarantined, Source, pool_of
from matcg.data.near_duplicates import hashes, near_pairs
from matcg.data.prepare import prepare, summarise
from matcg.data.readers import Reader
from matcg.errors import DataError
from matcg.identity import ABOUT, named, of_subset
from matcg.samples import Sample, label_of, read_samples

REPO = Path(__file__).parents[3]
EEL = {"Question-choice": "Q\nA: eel\nB: cat", "Answer-choice": "A"}
COLUMNS = ("sample_id", "label", "origin", "group")


def account(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture
def fake(monkeypatch):
    """Return a function that makes reader `fake` hand over the samples given."""

    def use(samples, tests=None, quarantined=()):
        columns = [[getattr(s, name) for s in samples] for name in COLUMNS]
        source = Source(
            pool=pool_of(*columns),
            load=samples.__getitem__,
            reject=lambda at, why: Quarantined("-", samples[at].sample_id, why, ""),
            rows=len(samples) + len(quarantined),
            quarantined=tuple(quarantined),
            tests=None if tests is None else np.array(tests, dtype=bool),
        )
        monkeypatch.setattr(readers, "get", lambda _: Reader(lambda *_: source))

    return use


def near(one: list[Sample], other: list[Sample]) -> list[tuple[int, int, int]]:
    """Return which of two lists of samples show nearly the same."""
    sides = (hashes(each.fingerprint for each in side) for side in (one, other))
    return list(near_pairs(*sides, 24))


def test_every_row_of_the_source_is_accounted_for(tmp_path):
    rows = [row(n) for n in range(40)]
    rows[3] = row(3, Answer="cow")
    rows[4] = row(4, image="../x")
    rows[5] = row(5, image='"no\tne\n\ud800.png')
    prepare(asked(), release(tmp_path / "in", rows), tmp_path / "out")
    found = account(tmp_path / "out")
    assert (found["rows"], found["usable"]) == (40, 37)
    assert found["quarantined"] == {
        "answer not among its options": 1,
        "image outside its data folder": 1,
        "wrong type": 1,
    }
    set_aside = table(tmp_path / "out" / "quarantine.tsv")
    assert [each["row"] for each in set_aside] == ["4", "5", "6"]
    assert set_aside[2]["image"] == r'"no\tne\n\ud800.png'
    assert found["pool"]["train"] + found["pool"]["test"] == 37


def test_what_is_written_is_what_the_account_says(tmp_path):
    root = release(tmp_path / "in", [row(n) for n in range(40)])
    prepare(asked(), root, tmp_path / "out")
    train, test = (read_samples(tmp_path / "out" / f"{side}.parquet") for side in ("train", "test"))
    train = [each for each in train if not each.reserve]
    assert Counter(each.label for each in train) == {"cat": 10, "dog": 10}
    assert Counter(each.label for each in test) == {"cat": 5, "dog": 5}
    assert {each.image for each in train + test} <= {picture(n) for n in range(40)}
    assert not near(train, test)
    found = account(tmp_path / "out")
    assert found["labels"]["cat"] == {"source": 20, "train": 10, "test": 5}
    assert found["asked"] == {"train": 20, "test": 10} == found["given"]
    assert found["role"] == {"declared": "id", "by_counts": "id"}


def test_the_same_source_gives_the_same_bytes(tmp_path):
    rows = [row(n, image=f"med-mat/{n % 30}.png") for n in range(39)]
    root = release(tmp_path / "in", [*rows, row(39, image="med-mat/none.png")])
    for name in ("a", "b"):
        prepare(asked(), root, tmp_path / name)
    for file in ("train.parquet", "test.parquet", "quarantine.tsv", "summary.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_folder_is_that_of_the_settings_its_name_stands_for(tmp_path):
    root = release(tmp_path / "in", [row(n) for n in range(40)])
    digest = of_subset(asked())
    out = tmp_path / named("30", digest)
    prepare(asked(), root, out)
    assert {label_of(out / f"{side}.parquet")["digest"] for side in ("train", "test")} == {digest}
    told = (out / ABOUT).read_text()
    assert told.startswith("Samples of subset 30 of catalog tiny, version ")
    assert asked().canonical() in told
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(DataError, match=f"settings have digest .* and the plan means {digest}"):
        prepare(asked(seed=43), root, out)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_tests_hold_labels_as_often_as_there_are_where_asked(tmp_path, fake):
    fake([sample(n, "yes" if n < 30 else "no") for n in range(40)], [n % 2 for n in range(40)])
    even, as_they_are = (
        asked(spec("s"), "fake", train=8, test=12, balanced_tests=each) for each in (True, False)
    )
    prepare(even, None, tmp_path / "even")
    prepare(as_they_are, None, tmp_path / "all")
    assert account(tmp_path / "even")["given"] == {"train": 8, "test": 10}
    assert account(tmp_path / "all")["given"] == {"train": 8, "test": 12}
    tests = read_samples(tmp_path / "all" / "test.parquet")
    assert Counter(each.label for each in tests)["yes"] > 6
    prepare(asked(spec("s"), "fake", train=8, test=99, balanced_tests=False), None, tmp_path / "99")
    tests = read_samples(tmp_path / "99" / "test.parquet")
    assert Counter(each.label for each in tests) == {"yes": 15, "no": 5}
    # What is not said is in no digest.
    assert "balanced_tests" not in even.canonical()
    assert of_subset(even) == of_subset(asked(spec("s"), "fake", train=8, test=12))
    assert of_subset(even) != of_subset(as_they_are)


def test_a_source_without_enough_is_given_what_there_is_and_called_ood(tmp_path, fake):
    fake([sample(n, "yes" if n < 8 else "no") for n in range(12)])
    prepare(asked(spec("s"), "fake", train=100, test=50), None, tmp_path)
    found = account(tmp_path)
    assert found["given"] == {"train": 9, "test": 2}
    assert found["labels"] == {
        "no": {"source": 4, "train": 3, "test": 1},
        "yes": {"source": 8, "train": 6, "test": 1},
    }
    assert found["role"]["by_counts"] == "ood"


def test_a_label_that_is_never_tested_is_named(tmp_path, fake):
    fake([sample(n, "no" if n == 0 else "yes") for n in range(12)])
    prepare(asked(spec("s"), "fake"), None, tmp_path)
    assert account(tmp_path)["untested_labels"] == ["no"]


def test_the_source_s_own_split_stands_and_what_leaks_is_set_aside(tmp_path, fake):
    train = [sample(n, ("yes", "no")[n % 2]) for n in range(10)]
    test = [sample(n, ("yes", "no")[n % 2]) for n in range(10, 14)]
    train[3] = replace(train[3], origin=test[0].origin)
    train[5] = replace(train[5], group="p")
    test[1] = replace(test[1], group="p")
    train[7] = replace(train[7], image=picture(12, "BMP"))
    fake(train + test, tests=[0] * 10 + [1] * 4)
    prepare(asked(spec("s"), "fake"), None, tmp_path)
    written = {each.sample_id for each in read_samples(tmp_path / "test.parquet")}
    assert written == {each.sample_id for each in test}
    assert account(tmp_path)["given"] == {"train": 7, "test": 4}
    assert account(tmp_path)["split"]["method"] == "source"
    assert [(each["row"], each["reason"]) for each in table(tmp_path / "quarantine.tsv")] == [
        ("s-3", "image also in test: s-10"),
        ("s-5", "group also in test: s-11"),
        ("s-7", "image also in test: s-12, 0 of 256 bits differ"),
    ]


def test_a_subset_s_options_go_before_the_catalog_s(tmp_path):
    root = release(tmp_path / "in", [row(n) for n in range(40)])
    (root / "Aggregated_Subsets/Subset--30-train.json").rename(root / "own.json")
    settings = {"files": "none.json", "labels": {"cat": "pet"}}
    prepare(asked(spec(options={"files": "own.json"}), options=settings), root, tmp_path / "out")
    assert set(account(tmp_path / "out")["labels"]) == {"pet", "dog"}


def test_a_source_of_which_nothing_is_left_says_why(tmp_path, fake):
    fake([], quarantined=[Quarantined("f", str(n), "image missing: no", "") for n in range(3)])
    with pytest.raises(
        DataError, match=r"subset s: nothing to train on; 3 rows read, 0 usable \(3"
    ):
        prepare(asked(spec("s"), "fake"), None, tmp_path)


def test_a_reader_that_gives_an_id_twice_is_found_out(tmp_path, fake):
    fake([sample(1), sample(1)])
    with pytest.raises(DataError, match="sample id 's-1' is given 2 times"):
        prepare(asked(spec("s"), "fake"), None, tmp_path)


def test_a_form_that_needs_no_balance_is_tested_on_as_it_comes(tmp_path, fake):
    names = (*"abcdefghijkl", *"z" * 28)  # twelve labels for a test of ten
    fake([sample(n, name, options=(name,), form="boxes") for n, name in enumerate(names)])
    prepare(asked(spec("s", kind="detection"), "fake"), None, tmp_path)
    assert account(tmp_path)["given"] == {"train": 20, "test": 10}
    assert account(tmp_path)["labels"]["z"]["test"] > 1


@pytest.mark.parametrize("form", ["choice", "boxes"])
def test_a_label_gives_no_more_than_its_cap(tmp_path, fake, form):
    names = [*"aaaa", *"b" * 56]
    kind = "detection" if form == "boxes" else "classification"
    fake([sample(n, name, options=(name,), form=form) for n, name in enumerate(names)])
    made = asked(spec("s", kind=kind), "fake", train=30, per_label=10)
    prepare(made, None, tmp_path)
    train = read_samples(tmp_path / "train.parquet")
    main = Counter(each.label for each in train if not each.reserve)
    # Boxes need no balance, and so no cap of a label.
    assert (main["b"] == 10, sum(main.values()) == 30) == (form == "choice", form == "boxes")
    if form == "choice":
        assert Counter(each.label for each in train if each.reserve) == {"b": 1}
    assert of_subset(made) != of_subset(asked(spec("s", kind=kind), "fake", train=30))


def test_accounts_of_all_subsets_are_merged(tmp_path):
    for name, bad in (("30", 1), ("22", 2)):
        rows = [row(n, Answer="cow" if n < bad else ("cat", "dog")[n % 2]) for n in range(40)]
        root = release(tmp_path / "in", rows, f"Subset--{name}-train.json")
        prepare(asked(spec(name)), root, tmp_path / "tiny" / name)
    links = {"tiny": {"5": ("Cats and dogs", "https://example.org/5")}}
    summarise([tmp_path / "tiny" / "30", tmp_path / "tiny" / "22"], tmp_path, links)
    thirty, other = table(tmp_path / "summary.tsv")
    assert (thirty["subset"], thirty["quarantined"], thirty["train"]) == ("30", "1", "20")
    assert other["reasons"] == "answer not among its options 2"
    assert thirty["train_labels"] == "cat 10; dog 10"
    assert (thirty["role"], thirty["role_by_counts"], thirty["role_agrees"]) == ("id", "id", "yes")
    set_aside = table(tmp_path / "quarantine.tsv")
    assert [(each["catalog"], each["subset"], each["row"]) for each in set_aside] == [
        ("tiny", "30", "1"),
        ("tiny", "22", "1"),
        ("tiny", "22", "2"),
    ]
    images = table(tmp_path / "images.tsv")
    assert [(each["subset"], each["name"], each["images"]) for each in images] == [
        ("30", "Cats and dogs", "39"),
        ("22", "Cats and dogs", "38"),
    ]


def test_bad_images_are_replaced_by_the_next_and_listed(tmp_path, monkeypatch):
    """A subset that has more than is asked gives all that is asked, whatever is damaged.

    How many processes look at them, and how many images are kept till they are written, makes no
    difference.
    """
    root = release(tmp_path / "in", [row(n) for n in range(40)])
    for number in range(0, 40, 4):
        (root / "med-mat" / f"{number}.png").write_bytes(picture(number)[:60])
    (root / "med-mat" / "2.png").unlink()
    for threads, room, alone in ((1, sampling.ROOM, 9), (4, 12 * len(picture(0)), 0)):
        monkeypatch.setattr(sampling, "ROOM", room)
        monkeypatch.setattr(sampling, "ALONE", alone)
        prepare(asked(train=8, test=4), root, tmp_path / str(threads), threads)
    found = account(tmp_path / "1")
    assert found["given"] == {"train": 8, "test": 4}
    assert found["quarantined"]["image missing"] == 1
    assert found["quarantined"]["image damaged"] >= 1
    assert found["looked_at"] < 39
    assert found["images"] == [
        {"dataset": "5", "rows": 40, "images": 40, "missing": 1, "example": "med-mat/2.png"}
    ]
    for file in ("train.parquet", "test.parquet", "quarantine.tsv", "summary.json"):
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "4" / file).read_bytes()


def test_a_label_of_which_no_image_is_sound_is_left_out_of_the_test(tmp_path):
    rows = [row(n) for n in range(36)]
    rows += [row(n, Answer="eel", **EEL) for n in range(36, 40)]
    root = release(tmp_path / "in", rows)
    for number in range(36, 40):
        (root / "med-mat" / f"{number}.png").write_bytes(b"")
    prepare(asked(), root, tmp_path / "out")
    found = account(tmp_path / "out")
    assert found["untested_labels"] == found["lost_labels"] == ["eel"]
    assert found["given"]["test"] > 0
    place = f"{asked().catalog}/{asked().subset.id}.json"
    lengths = [tmp_path / backbone / place for backbone in ("one", "two")]
    for file in lengths:
        file.parent.mkdir(parents=True)
        aside = {"train": {"5": f"too long for {file.parents[1].name}"}, "test": {}}
        file.write_text(json.dumps({"digest": "", "measured": "", "aside": aside}))
    summarise([tmp_path / "out"], tmp_path, {}, {asked().subset.id: 0}, lengths)
    assert table(tmp_path / "summary.tsv")[0]["not_asked"] == "train 1"
    assert [row["reason"] for row in table(tmp_path / "quarantine.tsv")][-2:] == [
        "too long for one",
        "too long for two",
    ]
    assert table(tmp_path / "summary.tsv")[0]["no_verdict"] == "label 'eel' lost all its pictures"


def test_questions_are_asked_anew_with_letters_in_balance(tmp_path):
    rows = [row(n, **dict.fromkeys(("Question-choice", "Answer-choice"))) for n in range(40)]
    for n, each in enumerate(rows):
        each["Answer"] = ("Cat.", "dog", "EEL", "fox", "gnu")[n % 5]
    settings = {"rebuild": {"options": 4, "instructions": [f"Which? ({n})" for n in range(6)]}}
    for name, order in (("a", rows), ("b", rows[::-1])):
        root = release(tmp_path / name, order)
        prepare(asked(options=settings), root, tmp_path / f"{name}-out")
    train, test = (read_samples(tmp_path / f"a-out/{side}.parquet") for side in ("train", "test"))
    for each in train + test:
        assert len(set(each.options)) == 4
        assert each.options[each.answer] == each.label
        assert set(each.options) <= {"cat", "dog", "eel", "fox", "gnu"}
    asked_of = [each for each in train if not each.reserve]
    assert Counter(each.answer for each in asked_of) == {0: 5, 1: 5, 2: 5, 3: 5}
    assert len({each.question for each in train}) == 6
    assert account(tmp_path / "a-out")["letters"]["train"] == {"A": 5, "B": 5, "C": 5, "D": 5}
    for side in ("train", "test"):
        first, second = (tmp_path / f"{name}-out/{side}.parquet" for name in "ab")
        assert first.read_bytes() == second.read_bytes()


def test_one_label_makes_no_question(tmp_path):
    root = release(tmp_path / "in", [row(n, Answer="cat") for n in range(40)])
    with pytest.raises(DataError, match="the only label is 'cat'"):
        prepare(asked(options={"rebuild": {}}), root, tmp_path / "out")


def test_some_training_samples_are_kept_in_reserve(tmp_path):
    root = release(tmp_path / "in", [row(n) for n in range(40)])
    prepare(asked(train=20, test=4, reserve=0.2), root, tmp_path / "out")
    train = read_samples(tmp_path / "out" / "train.parquet")
    assert [each.reserve for each in train] == [False] * 20 + [True] * 4
    assert account(tmp_path / "out")["given"] == {"train": 20, "test": 4}
    assert account(tmp_path / "out")["reserve"] == 4
    assert account(tmp_path / "out")["labels"]["cat"]["train"] == 10


def test_a_general_set_is_only_trained_on(tmp_path):
    root = release(tmp_path / "in", [row(n) for n in range(40)])
    prepare(asked(general=True, train=30), root, tmp_path / "out")
    assert account(tmp_path / "out")["given"] == {"train": 30, "test": 0}
    assert account(tmp_path / "out")["split"]["method"] == "none"
    assert read_samples(tmp_path / "out" / "test.parquet") == []


def test_the_phantom_world_fills_its_caps(tmp_path):
    world = load("catalog", REPO / "catalogs" / "phantom.yaml")
    split = world.split.model_copy(update={"train": 24, "test": 12})
    world = world.model_copy(update={"split": split})
    prepare(world.preparation(world.subsets[0].id), None, tmp_path)
    assert account(tmp_path)["given"] == {"train": 24, "test": 12}


@needs_realmat
@pytest.mark.parametrize(
    ("name", "given"), [("18", (267, 90)), ("22", (300, 100)), ("30", (300, 100))]
)
def test_real_subsets_are_prepared_without_leaks(tmp_path, name, given):
    settings = load("catalog", REPO / "tests" / "configs" / "realmat" / "catalog.yaml")
    prepare(settings.preparation(name), REALMAT, tmp_path)
    train, test = (read_samples(tmp_path / f"{side}.parquet") for side in ("train", "test"))
    assert (sum(not each.reserve for each in train), len(test)) == given
    assert len(set(Counter(each.label for each in test).values())) == 1
    assert not near(train, test)
    smears = [{each.group for each in side if each.group} for side in (train, test)]
    assert not smears[0] & smears[1]
