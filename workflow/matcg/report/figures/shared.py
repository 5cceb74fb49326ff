"""What the figures of an experiment share: rows by setting, cells as numbers, looks of arms."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from math import ceil
from textwrap import fill
from typing import Any, Protocol, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from matcg.analysis.pairs import Setting
from matcg.analysis.statistics import Estimate
from matcg.config.arm import CG, CONTROL
from matcg.plan.records import BASELINE
from matcg.report.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    new_figure,
)

# Yellow is too pale for lines on white and stays out of the cycle.
CYCLE = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, BLACK)
LINES = "#e0e0e0"
CHANCE: dict[str, Any] = {"color": GREY, "ls": (0, (1, 1.5)), "lw": 1.2}


class InSetting(Protocol):
    """A record that belongs to a setting."""

    @property
    def setting(self) -> Setting:
        """Return the setting."""


class Guessable(Protocol):
    """A record of answers that may be guessed."""

    @property
    def chance(self) -> float | None:
        """Return what blind guessing gets, None where there is no such thing."""


# Colour, marker, dashes.
ArmStyle = tuple[str, str, tuple[float, tuple[float, ...] | None]]
ARM_STYLES: dict[str, ArmStyle] = {
    CG: (BLUE, "o", (0, None)),
    CONTROL: (VERMILLION, "s", (0, (4, 1.5))),
    BASELINE: (BLACK, "^", (0, (1, 1))),
    "floor": (GREY, "v", (0, (5, 1, 1, 1))),
    "ceiling": (GREEN, "D", (0, (8, 2))),
}
SPARE: tuple[ArmStyle, ...] = (
    (PURPLE, "P", (0, (3, 1, 1, 1, 1, 1))),
    (ORANGE, "X", (0, (6, 1, 2, 1))),
    (SKY, "*", (0, (2, 2))),
    (PURPLE, "<", (0, (6, 2))),
    (ORANGE, "p", (0, (1, 2))),
    (SKY, ">", (0, (8, 1, 1, 1))),
)
LEGEND_NAME = 40  # letters of a name in a legend
_T = TypeVar("_T")
_R = TypeVar("_R", bound=InSetting)


def arm_styles(arms: Iterable[str]) -> dict[str, ArmStyle]:
    """Return the looks of each arm: those of the usual ones are the same in every figure."""
    spare = cycle(SPARE)
    return {arm: ARM_STYLES[arm] if arm in ARM_STYLES else next(spare) for arm in arms}


def legend_columns(width: float, names: Sequence[str]) -> int:
    """Return how many names fit side by side into a width in inches."""
    longest = min(LEGEND_NAME, max(map(len, names)))
    return min(len(names), max(1, int(72 * width / (32 + 4.6 * longest))))


def add_legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Put a legend below all panels, as many names a line as the figure is wide enough for."""
    names = [str(handle.get_label()) for handle in handles]
    columns = legend_columns(figure.get_figwidth(), names)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def by_setting(rows: Iterable[_R]) -> dict[Setting, list[_R]]:
    """Return records by their setting, in its order."""
    groups: dict[Setting, list[_R]] = defaultdict(list)
    for row in rows:
        groups[row.setting].append(row)
    return dict(sorted(groups.items()))


def chosen_settings(
    groups: Mapping[Setting, Sequence[_T]], most: int
) -> tuple[dict[Setting, Sequence[_T]], str]:
    """Return at most so many settings, and a note on those left out, empty where there are none.

    Those trained on most are taken first: they are what an experiment ends with.
    """
    by_size = sorted(groups, key=lambda setting: -setting.n_train)
    kept = sorted(by_size[:most])
    note = not_drawn(len(groups) - len(kept), "settings")
    return {setting: groups[setting] for setting in kept}, note


def not_drawn(left_out: int, what: str) -> str:
    """Return a note on how much of something a figure leaves out, empty where it has all."""
    return f"{left_out} further {what} are not drawn; the tables have them" * (left_out > 0)


def setting_title(setting: Setting) -> str:
    """Return a setting in words."""
    backbone, recipe, n_train, mixed_in = setting
    parts = [backbone, f"recipe {recipe}" if recipe else "", f"{n_train} samples"]
    parts += [f"{mixed_in} of them the target's"] if mixed_in else []
    return ", ".join(part for part in parts if part)


def percents(estimate: Estimate) -> tuple[float, float, float]:
    """Return an estimate and the bounds of its interval as percent."""
    return 100 * estimate.value, 100 * estimate.low, 100 * estimate.high


def chances(rows: Iterable[Guessable]) -> list[float]:
    """Return in percent what blind guessing gets, of those rows of which it is known."""
    return [100 * row.chance for row in rows if row.chance is not None]


def unique(values: Iterable[str]) -> list[str]:
    """Return values each once, in their order."""
    return list(dict.fromkeys(values))


def empty(text: str) -> Figure:
    """Say why there is nothing to see: a missing figure would look like a failure."""
    figure = new_figure(6, 1)
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY)
    return figure


def add_note(figure: Figure, *notes: str) -> None:
    """Write above a figure what is to know of it, such as what it does not show."""
    if note := "; ".join(filter(None, notes)):
        text = fill(note, int(17 * figure.get_figwidth()))
        figure.suptitle(text, fontsize=7, color=GREY, x=0.01, ha="left")


def add_mark(figure: Figure, text: str) -> None:
    """Write over a figure what it must not be taken for, wherever it is copied to."""
    look: dict[str, Any] = {"fontsize": 24, "color": VERMILLION, "alpha": 0.25, "rotation": 20}
    figure.text(0.5, 0.5, text, ha="center", va="center", **look)


def panels(figure: Figure, count: int, columns: int) -> list[Axes]:
    """Return `count` axes of a figure in lines of so many, all of one scale."""
    columns = min(count, columns)
    grid = figure.subplots(ceil(count / columns), columns, squeeze=False, sharex=True, sharey=True)
    axes: list[Axes] = list(np.asarray(grid).flat)
    for place, axis in enumerate(axes):
        # The panel below may be missing in the last line.
        axis.tick_params(labelbottom=place + columns >= count)
        axis.set_visible(place < count)
    return axes[:count]
