"""Which element gave what: dividends and Shapley shares of a design by coverage.

v(S) is the score after training on sources that cover the elements S. Every quantity is a sum of
v over sets; its mean weighs every target alike, on the scale of the score and on that of logits.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, product
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from matcg import seeds
from matcg.analysis.pairs import Array, Setting, Study, Target, by_target
from matcg.analysis.statistics import (
    ALPHA,
    DRAWS,
    Codes,
    Estimate,
    per_cluster,
    times_drawn,
)
from matcg.cells import Share
from matcg.forms import ACCURACY
from matcg.plan.records import Row
from matcg.words import counted, in_percent

Covered = frozenset[str]
# A sum of v over sets, with the factor of each.
Weights = Mapping[Covered, float]
JOIN = " + "
NOTHING = "nothing"
DEPENDS = "depends on scale"


@dataclass(frozen=True, slots=True)
class LogitEstimate:
    """A value on the scale of logits with the bounds of its 95 % interval."""

    value: Share
    low: Share
    high: Share


@dataclass(frozen=True, slots=True)
class Coverage:
    """What covering a set of elements gives, in means over targets.

    `score` is v(S) over `targets`; all else is over `complete_targets`, which ran every set within
    S: `gain` is v(S) - v(nothing), `dividend` what S gives beyond all smaller sets within it. Rows
    of one element have its Shapley value, over targets that ran every set, and its part of the
    whole gain where that is above 0. `note` says where a sign depends on the scale.
    """

    setting: Setting
    covered: str
    targets: int
    complete_targets: int
    mean: Estimate
    chance: float | None
    gain: Estimate | None
    dividend: Estimate | None
    dividend_logit: LogitEstimate | None
    shapley: Estimate | None = None
    shapley_logit: LogitEstimate | None = None
    part_of_gain: float | None = None
    note: str = ""
    score: str = ACCURACY

    @property
    def elements(self) -> tuple[str, ...]:
        """Return what is covered."""
        return () if self.covered == NOTHING else tuple(self.covered.split(JOIN))


class Quantity(NamedTuple):
    """A sum of v over sets, by its kind and the set that it is about."""

    kind: str
    of: Covered


def coverage(study: Study, covers: Mapping[str, Sequence[str]]) -> list[Coverage]:
    """Return one record a set of elements, for every setting and main score.

    `covers` gives the elements that an arm covers; other arms are left aside.
    """
    found: list[Coverage] = []
    for setting, (score, part) in product(study.settings(), study.by_measure().items()):
        names = {frozenset(covered): covered for covered in covers.values()}
        rows = {
            frozenset(covered): mine
            for arm, covered in covers.items()
            if (mine := part.arm(setting, arm))
        }
        found += [replace(each, score=score) for each in _of_setting(part, setting, rows, names)]
    return found


def _of_setting(
    study: Study,
    setting: Setting,
    rows: Mapping[Covered, Sequence[Row]],
    names: Mapping[Covered, Sequence[str]],
) -> list[Coverage]:
    """Return the records of a setting, of which `rows` are those of each set."""
    v = {s: by_target(mine, study.score) for s, mine in rows.items()}
    whole = frozenset(chain(*names))
    wanted = quantities(v, whole)
    able = {quantity: _with_all(v, weights) for quantity, weights in wanted.items()}
    found: dict[Quantity, tuple[Estimate, LogitEstimate]] = {}
    for targets in sorted(set(able.values()) - {()}):
        mine = [quantity for quantity in wanted if able[quantity] == targets]
        factors = np.array([[wanted[quantity].get(s, 0.0) for s in v] for quantity in mine])
        scores = [_stacked([v[s].get(target) for s in v]) for target in targets]
        seed = seeds.derive(seeds.ANALYSIS, "coverage", *map(str, setting), *chain(*targets))
        clusters = [study.clusters(target) for target in targets]
        found |= zip(mine, joint_estimates(scores, factors, seed, clusters), strict=True)
    return [
        Coverage(
            setting,
            JOIN.join(names[s]) or NOTHING,
            targets=len(v[s]),
            complete_targets=len(able[Quantity("dividend", s)]),
            mean=found[Quantity("mean", s)][0],
            chance=study.chance(rows[s]),
            **_given(s, whole, found),
        )
        for s in sorted(v, key=lambda s: (len(s), list(names).index(s)))
    ]


def quantities(run: Collection[Covered], whole: Covered) -> dict[Quantity, Weights]:
    """Return what is told of sets that were run, each as a sum of v over sets.

    A factor of zero says that the set has to be run all the same.
    """
    found: dict[Quantity, Weights] = {}
    dividends = {s: {t: (-1.0) ** len(s - t) for t in _within(s)} for s in _within(whole)}
    for s in run:
        found[Quantity("mean", s)] = {s: 1.0}
        found[Quantity("dividend", s)] = dividends[s]
        if s:
            found[Quantity("gain", s)] = dict.fromkeys(dividends[s], 0.0) | {
                s: 1.0,
                Covered(): -1.0,
            }
    for element in whole:
        shares = dict.fromkeys(dividends, 0.0)
        for s, weights in dividends.items():
            for t, factor in weights.items() if element in s else ():
                shares[t] += factor / len(s)
        found[Quantity("shapley", Covered({element}))] = shares
    return found


def _within(whole: Covered) -> Iterator[Covered]:
    """Yield every set of these elements, nothing first."""
    for n in range(len(whole) + 1):
        yield from map(Covered, combinations(sorted(whole), n))


def _with_all(v: Mapping[Covered, Mapping[Target, Array]], weights: Weights) -> tuple[Target, ...]:
    """Return the targets for which all of these sets were run."""
    ran = [set(v.get(s, ())) for s in weights]
    return tuple(sorted(set.intersection(*ran)))


def _stacked(scores: Sequence[Array | None]) -> Array:
    """Return scores of sets (sets, questions), with zeros for those that were not run."""
    (size,) = {each.size for each in scores if each is not None}
    return np.array([np.zeros(size) if each is None else each for each in scores])


def _given(
    s: Covered, whole: Covered, found: Mapping[Quantity, tuple[Estimate, LogitEstimate]]
) -> dict[str, Any]:
    """Return what covering a set gives, as far as it is told."""
    if not s:
        return {"gain": None, "dividend": None, "dividend_logit": None}
    both = {kind: found.get(Quantity(kind, s)) for kind in ("gain", "dividend", "shapley")}
    points = {kind: pair[0] if pair else None for kind, pair in both.items()}
    logits = {f"{kind}_logit": pair[1] for kind, pair in both.items() if pair and kind != "gain"}
    apart = [k for k, pair in both.items() if pair and pair[0].value * pair[1].value < 0]
    of_all, share = found.get(Quantity("gain", whole)), points["shapley"]
    part = share.value / of_all[0].value if share and of_all and of_all[0].low > 0 else None
    note = f"{', '.join(apart)}: {DEPENDS}" if apart else ""
    return {"dividend_logit": None, **points, **logits, "part_of_gain": part, "note": note}


# --- Bootstrap -----------------------------------------------------------------------------------


def joint_estimates(
    scores: Sequence[Array],
    factors: Array,
    seed: int,
    clusters: Sequence[Codes | None],
    draws: int = DRAWS,
) -> list[tuple[Estimate, LogitEstimate]]:
    """Return sums of v over sets, in means over targets, in points and in logits.

    `scores` has an array (sets, questions) a target, `factors` the shape (sums, sets). Each draw
    takes targets and, within each, clusters of questions, the same for all sets. What this counts
    twice is taken off as in `statistics.mean_over_targets`, whose percentiles these are.
    """
    n, rng = len(scores), np.random.default_rng(seed)
    own = np.concatenate([_sums(each.mean(axis=1)[None], each, factors) for each in scores])
    chosen = rng.integers(n, size=(draws, n))
    times = np.stack([(chosen == index).sum(axis=1) for index in range(n)], axis=1)
    means, within = np.zeros((draws, own.shape[1])), np.zeros(own.shape[1])
    for each, groups, taken in zip(scores, clusters, times.T, strict=True):
        drawn = _sums(_resampled(rng, each, groups, int(taken.sum())), each, factors)
        np.add.at(means, np.repeat(np.arange(draws), taken), drawn / n)
        within += drawn.var(axis=0) / n
    tail = ALPHA / 2
    if n > 1:
        means -= times @ _drawn_together(own, within) / n
        tail = float(norm.sf(student.ppf(1 - tail, n - 1)))
    lows, highs = np.quantile(means, [tail, 1 - tail], axis=0)
    found = list(map(_floats, zip(own.mean(axis=0), lows, highs, strict=True)))
    half = len(factors)
    # Means drawn apart can leave the range that a sum of scores has.
    least, most = factors.clip(max=0).sum(axis=1), factors.clip(min=0).sum(axis=1)
    return [
        (Estimate(v, max(low, least[i]), min(high, most[i])), LogitEstimate(*found[half + i]))
        for i, (v, low, high) in enumerate(found[:half])
    ]


def _drawn_together(own: Array, within: Array) -> Array:
    """Return by how much each target's sums (targets, sums) move to the mean of all."""
    n, between = len(own), own.var(axis=0, ddof=1)
    noise = np.divide(within, between, out=np.ones(within.size), where=between > 0)
    kept = np.sqrt(np.maximum(0.0, (1 - noise) * n / (n - 1)))
    moved: Array = (1 - kept) * (own - own.mean(axis=0))
    return moved


def _sums(means: Array, scores: Array, factors: Array) -> Array:
    """Return the sums of means (draws, sets), then those of their logits, shape (draws, 2 sums)."""
    right = means * scores.shape[1]
    logits = np.log(right + 0.5) - np.log(scores.shape[1] - right + 0.5)
    return np.concatenate([means @ factors.T, logits @ factors.T], axis=1)


def _resampled(rng: np.random.Generator, scores: Array, groups: Codes | None, draws: int) -> Array:
    """Return means of scores (sets, questions) over clusters that are drawn anew."""
    sums, sizes = per_cluster(scores, groups)
    blocks = times_drawn(rng, sizes.size, draws)
    return np.concatenate([w @ sums.T / (w @ sizes)[:, None] for w in blocks])


def _floats(values: tuple[Any, ...]) -> tuple[float, float, float]:
    value, low, high = map(float, values)
    return value, low, high


# --- In words ------------------------------------------------------------------------------------


def sentence(found: Sequence[Coverage]) -> str:
    """Return what one setting's records of one score come to, empty where there are none."""
    if not found:
        return ""
    nothing, whole = found[0], found[-1]
    ends = f"covered nothing {in_percent(nothing.mean.value)} %"
    shares = [(each.shapley, each.covered) for each in found if each.shapley]
    shares.sort(key=lambda share: -share[0].value)
    if not shares or whole.gain is None:
        return f"{ends}; no target has every set of elements, so none has a share of the gain"
    said = ", ".join(f"{element} {_points(share)}" for share, element in shares)
    return (
        f"{ends}, {whole.covered} {in_percent(whole.mean.value)} %, gain {_points(whole.gain)}"
        f" points, {counted(whole.complete_targets, 'target')}; of it {said}"
    )


def _points(estimate: Estimate) -> str:
    value, low, high = map(in_percent, (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"
