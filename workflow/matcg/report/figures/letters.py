"""Figures of letter bias and of calibration, a panel an arm."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from matcg.analysis.letters import BINS, Bin, LetterUse
from matcg.analysis.pairs import Setting, arm_order
from matcg.report.figures import shared
from matcg.report.figures.style import BLACK, GREY, clipped, new_figure

_SETTINGS = 3
_ARMS = 6
RIGHT: dict[str, Any] = {"fc": "white", "ec": GREY, "hatch": "//////", "lw": 0.7}
RECALL: dict[str, Any] = {"color": BLACK, "marker": "D", "ms": 3.5, "mfc": "white", "lw": 0.9}
PERFECT: dict[str, Any] = {"color": BLACK, "lw": 0.8, "ls": (0, (4, 2))}
_SHARE: dict[str, Any] = {"fc": "#d0d0d0", "lw": 0}
_R = TypeVar("_R", Bin, LetterUse)
CONFIDENCE = "confidence: probability of the answered letter among the options' letters"


@dataclass(frozen=True, slots=True)
class ArmPanel(Generic[_R]):
    """The axes of an arm, its rows, and what its heading is."""

    axes: Axes
    rows: Sequence[_R]
    arm: str
    heading: str

    def set_title(self, measure: str, value: float) -> None:
        """Write the heading and an arm's measure above it."""
        text = f"{clipped(self.arm, 16)}: {measure} {100 * value:.1f}"
        self.axes.set_title(f"{self.heading}\n{text}", fontsize=7.5)


def letters_figure(rows: Sequence[LetterUse]) -> Figure:
    """Draw how often each letter is right and is answered, and its recall.

    Every number of options has a line of panels of its own.
    """
    if not rows:
        return shared.empty("no answers to multiple choice: others have no letters")
    kept, note = shared.chosen_settings(_with_untrained(rows), _SETTINGS)
    lines = {
        f"{shared.setting_title(setting)}; questions of {options} options": [
            row for row in mine if row.use.options == options
        ]
        for setting, mine in kept.items()
        for options in sorted({row.use.options for row in mine})
    }
    figure, panels = _panels(lines)
    styles = shared.arm_styles(dict.fromkeys(panel.arm for panel in panels))
    for panel in panels:
        _letters(panel.axes, panel.rows, styles[panel.arm][0])
        panel.set_title("RStd", panel.rows[0].use.rstd)
    handles = [
        Patch(**RIGHT, label="letter is right"),
        Patch(fc=GREY, label="letter is answered"),
        Line2D([], [], **RECALL, label="recall: accuracy where it is right"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    figure.supylabel("%", fontsize=8)
    shared.add_note(figure, note, _arms_left_out(rows))
    return figure


def _letters(panel: Axes, rows: Sequence[LetterUse], color: str) -> None:
    places, letters = np.arange(len(rows)), [row.use for row in rows]
    panel.bar(places - 0.2, [100 * each.right for each in letters], 0.38, **RIGHT)
    panel.bar(places + 0.2, [100 * each.answered for each in letters], 0.38, fc=color, lw=0)
    recalls = [(at, each.recall) for at, each in enumerate(letters) if each.recall is not None]
    panel.plot([at for at, _ in recalls], [100 * recall for _, recall in recalls], **RECALL)
    panel.set_xticks(places, [each.letter for each in letters])
    panel.set_ylim(0, 103)
    panel.grid(axis="y", color=shared.LINES, lw=0.5)
    panel.set_axisbelow(True)


def calibration_figure(rows: Sequence[Bin]) -> Figure:
    """Draw accuracy against confidence by bins of it, with their sizes."""
    if not rows:
        return shared.empty("no answers to multiple choice: others have no letters")
    kept, note = shared.chosen_settings(_with_untrained(rows), _SETTINGS)
    figure, panels = _panels(
        {shared.setting_title(setting): mine for setting, mine in kept.items()}
    )
    styles = shared.arm_styles(dict.fromkeys(panel.arm for panel in panels))
    for panel in panels:
        color, marker, _ = styles[panel.arm]
        _reliability(panel.axes, panel.rows, color, marker)
        panel.set_title("ECE", panel.rows[0].ece)
    handles = [
        Line2D([], [], color=GREY, marker="o", ms=4, lw=1.2, label="mean of a bin"),
        Line2D([], [], **PERFECT, label="perfect calibration"),
        Patch(**_SHARE, label="share of answers, and their number"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    figure.supylabel("accuracy (%)", fontsize=8)
    shared.add_note(figure, CONFIDENCE, note, _arms_left_out(rows))
    return figure


def _reliability(panel: Axes, rows: Sequence[Bin], color: str, marker: str) -> None:
    counts = np.array([row.answers for row in rows])
    middles = [100 * row.low + 50 / BINS for row in rows]
    shares = 100 * counts / counts.sum()
    panel.bar(middles, shares, 90 / BINS, **_SHARE, zorder=1)
    for middle, count in zip(middles, counts, strict=True):
        text = panel.text(
            middle, 2, _short(count), fontsize=6, rotation=90, ha="center", zorder=4, va="bottom"
        )
        text.set_path_effects([withStroke(linewidth=1.5, foreground="white")])
    panel.plot([0, 100], [0, 100], **PERFECT, zorder=2)
    xs = [100 * row.confidence for row in rows]
    ys = [100 * row.accuracy for row in rows]
    panel.plot(xs, ys, color=color, marker=marker, ms=4, lw=1.2, zorder=3)
    panel.set(xlim=(0, 100), ylim=(0, 103), xticks=(0, 50, 100), xlabel="confidence (%)")


def _short(count: float) -> str:
    """Return a count in at most five characters."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if count >= 10 * limit:
            return f"{count / limit:.0f}{unit}"
    return f"{count:.0f}"


def _arms_left_out(rows: Iterable[Bin | LetterUse]) -> str:
    return shared.not_drawn(len({row.arm for row in rows}) - _ARMS, "arms")


def _with_untrained(rows: Sequence[_R]) -> dict[Setting, list[_R]]:
    """Return rows by setting, those of an untrained backbone beside each of its settings."""
    groups = shared.by_setting(rows)
    trained = {setting: mine for setting, mine in groups.items() if setting.recipe}
    for setting in groups.keys() - trained.keys():
        same = [other for other in trained if other.backbone == setting.backbone]
        trained |= {other: trained[other] + groups[setting] for other in same}
        trained |= {} if same else {setting: groups[setting]}
    return dict(sorted(trained.items()))


def _panels(lines: Mapping[str, Sequence[_R]]) -> tuple[Figure, list[ArmPanel[_R]]]:
    """Return a figure with a line of panels under each title, a panel for each arm."""
    found = {row.arm for rows in lines.values() for row in rows}
    arms = sorted(found, key=arm_order)[:_ARMS]
    figure = new_figure(0.6 + max(5.0, 1.4 * len(arms)), 0.7 + 1.8 * len(lines))
    grid = figure.subplots(len(lines), len(arms), squeeze=False, sharey=True)
    panels = []
    for axes_of_line, (title, rows) in zip(grid, lines.items(), strict=True):
        heading = title
        for axes, arm in zip(axes_of_line, arms, strict=True):
            mine = [row for row in rows if row.arm == arm]
            axes.set_visible(bool(mine))
            if mine:
                panels.append(ArmPanel(axes, mine, arm, heading))
                heading = ""
    return figure, panels
