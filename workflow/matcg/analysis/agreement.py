"""How far our figures agree with those that a paper prints, of one table and over all of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from matcg.analysis import statistics
from matcg.analysis.beside_published import Beside, arm_names
from matcg.analysis.statistics import Estimate
from matcg.cells import Share
from matcg.config.arm import CG
from matcg.config.published import Printed, gains
from matcg.plan.records import BASELINE

GAIN = "gain"
RANKED = (CG, "control", BASELINE, GAIN)

Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far an experiment agrees with what a paper prints; `ranks` are of arms and the gain."""

    experiment: str
    figures: int
    inside: int
    directions: int
    same_direction: int
    verdicts: int
    same_verdict: int
    missing: int
    ranks: Mapping[str, Share | None]


def agreement(rows: Sequence[Beside], printed: Iterable[Printed]) -> dict[str, Any]:
    """Return how many figures, signs and verdicts agree, and rank correlations; see `in_words`."""
    names = arm_names(printed)
    both = [_known(row) for row in rows]
    pairs = [pair for each in both for pair in each.values()]
    values = [_values(each) for each in both]
    signs = [same for each in values for same in _same_signs(*each)]
    verdicts = [row for row in rows if row.printed_gain and row.our_gain]
    ranks = {
        name: _rank([(theirs[name], ours[name]) for theirs, ours in values if name in theirs])
        for name in names
    }
    return {
        "figures": len(pairs),
        "inside": sum(ours.low <= theirs <= ours.high for theirs, ours in pairs),
        "directions": len(signs),
        "same_direction": sum(signs),
        "verdicts": len(verdicts),
        "same_verdict": sum(row.printed_gain == row.our_gain for row in verdicts),
        **_possible(rows),
        "rank_correlation": {**ranks, GAIN: _rank([g for each in values for g in _gains(*each)])},
    }


def _known(row: Beside) -> dict[str, tuple[float, Estimate]]:
    """Return what is printed and ours of the arms of which both are known."""
    return {
        name: (each.printed, each.ours)
        for name, each in row.arms.items()
        if each.printed is not None and each.ours is not None
    }


def _values(known: Mapping[str, tuple[float, Estimate]]) -> tuple[Values, Values]:
    theirs = {name: printed for name, (printed, _) in known.items()}
    return theirs, {name: ours.value for name, (_, ours) in known.items()}


def _differences(values: Mapping[str, float]) -> dict[str, float]:
    """Return CG's differences from other arms; where there is no CG, those from the baseline."""
    found = gains(values)
    if not found and BASELINE in values:
        found = {
            name: value - values[BASELINE] for name, value in values.items() if name != BASELINE
        }
    return {name: round(value, 9) for name, value in found.items()}


def _same_signs(printed: Values, ours: Values) -> list[bool]:
    """Tell, of each printed difference that is not zero, whether ours has the same sign."""
    theirs, own = _differences(printed), _differences(ours)
    return [theirs[name] * own[name] > 0 for name in theirs if name in own and theirs[name]]


def _gains(printed: Values, ours: Values) -> list[tuple[float, float]]:
    """Return the printed and our difference of CG from the best other arm, if there is one."""
    theirs, own = gains(printed), gains(ours)
    if not theirs or theirs.keys() != own.keys():
        return []
    return [(round(min(theirs.values()), 9), round(min(own.values()), 9))]


def _possible(rows: Iterable[Beside]) -> dict[str, int]:
    """Return how many printed gains have a known test size, and how many could be significant."""
    known = {
        (row.label, row.target, row.rule): row.least_p
        for row in rows
        if row.printed_gain == "yes" and row.least_p is not None
    }
    possible = sum(p < statistics.ALPHA for p in known.values())
    return {"gains_of_known_size": len(known), "gains_possibly_significant": possible}


def _rank(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return Spearman's correlation of ours with the printed; None below three different values."""
    if min((len(set(values)) for values in zip(*pairs, strict=True)), default=0) < 3:
        return None
    return round(float(spearmanr(pairs).statistic), 6)


def in_words(found: Mapping[str, Any]) -> str:
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


def read_agreements(headlines: Iterable[Path]) -> list[Agreement]:
    """Return the agreement of each experiment with printed figures from its headline.json."""
    read = (json.loads(path.read_text(encoding="utf-8")) for path in headlines)
    return [_agreement(found) for found in read if "published" in found]


def _agreement(headline: Mapping[str, Any]) -> Agreement:
    found = headline["published"]
    names = ("figures", "inside", "directions", "same_direction", "verdicts", "same_verdict")
    return Agreement(
        headline["experiment"],
        **{name: found[name] for name in names},
        missing=headline.get("missing", 0),
        ranks={f"rank_{name}": rank for name, rank in found["rank_correlation"].items()},
    )
