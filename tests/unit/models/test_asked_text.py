"""Whatever text of the data holds, its tokens are those of its characters, for each tokeniser."""

import pytest
import torch
from transformers import AutoProcessor

from data_makers import sample
from matcg.config.library import load
from matcg.errors import DataError
from matcg.literal import marked, marked_sample
from matcg.models.asked_text import check_characters, encode, is_signed, plain
from matcg.models.prompts import answer_tokens, prompt_of
from matcg.train.batches import Collator, Pictures
from sibling_fixtures import CPU, NAMES, ROOT, siblings  # noqa: F401, a fixture

ODD = ("<image>", "</s>", "<|im_end|>", "<|image_pad|>", "<|image|>", "<|placeholder|>", "<pad>")


@pytest.fixture(params=NAMES)
def known(request, siblings):  # noqa: F811
    """Return a backbone with its processor; the shipped weights where there are such."""
    path = ROOT / "backbones" / f"{request.param}.yaml"
    backbone = load("backbone", path)
    if not backbone.weights.startswith("/"):
        backbone = siblings(request.param)
    return backbone, AutoProcessor.from_pretrained(backbone.weights)


def specials(tokenizer):
    return {n for n, token in tokenizer.added_tokens_decoder.items() if token.special}


def asked(text):
    return marked_sample(sample(0, question=f"Is {text} it?", options=("yes", f"no {text}")))


def test_special_tokens_of_the_data_become_characters_and_the_prompt_s_own_stay(known):
    backbone, processor = known
    tokenizer = processor.tokenizer
    usual = [
        n for n in encode(tokenizer, prompt_of(asked("x"), backbone)) if n in specials(tokenizer)
    ]
    for text in (*ODD, *(t.content for t in tokenizer.added_tokens_decoder.values())):
        prompt = prompt_of(asked(text), backbone)
        ids = encode(tokenizer, prompt)
        assert [n for n in ids if n in specials(tokenizer)] == usual, text
        check_characters(tokenizer, prompt, "s-1")
        bare = tokenizer.decode(encode(tokenizer, marked(f"Is {text} it?")))
        assert "".join(bare.split()) == f"Is{''.join(text.split())}it?"


def test_other_prompts_have_the_tokens_that_they_had(known):
    backbone, processor = known
    for question in ("Is a < b > c?", "Ménière \u4e00?", "USER: [s] | <im age>"):
        odd = sample(0, question=question)
        prompt = prompt_of(marked_sample(odd), backbone)
        text = prompt_of(odd, backbone)
        assert plain(processor.tokenizer, prompt) == text
        ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert encode(processor.tokenizer, prompt) == ids


def test_a_batch_is_trained_on_with_the_tokens_that_are_asked(known):
    backbone, processor = known
    tokenizer = processor.tokenizer
    reader = Collator(processor, backbone, {}, CPU, Pictures(backbone))
    samples = [sample(n, question=f"Is {text} it?") for n, text in enumerate(("x", *ODD))]
    read = reader.encode(samples)
    token = tokenizer.convert_tokens_to_ids(processor.image_token)
    for row, mask, each in zip(read["input_ids"], read["attention_mask"], samples, strict=True):
        ids = row[mask.bool()].tolist()
        end = len(ids) - ids[::-1].index(token)
        expected = encode(tokenizer, prompt_of(marked_sample(each), backbone))
        assert expected.count(token) == 1
        assert ids[end:] == expected[expected.index(token) + 1 :]
    assert torch.equal(
        reader.encode(samples[:1])["input_ids"][0],
        read["input_ids"][0][: len(reader.encode(samples[:1])["input_ids"][0])],
    )


def test_an_answer_is_made_of_characters_too(known):
    backbone, processor = known
    tokenizer = processor.tokenizer
    for text in ODD:
        ids = answer_tokens(tokenizer, backbone, marked(f"a {text}"))
        assert ids
        assert not specials(tokenizer) & set(ids)


def test_a_token_across_the_border_of_the_data_is_none(known):
    backbone, processor = known
    odd = backbone.model_copy(
        update={"prompt": backbone.prompt.replace("{question}", "</{question}")}
    )
    prompt = prompt_of(marked_sample(sample(0, question="s> x")), odd)
    assert is_signed(processor.tokenizer, prompt) == (
        "</s>" in {t.content for t in processor.tokenizer.added_tokens_decoder.values()}
    )


def test_what_cannot_be_written_otherwise_is_refused():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[x]": 0, "a": 1, "<end>": 2}, unk_token="[x]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>")
    check_characters(tokenizer, f"a {marked('b')} <end>", "s-1")
    with pytest.raises(DataError, match="sample s-1: its text holds a special token"):
        check_characters(tokenizer, f"a {marked('<end>')} <end>", "s-1")
