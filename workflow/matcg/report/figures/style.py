"""How all figures look, and how they are written.

Colours are those of Okabe and Ito (Color Universal Design, 2008), told apart by readers with
colour-blindness; shapes repeat what colours say, for print without colour.
"""

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    *("#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"),
)
GREY = "#767676"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "matcg",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def clipped(text: str, length: int = 70) -> str:
    """Return text on one line of bounded length, to be printed as it is."""
    # A dollar sign would start a formula.
    text = " ".join(text.split()).replace("$", r"\$")
    return text if len(text) <= length else text[: length - 1] + "…"


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as .svg, the same bytes each time, and as .png."""
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    # Laid out once is enough: to do it again for the second file takes as long as to draw it.
    figure.set_layout_engine("none")
    FigureCanvasAgg(figure)
    figure.savefig(folder / f"{name}.png", dpi=160)
