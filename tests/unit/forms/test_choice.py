"""Multiple choice: drawn anew, asked and read off replies."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_makers import sample
from matcg.data.option_lines import parse_letter, parse_options
from matcg.forms import Reply, View, Wording
from matcg.forms.choice import FORM, letters, normal, parse, question_text

LABELS = ("a", "b", "c", "d")
FOUR = ("mass", "cyst", "scar", "no scar")


def test_question_text_gives_an_option_a_line_and_asks_for_a_letter():
    assert question_text("What?", ["x", "y y"]).splitlines() == [
        "What?",
        "A: x",
        "B: y y",
        "Answer with the option's letter from the given choices directly.",
    ]


@given(st.lists(st.sampled_from(LABELS), max_size=80), st.integers(2, 5), st.integers(0, 3))
def test_letters_are_right_equally_often_within_a_label(labels, options, seed):
    names = [str(i) for i in range(len(labels))]
    places = letters(labels, options, names, seed)
    for label in set(labels):
        found = Counter(p for p, each in zip(places, labels, strict=True) if each == label)
        times = [found[at] for at in range(options)]
        assert max(times) - min(times) <= 1
    assert all(0 <= place < options for place in places)


@given(st.lists(st.sampled_from(LABELS), min_size=1, max_size=80), st.integers(2, 5))
def test_letters_are_right_nearly_equally_often_over_all_labels(labels, options):
    places = letters(labels, options, [str(i) for i in range(len(labels))], 0)
    found = Counter(places)
    times = [found[at] for at in range(options)]
    assert max(times) - min(times) <= len(set(labels))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("C", 2),
        ("C.", 2),
        ("(C)", 2),
        ("C: scar", 2),
        ("C) it looks like a mass", 2),
        ("Answer: C", 2),
        ("The answer is C", 2),
        ("**B**", 1),
        ("B A A B", 1),
        ("E", None),
        ("A cyst is seen", 1),
        ("A B B B", 0),  # a model that was never taught where to end
        ("I see a cyst", 1),
        ("This is a Cyst.", 1),
        ("there is no  scar here", 3),
        ("scar", 2),
        ("Either B or C", None),
        ("mass or cyst", None),
        ("cystic changes", None),
        ("B-cell lymphoma", None),
        ("", None),
    ],
)
def test_a_letter_counts_first_then_the_only_option_named(text, place):
    assert parse(text, FOUR) == place


VIEW = View(8, "squash")
TOKENS = {"A": 50, "B": 51, "C": 52}


def answered(number, *logprobs, orders=((0, 1, 2),)):
    """Return what is read of a question whose letters get the same probabilities in each order."""
    own = sample(number, "x", options=("x", "y", "z"))
    pairs = [
        (Wording("", "token", ("A", "B", "C"), order), Reply(logprobs, 50)) for order in orders
    ]
    return FORM.read(own, pairs, TOKENS, VIEW)


def test_letters_that_tie_win_alike_and_always_the_same_one():
    rows = [answered(number, -1.0, -2.0, -1.0) for number in range(600)]
    won = Counter(row["predicted"] for row in rows)
    assert set(won) == {0, 2}
    assert abs(won[0] - 300) < 60  # five standard deviations
    assert rows == [answered(number, -1.0, -2.0, -1.0) for number in range(600)]
    assert all(row["verdicts"] == [row["predicted"]] for row in rows)
    assert all(map(FORM.is_tie, rows))


def test_the_likeliest_letter_is_no_tie():
    row = answered(1, -1.0, -1.0 - 1e-6, -2.0)
    assert (row["predicted"], FORM.is_tie(row)) == (0, False)


def test_letters_favoured_alike_in_each_order_tie():
    cyclic = ((0, 1, 2), (1, 2, 0), (2, 0, 1))
    rows = [answered(number, -0.1, -2.0, -7.0, orders=cyclic) for number in range(300)]
    assert set(Counter(row["predicted"] for row in rows)) == {0, 1, 2}
    assert all(row["verdicts"] == [0, 1, 2] and FORM.is_tie(row) for row in rows)


def test_words_are_one_in_either_unicode_form_and_stay_as_they_are_written():
    assert normal("ME\u0301NI.") == normal("\ufeffméni\u200b") == "méni"
    assert parse_options("Which?\n\ufeffA: Me\u0301ni\nB: two") == ("Me\u0301ni", "two")
    assert parse_letter("\ufeffB\u200b") == (1, "")
    assert parse("It is me\u0301ni", ("Méni", "two")) == 0
    one, other = (
        sample(1, options=("yes", "MÉNI.")),
        sample(2, "me\u0301ni", options=("no", "me\u0301ni")),
    )
    assert FORM.dealt(one, other, 0) == 1
