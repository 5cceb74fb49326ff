"""A table in the paper's shape: its rows, columns and reasons, and its files."""

import csv
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import stdev

import pytest
import yaml
from pydantic import ValidationError

from matcg.analysis.answers import read_answers
from matcg.analysis.beside_published import beside
from matcg.analysis.comparison import Comparison
from matcg.analysis.missing import Reasons
from matcg.analysis.pairs import Study, setting_of
from matcg.analysis.paper_cells import Builder, Paper
from matcg.config.experiment import Experiment
from matcg.config.layout import Layout, LayoutColumn
from matcg.config.project import load_project
from matcg.config.protocol import Protocol
from matcg.config.published import Printed
from matcg.plan.enumerate import Names, make_plan
from matcg.plan.places import Places
from matcg.plan.records import Excluded, read_excluded, read_places, read_plan, tags
from matcg.plan.tables import render_tables
from matcg.report.tables.paper import write_paper
from matcg.report.tables.typeset import ColumnGroup, RowBlock, Typeset, latex, markdown
from synthetic import PLAN, World, blank, catalog, make, only, study_of

REPO = Path(__file__).parents[4]
TARGET, RULE = "ct-brain-state", "fixed-task"
COLUMNS = (
    LayoutColumn(name="Baseline", arm="baseline"),
    LayoutColumn(name="Baseline+", arm="control"),
    LayoutColumn(name="Trained", arm="cg"),
)
DASH = "\N{EN DASH}"
PLUS = "3 \N{PLUS-MINUS SIGN} 1"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    make(folder, World(seeds=(0, 1)))
    return folder


def paper(*printed: Printed, **layout: object) -> Paper:
    asked = Layout.model_validate({"columns": COLUMNS, **layout})
    return Paper(printed, asked, "Why?", catalog())


def written(
    study: Study,
    asked: Paper,
    folder: Path,
    comparisons: Sequence[Comparison] = (),
    excluded: Sequence[Excluded] = (),
) -> tuple[list[dict[str, str]], str]:
    """Return the rows of the CSV and the Markdown."""
    write_paper(
        Builder(study, asked, comparisons, Reasons(study.planned, excluded)), "demo", folder
    )
    with (folder / "paper.csv").open() as stream:
        return list(csv.DictReader(stream)), (folder / "paper.md").read_text()


def test_a_row_has_printed_ours_and_the_difference(results: Path, tmp_path: Path) -> None:
    study = study_of(results)
    figures = [Printed("", TARGET, RULE, arm, "", v) for arm, v in (("cg", 70), ("control", 35))]
    rows, text = written(study, paper(*figures), tmp_path)
    assert len(rows) == 6, "a row a planned combination, printed or not"
    row = only(rows, target=TARGET, rule=RULE)
    (found,) = beside(study, figures)
    cg = found.arms["cg"]
    assert cg.ours
    assert float(row["trained_printed"]) == 0.7
    ends = {"ours": cg.ours.value, "ours_low": cg.ours.low, "ours_high": cg.ours.high}
    for end, value in {**ends, "apart": cg.apart}.items():
        assert float(row[f"trained_{end}"]) == pytest.approx(value, abs=1e-6)
    assert (row["printed_tick"], row["baseline_plus_runs"]) == ("yes", "2")
    assert row["baseline_printed"] == "", "nothing is printed of the baseline"
    assert "| Baseline, ours | Baseline+, paper | Baseline+, ours | Baseline+, apart |" in text
    other = only(rows, target="mri-lung-side", rule=RULE)
    assert (other["trained_printed"], other["printed_tick"]) == ("", "")
    assert other["trained_ours"]


def test_rows_stand_in_blocks_in_the_paper_s_order(results: Path, tmp_path: Path) -> None:
    figures = [Printed("", "xray-knee-level", rule, "cg", "", 50) for rule in World().rules]
    rows, text = written(study_of(results), paper(*figures), tmp_path)
    assert [row["rule"] for row in rows] == ["fixed-task"] * 3 + ["fixed-modality"] * 3
    assert rows[0]["target"] == "xray-knee-level"
    assert re.findall(r"\*\*(.*)\*\*", text) == ["Rule: fixed-task", "Rule: fixed-modality"]


def test_our_verdict_stands_beside_the_paper_s_tick(results: Path, tmp_path: Path) -> None:
    study = study_of(results)
    (row,) = {r.combination: r for r in study.rows if (r.target, r.rule) == (TARGET, RULE)}.values()
    names = ("target", "rule", "label", "combination")
    place = {name: getattr(row, name) for name in names}
    verdict = blank(Comparison, **place, setting=setting_of(row), verdict="hurts")
    figures = Printed("", TARGET, RULE, "cg", "baseline", 5)
    rows, text = written(study, paper(figures), tmp_path, (verdict,))
    found = only(rows, target=TARGET, rule=RULE)
    assert (found["printed_tick"], found["our_verdict"]) == ("yes", "hurts")
    assert "| yes | hurts |" in text


def test_what_has_no_result_says_why(results: Path, tmp_path: Path) -> None:
    columns = [*COLUMNS, {"name": "Mixed", "arm": "mixed"}]
    figures = [
        Printed("", TARGET, "three-source", "cg", "", 50),
        Printed("", "mri-lung-side", "three-source", "cg", "", 50),
        Printed("", "mri-lung-side", "fixed-task", "cg", "", 60, condition="2 examples"),
    ]
    columns += [{"name": "With examples", "arm": "cg", "condition": "2 examples"}]
    rows, text = written(
        study_of(results),
        paper(*figures, columns=columns),
        tmp_path,
        excluded=read_excluded(results / PLAN, "demo"),
    )
    left_out = only(rows, target=TARGET, rule="three-source")
    assert left_out["trained_note"] == "left out by the plan: 2 of 3 not chosen"
    other = only(rows, target="mri-lung-side", rule="three-source")
    assert other["trained_note"] == "not in the plan"
    assert other["mixed_note"] == "the experiment has no arm 'mixed'"
    assert (other["trained_ours"], other["trained_apart"]) == ("", "")
    examples = only(rows, target="mri-lung-side", rule="fixed-task")
    assert float(examples["with_examples_printed"]) == 0.6
    assert examples["with_examples_note"] == "2 examples: not run"
    letters = dict(re.findall(r"^\((\w)\) (.*)\.$", text, re.MULTILINE))
    assert set(letters.values()) >= {
        "left out by the plan: 2 of 3 not chosen",
        "the experiment has no arm 'mixed'",
        "2 examples: not run",
    }
    assert f"{DASH} ({min(letters)})" in text


def test_a_backbone_that_was_not_run_says_so(results: Path, tmp_path: Path) -> None:
    """As where an arm is planned for one of two backbones."""
    study = study_of(results)
    other = [replace(row, backbone="large") for row in study.rows if row.arm in ("baseline", "cg")]
    rows, text = written(
        Study(study.rows, study.answers, planned=[*study.rows, *other]), paper(), tmp_path
    )
    row = only(rows, backbone="large", target=TARGET, rule=RULE)
    assert row["baseline_plus_note"] == "not run for backbone large"
    assert row["trained_note"] == "no answers yet"
    assert "**Backbone: large, Rule: fixed-task**" in text


def test_ours_is_the_mean_and_deviation_over_seeds(results: Path, tmp_path: Path) -> None:
    study = study_of(results)
    figure = Printed("", TARGET, RULE, "cg", "", 43.78, sd=0.87)
    columns = (*COLUMNS, LayoutColumn(name="Gain", arm="cg", minus="control"))
    rows, text = written(study, paper(figure, scatter="seeds", columns=columns), tmp_path)
    one, two = (
        float(study.score(row).mean())
        for row in study.rows
        if (row.target, row.rule, row.arm) == (TARGET, RULE, "cg")
    )
    row = only(rows, target=TARGET, rule=RULE)
    assert float(row["trained_ours"]) == pytest.approx((one + two) / 2, abs=1e-6)
    assert float(row["trained_ours_sd"]) == pytest.approx(abs(one - two) / 2**0.5, abs=1e-6)
    assert row["baseline_ours_sd"] == "", "a single run has no deviation"
    assert row["gain_ours"]
    assert row["gain_ours_sd"] == "", "of a difference only the interval is known"
    assert "| 43.78 \N{PLUS-MINUS SIGN} 0.87 |" in text


def test_a_condition_is_the_same_runs_asked_by_its_protocol(tmp_path: Path) -> None:
    shots = Protocol(name="two-shot", shots=2, draws=3)
    letters = Protocol(name="letters")
    make(tmp_path, World(targets=(TARGET,), rules=(RULE,), protocols=(letters, shots)))
    rows = read_plan(tmp_path / PLAN, "demo")
    rows += [
        replace(row, arm=f"{row.arm}-shots", asked=f"{row.run}{tag}", draw=draw)
        for row in rows
        if row.arm in ("baseline", "cg")
        for draw, tag in enumerate(tags(shots))
    ]
    study = Study(rows, read_answers(read_places(tmp_path / PLAN), rows))
    printed = [
        Printed("", TARGET, RULE, arm, "", 50, sd=2.0, condition=condition)
        for arm in ("baseline", "cg")
        for condition in ("2 examples", "3 examples")
    ]
    layout = {"across": "condition", "conditions": {"2 examples": "two-shot"}, "scatter": "seeds"}
    columns = [COLUMNS[0], COLUMNS[2]]
    asked = paper(*printed, columns=columns, **layout)
    cells, text = written(study, asked, tmp_path / "out")
    for line, arm in zip(cells, ("baseline", "cg"), strict=True):
        means = [study.score(row).mean() for row in rows if row.arm == f"{arm}-shots"]
        (plain,) = (study.score(row).mean() for row in rows if row.arm == arm)
        assert float(line["2_examples_ours"]) == pytest.approx(sum(means) / 3, abs=1e-6)
        assert float(line["2_examples_ours_sd"]) == pytest.approx(stdev(means), abs=1e-6)
        assert float(line["as_run_here_ours"]) == pytest.approx(plain, abs=1e-6)
        assert line["3_examples_note"] == "3 examples: not run"
    assert "standard deviation over draws of examples" in text


def test_a_condition_needs_arms_that_are_asked_so() -> None:
    text = (REPO / "experiments/paper/table16.yaml").read_text()
    table16 = yaml.safe_load(text)
    Experiment.model_validate(table16)
    table16["layout"]["conditions"]["4 examples"] = "five-shot"
    with pytest.raises(ValidationError, match="4 examples: no arm is asked by protocol"):
        Experiment.model_validate(table16)


def test_seeds_without_answers_are_no_part_of_the_mean(results: Path, tmp_path: Path) -> None:
    study = study_of(results)
    kept = [row for row in study.rows if row.seed != 1 or row.arm != "cg"]
    answers = {row.key: study.answers[row.key] for row in kept}
    rows, text = written(Study(kept, answers, planned=study.rows), paper(), tmp_path)
    row = only(rows, target=TARGET, rule=RULE)
    assert (row["trained_runs"], row["trained_note"]) == ("1", "mean of 1 of 2 runs")
    assert "mean of 1 of 2 runs" in text


def test_rows_can_be_targets_and_columns_rules(results: Path, tmp_path: Path) -> None:
    columns = [
        {"name": "Baseline", "arm": "baseline"},
        {"name": "By task", "arm": "cg", "rule": "fixed-task"},
        {"name": "By modality", "arm": "cg", "rule": "fixed-modality"},
    ]
    figures = [
        Printed("", TARGET, rule, "cg", "", value)
        for rule, value in (("fixed-task", 70), ("fixed-modality", 60))
    ]
    asked = paper(*figures, rows="target", columns=columns)
    rows, _ = written(study_of(results), asked, tmp_path)
    row = only(rows, target=TARGET)
    assert (len(rows), row["by_task_runs"]) == (3, "2")
    assert (float(row["by_task_printed"]), float(row["by_modality_printed"])) == (0.7, 0.6)
    assert row["by_task_ours"] != row["by_modality_ours"]


def test_columns_can_be_sizes(tmp_path: Path) -> None:
    make(tmp_path, World(targets=(TARGET,), rules=(RULE,), sizes=(300, 600)))
    asked = paper(columns=COLUMNS[1:], across="samples")
    rows, text = written(study_of(tmp_path), asked, tmp_path / "out")
    assert [row["arm"] for row in rows] == ["Baseline+", "Trained"]
    study = study_of(tmp_path)
    for size in (300, 600):
        (run,) = (r for r in study.rows if r.arm == "cg" and r.n_train == size)
        assert float(rows[1][f"{size}_ours"]) == pytest.approx(
            float(study.score(run).mean()), abs=1e-6
        )
    assert rows[0]["0_ours"] == rows[1]["0_ours"], "without samples both are the baseline"
    assert "| Related combination | Target | Arm | 0 | 300 | 600 |" in text
    assert "Columns: number of training samples." in text


def test_without_a_layout_columns_are_what_is_printed(results: Path, tmp_path: Path) -> None:
    figure = Printed("", TARGET, RULE, "cg", "baseline", 12)
    study = study_of(results)
    _, text = written(study, Paper((figure,)), tmp_path)
    assert "| Related combination | Target | CG minus Baseline, paper |" in text
    _, text = written(study, Paper((), Layout()), tmp_path)
    assert "| CG | Control | Baseline | Floor | Ceiling |" in text


def test_columns_must_be_told_apart() -> None:
    with pytest.raises(ValidationError, match="name 'A-1' is not told apart"):
        Layout.model_validate(
            {"columns": [{"name": "A-1", "arm": "cg"}, {"name": "a 1", "arm": "control"}]}
        )


def test_every_figure_that_the_paper_prints_has_its_place(tmp_path: Path) -> None:
    """In each shipped table every printed number is in a cell, though nothing has been run."""
    project = load_project({"experiments": ["paper"]}, REPO)
    names = {name: name for name in project.backbones}
    places = Places(Names(project), names, names, names)
    for name, text in render_tables(make_plan(project), places).items():
        (tmp_path / name).write_text(text)
    for experiment in project.experiments:
        planned = read_plan(tmp_path, experiment.name)
        printed = project.published.get(experiment.name, ())
        asked = Paper(printed, experiment.layout)
        excluded = read_excluded(tmp_path, experiment.name)
        folder = tmp_path / experiment.name
        rows, _ = written(Study([], {}, planned=planned), asked, folder, excluded=excluded)
        shown = [
            round(100 * float(value), 4)
            for row in rows
            for key, value in row.items()
            if key.endswith("_printed") and value
        ]
        missing = {p.value for p in printed} - set(shown)
        assert experiment.layout, f"{experiment.name}: has no layout"
        assert not missing, f"{experiment.name}: {missing} are in no cell of its layout"
        notes = {row[key] for row in rows for key in row if key.endswith("_note")}
        assert "no answers yet" in notes
        assert "" not in notes, f"{experiment.name}: an empty cell without a reason"


# --- Files ---------------------------------------------------------------------------------------

EVIL = r"50 % & $x_1$ {#} \^~ <b>|[1]|`c`*"
SHEET = Typeset(
    EVIL,
    [ColumnGroup(EVIL, numeric=False), ColumnGroup("A", ("paper", EVIL)), ColumnGroup("B")],
    [RowBlock("", [[EVIL, "1", "2", "3"]]), RowBlock(EVIL, [["[x]", "1", DASH, PLUS]])],
    [f"(a) {EVIL}."],
)  # fmt: skip


def test_markdown_has_as_many_cells_in_each_line() -> None:
    lines = [line for line in markdown(SHEET).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {5}
    assert "<b>" not in markdown(SHEET).replace(r"\<b\>", "")


def test_latex_is_balanced_and_has_as_many_cells_in_each_row() -> None:
    text = latex(SHEET)
    assert text.count(r"\begin{") == text.count(r"\end{")
    bare = re.sub(r"\\[\\&%$#_{}]", "", text)
    assert bare.count("{") == bare.count("}")
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "caption" not in line]
    for line in rows:
        spans = [int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
        assert len(re.findall(r"(?<!\\)&", line)) + sum(spans) == 3, line


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX on this machine")
def test_latex_compiles(results: Path, tmp_path: Path) -> None:
    written(study_of(results), paper(Printed("", TARGET, RULE, "cg", "", 70)), tmp_path)
    (tmp_path / "evil.tex").write_text(latex(SHEET))
    packages = r"\usepackage{array,booktabs,longtable,lscape}"
    body = r"\begin{document}\input{paper}\input{evil}\end{document}"
    (tmp_path / "all.tex").write_text(rf"\documentclass{{article}}{packages}{body}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
