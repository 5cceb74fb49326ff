"""How the questions were asked: the experiment's protocol and those reported beside it, compared.

Every protocol is a study of its own, of the same runs, which are paired as in the main one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from matcg import seeds
from matcg.analysis.answers import NO_ORDER, ChoiceAnswers
from matcg.analysis.letters import OrderUse, letters_in_orders
from matcg.analysis.missing import NO_ANSWERS
from matcg.analysis.pairs import Array, Setting, Study, Target, arm_order, by_target
from matcg.analysis.statistics import Estimate
from matcg.config.arm import CG
from matcg.config.protocol import Protocol
from matcg.forms import ACCURACY
from matcg.plan.records import Key, Row, draw_of, protocol_of, run_of
from matcg.words import counted

SCORING = {
    "letter": "letter",
    "option-text": "text of the options",
    "generate": "free text",
}
_IMAGES = {"shown": "", "blank": "grey picture", "shuffled": "another question's picture"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ByProtocol:
    """An arm's accuracy, or CG's difference from its reference, as one protocol asks.

    Where `score` is not accuracy, its mean stands there.
    Shares of answers are those that were a letter (`strict`), could not be `unread`, were the same
    `as_main`, and that another order `changes`. What was not measured is None; `note` may say why.
    """

    setting: Setting
    protocol: str
    asked: str
    arm: str
    targets: int | None = None
    questions: int | None = None
    accuracy: Estimate | None = None
    chance: float | None = None
    strict: float | None = None
    unread: float | None = None
    as_main: float | None = None
    changes: float | None = None
    worst_order: float | None = None
    best_order: float | None = None
    note: str = ""
    score: str = ACCURACY


# An arm's run on a target: backbone, catalog, target, arm, rule, combination, run.
_Place = tuple[str, ...]
_Score = Callable[[Row], Array | None]
_Scores = Mapping[Target, Array]


@dataclass(frozen=True)
class AskedRuns:
    """The runs as one protocol asks them; `planned` are all, those in `study` have answers."""

    protocol: Protocol
    planned: Sequence[Row]
    study: Study

    @property
    def name(self) -> str:
        """Return the protocol's name."""
        return self.protocol.name

    @cached_property
    def by_place(self) -> Mapping[_Place, Sequence[Row]]:
        """Return the answered evaluations of each run, its draws of examples."""
        found: dict[_Place, list[Row]] = defaultdict(list)
        for row in self.study.rows:
            found[place_of(row)].append(row)
        return found


def place_of(row: Row) -> _Place:
    """Return which run of which arm a row is about, however it is asked."""
    return (*row.key[:3], row.arm, row.rule, row.combination, row.run)


def protocol_words(protocol: Protocol, score: str = ACCURACY) -> str:
    """Return what a protocol does, in a few words, where answers have this main score."""
    by_letter = score == ACCURACY or protocol.scoring != "letter"
    examples = counted(protocol.shots, "example") + (" a label" if protocol.per == "label" else "")
    parts = (
        SCORING[protocol.scoring] if by_letter else "structured output",
        f"mean of up to {protocol.permutations} orders" if protocol.permutations > 1 else "",
        _IMAGES[protocol.image],
        examples if protocol.shots else "",
        f"mean of {protocol.draws} draws" if protocol.draws > 1 else "",
    )
    return ", ".join(part for part in parts if part)


def further_rows(
    rows: Sequence[Row], evaluations: Iterable[Key], protocols: Sequence[Protocol]
) -> list[Row]:
    """Return the rows of the plan's evaluations by all protocols but the first, that of `rows`.

    Arms with a protocol of their own are reported by no other.
    """
    if len(protocols) < 2:
        return []
    main, *others = protocols
    order = {protocol.name: (at, protocol.draws) for at, protocol in enumerate(others)}
    names: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for *place, name in evaluations:
        if protocol_of(name) in order:
            names[*place, run_of(name)].append(name)
    for each in names.values():
        each.sort(key=lambda name: (order[protocol_of(name)], draw_of(name)))
    return [
        replace(
            row,
            asked=name,
            draw=row.draw // main.draws * order[protocol_of(name)][1] + draw_of(name),
        )
        for row in rows
        if row.protocol == main.name and row.draw % main.draws == 0
        for name in names[*row.key[:3], row.run]
    ]


def asked_ways(
    everything: Study, planned: Sequence[Row], protocols: Sequence[Protocol]
) -> list[AskedRuns]:
    """Return the study of each protocol, the main one first.

    `everything` has the answers of `planned`, all evaluations by all protocols.
    """
    arms = {row.arm for row in planned if row.protocol == protocols[0].name}
    found = []
    for protocol in protocols:
        rows = [row for row in planned if row.arm in arms and row.protocol == protocol.name]
        found.append(AskedRuns(protocol, rows, everything.of(rows)))
    return found


def difference_name(study: Study) -> str:
    """Return what the difference between CG and its reference is called."""
    return f"CG minus {study.reference}"


def by_protocols(ways: Sequence[AskedRuns]) -> list[ByProtocol]:
    """Return one record a setting, main score, protocol and arm, and one of CG minus its reference.

    Draws of examples are averaged, every target weighs alike, within it every rule. Intervals are
    those of the summary: over targets and questions, resampled alike for all protocols.
    """
    return [
        each
        for setting in Study(ways[0].planned, {}).settings()
        for score, part in by_measure(ways).items()
        for way in part
        for each in _by_arms(way, part[0], setting, score)
    ]


def by_measure(ways: Sequence[AskedRuns]) -> dict[str, Sequence[AskedRuns]]:
    """Return what was asked of the targets of each main score: no mean is over several."""
    studies = [way.study for way in ways]
    measures = {
        row.key[1:3]: study.answers[row.key].measure for study in studies for row in study.rows
    }
    if len(set(measures.values())) < 2:
        return {next(iter(measures.values()), ACCURACY): ways}

    def part(way: AskedRuns, score: str) -> AskedRuns:
        planned = [row for row in way.planned if measures.get(row.key[1:3]) == score]
        return AskedRuns(way.protocol, planned, way.study.of(planned))

    return {score: [part(way, score) for way in ways] for score in sorted(set(measures.values()))}


def _by_arms(way: AskedRuns, main: AskedRuns, setting: Setting, score: str) -> Iterator[ByProtocol]:
    planned, asked = Study(way.planned, {}), protocol_words(way.protocol, score)
    named = partial(ByProtocol, setting=setting, protocol=way.name, asked=asked, score=score)
    for arm in sorted({row.arm for row in way.planned}, key=arm_order):
        wanted = planned.arm(setting, arm)
        if not wanted:
            continue
        rows = [row for row in wanted if row.key in way.study.answers]
        measures = _measures(way, main, setting, rows) if rows else {}
        yield named(arm=arm, **measures, note=_note(len(rows), len(wanted)))
    study = way.study
    differences = by_target(study.arm(setting, CG), lambda row: study.minus_reference(row, setting))
    if differences:
        yield named(arm=difference_name(study), **_mean(study, setting, differences, CG))


def _note(answered: int, planned: int) -> str:
    if answered == planned:
        return ""
    return f"mean of {answered} of {planned} evaluations" if answered else NO_ANSWERS


def _mean(study: Study, setting: Setting, scores: _Scores, arm: str) -> dict[str, Any]:
    return {
        "targets": len(scores),
        "questions": sum(each.size for each in scores.values()),
        "accuracy": mean_of(study, setting, scores, arm),
    }


def mean_of(study: Study, setting: Setting, scores: _Scores, arm: str) -> Estimate | None:
    """Return the mean over targets of an arm's scores (questions,), resampled as in the summary."""
    return study.mean(scores, seeds.derive(seeds.ANALYSIS, "summary", *setting, arm, ""))


def _measures(
    way: AskedRuns, main: AskedRuns, setting: Setting, rows: Sequence[Row]
) -> dict[str, Any]:
    """Return what is measured of an arm's answers."""
    study = way.study

    def mean(score: _Score) -> float | None:
        means = [scores.mean() for scores in by_target(rows, score).values()]
        return float(np.mean(means)) if means else None

    def of(measure: Callable[[ChoiceAnswers], Array | None]) -> float | None:
        return mean(lambda row: _of_choice(study, row, measure))

    scores = by_target(rows, study.score)
    orders = _order_accuracies(study, rows) if way.protocol.permutations > 1 else []
    return {
        **_mean(study, setting, scores, rows[0].arm),
        "chance": study.chance(rows),
        "strict": of(lambda answers: answers.strict.astype(np.float64)),
        "unread": of(_unread) if way.protocol.scoring == "generate" else None,
        "as_main": None if way is main else mean(lambda row: _as_main(way, main, row)),
        "changes": of(_changes) if orders else None,
        "worst_order": min(orders, default=None),
        "best_order": max(orders, default=None),
    }


def _of_choice(
    study: Study, row: Row, measure: Callable[[ChoiceAnswers], Array | None]
) -> Array | None:
    """Return what only answers to multiple choice have; None of others."""
    answers = study.answers[row.key]
    return measure(answers) if isinstance(answers, ChoiceAnswers) else None


def _unread(answers: ChoiceAnswers) -> Array:
    """Return 1.0 where no answer could be read."""
    unread: Array = (answers.predicted < 0).astype(np.float64)
    return unread


def _as_main(way: AskedRuns, main: AskedRuns, row: Row) -> Array | None:
    """Return by question in what share of the main protocol's draws the same option is chosen."""
    answers = way.study.answers[row.key]
    others = [main.study.answers[other.key] for other in main.by_place.get(place_of(row), ())]
    choices = [each for each in others if isinstance(each, ChoiceAnswers)]
    if not choices or not isinstance(answers, ChoiceAnswers):
        return None
    said = answers.predicted
    same: Array = np.mean([(said == each.predicted) & (said >= 0) for each in choices], axis=0)
    return same


def _changes(answers: ChoiceAnswers) -> Array | None:
    """Return 1.0 where another option is chosen in another order."""
    verdicts = answers.verdicts
    if verdicts is None:
        return None
    other = (verdicts != verdicts[:, :1]) & (verdicts != NO_ORDER)
    changed: Array = other.any(axis=1).astype(np.float64)
    return changed


def _order_accuracies(study: Study, rows: Sequence[Row]) -> list[float]:
    """Return the accuracy in each cyclic order, a mean over targets.

    Questions with fewer options begin again with their first order.
    """
    answers = (study.answers[row.key] for row in rows)
    found = [each.verdicts for each in answers if isinstance(each, ChoiceAnswers)]
    most = max((each.shape[1] for each in found if each is not None), default=0)
    accuracies = []
    for order in range(most):

        def right(row: Row, order: int = order) -> Array | None:
            return _of_choice(study, row, partial(_in_order, order=order))

        accuracies.append(float(np.mean([each.mean() for each in by_target(rows, right).values()])))
    return accuracies


def _in_order(answers: ChoiceAnswers, order: int) -> Array | None:
    if answers.verdicts is None:
        return None
    orders = (answers.verdicts != NO_ORDER).sum(axis=1)
    said = answers.verdicts[np.arange(orders.size), order % orders]
    right: Array = (said == answers.answer).astype(np.float64)
    return right


def in_all_orders(ways: Sequence[AskedRuns]) -> list[OrderUse]:
    """Return how letters are used by every protocol that asks in several orders."""
    several = [way for way in ways if way.protocol.permutations > 1]
    return [use for way in several for use in letters_in_orders(way.study, way.name)]
