"""Means over targets of every arm and every rule: accuracy, and differences from other arms."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

from matcg import seeds
from matcg.analysis import statistics
from matcg.analysis.comparison import Comparison
from matcg.analysis.pairs import Array, Setting, Study, Target, arm_order, by_target
from matcg.analysis.statistics import Estimate
from matcg.config.arm import CG
from matcg.forms import ACCURACY
from matcg.plan.records import BASELINE, Row


@dataclass(frozen=True, slots=True)
class Summary:
    """An arm's means over targets in a setting, or those of a rule where `rule` says one.

    They are means of `score`; targets with another one have a record of their own.
    Differences are from the `reference` arm over `paired_targets`, from it once more by a mixed
    model and clustered by source dataset, and from the baseline. Verdicts are counted for CG alone.
    """

    setting: Setting
    arm: str
    rule: str
    reference: str
    targets: int
    paired_targets: int
    runs: int
    questions: int
    accuracy: Estimate | None
    chance: float | None
    minus_chance: Estimate | None
    minus_reference: Estimate | None
    mixed_model: Estimate | None
    by_dataset: Estimate | None
    minus_baseline: Estimate | None
    helps: int | None = None
    hurts: int | None = None
    comparisons: int | None = None
    score: str = ACCURACY


def summaries(study: Study, comparisons: Sequence[Comparison]) -> list[Summary]:
    """Return one record an arm and one a rule, for every setting and main score."""
    arms = list(dict.fromkeys(row.arm for row in study.rows))
    found: list[Summary] = []
    for setting, (score, part) in product(study.settings(), study.by_measure().items()):
        compared = [each for each in comparisons if each.score == score]
        for arm in sorted(arms, key=arm_order):
            rows = part.arm(setting, arm)
            if not rows:
                continue
            found.append(_summary(part, setting, rows, compared, rule=""))
            if arm == CG:
                for rule in dict.fromkeys(row.rule for row in rows):
                    chosen = [row for row in rows if row.rule == rule]
                    found.append(_summary(part, setting, chosen, compared, rule))
    return found


def _summary(
    study: Study,
    setting: Setting,
    rows: Sequence[Row],
    comparisons: Iterable[Comparison],
    rule: str,
) -> Summary:
    arm = rows[0].arm
    accuracy = by_target(rows, study.score)
    is_reference = arm == study.reference
    against = by_target(rows, lambda row: study.minus_reference(row, setting))
    against = {} if is_reference else against
    baseline = {} if arm == BASELINE else by_target(rows, study.minus_baseline)
    mean = partial(study.mean, seed=seeds.derive(seeds.ANALYSIS, "summary", *setting, arm, rule))
    checked = against if arm == CG else {}
    arrays = list(checked.values())
    return Summary(
        setting,
        arm,
        rule,
        "" if is_reference else study.reference,
        targets=len(accuracy),
        paired_targets=len(against),
        runs=len(rows),
        questions=sum(scores.size for scores in accuracy.values()),
        accuracy=mean(accuracy),
        chance=study.chance(rows),
        minus_chance=mean(by_target(rows, study.minus_chance)),
        minus_reference=mean(against),
        mixed_model=statistics.mean_by_mixed_model(arrays) if arrays else None,
        by_dataset=_by_dataset(study, checked),
        minus_baseline=mean(baseline),
        score=study.answers[rows[0].key].measure,
        **(_verdicts(comparisons, setting, rule) if arm == CG else {}),
    )


def _by_dataset(study: Study, scores: Mapping[Target, Array]) -> Estimate | None:
    """Return the mean clustered by source dataset, None where these are not known of all."""
    if not scores or any(target not in study.origins for target in scores):
        return None
    datasets = [study.origins[target].datasets for target in scores]
    return statistics.mean_by_clusters(list(scores.values()), datasets)


def _verdicts(comparisons: Iterable[Comparison], setting: Setting, rule: str) -> dict[str, int]:
    found = [
        each.verdict for each in comparisons if each.setting == setting and rule in ("", each.rule)
    ]
    return {"helps": found.count("helps"), "hurts": found.count("hurts"), "comparisons": len(found)}
