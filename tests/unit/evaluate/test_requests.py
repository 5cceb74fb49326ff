"""How a protocol asks questions, and what is read off the replies."""

import io
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data_makers import FAKE, found, picture, sample
from matcg.config.protocol import Protocol
from matcg.errors import DataError
from matcg.evaluate.question_sets import first_questions
from matcg.evaluate.requests import GREY_PIXEL, choose_examples, make_asks, tabulate
from matcg.forms import Reply
from matcg.forms.choice import ANSWER_SCHEMA, question_text
from matcg.models.prompts import view_of
from matcg.samples import Finding

LETTERS = {"A": 50, "B": 51, "C": 52, "D": 53}
THREE = ("x", "y", "z")
POOL = [sample(n, ("yes", "no")[n % 2]) for n in range(100, 140)]
TESTED = [sample(n, ("yes", "no")[n % 2]) for n in range(12)]


def asking(**settings):
    return Protocol(name="p", **settings)


def reply(*probabilities, free=50):
    return Reply(tuple(math.log(p) for p in probabilities), free)


def tabulated(samples, protocol, *replies):
    asks = make_asks(samples, protocol, FAKE)
    table = tabulate("run", samples, asks, replies, LETTERS, view_of(FAKE))
    assert table.schema.equals(ANSWER_SCHEMA)
    return table.to_pylist()


def scored(samples, *replies):
    return tabulated(samples, asking(), *replies)


def pixels(image):
    return image.tobytes()


def shown(samples, protocol, draw=0, pool=()):
    """Return the bytes of the picture asked about, by sample."""
    asks = make_asks(samples, protocol, FAKE, draw, pool)
    return {ask.sample_id: pixels(ask.pictures[-1]) for ask in asks}


def test_a_question_is_asked_once_as_it_stands():
    (ask,) = make_asks([sample(0, "y", options=THREE)], asking(), FAKE)
    assert ask.prompt == f"<image>{question_text('Well?', THREE)}\nSay:"
    assert (ask.sample_id, ask.wording.order) == ("s-0", (0, 1, 2))
    assert (ask.wording.way, ask.wording.among) == ("token", ("A", "B", "C"))
    assert [each.size for each in ask.pictures] == [(16, 16)]


def test_the_likeliest_letter_is_the_prediction():
    samples = [sample(0, "y", options=THREE), sample(1, "x", options=THREE)]
    first, second = scored(samples, reply(0.1, 0.6, 0.2), reply(0.1, 0.2, 0.3))
    assert (first["predicted"], first["answer"], first["correct"]) == (1, 1, True)
    assert (second["predicted"], second["answer"], second["correct"]) == (2, 0, False)
    assert [first["run"], first["sample_id"], first["n_options"]] == ["run", "s-0", 3]
    assert (first["verdicts"], second["verdicts"]) == ([1], [2])


def test_strict_asks_that_the_free_answer_is_that_letter():
    samples = [sample(n) for n in range(4)]
    rows = scored(
        samples,
        reply(0.6, 0.3, free=50),
        reply(0.6, 0.3, free=51),
        reply(0.1, 0.3, free=7),
        reply(0.1, 0.3, free=51),
    )
    assert [row["strict"] for row in rows] == [True, False, False, True]


def test_mass_is_on_the_valid_letters_and_probabilities_are_among_them():
    (row,) = scored([sample(0, "y", options=THREE)], reply(0.1, 0.25, 0.15))
    assert row["mass"] == pytest.approx(0.5)
    assert row["probabilities"] == pytest.approx([0.2, 0.5, 0.3])


def test_the_smallest_probabilities_still_order_the_letters():
    (row,) = scored([sample(0)], Reply((-2000.0, -1999.0), 7))
    assert row["predicted"] == 1
    assert sum(row["probabilities"]) == pytest.approx(1)


@pytest.mark.parametrize("replies", [1, 3])
def test_replies_and_questions_must_match_in_number(replies):
    with pytest.raises(ValueError, match=r"shorter|longer"):
        scored([sample(0), sample(1)], *[reply(0.5, 0.5)] * replies)


def test_cyclic_orders_put_every_option_at_every_place():
    asks = make_asks([sample(0, "y", options=THREE), sample(1)], asking(permutations=4), FAKE)
    assert [ask.wording.order for ask in asks[:3]] == [(0, 1, 2), (1, 2, 0), (2, 0, 1)]
    assert "A: y\nB: z\nC: x" in asks[1].prompt
    assert [ask.wording.order for ask in asks[3:]] == [(0, 1), (1, 0)]
    assert len(make_asks([sample(0, "y", options=THREE)], asking(permutations=2), FAKE)) == 2


def test_orders_are_averaged_option_by_option():
    (row,) = tabulated(
        [sample(0, "y", options=THREE)],
        asking(permutations=3),
        reply(0.5, 0.3, 0.2, free=50),  # x y z
        reply(0.5, 0.3, 0.2, free=50),  # y z x
        reply(0.1, 0.1, 0.2, free=52),  # z x y
    )
    assert row["probabilities"] == pytest.approx([0.95 / 3, 1.3 / 3, 0.75 / 3])
    assert (row["predicted"], row["correct"], row["verdicts"]) == (1, True, [0, 1, 1])
    assert row["mass"] == pytest.approx(2.4 / 3)
    assert not row["strict"]


def test_strict_over_orders_follows_the_option_and_not_the_letter():
    protocol = asking(permutations=2)
    same_option = [reply(0.9, 0.1, free=50), reply(0.1, 0.9, free=51)]
    same_letter = [reply(0.9, 0.1, free=50), reply(0.4, 0.6, free=50)]
    rows = tabulated([sample(0), sample(1)], protocol, *same_option, *same_letter)
    assert [row["strict"] for row in rows] == [True, False]


BARS = {"geometry": "pad", "fill": (9, 8, 7)}


def test_a_blank_picture_is_grey_in_the_pictures_own_size():
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20), (255, 0, 0)).save(buffer, "PNG")
    padded = FAKE.model_copy(update={"image": FAKE.image.model_copy(update=BARS)})
    (ask,) = make_asks([sample(0, image=buffer.getvalue())], asking(image="blank"), padded)
    values = np.asarray(ask.pictures[0])
    assert (values[4:12] == GREY_PIXEL).all()
    assert (values[:4] == BARS["fill"]).all()
    assert (values[12:] == BARS["fill"]).all()


def test_shuffled_pictures_are_those_of_other_questions_each_once():
    own, other = shown(TESTED, asking()), shown(TESTED, asking(image="shuffled"))
    assert sorted(other.values()) == sorted(own.values())
    assert not [key for key in own if own[key] == other[key]]
    assert shown(TESTED[::-1], asking(image="shuffled")) == other
    assert shown(TESTED, asking(image="shuffled", seed=1)) != other


def test_a_picture_of_several_questions_is_never_shuffled_to_one_of_them():
    doubles = [replace(sample(n), image=picture(n // 3), fingerprint="") for n in range(6)]
    own, other = shown(doubles, asking()), shown(doubles, asking(image="shuffled"))
    assert not [key for key in own if own[key] == other[key]]
    with pytest.raises(DataError, match=r"s: 3 of 5 test questions show the same picture"):
        make_asks(doubles[:5], asking(image="shuffled"), FAKE)


def test_examples_stand_before_every_question_and_are_the_same():
    asks = make_asks(TESTED, asking(shots=2, permutations=2), FAKE, 0, POOL)
    examples = choose_examples(TESTED, asking(shots=2), 0, POOL)
    stem = "".join(
        f"<image>{question_text(e.question, e.options)}\nSay: {'AB'[e.answer]}!\n" for e in examples
    )
    assert sorted(e.label for e in examples) == ["no", "no", "yes", "yes"]
    assert {ask.prompt[: len(stem)] for ask in asks} == {stem}
    assert asks[1].prompt[len(stem) :] == f"<image>{question_text('Well?', ('no', 'yes'))}\nSay:"
    pictures = [pixels(each) for each in asks[0].pictures]
    assert len(pictures) == 5
    assert pictures[-1] == shown(TESTED, asking())["s-0"]
    assert pictures[:-1] == [shown([e], asking())[e.sample_id] for e in examples]


def test_examples_depend_on_seed_target_and_draw_alone():
    def ids(protocol=None, draw=0, pool=POOL, tested=TESTED):
        chosen = choose_examples(tested, protocol or asking(shots=3), draw, pool)
        return [example.sample_id for example in chosen]

    assert ids(pool=POOL[::-1], tested=TESTED[::-1]) == ids()
    others = [ids(draw=1), ids(asking(shots=3, seed=1))]
    others += [ids(tested=[replace(each, subset="t") for each in TESTED])]
    assert ids() not in others
    assert len({tuple(each) for each in others}) == 3


def test_examples_of_boxes_are_with_a_finding_and_without_whatever_the_labels():
    one = [Finding(name, (0.0, 0.0, 50.0, 50.0)) for name in ("lesion", "mass")]
    kinds = [(), one[:1], one[1:], one]
    pool = [found(n, *kinds[n % 4], subset="p") for n in range(4, 24)]
    tested = [found(n, *kinds[1 + n % 3]) for n in range(3)]
    assert len({each.label for each in tested}) == 3
    chosen = choose_examples(tested, asking(shots=2), 0, pool)
    assert [bool(each.findings) for each in chosen] == [True, True]
    chosen = choose_examples([*tested, found(3)], asking(shots=2), 0, pool)
    assert sorted(bool(each.findings) for each in chosen) == [False, False, True, True]
    few = first_questions([*tested, found(3)], asking(questions=2))
    assert [bool(each.findings) for each in few] == [True, False]


def test_examples_are_mixed():
    labels = [
        "".join(e.label[0] for e in choose_examples(TESTED, asking(shots=3), draw, POOL))
        for draw in range(9)
    ]
    assert len(set(labels)) > 1


def test_what_is_tested_is_no_example():
    copies = [
        replace(POOL[0], image=TESTED[3].image, fingerprint=""),
        replace(POOL[1], fingerprint=TESTED[4].fingerprint),
    ]
    rest = POOL[2:6]
    for draw in range(9):
        chosen = choose_examples(TESTED, asking(shots=2), draw, [*copies, *rest])
        assert sorted(e.sample_id for e in chosen) == sorted(e.sample_id for e in rest)
    with pytest.raises(DataError, match=r"s: protocol p needs 3 examples of label 'no'.* are 2 "):
        choose_examples(TESTED, asking(shots=3), 0, [*copies, *rest])


def test_so_many_examples_in_all_take_labels_in_turn():
    labels = {sample.label for sample in TESTED}
    for shots in (1, 2, 3, 5):
        chosen = choose_examples(TESTED, asking(shots=shots, per="prompt"), 0, POOL)
        counts = Counter(sample.label for sample in chosen)
        assert counts.total() == shots
        assert len(counts) == min(shots, len(labels))
        assert max(counts.values()) - min(counts.values()) <= 1
    single = [
        choose_examples(TESTED, asking(shots=1, per="prompt"), draw, POOL)[0].label
        for draw in range(20)
    ]
    assert set(single) == labels


def test_option_text_is_scored_after_the_bare_question():
    protocol = asking(scoring="option-text", shots=1)
    ask, _ = make_asks(TESTED[:2], protocol, FAKE, 0, POOL)
    assert ask.prompt.endswith("!\n<image>Well?\nSay:")
    assert ask.prompt.count("Say: yes!") == ask.prompt.count("Say: no!") == 1
    plain = asking(scoring="option-text")
    (row,) = tabulated([sample(0, "y", options=THREE)], plain, Reply((-3.0, -1.0, -2.0), -1))
    assert (row["predicted"], row["correct"], row["verdicts"]) == (1, True, [1])
    expected = np.exp([-3.0, -1.0, -2.0])
    assert row["probabilities"] == pytest.approx(expected / expected.sum())
    assert (row["mass"], row["strict"]) == (1.0, True)


def test_text_is_read_or_counted_as_unparsed():
    said = ["B", "The answer is (B).", "who knows"]
    samples = [sample(n, "no") for n in range(3)]
    replies = [Reply((), 7, text) for text in said]
    rows = tabulated(samples, asking(scoring="generate"), *replies)
    assert [row["predicted"] for row in rows] == [1, 1, -1]
    assert [row["verdicts"] for row in rows] == [[1], [1], [-1]]
    assert [row["correct"] for row in rows] == [True, True, False]
    assert [row["strict"] for row in rows] == [True, False, False]
    assert [row["mass"] for row in rows] == [1.0, 1.0, 0.0]
    assert [row["probabilities"] for row in rows] == [[0.0, 1.0], [0.0, 1.0], [0.5, 0.5]]


def test_an_unreadable_picture_is_named():
    with pytest.raises(DataError, match=r"s, sample s-7: not an image"):
        make_asks([sample(7, image=b"none")], asking(image="blank"), FAKE)
