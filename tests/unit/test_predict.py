"""Predictions: which answers are kept, and what is asked again."""

import math

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_makers import sample
from matcg.config import Backbone, Protocol
from matcg.evaluate import predict as module
from matcg.evaluate.engine import Reply
from matcg.evaluate.predict import SCHEMA, predict
from matcg.samples import write_samples

LETTERS = [50, 51, 52, 53]


def backbone(weights, **changes):
    fields = {
        "name": "fake",
        "weights": str(weights),
        "image": {"size": 8},
        "prompt": "{question}",
        "recipes": {"full": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 1}},
    }
    return Backbone(**{**fields, **changes})


def reply(*probabilities):
    return Reply(tuple(math.log(p) for p in probabilities), LETTERS[0])


class Desk:
    """Runs, questions and a fake engine that counts what it is asked to do."""

    def __init__(self, root):
        self.root = root
        self.test = root / "test.parquet"
        self.runs = {}
        self.calls = []
        self.fails_on = None
        self.ask([sample(n) for n in range(3)])
        for key in ("baseline", "cg/seed-0", "control/seed-0"):
            self.weigh(key, key)
        self.backbone = backbone(self.runs["baseline"])

    def ask(self, samples):
        write_samples(self.test, samples)

    def weigh(self, key, text):
        folder = self.root / "weights" / key.replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").write_text(text)
        self.runs[key] = folder

    def predict(self, *keys, out="out"):
        """Predict some runs (all where none is named); return rows and the engine's calls."""
        self.calls.clear()
        runs = {key: self.runs[key] for key in keys or self.runs}
        path = self.root / out / "answers.parquet"
        self.backbone = self.backbone.model_copy()
        predict(runs, self.test, self.backbone, {}, path, self.root / "store")
        return pq.read_table(path).to_pylist(), list(self.calls)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    desk = Desk(tmp_path)

    class Engine:
        letters = LETTERS

        def __init__(self, weights, backbone, settings):
            assert backbone is desk.backbone
            assert settings == {}
            self._use("start", weights)

        def load(self, weights):
            self._use("load", weights)

        def _use(self, verb, weights):
            desk.calls.append((verb, weights.name))
            self.text = (weights / "model.safetensors").read_text()

        def ask(self, asks, protocol):
            assert protocol == Protocol(name="letters")
            if desk.fails_on and desk.fails_on in self.text:
                raise RuntimeError("killed")
            share = 0.1 + 0.01 * (sum(self.text.encode()) % 80)
            return [reply(share, 1 - share) for _ in asks]

    monkeypatch.setattr(module, "start", Engine)
    return desk


def test_one_engine_answers_for_all_runs_in_their_order(desk):
    rows, calls = desk.predict()
    assert calls == [("start", "baseline"), ("load", "cg-seed-0"), ("load", "control-seed-0")]
    assert [row["run"] for row in rows] == [key for key in desk.runs for _ in range(3)]
    assert [row["sample_id"] for row in rows[:3]] == ["s-0", "s-1", "s-2"]
    table = pq.read_table(desk.root / "out" / "answers.parquet")
    assert table.schema.equals(SCHEMA, check_metadata=True)
    shares = {row["run"]: row["probabilities"][0] for row in rows}
    assert len(set(np.round(list(shares.values()), 3))) == 3


def test_kept_answers_need_no_engine_and_give_the_same_bytes(desk):
    first, _ = desk.predict(out="first")
    again, calls = desk.predict(out="again")
    assert (again, calls) == (first, [])
    (desk.root / "store" / "baseline.parquet").unlink()
    assert desk.predict(out="mixed") == (first, [("start", "baseline")])
    files = [desk.root / name / "answers.parquet" for name in ("first", "again", "mixed")]
    assert len({file.read_bytes() for file in files}) == 1


def test_a_run_added_later_is_the_only_one_answered(desk):
    desk.predict("baseline", "control/seed-0")
    rows, calls = desk.predict()
    assert calls == [("start", "cg-seed-0")]
    assert list(dict.fromkeys(row["run"] for row in rows)) == list(desk.runs)


def test_new_weights_are_answered_anew_and_no_others(desk):
    first, _ = desk.predict()
    desk.weigh("cg/seed-0", "trained again")
    rows, calls = desk.predict()
    assert calls == [("start", "cg-seed-0")]
    changed = {a["run"] for a, b in zip(first, rows, strict=True) if a != b}
    assert changed == {"cg/seed-0"}


def test_new_questions_are_answered_by_all(desk):
    desk.predict()
    desk.ask([sample(n) for n in range(4)])
    rows, calls = desk.predict()
    assert len(calls) == 3
    assert len(rows) == 12


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"prompt": "Say: {question}"}, True),
        ({"image": {"size": 16}}, True),
        ({"dtype": "bfloat16"}, True),
        ({"description": "in other words"}, False),
        ({"resources": {"threads": 2}}, False),
    ],
)
def test_answers_depend_on_how_is_asked_and_not_on_where(desk, change, again):
    desk.predict("baseline")
    desk.backbone = backbone(desk.runs["baseline"], **change)
    assert bool(desk.predict("baseline")[1]) == again


def test_a_job_killed_halfway_keeps_what_it_had(desk):
    desk.fails_on = "control"
    with pytest.raises(RuntimeError, match="killed"):
        desk.predict()
    desk.fails_on = None
    rows, calls = desk.predict()
    assert calls == [("start", "control-seed-0")]
    assert len(rows) == 9


def test_a_half_written_store_is_not_believed(desk):
    first, _ = desk.predict("baseline")
    (file,) = (desk.root / "store").glob("*.parquet")
    plain = pq.read_table(file).replace_schema_metadata(None)
    pq.write_table(plain.slice(0, 1), file)
    assert desk.predict("baseline") == (first, [("start", "baseline")])
