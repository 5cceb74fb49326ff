"""Scores in which every label weighs alike: AUROC, balanced accuracy, macro-F1, and accuracy.

Of an arm, or of the difference between two. What an arm is here are its runs with weights: AUROC
of several runs is the mean of theirs, not that of their mean probabilities. docs/statistics.md has
the definitions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from matcg.analysis import graded
from matcg.analysis.answers import ChoiceAnswers
from matcg.analysis.graded import Drawn
from matcg.analysis.pairs import Array
from matcg.analysis.statistics import DRAWS, Codes, times_drawn

ACCURACY, BALANCED, F1, AUROC = SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")
# Runs of one target with their weights, which add up to one.
Runs = Sequence[tuple[float, ChoiceAnswers]]
_Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pair:
    """A run, one that it is compared with, and how much this comparison weighs."""

    weight: float
    own: ChoiceAnswers
    other: ChoiceAnswers


def drawn_by_label(
    own: Runs, other: Runs = (), seed: int = 0, clusters: Codes | None = None, draws: int = DRAWS
) -> dict[str, Drawn]:
    """Return an arm's scores, or their differences from another arm's, with bootstrap draws.

    Clusters are drawn whole, the same for all scores and both arms. In each draw the means are over
    the labels that occur in it.
    """
    against = _sums(other) if other else None
    found = graded.drawn_scores(_sums(own), against, seed, clusters, draws, _macro)
    signed = [*own, *((-weight, run) for weight, run in other)]
    return dict(zip(SCORES, [*found, _drawn_auroc(signed, seed, clusters, draws)], strict=True))


def swap_ps(
    pairs: Sequence[Pair], seed: int, clusters: Codes | None, swaps: int
) -> dict[str, float | None]:
    """Return the p of each score's difference: records are swapped whole, scores formed anew."""
    own = _sums([(pair.weight, pair.own) for pair in pairs])
    other = _sums([(pair.weight, pair.other) for pair in pairs])
    found = graded.swap_p(own, other, seed, clusters, swaps, _macro)
    parts = auroc_parts(pairs)
    p = None
    if parts is not None:
        sums = graded.as_ratio(parts), graded.as_ratio(-parts)
        p = graded.swap_p(*sums, seed, clusters, swaps)[0]
    return dict(zip(SCORES, [*found, p], strict=True))


def _sums(arm: Runs) -> Array:
    """Return numerators and denominators of accuracy, and of each label's recall and F1.

    The label's number of questions is the denominator of recall; shape (2, 1 + 2 labels,
    questions), the mean over the arm's runs.
    """
    mean: Array = np.sum([weight * _sums_of(run) for weight, run in arm], axis=0)
    return mean


def _sums_of(run: ChoiceAnswers) -> Array:
    assert run.truth is not None
    assert run.said is not None
    codes = np.unique(run.truth)[:, None]
    true, said = run.truth == codes, run.said == codes
    both = true & said
    tops = [run.score[None], both, 2.0 * both]
    bottoms = [np.ones((1, run.score.size)), true, true.astype(np.float64) + said]
    return np.array([np.concatenate(tops), np.concatenate(bottoms)], dtype=np.float64)


def _macro(sums: Array) -> Array:
    """Return accuracy, and means of recall and F1 over the labels of which there are questions."""
    accuracy, *_ = each = np.moveaxis(graded.ratios(sums), -1, 0)
    recall, f1 = np.split(each[1:], 2)
    f1 = np.where(np.isnan(recall), np.nan, f1)
    found: Array = np.stack([accuracy, _mean_known(recall), _mean_known(f1)], axis=-1)
    return found


def _mean_known(of_labels: Array) -> Array:
    """Return the mean over labels, shape (labels, ...), of those that are known; nan for none."""
    known = ~np.isnan(of_labels)
    number = known.sum(axis=0)
    total = np.where(known, of_labels, 0.0).sum(axis=0)
    mean: Array = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return mean


# --- AUROC ---------------------------------------------------------------------------------------


def _sides(run: ChoiceAnswers) -> Iterator[tuple[int, _Places, _Places]]:
    """Yield each label that is right in some of the questions that offer it, and wrong in others.

    With it the questions in which it is right, and those in which it is offered and wrong.
    """
    assert run.truth is not None
    assert run.chances is not None
    for label in np.unique(run.truth):
        right = run.truth == label
        wrong = ~right & ~np.isnan(run.chances[:, label])
        if wrong.any():
            yield int(label), np.flatnonzero(right), np.flatnonzero(wrong)


def auroc_labels(run: ChoiceAnswers) -> int:
    """Return over how many labels AUROC is a mean."""
    return sum(1 for _ in _sides(run))


def _wins(above: Array, below: Array) -> Array:
    """Return which of the first lie above which of the second, ties one half."""
    first, second = above[:, None], below[None, :]
    wins: Array = (first > second) + 0.5 * (first == second)
    return wins


def _drawn_auroc(signed: Runs, seed: int, clusters: Codes | None, draws: int) -> Drawn:
    """Return AUROC, the share of pairs of a right and a wrong question that are in order."""
    first = signed[0][1]
    of_labels = [_in_order(signed, *sides) for sides in _sides(first)]
    if not of_labels:
        return Drawn(np.nan, np.full(draws, np.nan))
    n = first.score.size if clusters is None else int(clusters.max()) + 1
    blocks = []
    for weights in times_drawn(np.random.default_rng(seed), n, draws):
        # Questions in rows, which are taken faster than columns.
        times = np.ascontiguousarray(weights.T)
        times = times if clusters is None else times[clusters]
        blocks.append(_mean_known(np.array([_area(times, *each) for each in of_labels])))
    values = [in_order.mean() for in_order, *_ in of_labels]
    return Drawn(float(np.mean(values)), np.concatenate(blocks))


def _in_order(
    signed: Runs, label: int, right: _Places, wrong: _Places
) -> tuple[Array, _Places, _Places]:
    """Return how often each pair is in order over runs, a wrong question a row, and its places."""
    in_order = np.zeros((wrong.size, right.size))
    for weight, run in signed:
        assert run.chances is not None
        chances = run.chances[:, label]
        in_order += weight * _wins(chances[right], chances[wrong]).T
    return in_order, right, wrong


def _area(times: Array, in_order: Array, right: _Places, wrong: _Places) -> Array:
    """Return a label's AUROC in each draw, nan where it is without one of the sides."""
    ones, others = times[right], times[wrong]
    pairs = ones.sum(axis=0) * others.sum(axis=0)
    found = np.einsum("qd,qd->d", in_order @ ones, others)
    area: Array = np.divide(found, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)
    return area


def auroc_parts(pairs: Sequence[Pair]) -> Array | None:
    """Return each question's part in the difference of two arms' AUROC, None where undefined.

    The parts add up to the difference, and where a question's records are swapped its part changes
    its sign: with x = 1 for what is swapped, pairs of a right i and a wrong j are in order to
    (1 - x_i - x_j) (own - other) + (x_i - x_j) (crossed), in which no product is left.
    """
    first = pairs[0].own
    parts, labels = np.zeros(first.score.size), auroc_labels(first)
    if not labels:
        return None
    for label, right, wrong in _sides(first):
        apart, crossed = np.zeros((2, right.size, wrong.size))
        for pair in pairs:
            assert pair.own.chances is not None
            assert pair.other.chances is not None
            own, other = pair.own.chances[:, label], pair.other.chances[:, label]
            apart += pair.weight * (
                _wins(own[right], own[wrong]) - _wins(other[right], other[wrong])
            )
            mixed = _wins(other[right], own[wrong]) - _wins(own[right], other[wrong])
            crossed += pair.weight * mixed
        share = 1 / (2 * labels * apart.size)
        parts[right] += share * (apart - crossed).sum(axis=1)
        parts[wrong] += share * (apart + crossed).sum(axis=0)
    return parts
