"""The figure of leak examples: test pictures beside the training pictures that show the same."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from matcg.analysis.clusters import Folders
from matcg.data.leaks import Leak, read_images, read_leaks
from matcg.images import BITS, decode
from matcg.plan.records import read_folders
from matcg.report.figures.shared import add_note, empty
from matcg.report.figures.style import STYLE, clipped, new_figure, save_figure

_COLUMNS = 3  # pairs
EDGE = 160  # pixels of a picture, so that the file stays small whatever the photographs
_NAME = 22  # characters
SHOWN = 12  # pairs, in the figure and on the page


def draw_leak_pairs(leaks: Path, plan: Path, out: Path) -> None:
    """Write the figure of a table of leaks to `out` and as .svg beside it.

    `plan` is the folder of the plan, which says where the pictures are.
    """
    with mpl.rc_context(STYLE):
        figure = leak_figure(read_folders(plan), read_leaks(leaks))
        out.parent.mkdir(parents=True, exist_ok=True)
        save_figure(figure, out.parent, out.stem)


def leak_figure(folders: Folders, leaks: Sequence[Leak]) -> Figure:
    """Draw the pairs that the report shows: closest and farthest of each two source datasets."""
    if not leaks:
        return empty("no test image was found among training images")
    shown = examples(leaks)[:SHOWN]
    columns = min(_COLUMNS, len(shown))
    lines = -(-len(shown) // columns)
    figure = new_figure(2.5 * columns, 0.25 + 1.75 * lines)
    # The third column of each pair is the gap to the next.
    ratios = [1.0, 1.0, 0.12] * columns
    axes = figure.subplots(lines, len(ratios), squeeze=False, width_ratios=ratios)
    for panel in axes.flat:
        panel.set_axis_off()
    for leak, (test, train, _) in zip(shown, axes.reshape(-1, 3), strict=False):
        kind = "equal pixels" if leak.exact else f"{leak.bits} of {BITS} bits differ"
        _show(test, folders[leak.catalog, leak.target] / "test.parquet", leak.test)
        _show(train, folders[leak.catalog, leak.source] / "train.parquet", leak.train)
        test.set_title(f"{kind}\ntest, {_named(leak.target, leak.test)}", fontsize=6.5)
        train.set_title(f"\ntraining, {_named(leak.source, leak.train)}", fontsize=6.5)
    left_out = len(leaks) - len(shown)
    add_note(figure, f"{left_out} further pairs are not drawn; leaks.tsv has them" * (left_out > 0))
    return figure


def _named(subset: str, sample: str) -> str:
    # Samples of a subset are told apart by the end of their names.
    end = sample if len(sample) <= _NAME else f"…{sample[1 - _NAME :]}"
    return f"{clipped(subset, _NAME)}\n{clipped(end, _NAME + 1)}"


def _show(panel: Axes, path: Path, name: str) -> None:
    ((_, data),) = read_images(path, [name])
    image = decode(data, name)
    image.thumbnail((EDGE, EDGE))
    panel.imshow(np.asarray(image), interpolation="nearest")


def examples(leaks: Iterable[Leak]) -> list[Leak]:
    """Return the closest and the farthest pair of each two datasets, farthest after all closest."""
    groups: dict[tuple[str, str], list[Leak]] = defaultdict(list)
    for leak in leaks:
        groups[leak.test_dataset, leak.train_dataset].append(leak)
    ordered = [sorted(group, key=lambda leak: (leak.bits, leak)) for group in groups.values()]
    return [group[0] for group in ordered] + [group[-1] for group in ordered if len(group) > 1]
