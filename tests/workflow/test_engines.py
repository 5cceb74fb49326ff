"""The real engines, on a CPU: vLLM and transformers answer alike, however they are asked."""

import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from matcg.config.backbone import Backbone, Recipe
from matcg.config.library import load
from matcg.config.protocol import Protocol
from matcg.config.workflow import Engine as Settings
from matcg.errors import DataError, MatcgError
from matcg.evaluate.adapters import merge, must_merge
from matcg.evaluate.engine import Engine
from matcg.evaluate.requests import Ask, make_asks
from matcg.evaluate.start import start
from matcg.evaluate.transformers_engine import TransformersEngine
from matcg.forms import Reply
from matcg.forms.choice import OPTION_LETTERS
from matcg.models.loading import choose_parameters, last_logits, load_model, save_weights
from matcg.models.prompts import single_tokens
from matcg.phantom.world import generate
from matcg.samples import Sample
from matcg.tiny.make import save_backbone
from matcg.tiny.model import add_places, make_model, make_tokenizer
from matcg.tiny.shapes import ATTRIBUTES, draw_shapes
from matcg.train.batches import Collator, Pictures

ROOT = Path(__file__).parents[2]
SUBSETS = ("ct-brain-state", "us-knee-diseases", "xray-lung-level", "mri-breast-side")
QUESTIONS = 300
# Two options closer than this may change places between engines: 24 bits of mantissa, 12 layers.
NEAR_TIE = 1e-3

TINY: Backbone = load("backbone", ROOT / "backbones" / "tiny-llava.yaml")
PROTOCOLS: dict[str, Protocol] = {
    name: load("protocol", ROOT / "protocols" / f"{name}.yaml")
    for name in ("letters", "cyclic", "two-shot", "option-text", "generate")
}
LETTER = PROTOCOLS["letters"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return two folders of untrained weights."""
    tokenizer = make_tokenizer()
    add_places(tokenizer)
    folders = [tmp_path_factory.mktemp("weights") / f"seed-{seed}" for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        save_backbone(make_model(tokenizer, seed), tokenizer, folder)
    return folders


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Return vLLM with the shipped weights, ready for adapters; tests load what they need."""
    with mock.patch.dict(os.environ):
        settings = Settings(kv_cache_mb=128).model_dump()
        yield start(TINY.weights, TINY, settings, pictures=9, rank=3)


@pytest.fixture(scope="module")
def plain() -> Iterator[Engine]:
    """Return another vLLM, with one picture a prompt and no room for adapters."""
    with mock.patch.dict(os.environ):
        yield start(TINY.weights, TINY, Settings().model_dump())


@pytest.fixture(scope="module")
def oracle() -> Engine:
    """Return transformers with the shipped weights."""
    other = TINY.model_copy(update={"engine": "transformers"})
    return start(TINY.weights, other, Settings().model_dump(), pictures=9, rank=3)


@pytest.fixture
def shipped(engine: Engine, oracle: Engine) -> tuple[Engine, Engine]:
    """Return vLLM and transformers, both with the shipped weights."""
    for each in (engine, oracle):
        each.load(Path(TINY.weights))
    return engine, oracle


@pytest.fixture(scope="module")
def phantoms() -> list[Sample]:
    catalog = load("catalog", ROOT / "catalogs" / "phantom.yaml")
    return [s for name in SUBSETS for s in generate(catalog.subset(name), {"seed": 0}, "test", 2)]


@pytest.fixture(scope="module")
def target() -> tuple[list[Sample], list[Sample]]:
    """Return test questions and training samples of one subset."""
    catalog = load("catalog", ROOT / "catalogs" / "phantom.yaml")
    subset = catalog.subset("ct-brain-diseases")
    test, train = (list(generate(subset, {"seed": 0}, part, 24)) for part in ("test", "train"))
    return test, train


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return adapters as a fine-tuning writes them: two of the language model, one of the tower."""
    root = tmp_path_factory.mktemp("adapters")
    for seed, (name, part) in enumerate({"a": "llm", "b": "llm", "tower": "tower"}.items()):
        torch.manual_seed(seed)
        model, processor = load_model(TINY.weights, TINY)
        plan = Recipe(
            method="lora", rank=3, learning_rate=1e-3, epochs=1, batch_size=1, trains=(part,)
        )
        adapted = choose_parameters(model, plan)
        for parameter_name, parameter in adapted.named_parameters():
            if "lora_B" in parameter_name:
                torch.nn.init.normal_(parameter, 0, 0.05)
        save_weights(adapted, processor, root / name, set())
    return {path.name: path for path in root.iterdir()}


def asked(samples: Sequence[Sample], protocol: Protocol = LETTER) -> list[Ask]:
    return make_asks(samples, protocol, TINY)


def table(replies: Sequence[Reply]) -> list[np.ndarray]:
    """Return each reply's log-probabilities."""
    return [np.array(reply.logprobs) for reply in replies]


def same_but_near_ties(first: Sequence[Reply], second: Sequence[Reply]) -> float:
    """Return the share of equal choices; all others must be near-ties."""
    pairs = list(zip(table(first), table(second), strict=True))
    unequal = [a for a, b in pairs if a.argmax() != b.argmax()]
    for row in unequal:
        best, next_best = np.sort(row)[:-3:-1]
        assert best - next_best < NEAR_TIE
    return 1 - len(unequal) / len(pairs)


@pytest.fixture(scope="module")
def shapes() -> list[Sample]:
    """Return questions about shapes that no training has seen, equally many of each attribute."""
    rng = np.random.default_rng(20_251)
    images, values, _ = draw_shapes(rng, 3 * QUESTIONS)
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
    model, processor = load_model(str(weights), TINY)
    tokens = single_tokens(processor.tokenizer, TINY, OPTION_LETTERS)
    letters = list(tokens.values())
    reader = Collator(processor, TINY, tokens, torch.device("cpu"), Pictures(TINY))
    found = []
    for place in range(0, len(samples), 50):
        part = samples[place : place + 50]
        logits = last_logits(model.eval(), reader.inputs(part))
        for sample, row in zip(part, logits.log_softmax(dim=1), strict=True):
            found.append(row[letters[: len(sample.options)]].numpy())
    return found


def difference(replies: Sequence[Reply], expected: Sequence[np.ndarray]) -> float:
    """Return the largest difference between log-probabilities, option by option."""
    pairs = zip(table(replies), expected, strict=True)
    return max(float(np.abs(reply - row).max()) for reply, row in pairs)


def test_a_cpu_keeps_what_is_asked_for_else_what_long_prompts_need(
    engine: Engine, plain: Engine
) -> None:
    caches = [each._llm.llm_engine.vllm_config.cache_config for each in (engine, plain)]  # type: ignore[attr-defined]
    assert [cache.kv_cache_memory_bytes // 2**20 for cache in caches] == [128, 256]


def test_letters_score_as_in_transformers_after_every_swap(
    engine: Engine, weights: list[Path], phantoms: list[Sample]
) -> None:
    first, second = (by_transformers(folder, phantoms) for folder in weights)
    assert max(np.abs(a - b).max() for a, b in zip(first, second, strict=True)) > 0.1
    engine.load(weights[0])
    before = engine.ask(asked(phantoms))
    assert difference(before, first) < 1e-3
    assert [len(reply.logprobs) for reply in before] == [len(s.options) for s in phantoms]
    engine.load(weights[1])
    assert difference(engine.ask(asked(phantoms)), second) < 1e-3
    engine.load(weights[0])
    after = engine.ask(asked(phantoms))
    assert difference(after, first) < 1e-3
    assert [reply.free for reply in after] == [reply.free for reply in before]


def test_a_letter_is_scored_however_unlikely_and_whatever_else_is_asked(
    engine: Engine, weights: list[Path], phantoms: list[Sample]
) -> None:
    engine.load(weights[0])
    asks = asked(phantoms)
    together = engine.ask(asks)
    alone = [reply for ask in asks for reply in engine.ask([ask])]
    assert difference(together, table(alone)) < 1e-3
    assert not {reply.free for reply in together} <= {engine.tokens[letter] for letter in "ABCD"}


def test_the_shipped_backbone_answers_questions_about_shapes(
    shipped: tuple[Engine, Engine], shapes: list[Sample]
) -> None:
    vllm, transformers = (each.ask(asked(shapes)) for each in shipped)
    assert same_but_near_ties(vllm, transformers) >= 0.995
    assert difference(vllm, table(transformers)) < 1e-3
    right: dict[str, list[bool]] = {name: [] for name in ATTRIBUTES}
    for sample, reply in zip(shapes, vllm, strict=True):
        right[sample.subset].append(int(np.argmax(reply.logprobs)) == sample.answer)
    rates = {name: float(np.mean(values)) for name, values in right.items()}
    assert {len(values) for values in right.values()} == {QUESTIONS // 6}
    assert np.mean(list(rates.values())) >= 0.9, rates


def test_the_shipped_backbone_says_letters_of_its_own_accord(
    shipped: tuple[Engine, Engine], shapes: list[Sample]
) -> None:
    for each in shipped:
        free = [
            reply.free in [each.tokens[letter] for letter in OPTION_LETTERS[: len(sample.options)]]
            for reply, sample in zip(each.ask(asked(shapes)), shapes, strict=True)
        ]
        assert np.mean(free) >= 0.95


def test_the_shipped_tokeniser_is_the_one_that_the_code_makes() -> None:
    _, processor = load_model(TINY.weights, TINY)
    made = make_tokenizer()
    add_places(made)
    assert processor.tokenizer.get_vocab() == made.get_vocab()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_both_engines_answer_every_protocol_alike(
    shipped: tuple[Engine, Engine], target: tuple[list[Sample], list[Sample]], name: str
) -> None:
    protocol = PROTOCOLS[name]
    test, train = target
    asks = make_asks(test, protocol, TINY, 1, train)
    vllm, transformers = (each.ask(asks) for each in shipped)
    assert [reply.text for reply in vllm] == [reply.text for reply in transformers]
    assert [reply.free for reply in vllm] == [reply.free for reply in transformers]
    if name == "generate":
        assert all(reply.text and not reply.logprobs for reply in vllm)
        return
    assert difference(vllm, table(transformers)) < 1e-3
    assert len({row.tobytes() for row in table(vllm)}) > len(asks) / 2


@pytest.mark.parametrize("name", PROTOCOLS)
def test_special_tokens_of_the_data_are_the_same_characters_in_both_engines_and_in_training(
    shipped: tuple[Engine, Engine], target: tuple[list[Sample], list[Sample]], name: str
) -> None:
    odd = ("<image>", "</s>", "<pad>", "<s>")
    test, train = (
        [
            replace(
                each,
                question=f"{odd[n % 4]} {each.question} {odd[n % 3]}",
                options=tuple(f"{option} {odd[n % 4]}" for option in each.options),
            )
            for n, each in enumerate(side)
        ]
        for side in target
    )
    asks = make_asks(test, PROTOCOLS[name], TINY, 1, train)
    assert "<image>" in asks[0].prompt.partition("<image>")[2]
    vllm, transformers = (each.ask(asks) for each in shipped)
    assert [reply.text for reply in vllm] == [reply.text for reply in transformers]
    if name != "generate":
        assert difference(vllm, table(transformers)) < 1e-3
    if name == "letters":
        assert difference(vllm, by_transformers(TINY.weights, test)) < 1e-3
        engine, _ = shipped
        outputs = engine._run(asks, engine._prompts(asks), engine._params(max_tokens=1), None)
        reader = Collator(shipped[1]._processor, TINY, {}, torch.device("cpu"), Pictures(TINY))
        for sample, output in zip(test, outputs, strict=True):
            assert output.prompt_token_ids == reader.encode([sample])["input_ids"][0].tolist()


# None; each text of it fits into five tokens with its end; several words and marks.
PATTERNS = ("", "[0-9]{1,3}", "none|(left|right) ?@ ?[0-4] ?[0-9]( ?; ?left ?@ ?[0-9]){0,2}")


def test_text_with_and_without_a_pattern_is_the_same_in_both_engines(
    shipped: tuple[Engine, Engine], adapters: dict[str, Path], phantoms: list[Sample]
) -> None:
    asks = [
        replace(ask, wording=replace(ask.wording, way="text", length=size, pattern=pattern))
        for ask, (pattern, size) in zip(
            asked(phantoms * 2), product(PATTERNS, (20, 2, 5, 9)), strict=False
        )
    ]
    for adapter in (None, adapters["a"]):
        vllm, transformers = (each.ask(asks, adapter) for each in shipped)
        assert vllm == transformers
        for ask, reply in zip(asks, vllm, strict=True):
            # A blank that was said is left as its byte's name by this tokeniser.
            text = "".join(reply.text.replace("Ġ", " ").split())
            assert text
            if ask.wording.pattern == PATTERNS[1]:
                assert re.fullmatch("[0-9]{1,3}", text)
            elif ask.wording.pattern and ask.wording.length == 20:
                assert re.fullmatch(ask.wording.pattern, text)
    assert len({reply.text for reply in vllm}) > 4


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_boxes_and_masks_are_said_alike_in_both_engines(
    shipped: tuple[Engine, Engine], task: str
) -> None:
    subset = load("catalog", ROOT / "catalogs" / "phantom.yaml").subset(f"ct-brain-{task}")
    samples = list(generate(subset, {"seed": 0}, "test", 3))
    backbone = TINY.model_copy(update={"coordinates": "tiny"})
    for name in ("letters", "generate")[: 1 if task == "segmentation" else 2]:
        protocol = PROTOCOLS[name].model_copy(update={"max_boxes": 2})
        asks = make_asks(samples, protocol, backbone)
        vllm, transformers = (each.ask(asks) for each in shipped)
        assert vllm == transformers
        for ask, reply in zip(asks, vllm, strict=True):
            assert reply.text
            if ask.wording.pattern:
                assert re.fullmatch(ask.wording.pattern, "".join(reply.text.split()))
        scored = [ask.scored() for ask in asks]
        assert difference(shipped[0].ask(scored), table(shipped[1].ask(scored))) < 1e-3


def test_examples_change_the_answers_and_their_pictures_are_seen(
    shipped: tuple[Engine, Engine], target: tuple[list[Sample], list[Sample]]
) -> None:
    two = PROTOCOLS["two-shot"]
    test, train = target
    asks = make_asks(test[:4], two, TINY, 0, train)
    dark = [replace(a, pictures=(*map(blackened, a.pictures[:-1]), a.pictures[-1])) for a in asks]
    for each in shipped:
        shown, without = each.ask(asks), each.ask(dark)
        bare = each.ask(asked(test[:4]))
        assert difference(shown, table(without)) > 0.01
        assert difference(shown, table(bare)) > 0.01


def blackened(picture: Image.Image) -> Image.Image:
    return Image.new("RGB", picture.size)


@pytest.mark.parametrize("name", ["letters", "option-text"])
def test_order_and_company_of_questions_change_nothing(
    shipped: tuple[Engine, Engine], target: tuple[list[Sample], list[Sample]], name: str
) -> None:
    protocol = PROTOCOLS[name]
    asks = asked(target[0], protocol)
    for each in shipped:
        together = each.ask(asks)
        backwards = each.ask(asks[::-1])[::-1]
        few = [reply for i in range(0, len(asks), 5) for reply in each.ask(asks[i : i + 5])]
        for other in (backwards, few):
            assert same_but_near_ties(together, other) >= 0.995
            assert difference(together, table(other)) < 1e-3


def test_two_engines_give_identical_answers(
    shipped: tuple[Engine, Engine], plain: Engine, weights: list[Path], phantoms: list[Sample]
) -> None:
    asks = asked(phantoms)
    plain.load(Path(TINY.weights))
    assert shipped[0].ask(asks) == plain.ask(asks)
    for each in (shipped[0], plain):
        each.load(weights[1])
    assert shipped[0].ask(asks) == plain.ask(asks)


def test_a_picture_is_processed_once_for_all_weights_and_protocols(
    plain: Engine, oracle: Engine, weights: list[Path], target: tuple[list[Sample], list[Sample]]
) -> None:
    protocols = [LETTER, PROTOCOLS["cyclic"], PROTOCOLS["option-text"]]
    asks = {protocol.name: asked(target[0], protocol) for protocol in protocols}
    _, processor = load_model(TINY.weights, TINY)
    kind = type(processor.image_processor)
    with mock.patch.object(kind, "preprocess", autospec=True, side_effect=kind.preprocess) as done:
        for folder in (*weights, Path(TINY.weights)):
            plain.load(folder)
            for protocol in protocols:
                plain.ask(asks[protocol.name])
        assert done.call_count == len(target[0])
        assert isinstance(oracle, TransformersEngine)
        oracle._kept.clear()
        oracle.load(weights[0])
        oracle.ask(asks["letters"])
        once = done.call_count
        oracle.load(weights[1])
        oracle.ask(asks["letters"])
        assert done.call_count == once > len(target[0])


def test_an_adapter_answers_as_its_merged_weights_do_in_both_engines(
    shipped: tuple[Engine, Engine],
    adapters: dict[str, Path],
    phantoms: list[Sample],
    tmp_path: Path,
) -> None:
    engine, oracle = shipped
    asks = asked(phantoms)
    base = table(engine.ask(asks))
    adapted = {}
    for name in ("a", "b", "a"):
        assert not must_merge(adapters[name])
        adapted[name] = table(engine.ask(asks, adapters[name]))
        assert difference(oracle.ask(asks, adapters[name]), adapted[name]) < 1e-3
        assert max(np.abs(x - y).max() for x, y in zip(base, adapted[name], strict=True)) > 0.1
    assert difference(engine.ask(asks), base) == 0
    assert difference(oracle.ask(asks), base) < 1e-3
    for name in ("a", "b"):
        merged = merge(adapters[name], TINY, tmp_path / name)
        for each in shipped:
            each.load(merged)
            assert difference(each.ask(asks), adapted[name]) < 1e-3


def test_a_tower_adapter_is_merged_since_vllm_would_ignore_it(
    shipped: tuple[Engine, Engine],
    adapters: dict[str, Path],
    phantoms: list[Sample],
    tmp_path: Path,
) -> None:
    engine, oracle = shipped
    asks = asked(phantoms)
    assert must_merge(adapters["tower"])
    with pytest.raises(DataError, match=r"tower: this adapter changes no log-probability of 8 "):
        engine.ask(asks, adapters["tower"])
    adapted = table(oracle.ask(asks, adapters["tower"]))
    engine.load(merge(adapters["tower"], TINY, tmp_path / "merged"))
    assert difference(engine.ask(asks), adapted) < 1e-3


def test_an_adapter_of_another_backbone_is_named(
    shipped: tuple[Engine, Engine],
    adapters: dict[str, Path],
    phantoms: list[Sample],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "foreign"
    folder.mkdir()
    for file in adapters["a"].iterdir():
        text = file.read_bytes().replace(b"layers.3", b"layers.9")
        (folder / file.name).write_bytes(text)
    for each in shipped:
        with pytest.raises(DataError, match=r"foreign: this adapter does not fit .*layers.9"):
            each.ask(asked(phantoms), folder)


@pytest.mark.parametrize("words", [990, 1100])
def test_a_prompt_beyond_the_context_is_named_and_the_engine_lives_on(
    shipped: tuple[Engine, Engine], phantoms: list[Sample], words: int
) -> None:
    long = replace(phantoms[3], sample_id="long", question="word " * words)
    asks = asked(phantoms)
    for each in shipped:
        before = each.ask(asks)
        with pytest.raises(DataError, match=r"sample long: .*context of 1024 tokens"):
            each.ask(asked([*phantoms[:3], long, *phantoms[3:]]))
        assert difference(each.ask(asks), table(before)) == 0


def test_an_engine_that_dies_names_the_weights(phantoms: list[Sample]) -> None:
    other = TINY.model_copy(update={"engine": "transformers"})
    engine = start(TINY.weights, other, Settings().model_dump())
    assert isinstance(engine, TransformersEngine)
    projector = engine._model.model.multi_modal_projector.linear_1
    projector.weight.data = projector.weight.data[:, :-1]
    with pytest.raises(MatcgError, match=r"tiny-llava: while it answered 8 requests, .* died"):
        engine.ask(asked(phantoms))


def test_an_engine_that_vllm_does_not_start_is_named_in_one_line() -> None:
    settings = Settings().model_dump() | {"no_such_setting": 1}
    with (
        mock.patch.dict(os.environ),
        pytest.raises(MatcgError, match=r"tiny-llava: the engine did not start \(") as caught,
    ):
        start(TINY.weights, TINY, settings)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_there_are_named(
    shipped: tuple[Engine, Engine], phantoms: list[Sample], tmp_path: Path
) -> None:
    for each in shipped:
        before = each.ask(asked(phantoms))
        with pytest.raises(DataError, match=r"model.safetensors: this weights file is missing"):
            each.load(tmp_path)
        assert each.ask(asked(phantoms)) == before
