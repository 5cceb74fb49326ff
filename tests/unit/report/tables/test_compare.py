"""Tables from invented answers whose accuracies and pairing are known."""

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from matcg.analysis.statistics import Estimate
from matcg.cells import P, Share, cells_of
from matcg.errors import DataError
from matcg.report.tables.compare import Wanted, compare
from matcg.report.tables.declared import (
    ACCURACY,
    COMPARISON,
    SUMMARY,
    UNBALANCED,
    UNBALANCED_SUMMARY,
    without_leaks,
)
from matcg.report.tables.table import Table, read_rows
from matcg.report.tables.typeset import latex_escaped
from matcg.report.tables.write import shown_cell, write_table
from matcg.tsv import write_tsv
from synthetic import (
    PLAN,
    PLAN_COLUMNS,
    World,
    files_of,
    make,
    only,
    plan_rows,
    rows,
    table_of,
    tabulate,
    write_dicts,
)

ONE = {"targets": ("ct-brain-state",), "rules": ("fixed-task",)}


def score(table, arm, seed=None):
    """Return right answers of the runs of an arm, shape (runs, questions)."""
    table = table.sort_by([("run", "ascending"), ("sample_id", "ascending")])
    names = sorted(set(table["run"].to_pylist()))
    chosen = [n for n in names if arm in n and (seed is None or n.endswith(f"seed{seed}"))]
    return np.array(
        [table.filter(pc.equal(table["run"], name))["correct"].to_numpy() for name in chosen],
        dtype=float,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    results = tmp_path_factory.mktemp("demo")
    make(results, World())
    return results, tabulate(results)


def resized(results, sizes):
    """Give the runs of some arms another size in the plan."""
    path = results / PLAN / "experiments.tsv"
    header, *lines = [line.split("\t") for line in path.read_text().splitlines()]
    arm, size = header.index("arm"), header.index("n_train")
    for cells in lines:
        cells[size] = sizes.get(cells[arm], cells[size])
    path.write_text("".join("\t".join(cells) + "\n" for cells in (header, *lines)))


def test_an_arm_of_its_own_size_is_summarised_and_compared_with_nothing(tmp_path):
    make(tmp_path, World(**ONE))
    resized(tmp_path, {"ceiling": "75000"})
    summary = rows(tabulate(tmp_path), SUMMARY)
    large = only(summary, arm="ceiling")
    assert (large["n_train"], large["minus_reference"], large["paired_targets"]) == (75000, None, 0)
    assert only(summary, arm="cg", rule="")["minus_reference"] is not None
    assert only(summary, arm="baseline", n_train=600)["minus_reference"] is not None
    assert only(summary, arm="baseline", n_train=75000)["minus_reference"] is None


def test_a_combination_without_control_of_its_size_is_an_error(tmp_path):
    make(tmp_path, World(**ONE))
    resized(tmp_path, {"control": "300"})
    with pytest.raises(DataError, match="has no control run of its seed and size; plan one"):
        tabulate(tmp_path)


def test_a_control_of_each_combination_is_compared_with_its_own(tmp_path):
    target = "ct-brain-state"
    make(tmp_path, World(targets=(target,), own_controls=True))
    folder = tabulate(tmp_path)
    table = table_of(tmp_path, target)
    means = {}
    for rule in World().rules:
        cg, control = (float(score(table, f"{arm}-{rule}").mean()) for arm in ("cg", "control"))
        row = only(rows(folder, COMPARISON), rule=rule)
        assert row["control"] == pytest.approx(control, abs=1e-6)
        assert row["difference"] == pytest.approx(cg - control, abs=1e-6)
        means[rule] = control
    assert len(set(means.values())) == 2
    # An arm that belongs to no combination is compared with all of them.
    baseline = only(rows(folder, SUMMARY), arm="baseline")
    gap = baseline["accuracy"] - sum(means.values()) / 2
    assert baseline["minus_reference"] == pytest.approx(gap, abs=1e-6)


def test_accuracy_has_every_evaluation_with_its_own_counts(demo):
    results, folder = demo
    cells = rows(folder, ACCURACY)
    assert len(cells) == len(plan_rows(World()))
    table = table_of(results, "ct-brain-state")
    row = only(cells, target="ct-brain-state", arm="control")
    right = table.filter(pc.match_substring(table["run"], "control"))
    assert row["correct"] == sum(right["correct"].to_pylist())
    assert row["accuracy"] == pytest.approx(row["correct"] / 60, abs=1e-6)
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert row["strict"] == pytest.approx(np.mean(right["strict"].to_numpy()), abs=1e-6)
    assert row["mass"] == pytest.approx(np.mean(right["mass"].to_numpy()), abs=1e-6)
    assert row["chance"] == 0.25


def test_comparison_pairs_by_question(demo):
    results, folder = demo
    table = table_of(results, "mri-lung-side")
    difference = score(table, "cg-fixed-task")[0] - score(table, "control")[0]
    row = only(rows(folder, COMPARISON), target="mri-lung-side", rule="fixed-task")
    assert row["difference"] == pytest.approx(difference.mean(), abs=1e-6)
    assert (row["better"], row["worse"]) == ((difference > 0).sum(), (difference < 0).sum())
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert row["p_mcnemar"] <= row["p_holm"]
    assert row["verdict"] == "helps"


def test_summary_means_weigh_targets_alike_and_headline_says_the_same(demo):
    _, folder = demo
    comparison, summary = rows(folder, COMPARISON), rows(folder, SUMMARY)
    row = only(summary, arm="cg", rule="")
    mean = np.mean([cell["difference"] for cell in comparison])
    assert row["minus_reference"] == pytest.approx(mean, abs=1e-6)
    assert (row["targets"], row["runs"], row["comparisons"]) == (3, 6, 6)
    line = json.loads((folder / "headline.json").read_text())["headline"]
    found = re.fullmatch(
        r"CG (\S+) % against control (\S+) %, difference (\S+) points \[(\S+), (\S+)\], 3 targets",
        line,
    )
    assert found, line
    numbers = [float(text) for text in found.groups()]
    assert numbers[2] == pytest.approx(100 * mean, abs=0.051)
    assert numbers[0] - numbers[1] == pytest.approx(numbers[2], abs=0.11)
    assert numbers[3] < numbers[2] < numbers[4]


def test_floor_and_ceiling_are_measured_against_chance(demo):
    summary = rows(demo[1], SUMMARY)
    floor, ceiling = only(summary, arm="floor"), only(summary, arm="ceiling")
    assert floor["minus_chance_low"] < 0 < floor["minus_chance_high"]
    assert ceiling["minus_chance_low"] > 0
    assert only(summary, arm="control")["minus_reference"] is None
    assert only(summary, arm="baseline")["n_train"] == 600, "stands beside the arms it belongs to"


def test_scores_by_label_stand_beside_accuracy_where_labels_are_not_balanced(demo):
    results, folder = demo
    cells = rows(folder, UNBALANCED)
    by_arm = {each["arm"]: each for each in cells if each["target"] == "ct-brain-state"}
    table = table_of(results, "ct-brain-state").sort_by("sample_id")
    accuracy = rows(folder, ACCURACY)
    for arm in ("control", "floor", "baseline"):
        mine = table.filter(pc.match_substring(table["run"], arm))
        truth, said = (mine[name].to_numpy() for name in ("answer", "predicted"))
        chances = np.array(mine["probabilities"].to_pylist())
        found = by_arm[arm]
        assert found["balanced_accuracy"] == pytest.approx(
            balanced_accuracy_score(truth, said), abs=1e-6
        )
        assert found["macro_f1"] == pytest.approx(f1_score(truth, said, average="macro"), abs=1e-6)
        area = roc_auc_score(truth, chances, multi_class="ovr", average="macro")
        assert found["auroc"] == pytest.approx(area, abs=1e-6)
        beside = only(accuracy, target="ct-brain-state", arm=arm)
        assert found["accuracy"] == pytest.approx(beside["accuracy"], abs=1e-6)
        assert found["rarest"] == np.bincount(truth).min()
    gap = by_arm["CG minus control"]
    assert gap["auroc"] == pytest.approx(
        by_arm["cg"]["auroc"] - by_arm["control"]["auroc"], abs=2e-6
    )
    assert 0 < gap["p_macro_f1"] < 0.05
    (mean,) = (each for each in rows(folder, UNBALANCED_SUMMARY) if each["arm"] == "control")
    controls = [each["auroc"] for each in cells if each["arm"] == "control"]
    assert mean["auroc"] == pytest.approx(np.mean(controls), abs=2e-6)
    assert mean["targets"] == 3


def test_where_labels_are_balanced_there_is_no_such_table(tmp_path):
    make(tmp_path, World(**ONE, even=True))
    assert not list(tabulate(tmp_path).glob("tables/unbalanced*"))


def test_labels_that_leaked_questions_unbalance_have_scores_without_these(tmp_path):
    make(tmp_path, World(**ONE, even=True))
    plan = plan_rows(World(**ONE))
    (control,) = (each for each in plan if each["arm"] == "control")
    leaked = ("cat", "ct-brain-state", control["mix"], "ct-brain-state-test-00003")
    write_tsv(tmp_path / "leaked.tsv", ("catalog", "target", "mix", "sample_id"), [leaked])
    compare(tmp_path / PLAN, Wanted("demo"), tmp_path / "out", tmp_path / "leaked.tsv")
    there = sorted(path.name for path in (tmp_path / "out/tables").glob("unbalanced*.csv"))
    assert there == [f"unbalanced{end}_without_leaks.csv" for end in ("_summary", "")]
    cells = rows(tmp_path / "out", without_leaks(UNBALANCED))
    assert {each["questions"] for each in cells} == {59}
    assert {each["rarest"] for each in cells} == {14}


def test_the_same_input_gives_the_same_bytes(demo, tmp_path):
    results, folder = demo
    again = tmp_path / "again"
    compare(results / PLAN, Wanted("demo"), again)
    made = [*folder.glob("tables/*"), folder / "headline.json"]
    files = sorted(path.relative_to(folder) for path in made)
    assert len(files) == 25
    for file in files:
        assert (folder / file).read_bytes() == (again / file).read_bytes(), file


def test_the_order_of_rows_of_answers_does_not_matter(demo, tmp_path):
    _, folder = demo
    make(tmp_path, World())
    for number, path in enumerate((tmp_path / "answers").rglob("*.parquet")):
        table = pq.read_table(path)
        order = np.random.default_rng(number).permutation(table.num_rows)
        pq.write_table(table.take(pa.array(order)), path)
    shuffled = tabulate(tmp_path)
    for name in ("accuracy.csv", "comparison.csv", "summary.csv"):
        assert (shuffled / "tables" / name).read_bytes() == (folder / "tables" / name).read_bytes()


def test_seeds_and_sizes_are_paired_with_their_own_control(tmp_path):
    make(tmp_path, World(**ONE, seeds=(0, 1), sizes=(300, 600)))
    folder = tabulate(tmp_path)
    table = table_of(tmp_path, "ct-brain-state")
    row = only(rows(folder, COMPARISON), rule="fixed-task", n_train=300)
    parts = [
        score(table, "cg-fixed-task-ct-brain-state.300", seed)
        - score(table, "control--ct-brain-state.300", seed)
        for seed in (0, 1)
    ]
    mean = np.mean(parts, axis=0)[0]
    assert row["seeds"] == 2
    assert row["difference"] == pytest.approx(mean.mean(), abs=1e-6)
    assert row["better"] == (mean > 0).sum()
    result = json.loads((folder / "headline.json").read_text())
    assert [part["n_train"] for part in result["results"]] == [300, 600]
    assert result["headline"].count("1 target") == 2


def test_each_backbone_has_its_own_rows(tmp_path):
    make(tmp_path, World(**ONE, backbones=("small", "tiny")))
    folder = tabulate(tmp_path)
    for backbone in ("small", "tiny"):
        only(rows(folder, SUMMARY), backbone=backbone, arm="cg", rule="")
        only(rows(folder, SUMMARY), backbone=backbone, arm="baseline")
    assert "small, full, 600 samples: CG" in (folder / "headline.json").read_text()


def test_rules_weigh_alike_whatever_their_number_of_combinations(tmp_path):
    world = World(targets=("ct-brain-state",))
    plan = make(tmp_path, world)
    cg = next(row for row in plan if row["rule"] == "fixed-task")
    plan += [{**cg, "combination": f"other {index}"} for index in range(5)]
    write_dicts(tmp_path / PLAN / "experiments.tsv", PLAN_COLUMNS, plan)
    summary = rows(tabulate(tmp_path), SUMMARY)
    rules = [only(summary, rule=rule)["accuracy"] for rule in world.rules]
    assert only(summary, arm="cg", rule="")["accuracy"] == pytest.approx(np.mean(rules), abs=1e-6)


def test_missing_evaluations_are_named(tmp_path):
    make(tmp_path, World())
    other = files_of(tmp_path, "mri-lung-side")
    gone = [path for name, path in other.items() if "floor" in name]
    for path in (*files_of(tmp_path, "xray-knee-level").values(), *gone):
        path.unlink()
    with pytest.raises(DataError, match="7 planned evaluations") as error:
        tabulate(tmp_path)
    assert "floor--mri-lung-side" in str(error.value)
    assert "baseline on xray-knee-level (tiny)" in str(error.value)


def test_runs_that_answered_other_questions_are_refused(tmp_path):
    make(tmp_path, World())
    first, *_, path = files_of(tmp_path, "mri-lung-side").values()
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(DataError, match=f"{path}: differs from {first} in questions"):
        tabulate(tmp_path)


@pytest.mark.parametrize(("place", "text"), [(0, "answers a question twice"), (-1, "differs from")])
def test_a_question_answered_twice_is_refused(tmp_path, place, text):
    make(tmp_path, World())
    path = list(files_of(tmp_path, "mri-lung-side").values())[place]
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)
    with pytest.raises(DataError, match=f"{path}: {text}"):
        tabulate(tmp_path)


def test_a_file_without_answers_is_named(tmp_path):
    make(tmp_path, World())
    path = files_of(tmp_path, "mri-lung-side")["baseline"]
    path.write_bytes(b"not parquet")
    with pytest.raises(DataError, match=f"{path}: not a file of answers"):
        tabulate(tmp_path)


def test_an_unknown_experiment_gets_the_nearest_name(tmp_path):
    make(tmp_path, World())
    with pytest.raises(DataError, match="Did you mean 'demo'"):
        compare(tmp_path / PLAN, Wanted("demos"), tmp_path)


def test_a_seed_without_its_control_is_an_error(tmp_path):
    plan = make(tmp_path, World(seeds=(0, 1)))
    plan = [row for row in plan if (row["arm"], row["seed"]) != ("control", "1")]
    write_dicts(tmp_path / PLAN / "experiments.tsv", PLAN_COLUMNS, plan)
    with pytest.raises(DataError, match="no control run of its seed and size"):
        tabulate(tmp_path)


def test_a_target_without_control_is_listed_and_said_in_the_headline(tmp_path):
    plan = make(tmp_path, World())
    plan = [row for row in plan if (row["arm"], row["target"]) != ("control", "mri-lung-side")]
    write_dicts(tmp_path / PLAN / "experiments.tsv", PLAN_COLUMNS, plan)
    folder = tabulate(tmp_path)
    row = only(rows(folder, COMPARISON), target="mri-lung-side", rule="fixed-task")
    assert (row["verdict"], row["difference"], row["control"]) == ("no control", None, None)
    line = json.loads((folder / "headline.json").read_text())["headline"]
    assert line.endswith("2 targets (1 more without control)")


def test_a_smoke_run_is_marked_in_every_sentence_and_caption(tmp_path):
    make(tmp_path, World())
    plain = json.loads((tabulate(tmp_path) / "headline.json").read_text())
    folder = tabulate(tmp_path, smoke="smoke run, at most 2 targets")
    found = json.loads((folder / "headline.json").read_text())
    assert found["headline"] == f"smoke run, at most 2 targets: {plain['headline']}"
    for marked, result in zip(found["results"], plain["results"], strict=True):
        assert marked.pop("sentence") == f"smoke run, at most 2 targets: {result.pop('sentence')}"
        assert marked == result
    for table in (folder / "tables").glob("*.md"):
        assert "smoke run, at most 2 targets" in table.read_text() or table.stem == "paper"


def test_without_a_control_arm_the_baseline_is_the_reference(tmp_path):
    make(tmp_path, World(**ONE, accuracy={"baseline": 0.3, "cg": 0.8}))
    folder = tabulate(tmp_path)
    assert only(rows(folder, SUMMARY), arm="cg", rule="")["reference"] == "baseline"
    assert "against baseline" in (folder / "headline.json").read_text()


def test_equal_arms_are_not_called_an_effect(tmp_path):
    accuracy = {"baseline": 0.25, "cg": 0.5, "control": 0.5}
    make(tmp_path, World(rules=("fixed-task",), accuracy=accuracy, questions=200))
    folder = tabulate(tmp_path)
    assert {row["verdict"] for row in rows(folder, COMPARISON)} <= {
        "no evidence",
        "not detectable at this n",
    }
    row = only(rows(folder, SUMMARY), arm="cg", rule="")
    assert row["minus_reference_low"] < 0 < row["minus_reference_high"]


def test_few_questions_are_called_too_few(tmp_path):
    accuracy = {"baseline": 0.25, "cg": 0.5, "control": 0.5}
    make(tmp_path, World(**ONE, questions=5, accuracy=accuracy))
    verdicts = {row["verdict"] for row in rows(tabulate(tmp_path), COMPARISON)}
    assert verdicts == {"not detectable at this n"}


def test_hostile_names_do_not_break_the_tables(tmp_path):
    plan = make(tmp_path, World(**ONE))
    hostile = 'a_b & 50% | <script>, "x" \\ {y}~^\nnew'
    plan = [{**row, "combination": row["combination"] and hostile} for row in plan]
    write_dicts(tmp_path / PLAN / "experiments.tsv", PLAN_COLUMNS, plan)
    folder = tabulate(tmp_path)
    assert rows(folder, COMPARISON)[0]["combination"] == hostile
    lines = (folder / "tables/comparison.md").read_text().splitlines()
    pipes = {len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")}
    assert len(pipes) == 1
    tex = (folder / "tables/comparison.tex").read_text()
    assert r"a\_b \& 50\% \textbar{} \textless{}script\textgreater{}" in tex


@dataclass(frozen=True)
class Effect:
    name: str
    x: float | None
    p: P | None


def test_csv_has_fixed_decimals_and_no_negative_zero(tmp_path):
    table = Table("t", "title", Effect, ("x", "p"))
    effects = [Effect("a", -1e-9, 1e-7), Effect("b", None, 0.5)]
    write_table(tmp_path, table, effects, "demo")
    with (tmp_path / "t.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [["a", "0.000000", "1e-07"], ["b", "", "0.5"]]
    texts = [
        [shown_cell(cells_of(each, table.fields), column) for column in table.columns]
        for each in effects
    ]
    assert texts == [["0.0", "< 0.001"], ["", "0.500"]]


class Place(NamedTuple):
    backbone: str
    n: int


@dataclass(frozen=True)
class Nested:
    place: Place
    share: Share | None
    accuracy: Estimate | None
    of_arm: Mapping[str, Estimate | None]


NESTED = Table("t", "T", Nested, ("accuracy", ("share", "S")), {"of_arm": ["cg", "a-b"]})


def test_what_is_written_of_nested_records_is_read_as_it_was(tmp_path):
    known = Estimate(0.25, 0.125, 0.5)
    rows = [
        Nested(Place("tiny", 3), 0.5, known, {"cg": None, "a-b": Estimate(1.0, 0.0, 1.0)}),
        Nested(Place("", 0), None, None, {"cg": known, "a-b": None}),
    ]
    write_table(tmp_path, NESTED, rows, "demo")
    header, first, _ = (tmp_path / "t.csv").read_text().splitlines()
    assert header == (
        "backbone,n,share,accuracy,accuracy_low,accuracy_high,cg,cg_low,cg_high,a-b,a-b_low,a-b_high"
    )
    assert first.startswith("tiny,3,0.500000,0.250000,0.125000,0.500000,,,,1.000000,")
    lines = (tmp_path / "t.md").read_text().splitlines()
    assert lines[2] == "| Accuracy | S |"
    assert lines[-2] == "| 25.0 [12.5, 50.0] | 0.50 |"
    assert read_rows(tmp_path, NESTED) == rows


def test_a_table_of_other_columns_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("backbone,n\ntiny,3\n")
    with pytest.raises(DataError, match=r"t\.csv: columns are not those of this version"):
        read_rows(tmp_path, NESTED)


@dataclass(frozen=True)
class Sparse:
    a: str
    b: int | None


def test_readers_are_spared_columns_without_anything(tmp_path):
    table = Table("t", "T", Sparse, ("a", "b"))
    write_table(tmp_path, table, [Sparse("x", None), Sparse("y", None)], "demo")
    assert (tmp_path / "t.csv").read_text() == "a,b\nx,\ny,\n"
    assert (tmp_path / "t.md").read_text().splitlines()[2:4] == ["| A |", "| --- |"]
    assert "l@{}" in (tmp_path / "t.tex").read_text()
    assert " & " not in (tmp_path / "t.tex").read_text()
    write_table(tmp_path, table, [Sparse("x", None), Sparse("y", 0)], "demo")
    assert (tmp_path / "t.md").read_text().splitlines()[-2:] == ["| x |  |", "| y | 0 |"]


def test_latex_compiles_what_would_be_an_option():
    assert latex_escaped("[0.1, 0.2]") == "{}[0.1, 0.2]"
