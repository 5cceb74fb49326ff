"""Printed figures: how they are read, and how they stand beside ours."""

import csv
import json
from pathlib import Path

import pytest

from matcg.analysis.agreement import agreement, in_words
from matcg.analysis.beside_published import Beside, Compared, arm_names, beside
from matcg.analysis.comparison import Claims
from matcg.analysis.pairs import Study
from matcg.analysis.paper_cells import Paper
from matcg.config.project import load_project
from matcg.config.published import Printed, read_published
from matcg.errors import ConfigError
from matcg.report.tables.declared import AGREEMENT, published_in
from matcg.report.tables.published import write_agreement
from matcg.report.tables.table import read_cells, read_rows
from synthetic import PLAN, World, about, make, study_of, tabulate, write_page

REPO = Path(__file__).parents[3]
TARGET, RULE = "ct-brain-state", "fixed-task"
HEADER = "label,target,rule,arm,minus,value,questions"
ARMS, TARGETS = ("baseline", "cg", "control"), (TARGET, "other")


# --- Reading -------------------------------------------------------------------------------------


def read(folder: Path, *lines: str) -> tuple[Printed, ...]:
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return read_published(path, "table.csv", ARMS, TARGETS)


def test_a_number_is_an_arm_s_accuracy_or_its_difference_from_another(tmp_path: Path) -> None:
    found = read(
        tmp_path, HEADER, f"7,{TARGET},{RULE},cg,,43.5,67", f",{TARGET},,control,baseline,-2,"
    )
    assert found == (
        Printed("7", TARGET, RULE, "cg", "", 43.5, 67),
        Printed("", TARGET, "", "control", "baseline", -2.0),
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["label,target"],
            "table.csv: columns must be label,target,rule,arm,minus,value,questions",
        ),
        ([HEADER, "1,ct-brain-stat,r,cg,,4,"], "line 2: target: .*Did you mean 'ct-brain-state'"),
        ([HEADER, f"1,{TARGET},r,cgg,,4,"], "line 2: arm: no such arm 'cgg'.*Did you mean 'cg'"),
        ([HEADER, f"1,{TARGET},r,cg,x,4,"], "line 2: minus: no such minus 'x'"),
        (
            [HEADER, f"1,{TARGET},r,cg,,4,", f"1,{TARGET},r,cg,,n,"],
            "line 3: value: 'n' is no number",
        ),
        ([HEADER, f"1,{TARGET},r,cg,,4,1.5"], "line 2: questions: '1.5' is no number"),
        ([HEADER, f"1,{TARGET},r,cg"], "line 2: has not 7 cells"),
        ([HEADER, f"1,{TARGET},r,cg,,4,5,6"], "line 2: has not 7 cells"),
    ],
)
def test_a_mistake_names_its_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, *lines)


def test_a_deviation_and_a_condition_may_follow(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        f"{HEADER},sd,condition",
        f"7,{TARGET},{RULE},cg,,43.5,67,0.5,",
        f"7,{TARGET},{RULE},cg,,50,67,,2 examples",
    )
    assert [(p.sd, p.condition) for p in found] == [(0.5, ""), (None, "2 examples")]
    with pytest.raises(ConfigError, match="may go on with sd,condition"):
        read(tmp_path, f"{HEADER},condition,sd", f"7,{TARGET},{RULE},cg,,43.5,67,,")


def test_the_file_that_an_experiment_names_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"table\.csv: cannot be read"):
        read_published(tmp_path / "none.csv", "table.csv", ARMS, TARGETS)


def test_the_shipped_figures_of_table_3_are_those_of_the_paper() -> None:
    project = load_project({"experiments": ["paper"]}, REPO)
    ours = {(p.label, p.arm): (p.target, p.value) for p in project.published["paper-table3"]}
    names = {"baseline": "baseline", "baseline_plus": "control", "trained": "cg"}
    with (REPO / "tests/data/paper/table3.csv").open() as stream:
        printed = {
            (row["row"], arm): (row["target_subset"], float(row[column]))
            for row in csv.DictReader(stream)
            for column, arm in names.items()
        }
    assert ours == printed
    without = {"paper-figure5", "paper-figure6", "paper-table5-curve"}
    without |= {"paper-table3-composition", "paper-multi-task-drivers"}
    assert {e.name for e in project.experiments} - set(project.published) == without


def test_which_gains_of_table_3_cannot_be_significant_is_as_the_folder_says() -> None:
    rows: dict[str, dict[str, Printed]] = {}
    for each in load_project({"experiments": ["paper/table3"]}, REPO).published["paper-table3"]:
        rows.setdefault(each.label, {})[each.arm] = each
    gains, known, never = [], [], []
    for label, arms in rows.items():
        gain = arms["cg"].value - max(arms["baseline"].value, arms["control"].value)
        if gain > 0:
            gains.append(label)
            questions = arms["cg"].questions
            if questions:
                known.append(label)
                differing = round(gain / 100 * questions)
                # Two-sided, all one way: twice the chance of as many heads in a row.
                if 2 * 0.5**differing >= 0.05:
                    never.append(int(label))
    assert (len(rows), len(gains), len(known)) == (43, 37, 22)
    assert sorted(never) == [1, *range(6, 13), 14, 28, 37]


# --- Beside ours ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    results = tmp_path_factory.mktemp("beside")
    make(results, World(targets=(TARGET,)))
    return study_of(results)


def accuracy(study: Study, arm: str, rule: str = "") -> float:
    (row,) = (row for row in study.rows if (row.arm, row.rule) == (arm, rule))
    return float(study.score(row).mean())


def printed(**values: float) -> list[Printed]:
    """Return figures of one combination by arm; after `_` stands the arm that is subtracted."""
    pairs = ((name.partition("_"), value) for name, value in values.items())
    return [Printed("", TARGET, RULE, arm, minus, value) for (arm, _, minus), value in pairs]


def test_each_figure_has_ours_with_its_interval_and_the_difference(study: Study) -> None:
    (row,) = beside(study, printed(cg=70, control=35, ceiling=99))
    for arm, rule, value in (("cg", RULE, 0.7), ("control", "", 0.35), ("ceiling", "", 0.99)):
        ours = accuracy(study, arm, rule)
        found = row.arms[arm]
        assert found.printed == pytest.approx(value)
        assert found.ours
        assert found.ours.value == pytest.approx(ours)
        assert found.apart == pytest.approx(ours - value)
        assert found.ours.low < ours < found.ours.high
    assert (row.printed_gain, row.our_gain) == ("yes", "yes")


def test_a_printed_difference_is_taken_on_the_same_questions(study: Study) -> None:
    (row,) = beside(study, printed(cg_baseline=12))
    ours = accuracy(study, "cg", RULE) - accuracy(study, "baseline")
    found = row.arms["cg-minus-baseline"]
    assert found.ours
    assert found.ours.value == pytest.approx(ours)
    assert found.apart == pytest.approx(ours - 0.12)
    assert (row.printed_gain, row.our_gain) == ("yes", "yes")


@pytest.mark.parametrize(("gain", "questions", "p"), [(6, 67, 2 * 0.5**4), (9, 67, 2 * 0.5**6)])
def test_least_p_of_a_printed_gain_is_all_differing_questions_one_way(
    study: Study, gain: float, questions: int, p: float
) -> None:
    figures = [
        Printed("", TARGET, RULE, arm, "", value, questions)
        for arm, value in (("cg", 50 + gain), ("control", 50), ("baseline", 40))
    ]
    (row,) = beside(study, figures)
    assert row.printed_questions == questions
    assert row.least_p == pytest.approx(p)
    (unknown,) = beside(study, printed(cg=56, control=50))
    assert (unknown.printed_questions, unknown.least_p) == (None, None)


def test_what_was_not_run_is_empty_and_never_zero(study: Study) -> None:
    figures = [*printed(cg=70), Printed("", TARGET, "three-source", "cg", "", 50.0)]
    rows = {row.rule: row for row in beside(study, figures)}
    assert rows["three-source"].arms == {"cg": Compared(0.5, ours=None, apart=None)}
    assert rows["three-source"].our_gain == ""
    assert agreement(list(rows.values()), figures)["figures"] == 1


def test_a_figure_of_the_target_alone_stands_in_all_its_rows(study: Study) -> None:
    figures = [
        Printed("", TARGET, "", "baseline", "", 20.0),
        *(Printed("", TARGET, rule, "cg", "", 70.0) for rule in World().rules),
    ]
    rows = beside(study, figures)
    assert [row.rule for row in rows] == list(World().rules)
    assert {row.arms["baseline"].printed for row in rows} == {0.2}


def test_arms_of_different_sizes_stand_in_one_row(tmp_path: Path) -> None:
    """As in tables 1 and 2 of the paper: one task against all, each of its own size."""
    rows = make(tmp_path, World(targets=(TARGET,)))
    path = tmp_path / PLAN / "experiments.tsv"
    size = {"ceiling": "75000", "floor": "3000"}
    lines = path.read_text().splitlines()
    index = lines[0].split("\t").index("n_train")
    for number, row in enumerate(rows, 1):
        cells = lines[number].split("\t")
        cells[index] = size.get(row["arm"], cells[index])
        lines[number] = "\t".join(cells)
    path.write_text("\n".join(lines) + "\n")
    figures = [Printed("", TARGET, "", arm, "", 50.0) for arm in ("baseline", "floor", "ceiling")]
    (row,) = beside(study_of(tmp_path), figures)
    assert all(row.arms[arm].ours for arm in ("baseline", "floor", "ceiling"))


def test_a_figure_under_a_condition_is_compared_with_nothing(study: Study) -> None:
    under = Printed("", TARGET, RULE, "cg", "", 10.0, condition="2 examples")
    rows = beside(study, [*printed(cg=70, control=35), under])
    assert [row.arms["cg"].printed for row in rows] == [0.7]
    assert beside(study, [under]) == []


# --- What agrees ---------------------------------------------------------------------------------


def invented(*values: tuple[tuple[float, float], tuple[float, float]]) -> list[Beside]:
    """Return rows of (printed, ours) of CG and of the control; ours is known to 5 points."""
    rows = []
    for number, pairs in enumerate(values):
        (theirs, ours), (their_control, our_control) = pairs
        row = Beside(
            *(str(number), "t", "r", "tiny", "full"),
            arms={
                name: Compared(printed, about(found, 0.05), found - printed)
                for name, (printed, found) in zip(("cg", "control"), pairs, strict=True)
            },
            printed_gain="yes" if theirs > their_control else "no",
            our_gain="yes" if ours > our_control else "no",
            printed_questions=None,
            least_p=(None, 0.5, 0.001)[number % 3],
        )
        rows.append(row)
    return rows


def test_agreement_counts_intervals_signs_verdicts_and_order() -> None:
    rows = invented(
        ((0.2, 0.24), (0.1, 0.15)),  # a gain in both
        ((0.5, 0.3), (0.4, 0.36)),  # a gain there, a loss here
        ((0.8, 0.9), (0.8, 0.7)),  # of no sign there
    )
    found = agreement(rows, printed(cg=1, control=1))
    assert found == {
        "figures": 6,
        "inside": 3,
        "directions": 2,
        "same_direction": 1,
        "verdicts": 3,
        "same_verdict": 1,
        "gains_of_known_size": 1,
        "gains_possibly_significant": 0,
        "rank_correlation": {"cg": 1.0, "control": 1.0, "gain": None},
    }
    text = in_words(found)
    assert "Of 6 printed figures 3 lie in our 95 % intervals" in text
    assert "Of 2 printed differences 1 have the same sign here" in text
    assert text.endswith("cg 1.00, control 1.00.")


def test_the_gain_has_a_rank_correlation_of_its_own() -> None:
    rows = invented(*(((0.1 + gain, 0.9 - gain), (0.1, 0.4)) for gain in (0.1, 0.2, 0.3)))
    ranks = agreement(rows, printed(cg=1, control=1))["rank_correlation"]
    assert (ranks["gain"], ranks["control"]) == (-1.0, None)
    few = agreement(rows[:2], printed(cg=1, control=1))
    assert few["rank_correlation"] == {"cg": None, "control": None, "gain": None}


def test_agreement_over_all_experiments_has_a_row_each(tmp_path: Path) -> None:
    found = agreement(invented(((0.2, 0.24), (0.1, 0.15))), printed(cg=1, control=1))
    heads = []
    for name, more in (("a", {"missing": 2}), ("b", {})):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"experiment": name, "published": found, **more}))
        heads.append(path)
    write_agreement(heads, tmp_path / "paper")
    rows = read_rows(tmp_path / "paper", AGREEMENT)
    assert [(row.experiment, row.missing, row.inside) for row in rows] == [("a", 2, 2), ("b", 0, 2)]


# --- Files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("figures", [[], printed(cg=70, baseline=20)])
def test_the_table_and_its_section_are_there_where_figures_are(
    tmp_path: Path, figures: list[Printed]
) -> None:
    make(tmp_path, World(targets=(TARGET,), questions=20))
    out = tabulate(tmp_path, claims=Claims(minimum_effect=0.1), paper=Paper(figures))
    names = {path.name for path in (out / "tables").glob("published.*")}
    assert names == ({"published.csv", "published.md", "published.tex"} if figures else set())
    page = write_page(tmp_path).read_text()
    assert ("Beside the published figures" in page) == bool(figures)
    if figures:
        table = published_in(out / "tables")
        assert table
        assert table.keys["arms"] == arm_names(figures) == ["cg", "baseline"]
        (cells,) = read_cells(out / "tables", table)
        assert cells["cg_printed"] == 0.7
        assert "Of 2 published figures" in page
        assert json.loads((out / "headline.json").read_text())["published"]["figures"] == 2
