"""A run that several processes train: as one process would, stopped and resumed, failing as one.

Devices are pretended: leased all the same, and each process computes on the CPU (Gloo).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from repository import SMALL, snakemake
from safetensors.torch import load_file

from data_makers import folder, write_mix
from matcg.cluster.devices import lease
from matcg.config.backbone import Backbone, Recipe
from matcg.config.library import load
from matcg.errors import DataError
from matcg.models.device import PRETENDED
from matcg.phantom.world import generate
from matcg.samples import read_samples
from matcg.train.finetune import finetune
from matcg.tsv import read_tsv
from sibling_fixtures import NAMES, siblings

__all__ = ["siblings"]

pytestmark = pytest.mark.slow("torch starts anew in each process of a run")

ROOT = Path(__file__).parents[2]
SUBSET = "ct-brain-state"
# Batches of 5, of 11 samples: shares are uneven, and the last batch leaves one process idle.
RECIPES = {
    "full": Recipe(learning_rate=1e-3, epochs=2, batch_size=5),
    # At a higher rate what Adam makes of gradients that are but rounding would stand out.
    "lora": Recipe(learning_rate=1e-3, epochs=2, batch_size=5, method="lora", rank=2),
}

LONG = Recipe(learning_rate=1e-4, epochs=20, batch_size=5)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a mix of eleven samples and the data it draws from."""
    root = tmp_path_factory.mktemp("parallel")
    catalog = load("catalog", ROOT / "catalogs" / "phantom.yaml")
    folder(root, SUBSET, list(generate(catalog.subset(SUBSET), {"seed": 0}, "train", 11)))
    write_mix(root / "mix.parquet", read_samples(root / SUBSET / "train.parquet"))
    return root


@pytest.fixture
def train(place, tmp_path, monkeypatch):
    """Return a function that fine-tunes with so many processes, and gives the folder written."""
    monkeypatch.setenv(PRETENDED, "pretended")
    monkeypatch.setenv("MATCG_LEASES", str(tmp_path / "leases"))

    def run(backbone, recipe, processes, out, data=place, mix="mix.parquet"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(processes))))
        (tmp_path / out).mkdir(exist_ok=True)
        with lease(processes if processes > 1 else 0, "test"):
            finetune(place / mix, data, backbone, recipe, 0, tmp_path / out, threads=1)
        return tmp_path / out

    return run


def weights(out):
    (file,) = (out / "weights").glob("*.safetensors")
    return load_file(file)


def rows(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def with_micro(backbone: Backbone, **changes) -> Backbone:
    return backbone.model_copy(update={"resources": backbone.resources.model_copy(update=changes)})


def assert_alike(one, many, most):
    """Assert that two runs lost and ended alike, as far as sums in another order allow."""
    losses = [[row["loss"] for row in rows(out)] for out in (one, many)]
    assert losses[0] == pytest.approx(losses[1], abs=most)
    assert [row["step"] for row in rows(one)] == [row["step"] for row in rows(many)]
    first, second = weights(one), weights(many)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype
        assert float((tensor.float() - second[name].float()).abs().max()) < most, name


@pytest.mark.parametrize("method", ["full", "lora"])
def test_two_processes_train_as_one_does(train, tiny, method):
    backbone = with_micro(tiny, micro_batch=2)
    one = train(backbone, RECIPES[method], 1, "one")
    two = train(backbone, RECIPES[method], 2, "two")
    assert_alike(one, two, 1e-4)
    records = [json.loads((out / "provenance.json").read_text()) for out in (one, two)]
    assert [record["processes"] for record in records] == [1, 2]
    assert records[0]["run"] == records[1]["run"]
    assert not (two / "unfinished").exists()


def test_answers_of_several_tokens_weigh_alike_however_they_are_shared(train, place, tiny):
    subset = load("catalog", ROOT / "catalogs" / "phantom.yaml").subset("ct-brain-detection")
    boxes = list(generate(subset, {"seed": 0}, "train", 6))
    folder(place, subset.id, boxes)
    write_mix(place / "boxes.parquet", boxes + read_samples(place / SUBSET / "train.parquet")[:5])
    backbone = with_micro(tiny.model_copy(update={"coordinates": "tiny"}), micro_batch=2)
    recipe = RECIPES["full"].model_copy(update={"loss": "tokens"})
    one, two = (train(backbone, recipe, n, f"by-{n}", mix="boxes.parquet") for n in (1, 2))
    assert_alike(one, two, 1e-4)
    by_samples = rows(train(backbone, RECIPES["full"], 1, "samples", mix="boxes.parquet"))
    assert abs(by_samples[0]["loss"] - rows(one)[0]["loss"]) > 1e-3


@pytest.mark.parametrize("name", ["qwen3-vl-8b", "llama-3.2-11b-vision"])
def test_other_architectures_are_trained_so_too(train, siblings, name):
    backbone = siblings(name).model_copy(update={"dtype": "float32"})
    one = train(backbone, RECIPES["full"], 1, "one")
    again = with_micro(backbone, gradient_checkpointing=True, micro_batch=2)
    assert_alike(one, train(again, RECIPES["full"], 2, "two"), 1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_steps_that_bfloat16_could_not_add_add_up(train, siblings, name):
    backbone = with_micro(siblings(name), gradient_checkpointing=True, micro_batch=2)
    low = backbone.model_copy(update={"dtype": "bfloat16"})
    gentle = Recipe(learning_rate=4e-5, epochs=4, batch_size=5, schedule="constant")
    out = train(low, gentle, 1, "low")
    course = [row["loss"] for row in rows(out)]
    assert sum(course[-3:]) < sum(course[:3])  # the last and the first epoch
    before, after = load_file(next(Path(backbone.weights).glob("*.safetensors"))), weights(out)
    assert {tensor.dtype for tensor in after.values()} == {torch.bfloat16}
    (head,) = [name for name in before if "lm_head" in name]
    # Half of the last place from there on is 1.2e-4, three times what a step may add.
    large = before[head].abs() > 2**-5
    moved = after[head][large] != before[head].bfloat16()[large]
    assert float(moved.float().mean()) > 0.3


@pytest.fixture
def start(place, tiny, tmp_path):
    """Return a function that starts to fine-tune with two processes, in a process of its own."""

    def run(recipe=LONG):
        asked = {
            "mix": str(place / "mix.parquet"),
            "data": str(place),
            "backbone": with_micro(tiny, micro_batch=2).model_dump_json(),
            "recipe": recipe.model_dump_json(),
            "out": str(tmp_path / "run"),
            "log": str(tmp_path / "log.txt"),
            "often": False,
            "harm": {},
            "devices": 2,
        }
        script = Path(__file__).with_name("harmed_training.py")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}
        place_of = {"CUDA_VISIBLE_DEVICES": "0,1", "MATCG_LEASES": str(tmp_path / "leases")}
        place_of[PRETENDED] = "pretended"
        return subprocess.Popen(
            [sys.executable, str(script), json.dumps(asked)],
            env={**kept, **place_of, "PYTHONPATH": str(ROOT / "workflow")},
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def wait_for_rows(out, count, process):
    """Wait until so many steps are done."""
    file = out / "unfinished" / "metrics.jsonl"
    while not file.exists() or len(file.read_text().splitlines()) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def ended(processes, seconds=10):
    """Return whether all of some processes have ended after at most so long."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not alive


def test_a_run_stopped_in_two_processes_goes_on_in_one(start, train, tiny, tmp_path):
    process = start()
    wait_for_rows(tmp_path / "run", 4, process)
    children = psutil.Process(process.pid).children()
    assert len(children) == 2
    process.send_signal(signal.SIGUSR1)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "stopped by SIGUSR1" in errors
    assert ended(children)
    (kept,) = (tmp_path / "run" / "unfinished").glob("checkpoint-*")
    assert int(kept.name.split("-")[1]) >= 4
    backbone = with_micro(tiny, micro_batch=2)
    resumed = train(backbone, LONG, 1, "run")
    assert json.loads((resumed / "provenance.json").read_text())["tries"] == 2
    assert_alike(train(backbone, LONG, 1, "whole"), resumed, 5e-4)


@pytest.mark.parametrize("which", ["parent", "child"])
def test_no_process_stays_when_one_is_killed(start, tmp_path, which):
    process = start()
    wait_for_rows(tmp_path / "run", 2, process)
    children = psutil.Process(process.pid).children()
    began = time.monotonic()
    (process if which == "parent" else children[1]).kill()
    _, errors = process.communicate(timeout=60)
    assert ended(children)
    assert time.monotonic() - began < 20
    assert which == "parent" or "process 1 of 2 was killed" in errors
    assert not (tmp_path / "run" / "provenance.json").exists()


def test_what_one_process_cannot_use_is_said_as_by_one_alone(train, place, tiny, tmp_path):
    samples = read_samples(place / SUBSET / "train.parquet")
    data = tmp_path / "data"
    broken = [replace(samples[0], image=samples[0].image[:60]), *samples[1:]]
    folder(data, SUBSET, broken)
    with pytest.raises(DataError, match=f"sample {samples[0].sample_id}: image damaged"):
        train(tiny, RECIPES["full"], 2, "two", data)
    assert not list((tmp_path / "two").glob("weights*"))


def test_the_rule_trains_a_run_with_the_devices_that_its_recipe_asks_for(
    copy_of_small_run, tmp_path, monkeypatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("MATCG_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv(PRETENDED, "pretended")
    mine = copy_of_small_run
    file = mine / "backbones" / "tiny-llava.yaml"
    text = file.read_text()
    assert "resources:\n  gpu: 0\n" in text
    file.write_text(text.rstrip() + "\n  recipes: {full: {gpu: 2, threads: 2}}\n")
    small = (*SMALL, "--cores", "2")
    done = snakemake(mine, *small, "plan")
    assert done.returncode == 0, done.stdout
    run = read_tsv(mine / "results/plan/runs.tsv")[0]["path"]
    shutil.rmtree(mine / run)
    done = snakemake(mine, *small, f"{run}/metrics.jsonl")
    assert done.returncode == 0, done.stdout
    record = json.loads((mine / run / "provenance.json").read_text())
    assert (record["processes"], record["leased"]) == (2, ["0", "1"])
    log = (mine / f"{run.replace('results/runs', 'logs/finetune')}.log").read_text()
    assert "process 1 of 2 is on" in log
    assert "[####################] step 16 of 16" in log
