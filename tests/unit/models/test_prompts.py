"""Prompts: letters that can be trained on and scored as one token, pictures as the model is shown.

The same functions serve training and evaluation; what is tested here holds for both.
"""

import io
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.image_utils import OPENAI_CLIP_MEAN

from data_makers import sample
from matcg.config.library import load
from matcg.errors import ConfigError, DataError
from matcg.forms.choice import INSTRUCTION, OPTION_LETTERS
from matcg.models.prompts import answer_or_error, picture_of, prompt_of, single_tokens, space_before

ROOT = Path(__file__).parents[3]
LLAVA = load("backbone", ROOT / "backbones" / "tiny-llava.yaml")


def asking(prompt):
    return LLAVA.model_copy(update={"prompt": prompt})


def sentence_pieces():
    """Return a tokeniser that, as SentencePiece, holds the space before a word in its token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    words = " ".join(["ASSISTANT:", "question", *OPTION_LETTERS[:4]])
    tokenizer.train_from_iterator([words] * 9, trainers.BpeTrainer(show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def wide(size=(40, 10)):
    """Return a sample with a wide picture: red, green, green, blue from left to right."""
    image = Image.new("RGB", size, (0, 255, 0))
    image.paste((255, 0, 0), (0, 0, size[0] // 4, size[1]))
    image.paste((0, 0, 255), (size[0] * 3 // 4, 0, *size))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return sample(0, image=buffer.getvalue())


def seen(geometry, size=20, fill=None):
    image = LLAVA.image.model_copy(update={"geometry": geometry, "size": size, "fill": fill})
    picture = picture_of(wide(), LLAVA.model_copy(update={"image": image}))
    assert picture.size == (size, size)
    return np.asarray(picture).astype(int)


def test_the_prompt_holds_the_question_its_options_and_the_instruction():
    text = prompt_of(sample(0, "a cyst", options=("a scar", "a cyst")), LLAVA)
    assert text == f"USER: <image>\nWell?\nA: a scar\nB: a cyst\n{INSTRUCTION}\nASSISTANT:"


def test_a_question_with_braces_is_asked_as_it_stands():
    text = prompt_of(sample(0, question="Is {question} {0} {x}?"), asking("{question}!"))
    assert text.startswith("Is {question} {0} {x}?\nA: yes")


def test_every_letter_is_one_token_the_same_in_options_and_answers(tokenizer):
    letters = list(single_tokens(tokenizer, LLAVA, OPTION_LETTERS).values())
    assert len(set(letters)) == len(OPTION_LETTERS)
    assert tokenizer.convert_ids_to_tokens(letters) == list(OPTION_LETTERS)
    options = tuple(f"option {number}" for number in range(len(OPTION_LETTERS)))
    question = prompt_of(sample(0, "option 0", options=options), LLAVA)
    ids = tokenizer(question, add_special_tokens=False)["input_ids"]
    (colon,) = tokenizer(":", add_special_tokens=False)["input_ids"]
    marks = [first for first, second in pairwise(ids) if second == colon]
    assert marks == letters


@pytest.mark.parametrize("gap", ["", " ", "\n"])
def test_white_space_before_the_answer_changes_no_token(tokenizer, gap):
    stem = prompt_of(sample(0), LLAVA)
    letter = single_tokens(tokenizer, LLAVA, "A")["A"]
    ids = tokenizer(f"{stem}{gap}A", add_special_tokens=False)["input_ids"]
    assert ids == [*tokenizer(stem, add_special_tokens=False)["input_ids"], letter]


def test_letters_after_the_prompt_are_read_with_their_space():
    pieces = sentence_pieces()
    letters = single_tokens(pieces, asking("{question} ASSISTANT:"), "ABCD")
    assert pieces.convert_ids_to_tokens(list(letters.values())) == ["▁A", "▁B", "▁C", "▁D"]


@pytest.mark.parametrize("prompt", ["{question} ASSISTANT: ", "{question}\nASSISTANT:\n "])
def test_a_prompt_that_swallows_the_letters_space_is_refused(prompt):
    with pytest.raises(ConfigError, match=r"tiny-llava: answer A .*not one token.*end of `prompt`"):
        single_tokens(sentence_pieces(), asking(prompt), "ABCD")


def test_the_space_before_an_answer_is_its_own_where_its_token_holds_it(tokenizer):
    backbone = asking("{question} ASSISTANT:")
    assert space_before(sentence_pieces(), backbone, "s-1", "A B") == " "
    assert space_before(tokenizer, backbone, "s-1", "A B") == ""


def test_an_answer_that_joins_the_prompt_is_refused():
    backbone = asking("{question} ASSISTANT: ")
    with pytest.raises(
        ConfigError, match=r"tiny-llava: answer 'A B' \(sample s-1\) shares a token"
    ):
        answer_or_error(sentence_pieces(), backbone, "s-1", "A B")
    apart = asking("{question} ASSISTANT:")
    assert len(answer_or_error(sentence_pieces(), apart, "s-1", "A B")) == 2


def test_letters_of_several_tokens_are_refused():
    def characters(texts, add_special_tokens):
        assert not add_special_tokens
        return {"input_ids": [list(map(ord, text)) for text in texts]}

    with pytest.raises(ConfigError, match="answer A"):
        single_tokens(characters, asking("{question}:"), "AB")
    assert single_tokens(characters, asking("{question}: "), "AB") == {"A": 65, "B": 66}


def test_squash_shows_everything_stretched():
    picture = seen("squash")
    for column, channel in ((1, 0), (9, 1), (18, 2)):
        assert (picture[:, column].argmax(axis=1) == channel).all()
        assert (picture[:, column, channel] > 200).all()


def test_pad_shows_everything_undistorted_on_black():
    picture = seen("pad")
    assert not picture[:7].any()
    assert not picture[13:].any()
    assert [int(picture[10, column].argmax()) for column in (1, 9, 18)] == [0, 1, 2]
    assert picture[10].sum(axis=1).min() > 200


def test_bars_have_the_backbones_own_colour():
    assert (seen("pad", fill=(122, 116, 104))[:7] == [122, 116, 104]).all()


@pytest.mark.parametrize("name", ["llava-1.5-7b", "huatuogpt-vision-7b"])
def test_backbones_of_llavas_code_are_shown_bars_of_their_processors_mean(name):
    fill = load("backbone", ROOT / "backbones" / f"{name}.yaml").image.fill
    assert fill == tuple(int(255 * mean) for mean in OPENAI_CLIP_MEAN)


def test_crop_shows_the_centre_alone():
    picture = seen("crop")
    assert (picture == [0, 255, 0]).all()


def test_a_broken_picture_is_named():
    with pytest.raises(DataError, match=re.escape("s, sample s-0")):
        picture_of(sample(0, image=b"no picture"), LLAVA)
