"""Contact sheet of the phantom world: one sample of every label of every subset."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from matcg.config.catalog import Catalog
from matcg.errors import ConfigError
from matcg.images import decode
from matcg.phantom.tasks import TASKS
from matcg.phantom.world import generate

_Cell = tuple[str, str, str, str]  # modality, area, task, label
Heading = tuple[str, str]  # a row's modality and area, a column's task and label
_Place = tuple[int, int]  # row, column

INCHES = 0.72  # from one picture to the next
_GAP = 0.2  # between groups, in pictures


def draw_sheet(catalog: Catalog, out: Path) -> None:
    """Write a sheet with a row for each modality and area and a column for each task's label.

    Raises:
        ConfigError: the catalog has no subsets of the phantom world.
    """
    pictures = _pictures(catalog)
    if not pictures:
        raise ConfigError(f"catalog '{catalog.name}': nothing to draw; list some 'subsets'")
    rows = list(dict.fromkeys(cell[:2] for cell in pictures))
    columns = [(t, label) for t in TASKS for label in TASKS[t].labels]
    columns = [c for c in columns if any(cell[2:] == c for cell in pictures)]
    figure, axes = _grid(rows, columns)
    for r, row in enumerate(rows):
        for c, column in enumerate(columns):
            _show(axes[r, c], pictures.get((*row, *column)))
    _caption(axes, rows, columns)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)


def _pictures(catalog: Catalog) -> dict[_Cell, Image.Image]:
    """Return the first test picture of each label, by modality, area, task and label.

    Of several blocks, which look alike, the first is shown.
    """
    found: dict[_Cell, Image.Image] = {}
    most = max(len(task.labels) for task in TASKS.values())
    for subset in (s for s in catalog.subsets if s.block == catalog.subsets[0].block):
        # Labels come evenly interleaved, so these hold one of each.
        for sample in generate(subset, {**catalog.options, **subset.options}, "test", most):
            modality, area, task = (subset.elements[e][0] for e in ("modality", "area", "task"))
            cell = (modality, area, task, sample.label)
            found.setdefault(cell, decode(sample.image, sample.origin))
    return found


def _grid(rows: Sequence[Heading], columns: Sequence[Heading]) -> tuple[Figure, dict[_Place, Axes]]:
    """Return a figure with axes by row and column, a gap before each modality and each task."""
    down, across = _steps(rows), _steps(columns)
    width, height = (across[-1] + 2.3) * INCHES, (down[-1] + 1.8) * INCHES
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    size = 0.96 * INCHES
    axes = {
        (r, c): figure.add_axes(
            (
                (across[c] + 1.25) * INCHES / width,
                1 - (down[r] + 1.75) * INCHES / height,
                size / width,
                size / height,
            )
        )
        for r in range(len(rows))
        for c in range(len(columns))
    }
    return figure, axes


def _steps(headings: Sequence[Heading]) -> list[float]:
    """Return where each row or column starts, in pictures."""
    groups = [first for first, _ in headings]
    return [i + _GAP * len(set(groups[: i + 1]) - {groups[0]}) for i in range(len(groups))]


def _show(axis: Axes, picture: Image.Image | None) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_frame_on(False)
    if picture is not None:
        axis.imshow(picture, interpolation="nearest")


def _caption(
    axes: Mapping[_Place, Axes], rows: Sequence[Heading], columns: Sequence[Heading]
) -> None:
    for r, row in enumerate(rows):
        axes[r, 0].set_ylabel("\n".join(row), rotation=0, ha="right", va="center", fontsize=9)
    for c, (task, label) in enumerate(columns):
        axis = axes[0, c]
        axis.set_title(label, fontsize=9, pad=3)
        if c == 0 or columns[c - 1][0] != task:
            axis.text(
                0, 1.34, task, fontsize=10, weight="bold", ha="left", transform=axis.transAxes
            )
