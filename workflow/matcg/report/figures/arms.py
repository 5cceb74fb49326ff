"""The figure of arms: the mean accuracy of each on every target, and chance."""

import statistics
import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from matcg.analysis.accuracy import Accuracy
from matcg.analysis.pairs import arm_order
from matcg.plan.records import BASELINE
from matcg.report.figures import shared
from matcg.report.figures.style import GREY, clipped, new_figure

_SETTINGS = 4
_TITLE = 44  # letters of a line above a panel: more run out of the figure


def arms_figure(accuracy: Sequence[Accuracy]) -> Figure:
    """Draw the mean accuracy of every arm on each target, and its chance."""
    if not accuracy:
        return shared.empty("nothing has been answered yet")
    trained_groups = shared.by_setting(row for row in accuracy if row.run != BASELINE)
    groups, note = shared.chosen_settings(trained_groups or shared.by_setting(accuracy), _SETTINGS)
    longest = max(len(shared.unique(row.target for row in group)) for group in groups.values())
    columns = min(2, len(groups))
    lines = -(-len(groups) // columns)
    size = (2.6 + 3.4 * columns, 0.9 + lines * (0.5 + 0.28 * longest))
    figure = new_figure(size[0], min(size[1], 40))
    axes = list(figure.subplots(lines, columns, squeeze=False, sharex=True).flat)
    styles = shared.arm_styles(sorted(shared.unique(row.arm for row in accuracy), key=arm_order))
    untrained = [row for row in accuracy if row.run == BASELINE]
    for panel, (setting, group) in zip(axes, groups.items(), strict=False):
        mine = [row for row in group if row.run != BASELINE]
        mine += [row for row in untrained if row.setting.backbone == setting.backbone]
        _arms(panel, mine, styles)
        panel.set_title(textwrap.fill(shared.setting_title(setting), _TITLE))
    for panel in axes[len(groups) :]:
        panel.set_visible(False)
    handles = [
        Line2D([], [], color=color, marker=marker, ls="", ms=5, label=arm)
        for arm, (color, marker, _) in styles.items()
    ]
    if shared.chances(accuracy):
        handles += [Line2D([], [], color=GREY, marker="|", ls="", ms=9, mew=1.5, label="chance")]
    shared.add_legend(figure, handles)
    shared.add_note(figure, note)
    return figure


def _arms(panel: Axes, rows: Sequence[Accuracy], styles: Mapping[str, shared.ArmStyle]) -> None:
    targets = sorted(shared.unique(row.target for row in rows), reverse=True)
    for place, target in enumerate(targets):
        mine = [row for row in rows if row.target == target]
        if chances := shared.chances(mine):
            ends = [place - 0.38, place + 0.38]
            panel.plot([statistics.fmean(chances)] * 2, ends, color=GREY, lw=1.5)
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
    panel.grid(axis="both", color=shared.LINES, lw=0.5)
    panel.set_axisbelow(True)
