"""Targets that the untouched backbone answers better than chance: perhaps it saw them before."""

from collections import defaultdict

from scipy.stats import binom

from matcg.analysis.answers import ChoiceAnswers
from matcg.analysis.pairs import Study, Target
from matcg.analysis.statistics import ALPHA, holm
from matcg.config.arm import BASELINE


def seen_before(study: Study) -> set[tuple[str, Target]]:
    """Return backbones and targets whose accuracy untouched is above chance.

    One-sided binomial test at 5 %, corrected over a backbone's targets (Holm). Where questions have
    several numbers of options their mean chance is taken, which errs on the safe side. Boxes and
    masks have no chance to be above.
    """
    ps: dict[str, dict[Target, float]] = defaultdict(dict)
    for row in study.rows:
        answers = study.answers[row.key]
        if row.arm == BASELINE and isinstance(answers, ChoiceAnswers):
            ps[row.backbone][row.catalog, row.target] = _p(answers)
    return {
        (backbone, target)
        for backbone, found in ps.items()
        for target, p in zip(found, holm(list(found.values())), strict=True)
        if p < ALPHA
    }


def _p(answers: ChoiceAnswers) -> float:
    right = round(float(answers.score.sum()))
    return float(binom.sf(right - 1, answers.score.size, float(answers.chance.mean())))
