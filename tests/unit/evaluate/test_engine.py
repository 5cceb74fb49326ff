"""What a model says is its text up to the end, with the special tokens that answers are made of."""

import pytest

from matcg.evaluate.engine import reply_of
from matcg.evaluate.requests import Ask
from matcg.forms import Wording
from matcg.tiny.model import make_tokenizer

BOX = "<|box_start|>(1)<|box_end|>"


@pytest.mark.parametrize(
    ("among", "pattern", "text"),
    [
        (("none", BOX), "", f"{BOX}left"),
        (("none",), r"<\|box_start\|>\([0-9]\)<\|box_end\|>", f"{BOX}left"),
        (("A", "B"), "[A-Z]", "(1)left"),
    ],
)
def test_special_tokens_stay_where_answers_have_them(among, pattern, text):
    tokenizer = make_tokenizer()
    marks = ["<|box_start|>", "<|box_end|>", "<|other|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    ids = tokenizer(f"<s>{BOX}<|other|>left</s>right<pad>", add_special_tokens=False)["input_ids"]
    ask = Ask("s-1", "", (), Wording("", "text", among, pattern=pattern))
    reply = reply_of(tokenizer, ask, ids, {tokenizer.eos_token_id})
    assert "".join(reply.text.split()) == text
    assert (reply.logprobs, reply.free) == ((), tokenizer.bos_token_id)
    open_end = reply_of(tokenizer, ask, ids[:-3], {tokenizer.eos_token_id})
    assert open_end == reply
