"""The grid of elements: what was held out and what was learned from, each where it belongs."""

import matplotlib as mpl
import pytest

from matcg.errors import DataError
from matcg.report.figures import grid, style
from matcg.report.figures.grid import Grid, GridPanel
from matcg.report.figures.grid_layout import GridLayout
from synthetic import PLAN_COLUMNS, write_dicts

TARGET, SAME_AREA, SAME_TASK, UNRELATED, UNUSED = "t", "a", "b", "u", "x"


def subset(kind="classification", **elements):
    listed = {n: v if isinstance(v, list) else [v] for n, v in elements.items()}
    return {"kind": kind, "elements": listed}


def of(modality, area, task, **more):
    return subset(modality=modality, area=area, task=task, **more)


CATALOG = {
    "elements": ["modality", "area", "task"],
    "subsets": {
        TARGET: of("CT", "brain", "state"),
        SAME_AREA: of("MRI", "brain", "side"),
        SAME_TASK: of("CT", "lung", "state"),
        UNRELATED: of("MRI", "lung", "side"),
        UNUSED: of("MRI", "lung", "state"),
        "far": {**of("US", "knee", "find"), "kind": "detection"},
    },
}
PANEL = GridPanel("rule", "a + b", frozenset({SAME_AREA, SAME_TASK}), frozenset({UNRELATED}))
ROLE_OF = {"#b4b4b4": "other", style.BLUE: "source", "none": "control"}


def figure(*panels, catalog=CATALOG, target=TARGET, mixed_in=0):
    """Return the first page of a target and where its marks stand."""
    one = Grid(target, panels, mixed_in)
    layout = GridLayout(catalog["elements"], grid.shown_subsets(one, catalog))
    with mpl.rc_context(style.STYLE):
        return grid.page_figure(one, panels, layout, "title"), layout


def drawn(axes, layout):
    """Return (role, row, column, shape) of all marks of a panel, and where rings are."""
    rows, columns = ([t.get_text() for t in a.get_ticklabels()] for a in (axes.yaxis, axes.xaxis))

    def cell(x, y):
        row = sum(edge < y for edge in layout.row_edges) - 1
        column = sum(edge < x for edge in layout.column_edges) - 1
        return rows[row], columns[column]

    marks, rings = set(), set()
    for line in axes.lines:
        if line.get_marker() in ("", "None"):
            continue
        face, edge = line.get_markerfacecolor(), line.get_markeredgecolor()
        for point in zip(line.get_xdata(), line.get_ydata(), strict=True):
            if face == "none" and edge == style.VERMILLION:
                rings.add(cell(*point))
            else:
                role = "target" if face == style.VERMILLION else ROLE_OF[face]
                marks.add((role, *cell(*point), line.get_marker()))
    return marks, rings


def test_target_sources_and_control_are_coloured_where_they_stand():
    page, layout = figure(PANEL)
    marks, rings = drawn(page.axes[0], layout)
    state, side = grid.SHAPES[:2]
    assert marks == {
        ("target", "CT", "brain", state),
        ("source", "MRI", "brain", side),
        ("source", "CT", "lung", state),
        ("control", "MRI", "lung", side),
        ("other", "MRI", "lung", state),
    }
    assert rings == {("CT", "brain")}
    assert page.axes[0].get_title(loc="left") == "rule\na + b"


def test_bands_mark_the_row_and_the_column_of_the_target():
    page, layout = figure(PANEL, target=UNUSED)
    (_, y1, y2), (_, x1, x2) = (
        [round(edge, 3) for edge in edges] for edges in (layout.row_edges, layout.column_edges)
    )
    data = page.axes[0].transData.inverted()
    bands = [patch.get_extents().transformed(data) for patch in page.axes[0].patches]
    ends = {tuple(map(float, band.get_points().round(3).T.flatten())) for band in bands}
    assert {tuple(sorted(end[:2]) + sorted(end[2:])) for end in ends} == {
        (0, x2, y1, y2),
        (x1, x2, 0, y2),
    }


def test_marks_of_a_cell_are_ordered_by_value_whatever_the_order_of_subsets():
    subsets = {TARGET: of("CT", "brain", "state"), "a": of("CT", "brain", "side")}
    subsets |= {"c": of("MRI", "brain", "side"), "b": of("MRI", "brain", "state")}
    marks = {mark.subset: mark for mark in GridLayout(CATALOG["elements"], subsets).marks}
    assert marks[TARGET].x < marks["a"].x
    assert (marks["b"].x, marks["c"].x) == (marks[TARGET].x, marks["a"].x)


def test_a_source_of_both_arms_is_drawn_for_both():
    both = GridPanel("rule", "a", frozenset({SAME_AREA}), frozenset({SAME_AREA}))
    page, layout = figure(both)
    marks, _ = drawn(page.axes[0], layout)
    assert {mark[0] for mark in marks if mark[1:3] == ("MRI", "brain")} == {"source", "control"}


def test_marks_stand_at_the_same_places_in_every_panel_and_never_two_at_one():
    other = GridPanel("rule", "x", frozenset({UNUSED}), frozenset())
    page, layout = figure(PANEL, other)
    assert len({(mark.x, mark.y) for mark in layout.marks}) == len(layout.marks) == 5
    places = [
        {(x, y) for line in axes.lines[1:] for x, y in zip(*line.get_data(), strict=True)}
        for axes in page.axes
    ]
    assert places[0] == places[1] == {(mark.x, mark.y) for mark in layout.marks}


def test_subsets_of_another_kind_are_drawn_only_where_they_are_used():
    assert set(grid.shown_subsets(Grid(TARGET, (PANEL,)), CATALOG)) == set("tabux")
    crossing = GridPanel("rule", "far", frozenset({"far"}), frozenset())
    shown = grid.shown_subsets(Grid(TARGET, (crossing,)), CATALOG)
    assert set(shown) == {*"tabux", "far"}
    assert GridLayout(CATALOG["elements"], shown).rows == ["CT", "MRI", "US"]


def test_a_subset_of_several_values_stands_at_each():
    subsets = {TARGET: of(["CT", "MRI"], "brain", ["COVID", "state"])}
    page, layout = figure(
        GridPanel("rule", "", frozenset(), frozenset()),
        catalog={"elements": CATALOG["elements"], "subsets": subsets},
    )
    marks, rings = drawn(page.axes[0], layout)
    assert len(marks) == 4
    assert rings == {("CT", "brain"), ("MRI", "brain")}


@pytest.mark.parametrize(
    ("elements", "columns", "values"),
    [
        (["modality"], [""], [""]),
        (["modality", "area"], ["brain", "lung"], [""]),
        (["modality", "area", "task", "age"], ["brain", "lung"], ["state, old", "side, young"]),
    ],
)
def test_any_number_of_elements(elements, columns, values):
    everything = {
        TARGET: of("CT", "brain", "state", age="old"),
        "a": of("MRI", "lung", "side", age="young"),
    }
    subsets = {
        name: {**s, "elements": {e: s["elements"][e] for e in elements}}
        for name, s in everything.items()
    }
    panel = GridPanel("rule", "a", frozenset("a"), frozenset())
    page, layout = figure(panel, catalog={"elements": elements, "subsets": subsets})
    assert (layout.rows, layout.columns, layout.values) == (["CT", "MRI"], columns, values)
    marks, _ = drawn(page.axes[0], layout)
    assert {mark[:3] for mark in marks} == {
        ("target", "CT", columns[0]),
        ("source", "MRI", columns[-1]),
    }


def test_more_values_than_shapes_are_told_apart_by_letters(tmp_path):
    few, many = ([f"v{i}" for i in range(n)] for n in (len(grid.SHAPES), 30))
    assert len({shape for shape, _ in grid.symbols(few).values()}) == len(few)
    letters = [letter for _, letter in grid.symbols(many).values()]
    assert len(set(letters)) == 30
    assert letters[0] == r"$\mathrm{A}$"
    subsets = {v: of("CT", "brain", v) for v in many}
    panel = GridPanel("rule", "v1", frozenset({"v1"}), frozenset({"v2"}))
    catalog = {"elements": CATALOG["elements"], "subsets": subsets}
    page, _ = figure(panel, catalog=catalog, target="v0")
    shown = {line.get_marker() for line in page.axes[0].lines}
    assert {r"$\mathrm{A}$", r"$\mathrm{B}$", r"$\mathrm{C}$"} <= shown
    assert r"$\mathrm{D}$" not in shown
    style.save_figure(page, tmp_path, "x")


def test_pages_hold_so_many_panels_and_all_of_them():
    panels = tuple(
        GridPanel("r", str(i), frozenset(), frozenset()) for i in range(2 * grid.PANELS + 1)
    )
    pages = Grid(TARGET, panels).pages
    assert list(pages) == ["grid-t", "grid-t.2", "grid-t.3"]
    assert sum(pages.values(), ()) == panels
    assert [len(page) for page in pages.values()] == [grid.PANELS, grid.PANELS, 1]


def test_long_names_and_dollar_signs_are_printed_as_they_are(tmp_path):
    subsets = {TARGET: of("$\\frac{", "x" * 300, "$_$"), "a": of("b", "c", "d$^")}
    catalog = {"elements": CATALOG["elements"], "subsets": subsets}
    panels = (GridPanel("r" * 200, "$a_{" * 30, frozenset("a"), frozenset()),)
    with mpl.rc_context(style.STYLE):
        grid.draw_grids([Grid(TARGET, panels)], catalog, tmp_path)
    page, _ = figure(*panels, catalog=catalog)
    title = page.axes[0].get_title(loc="left")
    assert title.endswith("\n1 subset")
    assert all(len(line) < 60 for line in title.splitlines())


def test_the_same_grids_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with mpl.rc_context(style.STYLE):
            grid.draw_grids([Grid(TARGET, (PANEL, PANEL))], CATALOG, tmp_path / name)
    for ending in ("svg", "png"):
        first, second = (tmp_path / name / f"grid-t.{ending}" for name in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()


def test_a_target_that_is_trained_on_is_not_called_held_out():
    values = CATALOG["subsets"][TARGET]["elements"]
    heading = grid.heading(Grid(TARGET, (PANEL,)), values, CATALOG["elements"])
    assert heading == "Held out: t (modality CT, area brain, task state)"
    mixed = grid.heading(Grid(TARGET, (PANEL,), 500), values, CATALOG["elements"])
    assert mixed.startswith("Target: t")
    assert "up to 500 of its samples are trained on too" in mixed


def plan(folder, rows, mixes):
    """Write a plan; rows are (target, rule, combination, arm, mix, more columns)."""
    lines = []
    for target, rule, combination, arm, mix, *more in rows:
        line = dict.fromkeys(PLAN_COLUMNS, "")
        line |= {"experiment": "e", "target": target, "rule": rule, "combination": combination}
        line |= {"arm": arm, "mix": mix, "run": mix or "baseline", "seed": "0", "n_train": "9"}
        line |= {"mixed_in": "0", "draw": "0"}
        lines.append({**line, **(more[0] if more else {})})
    write_dicts(folder / "experiments.tsv", PLAN_COLUMNS, lines)
    parts = [{"mix": mix, "subset": name} for mix, names in mixes.items() for name in names]
    write_dicts(folder / "mixes.tsv", ("mix", "subset"), parts)


def test_sizes_seeds_and_backbones_of_a_combination_are_one_panel(tmp_path):
    rows = [
        ("t", "", "", "baseline", ""),
        ("t", "r", "a + b", "cg", "m1"),
        ("t", "r", "a + b", "cg", "m2", {"seed": "1", "backbone": "other"}),
        ("t", "r", "a + b", "cg", ""),
        ("t", "s", "a + b", "cg", "m3"),
        ("t", "", "", "control", "m4"),
        ("t", "", "", "floor", "m5"),
        ("untested", "", "", "baseline", ""),
    ]
    mixes = {"m1": "ab", "m2": "ab", "m3": "ab", "m4": "uv", "m5": "abuvz"}
    plan(tmp_path, rows, mixes)
    sources, control = frozenset("ab"), frozenset("uv")
    assert grid.read_grids(tmp_path, "e") == [
        Grid(
            "t",
            (GridPanel("r", "a + b", sources, control), GridPanel("s", "a + b", sources, control)),
        )
    ]


def test_a_control_of_each_combination_is_that_of_its_own_panel(tmp_path):
    rows = [
        ("t", "r", "a", "cg", "m1"),
        ("t", "r", "b", "cg", "m2"),
        ("t", "r", "a", "control", "m3"),
        ("t", "r", "b", "control", "m4"),
    ]
    plan(tmp_path, rows, {"m1": "a", "m2": "b", "m3": "u", "m4": "v"})
    (found,) = grid.read_grids(tmp_path, "e")
    assert [panel.control for panel in found.panels] == [{"u"}, {"v"}]


def test_the_target_is_no_source_where_its_samples_are_mixed_in(tmp_path):
    rows = [("t", "r", "a", "cg", "m1", {"mixed_in": "5"}), ("t", "r", "a", "cg", "m2")]
    plan(tmp_path, rows, {"m1": "at", "m2": "a"})
    panel = GridPanel("r", "a", frozenset("a"), frozenset())
    assert grid.read_grids(tmp_path, "e") == [Grid("t", (panel,), 5)]


def test_an_unknown_experiment_is_named(tmp_path):
    plan(tmp_path, [("t", "r", "a", "cg", "m1")], {"m1": "a"})
    with pytest.raises(DataError, match="no rows of experiment 'f'"):
        grid.read_grids(tmp_path, "f")


def test_of_many_combinations_the_first_of_each_target_and_rule_are_kept(monkeypatch):
    monkeypatch.setattr(grid, "DRAWN", 5)
    panels = [
        GridPanel(rule, f"{rule}{i}", frozenset(), frozenset()) for rule in "pq" for i in (1, 2)
    ]
    grids = [Grid(target, tuple(panels)) for target in ("t", "u")]
    kept = {g.target: [p.combination for p in g.panels] for g in grid.bounded(grids)}
    assert kept == {"t": ["p1", "p2", "q1"], "u": ["p1", "q1"]}
    assert [g.left_out for g in grid.bounded(grids)] == [1, 2]


def test_every_target_keeps_a_combination_and_says_how_many_it_lacks(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(grid, "DRAWN", 1)
    panels = tuple(GridPanel("r", str(i), frozenset(), frozenset()) for i in range(3))
    subsets = {"t": of("CT", "brain", "state"), "u": of("MRI", "brain", "state")}
    catalog = {"elements": CATALOG["elements"], "subsets": subsets}
    kept = grid.bounded([Grid(target, panels) for target in "tu"])
    assert [len(g.panels) for g in kept] == [1, 1]
    assert "2 further combinations are not drawn" in grid.heading(
        kept[0], subsets["t"]["elements"], CATALOG["elements"]
    )
    grid.draw_grids(kept, catalog, tmp_path)
    assert "4 of 6 combinations not drawn" in capsys.readouterr().out
    assert {path.name for path in tmp_path.glob("*.svg")} == {"grid-t.svg", "grid-u.svg"}
