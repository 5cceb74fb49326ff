"""Boxes are trained on, asked for, read and scored in the picture's pixels, however it is seen."""

import re

import pytest

from data_makers import found
from matcg.config.protocol import Protocol
from matcg.forms import Reply, View
from matcg.forms.boxes import FORM
from matcg.samples import Finding

ONE = Finding("lesion", (20.0, 10.0, 60.0, 50.0))
TWO = Finding("mass", (100.0, 0.0, 200.0, 100.0))
TINY = View(48, "squash", "tiny")
VIEWS = [
    View(edge, geometry, name)
    for geometry in ("squash", "pad")
    for name, edge in (("tiny", 48), ("pixels", 336), ("thousandths", 336), ("fractions", 336))
]


def answered(sample, text, view=TINY):
    """Return the columns of an answer to a sample."""
    (wording,) = FORM.wordings(sample, Protocol(name="p"), view)
    said = FORM.read(sample, [(wording, Reply((), 0, text))], {}, view)
    return said | FORM.score(sample, said)


@pytest.mark.parametrize("findings", [(), (ONE,), (ONE, TWO)], ids=len)
@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_the_right_answer_is_asked_for_and_scores_nearly_one(view, findings):
    sample = found(1, *findings)
    text = FORM.told(sample, FORM.truth(sample), view)
    (wording,) = FORM.wordings(sample, Protocol(name="p"), view)
    assert re.fullmatch(wording.pattern, text)
    assert len(text) <= wording.length
    assert text in wording.among
    row = answered(sample, text, view)
    assert row["iou"] > 0.9
    assert (row["ill_formed"], row["tp"], row["fp"], row["fn"]) == (0, len(findings), 0, 0)
    assert [each["label"] for each in row["given"]] == [each.label for each in findings]


def test_a_question_offers_labels_and_none_and_is_the_same_in_training():
    sample = found(1, ONE)
    asked = "Well?\nLabels: lesion, mass. Answer with label and box of each, or none."
    assert FORM.question(sample, TINY) == asked
    free = Protocol(name="p", scoring="generate", max_tokens=5000)
    (wording,) = FORM.wordings(sample, free, TINY)
    assert (wording.question, wording.way, wording.pattern, wording.length) == (
        asked,
        "text",
        "",
        5000,
    )
    assert FORM.example(sample, free, TINY) == (asked, "lesion @05 @05 @14 @24")
    assert FORM.example(found(1), free, TINY) == (asked, "none")


ANSWERS = {
    # inter, union, iou, tp, fp, fn, ill-formed
    "lesion @05 @05 @14 @24": (38 * 40 - 0.0, None, None, 1, 0, 0, 0),
    "none": (0, 1600, 0, 0, 0, 1, 0),
    "": (0, 1600, 0, 0, 0, 1, 1),
    "mass @05 @05 @14 @24": (38 * 40 - 0.0, None, None, 0, 1, 1, 0),
    "lesion @24 @24 @48 @48": (0, 1600 + 5000, 0, 0, 1, 1, 0),
    "lesion @24 @24 @14 @48": (0, 1600, 0, 0, 0, 1, 1),
}


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_is_scored_in_pixels_of_the_picture(text):
    inter, union, iou, *counts, ill = ANSWERS[text]
    row = answered(found(1, ONE), text)
    assert [row["tp"], row["fp"], row["fn"], row["ill_formed"]] == [*counts, ill]
    if union is not None:
        assert (row["inter"], row["union"], row["iou"]) == (inter, union, iou)
    else:
        # x from 20.83 to 58.33, y from 10.42 to 50: within the truth but for nothing.
        assert row["inter"] == row["iou"] * row["union"] == pytest.approx(37.5 * 39.5833, rel=1e-4)


def test_pictures_without_findings_are_right_when_none_is_said():
    assert answered(found(1), "none")["iou"] == 1
    assert answered(found(1), "lesion @05 @05 @14 @24")["iou"] == 0


def test_a_box_in_what_pads_the_picture_is_ill_formed():
    row = answered(found(1, ONE), "lesion @05 @00 @14 @10", View(48, "pad", "tiny"))
    assert (row["given"], row["ill_formed"]) == ([], 1)


def test_what_crop_cuts_off_is_not_trained_on_but_scored():
    view = View(48, "crop", "tiny")
    sample = found(1, ONE, Finding("mass", (0.0, 0.0, 40.0, 100.0)))
    text = FORM.told(sample, FORM.truth(sample), view)
    assert text == "lesion @00 @05 @05 @24"
    assert answered(sample, text, view)["fn"] == 2


def test_findings_that_are_dealt_keep_their_share_of_the_picture():
    other = found(2, ONE, size=(200, 100))
    dealt = FORM.dealt(found(1, TWO, size=(100, 200)), other, 0)
    assert dealt == (Finding("lesion", (10.0, 20.0, 30.0, 100.0)),)
    assert FORM.unpacked(FORM.packed(dealt)) == dealt


def test_the_page_is_told_labels_and_none():
    assert FORM.show(found(1, TWO)).offered == ("lesion", "mass", "none")
    assert [FORM.show(found(1, *each)).right for each in ((TWO,), (ONE, TWO), ())] == [1, 0, 2]
