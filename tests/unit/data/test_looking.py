"""Pictures are looked at once each, those that are asked for, wherever it is done."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import pytest

from data_makers import picture, sample
from matcg.data.candidates import Source, pool_of
from matcg.data.looking import AHEAD, CHUNK, Found, Look, Looks
from matcg.errors import BadRowError
from matcg.images import fingerprint

SAMPLES = [sample(n, image=picture(n)) for n in range(40)]


class Counted(Look):
    """A look that notes what it has looked at."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.seen: list[int] = []

    def __call__(self, part: Sequence[int]) -> list[Found]:
        self.seen += part
        return super().__call__(part)


def source(samples) -> Source:
    """Return a source in which every seventh row has no picture."""

    def load(at: int):
        if at % 7 == 3:
            raise BadRowError("image missing: no file")
        return samples[at]

    columns = ([getattr(s, name) for s in samples] for name in ("sample_id", "label", "origin"))
    return Source(pool_of(*columns), load, lambda *_: None, len(samples))


def looked(orders, sure, threads=1, alone=9.0, room=2**20) -> tuple[list[list[int]], Counted, dict]:
    """Return the orders as they came back, what has looked, and what was found."""
    look, found = Counted(source(SAMPLES), room), {}
    with ExitStack() as stack:
        looks = Looks(look, threads, sure, alone, stack)
        came = []
        for order in orders:
            pairs = list(looks.of(order))
            came.append([at for at, _ in pairs])
            found |= dict(pairs)
    return came, look, found


@pytest.mark.parametrize(("threads", "alone"), [(1, 9.0), (3, 9.0), (3, 0.0)])
def test_each_order_comes_as_it_is_asked_for(threads, alone):
    orders = [[5, 3, 1, 39], [0, 2, 4, *range(10, 38)]]
    came, look, found = looked(orders, [5, 0, 3, 2], threads, alone)
    assert came == orders
    assert {at for at, each in found.items() if isinstance(each, str)} == {3, 10, 17, 24, 31}
    assert found[39] == replace(SAMPLES[39], fingerprint=fingerprint(picture(39), "x"))
    if alone:
        assert sorted(look.seen) == sorted([*orders[0], *orders[1]])
    else:
        assert not look.seen  # here, but in forks


def test_no_more_are_looked_at_than_are_sure_and_a_few_ahead():
    look = Counted(source(SAMPLES), 2**20)
    with ExitStack() as stack:
        looks = Looks(look, 1, list(range(5)), 9.0, stack)
        order = looks.of(range(40))
        assert [next(order)[0] for _ in range(5)] == list(range(5))
        assert look.seen == list(range(5))
        next(order)
        assert look.seen == list(range(5 + AHEAD))


def test_forks_begin_when_looking_has_taken_a_while():
    _, look, found = looked([range(40)], range(40), 2, 1e-9)
    assert look.seen == list(range(AHEAD))
    assert len(found) == 40
    assert AHEAD < CHUNK


def test_pictures_beyond_the_room_are_left_out_and_nothing_else_is():
    for threads, alone in ((1, 9.0), (2, 0.0)):
        size = len(picture(0))
        _, _, found = looked([range(40)], range(40), threads, alone, 10 * size + 20)
        kept = [each for each in found.values() if not isinstance(each, str)]
        assert len(kept) == 34
        assert 0 < sum(bool(each.image) for each in kept) <= 11
        assert all(each.fingerprint for each in kept)


def test_the_nearest_test_picture_is_named_the_first_of_several():
    prints = [fingerprint(picture(n), "x") for n in (0, 1)]
    number = int(prints[0], 16)
    shifted = [f"{number ^ bits:064x}" for bits in (0b111, 0b1, 0b10)]
    tests = [replace(sample(n), fingerprint=each) for n, each in enumerate([prints[1], *shifted])]
    look = Look(source(SAMPLES), 2**20, tests[1:], 3)
    assert look([0]) == ["image also in test: s-2, 1 of 256 bits differ"]
    assert [type(each) for each in look([1, 2])] == [type(SAMPLES[0])] * 2
    assert Look(source(SAMPLES), 0, tests[1:2], 2)([0, 1])[0] == replace(
        SAMPLES[0], image=b"", fingerprint=prints[0]
    )
