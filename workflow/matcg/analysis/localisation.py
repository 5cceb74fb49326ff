"""How well arms point at what is to be found: scores of boxes and masks, an arm and target a row.

Definitions, and why a score may be undefined, stand in docs/statistics.md.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from matcg import seeds
from matcg.analysis import graded
from matcg.analysis.answers import LocatedAnswers
from matcg.analysis.pairs import Array, Setting, Study, Target, arm_order, by_target, setting_of
from matcg.analysis.statistics import Estimate
from matcg.cells import P, Share
from matcg.config.arm import CG
from matcg.plan.records import Row

# In the order of the sums of `_sums`.
SCORES = (
    *("mean", "mean_with_finding", "ciou", "above_half", "f1"),
    *("sensitivity", "specificity", "ill_formed"),
)
_OfRow = Callable[[Row], Array]
HALF = 0.5  # the intersection over union from which on a box counts as found


@dataclass(frozen=True, slots=True, kw_only=True)
class Localisation:
    """An arm's scores on a target, its runs averaged, or CG's differences from its reference.

    `score` is the main score, `mean` its mean over all pictures. `effective` is the number of
    pictures that cIoU rests on, `ceiling` the best mean that the words for places allow, `prior`
    the mean of one place for all pictures (`analysis/prior.py`). `p` is that of the swap test of
    each difference, as it stands.
    """

    setting: Setting
    catalog: str
    target: str
    arm: str
    score: str
    runs: int
    pictures: int
    with_finding: int
    scores: Mapping[str, Estimate | None]
    effective: Share | None = None
    tp: Share | None = None
    fp: Share | None = None
    fn: Share | None = None
    ceiling: float | None = None
    prior: float | None = None
    p: Mapping[str, P | None]


def localisations(study: Study) -> list[Localisation]:
    """Return one record a setting, target and arm, and one of CG minus its reference."""
    rows = [row for row in study.rows if isinstance(study.answers[row.key], LocatedAnswers)]
    if not rows:
        return []
    study = study.of(rows)
    arms = sorted({row.arm for row in rows}, key=arm_order)
    tests = len({(setting_of(row), row.target) for row in rows}) * len(SCORES)
    found: list[Localisation] = []
    for setting in study.settings():
        sums = cache(lambda row: _sums(_answers(study, row)))
        for arm in arms:
            found += _of_arm(study, setting, study.arm(setting, arm), sums)
        found += _differences(study, setting, graded.swaps_for(tests), sums)
    return sorted(found, key=lambda each: (each.setting, each.catalog, each.target))


def _answers(study: Study, row: Row) -> LocatedAnswers:
    found = study.answers[row.key]
    assert isinstance(found, LocatedAnswers)
    return found


def _sums(answers: LocatedAnswers) -> Array:
    """Return numerators and denominators of each score, shape (2, scores, pictures)."""
    one, has = np.ones(answers.score.size), answers.findings > 0
    found, no_match = answers.given > 0, np.zeros((answers.score.size, 3))
    tp, fp, fn = (no_match if answers.matches is None else answers.matches).T
    iou = np.divide(answers.inter, answers.union, out=one.copy(), where=answers.union > 0)
    pairs = [
        (answers.score, one),
        (answers.score * has, has),
        # Without any finding there is nothing that boxes could cover.
        (answers.inter, answers.union * has.any()),
        (iou > HALF, one),
        (2 * tp, 2 * tp + fp + fn),
        (has & found, has),
        (~has & ~found, ~has),
        (answers.ill_formed > 0, one),
    ]
    return np.array(list(zip(*pairs, strict=True)), dtype=np.float64)


def _of_arm(
    study: Study, setting: Setting, rows: Sequence[Row], sums_of: _OfRow
) -> Iterator[Localisation]:
    """Yield an arm's record of each target; its rules weigh alike."""
    counts = by_target(rows, lambda row: _counts(_answers(study, row)))
    priors = by_target(rows, lambda row: _prior(_answers(study, row)))
    for target, sums in by_target(rows, sums_of).items():
        mine = [row for row in rows if (row.catalog, row.target) == target]
        union, *matches, ceiling = counts[target]
        known = any(np.any(each) for each in matches)
        tp, fp, fn = (float(each.sum()) if known else None for each in matches)
        squares = float((union**2).sum())
        yield _record(
            *(study, setting, target, mine, mine[0].arm, sums),
            tp=tp,
            fp=fp,
            fn=fn,
            effective=float(union.sum()) ** 2 / squares if squares else None,
            ceiling=float(ceiling.mean()) if ceiling.any() else None,
            prior=_known(priors[target]),
        )


def _counts(answers: LocatedAnswers) -> Array:
    """Return unions, true positives, false positives, false negatives and ceilings."""
    empty = np.zeros(answers.score.size)
    matches = [empty] * 3 if answers.matches is None else list(answers.matches.T)
    return np.array(
        [answers.union, *matches, empty if answers.ceiling is None else answers.ceiling]
    )


def _prior(answers: LocatedAnswers) -> Array:
    """Return what one place is worth on each picture, nan where none is known."""
    return np.full(answers.score.size, np.nan) if answers.prior is None else answers.prior


def _known(scores: Array) -> float | None:
    """Return the mean of scores, None where any is unknown."""
    mean = float(scores.mean())
    return None if np.isnan(mean) else mean


def _differences(
    study: Study, setting: Setting, swaps: int, sums_of: _OfRow
) -> Iterator[Localisation]:
    """Yield the differences between CG and its reference on each target that has one."""
    rows = [row for row in study.arm(setting, CG) if study.references(row, setting)]

    def prior(row: Row) -> Array:
        return _prior(_answers(study, row))

    def reference(of: _OfRow, row: Row) -> Array:
        mean: Array = np.mean([of(other) for other in study.references(row, setting)], axis=0)
        return mean

    others = by_target(rows, partial(reference, sums_of))
    priors = by_target(rows, lambda row: prior(row) - reference(prior, row))
    for target, sums in by_target(rows, sums_of).items():
        mine = [row for row in rows if (row.catalog, row.target) == target]
        seed = seeds.derive(seeds.ANALYSIS, "swaps", *map(str, setting), *target)
        p = graded.swap_p(sums, others[target], seed, study.clusters(target), swaps)
        name = f"CG minus {study.reference}"
        tested = dict(zip(SCORES, p, strict=True))
        counts = {"prior": _known(priors[target])}
        yield _record(study, setting, target, mine, name, sums, others[target], tested, **counts)


def _record(
    study: Study,
    setting: Setting,
    target: Target,
    rows: Sequence[Row],
    arm: str,
    sums: Array,
    other: Array | None = None,
    p: Mapping[str, float | None] | None = None,
    **counts: float | None,
) -> Localisation:
    first = _answers(study, rows[0])
    seed = seeds.derive(seeds.ANALYSIS, "localisation", *map(str, setting), *target)
    estimates = graded.ratio_estimates(sums, other, seed, study.clusters(target))
    return Localisation(
        setting=setting,
        catalog=target[0],
        target=target[1],
        arm=arm,
        score=first.measure,
        runs=len(rows),
        pictures=first.score.size,
        with_finding=int((first.findings > 0).sum()),
        scores=dict(zip(SCORES, estimates, strict=True)),
        p={f"p_{name}": (p or {}).get(name) for name in SCORES},
        **counts,
    )
