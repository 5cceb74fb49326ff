"""Accuracy against the number of training samples, and against samples of the target among them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from matcg.analysis.by_target import ByTarget
from matcg.analysis.pairs import Setting, arm_order
from matcg.analysis.statistics import Estimate
from matcg.analysis.summary import Summary
from matcg.plan.records import BASELINE
from matcg.report.figures import shared
from matcg.report.figures.style import BLACK, clipped, new_figure

MAX_PANELS = 24
_COLUMNS = 4

# x, accuracy, low, high; in percent.
Point = tuple[int, float, float, float]
# Backbone, recipe, and the size that is the same for all of a curve.
Facet = tuple[str, str, int]


@dataclass
class CurvePanel:
    """One panel: a target, or the mean where that is empty; `baseline` is drawn across it."""

    facet: Facet
    target: str
    curves: dict[str, list[Point]] = field(default_factory=lambda: defaultdict(list))
    baseline: Point | None = None
    chance: float | None = None


def sizes_figure(targets: Sequence[ByTarget], summary: Sequence[Summary]) -> Figure | None:
    """Draw accuracy against training samples, None where no arm has more than one size.

    One panel for the mean over targets, one for each target; bands are the tables' 95 % intervals.
    The baseline is what any curve starts from at 0 samples.
    """
    drawn = _panels(targets, summary, _company, lambda setting: setting.mixed_in)
    for panel in drawn:
        if panel.baseline is not None and not panel.facet[2]:
            for points in panel.curves.values():
                points.insert(0, panel.baseline)
    return _figure(drawn, "training samples", partial(_facet_title, "{} of the target added"))


def mixed_figure(targets: Sequence[ByTarget], summary: Sequence[Summary]) -> Figure | None:
    """Draw accuracy against samples of the target in training, None where their number is one."""
    drawn = _panels(targets, summary, lambda setting: setting.mixed_in, _company)
    return _figure(drawn, "samples of the target", partial(_facet_title, "{} other samples"))


def _company(setting: Setting) -> int:
    """Return the training samples that are not the target's."""
    return setting.n_train - setting.mixed_in


def _facet_title(words: str, facet: Facet) -> str:
    backbone, recipe, size = facet
    parts = [backbone, f"recipe {recipe}" if recipe else "", words.format(size) if size else ""]
    return ", ".join(part for part in parts if part)


def _panels(
    targets: Sequence[ByTarget],
    summary: Sequence[Summary],
    x_of: Callable[[Setting], int],
    size_of: Callable[[Setting], int],
) -> list[CurvePanel]:
    """Return a panel a facet and target whose curves have more than one place, means first."""
    whole: list[tuple[str, Summary | ByTarget]] = [("", row) for row in summary if not row.rule]
    whole += [(row.target, row) for row in targets if not row.rule]
    found: dict[tuple[Facet, str], CurvePanel] = {}
    for target, row in whole:
        if row.arm != BASELINE:
            facet = (row.setting.backbone, row.setting.recipe, size_of(row.setting))
            panel = found.setdefault((facet, target), CurvePanel(facet, target))
            panel.curves[row.arm].append(_point(row.accuracy, x_of(row.setting)))
            panel.chance = next(iter(shared.chances([row])), None)
    _add_baselines(found.values(), whole)
    kept = [panel for panel in found.values() if any(map(_has_several, panel.curves.values()))]
    for panel in kept:
        panel.curves = {arm: sorted(points) for arm, points in panel.curves.items()}
    return sorted(kept, key=lambda panel: (panel.target, panel.facet))


def _has_several(points: Iterable[Point]) -> bool:
    return len({point[0] for point in points}) > 1


def _point(accuracy: Estimate | None, x: int) -> Point:
    assert accuracy, "an arm with rows has an accuracy"
    return x, *shared.percents(accuracy)


def _add_baselines(
    found: Iterable[CurvePanel], rows: Iterable[tuple[str, Summary | ByTarget]]
) -> None:
    """Give each panel its baseline; the summary repeats it in each setting, slightly resampled."""
    baselines: dict[tuple[str, str], Point] = {}
    for target, row in rows:
        if row.arm == BASELINE:
            baselines.setdefault((row.setting.backbone, target), _point(row.accuracy, 0))
    for panel in found:
        panel.baseline = baselines.get((panel.facet[0], panel.target))


def _figure(
    drawn: Sequence[CurvePanel], label: str, title_of: Callable[[Facet], str]
) -> Figure | None:
    if not drawn:
        return None
    kept, left_out = drawn[:MAX_PANELS], len(drawn) - MAX_PANELS
    columns = min(_COLUMNS, len(kept))
    lines = -(-len(kept) // columns)
    figure = new_figure(max(4.0, 0.5 + 1.85 * columns), 0.6 + 1.75 * lines)
    axes = shared.panels(figure, len(kept), columns)
    arms = {arm for panel in kept for arm in panel.curves}
    styles = shared.arm_styles(sorted(arms, key=arm_order))
    facets = {panel.facet for panel in drawn}
    count = len({panel.target for panel in drawn if panel.target})
    for place, (axis, panel) in enumerate(zip(axes, kept, strict=True)):
        _draw(axis, panel, styles)
        name = clipped(panel.target, 30) if panel.target else f"mean of {count} targets"
        more = f"\n{clipped(title_of(panel.facet), 34)}" if len(facets) > 1 else ""
        axis.set_title(name + more, fontsize=7)
        axis.set_xlabel(label if place + columns >= len(kept) else "")
        axis.set_ylabel("accuracy (%)" if place % columns == 0 else "")
    guessed = any(panel.chance is not None for panel in drawn)
    shared.add_legend(figure, _legend(styles, guessed))
    notes = [title_of(drawn[0].facet)] if len(facets) == 1 else []
    shared.add_note(figure, *notes, shared.not_drawn(left_out, "panels"))
    return figure


def _draw(panel: Axes, drawn: CurvePanel, styles: Mapping[str, shared.ArmStyle]) -> None:
    if drawn.chance is not None:
        panel.axhline(drawn.chance, **shared.CHANCE)
    if drawn.baseline is not None:
        panel.axhline(drawn.baseline[1], color=BLACK, lw=0.8, ls=(0, (1, 1)))
    for arm, (color, marker, dashes) in styles.items():
        if arm not in drawn.curves:
            continue
        xs, values, lows, highs = zip(*drawn.curves[arm], strict=True)
        panel.fill_between(xs, lows, highs, color=color, alpha=0.15, lw=0)
        look: dict[str, Any] = {
            "color": color,
            "marker": marker,
            "ls": dashes,
            "lw": 1.3,
            "ms": 3.5,
        }
        panel.plot(xs, values, **look)
    panel.grid(color=shared.LINES, lw=0.5)
    panel.set_axisbelow(True)
    panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    panel.tick_params(labelsize=7)


def _legend(styles: Mapping[str, shared.ArmStyle], guessed: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], color=color, marker=marker, ls=dashes, lw=1.3, ms=4, label=arm)
        for arm, (color, marker, dashes) in styles.items()
    ]
    handles += [Line2D([], [], color=BLACK, lw=0.8, ls=(0, (1, 1)), label="baseline")]
    return handles + [Line2D([], [], **shared.CHANCE, label="chance")] * guessed
