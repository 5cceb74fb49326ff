"""Settings of `engine:` that vLLM reads when it is imported: each engine is in its own process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ANSWERS = """
import json, sys
from pathlib import Path
from matcg.config.library import load
from matcg.config.protocol import Protocol
from matcg.config.workflow import Engine
from matcg.evaluate.requests import make_asks
from matcg.evaluate.start import start
from matcg.phantom.world import generate

root, changed, settings = Path(sys.argv[1]), *map(json.loads, sys.argv[2:4])
backbone = load("backbone", root / "backbones/tiny-llava.yaml").model_copy(update=changed)
catalog = load("catalog", root / "catalogs/phantom.yaml")
samples = list(generate(catalog.subset("ct-brain-state"), {"seed": 0}, "test", 16))
asks = make_asks(samples, Protocol(name="letters"), backbone)
engine = start(backbone.weights, backbone, Engine(**settings).model_dump())
replies = engine.ask(asks)
told = [[reply.logprobs for reply in replies], engine.made_with]
Path(sys.argv[4]).write_text(json.dumps(told))
engine.close()
"""


def answers(
    place: Path, changed: dict[str, Any], **settings: object
) -> tuple[list[list[float]], dict[str, Any]]:
    """Return what an engine of its own finds of sixteen questions, and what it was made with."""
    out = place / "replies.json"
    said = [json.dumps(each) for each in (changed, settings)]
    command = [sys.executable, "-c", ANSWERS, str(ROOT), *said, str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    logprobs, made_with = json.loads(out.read_text())
    return logprobs, made_with


@pytest.mark.slow("vLLM compiles the model")
def test_a_compiled_engine_answers_as_one_that_is_not(tmp_path: Path) -> None:
    eager, made_with = answers(tmp_path, {}, enforce_eager=True)
    assert made_with["model_runner"] == "v1"
    compiled, made_with = answers(tmp_path, {}, enforce_eager=False)
    assert not made_with["enforce_eager"]
    for one, other in zip(eager, compiled, strict=True):
        assert other == pytest.approx(one, abs=1e-3)


@pytest.mark.slow("two engines start in processes of their own")
@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_letters_of_a_backbone_of_bfloat16_do_not_tie_by_rounding(
    tmp_path: Path, engine: str
) -> None:
    logprobs, made_with = answers(tmp_path, {"dtype": "bfloat16", "engine": engine})
    assert made_with["head_dtype"] == "float32"
    # Logits of bfloat16 that are 1 or more are multiples of 1/128, and so are their differences.
    steps = [(a - b) * 128 for a, b in logprobs]
    assert sum(abs(step - round(step)) > 0.01 for step in steps) > len(steps) / 2
