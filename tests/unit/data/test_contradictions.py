"""Contradictions are found whatever file or place an answer stands in, and nothing else is one."""

from dataclasses import replace

import pytest

from data_makers import picture, sample
from matcg.data.contradictions import Contradictions
from matcg.samples import Finding

ONE = sample(1, "yes")


def found(*samples):
    looked = Contradictions()
    assert list(looked.passing(samples)) == list(samples)
    return looked.found()


def other(**changes):
    return replace(sample(2, "no"), image=ONE.image, **changes)


def test_one_picture_and_question_with_two_answers_is_found():
    assert found(ONE, sample(3, "no"), other()) == [["s-1", "s-2"]]
    assert found(ONE, other(question="WELL? ")) == [["s-1", "s-2"]]


@pytest.mark.parametrize(
    "changes",
    [
        {"image": picture(2)},
        {"question": "Which?"},
        {"answer": 0},
        {"options": ("maybe", "never")},  # several things may be true of a picture
    ],
)
def test_what_can_both_be_true_is_no_contradiction(changes):
    assert found(ONE, replace(other(), **changes)) == []


def test_findings_contradict_each_other_too():
    boxes = {"form": "boxes", "size": (16, 16), "options": ("a",)}
    one = replace(ONE, **boxes, answer=0, findings=(Finding("a", (0, 0, 4, 4)),))
    assert found(one, replace(one, sample_id="s-9")) == []
    assert found(one, replace(one, sample_id="s-9", findings=())) == [["s-1", "s-9"]]
