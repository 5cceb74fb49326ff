"""Boxes and masks lie in the square where the picture's pixels lie that they are about."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from matcg.geometry import Square, decoded, encoded
from matcg.images import fit

GEOMETRIES = ("squash", "pad", "crop")
geometries = pytest.mark.parametrize("geometry", GEOMETRIES)
sizes = st.tuples(st.integers(8, 150), st.integers(8, 150))


@st.composite
def boxed(draw):
    """Return a picture's size, an edge, and a box of whole pixels in the picture."""
    width, height = draw(sizes)
    x = sorted(draw(st.tuples(st.integers(0, width), st.integers(0, width))))
    y = sorted(draw(st.tuples(st.integers(0, height), st.integers(0, height))))
    assume(x[0] < x[1] and y[0] < y[1])
    return (width, height), draw(st.integers(16, 64)), (x[0], y[0], x[1], y[1])


def drawn(size, box):
    image = Image.new("L", size)
    ImageDraw.Draw(image).rectangle([box[0], box[1], box[2] - 1, box[3] - 1], fill=255)
    return image


def outline(mask):
    """Return the box around a mask."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


@geometries
@given(case=boxed())
def test_a_filled_box_is_seen_where_fit_puts_it(geometry, case):
    size, edge, box = case
    seen = Square(size, edge, geometry).box_seen(box)
    # Of what is thin the filter leaves less than half.
    assume(seen and min(seen[2] - seen[0], seen[3] - seen[1]) > 3)
    assume(min(box[2] - box[0], box[3] - box[1]) > 3)
    put = np.asarray(fit(drawn(size, box), edge, geometry)) > 127
    # At the picture's rim the filter has but one side, and weighs what is there more.
    assert np.abs(np.subtract(outline(put), seen)).max() <= 0.6
    mask = encoded(np.asarray(drawn(size, box)) > 0)
    assert (
        np.abs(
            np.subtract(outline(Square(size, edge, geometry).shares(mask, edge) >= 0.5), seen)
        ).max()
        <= 0.52
    )


@geometries
@given(case=boxed())
def test_a_box_comes_back_unless_it_is_cut(geometry, case):
    size, edge, box = case
    square = Square(size, edge, geometry)
    seen = square.box_seen(box)
    if square.cut([box]):
        assert geometry == "crop"
        meant = square.box_meant(seen) if seen else box
        assert all(box[n] - 1e-6 <= meant[n] for n in (0, 1))
        assert all(meant[n] <= box[n] + 1e-6 for n in (2, 3))
    else:
        assert square.box_meant(seen) == pytest.approx(box)


@geometries
@given(case=boxed(), cells=st.integers(2, 20))
def test_shares_of_cells_add_up_to_what_is_seen(geometry, case, cells):
    size, edge, box = case
    square = Square(size, edge, geometry)
    seen = square.box_seen(box)
    shares = square.shares(encoded(np.asarray(drawn(size, box)) > 0), cells)
    assert shares.min() >= 0
    assert shares.max() <= 1 + 1e-9
    area = (seen[2] - seen[0]) * (seen[3] - seen[1]) if seen else 0
    assert shares.sum() * (edge / cells) ** 2 == pytest.approx(area, abs=1e-4)


@geometries
@given(size=sizes, edge=st.integers(16, 64), data=st.data())
def test_cells_cover_the_pixels_whose_centres_they_hold(geometry, size, edge, data):
    cells = data.draw(st.integers(2, 6))
    covered = np.array(data.draw(st.lists(st.booleans(), min_size=cells**2, max_size=cells**2)))
    covered = covered.reshape(cells, cells)
    square = Square(size, edge, geometry)
    mask = decoded(square.mask_meant(covered), size)
    assert mask.shape == size[::-1]
    x, y = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
    here = square.box_seen((x + 0.49, y + 0.49, x + 0.51, y + 0.51))
    centre = None if here is None else ((here[0] + here[2]) / 2, (here[1] + here[3]) / 2)
    assume(centre is None or all(abs(v * cells / edge % 1 - 0.5) < 0.45 for v in centre))
    expected = centre is not None and covered[tuple(int(v * cells / edge) for v in centre[::-1])]
    assert bool(mask[y, x]) == expected


def test_crop_cuts_what_lies_at_the_sides():
    square = Square((200, 100), 50, "crop")
    boxes = [(0, 0, 40, 50), (40, 0, 100, 50), (60, 10, 100, 50)]
    assert square.cut(boxes) == 2
    assert [square.box_seen(box) for box in boxes] == [None, (0, 0, 25, 25), (5, 5, 25, 25)]
    assert Square((200, 100), 50, "pad").cut(boxes) == 0
