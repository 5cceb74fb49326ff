"""What printed gains can mean: bounds on paired tests, counts over a table."""

from pathlib import Path

import pytest
from scipy.stats import binomtest, norm

from matcg.analysis.power import fewest_questions, paired_p, unpaired_p
from matcg.analysis.published_tests import gain_counts, gain_tests
from matcg.config.project import load_project
from matcg.config.published import Printed, by_place, gains, has_gains
from matcg.report.tables.declared import COUNTS, TESTS, of_paper
from matcg.report.tables.published import write_tests
from matcg.report.tables.table import read_cells

REPO = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("gain", "n", "share", "better", "worse"),
    [
        (0.06, 67, None, 4, 0),  # the best case: all of them one way
        (-0.06, 67, None, 0, 4),
        (0.06, 67, 0.2, 9, 5),  # 4 apart of 13: one more differs, so that they come out even
        (0.10, 100, 0.3, 20, 10),
        (0.50, 100, 0.2, 50, 0),  # a gain above the share needs all of it
    ],
)
def test_a_paired_p_is_that_of_the_binomial_test(
    gain: float, n: int, share: float | None, better: int, worse: int
) -> None:
    expected = binomtest(better, better + worse).pvalue
    assert paired_p(gain, n, share) == pytest.approx(expected)


def test_no_gain_has_a_p_of_one() -> None:
    assert paired_p(0.0, 100) == 1.0
    assert paired_p(0.0, 100, 0.2) == 1.0


@pytest.mark.parametrize(("gain", "share"), [(0.02, None), (0.06, 0.2), (0.25, 0.2)])
def test_fewest_questions_are_the_first_that_are_enough(gain: float, share: float | None) -> None:
    fewest = fewest_questions(gain, share)
    assert fewest
    assert paired_p(gain, fewest, share) < 0.05
    assert min(paired_p(gain, n, share) for n in range(1, fewest)) >= 0.05


def test_without_a_gain_no_number_is_enough() -> None:
    assert fewest_questions(0.0) is None
    assert fewest_questions(-0.1, 0.2) is None


def test_an_unpaired_p_is_that_of_the_pooled_z_test() -> None:
    z = 0.2 / (2 * 0.5 * 0.5 / 100) ** 0.5
    assert unpaired_p(0.6, 0.4, 100) == pytest.approx(2 * norm.sf(z))
    assert unpaired_p(0.4, 0.4, 100) == 1.0
    assert unpaired_p(0.0, 0.0, 100) == 1.0


def printed(label: str, questions: int | None = None, **values: float) -> list[Printed]:
    """Return figures by arm of a combination whose target is known by its label."""
    return [
        Printed(label, f"t{label}", "r", arm, "", value, questions) for arm, value in values.items()
    ]


def test_a_row_has_its_gains_over_the_best_and_over_the_control() -> None:
    (row,) = gain_tests(printed("1", 100, baseline=40, control=30, cg=50))
    assert (row.gain_best, row.gain_control, row.tick) == (0.1, 0.2, "yes")
    assert row.least_p_best == pytest.approx(binomtest(10, 10).pvalue)
    assert row.p_20_control == pytest.approx(binomtest(20, 20).pvalue)
    assert row.fewest_best == fewest_questions(0.1)
    assert row.unpaired["unpaired_100_control"] == unpaired_p(0.5, 0.3, 100)
    (unknown,) = gain_tests(printed("1", baseline=40, control=30, cg=50))
    assert unknown.least_p_best is None
    assert unknown.unpaired["unpaired_100_best"] == unpaired_p(0.5, 0.4, 100)


def test_gains_that_are_printed_as_differences_are_compared_too() -> None:
    """As in table 7 of the paper: both arms are printed as gains over the baseline."""
    figures = [
        Printed("a", "t", "r", "cg", "baseline", 18.0),
        Printed("", "t", "", "control", "baseline", 6.0),
    ]
    (values,) = by_place(figures).values()
    assert gains(values) == pytest.approx({"baseline": 0.18, "control": 0.12})
    (row,) = gain_tests(figures)
    assert (row.gain_best, row.gain_control, row.unpaired["unpaired_100_best"]) == (
        0.12,
        0.12,
        None,
    )


def test_a_table_without_cg_has_nothing_to_test() -> None:
    assert not has_gains(printed("1", baseline=40))
    assert has_gains(printed("1", baseline=40, cg=50))


def test_counts_are_of_gains_and_corrected_over_all_rows() -> None:
    figures = [
        *printed("1", 100, control=40, cg=48),  # p 0.0078, by Holm over four rows 0.031
        *printed("2", 100, control=40, cg=32),  # as small a p, and no gain
        *printed("3", 100, control=40, cg=46),  # p 0.031, by Holm 0.0625
        *printed("4", control=40, cg=90),  # of unknown size
        *printed("5", 100, control=40, cg=41),
    ]
    (row,) = (
        row
        for row in gain_counts(figures)
        if (row.against, row.questions) == ("control", "where known")
        and row.test == "paired, best case"
    )
    names = ("rows", "gains", "significant", "holm", "bh")
    assert [getattr(row, name) for name in names] == [4, 3, 2, 1, 2]


def test_the_published_table_3_is_tested_as_the_documentation_says(tmp_path: Path) -> None:
    figures = load_project({"experiments": ["paper/table3"]}, REPO).published["paper-table3"]
    write_tests(figures, tmp_path, "table3")
    rows = read_cells(tmp_path, of_paper(TESTS, "table3"))
    known = [row for row in rows if row["tick"] == "yes" and row["questions"]]
    possible = [row for row in known if row["least_p_best"] < 0.05]  # type: ignore[operator]
    assert (len(rows), len(known), len(possible)) == (43, 22, 11)
    counted = read_cells(tmp_path, of_paper(COUNTS, "table3"))
    found = {
        (row["against"], row["questions"], row["test"]): (
            row["significant"],
            row["holm"],
            row["bh"],
        )
        for row in counted
    }
    page = (REPO / "docs/paper.md").read_text()
    for key, label in (
        (("best other arm", "where known", "paired, best case"), "best case"),
        (("best other arm", "where known", "paired, 20 % differ"), "20 % differ"),
        (("best other arm", "where known", "paired, 30 % differ"), "30 % differ"),
    ):
        cells = " | ".join(map(str, found[key]))
        assert f"| best other arm | {label} | 22 | {cells} |" in page
    for n in (67, 100, 150, 200, 300):
        cells = " | ".join(map(str, found["control", f"{n} assumed", "unpaired"]))
        assert f"| {n} | {cells} |" in page
