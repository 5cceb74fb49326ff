"""Splits are balanced, disjoint, leak neither groups nor images, and depend on no order."""

import random
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_makers import sample
from matcg.data.candidates import Pool, pool_of
from matcg.data.split import balanced_order, by_fraction, queues
from matcg.samples import Sample

LABELS = ("a", "b", "c", "d")
BASE = sample(0)
RANKS = [1602809177535340996, 8496639044493516315]  # of two ids, by a seed
Row = tuple[str, str, str, str]  # id, label, image, group


@st.composite
def many(draw: st.DrawFn, linked: bool = True) -> list[Row]:
    """Draw rows of up to four labels, some of one group, some of one image."""
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from(LABELS),
                st.integers(0, 12) if linked else st.just(0),
                st.integers(0, 30) if linked else st.just(0),
            ),
            max_size=60,
        )
    )
    # As in a release, what group a row is of depends on its image's path.
    return [
        (
            f"s-{i}",
            label,
            f"{group}/{image}" if image else f"own/{i}",
            str(group) if group and image else "",
        )
        for i, (label, group, image) in enumerate(drawn)
    ]


def pool(rows: list[Row]) -> Pool:
    return pool_of(*([row[at] for row in rows] for at in range(4)))


def chosen(rows: list[Row], fraction: float, seed: int) -> set[Row]:
    found = pool(rows)
    marks = by_fraction(found, fraction, found.ranks(seed))
    return {row for row, mark in zip(rows, marks, strict=True) if mark}


def shuffled(rows: list) -> list:
    return random.Random(1).sample(rows, len(rows))


def counts(rows: set[Row] | list[Row]) -> Counter[str]:
    return Counter(row[1] for row in rows)


@given(many(), st.floats(0.05, 0.5), st.integers(0, 3))
def test_no_group_and_no_image_is_on_both_sides(rows, fraction, seed):
    test = chosen(rows, fraction, seed)
    train = set(rows) - test
    assert {row[2] for row in train}.isdisjoint(row[2] for row in test)
    assert {row[3] for row in train} & {row[3] for row in test} <= {""}


@given(many(), st.floats(0.05, 0.5))
def test_no_label_loses_all_its_training_samples(rows, fraction):
    assert set(counts(set(rows) - chosen(rows, fraction, 0))) == set(counts(rows))


@given(many(linked=False), st.sampled_from([0.1, 0.25, 0.5]))
def test_without_groups_every_label_gives_its_share(rows, fraction):
    test = counts(chosen(rows, fraction, 0))
    for label, n in counts(rows).items():
        wanted = max(1, int(n * fraction + 0.5)) if n > 1 else 0
        assert test[label] == min(wanted, n - 1)


@given(many(), st.floats(0.05, 0.5))
def test_a_label_with_two_units_to_spare_is_chosen(rows, fraction):
    """Nothing is given up that need not be: only a shared last unit may keep a label from it."""
    units = defaultdict(set)
    for row in rows:
        units[row[3] or row[2]].add(row[1])
    test = counts(chosen(rows, fraction, 0))
    for label in counts(rows):
        alone = [unit for unit, labels in units.items() if labels == {label}]
        if len(alone) > 1:
            assert test[label] > 0


@given(many(), st.integers(0, 3))
def test_the_split_does_not_depend_on_the_order_of_the_source(rows, seed):
    assert chosen(rows, 0.2, seed) == chosen(shuffled(rows), 0.2, seed)


def test_another_seed_gives_another_split():
    rows = [(f"s-{i}", "ab"[i % 2], str(i), "") for i in range(100)]
    assert chosen(rows, 0.2, 0) != chosen(rows, 0.2, 1)


def test_a_label_of_large_groups_still_gives_one_to_the_test():
    rows = [(f"s-{i}", "a", str(i), f"g{i // 10}") for i in range(40)]
    assert len(chosen(rows, 0.1, 0)) == 10


@pytest.mark.parametrize(("fraction", "tested"), [(0.3, 10), (0.32, 20)])
def test_a_group_is_tested_where_more_than_half_of_it_is_wanted(fraction, tested):
    rows = [(f"s-{i}", "a", str(i), f"g{i // 10}") for i in range(50)]
    assert len(chosen(rows, fraction, 0)) == tested


def test_shares_are_kept_with_groups_of_several_labels():
    chance = random.Random(0)
    rows = [(f"s-{i}", chance.choice(LABELS), str(i), f"p{i // 5}") for i in range(2000)]
    test, all_ = counts(chosen(rows, 0.1, 0)), counts(rows)
    for label in LABELS:
        assert test[label] == pytest.approx(0.1 * all_[label], rel=0.3)


def test_fraction_nought_tests_nothing():
    assert not chosen([(f"s-{i}", "a", str(i), "") for i in range(9)], 0, 0)


def plain(rows: list[Row]) -> list[Sample]:
    return [replace(BASE, sample_id=name, label=label) for name, label, *_ in rows]


@given(many(), st.integers(0, 60), st.integers(0, 3))
def test_every_beginning_of_the_order_is_as_balanced_as_can_be(rows, n, seed):
    first = Counter(each.label for each in balanced_order(plain(rows), seed)[:n])
    most = max(first.values(), default=0)
    for label, there in counts(rows).items():
        assert first[label] == there or first[label] >= most - 1


@given(many())
def test_the_balanced_order_does_not_depend_on_the_order_of_the_source(rows):
    samples = plain(rows)
    assert balanced_order(samples, 5) == balanced_order(shuffled(samples), 5)


@given(many(), st.integers(0, 3))
def test_queues_hold_each_label_s_samples_in_an_order_of_their_own(rows, seed):
    found, other = pool(rows), pool(shuffled(rows))
    marks = np.array([int(row[0][2:]) % 3 > 0 for row in rows], dtype=bool)
    parts = queues(found, marks, found.ranks(seed))
    ids = [[found.ids[at] for at in part] for part in parts]
    for name, part in zip(found.names, ids, strict=False):
        assert set(part) == {row[0] for row in rows if row[1] == name and int(row[0][2:]) % 3}
    marks = np.array([int(name[2:]) % 3 > 0 for name in other.ids], dtype=bool)
    others = queues(other, marks, other.ranks(seed))
    assert ids == [[other.ids[at] for at in part] for part in others]


def test_ranks_are_those_of_every_version_of_pandas():
    found = pool([("s-1", "a", "x", ""), ("s-é", "a", "y", "")])
    assert found.ranks(42).tolist() == RANKS
