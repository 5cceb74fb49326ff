"""The best answer that needs no picture, where it is known."""

import numpy as np
import pytest
from pycocotools import mask as coco

from matcg.analysis.prior import prior
from matcg.samples import Finding

SIZE = (64, 128)


def box(x1: float, y1: float, x2: float, y2: float, masked: bool = False) -> Finding:
    """Return a finding in a picture of `SIZE`; with `masked` its mask is the box, filled."""
    pixels = np.zeros(SIZE[::-1], np.uint8, order="F")
    pixels[int(y1) : int(y2), int(x1) : int(x2)] = 1
    return Finding("a", (x1, y1, x2, y2), coco.encode(pixels)["counts"].decode() * masked)


@pytest.mark.parametrize("masked", [False, True])
def test_the_most_frequent_place_is_the_prior(masked: bool) -> None:
    usual, rare = box(0, 0, 32, 64, masked), box(32, 64, 64, 128, masked)
    training = [([usual], SIZE)] * 3 + [([rare], SIZE)] * 2 + [([], SIZE)]
    assert prior(training, training) == pytest.approx(3 / 6)
    # Half of the upper half: twice as wide, of another size, at the same place.
    wide = [([Finding("a", (0.0, 0.0, 20.0, 5.0))], (20, 10))]
    assert prior(training, wide) == pytest.approx(0.5)
    assert prior(training, wide, dice=True) == pytest.approx(2 / 3)


def test_a_place_between_others_can_be_better_than_the_most_frequent() -> None:
    apart = [([box(x, 0, x + 32.0, 64)], SIZE) for x in (0, 0, 16, 16, 32, 32)]
    # Of the outer ones two fit, two by a third; of the middle one two fit, four by a third.
    assert prior(apart, apart) == pytest.approx((2 + 4 / 3) / 6)


def test_without_a_finding_there_is_no_prior() -> None:
    nothing = [([], SIZE)]
    assert prior(nothing, nothing) is prior([([box(0, 0, 1, 2)], SIZE)], []) is None
