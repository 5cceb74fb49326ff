"""A target whose questions can tell nothing is named with each of its faults, and no other is."""

import pytest

from matcg.telling import faults, faults_in

BALANCED = {"label 'yes'": 20, "label 'no'": 20, "letter A": 32, "letter B": 8}


def test_a_balanced_target_has_no_fault():
    assert faults(40, BALANCED, minimum=40) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"minimum": 41}, "40 questions, of which `minimum_questions` asks 41"),
        ({"constants": {"label 'yes'": 40}}, "all 40 questions are answered by label 'yes'"),
        ({"constants": {"letter A": 33}}, "33 of 40 questions are answered by letter A"),
        ({"lost": ["eel"]}, "label 'eel' lost all its pictures"),
        (
            {"contradictions": [["a", "b"], ["c", "d"]]},
            "one picture and question with two answers: a and b and 1 more",
        ),
    ],
)
def test_each_fault_is_said(changes, said):
    assert faults(**{"questions": 40, "constants": BALANCED} | changes) == [said]


def test_the_account_of_a_subset_tells_all():
    account = {"given": {"test": 4}, "constants": {"none": 4}, "lost_labels": ["eel"]}
    assert len(faults_in(account, 30)) == 3
    assert faults_in({"given": {"test": 4}}, 4) == []
