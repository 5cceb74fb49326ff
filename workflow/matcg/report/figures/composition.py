"""The figure of both gains: CG minus unrelated data, minus its knock-outs and its best part."""

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from matcg.analysis.composition import Composition, column
from matcg.analysis.statistics import Estimate
from matcg.report.figures import shared
from matcg.report.figures.style import BLACK, BLUE, GREY, VERMILLION, clipped, new_figure

_WIDTH, _ROW, _HEAD = 7.2, 0.26, 0.75  # inches
_PANELS = 8
RELATED, GAIN = (
    "relatedness gain: CG minus unrelated data",
    "composition gain: the smallest of these",
)


def composition_figure(rows: Sequence[Composition]) -> Figure | None:
    """Draw the differences over targets, a panel a setting and rule; None where there are none."""
    over = [row for row in rows if not row.target and row.composition]
    if not over:
        return None
    kept, note = over[:_PANELS], shared.not_drawn(len(over) - _PANELS, "rules")
    lines = [list(_lines(row)) for row in kept]
    heights = [_HEAD + _ROW * len(each) for each in lines]
    figure = new_figure(_WIDTH, sum(heights) + 0.4)
    axes = figure.subplots(len(kept), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axis, row, each in zip(axes, kept, lines, strict=True):
        _panel(axis, each)
        text = f"{row.rule or 'all rules'}, {row.targets} targets: {row.said}"
        axis.set_title(f"{shared.setting_title(row.setting)}\n{clipped(text, 90)}")
    axes[-1].set_xlabel("difference (points), 95 % interval")
    shared.add_note(figure, note)
    return figure


def _lines(row: Composition) -> Iterator[tuple[str, Estimate, str, str]]:
    """Yield label, difference, colour and marker of each line, from top to bottom."""
    if row.relatedness:
        yield RELATED, row.relatedness, VERMILLION, "s"
    for name, gain in row.gains.items():
        if gain:
            yield f"CG minus CG without {name.removeprefix(column(''))}", gain, BLUE, "o"
    if row.composition:
        yield GAIN, row.composition, BLACK, "D"
    if row.minus_part:
        yield f"CG minus as much of its part {row.best_part}", row.minus_part, GREY, "^"


def _panel(axis: Axes, lines: Sequence[tuple[str, Estimate, str, str]]) -> None:
    axis.axvline(0, color=GREY, lw=0.8)
    for place, (_, estimate, color, marker) in enumerate(reversed(lines)):
        value, low, high = shared.percents(estimate)
        axis.plot([low, high], [place, place], color=color, lw=1.6)
        axis.plot(value, place, marker, color=color, ms=5)
    axis.set_yticks(range(len(lines)), [label for label, *_ in reversed(lines)])
    axis.set_ylim(-0.6, len(lines) - 0.4)
    axis.grid(axis="x", color=shared.LINES, lw=0.5)
    axis.set_axisbelow(True)
