"""Splits are balanced, disjoint, leak neither groups nor images, and depend on no order."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_makers import sample
from matcg.data.split import balanced_order, by_fraction, clashes, clusters, strictly_balanced
from matcg.errors import DataError
from matcg.samples import Sample

LABELS = ("a", "b", "c", "d")
BASE = sample(0)


def plain(number: int, label: str, group: str = "", digest: str = "") -> Sample:
    return replace(
        BASE,
        sample_id=f"s-{number}",
        label=label,
        group=group,
        digest=digest or f"digest {number}",
    )


@st.composite
def many(draw: st.DrawFn, linked: bool = True) -> list[Sample]:
    """Draw samples of up to four labels, some of one group, some of one image."""
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(LABELS),
                st.integers(0, 12) if linked else st.just(0),
                st.integers(0, 30) if linked else st.just(0),
            ),
            max_size=60,
        )
    )
    return [
        plain(i, label, f"g{group}" if group else "", f"d{image}" if image else "")
        for i, (label, group, image) in enumerate(rows)
    ]


def shuffled(samples: list[Sample]) -> list[Sample]:
    return random.Random(1).sample(samples, len(samples))


def counts(samples: list[Sample]) -> Counter[str]:
    return Counter(each.label for each in samples)


@given(many(), st.floats(0.05, 0.5), st.integers(0, 3))
def test_no_group_and_no_image_is_on_both_sides(samples, fraction, seed):
    train, test = by_fraction(samples, fraction, seed)
    assert Counter(train + test) == Counter(samples)
    assert {each.digest for each in train}.isdisjoint(each.digest for each in test)
    groups = {each.group for each in train} & {each.group for each in test}
    assert groups <= {""}


@given(many(), st.floats(0.05, 0.5))
def test_no_label_loses_all_its_training_samples(samples, fraction):
    train, _ = by_fraction(samples, fraction, 0)
    assert set(counts(train)) == set(counts(samples))


@given(many(linked=False), st.sampled_from([0.1, 0.25, 0.5]))
def test_without_groups_every_label_gives_its_share(samples, fraction):
    _, test = by_fraction(samples, fraction, 0)
    for label, n in counts(samples).items():
        wanted = max(1, int(n * fraction + 0.5)) if n > 1 else 0
        assert counts(test)[label] == min(wanted, n - 1)


@given(many(), st.integers(0, 3))
def test_the_split_does_not_depend_on_the_order_of_the_source(samples, seed):
    first, second = by_fraction(samples, 0.2, seed), by_fraction(shuffled(samples), 0.2, seed)
    for one, other in zip(first, second, strict=True):
        assert Counter(one) == Counter(other)


def test_another_seed_gives_another_split():
    samples = [plain(i, "ab"[i % 2]) for i in range(100)]
    assert by_fraction(samples, 0.2, 0)[1] != by_fraction(samples, 0.2, 1)[1]


def test_a_label_of_large_groups_still_gives_one_to_the_test():
    samples = [plain(i, "a", f"g{i // 10}") for i in range(40)]
    _, test = by_fraction(samples, 0.1, 0)
    assert len(test) == 10


def test_groups_and_images_hang_together_through_others():
    samples = [plain(0, "a", "p"), plain(1, "a", "q", "x"), plain(2, "a", "p", "x"), plain(3, "b")]
    assert sorted(len(unit) for unit in clusters(samples)) == [1, 3]


@given(many(), st.integers(4, 50))
def test_a_test_set_has_every_label_equally_often_and_as_often_as_can_be(samples, cap):
    chosen = strictly_balanced(samples, cap, 0)
    source = counts(samples)
    if not source:
        assert chosen == []
        return
    each = min(cap // len(source), *source.values())
    assert counts(chosen) == Counter(dict.fromkeys(source, each))
    assert set(chosen) <= set(samples)


def test_a_test_set_too_small_for_the_labels_says_so():
    with pytest.raises(DataError, match=r"raise split\.test to 4"):
        strictly_balanced([plain(i, label) for i, label in enumerate(LABELS)], 3, 0)


@given(many(), st.integers(0, 60), st.integers(0, 3))
def test_every_beginning_of_the_order_is_as_balanced_as_can_be(samples, n, seed):
    chosen, source = counts(balanced_order(samples, seed)[:n]), counts(samples)
    most = max(chosen.values(), default=0)
    for label, there in source.items():
        assert chosen[label] == there or chosen[label] >= most - 1


@given(many())
def test_the_balanced_order_does_not_depend_on_the_order_of_the_source(samples):
    assert balanced_order(samples, 5) == balanced_order(shuffled(samples), 5)


def test_of_a_given_split_training_samples_that_leak_must_go():
    train = [plain(0, "a", digest="x"), plain(1, "a", "p"), plain(2, "a", "q"), plain(3, "a")]
    test = [plain(4, "a", digest="x"), plain(5, "a", "p")]
    assert clashes(train, test) == {
        "s-0": "image also in test: s-4",
        "s-1": "group also in test: s-5",
    }
