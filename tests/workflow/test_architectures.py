"""Every shipped backbone's whole path, by the tiny sibling of its architecture, on a CPU.

Fine-tuned, saved, loaded by transformers and by vLLM. How it is asked: `test_siblings.py`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from data_makers import folder, write_mix
from matcg.config.backbone import Backbone, Recipe
from matcg.config.protocol import Protocol
from matcg.config.workflow import Engine as Settings
from matcg.errors import ConfigError
from matcg.evaluate import start as engines
from matcg.evaluate.adapters import merge
from matcg.evaluate.engine import Engine
from matcg.evaluate.requests import make_asks
from matcg.evaluate.vllm_engine import VllmEngine
from matcg.forms import Reply
from matcg.models.loading import choose_parameters, last_logits, save_weights, weight_names
from matcg.train.finetune import finetune
from matcg.train.tasks import TrainingSample
from sibling_fixtures import NAMES, ROOT, Siblings, parts, questions, siblings, start
from training import one_step

__all__ = ["siblings"]

# What vLLM 0.32 has no class for; transformers alone answers for it.
ABSENT = ("llama-3.2-11b-vision",)
ALL = ("llm", "projector", "tower")
# What no answer depends on: of CLIP, all behind the layer that is read.
UNREAD = ("vision_tower.encoder.layers.2.", "vision_tower.post_layernorm.")
NEAR = 1e-3
LETTERS = Protocol(name="letters")
SETTINGS = Settings().model_dump(exclude={"runs"})

Train = Callable[..., Path]


@pytest.fixture(params=NAMES)
def backbone(request: pytest.FixtureRequest, siblings: Siblings) -> Backbone:
    return siblings(request.param)


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Return a function that fine-tunes on two questions, and returns the folder written."""

    def run(backbone: Backbone, **changes: object) -> Path:
        samples = questions(2)
        folder(tmp_path / "data", "s", samples)
        mix = write_mix(tmp_path / "mix.parquet", samples)
        out = tmp_path / "run"
        out.mkdir()
        finetune(mix, tmp_path / "data", backbone, recipe(**changes), 0, out, threads=1)
        return out

    return run


def recipe(**changes: object) -> Recipe:
    settings = {"learning_rate": 1e-3, "epochs": 3, "batch_size": 2, "schedule": "constant"}
    return Recipe.model_validate(settings | changes)


def losses(out: Path) -> list[float]:
    rows = (out / "metrics.jsonl").read_text().splitlines()
    return [json.loads(row)["loss"] for row in rows]


@pytest.mark.parametrize("trains", [ALL, ("llm",), ("projector",), ("tower",)], ids="-".join)
def test_two_steps_lower_the_loss_and_change_just_what_is_trained(
    backbone: Backbone, train: Train, trains: tuple[str, ...]
) -> None:
    out = train(backbone, trains=trains)
    first, _, last = losses(out)
    assert last < first
    before, _ = start(backbone)
    after = dict(start(backbone, out / "weights")[0].named_parameters())
    changed = {name for name, p in before.named_parameters() if not torch.equal(p, after[name])}
    expected = {name for part in trains for name in parts(before, backbone)[part]}
    assert changed <= expected
    assert {name for name in expected - changed if not any(m in name for m in UNREAD)} == set()


def test_adapters_are_merged_into_the_base_layout(
    backbone: Backbone, train: Train, tmp_path: Path
) -> None:
    out = train(backbone, method="lora", rank=2, trains=ALL)
    assert losses(out)[-1] < losses(out)[0]
    merged = merge(out / "weights", backbone, tmp_path / "merged")
    assert weight_names(merged) == weight_names(Path(backbone.weights))


def test_what_is_saved_is_loaded_bit_for_bit_under_the_same_names(
    backbone: Backbone, tmp_path: Path
) -> None:
    model, reader = start(backbone)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    layout = weight_names(Path(backbone.weights))
    save_weights(model, reader.processor, tmp_path / "weights", layout)
    again, other = start(backbone, tmp_path / "weights")
    mine, theirs = model.state_dict(), again.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    first, second = (read.inputs(questions(2)) for read in (reader, other))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_sixteen_bits_give_nearly_the_gradient_of_thirty_two(backbone: Backbone) -> None:
    tasks = [TrainingSample(sample, sample.answer) for sample in questions(3)]
    found = []
    for dtype in ("float32", "bfloat16"):
        model, reader = start(backbone.model_copy(update={"dtype": dtype}))
        model = choose_parameters(model, recipe())
        loss = one_step(model, reader, tasks, micro=2).loss
        slopes = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        found.append((loss, torch.cat(slopes)))
    (loss, slope), (low_loss, low_slope) = found
    assert low_loss == pytest.approx(loss, rel=0.02)
    assert float(torch.cosine_similarity(slope, low_slope, dim=0)) > 0.98


@torch.no_grad()
def by_transformers(backbone: Backbone, weights: Path) -> np.ndarray:
    """Return log-probabilities (questions, vocabulary) as training sees them."""
    model, reader = start(backbone, weights)
    logits = last_logits(model, reader.inputs(questions(6)))
    found: np.ndarray = logits.log_softmax(dim=1).numpy()
    return found


def ask(engine: Engine, backbone: Backbone) -> list[Reply]:
    """Return an engine's replies to the six questions."""
    return engine.ask(make_asks(questions(6), LETTERS, backbone))


def check(replies: list[Reply], expected: np.ndarray, letters: list[int]) -> None:
    """Check letters against log-probabilities over the whole vocabulary."""
    for reply, row, sample in zip(replies, expected, questions(6), strict=True):
        mine, theirs = np.array(reply.logprobs), row[letters[: len(sample.options)]]
        assert np.abs(mine - theirs).max() < NEAR
        assert theirs[mine.argmax()] > theirs.max() - 2 * NEAR
        assert row[reply.free] > row.max() - 2 * NEAR


@pytest.mark.parametrize(
    ("name", "kind"),
    [(n, k) for n in NAMES for k in ("vllm", "transformers") if k != "vllm" or n not in ABSENT],
)
def test_engines_score_letters_as_training_does_before_and_after_it(
    siblings: Siblings, train: Train, name: str, kind: str
) -> None:
    backbone = siblings(name).model_copy(update={"engine": kind})
    base, tuned = Path(backbone.weights), train(backbone) / "weights"
    first, second = (by_transformers(backbone, weights) for weights in (base, tuned))
    with mock.patch.dict(os.environ), closing(engines.start(base, backbone, SETTINGS)) as engine:
        letters = list(engine.tokens.values())
        assert np.abs(first - second)[:, letters[:4]].max() > 10 * NEAR
        check(ask(engine, backbone), first, letters)
        engine.load(tuned)
        check(ask(engine, backbone), second, letters)


def test_a_prompt_that_begins_itself_is_asked_as_it_is_trained(siblings: Siblings) -> None:
    backbone = siblings("llava-1.5-7b")
    begun = backbone.model_copy(update={"prompt": f"<s>{backbone.prompt}"})
    expected = by_transformers(backbone, Path(backbone.weights))
    with (
        mock.patch.dict(os.environ),
        closing(engines.start(backbone.weights, begun, SETTINGS)) as engine,
    ):
        check(ask(engine, begun), expected, list(engine.tokens.values()))
    assert np.array_equal(by_transformers(begun, Path(backbone.weights)), expected)


@pytest.mark.parametrize("name", ABSENT)
def test_a_class_that_vllm_lacks_is_named_with_what_to_do(siblings: Siblings, name: str) -> None:
    backbone = siblings(name)
    message = rf"{name}: vLLM .* has no class MllamaFor\w+; say `engine: transformers`"
    with mock.patch.dict(os.environ), pytest.raises(ConfigError, match=message):
        VllmEngine(backbone.weights, backbone, SETTINGS)


HUB = """
import sys
from pathlib import Path
from matcg.config.library import load
from matcg.train.finetune import finetune
backbone = load("backbone", Path("qwen.yaml"))
recipe = backbone.recipes["full"].model_copy(update={"epochs": 1})
finetune(Path("mix.parquet"), Path("data"), backbone, recipe, 0, Path("run"), threads=1)
"""


BUFFER = "model.layers.0.self_attn.rotary_emb.inv_freq"


def add_buffer(snapshot: Path) -> None:
    """Add what checkpoints of old held besides weights to the first of some shards."""
    file = sorted(snapshot.glob("*.safetensors"))[0]
    save_file(load_file(file) | {BUFFER: torch.ones(16)}, file, metadata={"format": "pt"})
    index = snapshot / "model.safetensors.index.json"
    listed = json.loads(index.read_text())
    listed["weight_map"][BUFFER] = file.name
    index.write_text(json.dumps(listed))


def test_shards_in_the_hubs_cache_are_trained_into_their_own_layout(
    siblings: Siblings, tmp_path: Path
) -> None:
    original = siblings("qwen2.5-vl-7b")
    model, reader = start(original)
    snapshot = tmp_path / "hub/hub/models--org--qwen/snapshots" / ("0" * 40)
    model.save_pretrained(snapshot, max_shard_size="400KB")
    reader.processor.save_pretrained(snapshot)
    add_buffer(snapshot)
    assert len(list(snapshot.glob("*.safetensors"))) > 2
    text = (ROOT / "backbones/qwen2.5-vl-7b.yaml").read_text()
    for old, new in (
        ("Qwen/Qwen2.5-VL-7B-Instruct", "org/qwen"),
        ("revision: cc594898137f460bfe9f0759e9844b3ce807cfb5", f"revision: '{'0' * 40}'"),
        ("size: 336", f"size: {original.image.size}"),
        ("  gpu: 1", "  gpu: 0"),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "qwen.yaml").write_text(text)
    folder(tmp_path / "data", "s", questions(2))
    write_mix(tmp_path / "mix.parquet", questions(2))
    (tmp_path / "run").mkdir()
    environment = os.environ | {
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT / "workflow"),
    }
    call = [sys.executable, "-c", HUB]
    subprocess.run(call, cwd=tmp_path, env=environment, check=True)
    written = tmp_path / "run/weights"
    assert weight_names(written) == weight_names(snapshot) - {BUFFER}
    assert {w.dtype for w in load_file(written / "model.safetensors").values()} == {torch.bfloat16}
    assert AutoConfig.from_pretrained(written).model_type == "qwen2_5_vl"
