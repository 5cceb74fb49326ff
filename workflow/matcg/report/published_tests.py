"""Which of a paper's printed gains could be significant, given how many questions it asked.

Needs no run. Of each row the paper prints accuracies only; what the paired test would have said
depends on how many questions the arms differed on, so it is computed for the best case and for two
assumptions.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from matcg import power, statistics
from matcg.config.experiment import CG
from matcg.config.published import Place, Printed, by_place, gains
from matcg.report.render import Cell, Column, Field, Row, Table
from matcg.report.sheet import write_sheet

__all__ = ["claim_rows", "count_rows", "write"]

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
SHOWN_P = {"least_p": "Least p", "p_20": "p, 20 % differ", "p_30": "p, 30 % differ"}

TESTS = Table(
    "tests",
    "printed accuracies (%), gains (points), and what an exact McNemar test can have said of the"
    " gain over the best other arm",
    (
        *(Field(name) for name in ("label", "target", "rule")),
        *(Field(name, "fraction") for name in ("baseline", "control", CG)),
        *(Field(f"gain_{name}", "fraction") for name in AGAINST),
        Field("tick"),
        Field("questions", "count"),
        *(Field(f"{case}_{name}", "p") for name in AGAINST for case in CASES),
        *(Field(f"{name}_best", "count") for name in ("fewest", "fewest_20")),
        *(Field(f"unpaired_{n}_{name}", "p") for name in AGAINST for n in ASSUMED),
    ),
    (
        Column("Row", "label"),
        Column("Target", "target"),
        Column("Rule", "rule"),
        Column("Baseline", "baseline", "percent"),
        Column("Control", "control", "percent"),
        Column("CG", CG, "percent"),
        Column("Gain", "gain_best", "points"),
        Column("Over control", "gain_control", "points"),
        Column("Tick", "tick"),
        Column("Questions", "questions", "count"),
        *(Column(header, f"{case}_best", "p") for case, header in SHOWN_P.items()),
        Column("Fewest questions", "fewest_best", "count"),
        Column("Fewest, 20 % differ", "fewest_20_best", "count"),
    ),
)

COUNTS = Table(
    "counts",
    "of the printed gains, how many are significant at 5 % as they stand, after Holm, and after"
    " Benjamini and Hochberg over all tested rows",
    (
        *(Field(name) for name in ("against", "questions", "test")),
        *(Field(name, "count") for name in ("rows", "gains", "significant", "holm", "bh")),
    ),
    (
        Column("Gain over", "against"),
        Column("Questions", "questions"),
        Column("Test", "test"),
        Column("Rows", "rows", "count"),
        Column("Gains", "gains", "count"),
        Column("p < 0.05", "significant", "count"),
        Column("Holm", "holm", "count"),
        Column("BH", "bh", "count"),
    ),
)


@dataclass(frozen=True, slots=True)
class Claim:
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


def _claims(printed: Iterable[Printed]) -> list[Claim]:
    printed = list(printed)
    sizes = {each.target: each.questions for each in printed if each.questions}
    return [
        Claim(place, values, sizes.get(place[1]))
        for place, values in by_place(printed).items()
        if gains(values)
    ]


def write(printed: Iterable[Printed], folder: Path, name: str) -> None:
    """Write `{name}_tests` and `{name}_counts` as .csv, .md and .tex into `folder`."""
    claims = _claims(printed)
    write_sheet(folder, _named(TESTS, name), [_claim_row(claim) for claim in claims], name)
    write_sheet(folder, _named(COUNTS, name), list(_counts(claims)), name)


def _named(table: Table, name: str) -> Table:
    return Table(f"{name}_{table.stem}", table.title, table.fields, table.columns)


def claim_rows(printed: Iterable[Printed]) -> list[Row]:
    """Return one row a printed gain, in the paper's order."""
    return [_claim_row(claim) for claim in _claims(printed)]


def _claim_row(claim: Claim) -> Row:
    cells: dict[str, Cell] = dict(zip(("label", "target", "rule"), claim.place, strict=True))
    cells |= {name: claim.values.get(name) for name in ("baseline", "control", CG)}
    best = claim.gain("best")
    cells |= {"tick": "yes" if best and best > 0 else "no", "questions": claim.questions}
    for against in AGAINST:
        cells[f"gain_{against}"] = claim.gain(against)
        for case in CASES:
            cells[f"{case}_{against}"] = _p(claim, against, case, claim.questions)
        for n in ASSUMED:
            cells[f"unpaired_{n}_{against}"] = _p(claim, against, UNPAIRED, n)
    cells["fewest_best"] = power.fewest_questions(best or 0)
    cells["fewest_20_best"] = power.fewest_questions(best or 0, CASES["p_20"])
    return cells


def _p(claim: Claim, against: str, case: str, questions: int | None) -> float | None:
    """Return a claim's p in one of CASES or unpaired, None where it cannot be known."""
    gain, other = claim.gain(against), claim.other(against)
    if gain is None or questions is None:
        return None
    if case in CASES:
        return power.paired_p(gain, questions, CASES[case])
    return None if other is None else power.unpaired_p(claim.values[CG], other, questions)


def count_rows(printed: Iterable[Printed]) -> list[Row]:
    """Return how many gains are significant, a row an arm, a number of questions and a test."""
    return list(_counts(_claims(printed)))


def _counts(claims: Sequence[Claim]) -> Iterator[Row]:
    for against, asked, case in product(AGAINST, (None, *ASSUMED), (*CASES, UNPAIRED)):
        found = [
            (claim.gain(against), _p(claim, against, case, asked or claim.questions))
            for claim in claims
        ]
        tested = [(gain, p) for gain, p in found if gain is not None and p is not None]
        if tested:
            yield {
                "against": "best other arm" if against == "best" else against,
                "questions": "where known" if asked is None else f"{asked} assumed",
                "test": CASE_NAMES[case],
                **_count(tested),
            }


def _count(tested: Sequence[tuple[float, float]]) -> dict[str, Cell]:
    values = [p for _, p in tested]
    families = {
        "significant": values,
        "holm": statistics.holm(values),
        "bh": statistics.benjamini_hochberg(values),
    }
    return {
        "rows": len(tested),
        "gains": sum(gain > 0 for gain, _ in tested),
        **{
            name: sum(
                gain > 0 and p < statistics.ALPHA for (gain, _), p in zip(tested, ps, strict=True)
            )
            for name, ps in families.items()
        },
    }
