"""What the default experiment is meant to show, checked on the results of `make demo`.

Not among the tests of `make test`, which need no results: `make demo && make promise`.
"""

import csv
import json
import statistics
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(__file__).parents[2] / "results"
TABLES = RESULTS / "experiments/phantom/tables"
POINTS = 0.01
LETTERS, BOXES = "accuracy", "mean IoU"


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    """Return what the run found; a missing file says that `make demo` has not been run."""
    found: dict[str, Any] = json.loads(
        (RESULTS / "experiments/phantom/headline.json").read_text(encoding="utf-8")
    )
    return found


@pytest.fixture(scope="module")
def results(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what was found, by score."""
    return {result.get("score", LETTERS): result for result in record["results"]}


@pytest.mark.parametrize(("score", "least"), [(LETTERS, 20), (BOXES, 5)])
def test_cg_beats_unrelated_data_clearly(
    results: dict[str, dict[str, Any]], score: str, least: int
) -> None:
    cg = results[score]["arms"]["cg"]
    assert cg["minus_reference"] >= least * POINTS
    assert cg["minus_reference_low"] > 0


def test_the_modality_was_needed_and_the_area_was_not(results: dict[str, dict[str, Any]]) -> None:
    """In this world what a question asks looks alike in all areas, so nothing is composed."""
    gains = results[LETTERS]["composition"]
    assert gains["without_modality_low"] > 0
    assert abs(gains["without_area"]) <= 5 * POINTS
    assert gains["verdict"] == "related only"


# A model that knows nothing and names one label in most pictures is this far from chance.
@pytest.mark.parametrize(("arm", "most"), [("baseline", 6), ("control", 5), ("floor", 8)])
def test_what_cannot_know_is_at_chance(
    results: dict[str, dict[str, Any]], arm: str, most: int
) -> None:
    found = results[LETTERS]["arms"][arm]
    assert abs(found["accuracy"] - found["chance"]) <= most * POINTS


def test_the_targets_own_data_helps_as_much_on_the_same_targets() -> None:
    with (TABLES / "targets.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if not row["rule"]]
    found = {(row["arm"], row["target"]): float(row["accuracy"]) for row in rows}
    tried = [target for arm, target in found if arm == "ceiling"]
    assert len(tried) == 4
    ceiling, cg = (statistics.fmean(found[arm, t] for t in tried) for arm in ("ceiling", "cg"))
    assert ceiling >= cg - 5 * POINTS


def test_the_report_says_so(record: dict[str, Any]) -> None:
    page = (RESULTS / "report.html").read_text(encoding="utf-8")
    assert all(result["sentence"] in page for result in record["results"])
