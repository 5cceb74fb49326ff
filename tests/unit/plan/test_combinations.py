"""Combination rules: the relations, and the published tables as the oracle."""

import csv
from fractions import Fraction
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from matcg.config.catalog import Catalog
from matcg.config.explain import validate
from matcg.config.library import load
from matcg.config.rule import Rule
from matcg.errors import ConfigError
from matcg.plan.combinations import Combination, combine

REPO = Path(__file__).parents[3]
PAPER = REPO / "tests/data/paper"


def toy(subsets: dict[str, tuple[str, str, object]]) -> Catalog:
    """Return a catalog of subsets given as modality, area, task."""
    rows = [
        {"id": name, "modality": m, "area": a, "task": t} for name, (m, a, t) in subsets.items()
    ]
    elements = ["modality", "area", "task"]
    data = {"name": "toy", "reader": "phantom", "elements": elements, "subsets": rows}
    return validate(Catalog, data, "toy.yaml")


WORLD = toy(
    {
        "target": ("CT", "lung", ["COVID", "State"]),
        "same-place": ("CT", "lung", "Level"),
        "covid": ("X-ray", "lung", "COVID"),
        "state": ("CT", "brain", ["Cancer", "State"]),
        "far": ("US", "breast", "Level"),
    }
)


def rule(*sources: dict[str, str], **more: object) -> Rule:
    return validate(Rule, {"name": "r", "sources": list(sources), **more}, "r.yaml")


def sources(a_rule: Rule, catalog: Catalog = WORLD, target: str = "target") -> list[tuple]:
    return [c.sources for c in combine(a_rule, catalog, catalog.subset(target))]


def test_a_source_has_a_task_that_is_among_its_labels() -> None:
    assert sources(rule({"task": "same"})) == [("covid",), ("state",)]


def test_other_shares_no_value() -> None:
    assert sources(rule({"task": "other"})) == [("far",), ("same-place",)]


def test_elements_taken_as_one_differ_when_any_does() -> None:
    found = sources(rule({"modality+area": "other"}))
    assert found == [("covid",), ("far",), ("state",)]


def test_the_target_is_never_a_source() -> None:
    assert all("target" not in s for s in sources(rule({}, {}, select="all")))


def test_each_takes_different_subsets_once() -> None:
    found = sources(rule({"task": "same"}, {"task": "same"}))
    assert found == [("covid", "state")]


def test_all_takes_every_match_together_without_the_excluded() -> None:
    related = rule({"modality": "same"}, {"area": "same"}, {"task": "same"}, select="all")
    assert sources(related) == [("covid", "same-place", "state")]
    without = rule(*related.sources, select="all", exclude=[{"modality": "same"}])
    assert sources(without) == [("covid",)]


def test_the_order_of_the_catalog_does_not_matter() -> None:
    turned = WORLD.model_copy(update={"subsets": WORLD.subsets[::-1]})
    for a_rule in (rule({}, {"task": "same"}), rule({}, select="all")):
        assert sources(a_rule) == sources(a_rule, turned)


def test_an_unknown_element_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"r.yaml: sources\[1\].taks: .*Did you mean 'task'"):
        sources(rule({"modality": "same"}, {"taks": "same"}))


def python_rule(folder: Path, body: str) -> Rule:
    (folder / "own.py").write_text(f"def pick(target, subsets):\n    return {body}\n")
    path = folder / "own.yaml"
    path.write_text("name: own\npython: own.py:pick\n")
    return load("rule", path)


def test_a_python_rule_has_the_same_contract(tmp_path: Path) -> None:
    own = python_rule(tmp_path, "[[s.id for s in subsets if 'Level' in s.values('task')]]")
    assert combine(own, WORLD, WORLD.subset("target")) == [
        Combination("target", "own", ("far", "same-place"))
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [("[['target']]", "returned the target"), ("[['fra']]", "Did you mean 'far'")],
)
def test_a_python_rule_is_checked(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sources(python_rule(tmp_path, body))


def test_no_source_is_of_another_block() -> None:
    apart = {"far": "mirror", "same-place": "mirror"}
    subsets = [s.model_copy(update={"block": apart.get(s.id)}) for s in WORLD.subsets]
    blocks = WORLD.model_copy(update={"subsets": tuple(subsets)})
    assert sources(rule({}, select="all"), blocks) == [("covid", "state")]
    (found,) = combine(rule({}, select="all"), blocks, blocks.subset("far"))
    assert found.sources == ("same-place",)


def test_sizes_and_kinds_bound_what_a_rule_may_take() -> None:
    subsets = [
        s.model_copy(update={"covid": {"train": 20}, "far": {"role": "ood"}}.get(s.id, {}))
        for s in WORLD.subsets
    ]
    sized = WORLD.model_copy(update={"subsets": tuple(subsets)})
    assert sources(rule({}, select="all", min_size=20), sized) == [("covid", "same-place", "state")]
    assert sources(rule({}, select="all", min_size=21), sized) == [("same-place", "state")]
    target = sized.subset("target")
    by_experiment = combine(rule({}, select="all", min_size=5), sized, target, 21)
    assert [c.sources for c in by_experiment] == [("same-place", "state")]
    other = [s.model_copy(update={"kind": "detection"} if s.id == "far" else {}) for s in subsets]
    mixed = WORLD.model_copy(update={"subsets": tuple(other)})
    assert sources(rule({"task": "other"}), mixed) == [("same-place",)]
    assert sources(rule({"task": "other"}, kinds=["detection"]), mixed) == [("far",)]
    both = rule({"task": "other"}, kinds=["classification", "detection"])
    assert sources(both, mixed) == [("far",), ("same-place",)]


def test_quotas_are_divided_among_what_a_pattern_matches() -> None:
    both = rule({"area": "same"}, {"area": "other"}, select="all", quotas=[1, 3])
    (found,) = combine(both, WORLD, WORLD.subset("target"))
    half, most = Fraction(1, 2), Fraction(3, 2)
    assert found.weights == {"covid": half, "same-place": half, "far": most, "state": most}
    each = rule({"area": "same"}, {"area": "other"}, quotas=[1, 3])
    assert combine(each, WORLD, WORLD.subset("target"))[0].weights == {"covid": 1, "far": 3}
    with pytest.raises(ConfigError, match="quotas: 1 for 2 patterns"):
        rule({}, {}, quotas=[1])


def test_a_quota_without_any_source_gives_no_combination() -> None:
    nothing = {"modality": "same", "area": "other", "task": "other"}
    assert sources(rule({"area": "same"}, nothing, select="all", quotas=[1, 1])) == []


def test_listed_combinations_bear_their_label_and_the_rule_they_exemplify() -> None:
    rows = [
        {"target": "target", "sources": ["state", "covid"], "label": "7", "rule": "fixed-task"},
        {"target": "far", "sources": ["state"]},
    ]
    listed = validate(Rule, {"name": "r", "listed": rows}, "r.yaml")
    assert combine(listed, WORLD, WORLD.subset("target")) == [
        Combination("target", "fixed-task", ("state", "covid"), label="7")
    ]
    assert combine(listed, WORLD, WORLD.subset("far")) == [Combination("far", "r", ("state",))]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"target": "fra", "sources": ["state"]}, r"listed\[0\]: .*'fra'.*Did you mean 'far'"),
        ({"target": "far", "sources": ["far"]}, "a source is the target"),
        ({"target": "far", "sources": ["state", "state"]}, "stands twice"),
    ],
)
def test_listed_combinations_are_checked(row: dict[str, object], message: str) -> None:
    listed = validate(Rule, {"name": "r", "listed": [row]}, "r.yaml")
    with pytest.raises(ConfigError, match=message):
        combine(listed, WORLD, WORLD.subset("far"))


def test_a_rule_may_include_the_target_only_when_it_says_so() -> None:
    assert sources(rule({"task": "same"}, select="all", target="included")) == [
        ("covid", "state", "target")
    ]
    assert sources(validate(Rule, {"name": "r", "target": "alone"}, "r.yaml")) == [("target",)]
    with pytest.raises(ConfigError, match="'included' needs `sources` with `select: all`"):
        rule({}, target="included")


def test_several_combinations_of_many_sources_have_names_of_their_own() -> None:
    many = toy({"t": ("a", "b", "c"), **{f"s{n}": ("d", f"e{n}", "f") for n in range(9)}})
    found = combine(rule(*[{"area": "other"}] * 7), many, many.subset("t"))
    assert len(found) == 36
    assert len({c.readable for c in found}) == 36
    (one,) = combine(rule({"area": "other"}, select="all"), many, many.subset("t"))
    assert one.readable == "9 subsets"


def test_a_fourth_element_is_matched_like_the_others() -> None:
    elements = ["modality", "area", "task", "population"]
    values = {
        "target": ("X-ray", "lung", "State", "adult"),
        "child": ("X-ray", "lung", "State", "child"),
        "ct": ("CT", "lung", "State", "adult"),
        "far": ("US", "skin", "Level", "any"),
        "old": ("US", "skin", "Level", "adult"),
    }
    rows = [{"id": n, **dict(zip(elements, v, strict=True))} for n, v in values.items()]
    data = {"name": "four", "reader": "phantom", "elements": elements, "subsets": rows}
    four = validate(Catalog, data, "four.yaml")
    place = {"modality+area+task": "same", "population": "other"}
    found = rule(place, {"modality": "other", "area": "same", "population": "same"})
    assert sources(found, four) == [("child", "ct")]
    unrelated = rule(dict.fromkeys(elements, "other"), select="all")
    assert sources(unrelated, four) == [("far",)]
    # A rule that does not name it leaves it open.
    assert sources(rule({"modality": "other", "area": "other"}), four) == [("far",), ("old",)]


# --- The published tables ------------------------------------------------------------------------


@cache
def paper() -> Catalog:
    """Return the subsets as the paper prints them."""
    with (PAPER / "subsets.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["kind"] == "classification"]
    return toy({r["subset"]: (r["modality"], r["area"], r["task_labels"].split()) for r in rows})


@cache
def yielded(name: str) -> set[tuple[str, frozenset[str]]]:
    a_rule = load("rule", REPO / f"combinations/{name}.yaml")
    return {
        (c.target, frozenset(c.sources))
        for s in paper().subsets
        for c in combine(a_rule, paper(), s)
    }


@pytest.mark.parametrize(
    ("name", "count"),
    [("fixed-modality", 85), ("fixed-area", 10), ("fixed-task", 46), ("modality-area", 617)],
)
def test_counts_over_the_classification_subsets(name: str, count: int) -> None:
    assert len(yielded(name)) == count


def test_the_shipped_catalog_says_what_the_paper_prints() -> None:
    shipped = load("catalog", REPO / "catalogs/medmat.yaml")
    own = {s.id: s.elements for s in shipped.subsets if s.kind == "classification"}
    assert own == {s.id: s.elements for s in paper().subsets}


def test_the_listed_rows_are_among_what_each_printed_row_may_mean() -> None:
    """The first subset declared `id` of those that fit, else the first; none twice in a row."""
    listed = {
        row.label: row for row in load("rule", REPO / "combinations/paper/table3.yaml").listed
    }
    with (PAPER / "table3.csv").open() as stream:
        rows = {row["row"]: row for row in csv.DictReader(stream)}
    with (PAPER / "subsets.csv").open() as stream:
        large = {row["subset"] for row in csv.DictReader(stream) if row["role"] == "id"}
    assert listed.keys() == rows.keys()
    for label, row in rows.items():
        mine = listed[label]
        fixed = row["fixed"]
        assert mine.rule == (fixed if fixed == "modality-area" else f"fixed-{fixed}")
        assert mine.target == row["target_subset"]
        for source, fits in zip(
            mine.sources, (row["source_1_subsets"], row["source_2_subsets"]), strict=True
        ):
            candidates = fits.split()
            first = next((c for c in candidates if c in large), candidates[0])
            # Row 17 would else be row 16 once more.
            assert source == ("04" if (label, first) == ("17", "03") else first), label
        assert (mine.target, frozenset(mine.sources)) in yielded(mine.rule)
    sets = [(row.target, frozenset(row.sources)) for row in listed.values()]
    assert len(set(sets)) == 43


def test_the_listed_triples_are_the_printed_ones() -> None:
    with (PAPER / "table10_three_sources.csv").open() as stream:
        printed = [
            (r["target_subset"], (r["modality_from"], r["area_from"], r["task_from"]))
            for r in csv.DictReader(stream)
        ]
    listed = load("rule", REPO / "combinations/paper/table10.yaml").listed
    assert [(row.target, row.sources) for row in listed] == printed
    assert {row.rule for row in listed} == {"three-source"}


def test_every_published_pair_is_found() -> None:
    with (PAPER / "table3.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 43
    for row in rows:
        name = row["fixed"] if row["fixed"] == "modality-area" else f"fixed-{row['fixed']}"
        # Where several subsets fit the printed words, the paper does not say which it took.
        pairs = product(row["source_1_subsets"].split(), row["source_2_subsets"].split())
        wanted = {(row["target_subset"], frozenset(p)) for p in pairs if p[0] != p[1]}
        assert wanted <= yielded(name), f"row {row['row']}"


def test_every_published_triple_is_found() -> None:
    with (PAPER / "table10_three_sources.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 9
    for row in rows:
        three = frozenset((row["modality_from"], row["area_from"], row["task_from"]))
        assert (row["target_subset"], three) in yielded("three-source")


def test_shared_task_labels_make_a_subset_related() -> None:
    for target, names in yielded("unrelated"):
        related = {n for t, found in yielded("all-related") if t == target for n in found}
        assert not names & related
        assert len(names | related) == len(paper().subsets) - 1
