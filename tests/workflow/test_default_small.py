"""The real workflow end to end: real fine-tuning, real vLLM, two targets, 64 samples a run."""

import csv
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from repository import SMALL, fresh_copy, tables
from workspace import Workspace, real

from matcg.images import decode, pixel_digest

pytest.importorskip("vllm")

SAMPLES = 64

pytestmark = pytest.mark.slow("whole runs of the real workflow")


@pytest.fixture(scope="module")
def ran(small_run: Path) -> Path:
    """Return the folder in which everything has run, which the tests leave as it is."""
    said = (small_run.parent / "said.txt").read_text()
    assert "CG " in said
    assert "Report: results/report.html" in said
    return small_run


def read_plan(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "results" / "plan" / f"{name}.tsv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def trained(folder: Path) -> list[dict[str, str]]:
    """Return the planned rows that have a training set."""
    rows = [row for row in read_plan(folder, "experiments") if row["mix"]]
    assert {row["arm"] for row in rows} == {"cg", "control"}
    return rows


def read_mix(folder: Path, mix: str) -> dict[str, list[object]]:
    (path,) = {row["path"] for row in read_plan(folder, "mixes") if row["mix"] == mix}
    columns: dict[str, list[object]] = pq.read_table(folder / path).to_pydict()
    return columns


def samples(folder: Path, catalog: object, subset: object) -> Path:
    """Return the folder of a subset's samples."""
    rows = read_plan(folder, "subsets")
    (path,) = {r["path"] for r in rows if (r["catalog"], r["subset"]) == (catalog, subset)}
    return folder / path


def test_tables_figures_and_report_are_made(ran: Path) -> None:
    suffixes = {Path(name).suffix for name in tables(ran)}
    assert suffixes >= {".csv", ".md", ".tex", ".json"}
    assert all(tables(ran).values())
    assert list((ran / "results/experiments/small/figures").glob("*.svg"))
    assert (ran / "results/report.html").stat().st_size > 10_000


def test_both_arms_train_on_equally_many_samples(ran: Path) -> None:
    for row in trained(ran):
        assert int(row["n_train"]) == SAMPLES
        assert len(read_mix(ran, row["mix"])["sample_id"]) == SAMPLES


def test_no_target_is_in_a_mix_that_it_is_tested_on(ran: Path) -> None:
    for row in trained(ran):
        assert row["target"] not in read_mix(ran, row["mix"])["subset"], row["mix"]


def pixels(path: Path, names: set[object]) -> set[str]:
    """Return the digests of the pictures of the samples with these ids; of all, without any."""
    rows = pq.read_table(path, columns=["sample_id", "image"]).to_pylist()
    chosen = [row for row in rows if not names or row["sample_id"] in names]
    return {pixel_digest(decode(row["image"], row["sample_id"])) for row in chosen}


def test_no_test_image_is_in_a_mix(ran: Path) -> None:
    for row in trained(ran):
        test = pixels(samples(ran, row["catalog"], row["target"]) / "test.parquet", set())
        mix = read_mix(ran, row["mix"])
        for subset in set(mix["subset"]):
            path = samples(ran, row["catalog"], subset) / "train.parquet"
            used = pixels(path, set(mix["sample_id"]))
            assert used
            assert not used & test


def test_every_planned_run_answers_every_question_of_its_target(ran: Path) -> None:
    rows = read_plan(ran, "evaluations")
    assert {row["run"] for row in rows} >= {row["asked"] for row in read_plan(ran, "experiments")}
    for row in rows:
        asked = pq.read_table(samples(ran, row["catalog"], row["target"]) / "test.parquet")
        answers = pq.read_table(ran / row["path"])
        mine = answers.column("sample_id").to_pylist()
        assert sorted(mine) == sorted(asked.column("sample_id").to_pylist())


def test_probabilities_are_those_of_a_choice(ran: Path) -> None:
    for path in {row["path"] for row in read_plan(ran, "evaluations")}:
        for row in pq.read_table(ran / path).to_pylist():
            shares = row["probabilities"]
            assert len(shares) == row["n_options"]
            assert sum(shares) == pytest.approx(1, abs=1e-4)
            assert shares[row["predicted"]] == max(shares)
            assert row["correct"] == (row["predicted"] == row["answer"])


def test_a_second_call_has_nothing_to_do(copy_of_small_run: Path) -> None:
    done = real(copy_of_small_run, *SMALL, "--logger", "matcg")
    assert done.returncode == 0, done.stdout
    assert "Nothing to be done" in done.stdout


def test_another_folder_gives_the_same_tables(ran: Path, tmp_path: Path) -> None:
    """Trained and asked once more, and not in a process of its own for each script."""
    again = fresh_copy(tmp_path)
    done = real(again, *SMALL)
    assert done.returncode == 0, done.stdout
    assert tables(again) == tables(ran) != {}


def test_every_size_and_arm_goes_through_every_step(copy_of_small_run: Path) -> None:
    """Repeated samples, the target's own, shuffled labels, and an arm of a size of its own."""
    ran = copy_of_small_run
    Workspace(ran).without_vllm()
    config = ("--configfile", "tests/configs/sizes.yaml")
    done = real(ran, *config)
    assert done.returncode == 0, done.stdout
    rows = [row for row in read_plan(ran, "experiments") if row["mix"]]
    assert len(rows) == 7
    for row in rows:
        mix = read_mix(ran, row["mix"])
        assert len(mix["sample_id"]) == int(row["n_train"])
        own = mix["subset"].count(row["target"])
        assert own == (48 if row["arm"] == "single" else int(row["mixed_in"]))
        if row["arm"] == "cg":
            of_source = [s for s in mix["sample_id"] if str(s).startswith("mri-brain-side")]
            assert (len(of_source), len(set(of_source))) == (80, 64)
    with (ran / "results/experiments/sizes/tables/summary.csv").open(newline="") as stream:
        summary = list(csv.DictReader(stream))
    settings = {(row["n_train"], row["mixed_in"]) for row in summary if row["arm"] == "cg"}
    assert settings == {("80", "0"), ("96", "16")}
    assert any(row["arm"] == "single" and row["n_train"] == "48" for row in summary)
    assert list((ran / "results/experiments/sizes/figures").glob("grid-ct-brain-side.svg"))
