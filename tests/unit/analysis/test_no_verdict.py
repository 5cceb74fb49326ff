"""A target whose questions tell nothing gets no verdict, is in no mean, and is listed first."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import synthetic
from matcg.analysis.no_verdict import NO_VERDICT
from matcg.report.tables.declared import ACCURACY, COMPARISON, LETTERS, SUMMARY
from matcg.report.tables.declared import NO_VERDICT as LISTED
from matcg.report.tables.table import read_cells
from synthetic import World, make, only, rows, tabulate, truth_of

MUTE = "mri-lung-side"


@pytest.fixture
def mute(monkeypatch):
    """Give all questions of one target one answer, in answers and samples."""
    monkeypatch.setattr(
        synthetic,
        "truth_of",
        lambda world, target: truth_of(world, target) * (target != MUTE),
    )


def headline(folder: Path) -> dict:
    return json.loads((folder / "headline.json").read_text())


@pytest.mark.usefixtures("mute")
def test_it_is_left_out_of_all_means_and_named_first(tmp_path):
    rest = tuple(t for t in World().targets if t != MUTE)
    make(tmp_path / "all", World(boxes=("xray-knee-level",)))
    make(tmp_path / "rest", World(targets=rest, boxes=("xray-knee-level",)))
    folder, other = tabulate(tmp_path / "all"), tabulate(tmp_path / "rest")
    (listed,) = rows(folder, LISTED)
    assert listed["target"] == MUTE
    assert listed["reason"] == (
        "all 60 questions are answered by label 'normal'; all 60 questions are answered by letter A"
    )
    for table in (SUMMARY, LETTERS):
        assert rows(folder, table) == rows(other, table)
    compared = rows(folder, COMPARISON)
    assert [row["target"] for row in compared[:2]] == [MUTE, MUTE]
    assert {row["verdict"] for row in compared[:2]} == {NO_VERDICT}
    assert {row["p_holm"] for row in compared[:2]} == {None}
    assert compared[2:] == rows(other, COMPARISON)
    assert rows(folder, ACCURACY)[0]["target"] == MUTE
    said, plain = headline(folder), headline(other)
    assert said["headline"] == f"{plain['headline']}; {said['no_verdict']}"
    assert said["no_verdict"].startswith(f"no verdict on 1 target: {MUTE} (all 60 questions")
    assert "no_verdict" not in plain
    assert not (other / "tables/no_verdict.csv").exists()


@pytest.mark.usefixtures("mute")
def test_where_no_other_target_is_there_nothing_else_is_said(tmp_path):
    make(tmp_path, World(targets=(MUTE,)))
    folder = tabulate(tmp_path)
    assert headline(folder)["headline"] == headline(folder)["no_verdict"]
    assert rows(folder, SUMMARY) == []
    page = synthetic.write_page(tmp_path).read_text()
    assert page.index("no verdict on 1 target") < page.index("<main>")
    assert page.index("<h3>No verdict</h3>") < page.index("<h3>Means over targets</h3>")


def test_too_few_questions_and_what_an_account_says(tmp_path):
    world = World(targets=(MUTE, "ct-brain-state"))
    make(tmp_path, world)
    names = synthetic.sample_ids(MUTE, 2)
    account = {"given": {"test": 60}, "lost_labels": ["eel"], "contradictions": [names]}
    (synthetic.data_folder(tmp_path, world, MUTE) / "summary.json").write_text(json.dumps(account))
    folder = tabulate(tmp_path, minimum_questions=60)
    assert only(rows(folder, LISTED))["reason"] == (
        "label 'eel' lost all its pictures; one picture and question with two answers:"
        f" {names[0]} and {names[1]}"
    )
    folder = tabulate(tmp_path, minimum_questions=61)
    assert len(read_cells(folder / "tables", LISTED)) == 2


@pytest.mark.usefixtures("mute")
def test_only_questions_that_all_backbones_were_asked_are_compared(tmp_path):
    world = World(backbones=("small", "large"), targets=(MUTE,))
    make(tmp_path, world)
    for path in synthetic.files_of(tmp_path, MUTE, "small").values():
        pq.write_table(pq.read_table(path).slice(7), path)
    compared = rows(tabulate(tmp_path), COMPARISON)
    assert {row["n"] for row in compared} == {53}


def test_figures_are_drawn_without_it(tmp_path):
    from matcg.report.figures.all import draw_figures

    make(tmp_path, World(targets=(MUTE,)))
    folder = tabulate(tmp_path)
    plan = tmp_path / synthetic.PLAN
    draw_figures(folder / "tables", plan, folder / "figures", "demo", synthetic.catalog())
    assert (folder / "figures/arms.svg").exists()
    assert np.all(truth_of(World(), "ct-brain-state").max() > 0)
