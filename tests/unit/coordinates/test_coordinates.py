"""Boxes and masks survive being put into words, whatever else a model says is read without fail."""

import re
from pathlib import Path

import numpy as np
import pytest
import xgrammar
from hypothesis import example, given, settings
from hypothesis import strategies as st
from outlines_core import Index, Vocabulary

from matcg import coordinates, plugins
from matcg.config.yaml_file import read_yaml
from matcg.coordinates import find, up_to
from matcg.errors import ConfigError

FORMATS = plugins.names_in(coordinates)
LABELS = ("lesion", "left lung", 'the "mass" (a|b)')
EDGES = {"tiny": 48, "thousandths_json": 384}
formats = pytest.mark.parametrize("name", FORMATS)


def edge_of(name):
    return EDGES.get(name, 336)


def boxes(name, least=0.0):
    """Return a strategy of placed boxes, of so many units a side at least."""
    edge, form = edge_of(name), find(name)
    unit = form.unit * edge / (form.whole or edge)

    def ends(wide, at):
        width = least * unit + 1e-3 + wide * (edge - least * unit - 1e-3)
        low = at * (edge - width)
        return low, min(low + width, edge)

    share = st.floats(0, 1)
    side = st.builds(ends, share, share)
    corners = st.builds(lambda x, y: (x[0], y[0], x[1], y[1]), side, side)
    return st.tuples(st.sampled_from(LABELS), corners), unit


@formats
@given(data=st.data())
def test_a_box_comes_back_within_half_a_unit(name, data):
    form, edge = find(name), edge_of(name)
    one, unit = boxes(name, least=1)
    placed = data.draw(st.lists(one, max_size=4))
    text = form.write(placed, edge)
    found, bad = form.read(text, LABELS, edge)
    assert bad == 0
    parted = " ".join(re.sub(r"<[|]\w+[|]>", "", text))
    assert form.read(parted, LABELS, edge) == (found, 0)
    for label, box in placed:
        off = [np.abs(np.subtract(box, other)).max() for own, other in found if own == label]
        assert min(off) <= unit / 2 + 1e-9


@formats
@given(data=st.data())
def test_a_box_below_a_unit_stays_a_box(name, data):
    form, edge = find(name), edge_of(name)
    one, unit = boxes(name)
    label, box = data.draw(one)
    ((own, other),), bad = form.read(form.write([(label, box)], edge), LABELS, edge)
    assert (own, bad) == (label, 0)
    assert np.abs(np.subtract(box, other)).max() <= unit * (1 + 1e-9)


@formats
@settings(max_examples=20)
@given(data=st.data())
def test_the_pattern_has_what_is_written_and_all_it_has_is_read(name, data):
    form, edge = find(name), edge_of(name)
    pattern = form.pattern(LABELS, 4, edge)
    one, _ = boxes(name)
    text = form.write(data.draw(st.lists(one, max_size=4)), edge)
    assert re.fullmatch(pattern, text)
    assert not re.fullmatch(pattern, text[:-1])
    assert len(text) <= form.longest(LABELS, 4, edge)
    said = data.draw(st.from_regex(pattern, fullmatch=True))
    found, bad = form.read(said, LABELS, edge)
    assert said == "none" or len(found) + bad in range(1, 5)
    assert form.read(form.write(found, edge), LABELS, edge) == (found, 0)


@formats
def test_the_pattern_ends_at_the_most_boxes(name):
    form, edge = find(name), edge_of(name)
    placed = [("lesion", (n, n, edge, edge)) for n in (0, 10, 20)]
    assert re.fullmatch(form.pattern(LABELS, 3, edge), form.write(placed, edge))
    assert not re.fullmatch(form.pattern(LABELS, 2, edge), form.write(placed, edge))
    assert re.fullmatch(form.pattern(LABELS, 1, edge), form.write(placed[:1], edge))


WORDS = (
    st.sampled_from([*LABELS, "none", "@12", "@48", ";", "(1,2)", "[", "]", "0.5", '"label": "'])
    | st.text()
)


@formats
@given(text=st.lists(WORDS).map("".join))
@example(text="@1 @2 @3 @4" * 60)
@example(text="[" + "9" * 400 + ", 1, 2, 3]")
def test_reading_never_fails(name, text):
    form = find(name)
    found, bad = form.read(text, LABELS, edge_of(name))
    assert bad >= 0
    assert found or bad or not text.strip("[] \n`").casefold().replace("none", "").isalnum()
    rows, _ = form.read_grid(text, LABELS)
    assert [len(row) for row in rows] == [form.grid] * form.grid


ILL_FORMED = {
    "none": ("none", 0, 0),
    "None.": ("None.", 0, 0),
    "nothing": ("", 0, 1),
    "chat": ("I see nothing of the kind.", 0, 1),
    "swapped": ("lesion @20 @10 @04 @33", 0, 1),
    "no area": ("lesion @20 @10 @20 @33", 0, 1),
    "beyond": ("lesion @20 @10 @49 @33", 0, 1),
    "negative": ("lesion @-1 @10 @40 @33", 0, 1),
    "cut off": ("lesion @04 @10 @20 @33 ; lesion @08", 1, 1),
    "unknown": ("cyst @04 @10 @20 @33", 0, 1),
    "twice": ("lesion @04 @10 @20 @33 ; lesion @04 @10 @20 @33 ; lesion @04 @10 @20 @34", 2, 1),
    "another label": ("lesion @04 @10 @20 @33 ; left lung @04 @10 @20 @33", 2, 0),
    "without blanks": ("lesion@04@10@20@33;leftlung@08@08@09@48", 2, 0),
    "and none": ("lesion @04 @10 @20 @33 ; none", 1, 1),
}


@pytest.mark.parametrize(("text", "well", "ill"), ILL_FORMED.values(), ids=ILL_FORMED)
def test_what_is_ill_formed_is_no_box_and_counted(text, well, ill):
    found, bad = find("tiny").read(text, LABELS, 48)
    assert (len(found), bad) == (well, ill)


SAID = {
    "thousandths": (
        "<|object_ref_start|>lesion<|object_ref_end|><|box_start|>(250,500),(750,1000)<|box_end|>"
    ),
    "thousandths without marks": "lesion(250,500),(750,1000)",
    "pixels": '```json\n[\n\t{"bbox_2d": [84, 168, 252, 336], "label": "lesion"}\n]\n```',
    "thousandths_json": '[{"bbox_2d": [250, 500, 750, 1000], "label": "lesion"}]',
    "fractions": "lesion: [0.25, 0.50, 0.75, 1.00]",
    "tiny": "lesion @84 @168 @252 @336",
}


@pytest.mark.parametrize("name", SAID)
def test_one_box_as_each_model_says_it(name):
    form = find(name.split()[0])
    box = ("lesion", (84.0, 168.0, 252.0, 336.0))
    assert form.read(SAID[name], LABELS, 336) == ([box], 0)
    if "```" not in SAID[name] and "without" not in name:
        assert form.write([box], 336) == SAID[name]


@formats
@pytest.mark.parametrize("seed", range(5))
def test_a_grid_comes_back(name, seed):
    form = find(name)
    names = np.array(["", *LABELS], dtype=object)
    cells = np.random.default_rng(seed).integers(4, size=(form.grid, form.grid))
    rows = names[cells].tolist()
    text = form.write_grid(rows)
    assert form.read_grid(text, LABELS) == (rows, 0)
    assert form.read_grid("".join(text.split(" ")), LABELS) == (rows, 0)
    assert re.fullmatch(form.grid_pattern(LABELS), text)
    assert len(text) <= form.longest_grid(LABELS)


def test_rows_of_a_grid_that_are_ill_formed_have_nothing_and_are_counted():
    form = find("tiny")
    rows = [["lesion"] * 12] * 12
    lines = form.write_grid(rows).split(form.below)
    lines[3], lines[5] = "lesion @11", "cyst @12"
    found, bad = form.read_grid(form.below.join(lines), LABELS)
    assert ([n for n, row in enumerate(found) if not any(row)], bad) == ([3, 5], 2)
    found, bad = form.read_grid(form.below.join(lines[:2]) + " ; les", LABELS)
    assert ([any(row) for row in found], bad) == ([True] * 2 + [False] * 10, 2)


@pytest.mark.parametrize("end", [0, 1, 9, 10, 48, 99, 100, 336, 999, 1000])
def test_numbers_up_to_an_end_are_those_and_no_others(end):
    pattern = re.compile(up_to(end))
    assert [n for n in range(3000) if pattern.fullmatch(str(n))] == list(range(end + 1))
    assert not pattern.fullmatch("00")


def test_an_unknown_format_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no coordinates 'pixel'. Did you mean 'pixels'"):
        find("pixel")


@formats
def test_the_grammars_of_engines_take_the_patterns(name):
    form, edge = find(name), edge_of(name)
    letters = [*map(chr, range(32, 127)), "\n"]
    rows = [["lesion", "left lung"] * (form.grid // 2)] * form.grid
    for pattern, text in (
        (form.pattern(LABELS, 8, edge), form.write([("left lung", (10, 20, 30, edge))], edge)),
        (form.grid_pattern(LABELS), form.write_grid(rows)),
    ):
        known = xgrammar.TokenizerInfo([*letters, "</s>"], stop_token_ids=[len(letters)])
        taken = xgrammar.GrammarCompiler(known).compile_regex(pattern)
        assert xgrammar.GrammarMatcher(taken).accept_string(text)
        assert not xgrammar.GrammarMatcher(taken).accept_string("some")
        tokens = {letter: [n] for n, letter in enumerate(letters)}
        Index(pattern, Vocabulary(len(letters), tokens))


def test_every_backbone_has_words_that_there_are_and_sees_the_square_that_they_are_about():
    found = {
        path.stem: read_yaml(path)
        for path in (Path(coordinates.__file__).parents[3] / "backbones").glob("*.yaml")
    }
    named = {name: each["coordinates"] for name, each in found.items() if "coordinates" in each}
    assert set(named.values()) | {"tiny"} == set(FORMATS)
    for name, each in named.items():
        # Qwen2.5-VL resizes to multiples of 28 and at least 56 x 56 pixels.
        edge = found[name]["image"]["size"]
        assert each != "pixels" or (edge % 28 == 0 and edge >= 56)
