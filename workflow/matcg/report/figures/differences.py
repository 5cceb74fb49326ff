"""The figure of every combination's difference from its reference, a block each direction type."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from matcg.analysis.comparison import Comparison
from matcg.analysis.pairs import Array, Setting
from matcg.analysis.statistics import Estimate
from matcg.analysis.summary import Summary
from matcg.config.arm import CG
from matcg.report.figures import shared
from matcg.report.figures.style import BLACK, GREY, MARKERS, clipped, new_figure

# Above this many rows a panel has no labels, the tables name them all, and rows become thin.
LABELLED = 90
_WIDTH = 7.2  # inches
PANEL_ROWS = 180  # with labels, of all settings together
SETTINGS = 4
THIN_ROWS = 360  # of a panel; with more combinations a row is the mean of neighbours
ROW, THIN_ROW, HEADING = 0.17, 0.026, 0.27  # inches


@dataclass(frozen=True, slots=True)
class RuleBlock:
    """A rule's combinations, the best first, and its mean over targets: value, low, high (points).

    `lines` are the combinations as they are drawn (value, low, high, significant), neighbours
    together where there are too many.
    """

    rule: str
    rows: Sequence[Comparison]
    mean: tuple[float, float, float] | None
    lines: Sequence[tuple[float, float, float, bool]]

    @property
    def heading(self) -> str:
        """Return the rule, its mean, and how many of its combinations are significant."""
        value = "  {:+.1f} [{:.1f}, {:.1f}]".format(*self.mean) if self.mean else ""
        verdicts = [row.verdict for row in self.rows]
        counts = f"helps {verdicts.count('helps')}, hurts {verdicts.count('hurts')}"
        return f"{clipped(self.rule, 40)}{value}  ({counts} of {len(self.rows)})"


def difference_figure(comparison: Sequence[Comparison], summary: Sequence[Summary]) -> Figure:
    """Draw each combination's difference with its interval, sorted within its rule.

    A rule is a block under its mean over targets, the block with the highest mean on top.
    """
    rows = [row for row in comparison if row.difference]
    if not rows:
        return shared.empty("no combination has a reference to be compared with")
    groups = shared.by_setting(rows)
    longest = max(map(len, groups.values()))
    most = SETTINGS if longest > LABELLED else min(SETTINGS, PANEL_ROWS // longest)
    kept, note = shared.chosen_settings(groups, most)
    row = ROW if max(map(len, kept.values())) <= LABELLED else THIN_ROW
    blocks = {setting: _blocks(setting, mine, summary) for setting, mine in kept.items()}
    heights = [sum(HEADING + row * len(b.lines) for b in each) for each in blocks.values()]
    figure = new_figure(_WIDTH, max(2.0, 0.5 + sum(heights) + 0.6 * len(heights)))
    axes = figure.subplots(len(kept), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    rules = sorted(shared.unique(row.rule for row in rows))
    styles = dict(zip(rules, cycle(zip(shared.CYCLE, MARKERS, strict=True)), strict=False))
    for axis, (setting, each) in zip(axes, blocks.items(), strict=True):
        _panel(axis, each, styles, row)
        axis.set_title(shared.setting_title(setting))
        axis.set_xlabel(f"CG minus {rows[0].reference} (points)")
    shared.add_note(figure, _key(blocks), note)
    return figure


def _key(blocks: Mapping[Setting, Sequence[RuleBlock]]) -> str:
    text = "filled: Holm p < 0.05; dashed line and band: mean over targets, 95 % interval"
    if any(len(block.lines) < len(block.rows) for each in blocks.values() for block in each):
        text += "; a row is the mean of neighbouring combinations, filled where all are"
    return text


def _blocks(
    setting: Setting, rows: Sequence[Comparison], summary: Sequence[Summary]
) -> list[RuleBlock]:
    groups: dict[str, list[Comparison]] = defaultdict(list)
    for row in rows:
        groups[row.rule].append(row)
    most = max(6, THIN_ROWS // len(groups)) if len(rows) > LABELLED else LABELLED
    means = _means(setting, summary)
    blocks = [
        RuleBlock(rule, ordered, means.get(rule), _lines(ordered, most))
        for rule, group in groups.items()
        for ordered in [sorted(group, key=_place)]
    ]
    return sorted(blocks, key=lambda block: (-block.mean[0] if block.mean else 0.0, block.rule))


def _place(row: Comparison) -> tuple[float, str, str]:
    return (-_difference(row).value, row.target, row.combination)


def _difference(row: Comparison) -> Estimate:
    assert row.difference, "those without are not drawn"
    return row.difference


def _means(setting: Setting, summary: Sequence[Summary]) -> dict[str, tuple[float, float, float]]:
    return {
        row.rule: shared.percents(row.minus_reference)
        for row in shared.by_setting(summary).get(setting, ())
        if row.rule and row.arm == CG and row.minus_reference
    }


def _lines(rows: Sequence[Comparison], most: int) -> list[tuple[float, float, float, bool]]:
    parts = np.array_split(np.arange(len(rows)), min(len(rows), most))
    return [_line([rows[place] for place in part]) for part in parts]


def _line(rows: Sequence[Comparison]) -> tuple[float, float, float, bool]:
    ends = zip(*(shared.percents(_difference(row)) for row in rows), strict=True)
    value, low, high = map(statistics.fmean, ends)
    return value, low, high, all(row.verdict in ("helps", "hurts") for row in rows)


def _panel(
    panel: Axes, blocks: Sequence[RuleBlock], styles: Mapping[str, tuple[str, str]], row: float
) -> None:
    """Draw blocks one below the other; a unit of y is a row of so many inches."""
    top = 0.0
    ticks: list[float] = []
    for block in blocks:
        places = np.arange(len(block.lines), dtype=np.float64) + (top + HEADING / row + 0.5)
        _heading(panel, block, top + HEADING / row / 2)
        _mean(panel, block, places)
        _rows(panel, block, places, styles[block.rule], 1.0 if row == ROW else 0.45)
        ticks += places.tolist()
        top = places[-1] + 0.5
    panel.axvline(0, color=BLACK, lw=0.7)
    panel.grid(axis="x", color=shared.LINES, lw=0.5)
    panel.set_axisbelow(True)
    panel.set_ylim(top + 0.2, 0)
    panel.set_yticks([])
    if row == ROW:
        names = [f"{each.target}  ←  {each.combination}" for b in blocks for each in b.rows]
        panel.set_yticks(ticks, [clipped(name) for name in names], fontsize=6.5)


def _heading(panel: Axes, block: RuleBlock, middle: float) -> None:
    panel.text(
        *(0.005, middle, block.heading),
        transform=panel.get_yaxis_transform(),
        va="center",
        fontsize=7.5,
        weight="bold",
        bbox={"fc": "white", "ec": "none", "pad": 0.5},
        zorder=6,
    )


def _mean(panel: Axes, block: RuleBlock, places: Array) -> None:
    """Draw a rule's mean with its interval across its rows."""
    if block.mean is None:
        return
    value, low, high = block.mean
    ends = (places[0] - 0.5, places[-1] + 0.5)
    panel.vlines(value, *ends, color=GREY, lw=1.0, ls=(0, (4, 2)), zorder=1)
    panel.fill_betweenx(ends, low, high, color=GREY, alpha=0.15, lw=0, zorder=0)


def _rows(
    panel: Axes, block: RuleBlock, places: Array, style: tuple[str, str], scale: float
) -> None:
    color, marker = style
    values, lows, highs, significant = map(np.array, zip(*block.lines, strict=True))
    panel.hlines(places, lows, highs, color=color, lw=1.1 * scale)
    for chosen, face in ((significant, color), (~significant, "white")):
        look: dict[str, Any] = {"color": color, "mfc": face, "ms": 4 * scale, "mew": 0.9 * scale}
        panel.plot(values[chosen], places[chosen], marker, **look)
