"""Leaks are found whatever the subset and the file, left out of training, and accounted for."""

import csv
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from test_mix_samples import mix

from data_makers import folder, picture, sample
from matcg.config.catalog import Overlap
from matcg.data.leak_audit import audit
from matcg.data.leaks import (
    OVERLAPS,
    Search,
    barred,
    find_leaks,
    find_overlaps,
    read_images,
    read_leaks,
    search,
    write_leaks,
)
from matcg.data.mix_samples import make_mix
from matcg.errors import DataError
from matcg.samples import read_samples


def near(one, bits):
    """Return the fingerprint of a sample with some bits changed."""
    return f"{int(one.fingerprint, 16) ^ (2**bits - 1):064x}"


@pytest.fixture
def parts(tmp_path):
    """Prepare target `t`, of whose four test images subset `s` has one exactly and one nearly."""
    data = tmp_path / "data" / "tiny"
    test = [sample(n, subset="t", dataset="7") for n in range(4)]
    leaky = [
        replace(sample(51, subset="s"), fingerprint=test[1].fingerprint, image=picture(1, "BMP")),
        replace(sample(53, subset="s"), fingerprint=near(test[3], 24)),
        replace(sample(54, subset="s"), fingerprint=near(test[2], 25)),
    ]
    return {
        "s": folder(data, "s", [*leaky, *(sample(n, subset="s") for n in range(60, 70))]),
        "u": folder(data, "u", [sample(n, subset="u") for n in range(20, 30)]),
        "t": folder(data, "t", [sample(50, subset="t", dataset="7")], test),
    }


@pytest.fixture
def asked(parts):
    """Return the search for the test images of target `t`."""
    return Search("tiny", ["t"], ["s", "t", "u"], 24, parts)


@pytest.fixture
def leaks(asked, tmp_path):
    """Return the leaks of target `t`, which are also in the table `leaks.tsv`."""
    search(asked, tmp_path)
    return find_leaks(asked)


@pytest.fixture
def make(parts, tmp_path):
    """Return a function that makes a mix without the leaks of its targets."""

    def run(name, *samples, targets=(), policy="drop"):
        made = mix(*samples, name=name, targets=targets)
        out = tmp_path / "mixes" / f"{name}.parquet"
        make_mix(made, parts, ("t",), made.total, out, policy, 24)

    return run


@pytest.fixture
def audited(parts, tmp_path):
    """Return a function that audits some mixes, and gives the rows of both tables."""

    def run(*names, policy="drop"):
        mixes = {name: tmp_path / "mixes" / f"{name}.parquet" for name in names}
        uses = [("tiny", name, "t") for name in names]
        audit(uses, mixes, parts, tmp_path / "leaks.tsv", tmp_path, policy)
        return [table(tmp_path / f"{name}.tsv") for name in ("audit", "leaked")]

    return run


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_leaks_are_found_exactly_and_nearly_and_no_more(leaks, tmp_path):
    assert [(leak.test, leak.train, leak.bits, leak.exact) for leak in leaks] == [
        ("t-1", "s-51", 0, True),
        ("t-3", "s-53", 24, False),
    ]
    assert {(leak.source, leak.test_dataset, leak.train_dataset) for leak in leaks} == {
        ("s", "7", "1")
    }
    assert read_leaks(tmp_path / "leaks.tsv") == leaks


def test_without_a_look_at_pixels_none_is_exact(asked, leaks):
    assert find_leaks(asked, pixels=False) == [replace(leak, exact=False) for leak in leaks]


def test_known_overlaps_are_measured_and_others_noticed(asked, leaks):
    known = [
        Overlap(datasets=("7", "9"), what="nine is of seven", source="its page"),
        Overlap(datasets=("7", "8", "1"), what="all three", source="x"),
    ]

    def rows(*relations):
        found = find_overlaps(replace(asked, known=relations), leaks)
        return [dict(zip(OVERLAPS, row, strict=True)) for row in found]

    nine, three = rows(*known)
    assert (nine["datasets"], nine["exact"], nine["near"]) == ("7 9", 0, 0)
    assert (nine["images"], three["images"]) == (5, 28)
    assert (three["known"], three["exact"], three["near"]) == ("all three", 1, 1)
    assert three["examples"] == "t-1 = s-51; t-3 = s-53"
    nine, noticed = rows(known[0])
    assert (noticed["datasets"], noticed["known"], noticed["exact"]) == ("1 7", "", 1)


def test_overlaps_within_training_are_measured_too(asked, parts, tmp_path):
    """Two names of one collection in one subset: no test image is needed to see it."""
    twins = [sample(n, subset="v", dataset=str(8 + n % 2)) for n in range(40, 46)]
    twins = [
        replace(each, fingerprint=twins[at // 2 * 2].fingerprint) for at, each in enumerate(twins)
    ]
    parts["v"] = folder(tmp_path / "data" / "tiny", "v", twins)
    relation = Overlap(datasets=("8", "9"), what="one collection", source="x")
    (row,) = find_overlaps(replace(asked, sources=["v"], known=[relation]), [])
    assert dict(zip(OVERLAPS, row, strict=True))["near"] == 3


@pytest.mark.usefixtures("leaks")
def test_a_mix_leaves_leaks_out_and_takes_others_instead(make, audited):
    make("clean", ("s", 8), ("u", 5), targets=("t",))
    ((use,), leaked) = audited("clean")
    assert (use["test_images"], use["in_sources"], use["left_out"]) == ("4", "2", "2")
    assert (use["trained_on"], use["policy"], leaked) == ("0", "drop", [])


def test_a_mix_without_enough_besides_says_why(make):
    with pytest.raises(DataError, match=r"11 training samples \(2 more show a target's test"):
        make("clean", ("s", 12), targets=("t",))


def test_reserves_take_the_places_of_leaks_and_no_others(parts, make, tmp_path):
    """A subset of which all is asked gives all, and as many reserves as show test images."""
    there = read_samples(parts["s"] / "train.parquet")
    spare = [replace(sample(n, subset="s"), reserve=True) for n in range(80, 84)]
    parts["s"] = folder(tmp_path / "data" / "tiny", "s", [*there, *spare])
    make("clean", ("s", 13), targets=("t",))
    held = pq.read_table(tmp_path / "mixes" / "clean.parquet")["sample_id"].to_pylist()
    assert len(set(held)) == 13
    assert len(set(held) & {each.sample_id for each in spare}) == 2
    make("whole", ("s", 13))
    whole = pq.read_table(tmp_path / "mixes" / "whole.parquet")["sample_id"].to_pylist()
    assert sorted(whole) == sorted(each.sample_id for each in there)
    with pytest.raises(DataError, match=r"13 training samples, 14 were asked"):
        make("more", ("s", 14))


@pytest.mark.usefixtures("leaks")
def test_what_is_trained_on_after_all_is_reported(make, audited):
    make("leaky", ("s", 13))
    make("other", ("u", 5))
    ((leaky, other), leaked) = audited("leaky", "other", "leaky", policy="report")
    assert (leaky["trained_on"], leaky["test_images_trained_on"]) == ("2", "2")
    assert (leaky["policy"], leaky["examples"]) == ("report", "t-1 = s-51; t-3 = s-53")
    assert (other["in_sources"], other["trained_on"], other["examples"]) == ("0", "0", "")
    assert [(row["mix"], row["sample_id"]) for row in leaked] == [
        ("leaky", "t-1"),
        ("leaky", "t-3"),
    ]


@pytest.mark.usefixtures("leaks")
def test_a_mix_that_holds_what_it_must_not_is_refused_with_the_remedy(make, audited):
    make("stale", ("s", 13))
    said = r"mix stale: holds 2 test pictures .* s-51 = t-1, .* Remove \S+/mixes/stale\.parquet and"
    with pytest.raises(DataError, match=said):
        audited("stale")


def test_an_experiment_may_want_no_leak_at_all(leaks, make, audited):
    assert barred("m", "error", []) == barred("m", "report", leaks) == []
    assert barred("m", "drop", leaks) == leaks
    make("other", ("u", 5), targets=("t",), policy="error")
    assert [row["policy"] for row in audited("other", policy="error")[0]] == ["drop"]
    make("clean", ("s", 8), targets=("t",))
    said = r"2 training pictures .* s-51 = t-1 \(0 of 256 bits"
    for refused in (
        lambda: barred("m", "error", leaks),
        lambda: make("m", ("s", 8), targets=("t",), policy="error"),
        lambda: audited("clean", policy="error"),
    ):
        with pytest.raises(DataError, match=said):
            refused()


@pytest.mark.parametrize("name", ["s-\t1", "s-\u00a01", 's-"1', "s-\n1", "s-\\t1", "s-\r1"])
def test_ids_of_leaks_are_read_as_they_were_written(leaks, tmp_path, name):
    """An escaped id would be that of no sample, and its leak would be trained on unseen."""
    strange = [replace(leak, test=name, train=name) for leak in leaks]
    write_leaks(tmp_path / "strange.tsv", strange)
    assert read_leaks(tmp_path / "strange.tsv") == strange


def test_images_are_read_by_name(parts):
    found = dict(read_images(parts["u"] / "train.parquet", ["u-20", "u-29"]))
    assert found == {"u-20": picture(20), "u-29": picture(29)}
