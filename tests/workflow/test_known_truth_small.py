"""Verdicts where the truth is known, through the whole workflow: train, ask, compare, report."""

import csv
import json
from pathlib import Path

import pytest
from repository import fresh_copy
from workspace import real

pytestmark = pytest.mark.slow(
    "one whole run: 30 trainings by a command, each some seconds of start"
)

FOLDER = "results/experiments/known-truth-small"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the experiment has run."""
    folder = fresh_copy(tmp_path_factory.mktemp("known"))
    catalog = folder / "catalogs/known-truth-composed.yaml"
    # As much as is trained on: to draw the rest would take longer than all else.
    catalog.write_text(catalog.read_text().replace("train: 240", "train: 12"))
    done = real(folder, "known_truth_small")
    assert done.returncode == 0, done.stdout
    return folder


def means(ran: Path) -> dict[str, dict[str, str]]:
    with (ran / FOLDER / "tables/summary.csv").open(encoding="utf-8", newline="") as stream:
        return {row["arm"]: row for row in csv.DictReader(stream) if not row["rule"]}


def test_each_arm_is_right_as_often_as_v_says(ran: Path) -> None:
    found = {arm: float(row["accuracy"]) for arm, row in means(ran).items()}
    chance = (1 / 2 + 1 / 3 + 1 / 4) / 3
    expected = {
        "cg": 1.0,
        "control": chance,
        "without-task": chance,
        "without-modality": 0.75,
        "without-area": 0.75,
    }
    assert found == pytest.approx(expected, abs=0.06)  # over four standard errors of 864 answers


def test_a_target_and_its_mirror_count_as_one(ran: Path) -> None:
    for row in means(ran).values():
        assert (row["targets"], row["questions"]) == ("3", "864")


def test_the_headline_says_both_gains(ran: Path) -> None:
    found = json.loads((ran / FOLDER / "headline.json").read_text())
    assert "composition gain" in found["headline"]
    assert "3 targets" in found["headline"]
    assert (ran / "results/report.html").stat().st_size > 100_000
