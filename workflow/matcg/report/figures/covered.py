"""The figure of a design by coverage: accuracy by what training covered, and who gave the gain."""

from collections.abc import Sequence
from itertools import accumulate, product
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from matcg.analysis.coverage import Coverage
from matcg.report.figures import shared
from matcg.report.figures.style import BLACK, BLUE, GREEN, GREY, VERMILLION, clipped, new_figure

_SETTINGS = 2
_ROW = 0.25  # inches
KEY = (
    "Filled: some of the training samples share this element with the target; empty: none do, and"
    " unrelated samples stand in their place. All rows are trained on equally many samples."
)


def coverage_figure(coverage: Sequence[Coverage]) -> Figure | None:
    """Draw the accuracy of every set of elements, and how Shapley values lead from none to all."""
    if not coverage:
        return None
    groups, note = shared.chosen_settings(shared.by_setting(coverage), _SETTINGS)
    elements = [each.covered for each in coverage if len(each.elements) == 1]
    elements = shared.unique([*elements, *(e for each in coverage for e in each.elements)])
    rows = max(map(len, groups.values()))
    figure = new_figure(7.6, len(groups) * (1.2 + _ROW * max(rows, 5)) + 0.3)
    widths = (0.42 * len(elements), 3.0, 3.0)
    axes = figure.subplots(len(groups), 3, squeeze=False, width_ratios=widths)
    for (setting, mine), (matrix, means, steps) in zip(groups.items(), axes, strict=True):
        _matrix(matrix, mine, elements)
        _means(means, mine)
        _steps(steps, mine)
        name = f"{shared.setting_title(setting)}: " if len(groups) > 1 else ""
        means.set_title(f"{name}How well the target is answered")
        steps.set_title("What each element gave")
    figure.supxlabel(fill(KEY, 120), fontsize=7, color=GREY)
    shared.add_note(figure, note)
    return figure


def _matrix(panel: Axes, rows: Sequence[Coverage], elements: Sequence[str]) -> None:
    """Mark which elements each row covers."""
    for (place, row), (column, name) in product(enumerate(rows), enumerate(elements)):
        face = BLUE if name in row.elements else "white"
        panel.plot(column, place, "o", ms=7, mfc=face, mec=BLUE, mew=0.8)
    panel.set_xticks(range(len(elements)), elements, rotation=40, ha="left", rotation_mode="anchor")
    panel.xaxis.tick_top()
    panel.set_xlim(-0.6, len(elements) - 0.4)
    panel.set_yticks([])
    panel.set_xlabel("training covered")
    panel.tick_params(length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)
    _from_top(panel, len(rows))


def _means(panel: Axes, rows: Sequence[Coverage]) -> None:
    """Draw the accuracy of each row, with chance."""
    edge = blended_transform_factory(panel.transAxes, panel.transData)
    for place, row in enumerate(rows):
        value, low, high = shared.percents(row.mean)
        panel.plot([low, high], [place, place], color=BLUE, lw=1.5, alpha=0.6)
        panel.plot(value, place, "o", color=BLUE, ms=5)
        for chance in shared.chances([row]):
            panel.plot([chance, chance], [place - 0.5, place + 0.5], **shared.CHANCE)
        panel.text(1.0, place, f"{value:.1f}", ha="right", va="center", transform=edge)
    panel.set_xlim(0, 112)
    panel.set_xticks(range(0, 101, 25))
    panel.set_yticks([])
    targets = " to ".join(map(str, sorted({rows[0].targets, rows[-1].targets})))
    guess = ", dotted: chance" * bool(shared.chances(rows))
    panel.set_xlabel(f"accuracy (%), mean of {targets} targets;\nbars: 95 %{guess}")
    panel.grid(axis="x", color=shared.LINES, lw=0.5)
    panel.set_axisbelow(True)
    _from_top(panel, len(rows))


def _steps(panel: Axes, rows: Sequence[Coverage]) -> None:
    """Draw from nothing to all, a step an element, the largest first."""
    shares = [(row.shapley, row.covered) for row in rows if row.shapley]
    shares.sort(key=lambda share: -share[0].value)
    if not shares:
        panel.set_axis_off()
        panel.text(0.5, 0.5, "no target has every set", ha="center", color=GREY)
        return
    nothing, values = 100 * rows[0].mean.value, [100 * share.value for share, _ in shares]
    whole = 100 * rows[-1].mean.value
    # Means of sets that some targets lack are over others: steps end at all of the complete ones.
    gain = rows[-1].gain
    nothing = whole - 100 * gain.value if gain else nothing
    starts = list(accumulate(values, initial=nothing))
    panel.barh(0, nothing, color=GREY, height=0.6)
    for place, ((share, _), start, value) in enumerate(
        zip(shares, starts, values, strict=False), 1
    ):
        panel.barh(place, value, left=start, color=GREEN if value > 0 else VERMILLION, height=0.6)
        panel.plot([start, start], [place - 1, place], color=BLACK, lw=0.6)
        text = "{:+.1f} [{:.1f}, {:.1f}]".format(*shared.percents(share))
        panel.text(max(start, start + value) + 1.5, place, text, va="center", fontsize=7)
    last = len(shares) + 1
    panel.barh(last, whole, color=BLUE, height=0.6)
    panel.plot([whole, whole], [last - 1, last], color=BLACK, lw=0.6)
    for place, value in ((0, nothing), (last, whole)):
        panel.text(value + 1.5, place, f"{value:.1f} %", va="center", fontsize=7)
    names = ["none", *(clipped(name, 16) for _, name in shares), "all"]
    panel.set_yticks(range(last + 1), names)
    panel.set_xlim(0, max(100, whole + 45))
    panel.set_xticks(range(0, 101, 25))
    panel.set_xlabel("from no element covered to all, by\nShapley values (points, 95 %)")
    panel.grid(axis="x", color=shared.LINES, lw=0.5)
    panel.set_axisbelow(True)
    _from_top(panel, last + 1)


def _from_top(panel: Axes, rows: int) -> None:
    panel.set_ylim(rows - 0.4, -0.6)
