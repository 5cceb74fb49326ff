"""What is drawn is sound, balanced and within its caps, whatever is damaged and in what order."""

import io
import random
from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_makers import picture, sample
from matcg.data.candidates import Source, pool_of
from matcg.data.near_duplicates import distances, hashes
from matcg.data.sampling import Draw
from matcg.images import fingerprint
from matcg.samples import Sample

PICTURES = [picture(number) for number in range(40)]
BROKEN = PICTURES[0][:200]


def brighter(data: bytes) -> bytes:
    """Return a picture that is nearly the same, in another file."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).point(lambda value: value * 0.97).save(buffer, "PNG")
    return buffer.getvalue()


@st.composite
def sources(draw: st.DrawFn) -> list[Sample]:
    """Draw samples of up to three labels; some are damaged, some show what another one shows."""
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.integers(0, 39), st.sampled_from("ooob~")),
            max_size=30,
        )
    )
    found = []
    for at, (label, number, state) in enumerate(rows):
        data = {"o": PICTURES[number], "b": BROKEN, "~": brighter(PICTURES[number])}[state]
        found.append(replace(sample(at, options=("a", "b", "c"), label=label), image=data))
    return found


def drawn(
    samples: list[Sample], caps: tuple[int, int], threads: int = 1, distance: int = 24
) -> tuple:
    """Return the test and training samples and why the others were not taken, by sample id."""
    columns = ([getattr(s, name) for s in samples] for name in ("sample_id", "label", "origin"))
    source = Source(pool_of(*columns), samples.__getitem__, lambda *_: None, len(samples))
    draw = Draw(source, source.pool.ranks(7), threads, alone=0)
    tests = np.array([int(s.sample_id[2:]) % 3 == 0 for s in samples], dtype=bool)
    test = list(draw.test(tests, caps[0]).values())
    train = list(draw.train(~tests, caps[1], 7, test, distance).values())
    reasons = {samples[at].sample_id: why for at, why in draw.rejected.items()}
    return test, train, reasons


def ids(samples: list[Sample]) -> list[str]:
    return sorted(each.sample_id for each in samples)


@settings(deadline=None)
@given(sources(), st.integers(3, 20), st.integers(1, 20))
def test_what_is_drawn_is_balanced_sound_and_free_of_the_test(samples, cap_test, cap_train):
    test, train, reasons = drawn(samples, (cap_test, cap_train))
    assert len(test) <= cap_test
    assert len(train) <= cap_train
    assert len(set(Counter(each.label for each in test).values())) <= 1
    data = {each.sample_id: each.image for each in samples}
    for each in test + train:
        assert data[each.sample_id] != BROKEN
        assert each.fingerprint == fingerprint(data[each.sample_id], "x")
    tested = hashes(each.fingerprint for each in test)
    for each in train:
        assert not (distances(hashes([each.fingerprint])[0], tested) <= 24).any()
    for name, reason in reasons.items():
        assert reason.startswith("image also in test" if data[name] != BROKEN else "image damaged")


@given(sources(), st.integers(1, 30))
def test_nothing_sound_is_left_while_there_is_room(samples, cap):
    test, train, reasons = drawn(samples, (20, cap))
    pool = [each for each in samples if int(each.sample_id[2:]) % 3]
    fit = [each for each in pool if each.sample_id not in reasons]
    assert len(train) == min(cap, len(fit))
    counts, there = Counter(s.label for s in train), Counter(s.label for s in fit)
    most = max(counts.values(), default=0)
    assert all(counts[label] >= min(n, most - 1) for label, n in there.items())
    assert test or not any(
        each.image != BROKEN for each in samples if int(each.sample_id[2:]) % 3 == 0
    )


@settings(max_examples=15, deadline=None)
@given(sources(), st.integers(3, 20), st.integers(1, 20))
def test_neither_the_order_of_rows_nor_forks_change_what_is_drawn(samples, cap_test, cap_train):
    one = drawn(samples, (cap_test, cap_train))
    other = drawn(random.Random(0).sample(samples, len(samples)), (cap_test, cap_train), 3)
    assert [ids(part) for part in one[:2]] == [ids(part) for part in other[:2]]
    assert one[2].keys() == other[2].keys()


def test_a_picture_that_differs_in_just_as_many_bits_as_are_near_is_not_taken():
    samples = [replace(sample(at), image=PICTURES[at]) for at in range(2)]
    first, second = hashes(fingerprint(picture, "x") for picture in PICTURES[:2])
    apart = int(distances(first, second[None])[0])
    assert [len(drawn(samples, (2, 2), distance=apart - less)[1]) for less in (0, 1)] == [0, 1]
