"""Every combination against its reference arm and the baseline, on the same questions.

One row a combination and setting: difference with intervals, p of the paired test, what several
seeds or draws add, corrections for many comparisons, and the verdict.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from matcg import seeds
from matcg.analysis import graded, statistics
from matcg.analysis.answers import ChoiceAnswers, LocatedAnswers
from matcg.analysis.pairs import Array, Setting, Study, Target, setting_of
from matcg.analysis.statistics import Codes, Estimate
from matcg.analysis.studentised import difference_over_runs
from matcg.cells import P
from matcg.config.arm import CG, CONTROL
from matcg.config.published import tick
from matcg.forms import ACCURACY
from matcg.plan.records import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A combination's runs in a setting against the reference arm and the baseline.

    `cg`, `control` and `baseline` are means of `score`, `cg_sd` and `control_sd` their deviations
    over runs. `difference` takes the runs as they are, `over_runs` counts them as drawn. `better`
    and `worse` are how many questions, or clusters, speak for CG and for the reference: what
    McNemar's test is about. Scores other than accuracy are tested by swaps (`graded.swap_p`).
    """

    setting: Setting
    target: str
    rule: str
    combination: str
    label: str
    reference: str
    seeds: int
    draws: int
    n: int
    clusters: int
    chance: float | None
    cg: float
    cg_sd: float | None
    control: float | None
    control_sd: float | None
    baseline: float | None
    difference: Estimate | None
    over_runs: Estimate | None
    minus_baseline: Estimate | None
    better: int | None
    worse: int | None
    p_mcnemar: P | None
    p_runs: P | None
    p_holm: P | None = None
    q_bh: P | None = None
    p_baseline: P | None
    p_baseline_holm: P | None = None
    detectable: float | None
    verdict: str = ""
    tick: str
    p_swap: P | None = None
    score: str = ACCURACY

    @property
    def p(self) -> float | None:
        """Return the p of the verdict: the larger where runs are also counted as drawn."""
        found = [p for p in (self.p_mcnemar, self.p_swap, self.p_runs) if p is not None]
        return max(found, default=None)


@dataclass(frozen=True, slots=True)
class Claims:
    """What was declared before looking: Holm's family, and the smallest difference of interest."""

    family: str = "rule"
    minimum_effect: float = statistics.MINIMUM_EFFECT


# A gain that is as large with other questions' pictures.
PRIOR_ONLY = "prior only"
Adjust = Callable[[Sequence[float]], list[float]]
TestFamily = Callable[[Comparison], tuple[object, ...]]
FAMILIES: dict[str, TestFamily] = {
    "rule": lambda each: (each.setting, each.rule),
    "target": lambda each: (each.setting, each.target),
    "experiment": lambda each: (each.setting,),
}


def comparisons(study: Study, claims: Claims, shuffled: Study | None = None) -> list[Comparison]:
    """Return one record a combination, its seeds pooled, p values adjusted over their families.

    Holm's family is that of `claims` within a setting; Benjamini and Hochberg's is the whole table.
    `shuffled` has answers of the same runs to the same questions about others' pictures.
    """
    contrasts = _contrasts(study)
    pairs = list(contrasts.values())
    against_reference = _estimates(pairs, lambda pair: pair.difference)
    against_baseline = _estimates(pairs, lambda pair: pair.minus_baseline)
    swaps = graded.swaps_for(len(pairs))
    found = list(map(partial(_comparison, swaps), pairs, against_reference, against_baseline))
    family, ps = FAMILIES[claims.family], [each.p for each in found]
    adjusted = zip(
        found,
        _adjusted(found, ps, statistics.holm, family),
        _adjusted(found, ps, statistics.benjamini_hochberg, lambda _: ()),
        _adjusted(found, [each.p_baseline for each in found], statistics.holm, family),
        strict=True,
    )
    named = (replace(each, p_holm=holm, q_bh=q, p_baseline_holm=p) for each, holm, q, p in adjusted)
    others = _contrasts(shuffled) if shuffled else {}
    looked = [_looks(pair, others.get(key)) for key, pair in contrasts.items()]
    return [
        replace(each, verdict=_verdict(each, claims, looks))
        for each, looks in zip(named, looked, strict=True)
    ]


def _contrasts(study: Study) -> dict[tuple[Setting, str, str, str, str], "Contrast"]:
    """Return each combination's runs by setting, catalog, target, rule and combination."""
    groups: dict[tuple[Setting, str, str, str, str], list[Row]] = defaultdict(list)
    for row in study.rows:
        if row.arm == CG:
            key = (setting_of(row), row.catalog, row.target, row.rule, row.combination)
            groups[key].append(row)
    return {key: Contrast(study, key[0], rows) for key, rows in groups.items()}


def _looks(pair: "Contrast", shuffled: "Contrast | None") -> bool:
    """Tell whether what CG adds depends on the picture, as far as is known; else it is a prior.

    It does where more of it is lost with another question's picture than chance explains. What
    points at something alone can be right by a place that is often right.
    """
    located = isinstance(pair.study.answers[pair.rows[0].key], LocatedAnswers)
    if not located or shuffled is None or pair.difference is None or shuffled.difference is None:
        return True
    lost, seed = pair.difference - shuffled.difference, seeds.derive(seeds.ANALYSIS, *pair.target)
    clusters = pair.study.clusters(pair.target)
    return statistics.mean_over_questions(lost, seed, clusters).low > 0


def _adjusted(
    found: Sequence[Comparison], ps: Sequence[float | None], adjust: Adjust, family: TestFamily
) -> list[float | None]:
    """Return each p adjusted over its family, of which those without p are no part."""
    families: dict[tuple[object, ...], dict[int, float]] = defaultdict(dict)
    for place, (each, p) in enumerate(zip(found, ps, strict=True)):
        if p is not None:
            families[family(each)][place] = p
    adjusted: dict[int, float] = {}
    for mine in families.values():
        adjusted |= zip(mine, adjust(list(mine.values())), strict=True)
    return [adjusted.get(place) for place in range(len(found))]


def _verdict(found: Comparison, claims: Claims, looks: bool) -> str:
    if found.difference is None:
        return f"no {found.reference}"
    assert found.p_holm is not None
    assert found.detectable is not None
    difference, p = found.difference.value, found.p_holm
    if found.better is not None and (found.better - (found.worse or 0)) * difference <= 0:
        # A few clusters or seeds can pull the mean one way and most of them the other: no claim.
        p = 1.0
    verdict = statistics.verdict(difference, p, found.detectable, claims.minimum_effect)
    return verdict if looks or verdict != "helps" else PRIOR_ONLY


@dataclass(frozen=True)
class Contrast:
    """A combination's runs in a setting, and what they are compared with."""

    study: Study
    setting: Setting
    rows: Sequence[Row]

    @property
    def target(self) -> Target:
        """Return catalog and id of the target."""
        return (self.rows[0].catalog, self.rows[0].target)

    @cached_property
    def references(self) -> list[Row]:
        """Return the reference runs, each once."""
        found = [other for row in self.rows for other in self.study.references(row, self.setting)]
        return list({row.key: row for row in found}.values())

    @cached_property
    def cg(self) -> Array:
        """Return the combination's scores, shape (seeds, questions)."""
        return self.study.replicates(self.rows)

    @cached_property
    def reference(self) -> Array | None:
        """Return the reference's scores, shape (draws or seeds, questions)."""
        return self.study.replicates(self.references) if self.references else None

    @cached_property
    def difference(self) -> Array | None:
        """Return per-question differences of the means over runs."""
        if self.reference is None:
            return None
        difference: Array = (self.cg.mean(axis=0) - self.reference.mean(axis=0)).round(9)
        return difference

    @cached_property
    def minus_baseline(self) -> Array | None:
        """Return the same against the untouched backbone."""
        found = self.study.baselines(self.rows[0])
        return (self.cg.mean(axis=0) - self.study.mean_score(found)).round(9) if found else None


def _estimates(
    pairs: Sequence[Contrast], scores_of: Callable[[Contrast], Array | None]
) -> list[Estimate | None]:
    """Return the bootstrap interval of each pair's scores; those of a target are drawn alike."""
    targets: dict[Target, dict[int, Array]] = defaultdict(dict)
    for place, pair in enumerate(pairs):
        scores = scores_of(pair)
        if scores is not None:
            targets[pair.target][place] = scores
    found: dict[int, Estimate] = {}
    for target, mine in targets.items():
        seed, clusters = (
            seeds.derive(seeds.ANALYSIS, "combinations", *target),
            pairs[0].study.clusters(target),
        )
        estimates = statistics.means_over_questions(np.array(list(mine.values())), seed, clusters)
        found |= zip(mine, estimates, strict=True)
    return [found.get(place) for place in range(len(pairs))]


def _comparison(
    swaps: int, pair: Contrast, difference: Estimate | None, minus_baseline: Estimate | None
) -> Comparison:
    study, first = pair.study, pair.rows[0]
    answers, clusters = study.answers[first.key], study.clusters(pair.target)
    tests = (
        _tests if isinstance(answers, ChoiceAnswers) else partial(_swap_tests, swaps, difference)
    )
    cg = float(pair.cg.mean())
    control = _mean_accuracy(study, [row for row in pair.references if row.arm == CONTROL])
    baseline = _mean_accuracy(study, study.baselines(first))
    accuracies = {CG: cg, "control": control, "baseline": baseline}
    return Comparison(
        setting=pair.setting,
        target=first.target,
        rule=first.rule,
        combination=first.combination,
        label=first.label,
        reference=study.reference,
        seeds=len({row.seed for row in pair.rows}),
        draws=len({row.draw for row in pair.references}),
        n=answers.score.size,
        clusters=_number(answers.score, clusters),
        chance=study.chance([first]),
        cg=cg,
        cg_sd=_sd(pair.cg),
        control_sd=_sd(pair.reference),
        control=control,
        baseline=baseline,
        difference=difference,
        minus_baseline=minus_baseline,
        **tests(pair, clusters),
        score=answers.measure,
        tick=tick({arm: mean for arm, mean in accuracies.items() if mean is not None}),
    )


def _number(scores: Array, clusters: Codes | None) -> int:
    """Return how many clusters there are; each question is one where none is known."""
    return scores.size if clusters is None else int(clusters.max()) + 1


def _mean_accuracy(study: Study, rows: Sequence[Row]) -> float | None:
    return float(np.mean([study.score(row).mean() for row in rows])) if rows else None


def _sd(runs: Array | None) -> float | None:
    """Return the standard deviation of runs' accuracies, None where there is but one."""
    return None if runs is None or len(runs) < 2 else float(runs.mean(axis=1).std(ddof=1))


_OF_TESTS = (
    *("over_runs", "better", "worse", "p_mcnemar", "p_swap", "p_runs", "p_baseline"),
    "detectable",
)


def _tests(pair: Contrast, clusters: Codes | None) -> dict[str, Any]:
    """Return p values and what they rest on.

    McNemar's test takes the runs as they are. Where there are several, a claim must also hold
    when they are counted as drawn.
    """
    found = dict.fromkeys(_OF_TESTS)
    if pair.minus_baseline is not None:
        found["p_baseline"] = statistics.mcnemar_p(pair.minus_baseline, clusters)
    if pair.difference is None:
        return found
    better, worse = statistics.discordant(pair.difference, clusters)
    n = _number(pair.difference, clusters)
    detectable = statistics.detectable_difference(n, better + worse)
    found |= {"better": better, "worse": worse}
    found["p_mcnemar"] = statistics.mcnemar_p(pair.difference, clusters)
    return found | _over_runs(pair, clusters, detectable)


def _swap_tests(
    swaps: int, difference: Estimate | None, pair: Contrast, clusters: Codes | None
) -> dict[str, Any]:
    """Return the same of graded scores, whose means over runs are swapped between arms."""
    found = dict.fromkeys(_OF_TESTS)
    seed = seeds.derive(seeds.ANALYSIS, "swaps", *pair.target)

    def p(minus: Array) -> float | None:
        # The mean of all is swapped with its negative: arms differ by no more than that.
        sums, opposite = graded.as_ratio(minus), graded.as_ratio(-minus)
        return graded.swap_p(sums, opposite, seed, clusters, swaps)[0]

    if pair.minus_baseline is not None:
        found["p_baseline"] = p(pair.minus_baseline)
    if pair.difference is None or difference is None:
        return found
    found["p_swap"] = p(pair.difference)
    half = (difference.high - difference.low) / 2
    # Of a few clusters no swap is rare enough, whatever the interval.
    enough = 2.0 ** (1 - _number(pair.difference, clusters)) < statistics.ALPHA
    return found | _over_runs(pair, clusters, half if enough else math.inf)


def _over_runs(pair: Contrast, clusters: Codes | None, detectable: float) -> dict[str, Any]:
    assert pair.reference is not None
    over_runs = difference_over_runs(pair.cg, pair.reference, clusters)
    if not over_runs:
        return {"detectable": detectable}
    return {
        "p_runs": over_runs.p,
        "over_runs": over_runs.estimate,
        "detectable": max(detectable, over_runs.detectable),
    }
