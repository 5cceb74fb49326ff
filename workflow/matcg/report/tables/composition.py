"""The table of both gains of each combination: a column for each element that was taken out."""

import csv
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from matcg.analysis.composition import Composition, column, lost_column
from matcg.forms import ACCURACY
from matcg.report.tables.table import ShownColumn, Table

STEM = "composition"


def composition(elements: Iterable[str], stem: str = STEM) -> Table[Composition]:
    """Return the table with CG minus its knock-out of each element."""
    names = list(elements)
    columns: tuple[ShownColumn, ...] = (
        *("backbone", "recipe", ("n_train", "Samples"), ("mixed_in", "Target's")),
        *("score", "target", "rule"),
        ("combination", "Sources"),
        ("relatedness", "Relatedness gain"),
        ("composition", "Composition gain"),
        "verdict",
        ("least", "Least without"),
        *((column(name), f"CG minus without {name}") for name in names),
        *("p", ("p_holm", "Holm p")),
        ("minus_part", "CG minus best part"),
        *("best_part", ("share", "Share of the way"), ("share_targets", "of targets")),
        *((lost_column(name), f"Gain lost in part without {name}") for name in names),
        *("targets", "not_testable", ("untested", "Not taken out"), "note"),
    )
    title = (
        "What each element gave: CG against unrelated data, its knock-outs and its parts"
        " (differences in points, over targets first)"
    )
    keys = {
        "gains": [column(name) for name in names],
        "lost": [lost_column(name) for name in names],
    }
    return Table(stem, title, Composition, columns, keys, {"score": ACCURACY})


def composition_in(folder: Path, stem: str = STEM) -> Table[Composition] | None:
    """Return the same table as it was written to a folder, None where there is none."""
    path = folder / f"{stem}.csv"
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as stream:
        header, start = next(csv.reader(stream)), column("")
    ends = ("_low", "_high")
    names = [n for n in header if n.startswith(start) and not n.endswith(ends)]
    return replace(composition(name.removeprefix(start) for name in names), stem=stem)
