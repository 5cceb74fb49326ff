"""Figures of an experiment, as SVG for print and PNG for slides, drawn from its tables and plan."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from matcg.analysis.accuracy import Accuracy
from matcg.analysis.elements import CatalogElements
from matcg.records import BASELINE, read_runs
from matcg.report import grid
from matcg.report.bars import scaling_figure
from matcg.report.comparison import Comparison
from matcg.report.curves import mixed_figure, sizes_figure
from matcg.report.declared import (
    ACCURACY,
    CALIBRATION,
    COMPARISON,
    LETTERS,
    MISSING,
    PROTOCOLS,
    SUMMARY,
    TARGETS,
    published_in,
)
from matcg.report.differences import difference_figure
from matcg.report.drawing import (
    LINES,
    ArmStyle,
    add_note,
    arm_styles,
    by_setting,
    chosen_settings,
    empty,
    panels,
    setting_title,
    unique,
)
from matcg.report.letter_figures import calibration_figure, letters_figure
from matcg.report.losses import loss_figure, read_losses
from matcg.report.protocol_figure import protocol_figure
from matcg.report.study import arm_order
from matcg.report.style import BLACK, GREY, STYLE, clipped, new_figure, save
from matcg.report.table import Table, read_rows

__all__ = ["NAMES", "draw"]

# In the order in which a page shows them; some are drawn for some experiments only.
NAMES = (
    *("protocols", "difference", "arms", "scaling", "sizes", "mixed", "heatmap"),
    *("letters", "calibration", "loss"),
)
MAX_GRIDS = 12
SETTINGS = 4
WIDTH = 9.0  # inches of a heatmap's panels side by side

Elements = Mapping[str, Mapping[str, Sequence[str]]]
T = TypeVar("T")


def draw(tables: Path, plan: Path, out: Path, experiment: str, catalog: CatalogElements) -> None:
    """Write the figures of `NAMES`, and the grids of the targets, to `out` as .svg and .png.

    `scaling`, `sizes`, `mixed` and `protocols` are drawn where an experiment has several rules with
    one combination each, sizes, shares of the target's data, or ways to ask. `tables` is the folder
    that `compare` wrote, `plan` that of the experiment's plan.

    Raises:
        DataError: a run of the tables has no metrics.jsonl, or one without losses; or the plan
            lacks the experiment.
    """
    out.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, figure in _figures(tables, read_runs(plan), _elements(catalog)).items():
            if figure is not None:
                save(figure, out, name)
        grid.draw(grid.read_grids(plan, experiment), catalog, out)


def _figures(
    tables: Path, runs: Mapping[tuple[str, str], Path], elements: Elements
) -> dict[str, Figure | None]:
    """Return the figures by name, None where an experiment gives no reason for one."""

    def made(table: Table[T] | None) -> bool:
        return table is not None and (tables / f"{table.stem}.csv").exists()

    def rows(table: Table[T] | None) -> list[T]:
        return read_rows(tables, table) if table and made(table) else []

    accuracy, targets = read_rows(tables, ACCURACY), read_rows(tables, TARGETS)
    comparison, summary = read_rows(tables, COMPARISON), read_rows(tables, SUMMARY)
    return {
        "protocols": protocol_figure(rows(PROTOCOLS)),
        "difference": difference_figure(comparison, summary),
        "arms": arms_figure(accuracy),
        "scaling": scaling_figure(targets, rows(published_in(tables))),
        "sizes": sizes_figure(targets, summary),
        "mixed": mixed_figure(targets, summary),
        "heatmap": heatmap_figure(comparison, elements),
        "letters": letters_figure(read_rows(tables, LETTERS)),
        "calibration": calibration_figure(read_rows(tables, CALIBRATION)),
        # What is missing is shown elsewhere: here curves of runs that are gone are left out.
        "loss": loss_figure(read_losses(accuracy, runs, made(MISSING))),
    }


def _elements(catalog: CatalogElements) -> Elements:
    """Return each subset's values in the order of the catalog's elements."""
    return {
        name: {element: subset["elements"][element] for element in catalog["elements"]}
        for name, subset in catalog["subsets"].items()
    }


def arms_figure(accuracy: Sequence[Accuracy]) -> Figure:
    """Draw the mean accuracy of every arm on each target, and its chance."""
    if not accuracy:
        return empty("nothing has been answered yet")
    trained_groups = by_setting(row for row in accuracy if row.run != BASELINE)
    groups, note = chosen_settings(trained_groups or by_setting(accuracy), SETTINGS)
    longest = max(len(unique(row.target for row in group)) for group in groups.values())
    columns = min(2, len(groups))
    lines = -(-len(groups) // columns)
    size = (2.6 + 3.4 * columns, 0.9 + lines * (0.5 + 0.28 * longest))
    figure = new_figure(size[0], min(size[1], 40))
    axes = list(figure.subplots(lines, columns, squeeze=False, sharex=True).flat)
    styles = arm_styles(sorted(unique(row.arm for row in accuracy), key=arm_order))
    untrained = [row for row in accuracy if row.run == BASELINE]
    for panel, (setting, group) in zip(axes, groups.items(), strict=False):
        mine = [row for row in group if row.run != BASELINE]
        mine += [row for row in untrained if row.setting.backbone == setting.backbone]
        _arms(panel, mine, styles)
        panel.set_title(setting_title(setting))
    for panel in axes[len(groups) :]:
        panel.set_visible(False)
    handles = [
        Line2D([], [], color=color, marker=marker, ls="", ms=5, label=arm)
        for arm, (color, marker, _) in styles.items()
    ]
    handles.append(Line2D([], [], color=GREY, marker="|", ls="", ms=9, mew=1.5, label="chance"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6))
    add_note(figure, note)
    return figure


def _arms(panel: Axes, rows: Sequence[Accuracy], styles: Mapping[str, ArmStyle]) -> None:
    targets = sorted(unique(row.target for row in rows), reverse=True)
    for place, target in enumerate(targets):
        mine = [row for row in rows if row.target == target]
        chance = statistics.fmean(100 * row.chance for row in mine)
        panel.plot([chance, chance], [place - 0.38, place + 0.38], color=GREY, lw=1.5)
        for arm in reversed(list(styles)):
            values = [100 * row.accuracy.value for row in mine if row.arm == arm]
            if not values:
                continue
            color, marker, _ = styles[arm]
            low, high = min(values), max(values)
            panel.plot([low, high], [place, place], color=color, lw=1.5, alpha=0.6)
            panel.plot(statistics.fmean(values), place, marker, color=color, ms=5)
    panel.set_yticks(range(len(targets)), [clipped(target, 40) for target in targets])
    panel.set_ylim(-0.7, len(targets) - 0.3)
    panel.set_xlim(-2, 102)
    panel.set_xlabel("accuracy (%); bars: range over combinations and seeds")
    panel.grid(axis="both", color=LINES, lw=0.5)
    panel.set_axisbelow(True)


def heatmap_figure(comparison: Sequence[Comparison], elements: Elements | None) -> Figure:
    """Draw CG minus reference over the grid of the catalog's elements, or over target and rule.

    The first two elements span a grid, further ones get a grid for each of their values. Several
    settings are averaged: their own numbers stand in the tables.
    """
    rows = [(row, 100 * row.difference.value) for row in comparison if row.difference]
    if not rows:
        return empty("no combination has a reference to be compared with")
    grids = _element_grids(rows, elements) if elements else {}
    if not 0 < len(grids) <= MAX_GRIDS:
        grids = {"": [(row.target, row.rule, points) for row, points in rows]}
    ys = sorted({y for cells in grids.values() for y, _, _ in cells})
    xs = sorted({x for cells in grids.values() for _, x, _ in cells})
    # Room for a cell's number, and for the longest name of a row once a line.
    width, beside = 0.2 + 0.4 * len(xs), 1.0 + 0.06 * min(40, max(map(len, ys)))
    columns = max(1, min(len(grids), int((WIDTH - beside) / width)))
    lines = -(-len(grids) // columns)
    height = 1.0 + lines * (0.3 + 0.27 * len(ys))
    figure = new_figure(max(beside + columns * width, 4), max(height, 2))
    axes = panels(figure, len(grids), columns)
    limit = max(5.0, *(abs(value) for cells in grids.values() for *_, value in cells))
    norm = TwoSlopeNorm(0, -limit, limit)
    for panel, (title, cells) in zip(axes, grids.items(), strict=True):
        image = _heat(panel, cells, ys, xs, norm)
        panel.set_title(clipped(title))
    label = f"CG minus {comparison[0].reference} (points)"
    figure.colorbar(image, ax=figure.axes, label=label, shrink=0.8)
    return figure


def _element_grids(
    rows: Iterable[tuple[Comparison, float]], elements: Elements
) -> dict[str, list[tuple[str, str, float]]]:
    """Return for each value of the further elements its cells (first, second value, points)."""
    grids: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
    for row, points in rows:
        values = list(elements.get(row.target, {}).values())
        if len(values) < 2:
            return {}
        names = list(elements[row.target])[2:]
        for first, second, *further in product(*values):
            title = ", ".join(f"{name} {value}" for name, value in zip(names, further, strict=True))
            grids[title].append((first, second, points))
    return dict(sorted(grids.items()))


def _heat(
    panel: Axes,
    cells: Sequence[tuple[str, str, float]],
    ys: Sequence[str],
    xs: Sequence[str],
    norm: TwoSlopeNorm,
) -> mpl.image.AxesImage:
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for y, x, value in cells:
        found[y, x].append(value)
    means = {place: statistics.fmean(values) for place, values in found.items()}
    grid = [[means.get((y, x), float("nan")) for x in xs] for y in ys]
    panel.set_facecolor("#eeeeee")
    image = panel.imshow(grid, cmap="PuOr", norm=norm, aspect="auto")
    for (y, x), value in means.items():
        dark = abs(value) > 0.6 * (norm.vmax or 1)
        place = (xs.index(x), ys.index(y))
        panel.text(
            *place,
            f"{value + 0.0:+.0f}",
            ha="center",
            va="center",
            fontsize=6.5,
            color="white" if dark else BLACK,
        )
    panel.set_xticks(range(len(xs)), [clipped(x, 24) for x in xs])
    if max(map(len, xs)) > 7:
        panel.tick_params(axis="x", rotation=40)
        for label in panel.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    panel.set_yticks(range(len(ys)), [clipped(y, 40) for y in ys])
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    return image
