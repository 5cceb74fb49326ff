"""The grid of a catalog's elements for each target: what was held out, what was learned from.

One panel a combination. The first element gives the rows, the second the columns; the values of
the others are marks within the cells. All panels of a target share their axes and the places of
their marks.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product, zip_longest
from math import ceil, nan
from pathlib import Path
from string import ascii_uppercase
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from matcg.analysis.elements import CatalogElements, SubsetElements
from matcg.config.arm import CG, CONTROL
from matcg.plan.records import Row, read_mixes, read_plan
from matcg.report.figures.grid_layout import GridLayout, Mark, middles
from matcg.report.figures.shared import LEGEND_NAME, legend_columns
from matcg.report.figures.style import (
    BLACK,
    BLUE,
    GREY,
    MARKERS,
    ORANGE,
    VERMILLION,
    clipped,
    new_figure,
    save_figure,
)

PANELS = 18  # of one figure; more go on further pages
# Of an experiment: each takes a twentieth of a second. The plan's tables name them all.
DRAWN = 150
_WIDTH = 14.0  # inches of panels side by side
LABEL = 20  # characters
SHAPES = (*MARKERS, "*")
AREA = {"D": 0.78, "s": 0.92, "*": 1.25}  # makes shapes look alike in size
BAND = "#fdeee3"
LINE = "#d8d8d8"


@dataclass(frozen=True, slots=True)
class GridPanel:
    """One combination: what it trains on, and what the control it is compared with trains on."""

    rule: str
    combination: str
    sources: frozenset[str]
    control: frozenset[str]

    def roles(self, subset: str, target: str) -> list[str]:
        """Return what a subset is for this combination, as names of `ROLES`."""
        if subset == target:
            return ["target"]
        used = {"source": self.sources, "control": self.control}
        return [role for role, names in used.items() if subset in names] or ["other"]


@dataclass(frozen=True, slots=True)
class Grid:
    """A target with its combinations; `mixed_in` of its samples at most are trained on too.

    `left_out` is how many further combinations are not drawn.
    """

    target: str
    panels: tuple[GridPanel, ...]
    mixed_in: int = 0
    left_out: int = 0

    @property
    def pages(self) -> dict[str, tuple[GridPanel, ...]]:
        """Return the panels of each figure by its name; no target's id holds a dot."""
        starts = range(0, len(self.panels), PANELS)
        return {
            f"grid-{self.target}" + (f".{page}" if page > 1 else ""): self.panels[i : i + PANELS]
            for page, i in enumerate(starts, 1)
        }


def read_grids(plan: Path, experiment: str) -> list[Grid]:
    """Return the grid of every target that has a combination; `plan` is the plan's folder.

    Of more than `DRAWN` combinations, those are kept that come first of their target and rule, at
    least one of each target.

    Raises:
        DataError: experiments.tsv is not of this version or lacks the experiment.
    """
    targets: dict[str, list[Row]] = defaultdict(list)
    for row in read_plan(plan, experiment):
        targets[row.target].append(row)
    trained = read_mixes(plan)
    grids = (_grid(target, rows, trained) for target, rows in sorted(targets.items()))
    return bounded([grid for grid in grids if grid.panels])


def bounded(grids: Sequence[Grid]) -> list[Grid]:
    """Return the grids with at most `DRAWN` panels in all, or one each where they are more."""
    places = sorted(
        (in_target, grid.target, at)
        for grid in grids
        for in_target, at in enumerate(_by_turns(grid.panels))
    )
    kept: dict[str, list[int]] = defaultdict(list)
    for _, target, at in places[: max(DRAWN, len(grids))]:
        kept[target].append(at)
    return [
        replace(
            grid,
            panels=tuple(grid.panels[at] for at in sorted(kept[grid.target])),
            left_out=len(grid.panels) - len(kept[grid.target]),
        )
        for grid in grids
    ]


def _by_turns(panels: Sequence[GridPanel]) -> list[int]:
    """Return the places of panels, the first of each rule before the second of any."""
    seen: dict[str, int] = defaultdict(int)
    turns = []
    for at, panel in enumerate(panels):
        turns.append((seen[panel.rule], at))
        seen[panel.rule] += 1
    return [at for _, at in sorted(turns)]


def _grid(target: str, rows: Sequence[Row], trained: Mapping[str, set[str]]) -> Grid:
    combinations = dict.fromkeys((row.rule, row.combination) for row in rows if row.arm == CG)
    panels = []
    for rule, combination in combinations:
        # A control without rule is that of all combinations.
        places = {CG: [(rule, combination)], CONTROL: [(rule, combination), ("", "")]}
        used: dict[str, set[str]] = {CG: set(), CONTROL: set()}
        for row in rows:
            if (row.rule, row.combination) in places.get(row.arm, ()):
                used[row.arm] |= trained.get(row.mix, set()) - {target}
        panels.append(GridPanel(rule, combination, frozenset(used[CG]), frozenset(used[CONTROL])))
    return Grid(target, tuple(panels), max(row.mixed_in for row in rows))


def draw_grids(grids: Iterable[Grid], catalog: CatalogElements, out: Path) -> None:
    """Write each target's figures to `out` as .svg and .png, named as `Grid.pages` says."""
    grids = list(grids)
    left_out = sum(grid.left_out for grid in grids)
    if left_out:
        total = left_out + sum(len(grid.panels) for grid in grids)
        print(f"grids: {left_out} of {total} combinations not drawn; mixes.tsv has them all")
    for grid in grids:
        layout = GridLayout(catalog["elements"], shown_subsets(grid, catalog))
        values = catalog["subsets"][grid.target]["elements"]
        for number, (name, panels) in enumerate(grid.pages.items(), 1):
            title = heading(grid, values, catalog["elements"])
            title += f" ({number} of {len(grid.pages)})" if len(grid.pages) > 1 else ""
            save_figure(page_figure(grid, panels, layout, title), out, name)


def shown_subsets(grid: Grid, catalog: CatalogElements) -> dict[str, SubsetElements]:
    """Return the subsets of the target's kind and whatever else is trained on."""
    used = {subset for panel in grid.panels for subset in panel.sources | panel.control}
    kind = catalog["subsets"][grid.target]["kind"]
    return {
        name: subset
        for name, subset in catalog["subsets"].items()
        if subset["kind"] == kind or name in used
    }


def heading(grid: Grid, values: Mapping[str, Sequence[str]], names: Sequence[str]) -> str:
    """Return the figure's title: the target, its values, and whether it is trained on."""
    parts = ", ".join(f"{name} {'/'.join(values[name])}" for name in names)
    if grid.mixed_in:
        parts += f"; up to {grid.mixed_in} of its samples are trained on too"
    more = f"; {grid.left_out} further combinations are not drawn" if grid.left_out else ""
    return (
        clipped(f"{'Target' if grid.mixed_in else 'Held out'}: {grid.target} ({parts})", 200) + more
    )


def page_figure(grid: Grid, panels: Sequence[GridPanel], layout: GridLayout, title: str) -> Figure:
    """Draw some combinations of a target, a panel each."""
    width = max(1.75, layout.inches * layout.column_edges[-1])
    lines = ceil(len(panels) / max(1, int(_WIDTH / (width + 0.15))))
    columns = ceil(len(panels) / lines)
    size = _size(layout, width, columns, lines, len(panels) < lines * columns)
    figure = new_figure(*size)
    axes = list(figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat)
    _ticks(axes[0], layout)
    for index, (axis, panel) in enumerate(zip_longest(axes, panels)):
        if panel is None:
            axis.set_visible(False)
            continue
        _ground(axis, layout, grid.target)
        _marks(axis, layout, grid.target, panel)
        axis.set_title(_title(panel, int(width * 72 / 3.6)), fontsize=6.5)
        # The panel below may be missing in the last line.
        axis.tick_params(labelbottom=index + columns >= len(panels))
    _legends(figure, layout, panels, title)
    return figure


def _size(
    layout: GridLayout, width: float, columns: int, lines: int, ragged: bool
) -> tuple[float, float]:
    """Return a figure's size in inches: panels of `width`, labels, legends above and below.

    Where the last line is not full, the one before it has names of columns too.
    """
    beside, below = (
        0.15 + 0.055 * min(LABEL, max(map(len, names))) for names in (layout.rows, layout.columns)
    )
    total = max(beside + columns * (width + 0.15), 6.5)
    legends = 0.62 + 0.17 * ceil(len(layout.values) / legend_columns(total, layout.values))
    height = lines * (layout.inches * layout.row_edges[-1] + 0.42)
    names = below if layout.upright else 0.2
    return total, legends + names * (2 if ragged else 1) + height


def _title(panel: GridPanel, length: int) -> str:
    """Return the rule, and its sources where their names are short enough."""
    sources = clipped(panel.combination, 10**6)
    if len(sources) > length:
        count = len(panel.sources)
        sources = f"{count} subset{'' if count == 1 else 's'}"
    return f"{clipped(panel.rule, length)}\n{sources}"


def _ticks(panel: Axes, layout: GridLayout) -> None:
    """Name rows and columns in one panel: all share them, and to do it in each takes long."""
    panel.set_yticks(middles(layout.row_edges), [clipped(row, LABEL) for row in layout.rows])
    columns = [clipped(column, LABEL) for column in layout.columns]
    panel.set_xticks(middles(layout.column_edges), columns)


def _ground(panel: Axes, layout: GridLayout, target: str) -> None:
    """Draw the cells; bands mark what has the target's row or column."""
    columns, rows = layout.column_edges, layout.row_edges
    mine = [mark for mark in layout.marks if mark.subset == target]
    for place in {mark.row for mark in mine}:
        panel.axhspan(*rows[place : place + 2], color=BAND, lw=0, zorder=0)
    for place in {mark.column for mark in mine}:
        panel.axvspan(*columns[place : place + 2], color=BAND, lw=0, zorder=0)
    lines = [((x, x), (0.0, rows[-1])) for x in columns[1:-1]]
    lines += [((0.0, columns[-1]), (y, y)) for y in rows[1:-1]]
    # One path: as grid lines of their own they would be half of the file.
    xs, ys = ([place for line in lines for place in (*line[i], nan)] for i in (0, 1))
    panel.plot(xs, ys, color=LINE, lw=0.5, zorder=1)
    panel.set(xlim=(0, columns[-1]), ylim=(rows[-1], 0), aspect="equal", anchor="NW")
    panel.spines[:].set(visible=True, color=LINE)
    panel.tick_params(length=0, labelsize=6.5)
    panel.tick_params(axis="x", rotation=90 if layout.upright else 0)


# How each role is drawn, in order; sizes are shares of the distance between two marks.
ROLES: dict[str, tuple[str, float, dict[str, Any]]] = {
    "other": ("not used", 0.3, {"mfc": "#b4b4b4", "mew": 0}),
    "source": ("learned from by CG", 0.88, {"mfc": BLUE, "mec": "white", "mew": 0.5}),
    "control": ("learned from by the control", 0.5, {"mfc": "none", "mec": ORANGE, "mew": 0.7}),
    "target": ("target", 0.72, {"mfc": VERMILLION, "mew": 0}),
}
RING: dict[str, Any] = {"marker": "o", "mfc": "none", "mec": VERMILLION, "mew": 1.2, "ls": ""}
LEGEND = ("target", "source", "control", "other")
_LETTERS = {"source": "white", "control": BLACK, "target": "white"}


def _marks(panel: Axes, layout: GridLayout, target: str, combination: GridPanel) -> None:
    groups: dict[tuple[str, str], list[Mark]] = defaultdict(list)
    for mark in layout.marks:
        for role in combination.roles(mark.subset, target):
            groups[role, mark.value].append(mark)
    for (role, value), marks in groups.items():
        _draw_marks(panel, layout, role, value, marks)


def _draw_marks(
    panel: Axes, layout: GridLayout, role: str, value: str, marks: Sequence[Mark]
) -> None:
    _, size, style = ROLES[role]
    places = ([mark.x for mark in marks], [mark.y for mark in marks])
    order: dict[str, Any] = {"zorder": 3 + list(ROLES).index(role), "clip_on": False, "ls": ""}
    shape, letter = symbols(layout.values)[value]
    # A letter needs the same room whatever its role.
    size = 72 * layout.inches * (0.85 if letter and role != "other" else size)
    panel.plot(*places, marker=shape, ms=size * AREA.get(shape, 1), **style, **order)
    if letter and role in _LETTERS:
        panel.plot(*places, marker=letter, ms=0.55 * size, mfc=_LETTERS[role], mew=0, **order)
    if role == "target":
        panel.plot(*places, ms=1.3 * 72 * layout.inches, **{**RING, **order})


def symbols(values: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return each value's shape and letter: a letter only where there are more than shapes."""
    if len(values) <= len(SHAPES):
        return {value: (shape, "") for value, shape in zip(values, SHAPES, strict=False)}
    letters = ("".join(pair) for pair in product(("", *ascii_uppercase), ascii_uppercase))
    return {v: ("o", rf"$\mathrm{{{letter}}}$") for v, letter in zip(values, letters, strict=False)}


def _legends(figure: Figure, layout: GridLayout, panels: Sequence[GridPanel], title: str) -> None:
    """Say above the panels what colours mean, and below what shapes or letters do."""
    shown = [r for r in LEGEND if r != "control" or any(panel.control for panel in panels)]
    figure.legend(
        [_role_handle(role) for role in shown],
        [ROLES[role][0] for role in shown],
        loc="outside upper left",
        ncols=len(shown),
        title=fill(title, int(figure.get_figwidth() * 11)),
        title_fontproperties={"size": 10, "weight": "bold"},
        alignment="left",
    )
    if len(layout.values) > 1:
        handles = [
            Line2D([], [], ls="", marker=letter or shape, ms=5, color=GREY, mew=0)
            for shape, letter in symbols(layout.values).values()
        ]
        names = [clipped(value, LEGEND_NAME) for value in layout.values]
        columns = legend_columns(figure.get_figwidth(), layout.values)
        figure.legend(handles, names, loc="outside lower left", ncols=columns)


def _role_handle(role: str) -> Any:
    _, size, style = ROLES[role]
    mark = Line2D([], [], ls="", marker="o", ms=9 * size, **style)
    return (Line2D([], [], ms=11, **RING), mark) if role == "target" else mark
