"""Which label each option stands for, and the probability of each label in a file of answers."""

import numpy as np
import pytest

from labelled_runs import labels_of, study
from matcg.analysis.labels import balanced, with_labels
from matcg.analysis.pairs import Study
from matcg.samples import Sample


def question(place, options, answer, label, text="What is it?"):
    return Sample(f"q{place:02}", "t", b"", "", f"{place}.png", text, options, answer, label, "d")


ABC = ("ant", "bee", "cat")


@pytest.mark.parametrize("backwards", [False, True])
def test_probabilities_of_options_become_those_of_labels(tmp_path, backwards):
    asked = [
        question(0, ABC, 0, "ant"),
        question(1, ("Cat.", "ant"), 1, "ant"),
        question(2, ("bee", "Ant"), 0, "bee"),
        question(3, ABC[::-1], 0, "cat"),
    ]
    shares = [[0.5, 0.3, 0.2], [0.6, 0.4], [0.9, 0.1], [0.2, 0.1, 0.7]]
    found = labels_of(tmp_path, asked, [0, 0, 0, -1], shares, backwards=backwards)
    assert found.labels == ABC
    assert found.truth.tolist() == [0, 0, 1, 2]
    assert found.said.tolist() == [0, 2, 1, -1]
    nan = np.nan
    wanted = [[0.5, 0.3, 0.2], [0.4, nan, 0.6], [0.1, 0.9, nan], [0.7, 0.1, 0.2]]
    assert found.chances == pytest.approx(np.array(wanted), nan_ok=True)
    assert found.only(np.array([1, 3])).chances == pytest.approx(
        np.array(wanted)[[1, 3]], nan_ok=True
    )


def test_an_option_stands_for_the_label_that_its_text_is_right_for(tmp_path):
    asked = [
        question(0, ("it is healthy", "it is not"), 0, "normal"),
        question(1, ("It is not.", "it is healthy"), 0, "ill"),
        question(2, ("it is healthy", "a dog"), 0, "normal"),
    ]
    found = labels_of(tmp_path, asked, [0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    assert found.labels == ("a dog", "ill", "normal")
    assert found.chances == pytest.approx(
        np.array([[np.nan, 0.1, 0.9], [np.nan, 0.2, 0.8], [0.5, np.nan, 0.5]]), nan_ok=True
    )
    assert found.said.tolist() == [2, 2, 0]


def test_yes_and_no_stand_for_what_is_asked(tmp_path):
    asked = [
        question(0, ("yes", "no"), 0, "cyst", "A cyst?"),
        question(1, ("yes", "no"), 1, "no cyst", "A cyst?"),
        question(2, ("yes", "no"), 1, "no mass", "A mass?"),
        question(3, ("yes", "no"), 0, "mass", "A mass?"),
        question(4, ("yes", "no"), 1, "no mass", "A mass?"),
        question(5, ("yes", "no"), 1, "no edema", "Edema?"),
    ]
    found = labels_of(tmp_path, asked, [0] * 6, [[0.6, 0.4]] * 6)
    assert found.labels == ("Edema? yes", "cyst", "mass", "no cyst", "no edema", "no mass")
    assert [found.labels[place] for place in found.said] == [
        *("cyst", "cyst", "mass", "mass", "mass", "Edema? yes")
    ]
    assert (~np.isnan(found.chances)).sum(axis=1).tolist() == [2] * 6


def test_what_may_stand_for_several_labels_is_said_and_not_guessed(tmp_path):
    asked = [
        question(0, ("yes", "no"), 0, "cyst"),
        question(1, ("yes", "no"), 0, "mass"),
        question(2, ("yes", "no"), 1, "none"),
    ]
    found = labels_of(
        tmp_path, [*asked, question(3, ("yes", "no"), 1, "none")], [0] * 4, [[0.6, 0.4]] * 4
    )
    assert found.unclear == "'yes' stands for 2 labels"
    assert (found.said, found.chances) == (None, None)
    assert found.truth.tolist() == [0, 1, 2, 2]


def test_labels_are_told_only_where_they_are_not_balanced(tmp_path):
    asked = [question(at, ABC, at % 3, ABC[at % 3]) for at in range(6)]
    given = (asked, [0] * 6, [[0.4, 0.3, 0.3]] * 6)
    assert labels_of(tmp_path, *given).labels == ()
    assert labels_of(tmp_path, *given, left_out={"q00", "q01", "q02"}).labels == ()
    assert labels_of(tmp_path, *given, left_out={"q00"}).labels == ABC
    assert balanced("aabb")
    assert not balanced("aab")


def test_targets_that_count_as_one_are_balanced_together_and_have_the_same_labels(tmp_path):
    found, places, answers = [], {}, {}
    for target, right in (("t", 0), ("u", 1)):
        asked = [question(at, ABC[:2], right, ABC[right]) for at in range(2 + right)]
        one, where = study(tmp_path, asked, [0] * len(asked), [[0.7, 0.3]] * len(asked), target)
        found += one.rows
        places |= where
        answers |= one.answers
    folders = {("cat", target): tmp_path / target for target in "tu"}

    def told(units):
        both = with_labels(Study(found, answers), found, places, folders, units, {})
        return [both.answers[each.key].labels for each in found]

    assert told({}) == [(), ()]
    assert told({"t": "t", "u": "t"}) == [("ant", "bee")] * 2
