"""A checkpoint in LLaVA's own layout: fetched, converted, trained and asked by one call."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from fake_hub import FakeHub, serving
from repository import ROOT, fresh_copy
from workspace import FORKS

from llava_originals import make_original
from matcg.config.library import load
from matcg.config.protocol import Protocol
from matcg.config.workflow import Engine as Settings
from matcg.evaluate import start as engines
from matcg.evaluate.requests import make_asks
from matcg.models.convert import convert
from matcg.models.identity import with_weights
from matcg.models.loading import last_logits, weight_names
from sibling_fixtures import Siblings, questions, siblings, start

__all__ = ["siblings"]

pytest.importorskip("vllm")

NAME, COMMIT, OTHER = "org/original", "a" * 40, "b" * 40
ANSWERED = ("--until", "predict")
EXPERIMENT = """\
name: converted
question: Does a converted backbone go through everything?
catalog: phantom
targets: [ct-brain-side]
rules: [fixed-task]
choose: {n: 1}
samples: 32
minimum_questions: 0
arms: {baseline: {}, cg: {}}
backbones: [converted]
"""


@pytest.mark.parametrize("name", ["huatuogpt-vision-7b", "llava-1.5-7b"])
def test_vllm_answers_as_transformers_does_from_the_weights_before(
    siblings: Siblings, tmp_path: Path, name: str
) -> None:
    sibling = siblings(name)
    original = make_original(sibling, tmp_path / "original", "apart")
    convert(original, tmp_path / "out")
    backbone = original.model_copy(update={"weights": str(tmp_path / "out")})
    letters = Protocol(name="letters")
    settings = Settings().model_dump(exclude={"runs"})
    with (
        mock.patch.dict(os.environ),
        closing(engines.start(tmp_path / "out", backbone, settings)) as engine,
    ):
        replies = engine.ask(make_asks(questions(4), letters, backbone))
    model, reader = start(sibling)
    with torch.no_grad():
        expected = last_logits(model, reader.inputs(questions(4))).log_softmax(dim=1).numpy()
    for reply, row in zip(replies, expected, strict=True):
        mine = np.array(reply.logprobs)
        assert np.abs(mine - row[list(reader.tokens.values())[: len(mine)]]).max() < 1e-3


@pytest.fixture(scope="module")
def hub(siblings: Siblings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    """Return a hub that has a tiny original in shards, with the tower in it, at two commits."""
    folder = tmp_path_factory.mktemp("hub") / "original"
    make_original(siblings("huatuogpt-vision-7b"), folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    tree = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    tree["vit/clip_tiny/pytorch_model.bin"] = b"never fetched"
    with serving(FakeHub({}, [], models={NAME: {COMMIT: tree, OTHER: tree}})) as hub:
        yield hub


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the repository with a backbone that names the original on the hub."""
    copy = fresh_copy(tmp_path_factory.mktemp("converted"))
    text = (ROOT / "backbones/huatuogpt-vision-7b.yaml").read_text()
    for old, new in (
        ("name: huatuogpt-vision-7b", "name: converted"),
        ("FreedomIntelligence/HuatuoGPT-Vision-7B\n", f"{NAME}\n"),
        ("34dfcdbb7728ff38da865839f342b88c4cf6ef39", COMMIT),
        ("bfloat16", "float32"),
        ("size: 336", "size: 56"),
        ("epochs: 5", "epochs: 1"),
        ("several_images: true", "engine: transformers"),  # vLLM is asked above, and starts slowly
    ):
        assert old in text
        text = text.replace(old, new)
    text = text.partition("resources:")[0] + "resources: {threads: 1, mem_mb: 3000}\n"
    (copy / "backbones/converted.yaml").write_text(text)
    catalog = copy / "catalogs/phantom.yaml"
    catalog.write_text(catalog.read_text().replace("train: 240, test: 144", "train: 40, test: 24"))
    (copy / "experiments/converted.yaml").write_text(EXPERIMENT)
    (copy / "config.yaml").write_text("experiments: [converted]\nengine: {enforce_eager: true}\n")
    return copy


def call(copy: Path, *arguments: str, endpoint: str) -> tuple[int, str]:
    """Call Snakemake with a hub at an address; return its exit status and what it said."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(copy.parent / "hf")}
    with mock.patch.dict(os.environ, settings):
        done = FORKS.call(copy, ("--cores", "2", *arguments))
    return done.returncode, done.stdout


def planned(copy: Path, hub: FakeHub) -> set[str]:
    """Return the rules that a dry run would run."""
    status, said = call(copy, "-n", *ANSWERED, endpoint=hub.endpoint)
    assert status == 0, said
    assert "This was a dry-run" in said
    return set(re.findall(r"^(?:local)?rule (\w+):", said, re.MULTILINE))


@pytest.mark.slow("six calls of the real workflow, which fetches, trains and asks")
def test_one_call_fetches_converts_trains_and_asks(copy: Path, hub: FakeHub) -> None:
    weights = with_weights(load("backbone", copy / "backbones/converted.yaml")).weights
    converted = copy / weights
    status, said = call(copy, weights, endpoint="http://127.0.0.1:9")
    assert status != 0
    assert f"`hf download {NAME} --revision {COMMIT}` fetches it" in said
    assert not converted.exists()

    status, said = call(copy, *ANSWERED, endpoint=hub.endpoint)
    assert status == 0, said
    trained = list((copy / "results/runs").glob("converted-*/*/*/seed0/weights"))
    assert len(trained) == 1
    assert weight_names(trained[0]) == weight_names(converted)
    answers = sorted((copy / "results/answers").glob("converted-*/**/ct-brain-side-*.parquet"))
    assert len({pq.read_table(path)["run"][0].as_py() for path in answers}) == len(answers) == 2
    assert not [seen for seen in hub.seen if seen.path.endswith(".bin")]
    fetched = [seen.path for seen in hub.seen if seen.path.endswith("-of-00003.safetensors")]
    assert len(set(fetched)) == 3
    record = json.loads((converted / "conversion.json").read_text())
    assert record["original"]["revision"] == COMMIT

    assert planned(copy, hub) == set()
    # What was made of the weights stays when they are made again.
    shutil.rmtree(converted)
    status, said = call(copy, weights, endpoint="http://127.0.0.1:9")
    assert status == 0, said
    assert planned(copy, hub) == set()
    file = copy / "backbones/converted.yaml"
    text = file.read_text()
    file.write_text(text.replace("threads: 1", "threads: 2"))
    assert planned(copy, hub) == set()
    file.write_text(text.replace(COMMIT, OTHER))
    # The tokeniser may be another, so that samples are measured anew.
    assert planned(copy, hub) == {"convert", "lengths", "mix", "finetune", "predict"}
