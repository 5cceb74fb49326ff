"""Figures of an experiment, as SVG for print and PNG for slides, drawn from its tables and plan."""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, product
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from matcg.errors import DataError
from matcg.report import grid
from matcg.report.answers import BASELINE
from matcg.report.grid import CatalogElements
from matcg.report.render import Cell, Row, read_csv
from matcg.report.study import CG, CONTROL, SETTING, arm_order
from matcg.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MARKERS,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    VERMILLION,
    clipped,
    new_figure,
    save,
)
from matcg.report.tables import ACCURACY, COMPARISON

__all__ = ["NAMES", "draw"]

NAMES = ("difference", "arms", "heatmap", "loss")

# Yellow is too pale for lines on white and stays out of the cycle.
CYCLE = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, BLACK)
ARM_STYLES = {
    CG: (BLUE, "o"),
    CONTROL: (VERMILLION, "s"),
    BASELINE: (BLACK, "^"),
    "floor": (GREY, "v"),
    "ceiling": (GREEN, "D"),
}
# Above this many rows labels are left out and rows become thin: the tables name them all.
LABELLED = 90
MAX_GRIDS = 12

Setting = tuple[Cell, ...]
Elements = Mapping[str, Mapping[str, Sequence[str]]]


def draw(
    tables: Path, runs: Path, plan: Path, out: Path, experiment: str, catalog: CatalogElements
) -> None:
    """Write every figure of `NAMES`, and the grids of the targets, to `out` as .svg and .png.

    `tables` is the folder that `compare` wrote, `runs` is results/runs, `plan` results/plan.

    Raises:
        DataError: a run of the tables has no metrics.jsonl, or one without losses; or the plan
            lacks the experiment.
    """
    accuracy = read_csv(tables / "accuracy.csv", ACCURACY.fields)
    comparison = read_csv(tables / "comparison.csv", COMPARISON.fields)
    with mpl.rc_context(STYLE):
        figures = {
            "difference": difference_figure(comparison),
            "arms": arms_figure(accuracy),
            "heatmap": heatmap_figure(comparison, _elements(catalog)),
            "loss": loss_figure(read_losses(accuracy, runs)),
        }
        out.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            save(figure, out, name)
        grid.draw(grid.read_grids(plan, experiment), catalog, out)


def _elements(catalog: CatalogElements) -> Elements:
    """Return each subset's values in the order of the catalog's elements."""
    return {
        name: {element: subset["elements"][element] for element in catalog["elements"]}
        for name, subset in catalog["subsets"].items()
    }


def _by_setting(rows: Iterable[Row]) -> dict[Setting, list[Row]]:
    groups: dict[Setting, list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in SETTING)].append(row)
    return dict(sorted(groups.items()))


def _title(setting: Setting) -> str:
    backbone, recipe, n_train, mixed_in = setting
    parts = [str(backbone), f"recipe {recipe}" if recipe else "", f"{n_train} samples"]
    parts += [f"{mixed_in} of them the target's"] if mixed_in else []
    return ", ".join(part for part in parts if part)


def _number(cell: Cell) -> float:
    if cell is None or isinstance(cell, str):
        raise TypeError(f"{cell!r} is no number")
    return float(cell)


def _percent(cell: Cell) -> float:
    return 100 * _number(cell)


def _empty(text: str) -> Figure:
    """Say why there is nothing to see: a missing figure would look like a failure."""
    figure = new_figure(6, 1)
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY)
    return figure


def _unique(rows: Iterable[Row], name: str) -> list[str]:
    return list(dict.fromkeys(str(row[name]) for row in rows))


def difference_figure(comparison: Sequence[Row]) -> Figure:
    """Draw each combination's difference with its interval, sorted, one panel a setting."""
    rows = [row for row in comparison if row["difference"] is not None]
    if not rows:
        return _empty("no combination has a reference to be compared with")
    groups = _by_setting(rows)
    longest = max(len(group) for group in groups.values())
    height = 1.2 + longest * (0.17 if longest <= LABELLED else 0.05)
    figure = new_figure(3.4 + 4 * len(groups), min(height, 40))
    panels = figure.subplots(1, len(groups), squeeze=False, sharex=True)[0]
    rules = _unique(rows, "rule")
    styles = dict(zip(sorted(rules), cycle(zip(CYCLE, MARKERS, strict=True)), strict=False))
    for panel, (setting, group) in zip(panels, groups.items(), strict=True):
        _differences(panel, group, styles)
        panel.set_title(_title(setting))
        panel.set_xlabel(f"CG minus {group[0]['reference']} (points)")
    handles = [
        Line2D([], [], color=color, marker=marker, lw=1, ms=4, label=rule)
        for rule, (color, marker) in styles.items()
    ]
    title = "filled: Holm p < 0.05"
    columns = min(len(rules), 5)
    figure.legend(handles=handles, title=title, loc="outside lower center", ncols=columns)
    return figure


def _differences(panel: Axes, rows: Sequence[Row], styles: Mapping[str, tuple[str, str]]) -> None:
    ordered = sorted(rows, key=lambda row: (_number(row["difference"]), str(row["target"])))
    for place, row in enumerate(ordered):
        color, marker = styles[str(row["rule"])]
        low, high = _percent(row["difference_low"]), _percent(row["difference_high"])
        panel.plot([low, high], [place, place], color=color, lw=1.1)
        filled = row["verdict"] in ("helps", "hurts")
        face = color if filled else "white"
        panel.plot(_percent(row["difference"]), place, marker, color=color, mfc=face, ms=4)
    panel.axvline(0, color=BLACK, lw=0.7)
    panel.grid(axis="x", color="#dddddd", lw=0.5)
    panel.set_axisbelow(True)
    panel.set_ylim(-0.8, len(ordered) - 0.2)
    labels = [clipped(f"{row['target']}  ←  {row['combination']}") for row in ordered]
    if len(ordered) > LABELLED:
        panel.set_yticks([])
        panel.set_ylabel(f"{len(ordered)} combinations, sorted")
    else:
        panel.set_yticks(range(len(ordered)), labels, fontsize=6)


def arms_figure(accuracy: Sequence[Row]) -> Figure:
    """Draw the mean accuracy of every arm on each target, and its chance."""
    settings = _by_setting(row for row in accuracy if row["run"] != BASELINE)
    settings = settings or _by_setting(accuracy)
    longest = max(len(_unique(group, "target")) for group in settings.values())
    figure = new_figure(2.6 + 3.4 * len(settings), 1.3 + 0.28 * longest)
    panels = figure.subplots(1, len(settings), squeeze=False, sharex=True)[0]
    arms = sorted(_unique(accuracy, "arm"), key=arm_order)
    styles = _arm_styles(arms)
    for panel, (setting, group) in zip(panels, settings.items(), strict=True):
        untrained = [
            row for row in accuracy if row["run"] == BASELINE and row["backbone"] == setting[0]
        ]
        trained = [row for row in group if row["run"] != BASELINE]
        _arms(panel, trained + untrained, styles)
        panel.set_title(_title(setting))
    handles = [
        Line2D([], [], color=color, marker=marker, ls="", ms=5, label=arm)
        for arm, (color, marker) in styles.items()
    ]
    handles.append(Line2D([], [], color=GREY, marker="|", ls="", ms=9, mew=1.5, label="chance"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6))
    return figure


def _arm_styles(arms: Sequence[str]) -> dict[str, tuple[str, str]]:
    spare = cycle(zip((PURPLE, ORANGE, SKY), ("P", "X", "*"), strict=True))
    return {arm: ARM_STYLES[arm] if arm in ARM_STYLES else next(spare) for arm in arms}


def _arms(panel: Axes, rows: Sequence[Row], styles: Mapping[str, tuple[str, str]]) -> None:
    targets = sorted(_unique(rows, "target"), reverse=True)
    for place, target in enumerate(targets):
        mine = [row for row in rows if row["target"] == target]
        chance = statistics.fmean(_percent(row["chance"]) for row in mine)
        panel.plot([chance, chance], [place - 0.38, place + 0.38], color=GREY, lw=1.5)
        for arm in reversed(list(styles)):
            values = [_percent(row["accuracy"]) for row in mine if row["arm"] == arm]
            if not values:
                continue
            color, marker = styles[arm]
            low, high = min(values), max(values)
            panel.plot([low, high], [place, place], color=color, lw=1.5, alpha=0.6)
            panel.plot(statistics.fmean(values), place, marker, color=color, ms=5)
    panel.set_yticks(range(len(targets)), [clipped(target, 40) for target in targets])
    panel.set_ylim(-0.7, len(targets) - 0.3)
    panel.set_xlim(-2, 102)
    panel.set_xlabel("accuracy (%); bars: range over combinations and seeds")
    panel.grid(axis="both", color="#e4e4e4", lw=0.5)
    panel.set_axisbelow(True)


def heatmap_figure(comparison: Sequence[Row], elements: Elements | None) -> Figure:
    """Draw CG minus reference over the grid of the catalog's elements, or over target and rule.

    The first two elements span a grid, further ones get a grid for each of their values. Several
    settings are averaged: their own numbers stand in the tables.
    """
    rows = [row for row in comparison if row["difference"] is not None]
    if not rows:
        return _empty("no combination has a reference to be compared with")
    grids = _element_grids(rows, elements) if elements else {}
    if not 0 < len(grids) <= MAX_GRIDS:
        grids = {"": [(str(r["target"]), str(r["rule"]), _percent(r["difference"])) for r in rows]}
    ys = sorted({y for cells in grids.values() for y, _, _ in cells})
    xs = sorted({x for cells in grids.values() for _, x, _ in cells})
    columns = min(len(grids), 4)
    lines = -(-len(grids) // columns)
    size = (1.6 + columns * (0.5 + 0.62 * len(xs)), 1.2 + lines * (0.6 + 0.36 * len(ys)))
    figure = new_figure(max(size[0], 4), max(size[1], 2))
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat
    limit = max(5.0, *(abs(value) for cells in grids.values() for *_, value in cells))
    norm = TwoSlopeNorm(0, -limit, limit)
    for panel, (title, cells) in zip(panels, grids.items(), strict=False):
        image = _heat(panel, cells, ys, xs, norm)
        panel.set_title(clipped(title))
    for panel in list(panels)[len(grids) :]:
        panel.set_visible(False)
    label = f"CG minus {rows[0]['reference']} (points)"
    figure.colorbar(image, ax=figure.axes, label=label, shrink=0.8)
    return figure


def _element_grids(
    rows: Iterable[Row], elements: Elements
) -> dict[str, list[tuple[str, str, float]]]:
    """Return for each value of the further elements its cells (first, second value, points)."""
    grids: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
    for row in rows:
        values = list(elements.get(str(row["target"]), {}).values())
        if len(values) < 2:
            return {}
        names = list(elements[str(row["target"])])[2:]
        for first, second, *further in product(*values):
            title = ", ".join(f"{name} {value}" for name, value in zip(names, further, strict=True))
            grids[title].append((first, second, _percent(row["difference"])))
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
            fontsize=7,
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


Losses = Mapping[str, Sequence[Sequence[tuple[int, float]]]]


def read_losses(accuracy: Iterable[Row], runs: Path) -> dict[str, list[list[tuple[int, float]]]]:
    """Return for each arm its runs' losses as (step, loss), each run once.

    Raises:
        DataError: a run has no metrics.jsonl, or one that holds no losses.
    """
    found: dict[str, dict[Path, list[tuple[int, float]]]] = defaultdict(dict)
    for row in accuracy:
        path = runs / str(row["backbone"]) / str(row["run"]) / "metrics.jsonl"
        if row["run"] != BASELINE and path not in found[str(row["arm"])]:
            found[str(row["arm"])][path] = _read_loss(path)
    return {arm: list(curves.values()) for arm, curves in sorted(found.items()) if curves}


def _read_loss(path: Path) -> list[tuple[int, float]]:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        losses = [(int(line["step"]), float(line["loss"])) for line in lines if "loss" in line]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run the fine-tuning again") from None
    if not losses:
        raise DataError(f"{path}: no losses; run the fine-tuning again")
    return losses


def loss_figure(losses: Losses) -> Figure:
    """Draw the training loss of every run, one panel an arm, with the median over runs."""
    if not losses:
        return _empty("nothing was fine-tuned")
    arms = sorted(losses, key=arm_order)
    styles = _arm_styles(arms)
    figure = new_figure(1 + 2.2 * len(arms), 2.8)
    panels = figure.subplots(1, len(arms), squeeze=False, sharey=True, sharex=True)[0]
    for panel, arm in zip(panels, arms, strict=True):
        color = styles[arm][0]
        for curve in losses[arm]:
            panel.plot(*zip(*curve, strict=True), color=color, lw=0.5, alpha=0.3)
        panel.plot(*zip(*_median(losses[arm]), strict=True), color=color, lw=1.8)
        panel.set_title(f"{arm} ({len(losses[arm])})")
        panel.set_xlabel("step")
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panel.grid(color="#e4e4e4", lw=0.5)
    panels[0].set_ylabel("training loss")
    return figure


def _median(curves: Sequence[Sequence[tuple[int, float]]]) -> list[tuple[int, float]]:
    """Return the median loss of the steps that at least half of the runs report."""
    steps: dict[int, list[float]] = defaultdict(list)
    for curve in curves:
        for step, loss in curve:
            steps[step].append(loss)
    common = [step for step, values in sorted(steps.items()) if 2 * len(values) >= len(curves)]
    return [(step, statistics.median(steps[step])) for step in common or sorted(steps)]
