"""The real engine, on a CPU: it scores letters as transformers does, whatever weights it holds."""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from matcg.config import Backbone, load
from matcg.config import Engine as Settings
from matcg.evaluate.engine import Engine, Reply
from matcg.phantom.world import read
from matcg.prompts import letter_tokens
from matcg.samples import LETTERS, Sample
from matcg.train import finetune
from matcg.train.backbone import save
from matcg.train.shapes import ATTRIBUTES, draw
from matcg.train.tiny import make_model, make_tokenizer

ROOT = Path(__file__).parents[2]
SUBSETS = ("ct-brain-state", "us-knee-diseases", "xray-lung-level", "mri-breast-side")
QUESTIONS = 300

TINY: Backbone = load("backbone", ROOT / "backbones" / "tiny-llava.yaml")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return two folders of untrained weights."""
    tokenizer = make_tokenizer()
    folders = [tmp_path_factory.mktemp("weights") / f"seed-{seed}" for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        save(make_model(tokenizer, seed), tokenizer, folder)
    return folders


@pytest.fixture(scope="module")
def engine(weights: list[Path]) -> Iterator[Engine]:
    """Return an engine started on the first weights; tests load what they need."""
    backbone = TINY.model_copy(update={"weights": str(weights[0])})
    with mock.patch.dict(os.environ):
        yield Engine(weights[0], backbone, Settings().model_dump())


@pytest.fixture(scope="module")
def phantoms() -> list[Sample]:
    catalog = load("catalog", ROOT / "catalogs" / "phantom.yaml")
    return [s for name in SUBSETS for s in read(catalog.subset(name), {"seed": 0}, "test", 2)]


@pytest.fixture(scope="module")
def shapes() -> list[Sample]:
    """Return questions about shapes that no training has seen, equally many of each attribute."""
    rng = np.random.default_rng(20_251)
    images, values = draw(rng, 3 * QUESTIONS)
    found = []
    for place in np.flatnonzero(values["presence"] == 0)[: QUESTIONS * 5 // 6]:
        name = [n for n in ATTRIBUTES if n != "presence"][len(found) % 5]
        found.append(shape(rng, name, int(values[name][place]), images[place], len(found)))
    for word in (0, 1):
        for place in np.flatnonzero(values["presence"] == word)[-QUESTIONS // 12 :]:
            found.append(shape(rng, "presence", word, images[place], len(found)))
    assert len(found) == QUESTIONS
    return found


def shape(
    rng: np.random.Generator, name: str, truth: int, pixels: np.ndarray, number: int
) -> Sample:
    """Return a question about one picture of a shape."""
    attribute = ATTRIBUTES[name]
    picture = Image.fromarray(pixels)
    file = io.BytesIO()
    picture.save(file, "PNG")
    options = tuple(attribute.words[i] for i in rng.permutation(len(attribute.words)))
    return Sample(
        sample_id=f"{name}-{number}",
        subset=name,
        image=file.getvalue(),
        fingerprint="",
        origin="",
        question=str(rng.choice(attribute.questions)),
        options=options,
        answer=options.index(attribute.words[truth]),
        label=attribute.words[truth],
        dataset="shapes",
    )


@torch.no_grad()
def by_transformers(weights: Path | str, samples: Sequence[Sample]) -> list[np.ndarray]:
    """Return the log-probabilities of each sample's letters as training sees them."""
    model, processor = finetune.load(str(weights), TINY)
    letters = letter_tokens(processor.tokenizer, TINY, len(LETTERS))
    reader = finetune.Reader(processor, TINY, letters, torch.device("cpu"))
    found = []
    for start in range(0, len(samples), 50):
        part = samples[start : start + 50]
        logits = finetune.last_logits(model.eval(), reader.inputs(part))
        for sample, row in zip(part, logits.log_softmax(dim=1), strict=True):
            found.append(row[letters[: len(sample.options)]].numpy())
    return found


def difference(replies: Sequence[Reply], expected: Sequence[np.ndarray]) -> float:
    """Return the largest difference between log-probabilities, letter by letter."""
    return max(
        float(np.abs(np.array(reply.logprobs) - row).max())
        for reply, row in zip(replies, expected, strict=True)
    )


def test_letters_score_as_in_transformers_after_every_swap(
    engine: Engine, weights: list[Path], phantoms: list[Sample]
) -> None:
    first, second = (by_transformers(folder, phantoms) for folder in weights)
    assert max(np.abs(a - b).max() for a, b in zip(first, second, strict=True)) > 0.1
    engine.load(weights[0])
    before = engine.ask(phantoms)
    assert difference(before, first) < 1e-3
    assert [len(reply.logprobs) for reply in before] == [len(s.options) for s in phantoms]
    engine.load(weights[1])
    assert difference(engine.ask(phantoms), second) < 1e-3
    engine.load(weights[0])
    after = engine.ask(phantoms)
    assert difference(after, first) < 1e-3
    assert [reply.free for reply in after] == [reply.free for reply in before]


def test_a_letter_is_scored_however_unlikely_and_whatever_else_is_asked(
    engine: Engine, weights: list[Path], phantoms: list[Sample]
) -> None:
    engine.load(weights[0])
    together = engine.ask(phantoms)
    alone = [reply for sample in phantoms for reply in engine.ask([sample])]
    assert difference(together, [np.array(reply.logprobs) for reply in alone]) < 1e-3
    assert not {reply.free for reply in together} <= set(engine.letters[:4])


def test_the_shipped_backbone_answers_questions_about_shapes(
    engine: Engine, shapes: list[Sample]
) -> None:
    engine.load(Path(TINY.weights))
    said = [int(np.argmax(reply.logprobs)) for reply in engine.ask(shapes)]
    training = [int(np.argmax(row)) for row in by_transformers(TINY.weights, shapes)]
    assert np.mean(np.array(said) == np.array(training)) >= 0.99
    right = {name: [] for name in ATTRIBUTES}
    for sample, letter in zip(shapes, said, strict=True):
        right[sample.subset].append(letter == sample.answer)
    rates = {name: float(np.mean(values)) for name, values in right.items()}
    assert {len(values) for values in right.values()} == {QUESTIONS // 6}
    assert np.mean(list(rates.values())) >= 0.9, rates


def test_the_shipped_backbone_says_letters_of_its_own_accord(
    engine: Engine, shapes: list[Sample]
) -> None:
    engine.load(Path(TINY.weights))
    replies = engine.ask(shapes)
    free = [
        reply.free in engine.letters[: len(sample.options)]
        for reply, sample in zip(replies, shapes, strict=True)
    ]
    assert np.mean(free) >= 0.95


def test_the_shipped_tokeniser_is_the_one_that_the_code_makes() -> None:
    _, processor = finetune.load(TINY.weights, TINY)
    shipped, made = processor.tokenizer.get_vocab(), make_tokenizer().get_vocab()
    assert shipped == made
