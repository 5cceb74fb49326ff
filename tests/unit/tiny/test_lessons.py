"""How the tiny backbone is made: what is asked, and what is right.

That the whole of it runs: `tests/workflow/test_backbone_made.py`.
"""

import numpy as np
import pytest
import torch

from matcg import forms
from matcg.forms import Reply, Wording
from matcg.forms.choice import OPTION_LETTERS
from matcg.tiny.lessons import (
    IGNORE,
    OPTIONS,
    QUERIES,
    VIEW,
    Bank,
    Lexicon,
    Sequence,
    ask,
    bind,
    collate,
    place,
    point,
)
from matcg.tiny.make import answer_loss
from matcg.tiny.model import PLACES, make_model
from matcg.tiny.shapes import ATTRIBUTES, SIDE


@pytest.fixture(scope="module")
def lexicon(tokenizer):
    return Lexicon(tokenizer)


def told(sequence: Sequence) -> list[tuple[int, int]]:
    """Return place and token of everything that is to be predicted from the token there."""
    return [(at, label) for at, label in enumerate(sequence.labels) if label != IGNORE]


def shown(ids: list[int], lexicon: Lexicon) -> dict[int, list[int]]:
    """Return the words after each letter of the last list of options."""
    letters = [letter[0] for letter in lexicon.letters]
    starts = [
        at
        for at, token in enumerate(ids)
        if token in letters and ids[at + 1 : at + 2] == lexicon.colon
    ]
    starts = starts[max(at for at, start in enumerate(starts) if ids[start] == letters[0]) :]
    end = ids.index(lexicon.instruction[0], starts[-1])
    edges = zip(starts, [*starts[1:], end], strict=True)
    return {ids[start]: ids[start + 2 : stop] for start, stop in edges}


def test_an_answer_is_predicted_from_the_token_before_it():
    sequence = Sequence()
    sequence.say([5, 6])
    sequence.answer([7, 8])
    sequence.say([9])
    assert sequence.ids == [5, 6, 7, 8, 9]
    assert told(sequence) == [(1, 7), (2, 8)]


@pytest.mark.parametrize("longest", [1, 3])
def test_the_letter_is_that_of_the_words_asked_for(lexicon, longest):
    rng = np.random.default_rng(0)
    for _ in range(50):
        sequence = bind(rng, lexicon, longest)
        options = shown(sequence.ids, lexicon)
        assert len({tuple(words) for words in options.values()}) == len(options) >= 2
        assert len(told(sequence)) == QUERIES
        for at, letter in told(sequence):
            before = sequence.ids[: at + 1 - len(lexicon.assistant)]
            assert before[-len(options[letter]) :] == options[letter]


def test_the_letter_is_that_of_what_the_picture_shows(lexicon):
    rng = np.random.default_rng(0)
    asked = set()
    for _ in range(200):
        values = {name: int(rng.integers(len(a.words))) for name, a in ATTRIBUTES.items()}
        values["presence"] = 0
        sequence = ask(rng, lexicon, values, turns=1, free=0.0)
        ((_, letter),) = told(sequence)
        words = shown(sequence.ids, lexicon)[letter]
        right = [name for name, value in values.items() if lexicon.words[name][value] == words]
        assert len(right) == 1
        asked.add(right[0])
        assert sequence.ids.count(lexicon.image[0]) == len(lexicon.image)
    assert asked == set(ATTRIBUTES)


def test_where_nothing_is_drawn_nothing_else_is_asked(lexicon):
    rng = np.random.default_rng(0)
    values = dict.fromkeys(ATTRIBUTES, 0) | {"presence": 1}
    for _ in range(20):
        sequence = ask(rng, lexicon, values, turns=3, free=1.0)
        assert [token for _, token in told(sequence)] == 3 * lexicon.words["presence"][1]


def test_words_follow_the_picture_when_it_is_mirrored_turned_or_inverted():
    bank = object.__new__(Bank)
    n = 2 * Bank.HELD_OUT
    bank.images = np.full((n, SIDE, SIDE), 100, dtype=np.uint8)
    bank.images[:, 5, 40] = 255  # a pale dot in the north-east, the picture's only one
    bank.images[-Bank.HELD_OUT :] = 0
    bank.masks = np.packbits(bank.images == 255, axis=2)
    words = {"column": 1, "row": 0, "shade": 0}
    bank.values = {name: np.full(n, words.get(name, 0)) for name in ATTRIBUTES}
    picked = bank.pick(np.random.default_rng(0), 400)
    images, values = picked.images, picked.values
    seen = set()
    for at, image in enumerate(images):
        dark = image[24, 24] > 128
        row, column = np.argwhere(image == (0 if dark else 255))[0]
        place = (int(column > SIDE / 2), int(row > SIDE / 2), int(dark))
        assert place == tuple(int(values[name][at]) for name in ("column", "row", "shade"))
        assert picked.boxes[at].tolist() == [column, row, column + 1, row + 1]
        seen.add(place)
    assert len(seen) == 8


@pytest.fixture(scope="module")
def bank():
    held_out, Bank.HELD_OUT = Bank.HELD_OUT, 100
    yield Bank(np.random.default_rng(0), 1000)
    Bank.HELD_OUT = held_out


@pytest.mark.parametrize("form", ["boxes", "mask"])
def test_a_form_is_pointed_at_in_the_words_of_fine_tuning(lexicon, tokenizer, bank, form):
    rng = np.random.default_rng(0)
    seen = bank.pick(rng, 100)
    for at in range(100):
        sample = place(rng, form, seen, at)
        sequence = Sequence()
        point(sequence, lexicon, sample, image=True)
        way = forms.of(sample)
        asked = tokenizer(f"USER: {way.question(sample, VIEW)} ASSISTANT:")["input_ids"]
        said = [label for _, label in told(sequence)]
        assert [i for i in sequence.ids if i != lexicon.image[0]] == asked + said
        assert said[-1] == tokenizer.eos_token_id
        text = tokenizer.decode(said, skip_special_tokens=True)
        pairs = [(Wording("", "text", ()), Reply((), 0, text))]
        read = way.read(sample, pairs, {}, VIEW)
        assert read["ill_formed"] == 0
        assert way.score(sample, read)[way.main] == pytest.approx(read.get("ceiling", 1))
        assert bool(sample.findings) == (seen.values["presence"][at] == 0)


def test_each_edge_of_a_box_is_one_token(tokenizer):
    text = "ring " + " ".join(PLACES)
    assert len(tokenizer(text)["input_ids"]) == 1 + len(PLACES) == 2 + SIDE
    assert tokenizer.tokenize("ring@00@48;") == ["ring", "@00", "@48", ";"]


def test_every_answer_counts_alike_however_long(lexicon):
    sequences = [Sequence(), Sequence()]
    for sequence, answer in zip(sequences, ([7], [7, 8, 9]), strict=True):
        sequence.say([5, 6])
        sequence.answer(answer)
        sequence.say([4])
    batch = collate(sequences, lexicon)
    assert batch["shares"].sum(dim=1).tolist() == pytest.approx([1, 1])
    assert ((batch["shares"] > 0) == (batch["labels"] != IGNORE)).all()


def test_the_loss_counts_answers_only(lexicon, tokenizer):
    model = make_model(tokenizer, 0).eval()
    rng = np.random.default_rng(0)
    sequences = [bind(rng, lexicon, 3) for _ in range(3)]
    batch = collate(sequences, lexicon)
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        found = answer_loss(model, dict(batch))
    losses = [
        -logits[row, at].log_softmax(-1)[token]
        for row, sequence in enumerate(sequences)
        for at, token in told(sequence)
    ]
    assert float(found) == pytest.approx(float(torch.stack(losses).mean()), rel=1e-4)


def test_every_letter_of_the_options_is_one_token(lexicon):
    assert [len(letter) for letter in lexicon.letters] == [1] * OPTIONS
    assert len({letter[0] for letter in lexicon.letters}) == OPTIONS <= len(OPTION_LETTERS)
