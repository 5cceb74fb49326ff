"""Areas and matches, against pycocotools, pixels that are counted, and every matching there is."""

from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from matcg.overlap import box_areas, mask_areas, matched
from matcg.samples import Finding

EDGE = 12
Box = tuple[float, ...]


@st.composite
def boxes(draw: st.DrawFn, most: int = 5) -> list[Box]:
    """Return boxes with whole corners, in a picture of `EDGE` times `EDGE`."""
    sides = st.sets(st.integers(0, EDGE), min_size=2, max_size=2).map(sorted)
    pairs = draw(st.lists(st.tuples(sides, sides), max_size=most))
    return [(float(x[0]), float(y[0]), float(x[1]), float(y[1])) for x, y in pairs]


findings = boxes().flatmap(
    lambda drawn: st.tuples(*(st.sampled_from("ab") for _ in drawn)).map(
        lambda labels: [Finding(label, box) for label, box in zip(labels, drawn, strict=True)]
    )
)


def pixels(drawn: list[Box]) -> Any:
    """Return the pixels, rows of a picture wider than high, that any box covers."""
    picture = np.zeros((EDGE, EDGE + 2), dtype=np.uint8)
    for x1, y1, x2, y2 in drawn:
        picture[int(y1) : int(y2), int(x1) : int(x2)] = 1
    return picture


def coded(drawn: list[Box]) -> list[str]:
    """Return a mask a box."""
    return [coco.encode(np.asfortranarray(pixels([box])))["counts"].decode() for box in drawn]


@given(true=boxes(), guess=boxes(), scale=st.sampled_from([1.0, 0.25, 3.5]))
def test_areas_are_those_of_the_pixels_that_are_covered(
    true: list[Box], guess: list[Box], scale: float
) -> None:
    """Whatever overlaps counts once, boxes and masks alike; boxes need no whole numbers."""
    one, other = pixels(true) > 0, pixels(guess) > 0
    wanted = (one & other).sum(), (one | other).sum()
    assert mask_areas(coded(true), coded(guess), (EDGE + 2, EDGE)) == wanted
    scaled = ([tuple(scale * side for side in box) for box in drawn] for drawn in (true, guess))
    assert box_areas(*scaled) == tuple(scale**2 * area for area in wanted)


@given(one=boxes(1), other=boxes(1))
def test_iou_is_that_of_pycocotools(one: list[Box], other: list[Box]) -> None:
    """Of two boxes, which it has as x, y, width, height, and of two masks."""
    if not (one and other):
        return
    corners = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in (*one, *other)]
    inter, union = box_areas(one, other)
    assert inter / union == pytest.approx(coco.iou(corners[:1], corners[1:], [False])[0, 0])
    masks = [{"size": [EDGE, EDGE + 2], "counts": coded(drawn)[0]} for drawn in (one, other)]
    inter, union = mask_areas(coded(one), coded(other), (EDGE + 2, EDGE))
    assert inter / union == pytest.approx(coco.iou(masks[:1], masks[1:], [False])[0, 0])


def most_pairs(true: list[Finding], guess: list[Finding], least: float) -> int:
    """Return how many can be matched at most, by trying every matching there is."""

    def fits(one: Finding, other: Finding) -> bool:
        inter, union = box_areas([one.box], [other.box])
        return one.label == other.label and inter / union >= least

    pairs = {(i, j) for i, j in np.ndindex(len(true), len(guess)) if fits(true[i], guess[j])}
    for size in range(min(len(true), len(guess)), 0, -1):
        for chosen in combinations(range(len(true)), size):
            orders = permutations(range(len(guess)), size)
            if any(pairs.issuperset(zip(chosen, order, strict=True)) for order in orders):
                return size
    return 0


@given(true=findings, guess=findings, least=st.sampled_from([0.1, 0.25, 0.5]))
def test_matches_are_as_many_as_any_matching_has(
    true: list[Finding], guess: list[Finding], least: float
) -> None:
    """Up to five boxes a side; low thresholds leave a box several partners."""
    most = most_pairs(true, guess, least)
    assert matched(true, guess, least) == (most, len(guess) - most, len(true) - most)


def test_a_match_taken_greedily_would_cost_another() -> None:
    """The first true box fits both given ones, the second only the first of them."""
    true = [Finding("a", (0, 0, 10, 10)), Finding("a", (4, 0, 14, 10))]
    guess = [Finding("a", (2, 0, 12, 10)), Finding("a", (-3, 0, 7, 10))]
    assert matched(true, guess) == (2, 0, 0)
    assert matched(true, [Finding("b", each.box) for each in guess]) == (0, 2, 2)
    assert matched([], []) == (0, 0, 0)
