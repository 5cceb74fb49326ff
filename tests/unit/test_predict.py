"""Groups of runs that answer: which engine holds what, which answers are kept, what is refused.

The engine is one of this file that answers by its weights' text; real ones are tested in
tests/workflow.
"""

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from data_makers import sample
from matcg import versions
from matcg.config import Backbone, Protocol
from matcg.errors import DataError, ResourceError
from matcg.evaluate import predict as module
from matcg.evaluate.asking import SCHEMA
from matcg.evaluate.engine import Reply
from matcg.evaluate.gather import gather
from matcg.evaluate.predict import Group, Task, predict
from matcg.evaluate.sheets import read_asked
from matcg.evaluate.store import Store
from matcg.samples import write_samples

PROTOCOLS = {p.name: p for p in (Protocol(name="letters"), Protocol(name="grey", image="blank"))}
RUNS = ("baseline", "full/cg/seed0", "full/control/seed0", "full/floor/seed0")


def held(file):
    """Return the text that stands for weights."""
    (values,) = load_file(file).values()
    return values.tobytes().decode().strip()


class FakeEngine:
    """Answers by a share that the text of its weights, or of an adapter, decides."""

    letters = (50, 51, 52, 53)

    def __init__(self, desk, weights):
        self.desk = desk
        self.use("start", weights)

    def load(self, weights):
        self.use("load", weights)
        if self.desk.swaps_badly:
            self.text = "what was there before"

    def use(self, verb, weights):
        self.desk.calls.append((verb, weights.name))
        self.text = held(weights / "model.safetensors")

    def ask(self, asks, protocol, adapter=None):
        assert protocol.name in PROTOCOLS
        text = self.text
        if adapter:
            text += held(adapter / "adapter_model.safetensors")
        if self.desk.fails_on and self.desk.fails_on in text:
            raise RuntimeError("killed")
        share = 0.1 + 0.01 * (sum(text.encode()) % 80)
        # The question matters too, as in a real engine.
        logprobs = [(math.log(share) - len(ask.sample_id), math.log(1 - share)) for ask in asks]
        return [Reply(each, 50) for each in logprobs]

    def close(self):
        self.desk.calls.append(("close", ""))


class Desk:
    """Runs, questions of two targets, and a record of what engines were asked to do."""

    def __init__(self, root):
        self.root = root
        self.runs, self.calls = {}, []
        self.fails_on, self.swaps_badly = None, False
        self.asked = {}
        for target in ("knee", "lung"):
            self.question(target, 3)
        for run in RUNS:
            self.weigh(run, run)
            self.asked[run] = [("cat", "knee", ""), ("cat", "lung", "")]
        self.backbone = backbone(self.runs["baseline"])

    def question(self, target, n):
        samples = [sample(i, subset=target) for i in range(n)]
        write_samples(self.root / "data/cat" / target / "test.parquet", samples)

    def weigh(self, run, text, name="model.safetensors", tensor="lm_head.weight"):
        folder = self.root / "weights" / run.replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        values = np.frombuffer(text.encode().ljust(32), np.uint8)
        save_file({tensor: values}, folder / name)
        self.runs[run] = folder

    def adapt(self, run, text, part="language_model"):
        """Make a run a LoRA of rank 4."""
        layer = f"base_model.model.model.{part}.layers.0.mlp.up_proj.lora_A.weight"
        self.weigh(run, text, "adapter_model.safetensors", layer)
        folder = self.runs[run]
        (folder / "model.safetensors").unlink(missing_ok=True)
        (folder / "adapter_config.json").write_text(json.dumps({"r": 4}))

    def group(self, *runs):
        chosen = runs or tuple(self.runs)
        return Group(
            {run: self.runs[run] for run in chosen},
            read_asked({run: self.asked[run] for run in chosen}, PROTOCOLS, self.root / "data"),
            self.backbone,
            {},
            Store(self.root / "answers/runs"),
        )

    def predict(self, *runs, out="out"):
        """Predict some runs (all where none is named); return rows and the engines' calls."""
        self.calls.clear()
        path = self.root / "answers" / f"{out}.parquet"
        predict(self.group(*runs), path, path.with_suffix(".timing.json"))
        return pq.read_table(path).to_pylist(), [call for call in self.calls if call[1]]

    def timing(self, out="out"):
        return json.loads((self.root / "answers" / f"{out}.timing.json").read_text())


def backbone(weights, **changes):
    fields = {
        "name": "fake",
        "weights": str(weights),
        "image": {"size": 8},
        "prompt": "{question}",
        "recipes": {"full": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 1}},
    }
    return Backbone(**{**fields, **changes})


@pytest.fixture
def desk(tmp_path, monkeypatch):
    desk = Desk(tmp_path)

    def in_other_process(group, run):
        told = Task.model_validate_json(group.task(run))
        alone = told.group()
        replies = module.in_own_engine(alone, told.run, alone.missing()[told.run])
        group.timing.add({"starts": 1, "questions": alone.timing.questions})
        return [reply.logprobs for reply in replies]

    def start(weights, asked, settings, pictures, rank):
        assert (asked, settings, pictures) == (desk.backbone, {}, 1)
        assert rank in (0, 4)
        return FakeEngine(desk, weights)

    monkeypatch.setattr(module, "start", start)
    monkeypatch.setattr(module, "in_other_process", in_other_process)
    return desk


def test_runs_take_turns_in_one_engine_once_the_last_answered_alike_in_its_own(desk):
    rows, calls = desk.predict()
    assert calls == [
        ("start", "full-floor-seed0"),
        ("start", "baseline"),
        ("load", "full-floor-seed0"),
        ("load", "full-cg-seed0"),
        ("load", "full-control-seed0"),
    ]
    assert [(row["run"], row["target"]) for row in rows[::3]] == [
        (run, target) for run in RUNS for target in ("knee", "lung")
    ]
    assert [row["sample_id"] for row in rows[:3]] == ["knee-0", "knee-1", "knee-2"]
    shares = {row["run"]: row["probabilities"][0] for row in rows}
    assert len({round(share, 9) for share in shares.values()}) == len(RUNS)
    assert (desk.timing()["starts"], desk.timing()["questions"]) == (2, 4 * 2 * 3)


def test_an_engine_that_keeps_old_weights_is_found_and_each_run_gets_its_own(desk, capfd):
    expected, _ = desk.predict(out="good")
    for path in (desk.root / "answers/runs").rglob("*.parquet"):
        path.unlink()
    desk.swaps_badly = True
    rows, calls = desk.predict()
    assert rows == expected
    assert [verb for verb, _ in calls] == ["start", "start", "load", "start", "start"]
    assert "each run gets its own" in capfd.readouterr().out


def test_the_last_run_is_compared_by_its_own_questions(desk):
    desk.question("abdomen-and-more", 3)
    desk.asked[RUNS[-1]].insert(0, ("cat", "abdomen-and-more", ""))
    _, calls = desk.predict()
    assert [verb for verb, _ in calls] == ["start", "start", "load", "load", "load"]


def test_one_run_needs_one_engine(desk):
    assert desk.predict("full/cg/seed0")[1] == [("start", "full-cg-seed0")]


def test_adapters_share_an_engine_with_the_backbone(desk):
    for number, run in enumerate(RUNS[1:]):
        desk.adapt(run, "abc"[number])
    rows, calls = desk.predict()
    assert calls == [("start", "baseline")]
    shares = {row["run"]: row["probabilities"][0] for row in rows}
    assert len({round(share, 9) for share in shares.values()}) == len(RUNS)


def test_adapters_beyond_the_language_model_are_merged(desk, monkeypatch):
    def merge(folder, base, out):
        assert base is desk.backbone
        out.mkdir()
        text = f"merged {held(folder / 'adapter_model.safetensors')}"
        save_file({"w": np.frombuffer(text.encode(), np.uint8)}, out / "model.safetensors")
        return out

    monkeypatch.setattr(module, "merge", merge)
    desk.adapt("full/cg/seed0", "a", "vision_tower.encoder")
    _, calls = desk.predict("full/cg/seed0")
    assert calls == [("start", "weights")]
    assert not list((desk.root / "answers/runs").glob("merged-*"))


def test_kept_answers_need_no_engine_and_give_the_same_bytes(desk):
    first, _ = desk.predict(out="first")
    again, calls = desk.predict(out="again")
    assert (again, calls) == (first, [])
    assert not (desk.root / "answers/again.timing.json").exists()
    next((desk.root / "answers/runs/baseline").rglob("*.parquet")).unlink()
    assert desk.predict(out="mixed") == (first, [("start", "baseline")])
    files = [desk.root / "answers" / f"{name}.parquet" for name in ("first", "again", "mixed")]
    assert len({file.read_bytes() for file in files}) == 1


def test_a_run_added_later_is_the_only_one_answered(desk):
    desk.predict("baseline", "full/control/seed0")
    rows, calls = desk.predict("baseline", "full/cg/seed0", "full/control/seed0")
    assert calls == [("start", "full-cg-seed0")]
    assert len(rows) == 3 * 2 * 3


def test_another_group_finds_the_same_answers(desk):
    desk.predict("baseline", "full/cg/seed0", out="full+all")
    desk.predict("full/control/seed0", out="full+1")
    assert desk.predict("full/cg/seed0", "full/control/seed0", out="full+0")[1] == []


def test_a_target_added_later_is_the_only_one_answered(desk):
    desk.predict("full/cg/seed0")
    desk.question("brain", 4)
    desk.asked["full/cg/seed0"].append(("cat", "brain", ""))
    rows, calls = desk.predict("full/cg/seed0")
    assert calls == [("start", "full-cg-seed0")]
    assert len(rows) == 3 + 3 + 4
    assert desk.timing()["questions"] == 6 + 4


def test_a_further_protocol_is_the_only_one_asked(desk):
    desk.predict("baseline")
    desk.asked["baseline"].append(("cat", "knee", "@grey"))
    rows, calls = desk.predict("baseline")
    assert calls == [("start", "baseline")]
    assert [row["run"] for row in rows] == ["baseline"] * 6 + ["baseline@grey"] * 3
    assert desk.timing()["questions"] == 6 + 3


def test_new_weights_are_answered_anew_and_no_others(desk):
    first, _ = desk.predict()
    desk.weigh("full/cg/seed0", "trained again")
    rows, calls = desk.predict()
    assert calls == [("start", "full-cg-seed0")]
    changed = {a["run"] for a, b in zip(first, rows, strict=True) if a != b}
    assert changed == {"full/cg/seed0"}


def test_new_questions_are_answered_by_all(desk):
    desk.predict()
    desk.question("knee", 4)
    rows, _ = desk.predict()
    assert len(rows) == 4 * (4 + 3)
    assert desk.timing()["questions"] == 4 * 6 + 4 * 4


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"prompt": "Say: {question}"}, True),
        ({"image": {"size": 16}}, True),
        ({"dtype": "bfloat16"}, True),
        ({"engine": "transformers"}, True),
        ({"description": "in other words"}, False),
        ({"resources": {"threads": 2}}, False),
    ],
)
def test_answers_depend_on_how_is_asked_and_not_on_where(desk, change, again):
    desk.predict("baseline")
    desk.backbone = backbone(desk.runs["baseline"], **change)
    assert bool(desk.predict("baseline")[1]) == again


def test_a_new_version_of_the_step_asks_again(desk, monkeypatch):
    desk.predict("baseline")
    monkeypatch.setattr(versions, "PREDICT", versions.PREDICT + 1)
    assert desk.predict("baseline")[1] == [("start", "baseline")]


def test_a_job_killed_halfway_keeps_what_it_had(desk):
    desk.fails_on = "control"
    with pytest.raises(RuntimeError, match="killed"):
        desk.predict()
    desk.fails_on = None
    rows, calls = desk.predict()
    assert calls == [("start", "full-control-seed0")]
    assert len(rows) == 4 * 2 * 3


def test_a_damaged_store_is_not_believed(desk):
    first, _ = desk.predict("baseline")
    one, other = sorted((desk.root / "answers/runs").rglob("*.parquet"))
    pq.write_table(pq.read_table(one).replace_schema_metadata(None).slice(0, 1), one)
    other.write_bytes(b"PAR1")
    assert desk.predict("baseline") == (first, [("start", "baseline")])


def test_weights_that_are_not_whole_are_named_before_an_engine_starts(desk):
    folder = desk.runs["full/control/seed0"]
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"full-control-seed0/model-2.safetensors: .* is missing"):
        desk.predict()
    (folder / "model.safetensors.index.json").unlink()
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"full-control-seed0/model.safetensors: .* is missing"):
        desk.predict()
    desk.weigh("full/control/seed0", "x", tensor="other.weight")
    with pytest.raises(DataError, match=r"full-control-seed0: 2 weights are not as in backbone"):
        desk.predict()
    assert desk.calls == []


def test_an_engine_in_another_process_that_dies_is_named(desk, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    with pytest.raises(ResourceError, match=r"engine of run baseline ended \(exit status 1\)"):
        module.in_other_process(desk.group("baseline"), "baseline")


def test_gathering_brings_a_targets_runs_together_in_the_plans_order(desk):
    desk.asked["baseline"].append(("cat", "knee", "@grey"))
    desk.predict("baseline", "full/cg/seed0", out="one")
    desk.predict("full/control/seed0", "full/floor/seed0", out="two")
    groups = [desk.root / "answers" / f"{name}.parquet" for name in ("one", "two")]
    names = ["baseline", "baseline@grey", "full/control/seed0", "full/cg/seed0"]
    out = desk.root / "predictions/knee.parquet"
    gather(groups, "cat", "knee", names, out)
    table = pq.read_table(out)
    assert table.schema.equals(SCHEMA, check_metadata=True)
    assert table["run"].to_pylist() == [name for name in names for _ in range(3)]
    assert set(table["sample_id"].to_pylist()) == {"knee-0", "knee-1", "knee-2"}
    with pytest.raises(DataError, match="no group has answers of full/other/seed0"):
        gather(groups, "cat", "knee", [*names, "full/other/seed0"], out)
