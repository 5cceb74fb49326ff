"""Masks are trained on and asked for as cells, and scored as pixels of the picture."""

import re

import numpy as np
import pytest

from data_makers import found
from matcg.config.protocol import Protocol
from matcg.forms import Reply, View
from matcg.forms.boxes import FORM as BOXES
from matcg.forms.mask import FORM
from matcg.geometry import decoded, encoded, filled
from matcg.samples import Finding

SIZE = (96, 48)
VIEWS = [
    View(edge, geometry, name)
    for geometry in ("squash", "pad", "crop")
    for name, edge in (("tiny", 48), ("pixels", 336))
]


def masked(label, *box):
    """Return a finding whose mask is a box of a picture of 96 by 48 pixels."""
    mask = np.zeros(SIZE[::-1], bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return Finding(label, tuple(map(float, box)), encoded(mask))


ONE, TWO = masked("lesion", 32, 8, 56, 24), masked("mass", 56, 24, 72, 48)
SMALL = masked("lesion", 40, 20, 42, 22)


def answered(sample, text, view):
    """Return the columns of an answer to a sample."""
    (wording,) = FORM.wordings(sample, Protocol(name="p"), view)
    said = FORM.read(sample, [(wording, Reply((), 0, text))], {}, view)
    return said | FORM.score(sample, said)


@pytest.mark.parametrize("findings", [(), (ONE,), (ONE, TWO), (SMALL,)], ids=["", "1", "2", "tiny"])
@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_the_right_answer_is_asked_for_and_reaches_the_ceiling(view, findings):
    sample = found(1, *findings, size=SIZE, form="mask")
    text = FORM.told(sample, FORM.truth(sample), view)
    (wording,) = FORM.wordings(sample, Protocol(name="p"), view)
    assert re.fullmatch(wording.pattern, text)
    assert len(text) <= wording.length
    row = answered(sample, text, view)
    assert row["dice"] == row["ceiling"]
    assert row["ill_formed"] == 0
    assert row["ceiling"] == 0 if findings == (SMALL,) else row["ceiling"] > 0.8
    if findings != (SMALL,):
        assert {each["label"] for each in row["given"]} == {each.label for each in findings}


@pytest.mark.parametrize("name", ["tiny", "pixels", "thousandths", "fractions"])
@pytest.mark.parametrize("geometry", ["squash", "pad"])
def test_a_mask_can_be_said_as_the_box_around_it(name, geometry):
    view = View(336, geometry, name, "box")
    corner = np.zeros(SIZE[::-1], bool)
    corner[8:24, 32:36] = corner[20:24, 32:56] = True  # an L, of 144 of its box's 384 pixels
    finding = Finding("lesion", (32.0, 8.0, 56.0, 24.0), encoded(corner))
    sample = found(1, finding, size=SIZE, form="mask")
    text = FORM.told(sample, FORM.truth(sample), view)
    (wording,) = FORM.wordings(sample, Protocol(name="p"), view)
    assert re.fullmatch(wording.pattern, text)
    assert "16 rows" not in wording.question
    assert text == BOXES.told(sample, BOXES.truth(sample), view)
    row = answered(sample, text, view)
    assert row["dice"] == row["ceiling"] == pytest.approx(2 * 144 / (144 + 384), abs=0.03)
    assert row["given"][0]["mask"] == filled(row["given"][0]["box"], SIZE)
    nothing = answered(found(1, size=SIZE, form="mask"), text, view)
    assert (nothing["dice"], nothing["ceiling"]) == (0, 1)


def test_cells_are_rows_of_runs_and_masks_come_back_with_their_boxes():
    view = View(48, "squash", "tiny")
    sample = found(1, ONE, size=SIZE, form="mask")
    text = FORM.told(sample, FORM.truth(sample), view)
    rows = ["none @12"] * 2 + ["none @04 lesion @03 none @05"] * 4 + ["none @12"] * 6
    assert text == " ; ".join(rows)
    row = answered(sample, text.replace(" ", ""), view)
    assert (row["dice"], row["iou"], row["inter"], row["union"]) == (1, 1, 384, 384)
    (given,) = row["given"]
    assert given["box"] == ONE.box
    assert (decoded(given["mask"], SIZE) == decoded(ONE.mask, SIZE)).all()
    half = answered(sample, text.replace("@04 lesion @03", "@04 lesion @02 none @01"), view)
    assert (half["dice"], half["iou"]) == (pytest.approx(0.8), pytest.approx(2 / 3))


@pytest.mark.parametrize(
    ("findings", "text", "dice", "ill"),
    [((), "none", 1, 0), ((ONE,), "none", 0, 0), ((), "lesion @12", 0, 1), ((ONE,), "x", 0, 2)],
)
def test_nothing_against_something_scores_nothing(findings, text, dice, ill):
    row = answered(found(1, *findings, size=SIZE, form="mask"), text, View(48, "squash", "tiny"))
    assert (row["dice"], row["ill_formed"]) == (dice, ill)


def test_masks_that_are_dealt_are_scaled():
    own, other = found(1, size=(48, 96)), found(2, ONE, size=SIZE)
    (dealt,) = FORM.dealt(own, other, 0)
    assert dealt.box == (16, 16, 28, 48)
    columns, rows = (decoded(dealt.mask, (48, 96)).any(axis) for axis in (0, 1))
    assert (list(np.flatnonzero(columns)), list(np.flatnonzero(rows))) == (
        list(range(16, 28)),
        list(range(16, 48)),
    )
