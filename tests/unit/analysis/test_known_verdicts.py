"""Verdicts are right where the answers are those of the ideal reader, over 200 seeds a world."""

from collections import Counter

import numpy as np
import pytest

from matcg.analysis.composition import COMPOSED, HARM, NOTHING, RELATED, Composition, verdict
from matcg.analysis.statistics import Estimate, mean_over_targets
from matcg.analysis.studentised import over_targets, smallest
from matcg.phantom.facts import WORLDS
from matcg.phantom.ideal import ideal_accuracy
from synthetic import blank

SEEDS, QUESTIONS = 200, 288
LABELS = (2, 3, 4) * 4  # of twelve targets
M, A, T = "modality", "area", "task"
# What the sources of fixed-task share with the target, of its knock-outs and of the control.
CG = ({M, T}, {A, T})
KNOCK_OUTS = {M: ({T}, {A, T}), A: ({M, T}, {T}), T: ({M}, {A})}
CONTROL = (set[str](),)
RIGHT = {
    "composed": COMPOSED,
    "shared-task": RELATED,
    "near-pair": RELATED,
    "entangled": NOTHING,
    "misleading": HARM,
}


def found(world: str, rng: np.random.Generator) -> str:
    """Return the verdict over targets on answers that are right as often as v* says."""

    def scores(*given: set[str]) -> list[np.ndarray]:
        shares = {frozenset(each) for each in given}
        means = [ideal_accuracy(WORLDS[world], k, shares) for k in LABELS]
        return [(rng.random(QUESTIONS) < mean).astype(float) for mean in means]

    def minus(other: list[np.ndarray]) -> list[np.ndarray]:
        return [a - b for a, b in zip(cg, other, strict=True)]

    cg, none = scores(*CG), [None] * len(LABELS)
    related = mean_over_targets(minus(scores(*CONTROL)), 0, none, 1_000)
    p = smallest([over_targets(minus(scores(*k)), none) for k in KNOCK_OUTS.values()]).p
    assert isinstance(related, Estimate)
    return verdict(blank(Composition, relatedness=related, p_holm=float(p)))


@pytest.mark.parametrize("world", WORLDS)
def test_the_verdict_is_right(world: str) -> None:
    rng = np.random.default_rng(20)
    verdicts = Counter(found(world, rng) for _ in range(SEEDS))
    # Where nothing is to be found, an interval of 95 % leaves out zero in one of twenty: here in no
    # more than that and three standard errors.
    wrong = 0.05 + 3 * np.sqrt(0.05 * 0.95 / SEEDS) if world == "entangled" else 0
    assert verdicts[RIGHT[world]] >= (1 - wrong) * SEEDS, verdicts
    assert world == "composed" or COMPOSED not in verdicts
