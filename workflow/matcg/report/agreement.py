"""How far our figures agree with those that a paper prints, of one table and over all of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from matcg import statistics
from matcg.config.experiment import CG
from matcg.config.published import Printed, gains
from matcg.records import BASELINE
from matcg.report.beside import arm_names
from matcg.report.render import Cell, Column, Field, Row, Table
from matcg.report.sheet import write_sheet

__all__ = ["AGREEMENT", "agreement", "sentences", "summarise"]

GAIN = "gain"
RANKED = (CG, "control", BASELINE, GAIN)

AGREEMENT = Table(
    "agreement",
    "figures in our 95 % intervals, differences of the same sign, verdicts that agree, and rank"
    " correlations of ours with the printed",
    (
        Field("experiment"),
        *(
            Field(name, "count")
            for name in ("figures", "inside", "directions", "same_direction", "verdicts")
        ),
        *(Field(name, "count") for name in ("same_verdict", "missing")),
        *(Field(f"rank_{name}", "fraction") for name in RANKED),
    ),
    (
        Column("Experiment", "experiment"),
        Column("Figures", "figures", "count"),
        Column("Inside", "inside", "count"),
        Column("Differences", "directions", "count"),
        Column("Same sign", "same_direction", "count"),
        Column("Verdicts", "verdicts", "count"),
        Column("Same verdict", "same_verdict", "count"),
        Column("Evaluations missing", "missing", "count"),
        Column("Rank, CG", f"rank_{CG}", "share"),
        Column("Rank, control", "rank_control", "share"),
        Column("Rank, baseline", f"rank_{BASELINE}", "share"),
        Column("Rank, gain", f"rank_{GAIN}", "share"),
    ),
)


def agreement(rows: Sequence[Row], printed: Iterable[Printed]) -> dict[str, Any]:
    """Return how many figures, signs and verdicts agree, and rank correlations; see `sentences`.

    `rows` are those of `beside_rows`.
    """
    names = arm_names(printed)
    pairs = [(row, name) for row in rows for name in names if row[f"{name}_apart"] is not None]
    signs = [same for row in rows for same in _same_signs(row, names)]
    verdicts = [row for row in rows if row["printed_gain"] and row["our_gain"]]
    ranks = {name: _rank([_both(row, name) for row in rows]) for name in names}
    return {
        "figures": len(pairs),
        "inside": sum(_inside(row, name) for row, name in pairs),
        "directions": len(signs),
        "same_direction": sum(signs),
        "verdicts": len(verdicts),
        "same_verdict": sum(row["printed_gain"] == row["our_gain"] for row in verdicts),
        **_possible(rows),
        "rank_correlation": {**ranks, GAIN: _rank([_gains(row, names) for row in rows])},
    }


def _values(row: Row, names: Iterable[str], end: str) -> dict[str, float]:
    cells = {name: row[f"{name}_{end}"] for name in names if row[f"{name}_apart"] is not None}
    return {name: float(cell) for name, cell in cells.items() if isinstance(cell, int | float)}


def _differences(values: Mapping[str, float]) -> dict[str, float]:
    """Return CG's differences from other arms; where there is no CG, those from the baseline."""
    found = gains(values)
    if not found and BASELINE in values:
        found = {
            name: value - values[BASELINE] for name, value in values.items() if name != BASELINE
        }
    return {name: round(value, 9) for name, value in found.items()}


def _same_signs(row: Row, names: Sequence[str]) -> list[bool]:
    """Tell, of each printed difference that is not zero, whether ours has the same sign."""
    theirs, ours = (_differences(_values(row, names, end)) for end in ("printed", "ours"))
    return [theirs[name] * ours[name] > 0 for name in theirs if name in ours and theirs[name]]


def _both(row: Row, name: str) -> tuple[Cell, Cell]:
    apart = row[f"{name}_apart"] is not None
    return (row[f"{name}_printed"], row[f"{name}_ours"]) if apart else (None, None)


def _gains(row: Row, names: Sequence[str]) -> tuple[Cell, Cell]:
    """Return the printed and our difference of CG from the best other arm."""
    theirs, ours = (gains(_values(row, names, end)) for end in ("printed", "ours"))
    if not theirs or theirs.keys() != ours.keys():
        return None, None
    return round(min(theirs.values()), 9), round(min(ours.values()), 9)


def _possible(rows: Iterable[Row]) -> dict[str, int]:
    """Return how many printed gains have a known test size, and how many could be significant."""
    known = {
        (row["label"], row["target"], row["rule"]): row["least_p"]
        for row in rows
        if row["printed_gain"] == "yes" and row["least_p"] is not None
    }
    possible = sum(isinstance(p, float) and p < statistics.ALPHA for p in known.values())
    return {"gains_of_known_size": len(known), "gains_possibly_significant": possible}


def _inside(row: Row, name: str) -> bool:
    low, printed, high = (row[f"{name}_{end}"] for end in ("ours_low", "printed", "ours_high"))
    assert isinstance(low, float)
    assert isinstance(printed, float)
    assert isinstance(high, float)
    return low <= printed <= high


def _rank(pairs: Iterable[tuple[Cell, Cell]]) -> float | None:
    """Return Spearman's correlation of ours with the printed; None below three different values."""
    known = [pair for pair in pairs if pair[0] is not None]
    if min((len(set(values)) for values in zip(*known, strict=True)), default=0) < 3:
        return None
    return round(float(spearmanr(known).statistic), 6)


def sentences(found: Mapping[str, Any]) -> str:
    """Return an `agreement` in words."""
    if not found["figures"]:
        return "No printed figure has one of ours beside it."
    text = (
        f"Of {found['figures']} printed figures {found['inside']} lie in our 95 % intervals, which"
        f" count our questions and not the paper's. Of {found['directions']} printed differences"
        f" {found['same_direction']} have the same sign here."
    )
    if found["verdicts"]:
        text += f" Of {found['verdicts']} ticks and crosses {found['same_verdict']} are the same."
    ranks = [f"{n} {r:.2f}" for n, r in found["rank_correlation"].items() if r is not None]
    return (
        f"{text} Rank correlation of ours with the printed: {', '.join(ranks)}." if ranks else text
    )


def summarise(headlines: Iterable[Path], folder: Path) -> None:
    """Write agreement.csv, .md and .tex into `folder`: a row an experiment with printed figures.

    `headlines` are the experiments' headline.json.
    """
    read = [json.loads(path.read_text(encoding="utf-8")) for path in headlines]
    rows = [_summary(found) for found in read if "published" in found]
    write_sheet(folder, AGREEMENT, rows, "Beside the published figures")


def _summary(headline: Mapping[str, Any]) -> Row:
    found = headline["published"]
    counts = {field.name: found[field.name] for field in AGREEMENT.fields if field.name in found}
    ranks = {f"rank_{name}": found["rank_correlation"].get(name) for name in RANKED}
    missing = headline.get("missing", 0)
    return {"experiment": headline["experiment"], "missing": missing, **counts, **ranks}
