"""Figures of an experiment, as SVG for print and PNG for slides, drawn from its tables and plan."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import matplotlib as mpl
from matplotlib.figure import Figure

from matcg.analysis.elements import CatalogElements
from matcg.analysis.no_verdict import NO_VERDICT
from matcg.config.project import SMOKE
from matcg.forms import ACCURACY
from matcg.plan.records import read_runs
from matcg.report.figures import grid, shared
from matcg.report.figures.arms import arms_figure
from matcg.report.figures.bars import scaling_figure
from matcg.report.figures.composition import composition_figure
from matcg.report.figures.covered import coverage_figure
from matcg.report.figures.curves import mixed_figure, sizes_figure
from matcg.report.figures.differences import difference_figure
from matcg.report.figures.heatmap import Elements, heatmap_figure
from matcg.report.figures.letters import calibration_figure, letters_figure
from matcg.report.figures.losses import loss_figure, read_losses
from matcg.report.figures.protocols import protocol_figure
from matcg.report.figures.style import STYLE, save_figure
from matcg.report.tables import declared
from matcg.report.tables.composition import composition_in
from matcg.report.tables.table import Table, read_rows

# In the order in which a page shows them; some are drawn for some experiments only.
NAMES = (
    *("protocols", "composition", "coverage", "difference", "arms", "scaling", "sizes", "mixed"),
    "heatmap",
    *("letters", "calibration", "loss"),
)
_T = TypeVar("_T")


def draw_figures(
    tables: Path, plan: Path, out: Path, experiment: str, catalog: CatalogElements
) -> None:
    """Write the figures of `NAMES`, and the grids of the targets, to `out` as .svg and .png.

    Scores other than accuracy have figures of their own, `difference-mean-iou` say. `scaling`,
    `sizes`, `mixed`, `protocols`, `composition` and `coverage` are drawn where an experiment has
    several rules with one combination each, sizes, shares of the target's data, ways to ask,
    knock-outs, or arms by what they cover. Those of a smoke run say so. `tables` is the folder that
    `compare` wrote, `plan` that of the experiment's plan.

    Raises:
        DataError: a run of the tables has no metrics.jsonl, or one without losses; or the plan
            lacks the experiment.
    """
    out.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, figure in _figures(tables, read_runs(plan), _elements(catalog)).items():
            if figure is not None:
                if experiment.endswith(SMOKE):
                    shared.add_mark(figure, "smoke run")
                save_figure(figure, out, name)
        grid.draw_grids(grid.read_grids(plan, experiment), catalog, out)


def _figures(
    tables: Path, runs: Mapping[tuple[str, str], Path], elements: Elements
) -> dict[str, Figure | None]:
    """Return the figures by name, None where an experiment gives no reason for one."""

    def made(table: Table[_T] | None) -> bool:
        return table is not None and (tables / f"{table.stem}.csv").exists()

    def rows(table: Table[_T] | None) -> list[_T]:
        return read_rows(tables, table) if table and made(table) else []

    accuracy = read_rows(tables, declared.ACCURACY)
    composed = composition_in(tables)
    found: dict[str, Figure | None] = {}
    for score in dict.fromkeys(row.score for row in accuracy) or [ACCURACY]:

        def of(table: Table[_T], score: str = score) -> list[_T]:
            return [row for row in rows(table) if getattr(row, "score", score) == score]

        targets, summary = of(declared.TARGETS), of(declared.SUMMARY)
        comparison = [row for row in of(declared.COMPARISON) if row.verdict != NO_VERDICT]
        covered = of(declared.COVERAGE)
        drawn = {
            "protocols": protocol_figure(of(declared.PROTOCOLS)),
            "composition": composition_figure(of(composed)) if composed else None,
            "coverage": coverage_figure(covered),
            "difference": difference_figure(comparison, summary),
            "arms": arms_figure([row for row in accuracy if row.score == score]),
            "scaling": scaling_figure(targets, rows(declared.published_in(tables))),
            "sizes": sizes_figure(targets, summary),
            "mixed": mixed_figure(targets, summary),
            "heatmap": heatmap_figure(comparison, elements),
        }
        if covered:
            # That figure has these arms by what they cover; the others would be of combinations.
            drawn["arms"] = None
            drawn |= {} if comparison else dict.fromkeys(("difference", "scaling", "heatmap"))
        found |= {of_score(name, score): _say(figure, score) for name, figure in drawn.items()}
    return found | {
        "letters": letters_figure(read_rows(tables, declared.LETTERS)),
        "calibration": calibration_figure(read_rows(tables, declared.CALIBRATION)),
        # What is missing is shown elsewhere: here curves of runs that are gone are left out.
        "loss": loss_figure(read_losses(accuracy, runs, made(declared.MISSING))),
    }


def of_score(name: str, score: str) -> str:
    """Return the name of the figure that shows a score: accuracy has the plain one."""
    return name if score == ACCURACY else f"{name}-{score.lower().replace(' ', '-')}"


def _say(figure: Figure | None, score: str) -> Figure | None:
    """Let a figure that is drawn as of accuracy say what else it shows."""
    if figure is not None and score != ACCURACY:
        shared.add_note(figure, score, figure.get_suptitle())
        for panel in figure.axes:
            panel.set_xlabel(panel.get_xlabel().replace(ACCURACY, score))
            panel.set_ylabel(panel.get_ylabel().replace(ACCURACY, score))
    return figure


def _elements(catalog: CatalogElements) -> Elements:
    """Return each subset's values in the order of the catalog's elements."""
    return {
        name: {element: subset["elements"][element] for element in catalog["elements"]}
        for name, subset in catalog["subsets"].items()
    }
