"""Mixes: the sizes asked, never the target's data, the same draw for whoever asks."""

import json
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import pyarrow.parquet as pq
import pytest

from data_makers import folder, sample
from matcg.data.mix import make_mix
from matcg.errors import DataError


@dataclass(frozen=True)
class Mix:
    parts: tuple[tuple[str, int], ...]
    seed: int = 0
    labels: str = "true"
    repeat: bool = False
    id: str = "some-mix"

    @property
    def total(self):
        return sum(n for _, n in self.parts)


@pytest.fixture
def folders(tmp_path):
    """Return two prepared subsets: `a` with labels 30:30, `b` with 30:6."""
    sizes = {"a": 30, "b": 6}
    return {
        name: folder(
            tmp_path,
            name,
            [sample(n, "yes", name) for n in range(30)]
            + [sample(n, "no", name, options=("no", "yes")) for n in range(30, 30 + rest)],
        )
        for name, rest in sizes.items()
    }


@pytest.fixture
def make(folders, tmp_path):
    """Return a function that makes a mix and returns its rows."""

    def run(mix, forbidden=("t",), size=None):
        make_mix(mix, folders, forbidden, size or mix.total, tmp_path / "mix.parquet")
        return pq.read_table(tmp_path / "mix.parquet").to_pylist()

    return run


def names(rows, subset):
    return [row["sample_id"] for row in rows if row["subset"] == subset]


def is_yes(row):
    """Tell whether the answer trained on is "yes"; the order of options depends on the sample."""
    first = int(row["sample_id"].split("-")[1]) < 30
    return (row["answer"] == 0) == first


def test_a_mix_has_the_sizes_asked_and_true_answers_balanced_by_label(make):
    rows = make(Mix((("a", 20), ("b", 16))))
    assert Counter(row["subset"] for row in rows) == {"a": 20, "b": 16}
    assert [row["position"] for row in rows] == list(range(36))
    assert {row["answer"] for row in rows} == {0}
    assert Counter(is_yes(row) for row in rows if row["subset"] == "a") == {True: 10, False: 10}
    assert Counter(is_yes(row) for row in rows if row["subset"] == "b") == {True: 10, False: 6}


def test_subsets_are_shuffled_together(make):
    order = [row["subset"] for row in make(Mix((("a", 20), ("b", 20))))]
    assert order != sorted(order)
    assert set(order[:12]) == {"a", "b"}


def test_a_larger_draw_contains_the_smaller_one_whatever_the_company(make):
    alone, more = make(Mix((("a", 10),))), make(Mix((("a", 40), ("b", 5))))
    assert set(names(alone, "a")) < set(names(more, "a"))


def test_the_seed_decides_the_draw_and_the_order(make):
    first, again, other = (make(Mix((("a", 20),), seed)) for seed in (0, 0, 1))
    assert first == again
    assert set(names(first, "a")) != set(names(other, "a"))


def test_the_same_mix_is_the_same_bytes(folders, tmp_path):
    for name in ("x", "y"):
        make_mix(Mix((("a", 9), ("b", 9))), folders, ("t", "u"), 18, tmp_path / name)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_shuffled_labels_keep_samples_and_order_and_label_counts(make):
    true, floor = make(Mix((("a", 60),))), make(Mix((("a", 60),), labels="shuffled"))
    assert names(true, "a") == names(floor, "a")
    assert Counter(map(is_yes, floor)) == Counter(map(is_yes, true))
    kept = sum(one["answer"] == two["answer"] for one, two in zip(true, floor, strict=True))
    assert 15 <= kept <= 45


def test_a_dealt_label_that_is_not_offered_becomes_a_random_option(tmp_path):
    samples = [sample(n, f"l{n % 5}", options=(f"l{n % 5}", f"l{(n + 1) % 5}")) for n in range(50)]
    where = {"s": folder(tmp_path, "s", samples)}
    make_mix(Mix((("s", 50),), labels="shuffled"), where, (), 50, tmp_path / "mix")
    answers = pq.read_table(tmp_path / "mix").column("answer").to_pylist()
    assert set(answers) == {0, 1}
    assert 12 <= sum(answers) <= 38


def test_the_held_out_target_is_refused(make):
    with pytest.raises(DataError, match="subset b is the held-out target"):
        make(Mix((("a", 5), ("b", 5))), forbidden=("t", "b"))


@pytest.mark.parametrize("claimed", ["s", "t"])
def test_the_target_s_samples_are_refused_in_another_s_folder_too(tmp_path, claimed):
    where = {"s": folder(tmp_path, "s", [sample(n, subset=claimed) for n in range(9)])}
    if claimed == "s":
        make_mix(Mix((("s", 5),)), where, ("t",), 5, tmp_path / "mix")
        return
    with pytest.raises(DataError, match="not as asked"):
        make_mix(Mix((("s", 5),)), where, ("t",), 5, tmp_path / "mix")


def test_a_subset_smaller_than_asked_says_how_much_there_is(make):
    with pytest.raises(DataError, match="subset b has 36 training samples, 40 were asked; lower"):
        make(Mix((("a", 5), ("b", 40))))


@pytest.mark.parametrize("parts", [(("a", 0),), (("a", 3), ("a", 4))])
def test_parts_that_make_no_sense_are_refused(make, parts):
    with pytest.raises(DataError, match="name it once with one sample or more"):
        make(Mix(parts))


def test_a_mix_that_repeats_takes_a_small_subset_round_after_round(make):
    once, more = make(Mix((("b", 36),))), make(Mix((("b", 80),), repeat=True))
    ids = names(more, "b")
    counts = Counter(ids)
    assert set(counts) == set(names(once, "b"))
    assert set(counts.values()) == {2, 3}
    assert len(ids) == 80
    answers = {(row["sample_id"], row["answer"]) for row in more}
    assert answers == {(row["sample_id"], row["answer"]) for row in once}
    neighbours = pairwise(ids)
    assert sum(a == b for a, b in neighbours) < 10, "copies are shuffled apart"


def test_the_file_says_what_was_checked(make, tmp_path):
    make(Mix((("a", 5),), 3), forbidden=("u", "t"))
    kept = json.loads(pq.read_schema(tmp_path / "mix.parquet").metadata[b"matcg"])
    assert kept["forbidden"] == ["t", "u"]
    assert kept["seed"] == 3


def test_a_mix_of_another_size_than_the_other_arms_is_refused(make):
    with pytest.raises(
        DataError, match=r"18 samples of a, b, not as asked: 20 in every arm, none of t;"
    ):
        make(Mix((("a", 9), ("b", 9))), size=20)
