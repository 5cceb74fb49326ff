"""The figure of protocols: accuracy of each arm by how the questions were asked."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from matcg.analysis.pairs import arm_order
from matcg.analysis.protocols import ByProtocol
from matcg.report.figures import shared
from matcg.report.figures.style import clipped, new_figure

_SETTINGS = 4
_ARMS = 6
_PROTOCOLS = 16
SPREAD = 0.7  # share of a protocol's line that its arms take


def protocol_figure(rows: Sequence[ByProtocol]) -> Figure | None:
    """Draw accuracies with intervals, a line a protocol in the table's order.

    There is none where only one protocol has answers.
    """
    # The difference is no accuracy, and a protocol without answers no line.
    drawn = [row for row in rows if row.accuracy and " minus " not in row.arm]
    names = shared.unique(row.protocol for row in drawn)
    if len(names) < 2:
        return None
    groups, note = shared.chosen_settings(shared.by_setting(drawn), _SETTINGS)
    arms = sorted(shared.unique(row.arm for row in drawn), key=arm_order)
    more = [(len(arms) - _ARMS, "arms"), (len(names) - _PROTOCOLS, "protocols")]
    notes = [shared.not_drawn(*each) for each in more]
    arms, names = arms[:_ARMS], names[:_PROTOCOLS]
    styles = shared.arm_styles(arms)
    columns = min(2, len(groups))
    lines = -(-len(groups) // columns)
    step = 0.12 + 0.075 * len(arms)
    figure = new_figure(2.4 + 3.2 * columns, 1.0 + lines * (0.45 + step * len(names)))
    axes = shared.panels(figure, len(groups), columns)
    for panel, (setting, group) in zip(axes, groups.items(), strict=True):
        _panel(panel, group, names, styles)
        panel.set_title(clipped(shared.setting_title(setting)))
    handles = [
        Line2D([], [], color=color, marker=marker, ls="", ms=4.5, label=clipped(arm, 24))
        for arm, (color, marker, _) in styles.items()
    ]
    if shared.chances(drawn):
        handles.append(Line2D([], [], **shared.CHANCE, label="chance"))
    shared.add_legend(figure, handles)
    shared.add_note(figure, note, *notes)
    return figure


def _panel(
    panel: Axes,
    rows: Sequence[ByProtocol],
    names: Sequence[str],
    styles: Mapping[str, shared.ArmStyle],
) -> None:
    found = {(row.protocol, row.arm): row for row in rows}
    step = SPREAD / max(len(styles) - 1, 1)
    for place, name in enumerate(names):
        if chances := shared.chances(row for (at, _), row in found.items() if at == name):
            panel.plot([fmean(chances)] * 2, [place - 0.45, place + 0.45], **shared.CHANCE)
        for number, (arm, (color, marker, _)) in enumerate(styles.items()):
            row = found.get((name, arm))
            if row is None or row.accuracy is None:
                continue
            value, low, high = shared.percents(row.accuracy)
            y = place - (SPREAD / 2 if len(styles) > 1 else 0) + number * step
            panel.plot([low, high], [y, y], color=color, lw=1.0)
            panel.plot(value, y, marker, color=color, ms=4)
    panel.set_yticks(range(len(names)), [clipped(name, 30) for name in names])
    panel.set_ylim(len(names) - 0.45, -0.55)
    panel.set_xlim(-1, 101)
    panel.set_xlabel("accuracy (%), means over targets with 95 % intervals")
    panel.tick_params(axis="y", length=0)
    for place in range(1, len(names)):
        panel.axhline(place - 0.5, color=shared.LINES, lw=0.8)
    panel.grid(axis="x", color=shared.LINES, lw=0.5)
    panel.set_axisbelow(True)
