"""The figure of training choices: a bar a rule, grouped by target, with what a paper prints."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from matcg.analysis.beside_published import Beside
from matcg.analysis.by_target import ByTarget
from matcg.analysis.pairs import Setting, arm_order
from matcg.config.arm import CG
from matcg.plan.records import BASELINE
from matcg.report.figures import shared
from matcg.report.figures.style import BLACK, clipped, new_figure

_SETTINGS = 4
MAX_TARGETS = 32
WIDTH, BAR, LABEL = 7.2, 0.12, 0.95  # inches: of a line, a bar, a target's name
_GAP = 1.5  # bars between two targets
# Lines only: dots and circles make half a megabyte each.
HATCHES = ("", "////", "----", "\\\\\\\\", "||||", "xxxx", "++++")

# A training choice: arm and rule.
_Choice = tuple[str, str]
# Printed percentages of a model by target and choice.
_Printed = Mapping[tuple[str, _Choice], Sequence[float]]


@dataclass(frozen=True)
class Bars:
    """What one setting draws: its rows by target and choice, and what is printed for them."""

    rows: Mapping[tuple[str, _Choice], ByTarget]
    baselines: Mapping[str, ByTarget]
    printed: _Printed


def scaling_figure(targets: Sequence[ByTarget], published: Sequence[Beside] = ()) -> Figure | None:
    """Draw every training choice's accuracy as bars by target, with baseline and chance.

    A paper's figures that are `published` are drawn as open marks. There is none unless an
    experiment has several rules with one combination a target each: only then is a rule a choice of
    training data.
    """
    if not _is_choice(targets):
        return None
    shown = [row for row in targets if _is_bar(row)]
    groups, note = shared.chosen_settings(shared.by_setting(shown), _SETTINGS)
    choices = sorted({_choice(row) for row in shown}, key=lambda c: (arm_order(c[0]), c[1]))
    names = sorted(shared.unique(row.target for row in shown))
    left_out = shared.not_drawn(len(names) - MAX_TARGETS, "targets")
    names = names[:MAX_TARGETS]
    step = max(BAR * (len(choices) + _GAP), LABEL)
    each = max(1, min(len(names), int(WIDTH / step)))
    pages = [names[start : start + each] for start in range(0, len(names), each)]
    lines = [(setting, page) for setting in groups for page in pages]
    width = max(1.0 + step * each, 5.0)
    columns = int(width / 1.9)
    legend = 0.2 + 0.17 * ceil((len(choices) + 4) / columns)
    figure = new_figure(width, legend + 1.9 * len(lines) + 0.2)
    axes = figure.subplots(len(lines), 1, squeeze=False, sharey=True)[:, 0]
    for axis, (setting, page) in zip(axes, lines, strict=True):
        _panel(axis, _part(setting, groups[setting], targets, published), page, choices)
        axis.set_xlim(-_GAP / 2 - 0.5, each * (len(choices) + _GAP) - _GAP / 2 - 0.5)
        names_shown = [clipped(name, int(step * 72 / 4)) for name in page]
        axis.set_xticks(axis.get_xticks(), names_shown)
        axis.set_title(shared.setting_title(setting) if page is pages[0] else "")
    handles = _legend(choices, bool(published), bool(shared.chances(shown)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    shared.add_note(figure, note, left_out)
    return figure


def _is_choice(targets: Iterable[ByTarget]) -> bool:
    combined = [row for row in targets if row.arm == CG and row.rule]
    single = all(row.combinations <= 1 for row in combined)
    return single and len({row.rule for row in combined}) > 1


def _is_bar(row: ByTarget) -> bool:
    """Tell whether a row is of a rule, or of a trained arm as a whole."""
    return row.arm != BASELINE and bool(row.rule) == (row.arm == CG)


def _choice(row: ByTarget) -> _Choice:
    return row.arm, row.rule


def _part(
    setting: Setting,
    rows: Iterable[ByTarget],
    targets: Iterable[ByTarget],
    published: Iterable[Beside],
) -> Bars:
    backbone, recipe, *_ = setting
    baselines = {
        row.target: row
        for row in targets
        if row.arm == BASELINE and row.setting.backbone == backbone
    }
    mine = [row for row in published if (row.backbone, row.recipe) == (backbone, recipe)]
    found = {(row.target, _choice(row)): row for row in rows}
    return Bars(found, baselines, _printed(mine))


def _printed(published: Iterable[Beside]) -> _Printed:
    """Return printed accuracies; what is printed for an arm alone repeats in each rule's row."""
    found: dict[tuple[str, _Choice], dict[float, None]] = defaultdict(dict)
    for row in published:
        for arm, each in row.arms.items():
            if each.printed is not None and each.ours and "-minus-" not in arm:
                choice = (arm, row.rule if arm == CG else "")
                found[row.target, choice][100 * each.printed] = None
    return {place: list(values) for place, values in found.items()}


def _panel(panel: Axes, part: Bars, names: Sequence[str], choices: Sequence[_Choice]) -> None:
    step = len(choices) + _GAP
    for place, name in enumerate(names):
        _group(panel, part, name, choices, place * step)
    panel.set_xticks([place * step + (len(choices) - 1) / 2 for place in range(len(names))])
    panel.tick_params(axis="x", length=0, labelsize=7)
    panel.set_ylim(0, 100)
    panel.set_ylabel("accuracy (%)")
    panel.grid(axis="y", color=shared.LINES, lw=0.5)
    panel.set_axisbelow(True)


def _group(panel: Axes, part: Bars, name: str, choices: Sequence[_Choice], start: float) -> None:
    """Draw a target's bars from x = `start` on, its baseline and its chance."""
    ends = (start - 0.6, start + len(choices) - 0.4)
    rows = [part.rows[name, choice] for choice in choices if (name, choice) in part.rows]
    for chance in shared.chances(rows[:1]):
        panel.plot(ends, [chance] * 2, **shared.CHANCE)
    baseline = part.baselines.get(name)
    if baseline:
        panel.plot(ends, [100 * baseline.accuracy.value] * 2, **BASELINE_LINE)
    for value in part.printed.get((name, (BASELINE, "")), ()):
        panel.plot(ends[0], value, **PRINTED, marker="<")
    for place, (choice, look) in enumerate(zip(choices, _looks(choices), strict=True)):
        row = part.rows.get((name, choice))
        if row:
            value, low, high = shared.percents(row.accuracy)
            panel.bar(start + place, value, 0.86, **look)
            bars = [[value - low], [high - value]]
            panel.errorbar(start + place, value, bars, color=BLACK, elinewidth=0.7, capsize=1.2)
        for value in part.printed.get((name, choice), ()):
            panel.plot(start + place, value, **PRINTED, marker="D")


BASELINE_LINE: dict[str, Any] = {"color": BLACK, "lw": 1.2, "ls": (0, (4, 1.5)), "zorder": 4}
PRINTED: dict[str, Any] = {
    "ls": "", "ms": 4.5, "mfc": "white", "mec": BLACK, "mew": 0.9, "zorder": 6, "clip_on": False,
}  # fmt: skip


def _looks(choices: Sequence[_Choice]) -> list[dict[str, Any]]:
    """Return each choice's colour and hatch; arms that are no rule are drawn on white."""
    pairs = zip(cycle(shared.CYCLE[:-1]), cycle(HATCHES), strict=False)
    styles = shared.arm_styles(arm for arm, rule in choices if not rule)
    looks: list[dict[str, Any]] = []
    for (arm, rule), (color, hatch) in zip(choices, pairs, strict=False):
        look = {"fc": color, "ec": "white", "lw": 0.0}
        if not rule:
            look = {"fc": "white", "ec": styles[arm][0], "lw": 1.0}
        looks.append({**look, "hatch": hatch})
    return looks


def _legend(choices: Sequence[_Choice], printed: bool, guessed: bool) -> list[Any]:
    handles: list[Any] = [
        Patch(**look, label=clipped(choice[1] or choice[0], 30))
        for choice, look in zip(choices, _looks(choices), strict=True)
    ]
    handles += [Line2D([], [], **BASELINE_LINE, label="baseline")]
    handles += [Line2D([], [], **shared.CHANCE, label="chance")] * guessed
    if printed:
        handles += [Line2D([], [], **PRINTED, marker="D", label="printed")]
        handles += [Line2D([], [], **PRINTED, marker="<", label="printed baseline")]
    return handles
