"""Every shipped backbone, by the tiny sibling of its architecture: how it is asked, what trains.

Training, saving and vLLM: `test_architectures.py`.
"""

from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
import torch
from transformers import CLIPImageProcessorPil

from matcg.config.backbone import Recipe
from matcg.errors import ConfigError
from matcg.models import families
from matcg.models.checks import check_processor, follows_template
from matcg.models.loading import choose_parameters, last_logits, load_model
from matcg.models.prompts import prompt_of
from matcg.tiny.siblings import make_sibling
from sibling_fixtures import NAMES, parts, questions, siblings, start
from training import mixed, one_step, plain_loss

__all__ = ["mixed", "siblings"]

# Pixels of a side that become one token; mllama's picture is one token, whatever its size.
PATCHES = {"llava": 14, "qwen2_vl": 28, "qwen2_5_vl": 28, "qwen3_vl": 32}


@pytest.fixture(scope="module", params=NAMES)
def started(request, siblings):
    """Return a backbone with its sibling's weights, its model and a reader."""
    backbone = siblings(request.param)
    return backbone, *start(backbone)


@pytest.fixture(scope="module")
def reader(siblings):
    """Return a function that gives the reader of a backbone's sibling."""
    return lambda name: start(siblings(name))[1]


def test_the_prompt_has_one_run_of_picture_tokens_and_begins_once(started):
    backbone, _, reader = started
    processor, tokenizer = reader.processor, reader.processor.tokenizer
    (sample,) = questions(1)
    ids = reader.inputs([sample])["input_ids"][0].tolist()
    runs = [len(list(run)) for token, run in groupby(ids) if token == processor.image_token_id]
    patch = PATCHES.get(backbone.architecture.split("/")[0])
    assert runs == [(backbone.image.size // patch) ** 2 if patch else 1]
    begin = families.siblings()[backbone.architecture].begin
    assert not begin or ids[0] == tokenizer.convert_tokens_to_ids(begin)
    assert not begin or ids.count(ids[0]) == 1
    text = prompt_of(sample, backbone)
    after = text.partition(processor.image_token)[2]
    end = tokenizer(after, add_special_tokens=False)["input_ids"]
    assert ids[-len(end) :] == end


def test_each_letter_is_the_one_token_after_the_prompt(started):
    backbone, _, reader = started
    tokenizer = reader.processor.tokenizer
    text = prompt_of(*questions(1), backbone)
    stem = tokenizer(text, add_special_tokens=False)["input_ids"]
    for letter, token in ((letter, reader.tokens[letter]) for letter in "ABCD"):
        ids = tokenizer(f"{text} {letter}", add_special_tokens=False)["input_ids"]
        assert ids == [*stem, token]
    assert len(set(reader.tokens.values())) == len(reader.tokens)


def test_the_answer_is_read_after_the_last_token_of_each_prompt(started):
    _, model, reader = started
    samples = questions(3)
    with torch.no_grad():
        together = last_logits(model, reader.inputs(samples))
        alone = torch.cat([last_logits(model, reader.inputs([sample])) for sample in samples])
        full = model(**reader.inputs(samples[:1])).logits[:, -1]
    assert len({int(row) for row in reader.inputs(samples)["attention_mask"].sum(dim=1)}) > 1
    assert float((together - alone).abs().max()) < 1e-4
    assert float((alone[:1] - full).abs().max()) < 1e-4


def test_letters_and_longer_answers_are_lost_as_in_transformers(started, mixed):
    _, model, reader = started
    with torch.no_grad():
        losses = [float(plain_loss(model, reader, task)[0]) for task in mixed]
    assert one_step(model, reader, mixed, 4).loss == pytest.approx(sum(losses) / 7, abs=1e-5)
    model.zero_grad()


def test_another_picture_gives_another_answer(started):
    _, model, reader = started
    first, second = questions(2)
    with torch.no_grad():
        shown = reader.inputs([first, replace(first, image=second.image)])
        logits = last_logits(model, shown)
    assert float((logits[0] - logits[1]).abs().max()) > 1e-2


def test_a_part_that_is_trained_freezes_all_others(started):
    backbone, model, _ = started
    known = parts(model, backbone)
    assert all(known.values())
    assert sum(map(len, known.values())) == len(list(model.named_parameters()))
    for part, names in known.items():
        model = choose_parameters(
            model, Recipe(learning_rate=1, epochs=1, batch_size=1, trains=[part])
        )
        assert {name for name, p in model.named_parameters() if p.requires_grad} == names


def test_the_picture_stays_whole(started):
    backbone, _, reader = started
    check_processor(reader.processor, backbone)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("qwen2-vl-7b", "a multiple of 28"),
        ("qwen3-vl-8b", "a multiple of 32"),
        ("llava-1.5-7b", "56"),
        ("llama-3.2-11b-vision", "56"),
    ],
)
def test_a_size_that_the_processor_would_change_is_refused(siblings, reader, name, advice):
    backbone = siblings(name)
    image = backbone.image.model_copy(update={"size": 70})
    wrong = backbone.model_copy(update={"image": image})
    with pytest.raises(ConfigError, match=rf"{name}: image: .* 70 pixels; set `size` to {advice}$"):
        check_processor(reader(name).processor, wrong)


def test_a_picture_that_would_be_cropped_is_refused(siblings, reader):
    backbone, processor = siblings("llava-1.5-7b"), reader("llava-1.5-7b").processor
    processor.image_processor = CLIPImageProcessorPil(size=64, crop_size=56)
    with pytest.raises(ConfigError, match="crops a square of 56 pixels"):
        check_processor(processor, backbone)


def test_the_advice_is_the_size_that_is_resized_to_where_nothing_is_cropped(siblings, reader):
    backbone, processor = siblings("llava-1.5-7b"), reader("llava-1.5-7b").processor
    processor.image_processor = CLIPImageProcessorPil(
        size={"shortest_edge": 64}, do_center_crop=False
    )
    with pytest.raises(ConfigError, match=r"set `size` to 64$"):
        check_processor(processor, backbone)


def test_a_prompt_that_begins_twice_is_refused(siblings, reader):
    backbone = siblings("llama-3.2-11b-vision")
    bare = backbone.prompt.removeprefix("<|begin_of_text|>")
    wrong = backbone.model_copy(update={"prompt": bare})
    with pytest.raises(ConfigError, match=r"begin twice with <\|begin_of_text\|>; write it in"):
        check_processor(reader("llama-3.2-11b-vision").processor, wrong)


LLAVA = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] %}"
    "{{ '<image>\n' if part['type'] == 'image' else part['text'] + ' ' }}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "follows"),
    [(LLAVA, True), (LLAVA.replace("ASSISTANT:", "ANSWER:"), False), (None, None)],
)
def test_a_prompt_is_compared_with_the_processors_own(siblings, reader, capsys, template, follows):
    backbone, processor = siblings("llava-1.5-7b"), reader("llava-1.5-7b").processor
    processor.chat_template = template
    assert follows_template(processor, backbone) is follows
    said = capsys.readouterr().out
    assert ("'USER: <image>\\n{question} ANSWER:'" in said) == (follows is False)


@pytest.mark.parametrize("token", ["", "<image><image>"])
def test_a_prompt_without_just_one_picture_is_refused(siblings, reader, token):
    backbone = siblings("llava-1.5-7b")
    wrong = backbone.model_copy(update={"prompt": f"USER: {token}{{question}}"})
    with pytest.raises(ConfigError, match="must hold the picture's token <image> once"):
        check_processor(reader("llava-1.5-7b").processor, wrong)


@pytest.mark.parametrize("said", ["qwen2_vl", "llava/qwen2"])
def test_weights_of_another_architecture_are_refused(siblings, said):
    wrong = siblings("llava-1.5-7b").model_copy(update={"architecture": said})
    with pytest.raises(ConfigError, match=f"is '{said}', but its weights are llava/llama"):
        load_model(wrong.weights, wrong)


@pytest.mark.parametrize(("said", "shown"), [(None, "not said"), ("blip", "blip")])
def test_an_architecture_without_a_sibling_says_where_to_write_one(
    siblings, tmp_path: Path, said, shown
):
    unknown = siblings("llava-1.5-7b").model_copy(update={"architecture": said})
    with pytest.raises(ConfigError, match=rf"is {shown}; .* llava/llama, .* in families/"):
        make_sibling(unknown, tmp_path)
