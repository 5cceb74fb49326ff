"""Figures of training choices and of sizes: what is drawn where, and when there is none."""

from dataclasses import replace

import pytest

from matcg.analysis.beside_published import Beside, Compared
from matcg.analysis.by_target import ByTarget, by_targets
from matcg.analysis.pairs import Setting
from matcg.report.figures import bars, curves, shared
from matcg.report.tables.declared import SUMMARY, TARGETS
from matcg.report.tables.table import read_rows
from synthetic import PLAN, PLAN_COLUMNS, World, about, blank, make, study_of, tabulate, write_dicts


def target_row(target, arm, accuracy, rule="", n_train=600, mixed_in=0):
    untrained = Setting("b", "", 0, 0)
    return blank(
        ByTarget,
        setting=untrained if arm == "baseline" else Setting("b", "full", n_train, mixed_in),
        target=target,
        arm=arm,
        rule=rule,
        combinations=int(bool(rule)),
        accuracy=about(accuracy, 0.1),
        chance=0.25,
    )


CHOICES = [
    target_row("t", "baseline", 0.3),
    target_row("t", "cg", 0.6),
    target_row("t", "cg", 0.7, "p"),
    target_row("t", "cg", 0.5, "q"),
    target_row("t", "control", 0.4),
]


def heights(axes):
    return [round(bar.get_height()) for bar in axes.patches]


def test_choices_are_bars_over_baseline_and_chance():
    figure = bars.scaling_figure(CHOICES)
    (axes,) = figure.axes
    assert heights(axes) == [70, 50, 40]
    levels = {tuple(line.get_ydata()) for line in axes.lines if len(line.get_ydata()) == 2}
    assert levels >= {(25, 25), (30, 30)}
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["p", "q", "control", "baseline", "chance"]


@pytest.mark.parametrize(
    "rows",
    [
        [row for row in CHOICES if row.rule != "q"],
        [replace(row, combinations=2) if row.rule == "q" else row for row in CHOICES],
        CHOICES[:1],
    ],
)
def test_there_are_no_bars_unless_rules_are_choices(rows):
    assert bars.scaling_figure(rows) is None


def test_printed_figures_stand_at_their_bars_where_there_are_ours():
    shared = {"label": "", "target": "t", "backbone": "b", "recipe": "full"}
    baseline = Compared(0.35, about(0.3))
    published = [
        blank(Beside, **shared, rule=rule, arms={"cg": cg, "baseline": baseline})
        for rule, cg in (
            ("p", Compared(0.65, about(0.7))),
            ("q", Compared(0.45, about(0.7))),
            ("r", Compared(0.99)),
        )
    ]
    (axes,) = bars.scaling_figure(CHOICES, published).axes
    marks = {
        marker: [float(y) for x in axes.lines if x.get_marker() == marker for y in x.get_ydata()]
        for marker in "<D"
    }
    assert marks == {"<": [35], "D": [65, 45]}
    places = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D"]
    middles = [bar.get_x() + bar.get_width() / 2 for bar in axes.patches[:2]]
    assert places == pytest.approx(middles)


def test_targets_beyond_the_bound_are_said(monkeypatch):
    monkeypatch.setattr(bars, "MAX_TARGETS", 1)
    more = [replace(row, target="u") for row in CHOICES]
    figure = bars.scaling_figure(CHOICES + more)
    assert figure.get_suptitle() == "1 further targets are not drawn; the tables have them"
    assert heights(figure.axes[0]) == [70, 50, 40]


def test_bars_of_any_number_of_rules_are_drawn():
    rows = [target_row("t", "cg", 0.5, f"rule {i}") for i in range(100)]
    (axes,) = bars.scaling_figure(rows).axes
    assert heights(axes) == [50] * 100


def size_rows(sizes, mixed_in=(0,), arm="cg"):
    return [
        target_row("t", arm, size / 10_000, n_train=size + mixed, mixed_in=mixed)
        for size in sizes
        for mixed in mixed_in
    ]


def curve(axes, color):
    (line,) = [one for one in axes.lines if one.get_color() == color and len(one.get_xdata()) > 2]
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


CG = shared.arm_styles(["cg"])["cg"][0]


def test_curves_start_at_the_baseline_and_rise_with_size():
    rows = [target_row("t", "baseline", 0.02), *size_rows((3000, 1000, 2000))]
    figure = curves.sizes_figure(rows, [])
    (axes,) = figure.axes
    places = [(0, 2), (1000, 10), (2000, 20), (3000, 30)]
    assert curve(axes, CG) == [(x, pytest.approx(y)) for x, y in places]
    assert len(axes.collections) == 1


def test_bands_are_the_intervals():
    (axes,) = curves.sizes_figure(size_rows((1000, 2000)), []).axes
    corners = axes.collections[0].get_paths()[0].vertices
    assert {tuple(corner.round(6)) for corner in corners} == {
        *((1000, 0), (1000, 20), (2000, 10), (2000, 30))
    }


def test_samples_of_the_target_are_an_axis_of_their_own():
    rows = [target_row("t", "baseline", 0.02), *size_rows((1000,), (0, 100, 500))]
    assert curves.sizes_figure(rows, []) is None
    (axes,) = curves.mixed_figure(rows, []).axes
    assert [x for x, _ in curve(axes, CG)] == [0, 100, 500]


def test_one_size_is_no_curve_even_where_another_arm_has_its_own():
    rows = size_rows((1000,)) + size_rows((50,), arm="single")
    assert curves.sizes_figure(rows, []) is None
    assert curves.mixed_figure(rows, []) is None


def test_panels_beyond_the_bound_are_said(monkeypatch):
    monkeypatch.setattr(curves, "MAX_PANELS", 2)
    rows = [replace(row, target=name) for name in "abc" for row in size_rows((100, 200))]
    figure = curves.sizes_figure(rows, [])
    assert [axes.get_title() for axes in figure.axes] == ["a", "b"]
    assert figure.get_suptitle().endswith("1 further panels are not drawn; the tables have them")


def test_mean_and_targets_are_those_of_the_tables(tmp_path):
    world = World(sizes=(300, 600), seeds=(0, 1), questions=24)
    make(tmp_path, world)
    out = tabulate(tmp_path)
    targets, summary = (read_rows(out / "tables", table) for table in (TARGETS, SUMMARY))
    mean, *panels = curves.sizes_figure(targets, summary).axes
    assert mean.get_title() == f"mean of {len(world.targets)} targets"
    ends = [[y for _, y in curve(axes, CG)] for axes in panels]
    expected = [sum(values) / len(values) for values in zip(*ends, strict=True)]
    assert [y for _, y in curve(mean, CG)] == pytest.approx(expected, abs=1e-3)


def test_a_target_weighs_rules_alike_and_counts_its_runs(tmp_path):
    """Two rules, the second with three runs: the mean is that of the rules' means."""
    world = World(targets=("ct-brain-state",), questions=40)
    rows = make(tmp_path, world)
    cg = [row for row in rows if row["arm"] == "cg"]
    write_dicts(tmp_path / PLAN / "experiments.tsv", PLAN_COLUMNS, rows + [cg[1]] * 2)
    found = {(row.arm, row.rule): row for row in by_targets(study_of(tmp_path))}
    first, second = (found["cg", rule].accuracy.value for rule in world.rules)
    assert found["cg", ""].accuracy.value == pytest.approx((first + second) / 2)
    assert first != second
    assert [found["cg", rule].runs for rule in ("", *world.rules)] == [4, 1, 3]
    assert [found["cg", rule].combinations for rule in ("", *world.rules)] == [2, 1, 1]
    whole = found["cg", ""].accuracy
    assert whole.low < whole.value < whole.high
