"""Scores beside accuracy for targets whose labels are not balanced: by target and arm, CG minus its
reference, and means over these targets.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from matcg import seeds
from matcg.analysis import graded
from matcg.analysis.answers import Answers, ChoiceAnswers
from matcg.analysis.graded import Drawn
from matcg.analysis.label_scores import SCORES, Pair, Runs, auroc_labels, drawn_by_label, swap_ps
from matcg.analysis.labels import balanced
from matcg.analysis.pairs import Setting, Study, Target, arm_order
from matcg.analysis.statistics import Estimate, mean_of_drawn
from matcg.cells import P
from matcg.config.arm import CG
from matcg.plan.records import Row
from matcg.words import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScores:
    """An arm's scores on a target, or CG's differences from its reference.

    `labels` is how many there are questions of, `rarest` how many the rarest has. `p` is that of
    the swap test of each difference, as it stands.
    """

    setting: Setting
    catalog: str
    target: str
    arm: str
    runs: int
    questions: int
    labels: int
    rarest: int
    scores: Mapping[str, Estimate | None]
    p: Mapping[str, P | None]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMeans:
    """The same as means over the `targets` whose labels are not balanced."""

    setting: Setting
    arm: str
    targets: int
    scores: Mapping[str, Estimate | None]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contrast:
    """An arm's runs on a target, and those that they are compared with where it is a difference."""

    setting: Setting
    target: Target
    arm: str
    own: Runs
    pairs: Sequence[Pair] = ()

    @property
    def other(self) -> Runs:
        """Return the runs of the other arm, none where there is none."""
        return [(pair.weight, pair.other) for pair in self.pairs]


def label_scores(study: Study) -> tuple[list[LabelScores], list[LabelMeans]]:
    """Return the scores by target, and their means, of targets whose labels are not balanced.

    Of rows that know labels (`analysis/labels.py`); nothing where all targets are balanced.
    """
    rows = [row for row in study.rows if _uneven(study.answers[row.key])]
    if not rows:
        return [], []
    study = study.of(rows)
    contrasts = [each for setting in study.settings() for each in _contrasts(study, setting)]
    swaps = graded.swaps_for(len(SCORES) * sum(1 for each in contrasts if each.pairs))
    found: list[LabelScores] = []
    drawn: dict[tuple[Setting, str, bool], list[dict[str, Drawn]]] = defaultdict(list)
    for each in contrasts:
        scores = _drawn(study, each)
        found.append(_record(study, each, scores, swaps))
        drawn[each.setting, each.arm, bool(each.pairs)].append(scores)
    found.sort(key=lambda each: (each.setting, each.catalog, each.target))
    return found, [_mean(*group, scores) for group, scores in drawn.items()]


def _uneven(answers: Answers) -> bool:
    truth = answers.truth if isinstance(answers, ChoiceAnswers) else None
    return truth is not None and not balanced(truth.tolist())


def _contrasts(study: Study, setting: Setting) -> Iterator[_Contrast]:
    """Yield what there is to score in a setting: each arm on each target, then differences."""
    for arm in sorted({row.arm for row in study.rows}, key=arm_order):
        for target, rows in _by_target(study.arm(setting, arm)).items():
            yield _Contrast(setting=setting, target=target, arm=arm, own=_runs(study, rows))
    compared = [row for row in study.arm(setting, CG) if study.references(row, setting)]
    name = f"CG minus {study.reference}"
    for target, rows in _by_target(compared).items():
        own, pairs = _runs(study, rows), list(_pairs(study, setting, rows))
        yield _Contrast(setting=setting, target=target, arm=name, own=own, pairs=pairs)


def _runs(study: Study, rows: Sequence[Row]) -> Runs:
    return [(weight, _answers(study, row)) for weight, row in _weighed(rows)]


def _pairs(study: Study, setting: Setting, rows: Sequence[Row]) -> Iterator[Pair]:
    """Yield each run of CG with each of those that it is compared with."""
    for weight, row in _weighed(rows):
        others = study.references(row, setting)
        for other in others:
            yield Pair(weight / len(others), _answers(study, row), _answers(study, other))


def _by_target(rows: Sequence[Row]) -> dict[Target, list[Row]]:
    found: dict[Target, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.catalog, row.target].append(row)
    return dict(sorted(found.items()))


def _weighed(rows: Sequence[Row]) -> list[tuple[float, Row]]:
    """Return rows on a target with their weights: rules weigh alike, within a rule its runs."""
    runs = Counter(row.rule for row in rows)
    return [(1 / len(runs) / runs[row.rule], row) for row in rows]


def _answers(study: Study, row: Row) -> ChoiceAnswers:
    found = study.answers[row.key]
    assert isinstance(found, ChoiceAnswers)
    return found


def _drawn(study: Study, contrast: _Contrast) -> dict[str, Drawn]:
    """Return the scores that are known with their draws, those of a target drawn alike."""
    if _first(contrast).unclear:
        return {}
    seed = seeds.derive(seeds.ANALYSIS, "labels", *contrast.target)
    clusters = study.clusters(contrast.target)
    return drawn_by_label(contrast.own, contrast.other, seed, clusters)


def _first(contrast: _Contrast) -> ChoiceAnswers:
    return contrast.own[0][1]


def _record(
    study: Study, contrast: _Contrast, scores: Mapping[str, Drawn], swaps: int
) -> LabelScores:
    first, target = _first(contrast), contrast.target
    assert first.truth is not None
    counts = np.unique(first.truth, return_counts=True)[1]
    p: Mapping[str, float | None] = {}
    if contrast.pairs and scores:
        seed = seeds.derive(seeds.ANALYSIS, "swaps", *map(str, contrast.setting), *target)
        p = swap_ps(contrast.pairs, seed, study.clusters(target), swaps)
    return LabelScores(
        setting=contrast.setting,
        catalog=target[0],
        target=target[1],
        arm=contrast.arm,
        runs=len(contrast.own),
        questions=first.score.size,
        labels=counts.size,
        rarest=int(counts.min()),
        scores={name: scores[name].estimate if scores else None for name in SCORES},
        p={f"p_{name}": p.get(name) for name in SCORES},
        note=_note(first),
    )


def _note(answers: ChoiceAnswers) -> str:
    """Return what is undefined, and why."""
    assert answers.truth is not None
    if answers.unclear:
        return f"no scores by label: {answers.unclear}"
    there = set(answers.truth.tolist())
    never = [label for place, label in enumerate(answers.labels) if place not in there]
    said = [f"never right: {', '.join(never)}"] if never else []
    without = len(there) - auroc_labels(answers)
    if without:
        said.append(f"no AUROC of {counted(without, 'label')}: offered where right only")
    return "; ".join(said)


def _mean(
    setting: Setting, arm: str, difference: bool, targets: Sequence[Mapping[str, Drawn]]
) -> LabelMeans:
    """Return an arm's means over targets; one whose score is undefined is not in that mean."""
    seed = seeds.derive(seeds.ANALYSIS, "label means", *map(str, setting), arm)
    scores: dict[str, Estimate | None] = dict.fromkeys(SCORES)
    known = [each for each in targets if each]
    low = -1.0 if difference else 0.0
    notes = []
    for name in SCORES:
        mine = [each[name] for each in known if not np.isnan(each[name].value)]
        if mine:
            values, draws = [each.value for each in mine], [each.draws for each in mine]
            scores[name] = mean_of_drawn(values, draws, seed, (low, 1.0))
        if len(mine) < len(targets):
            notes.append(f"{name}: {counted(len(mine), 'target')}")
    return LabelMeans(
        setting=setting, arm=arm, targets=len(targets), scores=scores, note="; ".join(notes)
    )
