"""Tables, figures and report from the answers that there are, and what is said of the others.

From `compare` to the page, without Snakemake; what Snakemake does not make then: `test_partial.py`.
"""

import json
from pathlib import Path

import pytest

from matcg.analysis.paper_cells import Paper
from matcg.config.published import Printed
from matcg.errors import DataError
from matcg.report.figures import all as figures
from matcg.report.tables.declared import ACCURACY, COMPARISON, MISSING, SUMMARY
from synthetic import EXPERIMENT, PLAN, World, catalog, files_of, make, rows, tabulate, write_page

ONE, OTHER = "ct-brain-state", "mri-lung-side"
WORLD = World(targets=(ONE, OTHER), rules=("fixed-task",), questions=20)


def run(results: Path, printed: tuple[Printed, ...] = ()) -> dict:
    """Compare what there is, draw and report; return headline.json."""
    out = tabulate(results, show_missing=True, paper=Paper(printed))
    figures.draw_figures(out / "tables", results / PLAN, out / "figures", "demo", catalog())
    write_page(results)
    return headline(out)


def headline(folder: Path) -> dict:
    return json.loads((folder / "headline.json").read_text())


def lose(results: Path, target: str, arm: str = "") -> None:
    """Remove a target's answers, or those of one arm."""
    for name, path in files_of(results, target).items():
        if arm in name:
            path.unlink()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    make(tmp_path, WORLD)
    return tmp_path


def test_by_default_missing_answers_are_an_error(results: Path) -> None:
    lose(results, ONE)
    with pytest.raises(DataError, match="5 planned evaluations have no answers"):
        tabulate(results)


def test_where_nothing_is_missing_tables_are_the_same(results: Path) -> None:
    refused = headline(tabulate(results))
    table = results / EXPERIMENT / "tables/comparison.csv"
    before = table.read_bytes()
    shown = run(results)
    assert table.read_bytes() == before
    assert shown == {**refused, "missing": 0, "planned": 10}
    assert rows(results / EXPERIMENT, MISSING) == []


def test_evaluations_without_answers_are_listed_and_counted(results: Path) -> None:
    lose(results, ONE)
    found = run(results)
    assert (found["missing"], found["planned"]) == (5, 10)
    assert found["headline"].endswith("1 target; 5 of 10 evaluations are missing")
    listed = rows(results / EXPERIMENT, MISSING)
    assert {(row["target"], row["reason"]) for row in listed} == {(ONE, "no answers yet")}
    assert [row["arm"] for row in listed] == list(WORLD.accuracy)
    for table in (ACCURACY, COMPARISON):
        assert {row["target"] for row in rows(results / EXPERIMENT, table)} == {OTHER}
    page = (results / "report.html").read_text()
    assert "5 of 10 evaluations are missing" in page
    assert "<summary>Missing (5)</summary>" in page


def test_a_combination_without_its_control_is_compared_with_nothing(results: Path) -> None:
    lose(results, ONE, "control")
    found = run(results)
    assert found["headline"].endswith("(1 more without control); 1 of 10 evaluations is missing")
    (listed,) = rows(results / EXPERIMENT, MISSING)
    assert (listed["arm"], listed["target"]) == ("control", ONE)
    assert listed["reason"] == "no answers yet: other runs only were asked"
    (row,) = (row for row in rows(results / EXPERIMENT, COMPARISON) if row["target"] == ONE)
    assert (row["verdict"], row["control"], row["difference"]) == ("no control", None, None)
    assert row["cg"] is not None
    assert {row["reference"] for row in rows(results / EXPERIMENT, SUMMARY)} == {"", "control"}


def test_without_any_control_the_baseline_does_not_take_its_place(results: Path) -> None:
    for target in WORLD.targets:
        lose(results, target, "control")
    assert "no control to compare with; 2 of 10" in run(results)["headline"]
    assert {row["verdict"] for row in rows(results / EXPERIMENT, COMPARISON)} == {"no control"}


def test_without_any_answer_everything_is_missing(results: Path) -> None:
    for target in WORLD.targets:
        lose(results, target)
    printed = (Printed("", ONE, "fixed-task", "cg", "", 50.0),)
    found = run(results, printed=printed)
    assert found["headline"] == ("nothing has been answered yet; 10 of 10 evaluations are missing")
    assert found["published"]["figures"] == 0
    assert "no answers yet" in (results / EXPERIMENT / "tables/paper.md").read_text()


def test_curves_of_runs_that_are_gone_are_left_out(results: Path) -> None:
    for path in (results / "runs").rglob("metrics.jsonl"):
        path.unlink()
    run(results)
    assert (results / EXPERIMENT / "figures/loss.svg").exists()
