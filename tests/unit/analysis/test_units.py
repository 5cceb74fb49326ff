"""Targets of several blocks are one target, with the questions of all of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from matcg.analysis.clusters import Origins
from matcg.analysis.pairs import Study
from matcg.analysis.paper_cells import Paper
from matcg.analysis.units import united, units_of
from matcg.errors import DataError
from matcg.report.tables.compare import Wanted, compare
from synthetic import EXPERIMENT, PLAN, World, catalog, make, study_of

PAIR = ("ct-brain-state", "mri-lung-side")
LONE = "xray-knee-level"
UNITS = {PAIR[0]: PAIR[0], PAIR[1]: PAIR[0], LONE: LONE}
WORLD = World(combinations=2, questions=20)


def test_a_unit_is_of_equal_elements_and_only_of_blocks() -> None:
    def subset(area: str, **block: str) -> dict[str, object]:
        return {"kind": "classification", "elements": {"area": [area], "task": ["side"]}, **block}

    subsets = {
        "m-brain": subset("brain", block="m"),
        "a-brain": subset("brain", block="a"),
        "a-knee": subset("knee", block="a"),
        "brain": subset("brain"),
    }
    found = units_of({"elements": ["area", "task"], "subsets": subsets})
    assert found == {"m-brain": "m-brain", "a-brain": "m-brain", "a-knee": "a-knee"}
    assert units_of(None) == {}


def test_the_runs_of_a_unit_are_taken_together(tmp_path: Path) -> None:
    make(tmp_path, WORLD)
    study = study_of(tmp_path)
    whole = united(study, UNITS)
    assert {row.target for row in whole.rows} == {PAIR[0], LONE}
    assert len(whole.rows) * 3 == len(study.rows) * 2
    for row in whole.rows:
        alike = [
            other
            for other in study.rows
            if (other.arm, other.rule) == (row.arm, row.rule)
            and other.combination.replace(other.target, "")
            == row.combination.replace(row.target, "")
        ]
        names = PAIR if row.target == PAIR[0] else (LONE,)
        scores = [study.score(other) for name in names for other in alike if other.target == name]
        np.testing.assert_array_equal(whole.score(row), np.concatenate(scores))
    assert united(study, {}) is study


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    make(tmp_path, WORLD)
    study = study_of(tmp_path)
    turned = united(Study(study.rows[::-1], study.answers), UNITS)
    for key, answers in united(study, UNITS).answers.items():
        np.testing.assert_array_equal(answers.score, turned.answers[key].score)


def test_clusters_of_two_targets_are_apart(tmp_path: Path) -> None:
    make(tmp_path, WORLD)
    study, names = study_of(tmp_path), np.array(["d"] * 20)
    origins = {
        ("cat", PAIR[0]): Origins(np.arange(20) // 2, names),
        ("cat", PAIR[1]): Origins(None, names),
    }
    whole = united(Study(study.rows, study.answers, origins), UNITS)
    clusters = whole.clusters(("cat", PAIR[0]))
    assert clusters is not None
    assert clusters.tolist() == [n // 2 for n in range(20)] + [10 + n for n in range(20)]


def test_an_arm_that_lacks_a_target_of_a_unit_is_an_error(tmp_path: Path) -> None:
    make(tmp_path, WORLD)
    study = study_of(tmp_path)
    rows = [row for row in study.rows if (row.arm, row.target) != ("control", PAIR[1])]
    with pytest.raises(DataError, match=r"arm 'control' has 1 runs on ct-brain-state and 0 on mri"):
        united(Study(rows, study.answers), UNITS)


def test_answers_that_are_missing_are_missing_for_the_unit(tmp_path: Path) -> None:
    make(tmp_path, WORLD)
    study = study_of(tmp_path)
    gone = next(row for row in study.rows if (row.arm, row.target) == ("floor", PAIR[1]))
    rows = [row for row in study.rows if row != gone]
    answers = {key: each for key, each in study.answers.items() if key != gone.key}
    whole = united(Study(rows, answers, planned=study.rows), UNITS)
    assert {row.target for row in whole.rows if row.arm == "floor"} == {LONE}
    assert {row.target for row in whole.planned if row.arm == "floor"} == {PAIR[0], LONE}


def test_the_headline_counts_units(tmp_path: Path) -> None:
    make(tmp_path, WORLD)
    found = catalog()
    subsets = found["subsets"]
    for name in PAIR:
        subsets[name] |= {"block": name, "elements": subsets[PAIR[0]]["elements"]}
    wanted = replace(Wanted("demo"), paper=Paper(catalog=found))
    compare(tmp_path / PLAN, wanted, tmp_path / EXPERIMENT)
    headline = json.loads((tmp_path / EXPERIMENT / "headline.json").read_text())
    assert "2 targets" in headline["headline"]
