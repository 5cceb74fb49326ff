"""Prepared subsets: sizes, leaks, and an account in which every row of the source is found."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from realmat import REALMAT, needs_realmat

from data_makers import catalog, picture, release, row, sample, spec
from matcg.config import load
from matcg.data.prepare import READERS, prepare, summarise
from matcg.data.source import Quarantined, Source
from matcg.errors import DataError
from matcg.samples import read_samples

REPO = Path(__file__).parents[2]


def account(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture
def fake(monkeypatch):
    """Return a function that makes reader `fake` hand over the samples given."""

    def use(samples, test_ids=None, quarantined=()):
        source = Source(
            tuple(samples), tuple(quarantined), len(samples) + len(quarantined), (), test_ids
        )
        monkeypatch.setitem(READERS, "fake", lambda *_: source)

    return use


def test_every_row_of_the_source_is_accounted_for(tmp_path):
    rows = [row(n) for n in range(40)]
    rows[3] = row(3, Answer="cow")
    rows[4] = row(4, image="../x")
    rows[5] = row(5, image='"no\tne\n\ud800.png')
    prepare(catalog(), spec(), release(tmp_path / "in", rows), tmp_path / "out")
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
    prepare(catalog(), spec(), root, tmp_path / "out")
    train, test = (read_samples(tmp_path / "out" / f"{side}.parquet") for side in ("train", "test"))
    assert Counter(each.label for each in train) == {"cat": 10, "dog": 10}
    assert Counter(each.label for each in test) == {"cat": 5, "dog": 5}
    assert {each.image for each in train + test} <= {picture(n) for n in range(40)}
    assert not {each.digest for each in train} & {each.digest for each in test}
    found = account(tmp_path / "out")
    assert found["labels"]["cat"] == {"source": 20, "train": 10, "test": 5}
    assert found["asked"] == {"train": 20, "test": 10} == found["given"]
    assert found["role"] == {"declared": "id", "by_counts": "id"}


def test_the_same_source_gives_the_same_bytes(tmp_path):
    rows = [row(n, image=f"med-mat/{n % 30}.png") for n in range(39)]
    root = release(tmp_path / "in", [*rows, row(39, image="med-mat/none.png")])
    for name in ("a", "b"):
        prepare(catalog(), spec(), root, tmp_path / name)
    for file in ("train.parquet", "test.parquet", "quarantine.tsv", "summary.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_source_without_enough_is_given_what_there_is_and_called_ood(tmp_path, fake):
    fake([sample(n, "yes" if n < 8 else "no") for n in range(12)])
    prepare(catalog("fake", train=100, test=50), spec("s"), None, tmp_path)
    found = account(tmp_path)
    assert found["given"] == {"train": 9, "test": 2}
    assert found["labels"] == {
        "no": {"source": 4, "train": 3, "test": 1},
        "yes": {"source": 8, "train": 6, "test": 1},
    }
    assert found["role"]["by_counts"] == "ood"


def test_a_label_that_is_never_tested_is_named(tmp_path, fake):
    fake([sample(n, "no" if n == 0 else "yes") for n in range(12)])
    prepare(catalog("fake"), spec("s"), None, tmp_path)
    assert account(tmp_path)["untested_labels"] == ["no"]


def test_the_source_s_own_split_stands_and_what_leaks_is_set_aside(tmp_path, fake):
    train = [sample(n, ("yes", "no")[n % 2]) for n in range(10)]
    test = [sample(n, ("yes", "no")[n % 2]) for n in range(10, 14)]
    train[3] = replace(train[3], digest=test[0].digest)
    fake(train + test, test_ids=frozenset(each.sample_id for each in test))
    prepare(catalog("fake"), spec("s"), None, tmp_path)
    written = {each.sample_id for each in read_samples(tmp_path / "test.parquet")}
    assert written == {each.sample_id for each in test}
    assert account(tmp_path)["given"] == {"train": 9, "test": 4}
    assert account(tmp_path)["split"]["method"] == "source"
    (leak,) = table(tmp_path / "quarantine.tsv")
    assert (leak["row"], leak["reason"]) == ("s-3", "image also in test: s-10")


def test_a_subset_s_options_go_before_the_catalog_s(tmp_path):
    root = release(tmp_path / "in", [row(n) for n in range(40)])
    (root / "Aggregated_Subsets/Subset--30-train.json").rename(root / "own.json")
    settings = catalog()
    settings.options = {"files": "none.json", "labels": {"cat": "pet"}}
    prepare(settings, spec(options={"files": "own.json"}), root, tmp_path / "out")
    assert set(account(tmp_path / "out")["labels"]) == {"pet", "dog"}


def test_a_source_of_which_nothing_is_left_says_why(tmp_path, fake):
    fake([], quarantined=[Quarantined("f", str(n), "image missing: no", "") for n in range(3)])
    with pytest.raises(
        DataError, match=r"subset s: nothing to train on; 3 rows read, 0 usable \(3"
    ):
        prepare(catalog("fake"), spec("s"), None, tmp_path)


def test_a_reader_that_gives_an_id_twice_is_found_out(tmp_path, fake):
    fake([sample(1), sample(1)])
    with pytest.raises(DataError, match="sample id 's-1' is given 2 times"):
        prepare(catalog("fake"), spec("s"), None, tmp_path)


def test_accounts_of_all_subsets_are_merged(tmp_path):
    for name, bad in (("30", 1), ("22", 2)):
        rows = [row(n, Answer="cow" if n < bad else ("cat", "dog")[n % 2]) for n in range(40)]
        root = release(tmp_path / "in", rows, f"Subset--{name}-train.json")
        prepare(catalog(), spec(name), root, tmp_path / "tiny" / name)
    summarise([tmp_path / "tiny" / "30", tmp_path / "tiny" / "22"], tmp_path)
    thirty, other = table(tmp_path / "summary.tsv")
    assert (thirty["subset"], thirty["quarantined"], thirty["train"]) == ("30", "1", "20")
    assert other["reasons"] == "answer not among its options 2"
    assert thirty["train_labels"] == "cat 10; dog 10"
    set_aside = table(tmp_path / "quarantine.tsv")
    assert [(each["catalog"], each["subset"], each["row"]) for each in set_aside] == [
        ("tiny", "30", "1"),
        ("tiny", "22", "1"),
        ("tiny", "22", "2"),
    ]


def test_the_phantom_world_fills_its_caps(tmp_path):
    world = load("catalog", REPO / "catalogs" / "phantom.yaml")
    split = world.split.model_copy(update={"train": 24, "test": 12})
    world = world.model_copy(update={"split": split})
    prepare(world, world.subsets[0], None, tmp_path)
    assert account(tmp_path)["given"] == {"train": 24, "test": 12}


@needs_realmat
@pytest.mark.parametrize(
    ("name", "given"), [("18", (269, 90)), ("22", (300, 100)), ("30", (300, 100))]
)
def test_real_subsets_are_prepared_without_leaks(tmp_path, name, given):
    settings = load("catalog", REPO / "tests" / "configs" / "realmat" / "catalog.yaml")
    prepare(settings, settings.subset(name), REALMAT, tmp_path)
    train, test = (read_samples(tmp_path / f"{side}.parquet") for side in ("train", "test"))
    assert (len(train), len(test)) == given
    assert len(set(Counter(each.label for each in test).values())) == 1
    assert not {each.digest for each in train} & {each.digest for each in test}
    smears = [{each.group for each in side if each.group} for side in (train, test)]
    assert not smears[0] & smears[1]
