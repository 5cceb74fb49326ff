"""Fine-tuning: the same seed gives the same bytes, and just what the recipe names is trained."""

import hashlib
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from data_makers import folder, write_mix
from matcg.cluster.devices import lease
from matcg.config.backbone import Recipe
from matcg.config.library import load
from matcg.errors import ConfigError, DataError
from matcg.evaluate.adapters import merge, must_merge, rank_of
from matcg.forms.choice import OPTION_LETTERS
from matcg.identity import ABOUT, named, of_recipe
from matcg.models.device import PRETENDED
from matcg.models.flops import Work
from matcg.models.identity import of_backbone, settings
from matcg.models.loading import (
    choose_parameters,
    last_logits,
    load_model,
    save_weights,
    weight_names,
)
from matcg.models.prompts import single_tokens
from matcg.phantom.world import generate
from matcg.samples import read_samples
from matcg.seeds import derive
from matcg.train import loop
from matcg.train.batches import Collator, Pictures
from matcg.train.finetune import finetune
from matcg.train.loop import rate_at
from matcg.train.tasks import TrainingSample, batches, read_mix
from training import one_step

ROOT = Path(__file__).parents[3]
SUBSETS = ("ct-brain-state", "us-knee-diseases")
CPU = torch.device("cpu")


def recipe(**changes):
    return Recipe(**{"learning_rate": 1e-3, "epochs": 1, "batch_size": 8, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return prepared data: eight training samples each of two subsets."""
    root = tmp_path_factory.mktemp("data")
    catalog = load("catalog", ROOT / "catalogs" / "phantom.yaml")
    for name in SUBSETS:
        folder(root, name, list(generate(catalog.subset(name), {"seed": 0}, "train", 8)))
    return root


@pytest.fixture(scope="module")
def samples(data):
    return [s for name in SUBSETS for s in read_samples(data / name / "train.parquet")]


@pytest.fixture
def mix(tmp_path):
    """Return a function that writes a mix of samples, trained on `shift` options further."""

    def write(samples, shift=0):
        return write_mix(tmp_path / "mix.parquet", samples, shift)

    return write


@pytest.fixture
def train(mix, data, samples, tiny, tmp_path):
    """Return a function that fine-tunes the tiny backbone and returns the folder written."""

    def run(recipe, seed=0, chosen=None, shift=0, backbone=tiny, out="run"):
        path = mix(samples if chosen is None else chosen, shift)
        folder = tmp_path / out
        folder.mkdir(exist_ok=True)
        finetune(path, data, backbone, recipe, seed, folder, threads=1)
        return folder

    return run


@pytest.fixture(scope="module")
def started(tiny):
    """Return a function that loads the tiny backbone: its model and a reader for it."""
    torch.set_num_threads(1)

    def start(weights=tiny.weights):
        model, processor = load_model(str(weights), tiny)
        letters = single_tokens(processor.tokenizer, tiny, OPTION_LETTERS)
        return model, Collator(processor, tiny, letters, CPU, Pictures(tiny))

    return start


def weights(folder):
    return load_file(folder / "model.safetensors")


def changed(before, after):
    """Return the names of the weights that differ."""
    return {name for name in before if not torch.equal(before[name], after[name])}


def losses(folder):
    return [
        json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]


def test_the_seed_decides_every_byte(train):
    first, again, other = (
        (train(recipe(), seed, out=name) / "weights" / "model.safetensors").read_bytes()
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert first == again
    assert first != other


def test_a_leased_gpu_that_torch_does_not_see_trains_nothing(train, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setenv("MATCG_LEASES", str(tmp_path / "leases"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with lease(1, "test"), pytest.raises(ConfigError, match="sees none"):
        train(recipe(), out="blind")
    assert not list(tmp_path.rglob("blind/weights*"))


def test_everything_is_trained_and_recorded(train, tiny, data, samples, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setenv("MATCG_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv(PRETENDED, "pretended")
    with lease(1, "test"):
        out = train(recipe(epochs=2, batch_size=6))
    before, after = weights(Path(tiny.weights)), weights(out / "weights")
    assert before.keys() == after.keys()
    still = before.keys() - changed(before, after)
    # What no answer depends on: the tower's last norm, behind the layer that is read.
    assert all("post_layernorm" in name for name in still)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(6))
    assert [row["lr"] for row in rows] == [rate_at(n, 6, recipe()) for n in range(6)]
    record = json.loads((out / "provenance.json").read_text())
    assert record["samples"] == len(samples)
    assert record["recipe"]["batch_size"] == 6
    assert record["leased"] == ["7"]
    assert record["threads"] == 1
    assert record["letters"]["B"] == AutoTokenizer.from_pretrained(
        tiny.weights
    ).convert_tokens_to_ids("B")
    orders = [derive(0, "order", epoch) for epoch in range(2)]
    assert record["seeds"] == {"run": 0, "weights": derive(0, "weights"), "order": orders}
    assert record["data"] == {
        name: hashlib.sha256((data / name / "train.parquet").read_bytes()).hexdigest()
        for name in SUBSETS
    }
    sizes = record["parameters"]
    assert sizes.keys() == {"tower", "projector", "llm"}
    assert all(part["trained"] == part["all"] > 0 for part in sizes.values())
    assert sum(part["all"] for part in sizes.values()) == sum(w.numel() for w in before.values())
    assert record["peak_mb"]["device"] is None
    assert record["peak_mb"]["process"] >= rows[-1]["peak_mb"] > 100
    assert json.dumps(record["backbone"]) == json.dumps(json.loads(settings(tiny)))
    assert not list(out.glob("*.part"))


def test_another_prompt_than_the_templates_is_said_before_training(train, tiny, tmp_path, capsys):
    weights = tmp_path / "templated"
    shutil.copytree(tiny.weights, weights)
    (weights / "chat_template.jinja").write_text("{{ messages[0]['role'] }}:")
    out = train(recipe(), backbone=tiny.model_copy(update={"weights": str(weights), "_digest": ""}))
    assert json.loads((out / "provenance.json").read_text())["chat_template"] is False
    said = capsys.readouterr().out
    assert 0 <= said.index("chat template would make 'user:'") < said.index("step 2 of 2")


def test_what_a_step_computes_is_counted(train, started, samples, monkeypatch):
    monkeypatch.setattr(loop, "peak_flops", lambda *_: 1e10)
    out = train(recipe(batch_size=5), out="counted")
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    model, reader = started()
    work = Work.of(model, reader.backbone.image.size)
    lengths = reader.inputs(samples)["attention_mask"].sum(dim=1).tolist()
    sizes = [min(5, len(samples) - start) for start in range(0, len(samples), 5)]
    done = [
        row["mfu"] * 1e10 * n / row["samples_per_s"] for row, n in zip(rows, sizes, strict=True)
    ]
    assert sum(done) == pytest.approx(work.flops(lengths, len(lengths)), rel=0.02)


def test_a_fine_tuned_copy_can_be_fine_tuned_again(train, tiny):
    first = train(recipe(), out="first")
    again = tiny.model_copy(update={"weights": str(first / "weights"), "_digest": ""})
    second = train(recipe(), backbone=again, out="second")
    assert weight_names(first / "weights") == weight_names(second / "weights")


def test_the_answers_of_the_mix_are_learnt_even_where_they_are_wrong(train, started, samples):
    chosen = samples[8:]
    out = train(recipe(learning_rate=3e-3, epochs=25, schedule="constant"), chosen=chosen, shift=1)
    course = losses(out)
    assert course[-1] < 0.2 < course[0] / 2
    model, reader = started(out / "weights")
    with torch.no_grad():
        logits = last_logits(model.eval(), reader.inputs(chosen))
    said = [list(reader.tokens.values()).index(int(each)) for each in logits.argmax(dim=1)]
    assert said == [(sample.answer + 1) % len(sample.options) for sample in chosen]


def test_a_mix_gives_its_own_order_and_answers(mix, data, samples):
    order = samples[::-1]
    tasks = read_mix(mix(order, shift=1), data)
    assert [task.sample for task in tasks] == order
    assert [task.answer for task in tasks] == [(s.answer + 1) % len(s.options) for s in order]


def test_only_the_parts_of_the_recipe_change(train, tiny):
    out = train(recipe(trains=("projector",), weight_decay=0.1))
    before, after = weights(Path(tiny.weights)), weights(out / "weights")
    projector = {name for name in before if "multi_modal_projector" in name}
    assert len(projector) == 4
    assert changed(before, after) == projector


def test_adapters_are_kept_without_what_the_backbone_has(train, tiny, tmp_path):
    out = train(recipe(method="lora", rank=4, alpha=8.0, trains=("llm",)))
    found = sorted(each.name for each in (out / "weights").iterdir())
    assert found == ["adapter_config.json", "adapter_model.safetensors"]
    assert (rank_of(out / "weights"), must_merge(out / "weights")) == (4, False)
    text = (out / "weights" / "adapter_config.json").read_text()
    assert json.loads(text)["lora_alpha"] == 8
    assert str(tmp_path) not in text
    assert tiny.weights not in text


def test_a_merged_adapter_has_the_base_layout_and_moves_its_layers_alone(train, tiny, tmp_path):
    out = train(recipe(method="lora", rank=4, alpha=8.0, trains=("llm",)))
    merge(out / "weights", tiny, tmp_path / "merged")
    before, after = weights(Path(tiny.weights)), weights(tmp_path / "merged")
    assert {n: (w.shape, w.dtype) for n, w in before.items()} == {
        n: (w.shape, w.dtype) for n, w in after.items()
    }
    moved = changed(before, after)
    layers = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert all("language_model" in name and name.split(".")[-2] in layers for name in moved)
    assert {name.split(".")[-2] for name in moved} == set(layers)


def test_adapters_beyond_the_language_model_must_be_merged(train):
    out = train(recipe(method="lora", rank=2, trains=("llm", "projector")))
    assert must_merge(out / "weights")


def test_an_adapter_that_was_not_trained_is_refused(train, tiny, tmp_path):
    out = train(recipe(method="lora", rank=2, trains=("llm",)))
    file = out / "weights" / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({n: w * ("lora_A" in n) for n, w in tensors.items()}, file)
    with pytest.raises(DataError, match=r"weights: this adapter changes nothing"):
        merge(out / "weights", tiny, tmp_path / "merged")


def test_the_same_seed_gives_the_same_adapters(train):
    plan = recipe(method="lora", rank=2)
    first, again = (train(plan, out=name) / "weights" for name in ("first", "again"))
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
    modules = json.loads((first / "adapter_config.json").read_text())["target_modules"]
    assert modules == sorted(modules)


def test_a_loss_that_is_no_number_names_step_and_samples(train, samples, tmp_path):
    with pytest.raises(DataError, match=r"loss is (nan|inf) at step \d+ .*lower the") as caught:
        train(recipe(learning_rate=1e30, batch_size=4, schedule="constant", epochs=3))
    named = [sample for sample in samples if sample.sample_id in str(caught.value)]
    assert len(named) == 4
    assert not (tmp_path / "run" / "weights").exists()


def test_broken_weights_are_noticed_at_the_first_step(train, tiny, samples, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(tiny.weights, broken)
    tensors = weights(broken)
    tensors["language_model.lm_head.weight"][0, 0] = math.nan
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    backbone = tiny.model_copy(update={"weights": str(broken), "_digest": ""})
    with pytest.raises(DataError, match="loss is nan at step 0"):
        train(recipe(), chosen=samples[:2], backbone=backbone)


def test_a_sample_that_is_not_there_is_named(mix, data, samples):
    path = mix([*samples[:3], replace(samples[3], sample_id="elsewhere"), *samples[4:]])
    with pytest.raises(
        DataError, match=r"sample elsewhere is not in .*ct-brain-state/train.parquet"
    ):
        read_mix(path, data)


def test_a_part_that_the_model_lacks_is_named():
    text_only = torch.nn.ModuleDict({"language_model": torch.nn.Linear(2, 2)})
    with pytest.raises(DataError, match="trains 'tower', but this model has no such part"):
        choose_parameters(text_only, recipe(trains=("llm", "tower")))


def test_changed_weight_names_are_refused(started, tmp_path):
    model, reader = started()
    with pytest.raises(DataError, match=r"weight names changed on saving .*foreign"):
        save_weights(model, reader.processor, tmp_path / "weights", {"foreign"})
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("method", ["full", "lora"])
def test_micro_batches_give_the_gradient_of_the_whole_batch(started, samples, method):
    tasks = [TrainingSample(sample, sample.answer) for sample in samples[4:12]]
    plan = recipe(method=method, rank=2 if method == "lora" else None)
    gradients, totals = [], []
    for micro in (8, 3):
        torch.manual_seed(0)
        model, reader = started()
        model = choose_parameters(model, plan)
        totals.append(one_step(model, reader, tasks, micro).loss)
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert totals[0] == pytest.approx(totals[1], abs=1e-5)
    whole, pieces = gradients
    assert whole.keys() == pieces.keys()
    assert max(float(gradient.abs().max()) for gradient in whole.values()) > 1e-3
    for name, gradient in whole.items():
        assert float((gradient - pieces[name]).abs().max()) < 1e-5, name


def test_padding_changes_no_answer(started, samples):
    model, reader = started()
    with torch.no_grad():
        together = last_logits(model.eval(), reader.inputs(samples))
        alone = torch.cat([last_logits(model, reader.inputs([sample])) for sample in samples])
        inputs = reader.inputs(samples[:1])
        full = model(**inputs).logits[:, -1]
    assert float((together - alone).abs().max()) < 1e-4
    assert float((alone[:1] - full).abs().max()) < 1e-4


# --- What a run's folder stands for --------------------------------------------------------------


@pytest.fixture
def placed(data, samples, tiny, tmp_path):
    """Return a function that fine-tunes into the folder that the plan names, or another one."""

    def run(digest="0000000a", chosen=samples, mix="m", seed=0, at=(), **changes):
        path = tmp_path / f"mixes/{named(mix, digest)}.parquet"
        path.parent.mkdir(exist_ok=True)
        write_mix(path, chosen, digest=digest)
        place = {
            "backbone": named(tiny.name, of_backbone(tiny)),
            "recipe": named("full", of_recipe(recipe(**changes))),
            "mix": path.stem,
            "seed": f"seed{seed}",
            **dict(at),
        }
        out = tmp_path.joinpath("runs", *place.values())
        out.mkdir(parents=True, exist_ok=True)
        finetune(path, data, tiny, recipe(**changes), seed, out, threads=1)
        return out

    return run


def record(out):
    return json.loads((out / "provenance.json").read_text())


def test_a_run_and_the_folders_above_it_say_what_they_are(placed, tiny):
    out = placed()
    assert out.as_posix().endswith(f"/runs/{record(out)['place']}")
    said = [(folder / ABOUT).read_text() for folder in out.parents[:3]]
    assert recipe().canonical() in said[1]
    assert settings(tiny) in said[2]


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ({"backbone": "tiny-llava-0123abcd"}, "the backbone has the digest"),
        ({"recipe": "full-0123abcd"}, "the recipe has the digest"),
        (
            {"mix": "m-0123abcd"},
            "this run is .*/m-0000000a/seed0, and the plan means .*/m-0123abcd",
        ),
        ({"seed": "seed1"}, "this run is .*/seed0, and the plan means .*/seed1"),
    ],
)
def test_a_folder_that_stands_for_another_run_is_refused(placed, tmp_path, folder, said):
    with pytest.raises(DataError, match=said):
        placed(at=folder)
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]


def test_a_mix_that_does_not_say_what_it_was_made_of_is_refused(mix, data, samples):
    path = mix(samples)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    with pytest.raises(DataError, match=r"does not say of which samples it is; delete the mix"):
        read_mix(path, data)


def test_a_mix_that_is_not_what_its_name_stands_for_is_refused(placed, data, samples, tmp_path):
    placed()
    write_mix(tmp_path / "mixes/m-0000000a.parquet", samples, digest="0123abcd")
    with pytest.raises(DataError, match=r"this mix is of the digest 0123abcd, and .* 0000000a"):
        read_mix(tmp_path / "mixes/m-0000000a.parquet", data)


def test_an_equal_run_on_the_mix_under_another_name_is_taken_over(placed, capsys):
    first, second = placed("0000000a"), placed("0000000b")
    assert "not trained again" in capsys.readouterr().out.splitlines()[-1]
    files = sorted(path.name for path in (first / "weights").iterdir())
    assert sorted(path.name for path in (second / "weights").iterdir()) == files
    assert all((first / "weights" / n).samefile(second / "weights" / n) for n in files)
    assert (first / "metrics.jsonl").read_bytes() == (second / "metrics.jsonl").read_bytes()
    place = record(first)["place"]
    assert record(second) == {
        **record(first),
        "place": place.replace("0000000a", "0000000b"),
        "taken_from": place,
    }
    names = ["metrics.jsonl", "provenance.json", "weights"]
    assert sorted(path.name for path in second.iterdir()) == names


def test_what_is_not_the_same_run_is_trained(placed, samples, capsys):
    first = placed("0000000a")
    others = [
        placed("0000000b", chosen=samples[::-1]),
        placed("0000000b", seed=1),
        placed("0000000b", learning_rate=2e-3),
        placed("0000000b", mix="n"),
    ]
    assert "not trained again" not in capsys.readouterr().out
    assert not any("taken_from" in record(out) for out in others)
    (first / "metrics.jsonl").unlink()
    assert "taken_from" not in record(placed("0000000c")), "the other is not whole"


@given(
    count=st.integers(1, 40), size=st.integers(1, 12), epochs=st.integers(1, 3), seed=st.integers(0)
)
def test_every_epoch_sees_every_sample_once(count, size, epochs, seed):
    tasks = [TrainingSample(None, number) for number in range(count)]
    plan = recipe(epochs=epochs, batch_size=size)
    found = list(batches(tasks, plan, seed))
    per_epoch = math.ceil(count / size)
    assert len(found) == epochs * per_epoch
    assert {len(batch) for batch in found} <= {size, count % size or size}
    for epoch in range(epochs):
        part = found[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(task.answer for batch in part for task in batch) == list(range(count))
    assert found == list(batches(tasks, plan, seed))


def test_epochs_and_seeds_have_orders_of_their_own():
    tasks = [TrainingSample(None, number) for number in range(50)]
    orders = [
        [task.answer for task in batch]
        for seed in (0, 1)
        for batch in batches(tasks, recipe(epochs=2, batch_size=50), seed)
    ]
    assert len({tuple(order) for order in orders}) == 4


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1.0, 1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
    ],
)
def test_rates_rise_then_follow_the_schedule(schedule, rates):
    plan = recipe(learning_rate=2.0, warmup=0.2, schedule=schedule)
    found = [rate_at(step, 10, plan) / 2 for step in (0, 1, 2, 4, 6, 8)]
    assert found == pytest.approx(rates)


def test_without_warm_up_the_first_rate_is_the_full_one():
    assert rate_at(0, 10, recipe(learning_rate=3.0)) == 3.0


@given(
    steps=st.integers(1, 300),
    warmup=st.floats(0, 0.99),
    schedule=st.sampled_from(["constant", "linear", "cosine"]),
)
def test_rates_stay_above_zero_and_at_most_the_recipes(steps, warmup, schedule):
    plan = recipe(learning_rate=1.0, warmup=warmup, schedule=schedule)
    rates = [rate_at(step, steps, plan) for step in range(steps)]
    assert min(rates) > 0
    assert max(rates) <= 1 + 1e-9
