"""Intervals and paired tests of scores that are ratios of two sums over questions.

A mean is one (the sum of scores over their number), as are cIoU and F1. What is summed has shape
(2, scores, questions): numerators, then denominators. Arms' records of a question are swapped and
drawn whole, for all scores alike.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from matcg.analysis.statistics import ALPHA, DRAWS, Codes, Estimate, per_cluster, times_drawn

_Array = npt.NDArray[np.float64]
# From sums of shape (..., 2, sums) to scores of shape (..., scores), nan where undefined.
Scored = Callable[[_Array], _Array]

# Clusters that differ: of so many or fewer every swap is counted.
EXACT = 14
SWAPS = 9_999
_CHUNK = 2_000
# What rounding can do to two differences that are equal.
_TIE = 1e-9


def swaps_for(tests: int) -> int:
    """Return how many swaps are drawn in a family of tests: its least p is far below ALPHA."""
    return max(SWAPS, round(10 * tests / ALPHA) - 1)


def as_ratio(scores: _Array) -> _Array:
    """Return the sums whose ratio is the mean of scores (questions,)."""
    return np.stack([scores, np.ones(scores.size)])[:, None]


def ratios(sums: _Array) -> _Array:
    """Return numerators over denominators, shape (..., 2, scores); nan where undefined."""
    top, bottom = sums[..., 0, :], sums[..., 1, :]
    found: _Array = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
    return found


@dataclass(frozen=True, slots=True)
class Drawn:
    """A score, nan where it is undefined, and what it was in each bootstrap draw."""

    value: float
    draws: _Array

    @property
    def estimate(self) -> Estimate | None:
        """Return the score with its interval; draws in which it is undefined are left out."""
        if np.isnan(self.value):
            return None
        low, high = np.nanquantile(self.draws, [ALPHA / 2, 1 - ALPHA / 2])
        return Estimate(self.value, float(low), float(high))


def ratio_estimates(
    own: _Array,
    other: _Array | None = None,
    seed: int = 0,
    clusters: Codes | None = None,
    draws: int = DRAWS,
) -> list[Estimate | None]:
    """Return each score with its bootstrap interval, or its difference from another arm's.

    None where a score is undefined.
    """
    return [each.estimate for each in drawn_scores(own, other, seed, clusters, draws)]


def drawn_scores(
    own: _Array,
    other: _Array | None = None,
    seed: int = 0,
    clusters: Codes | None = None,
    draws: int = DRAWS,
    of: Scored = ratios,
) -> list[Drawn]:
    """Return the same with every draw; `of` tells the scores from the sums.

    Clusters of questions are drawn whole, the same for both arms, and the scores are formed anew.
    """
    arms = [own] if other is None else [own, other]
    of_clusters = [_sums(arm, clusters) for arm in arms]
    rng = np.random.default_rng(seed)
    blocks = [
        _apart([_summed(weights, sums) for sums in of_clusters], of)
        for weights in times_drawn(rng, of_clusters[0].shape[-1], draws)
    ]
    values, drawn = _apart([sums.sum(axis=-1) for sums in of_clusters], of), np.concatenate(blocks)
    return [Drawn(float(value), drawn[:, place]) for place, value in enumerate(values)]


def _apart(arms: Sequence[_Array], of: Scored) -> _Array:
    """Return an arm's scores, or the difference of two arms'."""
    first, *rest = map(of, arms)
    return first - rest[0] if rest else first


def _summed(weights: _Array, sums: _Array) -> _Array:
    """Return the sums of clusters as often as each counts, shape (draws, 2, scores)."""
    summed: _Array = weights @ sums.reshape(2 * sums.shape[1], sums.shape[2]).T
    return summed.reshape(-1, *sums.shape[:2])


def _sums(arm: _Array, clusters: Codes | None) -> _Array:
    """Return the sums in each cluster, shape (2, scores, clusters)."""
    of_each, _ = per_cluster(arm.reshape(-1, arm.shape[-1]), clusters)
    sums: _Array = of_each.reshape(*arm.shape[:2], -1)
    return sums


def swap_p(
    own: _Array,
    other: _Array,
    seed: int,
    clusters: Codes | None = None,
    swaps: int = SWAPS,
    of: Scored = ratios,
) -> list[float | None]:
    """Return the two-sided p of the difference between two arms' scores, each by itself.

    Were the arms alike, each cluster's records could as well be the other arm's: they are swapped
    with probability one half, and the difference of the scores is computed anew. Counted are all
    swaps where `EXACT` clusters differ or fewer, else `swaps` drawn ones and what was observed
    (Phipson and Smyth, Stat Appl Genet Mol Biol 9, 2010). Where scores are right or wrong and
    questions stand alone, this is McNemar's exact test. None where a score is undefined; a swap
    that makes it so counts against the arms' difference.
    """
    sums = _sums(own, clusters), _sums(other, clusters)
    change = sums[1] - sums[0]
    change = change[..., (np.abs(change) > _TIE).any(axis=(0, 1))]
    totals = [each.sum(axis=-1) for each in sums]
    observed = _apart(totals, of)
    drawn = change.shape[-1] > EXACT
    count = int(drawn)
    extreme: _Array = np.full(observed.shape, float(count))
    for swapped in _swapped(change.shape[-1], seed, swaps):
        moved = _summed(swapped, change)
        found = _apart([totals[0] + moved, totals[1] - moved], of)
        extreme += (~(np.abs(found) < np.abs(observed) - _TIE)).sum(axis=0)
        count += len(swapped)
    found_p = zip(observed, extreme / count, strict=True)
    return [None if np.isnan(value) else float(p) for value, p in found_p]


def _swapped(clusters: int, seed: int, swaps: int) -> Iterator[_Array]:
    """Yield which clusters are swapped (1.0), a block of swaps at a time."""
    if clusters <= EXACT:
        yield (np.arange(2**clusters)[:, None] >> np.arange(clusters) & 1).astype(np.float64)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, swaps, _CHUNK):
        rows = min(_CHUNK, swaps - start)
        yield rng.integers(2, size=(rows, clusters), dtype=np.int8).astype(np.float64)
