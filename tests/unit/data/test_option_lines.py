"""Options are read whole: what stands beside them is the closing, or the row is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcg.config.reader_options import Options
from matcg.data.option_lines import parse_letter, parse_options
from matcg.errors import ConfigError
from matcg.forms.choice import INSTRUCTION, OPTION_LETTERS, question_text

OPTION = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)
# How a line after "A: yes", "B: no" may be written that is no option "C: ...".
LAST = (
    *("C - maybe", "c: maybe", "C\uff1a maybe", "\uff23: maybe", "[C] maybe", "C maybe", "C:", "C"),
    *("B: maybe", "A: maybe", "D: maybe", "3: maybe", "*C*: maybe", "\u0421: maybe"),
    "C\u200b: maybe",
    *("of the left lung", "Answer with the letter.", "Answer with the option's letter"),
)


@given(st.lists(OPTION, min_size=2, max_size=6, unique=True))
def test_options_of_our_own_template_are_found_again(options):
    assert parse_options(question_text("What is seen?", options)) == tuple(options)


@pytest.mark.parametrize(
    "text",
    [
        "Which?\nA: one\nB: two three\n" + INSTRUCTION,
        "Which?\nA. one\nB. two three",
        "Which?\r\n\r\n A : one\r\n B :  two  three\r\n",
        "Which?\nA) one\nB) two three\n" + INSTRUCTION,
        "A. B. was seen. Which?\nA: one\nB: two three\n" + INSTRUCTION,
    ],
)
def test_options_are_read_in_the_wordings_of_the_release(text):
    assert parse_options(text) == ("one", "two three")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Which?", "fewer than two"),
        ("", "fewer than two"),
        ("Which?\nA: one\n" + INSTRUCTION, "fewer than two"),
        ("Which?\nB: one\nC: two", "fewer than two"),
        ("Which?\nA: one\nC: two\nB: three", "fewer than two"),
        ("Which?\nA: one\nB: two\nand more\nC: three\n" + INSTRUCTION, "after option 'B' stands"),
        ("Which?\nA: one\nB: one\n" + INSTRUCTION, "given twice"),
        ("Which?\nA: M\u00e9ni\nB: Me\u0301ni", "given twice"),
        ("Which?\nA: one\u00ad\nB: \ufeffOne.", "given twice"),
        ("Which?\nA: one\nB: \u200b", "empty"),
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


@pytest.mark.parametrize("closing", ["", "\n" + INSTRUCTION])
@pytest.mark.parametrize("last", LAST)
def test_no_option_is_dropped_or_cut_since_it_cannot_be_read(last, closing):
    with pytest.raises(ValueError, match=r"fewer than two|after option '[AB]' stands"):
        parse_options(f"Seen?\nA: yes\nB: no\n{last}{closing}")


@pytest.mark.parametrize("first", ["A: no", "A - no", "a: no", "[A] no", "\uff21: no"])
@pytest.mark.parametrize("question", ["Seen?\n", "\n"])
def test_a_first_option_is_not_taken_for_the_question(question, first):
    with pytest.raises(ValueError, match="before option 'A'"):
        parse_options(f"{question}{first}\nA: yes\nB: maybe")


def test_what_follows_a_twenty_sixth_option_is_no_option():
    many = [f"{letter}: {number}" for number, letter in enumerate(OPTION_LETTERS)]
    assert len(parse_options("\n".join(many))) == 26
    for letter in ("AA", "[", "a"):
        with pytest.raises(ValueError, match="after option 'Z'"):
            parse_options("\n".join([*many, f"{letter}: 27"]))


def test_a_catalog_says_what_may_follow_the_options():
    closings = {
        "Give  the letter.": ("Give the\nletter.", "give the letter."),
        "": ("",),
        None: ("", INSTRUCTION),
    }
    text = "Q\nA: yes\nB: no\n"
    for said, fine in closings.items():
        closes = Options.parse({"closing": said}).closes
        assert {parse_options(text + each, closes) for each in fine} == {("yes", "no")}
    closes = Options.parse({"closing": {"pattern": r"Note \d+"}}).closes
    assert parse_options(text + "Note 12", closes) == ("yes", "no")
    for other in ("Note 12\nC - maybe", INSTRUCTION, "C: Note 1\nD - no"):
        with pytest.raises(ValueError, match="`closing`"):
            parse_options(text + other, closes)
    with pytest.raises(ConfigError, match="closing: give a text or a `pattern`, not both"):
        Options.parse({"closing": {"text": "a", "pattern": "b"}})
