"""What the page draws over a picture covers what the findings cover."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matcg.geometry import encoded
from matcg.report.page.drawn import WHOLE, shapes, shapes_of
from matcg.samples import Finding

SIZE = (80, 40)


def test_a_box_is_drawn_in_shares_of_the_pictures_sides():
    found = shapes([Finding("cell", (20, 10, 60, 40)), Finding("dust", (90, 0, 99, 9))], SIZE)
    assert found == [("cell", False, [[250, 250, 750, 1000]]), ("dust", False, [])]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39), st.integers(1, 40))))
def test_the_runs_of_a_mask_cover_its_cells_and_no_other(runs):
    cells = np.zeros((40, 40), bool)
    for row, start, length in runs:
        cells[row, start : start + length] = True
    mask = encoded(cells.repeat(2, axis=1))  # a picture of 80 x 40
    ((label, is_mask, parts),) = shapes([Finding("x", (0, 0, 80, 40), mask)], SIZE)
    drawn = np.zeros((WHOLE, WHOLE), int)
    for x1, y1, x2, y2 in parts:
        drawn[y1:y2, x1:x2] += 1
    assert (label, is_mask) == ("x", True)
    assert (drawn[::25, ::25] == cells).all()
    assert drawn.max(initial=0) <= 1


@pytest.mark.parametrize("findings", [[], [Finding("a", (0.0, 0.0, 8.0, 4.0))]])
def test_answers_hold_the_same_as_json(findings):
    assert shapes_of(json.dumps([asdict(each) for each in findings]), SIZE) == shapes(
        findings, SIZE
    )
