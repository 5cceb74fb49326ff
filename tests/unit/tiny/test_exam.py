"""The backbone's exam, taken by models whose answers are known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from matcg.tiny import exam
from matcg.tiny.lessons import Lexicon, Seen, place
from matcg.tiny.shapes import SIDE, draw_shapes


@pytest.fixture(scope="module")
def seen():
    images, values, masks = draw_shapes(np.random.default_rng(0), 40)
    return Seen(images, masks, values)


def test_overlap_is_that_of_what_is_said(monkeypatch, tokenizer, seen):
    """Whoever says the whole picture has the form's share of it, or nothing by another label."""
    lexicon = Lexicon(tokenizer)

    def named(*given):
        sample = place(*given)
        return replace(
            sample, findings=(replace(sample.findings[0], label="bar"),), options=("bar",)
        )

    def saying(text):
        ids = torch.tensor(lexicon.ids(text))
        return SimpleNamespace(
            generate=lambda input_ids, **_: torch.cat(
                [input_ids, ids.expand(len(input_ids), -1)], dim=1
            )
        )

    monkeypatch.setattr(exam, "place", named)
    boxes = seen.boxes[seen.values["presence"] == 0]
    share = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1).mean() / SIDE**2
    for text, expected in (("bar @00 @00 @48 @48</s>", share), ("ring @00 @00 @48 @48</s>", 0)):
        found = exam.overlap(saying(text), tokenizer, lexicon, seen, 0, "boxes")
        assert found == pytest.approx(expected)


def test_accuracy_is_the_share_of_right_letters(tokenizer, seen):
    """Whoever always says A is right where A is."""
    lexicon = Lexicon(tokenizer)
    (letter,) = lexicon.letters[0]

    def model(input_ids, **_):
        logits = torch.zeros(*input_ids.shape, len(tokenizer))
        logits[..., letter] = 1
        return SimpleNamespace(logits=logits)

    rates = exam.accuracy(model, lexicon, seen, 0)
    assert 0.2 < rates["all"] < 0.7
    first, again = (exam.accuracy(model, lexicon, seen, seed) for seed in (1, 1))
    assert first["all"] == again["all"]
