"""A design by coverage from answers to table, headline and figures."""

import json
from itertools import chain, combinations
from pathlib import Path

import matplotlib as mpl
import pytest

from matcg.report.figures import all as figures
from matcg.report.figures.covered import coverage_figure
from matcg.report.figures.style import STYLE
from matcg.report.tables.declared import COVERAGE
from matcg.report.tables.table import read_rows
from synthetic import PLAN, World, catalog, make, tabulate, write_page

ELEMENTS = ("modality", "area", "task")
COVERS = {
    "+".join(covered) or "control": covered
    for covered in chain.from_iterable(combinations(ELEMENTS, n) for n in range(4))
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder where the task gives 30 points, and the modality 20 beside it."""
    found = tmp_path_factory.mktemp("covered")
    accuracy = {
        arm: 0.3 + 0.3 * ("task" in covered) + 0.2 * ({"task", "modality"} <= {*covered})
        for arm, covered in COVERS.items()
    }
    make(found, World(questions=100, accuracy=accuracy))
    tabulate(found, covers=COVERS)
    return found


def test_table_and_headline_say_who_gave_what(results: Path) -> None:
    folder = results / "experiments/demo"
    rows = {row.covered: row for row in read_rows(folder / "tables", COVERAGE)}
    assert [*rows][:4] == ["nothing", *ELEMENTS]
    values = {name: row.shapley.value for name, row in rows.items() if row.shapley}
    assert values == pytest.approx({"task": 0.4, "modality": 0.1, "area": 0.0}, abs=0.06)
    text = json.loads((folder / "headline.json").read_text())["headline"]
    assert text.startswith("covered nothing ")
    shares = text.partition("; of it ")[2]
    assert shares.index("task") < shares.index("modality") < shares.index("area")


def test_figures_are_those_of_coverage(results: Path) -> None:
    tables, out = results / "experiments/demo/tables", results / "experiments/demo/figures"
    figures.draw_figures(tables, results / PLAN, out, "demo", catalog())
    drawn = {path.stem for path in out.iterdir() if not path.stem.startswith("grid")}
    assert drawn == {"coverage", "letters", "calibration", "loss"}
    page = write_page(results).read_text(encoding="utf-8")
    assert "<h3>Every set of elements</h3>" in page
    assert 'alt="demo: coverage"' in page


def test_the_figure_shows_every_set_and_the_steps_between(results: Path) -> None:
    rows = read_rows(results / "experiments/demo/tables", COVERAGE)
    with mpl.rc_context(STYLE):
        figure = coverage_figure(rows)
    assert figure is not None
    matrix, means, steps = figure.axes
    filled = sum(line.get_markerfacecolor() != "white" for line in matrix.lines)
    assert (len(matrix.lines), filled) == (24, 12)
    assert [text.get_text() for text in means.texts] == [
        f"{100 * row.mean.value:.1f}" for row in rows
    ]
    widths = [bar.get_width() for bar in steps.patches]
    assert sum(widths[:-1]) == pytest.approx(widths[-1], abs=1e-3)
    names = [label.get_text() for label in steps.get_yticklabels()]
    assert names == ["none", "task", "modality", "area", "all"]


def test_no_set_no_figure() -> None:
    assert coverage_figure([]) is None
