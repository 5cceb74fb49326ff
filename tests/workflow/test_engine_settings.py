"""Settings of `engine:` that vLLM reads when it is imported: each engine is in its own process."""

import json
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
Path(sys.argv[4]).write_text(json.dumps([reply.logprobs for reply in replies]))
engine.close()
"""


def answers(place: Path, changed: dict[str, Any], **settings: object) -> list[list[float]]:
    """Return the log-probabilities that an engine of its own gives for sixteen questions."""
    out = place / "replies.json"
    said = [json.dumps(each) for each in (changed, settings)]
    command = [sys.executable, "-c", ANSWERS, str(ROOT), *said, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[list[float]] = json.loads(out.read_text())
    return found


@pytest.mark.slow("vLLM compiles the model")
def test_a_compiled_engine_answers_as_one_that_is_not(tmp_path: Path) -> None:
    eager = answers(tmp_path, {}, enforce_eager=True)
    compiled = answers(tmp_path, {}, enforce_eager=False)
    for one, other in zip(eager, compiled, strict=True):
        assert other == pytest.approx(one, abs=1e-3)
