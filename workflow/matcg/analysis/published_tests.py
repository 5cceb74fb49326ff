"""Which of a paper's printed gains could be significant, given how many questions it asked.

Needs no run. Of each row the paper prints accuracies only; what the paired test would have said
depends on how many questions the arms differed on, so it is computed for the best case and for two
assumptions.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from matcg.analysis import power, statistics
from matcg.cells import P
from matcg.config.arm import CG
from matcg.config.published import Place, Printed, by_place, gains

# Shares of questions that one arm alone answers right; None: no more than the gain asks for.
CASES = {"least_p": None, "p_20": 0.2, "p_30": 0.3}
UNPAIRED = "unpaired"
CASE_NAMES = {
    "least_p": "paired, best case",
    "p_20": "paired, 20 % differ",
    "p_30": "paired, 30 % differ",
    UNPAIRED: UNPAIRED,
}
ASSUMED = (67, 100, 150, 200, 300)
AGAINST = ("best", "control")
UNPAIRED_KEYS = [f"unpaired_{n}_{name}" for name in AGAINST for n in ASSUMED]


@dataclass(frozen=True, slots=True, kw_only=True)
class GainTest:
    """A printed row with a gain: accuracies, gains over the best other arm and over the control.

    The p are those of an exact McNemar test in the best case and where 20 or 30 % of the questions
    are answered right by one arm alone, and those of an unpaired test, by the number of questions
    that is assumed. `fewest_best` is the least number with which the gain is significant.
    """

    label: str
    target: str
    rule: str
    baseline: float | None
    control: float | None
    cg: float | None
    gain_best: float | None
    gain_control: float | None
    tick: str
    questions: int | None
    least_p_best: P | None
    p_20_best: P | None
    p_30_best: P | None
    least_p_control: P | None
    p_20_control: P | None
    p_30_control: P | None
    fewest_best: int | None
    fewest_20_best: int | None
    unpaired: Mapping[str, P | None]


@dataclass(frozen=True, slots=True)
class GainCount:
    """Of the rows that a test can tell something of, how many gains are significant."""

    against: str
    questions: str
    test: str
    rows: int
    gains: int
    significant: int
    holm: int
    bh: int


@dataclass(frozen=True, slots=True)
class PrintedGain:
    """A printed row with a gain: its values as fractions, and the size of its test set."""

    place: Place
    values: dict[str, float]
    questions: int | None

    def gain(self, against: str) -> float | None:
        """Return CG's gain over the best other arm, or over the control alone."""
        found = gains(self.values)
        gain = min(found.values()) if against == "best" else found.get(against)
        # Differences of printed percentages: equal ones must not differ in their last binary digit.
        return None if gain is None else round(gain, 9)

    def other(self, against: str) -> float | None:
        """Return the accuracy of the arm that the gain is over, None where it is not printed."""
        gain = self.gain(against)
        return self.values[CG] - gain if CG in self.values and gain is not None else None


def _claims(printed: Iterable[Printed]) -> list[PrintedGain]:
    printed = list(printed)
    sizes = {each.target: each.questions for each in printed if each.questions}
    return [
        PrintedGain(place, values, sizes.get(place[1]))
        for place, values in by_place(printed).items()
        if gains(values)
    ]


def gain_tests(printed: Iterable[Printed]) -> list[GainTest]:
    """Return one record a printed gain, in the paper's order."""
    return [_test(claim) for claim in _claims(printed)]


def _test(claim: PrintedGain) -> GainTest:
    label, target, rule = claim.place
    best = claim.gain("best")
    return GainTest(
        label=label,
        target=target,
        rule=rule,
        **{arm: claim.values.get(arm) for arm in ("baseline", "control", CG)},
        **{f"gain_{name}": claim.gain(name) for name in AGAINST},
        tick="yes" if best and best > 0 else "no",
        questions=claim.questions,
        **{
            f"{case}_{name}": _p(claim, name, case, claim.questions)
            for name in AGAINST
            for case in CASES
        },
        fewest_best=power.fewest_questions(best or 0),
        fewest_20_best=power.fewest_questions(best or 0, CASES["p_20"]),
        unpaired={
            key: _p(claim, name, UNPAIRED, n)
            for key, (name, n) in zip(UNPAIRED_KEYS, product(AGAINST, ASSUMED), strict=True)
        },
    )


def _p(claim: PrintedGain, against: str, case: str, questions: int | None) -> float | None:
    """Return a claim's p in one of CASES or unpaired, None where it cannot be known."""
    gain, other = claim.gain(against), claim.other(against)
    if gain is None or questions is None:
        return None
    if case in CASES:
        return power.paired_p(gain, questions, CASES[case])
    return None if other is None else power.unpaired_p(claim.values[CG], other, questions)


def gain_counts(printed: Iterable[Printed]) -> list[GainCount]:
    """Return how many gains are significant, a record an arm, a number of questions and a test."""
    return list(_counts(_claims(printed)))


def _counts(claims: Sequence[PrintedGain]) -> Iterator[GainCount]:
    for against, asked, case in product(AGAINST, (None, *ASSUMED), (*CASES, UNPAIRED)):
        found = [
            (claim.gain(against), _p(claim, against, case, asked or claim.questions))
            for claim in claims
        ]
        tested = [(gain, p) for gain, p in found if gain is not None and p is not None]
        if tested:
            yield GainCount(
                "best other arm" if against == "best" else against,
                "where known" if asked is None else f"{asked} assumed",
                CASE_NAMES[case],
                *_count(tested),
            )


def _count(tested: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    """Return the numbers of rows, of gains, and of gains significant as they stand and adjusted."""
    values = [p for _, p in tested]
    families = (values, statistics.holm(values), statistics.benjamini_hochberg(values))
    gained = [gain > 0 for gain, _ in tested]
    significant = (
        sum(gain and p < statistics.ALPHA for gain, p in zip(gained, ps, strict=True))
        for ps in families
    )
    return len(tested), sum(gained), *significant
