"""Options and letters are read from the wordings that occur, and from nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcg.data.questions import parse_letter, parse_options
from matcg.samples import question_text

OPTION = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)


@given(st.lists(OPTION, min_size=2, max_size=6, unique=True))
def test_options_of_our_own_template_are_found_again(options):
    assert parse_options(question_text("What is seen?", options)) == tuple(options)


@pytest.mark.parametrize(
    "text",
    [
        "Which?\nA: one\nB: two three\nAnswer with the letter.",
        "Which?\nA. one\nB. two three",
        "Which?\r\n\r\n A : one\r\n B :  two  three\r\n",
        "Which?\nA) one\nB) two three\nAnswer.",
        "A. B. was seen. Which?\nA: one\nB: two three\nAnswer.",
    ],
)
def test_options_are_read_in_the_wordings_of_the_release(text):
    assert parse_options(text) == ("one", "two three")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Which?", "fewer than two"),
        ("", "fewer than two"),
        ("Which?\nA: one\nAnswer.", "fewer than two"),
        ("Which?\nB: one\nC: two", "fewer than two"),
        ("Which?\nA: one\nC: two\nB: three", "fewer than two"),
        ("Which?\nA: one\nB: two\nand more\nC: three\nAnswer.", "no option after 'B'"),
        ("Which?\nA: one\nB: one\nAnswer.", "given twice"),
    ],
)
def test_other_texts_are_refused_with_a_reason(text, why):
    with pytest.raises(ValueError, match=why):
        parse_options(text)


@pytest.mark.parametrize(
    ("text", "index", "option"),
    [("B", 1, ""), (" C. ", 2, ""), ("(A)", 0, ""), ("D: a  cell", 3, "a cell"), ("B) x", 1, "x")],
)
def test_letters_are_read_with_or_without_the_option(text, index, option):
    assert parse_letter(text) == (index, option)


@pytest.mark.parametrize("text", ["", "b", "Both", "1", "A B", "Bone: x"])
def test_what_is_no_letter_is_refused(text):
    with pytest.raises(ValueError, match="no option letter"):
        parse_letter(text)
