"""The figure of training losses, read from the metrics of every run."""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from matcg.analysis.accuracy import Accuracy
from matcg.analysis.pairs import arm_order
from matcg.errors import DataError
from matcg.plan.records import BASELINE
from matcg.report.figures.shared import LINES, arm_styles, empty
from matcg.report.figures.style import new_figure

# Above so many runs of an arm their lines are a blot, and most of the file.
MAX_RUNS = 60
BANDS = ((5, 95), (25, 75))  # percentiles

Curve = Sequence[tuple[int, float]]


def read_losses(
    accuracy: Iterable[Accuracy], runs: Mapping[tuple[str, str], Path], partial: bool = False
) -> dict[str, list[list[tuple[int, float]]]]:
    """Return for each arm its runs' losses as (step, loss), each run once.

    Runs whose backbone is trained by a command of its own have none.

    `runs` gives their folders, by backbone and key. With `partial` those without a file are left
    out.

    Raises:
        DataError: a run has no metrics.jsonl, or one that holds no losses.
    """
    found: dict[str, dict[Path, list[tuple[int, float]]]] = defaultdict(dict)
    for row in accuracy:
        if row.run == BASELINE:
            continue
        path = runs[row.setting.backbone, row.run] / "metrics.jsonl"
        if partial and not path.exists():
            continue
        if path not in found[row.arm]:
            found[row.arm][path] = _read_loss(path)
    drawn = {arm: [each for each in curves.values() if each] for arm, curves in found.items()}
    return {arm: drawn[arm] for arm in sorted(drawn) if drawn[arm]}


def _read_loss(path: Path) -> list[tuple[int, float]]:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        losses = [(int(line["step"]), float(line["loss"])) for line in lines if "loss" in line]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run the fine-tuning again") from None
    if not losses and {"command": True} not in lines:
        raise DataError(f"{path}: no losses; run the fine-tuning again")
    return losses


def loss_figure(losses: Mapping[str, Sequence[Curve]]) -> Figure:
    """Draw the training loss of every run, one panel an arm, with the median over runs.

    Of more than `MAX_RUNS` runs the spread is drawn instead: where 50 % and 90 % of them lie.
    """
    if not losses:
        return empty("nothing was fine-tuned")
    arms = sorted(losses, key=arm_order)
    styles = arm_styles(arms)
    figure = new_figure(1 + 2.2 * len(arms), 2.8)
    axes = figure.subplots(1, len(arms), squeeze=False, sharey=True, sharex=True)[0]
    for panel, arm in zip(axes, arms, strict=True):
        spread = _draw(panel, losses[arm], styles[arm][0])
        panel.set_title(f"{arm} ({len(losses[arm])}{spread})")
        panel.set_xlabel("step")
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panel.grid(color=LINES, lw=0.5)
    axes[0].set_ylabel("training loss")
    return figure


def _draw(panel: Axes, curves: Sequence[Curve], color: str) -> str:
    """Draw an arm's runs and return what their title adds."""
    steps = _common_steps(curves)
    xs = list(steps)
    many = len(curves) > MAX_RUNS
    for low, high in BANDS if many else ():
        lows, highs = zip(*(np.percentile(steps[x], [low, high]) for x in xs), strict=True)
        panel.fill_between(xs, lows, highs, color=color, alpha=0.2, lw=0)
    for curve in () if many else curves:
        panel.plot(*zip(*curve, strict=True), color=color, lw=0.5, alpha=0.3)
    panel.plot(xs, [statistics.median(steps[x]) for x in xs], color=color, lw=1.8)
    return "; bands: 50, 90 %" if many else ""


def _common_steps(curves: Sequence[Curve]) -> dict[int, list[float]]:
    """Return the losses of the steps that at least half of the runs report."""
    steps: dict[int, list[float]] = defaultdict(list)
    for curve in curves:
        for step, loss in curve:
            steps[step].append(loss)
    common = {step for step, values in steps.items() if 2 * len(values) >= len(curves)}
    return {step: steps[step] for step in sorted(common or steps)}
