"""A group of real runs, whole, adapters and merged, in as few engines as it takes, and killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_makers import folder as write_folder
from data_makers import write_mix
from matcg.config.backbone import Backbone, Recipe
from matcg.config.library import load
from matcg.config.protocol import Protocol
from matcg.config.workflow import Engine
from matcg.errors import DataError
from matcg.evaluate.kept_answers import Store
from matcg.evaluate.predict import Group, predict
from matcg.evaluate.question_sets import read_asked
from matcg.phantom.world import generate
from matcg.samples import Sample, read_samples, write_samples
from matcg.train.finetune import finetune

pytestmark = pytest.mark.slow("six fine-tunings, and engines that start in processes of their own")

ROOT = Path(__file__).parents[2]
TARGETS = ("ct-brain-state", "us-knee-diseases")
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(name="letters"),
        Protocol(name="cyclic", permutations=4),
        Protocol(name="shown", shots=1, draws=2),
    )
}
LORA = {"method": "lora", "rank": 4, "learning_rate": 1e-2, "epochs": 2, "batch_size": 8}
RECIPES = {
    "full/a/seed0": {"learning_rate": 1e-3, "epochs": 2, "batch_size": 8},
    "full/b/seed0": {"learning_rate": 2e-3, "epochs": 2, "batch_size": 8},
    "full/c/seed0": {"learning_rate": 3e-3, "epochs": 2, "batch_size": 8},
    "lora/a/seed0": {**LORA, "trains": ["llm"]},
    "lora/b/seed0": {**LORA, "trains": ["llm"], "learning_rate": 2e-2},
    "lora/tower/seed0": {**LORA, "trains": ["tower", "llm"]},
}
TINY: Backbone = load("backbone", ROOT / "backbones/tiny-llava.yaml")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with questions, training samples and weights of all runs."""
    place = tmp_path_factory.mktemp("group")
    catalog = load("catalog", ROOT / "catalogs/phantom.yaml")
    for target in TARGETS:
        for split, n in (("test", 24), ("train", 24)):
            samples = generate(catalog.subset(target), {"seed": 0}, split, n)  # type: ignore[arg-type]
            write_samples(place / "data/phantom" / target / f"{split}.parquet", samples)
    trained = [
        sample
        for t in TARGETS
        for sample in read_samples(place / f"data/phantom/{t}/train.parquet")
    ]
    for target in TARGETS:
        own = [sample for sample in trained if sample.subset == target]
        write_folder(place / "mixed", target, own)
    mix = write_mix(place / "mix.parquet", trained)
    for run, settings in RECIPES.items():
        out = place / "runs" / run
        out.mkdir(parents=True)
        finetune(mix, place / "mixed", TINY, Recipe.model_validate(settings), 0, out, threads=1)
    return place


def group(place: Path, store: Path, runs: Mapping[str, tuple[str, ...]], **changes: str) -> Group:
    """Return a group of these runs, asked by these ends of names about both targets."""
    asked = {
        run: [
            ("phantom", target, target, tag, f"phantom/{target}{tag}.parquet")
            for target in TARGETS
            for tag in tags
        ]
        for run, tags in runs.items()
    }
    weights = {run: place / "runs" / run / "weights" for run in runs if run != "baseline"}
    return Group(
        {run: weights.get(run, Path(TINY.weights)) for run in runs},
        read_asked(asked, PROTOCOLS, place / "data"),
        TINY.model_copy(update=changes),
        Engine().model_dump(exclude={"runs"}),
        Store(store / "answers"),
    )


def answers(group: Group, out: Path) -> dict[tuple[str, str], dict[str, list[float]]]:
    """Predict; return the probabilities of each run and target, by question."""
    predict(group, out / "out.json")
    return {
        (run + sheet.tag, sheet.target): {
            row["sample_id"]: row["probabilities"]
            for row in pq.read_table(group.store.path(run, sheet)).to_pylist()
        }
        for run in group.runs
        for sheet in group.asked[run]
    }


def starts(out: Path) -> int:
    return int(json.loads((out / "out.json").read_text())["starts"])


def test_runs_of_every_kind_answer_as_in_the_other_engine(place: Path, tmp_path: Path) -> None:
    everything = ("", "@cyclic", "@shown.0", "@shown.1")
    full = {run: everything for run in ("baseline", *RECIPES) if "lora" not in run}
    lora = {run: ("", "@shown.1") for run in ("baseline", *RECIPES) if "full" not in run}
    for name, runs, engines in (("full", full, 2), ("lora", lora, 2)):
        mine = answers(group(place, tmp_path / name, runs), tmp_path / name)
        other = group(place, tmp_path / f"{name}-2", runs, engine="transformers")
        theirs = answers(other, tmp_path / f"{name}-2")
        assert mine.keys() == theirs.keys()
        for key, questions in mine.items():
            assert len(questions) == 24
            for sample, probabilities in questions.items():
                assert np.abs(np.subtract(probabilities, theirs[key][sample])).max() < 1e-3
        # Whole weights: one engine for all but the last, which shows that they can be swapped.
        # Adapters: one for those of the language model, one for the merged.
        assert starts(tmp_path / name) == engines
        letters = [np.array(list(mine[run, TARGETS[0]].values()), dtype=object) for run in runs]
        assert len({str(each) for each in letters}) == len(runs)


KILLED = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from test_group import group
from matcg.evaluate.predict import predict
out = Path({out!r})
predict(group(Path({place!r}), out, {runs!r}), out / "out.json")
"""


def test_a_job_that_is_killed_goes_on_where_it_was(place: Path, tmp_path: Path) -> None:
    runs = {run: ("", "@cyclic") for run in RECIPES if run.startswith("full")}
    paths = [str(ROOT / "workflow"), str(ROOT / "tests/unit"), str(Path(__file__).parent)]
    script = KILLED.format(paths=paths, out=str(tmp_path), place=str(place), runs=runs)
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    end = time.monotonic() + 300
    while len(kept(tmp_path)) < 2 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = kept(tmp_path)
    assert 2 <= len(before) < 12, "killed in the middle"
    found = answers(group(place, tmp_path, runs), tmp_path)
    assert len(found) == 12
    assert {path: kept(tmp_path)[path] for path in before} == before
    alone = answers(group(place, tmp_path / "alone", {"full/b/seed0": ("",)}), tmp_path / "alone")
    for key, questions in alone.items():
        assert questions == found[key]


def kept(out: Path) -> dict[Path, int]:
    """Return when each file of answers was written."""
    return {path: path.stat().st_mtime_ns for path in out.rglob("answers/**/*.parquet")}


def test_a_damaged_picture_is_named_and_finished_answers_stay(place: Path, tmp_path: Path) -> None:
    runs = {"full/a/seed0": ("",)}
    answers(group(place, tmp_path, runs), tmp_path)
    before = kept(tmp_path)
    copy = tmp_path / "copy"
    samples = read_samples(place / f"data/phantom/{TARGETS[0]}/test.parquet")
    broken = [*samples[:5], damaged(samples[5]), *samples[6:]]
    for target in TARGETS:
        source = read_samples(place / f"data/phantom/{target}/test.parquet")
        chosen = broken if target == TARGETS[0] else source
        write_samples(copy / f"data/phantom/{target}/test.parquet", chosen)
    (copy / "runs").symlink_to(place / "runs")
    with pytest.raises(DataError, match=f"{TARGETS[0]}, sample {samples[5].sample_id}"):
        answers(group(copy, tmp_path, runs), tmp_path)
    assert {path: kept(tmp_path)[path] for path in before} == before


def damaged(sample: Sample) -> Sample:
    """Return a sample whose picture ends in the middle."""
    return replace(sample, image=sample.image[: len(sample.image) // 2])
