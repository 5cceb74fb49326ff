"""Figures: drawn from the tables, the same bytes each time, nothing left out."""

import json
from dataclasses import replace

import matplotlib as mpl
import pytest
from PIL import Image

from matcg.analysis.accuracy import Accuracy
from matcg.analysis.comparison import Comparison
from matcg.analysis.pairs import Setting
from matcg.analysis.summary import Summary
from matcg.config.protocol import Protocol
from matcg.errors import DataError
from matcg.report.figures import all as figures
from matcg.report.figures import differences, losses
from matcg.report.figures.heatmap import heatmap_figure
from matcg.report.figures.style import STYLE
from synthetic import PLAN, World, about, blank, catalog, make, tabulate

OPTIONAL = {"sizes", "mixed", "protocols", "coverage", "composition"}
DRAWN = (*(name for name in figures.NAMES if name not in OPTIONAL), "grid-ct-brain-state")


def prepared(results, world):
    make(results, world)
    return tabulate(results) / "tables"


def draw(results, tables, out):
    figures.draw_figures(tables, results / PLAN, out, "demo", catalog())


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


def test_figures_that_nothing_asks_for_are_not_there(demo):
    results, _ = demo
    assert {path.stem for path in (results / "one").iterdir()} == set(DRAWN)


def test_figures_of_a_smoke_run_say_so(demo, tmp_path):
    results, tables = demo
    plan = tmp_path / "plan"
    plan.mkdir()
    for path in (results / PLAN).iterdir():
        (plan / path.name).write_text(path.read_text().replace("demo\t", "demo.smoke\t"))
    figures.draw_figures(tables, plan, tmp_path, "demo.smoke", catalog())
    for name in DRAWN[:-1]:
        assert "smoke run" in (tmp_path / f"{name}.svg").read_text()
        assert "smoke run" not in (results / f"one/{name}.svg").read_text()


def test_another_score_has_figures_of_its_own_that_say_so(tmp_path):
    targets, arms = ("ct-brain-state", "mri-lung-side"), {"cg": 0.8, "control": 0.3}
    ways = (Protocol(name="letters"), Protocol(name="grey", image="blank"))
    world = World(questions=20, targets=targets, boxes=targets[1:], accuracy=arms, protocols=ways)
    world.sizes = (300, 600)
    make(tmp_path, world)
    draw(tmp_path, tabulate(tmp_path, protocols=ways) / "tables", tmp_path / "out")
    drawn = {path.stem: path.read_text() for path in (tmp_path / "out").glob("*.svg")}
    for name in ("arms", "scaling", "sizes", "protocols"):
        plain, other = drawn[name], drawn[f"{name}-mean-iou"]
        assert "chance" in plain
        assert "mean IoU (%)" in other
        assert "accuracy" not in other
        assert "chance" not in other
    assert "mri-lung-side" not in drawn["arms"]
    assert "ct-brain-state" in drawn["arms"]
    assert "mri-lung-side" in drawn["arms-mean-iou"]
    # What is to know of a figure stands there still.
    assert "mean IoU; filled: Holm p" in drawn["difference-mean-iou"]


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
    return blank(
        Comparison,
        setting=Setting("b", "full", 600, 0),
        target=target,
        rule=rule,
        combination="x + y",
        reference="control",
        verdict="helps",
        difference=None if difference is None else about(difference),
    )


def test_heatmap_puts_targets_at_their_elements():
    elements = {
        "t1": {"modality": ["CT"], "area": ["brain"], "task": ["State"]},
        "t2": {"modality": ["MRI"], "area": ["lung"], "task": ["Level", "State"]},
    }
    rows = [comparison_row("t1", 0.2), comparison_row("t1", 0.4), comparison_row("t2", -0.1)]
    with mpl.rc_context(STYLE):
        figure = heatmap_figure(rows, elements)
    assert points(figure) == {"task Level": ["-10"], "task State": ["+30", "-10"]}


def test_heatmap_has_the_first_element_in_rows_in_any_order_of_a_subset(demo, monkeypatch):
    results, tables = demo
    drawn = {}
    monkeypatch.setattr(
        figures, "save_figure", lambda figure, _, name: drawn.update({name: figure})
    )
    shuffled = catalog()
    for subset in shuffled["subsets"].values():
        subset["elements"] = dict(sorted(subset["elements"].items()))
    figures.draw_figures(tables, results / PLAN, results / "three", "demo", shuffled)
    axes = drawn["heatmap"].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ct"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["brain"]


def test_heatmap_without_elements_shows_targets_by_rule():
    rows = [comparison_row("t1", 0.2, "p"), comparison_row("t2", 0.4, "q")]
    figure = heatmap_figure(rows, None)
    assert [text.get_text() for text in figure.axes[0].texts] == ["+20", "+40"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["t1", "t2"]


def summary_row(rule, mean):
    setting = comparison_row("t", 0).setting
    return blank(Summary, setting=setting, arm="cg", rule=rule, minus_reference=about(mean))


def test_differences_are_sorted_within_their_rule_the_best_rule_first():
    values = (("p", 0.1), ("q", -0.2), ("q", 0.4), ("p", 0.2))
    rows = [comparison_row(f"t{index}", v, rule) for index, (rule, v) in enumerate(values)]
    figure = differences.difference_figure(rows, [summary_row("p", 0.15), summary_row("q", 0.16)])
    (axes,) = figure.axes
    labels = [label.get_text().split()[0] for label in axes.get_yticklabels()]
    assert labels == ["t2", "t1", "t3", "t0"]
    places = axes.get_yticks()
    assert list(places) == sorted(places)
    assert axes.yaxis_inverted()
    headings = [text.get_text() for text in axes.texts]
    assert headings == [
        "q  +16.0 [16.0, 16.0]  (helps 2, hurts 0 of 2)",
        "p  +15.0 [15.0, 15.0]  (helps 2, hurts 0 of 2)",
    ]


def drawn_values(axes):
    return [float(x) for line in axes.lines if line.get_marker() == "o" for x in line.get_xdata()]


def test_of_many_combinations_neighbours_are_drawn_as_their_mean(monkeypatch):
    monkeypatch.setattr(differences, "LABELLED", 4)
    monkeypatch.setattr(differences, "THIN_ROWS", 6)
    rows = [comparison_row(f"t{index}", index / 100) for index in range(12)]
    figure = differences.difference_figure(rows, [])
    (axes,) = figure.axes
    assert drawn_values(axes) == pytest.approx([10.5, 8.5, 6.5, 4.5, 2.5, 0.5])
    assert "a row is the mean of neighbouring" in figure.get_suptitle()
    assert "hurts 0 of 12" in axes.texts[0].get_text()


def test_settings_beyond_the_bound_are_said_and_the_largest_drawn(monkeypatch):
    monkeypatch.setattr(differences, "SETTINGS", 2)
    sizes = (Setting("b", "full", size, 0) for size in (500, 3000, 1000))
    rows = [replace(comparison_row("t", 0.1), setting=setting) for setting in sizes]
    with mpl.rc_context(STYLE):
        figure = differences.difference_figure(rows, [])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["b, recipe full, 1000 samples", "b, recipe full, 3000 samples"]
    assert "1 further settings are not drawn" in figure.get_suptitle()


@pytest.mark.parametrize("count", [6, 43, 758, 10_000])
def test_the_figure_of_differences_is_bounded_in_size(count):
    rows = [comparison_row(f"t{i}", i / count, f"rule-{i % 4}") for i in range(count)]
    figure = differences.difference_figure(rows, [])
    width, height = figure.get_size_inches()
    assert width < 8
    assert height < 20


def test_a_combination_without_reference_is_said_not_drawn():
    figure = differences.difference_figure([comparison_row("t", None)], [])
    assert "no combination" in figure.texts[0].get_text()


def test_dollar_signs_do_not_start_formulas(tmp_path):
    figure = differences.difference_figure([comparison_row("a$b$_{", 0.1)], [])
    figure.savefig(tmp_path / "x.svg")


def accuracy_of(run, arm):
    return blank(Accuracy, setting=Setting("b", "full", 600, 0), run=run, arm=arm)


@pytest.mark.parametrize("text", [None, "", "not json\n", json.dumps({"step": 1}) + "\n"])
def test_missing_losses_name_the_file(tmp_path, text):
    row = accuracy_of("full/m/seed0", "cg")
    path = tmp_path / "metrics.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=str(path)):
        losses.read_losses([row], {("b", "full/m/seed0"): tmp_path})


def test_a_run_shared_by_rows_of_an_arm_counts_once(tmp_path):
    row = accuracy_of("full/m/seed0", "cg")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
    baseline = accuracy_of("baseline", "baseline")
    found = losses.read_losses([row, row, baseline], {("b", "full/m/seed0"): tmp_path})
    assert found == {"cg": [[(1, 2.0), (2, 1.0)]]}


def test_runs_trained_by_a_command_are_left_out(tmp_path):
    row = accuracy_of("full/m/seed0", "cg")
    (tmp_path / "metrics.jsonl").write_text('{"command": true}\n')
    found = losses.read_losses([row], {("b", "full/m/seed0"): tmp_path})
    assert found == {}
    assert losses.loss_figure(found)


def test_many_losses_are_drawn_as_bands(monkeypatch):
    curves = [[(1, 2.0 + i), (2, 1.0 + i)] for i in range(5)]
    few = losses.loss_figure({"cg": curves}).axes[0]
    monkeypatch.setattr(losses, "MAX_RUNS", 4)
    many = losses.loss_figure({"cg": curves}).axes[0]
    assert (len(few.lines), len(few.collections)) == (6, 0)
    assert (len(many.lines), len(many.collections)) == (1, 2)
    assert list(many.lines[0].get_ydata()) == [4.0, 3.0]
    low, high = many.collections[0].get_datalim(many.transData).intervaly
    assert (low, high) == pytest.approx((1.2, 5.8))
