"""What the default experiment is meant to show, checked on the results of `make demo`.

Not among the tests of `make test`, which need no results: `make demo && make promise`.
"""

import json
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(__file__).parents[2] / "results"
POINTS = 0.01


@pytest.fixture(scope="module")
def arms() -> dict[str, dict[str, Any]]:
    """Return the summary of each arm; a missing file says that `make demo` has not been run."""
    record = json.loads((RESULTS / "experiments/phantom/headline.json").read_text())
    (result,) = record["results"]
    return result["arms"]


def test_cg_beats_its_control_clearly(arms: dict[str, dict[str, Any]]) -> None:
    assert arms["cg"]["minus_reference"] >= 20 * POINTS
    assert arms["cg"]["minus_reference_low"] > 0


@pytest.mark.parametrize("arm", ["baseline", "floor"])
def test_what_cannot_know_is_at_chance(arms: dict[str, dict[str, Any]], arm: str) -> None:
    assert abs(arms[arm]["accuracy"] - arms[arm]["chance"]) <= 5 * POINTS


def test_the_targets_own_data_helps_at_least_as_much(arms: dict[str, dict[str, Any]]) -> None:
    assert arms["ceiling"]["accuracy"] >= arms["cg"]["accuracy"]


def test_the_report_says_so() -> None:
    page = (RESULTS / "report.html").read_text(encoding="utf-8")
    record = json.loads((RESULTS / "experiments/phantom/headline.json").read_text())
    assert record["headline"] in page
