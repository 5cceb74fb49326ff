"""Figures: drawn from the tables, the same bytes each time, nothing left out."""

import json

import pytest
from PIL import Image

from matcg.errors import DataError
from matcg.report import figures
from matcg.report.tables import compare
from synthetic import World, catalog, make

DRAWN = (*figures.NAMES, "grid-ct-brain-state")


def prepared(results, world):
    make(results, world)
    out = results / "experiments/demo"
    compare(results / "plan/experiments.tsv", results / "predictions", "demo", out)
    return out / "tables"


def draw(results, tables, out):
    figures.draw(tables, results / "runs", results / "plan", out, "demo", catalog())


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    results = tmp_path_factory.mktemp("demo")
    tables = prepared(results, World(questions=20, targets=("ct-brain-state",)))
    draw(results, tables, results / "one")
    return results, tables


def test_every_figure_is_written_as_svg_and_png(demo):
    results, _ = demo
    for name in DRAWN:
        assert Image.open(results / f"one/{name}.png").width > 400
        assert (results / f"one/{name}.svg").read_text().rstrip().endswith("</svg>")


def test_svg_is_the_same_each_time(demo):
    results, tables = demo
    draw(results, tables, results / "two")
    for name in DRAWN:
        first, second = ((results / part / f"{name}.svg").read_bytes() for part in ("one", "two"))
        assert first == second


def points(figure):
    """Return the text in the cells of a heatmap by panel title."""
    return {
        axes.get_title(loc="left"): [text.get_text() for text in axes.texts]
        for axes in figure.axes
        if axes.get_title(loc="left")
    }


def comparison_row(target, difference, rule="r"):
    return {
        "backbone": "b",
        "recipe": "full",
        "n_train": 600,
        "mixed_in": 0,
        "target": target,
        "rule": rule,
        "combination": "x + y",
        "reference": "control",
        "verdict": "helps",
        "difference": difference,
        "difference_low": difference,
        "difference_high": difference,
    }


def test_heatmap_puts_targets_at_their_elements():
    elements = {
        "t1": {"modality": ["CT"], "area": ["brain"], "task": ["State"]},
        "t2": {"modality": ["MRI"], "area": ["lung"], "task": ["Level", "State"]},
    }
    rows = [comparison_row("t1", 0.2), comparison_row("t1", 0.4), comparison_row("t2", -0.1)]
    with figures.mpl.rc_context(figures.STYLE):
        figure = figures.heatmap_figure(rows, elements)
    assert points(figure) == {"task Level": ["-10"], "task State": ["+30", "-10"]}


def test_heatmap_has_the_first_element_in_rows_in_any_order_of_a_subset(demo, monkeypatch):
    results, tables = demo
    drawn = {}
    monkeypatch.setattr(figures, "save", lambda figure, _, name: drawn.update({name: figure}))
    shuffled = catalog()
    for subset in shuffled["subsets"].values():
        subset["elements"] = dict(sorted(subset["elements"].items()))
    plan, out = results / "plan", results / "three"
    figures.draw(tables, results / "runs", plan, out, "demo", shuffled)
    axes = drawn["heatmap"].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ct"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["brain"]


def test_heatmap_without_elements_shows_targets_by_rule():
    rows = [comparison_row("t1", 0.2, "p"), comparison_row("t2", 0.4, "q")]
    figure = figures.heatmap_figure(rows, None)
    assert [text.get_text() for text in figure.axes[0].texts] == ["+20", "+40"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["t1", "t2"]


def test_differences_are_sorted_and_all_there():
    rows = [comparison_row(f"t{index}", value) for index, value in enumerate((0.3, -0.2, 0.1))]
    figure = figures.difference_figure(rows)
    labels = [label.get_text().split()[0] for label in figure.axes[0].get_yticklabels()]
    assert labels == ["t1", "t2", "t0"]


def test_a_combination_without_reference_is_said_not_drawn():
    figure = figures.difference_figure([comparison_row("t", None)])
    assert "no combination" in figure.texts[0].get_text()


def test_dollar_signs_do_not_start_formulas(tmp_path):
    figure = figures.difference_figure([comparison_row("a$b$_{", 0.1)])
    figure.savefig(tmp_path / "x.svg")


@pytest.mark.parametrize("text", [None, "", "not json\n", json.dumps({"step": 1}) + "\n"])
def test_missing_losses_name_the_file(tmp_path, text):
    row = {"backbone": "b", "run": "full/m/seed0", "arm": "cg"}
    path = tmp_path / "b/full/m/seed0/metrics.jsonl"
    path.parent.mkdir(parents=True)
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=r"seed0/metrics\.jsonl"):
        figures.read_losses([row], tmp_path)


def test_a_run_shared_by_rows_of_an_arm_counts_once(tmp_path):
    row = {"backbone": "b", "run": "full/m/seed0", "arm": "cg"}
    path = tmp_path / "b/full/m/seed0/metrics.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
    baseline = {"backbone": "b", "run": "baseline", "arm": "baseline"}
    assert figures.read_losses([row, row, baseline], tmp_path) == {"cg": [[(1, 2.0), (2, 1.0)]]}
