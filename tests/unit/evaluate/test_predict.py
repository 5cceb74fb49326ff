"""Groups of runs that answer: which engine holds what, which answers are kept, what is refused.

The engine is one of this file that answers by its weights' text; real ones are tested in
tests/workflow.
"""

import json
import math
import os
import signal
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from data_makers import sample
from matcg import versions
from matcg.config.backbone import Backbone
from matcg.config.protocol import Protocol
from matcg.errors import DataError, ResourceError
from matcg.evaluate import group as groups
from matcg.evaluate import own_process, start
from matcg.evaluate import predict as module
from matcg.evaluate.group import Group, RunTask
from matcg.evaluate.kept_answers import Store
from matcg.evaluate.predict import predict
from matcg.evaluate.question_sets import first_questions, read_asked
from matcg.forms import Reply
from matcg.forms.choice import ANSWER_SCHEMA, OPTION_LETTERS
from matcg.identity import ABOUT
from matcg.samples import label_of, write_samples

PROTOCOLS = {p.name: p for p in (Protocol(name="letters"), Protocol(name="grey", image="blank"))}
RUNS = ("baseline", "full/cg/seed0", "full/control/seed0", "full/floor/seed0")


def held(file):
    """Return the text that stands for weights."""
    (values,) = load_file(file).values()
    return values.tobytes().decode().strip()


class FakeEngine:
    """Answers by a share that the text of its weights, or of an adapter, decides."""

    def __init__(self, desk, weights):
        self.made_with = {"max_num_seqs": 7}
        self.tokens = dict(zip(OPTION_LETTERS, range(50, 76), strict=True))
        self.desk = desk
        self.use("start", weights)

    def load(self, weights):
        self.use("load", weights)
        if self.desk.swaps_badly:
            self.text = "what was there before"

    def forget(self):
        self.kept = set()

    def use(self, verb, weights):
        self.forget()
        self.desk.calls.append((verb, weights.name))
        self.text = held(weights / "model.safetensors")

    def ask(self, asks, adapter=None):
        assert all(ask.wording.way == "token" for ask in asks)
        text = self.text
        if adapter:
            text += held(adapter / "adapter_model.safetensors")
        if self.desk.fails_on and self.desk.fails_on in text:
            raise RuntimeError("killed")
        share = 0.1 + 0.01 * (sum(text.encode()) % 80)
        # The question matters too, as in a real engine.
        logprobs = [(math.log(share) - len(ask.sample_id), math.log(1 - share)) for ask in asks]
        # What is kept of a prompt was rounded otherwise.
        prompts = [(ask.prompt, ask.digests) for ask in asks]
        off = [0.002 * (prompt in self.kept) for prompt in prompts]
        self.kept |= set(prompts)
        return [Reply((a + more, b), 50) for (a, b), more in zip(logprobs, off, strict=True)]

    def close(self):
        self.desk.calls.append(("close", ""))


class Desk:
    """Runs, questions of two targets, and a record of what engines were asked to do."""

    def __init__(self, root):
        self.root, self.answers = root, root / "answers/fake-0123abcd"
        self.runs, self.calls = {}, []
        self.fails_on, self.swaps_badly = None, False
        self.asked = {}
        for target in ("knee", "lung"):
            self.question(target, 3)
        for run in RUNS:
            self.weigh(run, run)
            self.asked[run] = [sheet("knee"), sheet("lung")]
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
            Store(self.answers),
            "full+all",
        )

    def predict(self, *runs, out="out"):
        """Predict some runs (all where none is named); return rows and the engines' calls."""
        self.calls.clear()
        group = self.group(*runs)
        predict(group, self.answers / f"{out}.json")
        rows = [
            {**row, "target": sheet.target}
            for run in group.runs
            for sheet in group.asked[run]
            for row in pq.read_table(group.store.path(run, sheet)).to_pylist()
        ]
        return rows, [call for call in self.calls if call[1]]

    def kept(self):
        """Return all kept answers, by their place below those of the backbone."""
        files = sorted(self.answers.rglob("*.parquet"))
        return {file.relative_to(self.answers).as_posix(): file.read_bytes() for file in files}

    def record(self, out="out"):
        return json.loads((self.answers / f"{out}.json").read_text())


def sheet(target, tag="", folder=None):
    """Return what `read_asked` needs of a target that is asked by a protocol."""
    return ("cat", target, folder or target, tag, f"cat/{target}{tag}.parquet")


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
        told = RunTask.model_validate_json(group.task(run))
        alone = told.group()
        replies = module.in_own_engine(alone, told.run, alone.missing()[told.run])
        group.timing.add({"starts": 1, "questions": alone.timing.questions})
        return [reply.logprobs for reply in replies]

    def start(weights, asked, settings, pictures, rank):
        assert (asked, settings, pictures) == (desk.backbone, {}, 1)
        assert rank in (0, 4)
        return FakeEngine(desk, weights)

    monkeypatch.setattr(groups, "start", start)
    monkeypatch.setattr(module, "in_other_process", in_other_process)
    return desk


def test_a_protocol_of_few_questions_asks_no_others(desk):
    few = Protocol(name="letters", questions=2)
    (knee,) = read_asked({"r": [sheet("knee")]}, {"letters": few}, desk.root / "data")["r"]
    asked = {key: [knee] for key in desk.runs}
    group = Group(desk.runs, asked, desk.backbone, {}, Store(desk.answers))
    assert [len(part) for part in group.asks(knee)] == [2, 2]


def test_questions_that_the_backbone_is_not_asked_are_left_out_and_decide_the_answers(desk):
    def asked(*names):
        file = desk.root / "lengths/cat/knee.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = {"train": {}, "test": dict.fromkeys(names, "too long: 9 tokens")}
        file.write_text(json.dumps({"digest": "", "measured": "", "aside": aside}))
        places = (desk.root / "data", desk.root / "lengths")
        (found,) = read_asked({"r": [sheet("knee")]}, PROTOCOLS, *places)["r"]
        return found

    (plain,) = read_asked({"r": [sheet("knee")]}, PROTOCOLS, desk.root / "data")["r"]
    assert asked().digest() == plain.digest() != asked("knee-1").digest()
    assert [each.sample_id for each in asked("knee-1").questions()] == ["knee-0", "knee-2"]
    with pytest.raises(DataError, match="no question can be asked of this backbone"):
        asked("knee-0", "knee-1", "knee-2").questions()


def test_the_first_questions_of_a_target_are_of_its_labels_in_turn():
    samples = [replace(sample(i), label="abc"[i // 3]) for i in range(9)]
    labels = {sample.label for sample in samples}
    assert first_questions(samples, Protocol(name="letters")) == samples
    for n in (1, len(labels), len(labels) + 1):
        few = first_questions(samples, Protocol(name="letters", questions=n))
        assert len(few) == n
        assert len({sample.label for sample in few}) == min(n, len(labels))
        assert few == [sample for sample in samples if sample in few]


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
    assert (desk.record()["starts"], desk.record()["questions"]) == (2, 4 * 2 * 3)


def test_an_engine_that_keeps_old_weights_is_found_and_each_run_gets_its_own(desk, capfd):
    expected, _ = desk.predict(out="good")
    for path in desk.answers.rglob("*.parquet"):
        path.unlink()
    desk.swaps_badly = True
    rows, calls = desk.predict()
    assert rows == expected
    assert [verb for verb, _ in calls] == ["start", "start", "load", "start", "start"]
    assert "each run gets its own" in capfd.readouterr().out


def test_the_last_run_is_compared_by_its_own_questions(desk):
    desk.question("abdomen-and-more", 3)
    desk.asked[RUNS[-1]].insert(0, sheet("abdomen-and-more"))
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

    monkeypatch.setattr(groups, "merge", merge)
    desk.adapt("full/cg/seed0", "a", "vision_tower.encoder")
    _, calls = desk.predict("full/cg/seed0")
    assert calls == [("start", "weights")]
    assert not list(desk.answers.glob("merged-*"))


def test_kept_answers_need_no_engine_and_give_the_same_bytes(desk):
    first, _ = desk.predict(out="first")
    kept = desk.kept()
    assert len(kept) == 4 * 2
    assert desk.predict(out="again") == (first, [])
    assert desk.kept() == kept
    assert [desk.record("again")[key] for key in ("starts", "questions", "seconds")] == [0, 0, 0]
    next((desk.answers / "baseline").rglob("*.parquet")).unlink()
    assert desk.predict(out="mixed") == (first, [("start", "baseline")])
    assert desk.kept() == kept


def test_the_record_names_all_answers_of_the_group_and_what_made_them(desk):
    desk.asked["baseline"].append(sheet("knee", "@grey"))
    desk.predict(out="first")
    record = desk.record("first")
    assert record["answers"] == {
        place: label_of(desk.answers / place)["digest"] for place in desk.kept()
    }
    assert len(record["answers"]) == 4 * 2 + 1
    assert {"git", "packages", "hardware", "device"} <= record.keys()
    desk.predict(out="again")
    assert desk.record("again")["answers"] == record["answers"]


def test_answers_say_whose_they_are(desk):
    run = "full/cg/seed0"
    folder = desk.root / "runs/fake" / run
    desk.runs[run].rename(desk.root / "kept")
    folder.mkdir(parents=True)
    desk.runs[run] = (desk.root / "kept").rename(folder / "weights")
    (folder / "provenance.json").write_text(json.dumps({"run": "fedcba98"}))
    desk.predict("baseline", run)
    told = {
        "place": "fake-0123abcd/full/cg/seed0/cat/knee.parquet",
        "record": "full+all",
        "trained": "fedcba98",
    }
    path = desk.answers / run / "cat/knee.parquet"
    assert told.items() <= label_of(path).items()
    assert pq.read_schema(path).equals(ANSWER_SCHEMA)
    of_backbone = label_of(desk.answers / "baseline/cat/knee.parquet")
    assert (of_backbone["record"], of_backbone["trained"]) == ("full+all", "")
    assert "backbone" in (desk.answers / ABOUT).read_text()


@pytest.mark.parametrize("place", [None, "fake-0123abcd/full-0123abcd/m-0123abcd/seed1"])
def test_a_run_that_is_not_what_its_folder_stands_for_is_not_asked(desk, place):
    run = "full-0123abcd/m-0123abcd/seed0"
    desk.asked[run] = desk.asked["baseline"]
    folder = desk.root / "runs/fake-0123abcd" / run
    desk.runs[run] = folder / "weights"
    folder.mkdir(parents=True)
    if place:
        (folder / "provenance.json").write_text(json.dumps({"run": "x", "place": place}))
    with pytest.raises(DataError, match=f"this run is {place or 'of no place'}, and the plan mea"):
        desk.predict("baseline", run)
    assert (desk.calls, desk.kept()) == ([], {})


def test_questions_that_are_not_what_their_folder_stands_for_are_not_asked(desk):
    desk.asked["baseline"].append(sheet("knee", folder="knee-0123abcd"))
    samples = [sample(i, subset="knee") for i in range(3)]
    for digest in ("fedcba98", "0123abcd"):
        path = desk.root / "data/cat/knee-0123abcd/test.parquet"
        write_samples(path, samples, digest)
        if digest == "fedcba98":
            with pytest.raises(DataError, match="of the digest fedcba98, and the plan means 0123"):
                desk.predict("baseline")
    assert len(desk.predict("baseline")[0]) == 9


def test_what_another_group_has_answered_meanwhile_is_not_asked_again(desk):
    late = desk.group("baseline")
    assert set(late.missing()) == {"baseline"}
    desk.predict("baseline")
    late.answer("baseline", late.asked["baseline"], FakeEngine(desk, desk.runs["baseline"]))
    assert late.timing.questions == 0


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
    desk.asked["full/cg/seed0"].append(sheet("brain"))
    rows, calls = desk.predict("full/cg/seed0")
    assert calls == [("start", "full-cg-seed0")]
    assert len(rows) == 3 + 3 + 4
    assert desk.record()["questions"] == 4


def test_a_further_protocol_is_the_only_one_asked(desk):
    desk.predict("baseline")
    desk.asked["baseline"].append(sheet("knee", "@grey"))
    rows, calls = desk.predict("baseline")
    assert calls == [("start", "baseline")]
    assert [row["run"] for row in rows] == ["baseline"] * 6 + ["baseline@grey"] * 3
    assert desk.record()["questions"] == 3


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
    assert desk.record()["questions"] == 4 * 4


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
    one, other = sorted(desk.answers.rglob("*.parquet"))
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


@pytest.mark.parametrize(("gpu", "status"), [(0, -9), (1, 1)])
def test_an_engine_in_another_process_that_dies_is_named(desk, monkeypatch, gpu, status):
    monkeypatch.undo()
    monkeypatch.setattr(start, "started", False)
    monkeypatch.setattr(groups, "start", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    monkeypatch.setattr(own_process.sys, "executable", "/bin/false")
    desk.backbone = backbone(
        desk.runs["baseline"], engine="transformers", resources={"gpu": gpu, "mem_mb": 1}
    )
    with pytest.raises(ResourceError, match=rf"of run baseline ended \(exit status {status}\)"):
        own_process.in_other_process(desk.group("baseline"), "baseline")


@pytest.mark.parametrize("fails", [False, True])
def test_a_fork_answers_and_says_what_was_wrong(desk, monkeypatch, fails):
    def start_engine(weights, *_):
        if fails:
            raise DataError(f"{weights}: damaged")
        return FakeEngine(desk, weights)

    monkeypatch.undo()
    monkeypatch.setattr(start, "started", False)
    monkeypatch.setattr(groups, "start", start_engine)
    desk.backbone = backbone(desk.runs["baseline"], engine="transformers")
    group = desk.group("baseline")
    if fails:
        with pytest.raises(DataError, match="baseline: damaged"):
            own_process.in_other_process(group, "baseline")
        assert not desk.kept()
        return
    probe = own_process.in_other_process(group, "baseline")
    assert len(probe) == 3
    assert group.timing.questions == 6
    assert not group.missing()
    assert not desk.calls, "the engine was started in this process"


class Speaker:
    """Says the same to everything, and counts what it is asked at once."""

    def __init__(self):
        self.made_with = {"max_num_seqs": 7}
        self.tokens = dict(zip(OPTION_LETTERS, range(50, 76), strict=True))
        self.asked = []

    def ask(self, asks, _adapter):
        self.asked.append(len(asks))
        return [Reply((-1.0, -2.0), 50, "A") for _ in asks]


@pytest.mark.parametrize(("most", "calls"), [(2000, [6, 3, 3]), (5, [3, 3, 3, 3])])
def test_what_is_answered_in_text_is_asked_at_once_and_kept_apart(desk, monkeypatch, most, calls):
    monkeypatch.setattr(groups, "_TOGETHER", most)
    ways = {**PROTOCOLS, "free": Protocol(name="free", scoring="generate")}
    desk.asked["baseline"] = [sheet(*s) for s in (("knee", "@free"), ("lung", "@free"))]
    desk.asked["baseline"] += [sheet("knee"), sheet("lung")]
    asked = read_asked({"baseline": desk.asked["baseline"]}, ways, desk.root / "data")
    group = Group(
        {"baseline": desk.runs["baseline"]}, asked, desk.backbone, {}, Store(desk.answers)
    )
    engine = Speaker()
    group.answer("baseline", asked["baseline"], engine)
    assert engine.asked == calls
    assert not group.missing()
    for each in asked["baseline"]:
        rows = pq.read_table(group.store.path("baseline", each)).to_pylist()
        assert len(rows) == 3
        assert {row["run"] for row in rows} == {f"baseline{each.tag}"}
    group.answer("baseline", asked["baseline"], engine)
    assert engine.asked == calls, "what is kept is not asked again"
