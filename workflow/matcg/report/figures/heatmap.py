"""The figure of differences over the grid of a catalog's elements."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from matcg.analysis.comparison import Comparison
from matcg.report.figures.shared import empty, panels
from matcg.report.figures.style import BLACK, clipped, new_figure

MAX_GRIDS = 12
_WIDTH = 9.0  # inches of panels side by side

Elements = Mapping[str, Mapping[str, Sequence[str]]]


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
    columns = max(1, min(len(grids), int((_WIDTH - beside) / width)))
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
