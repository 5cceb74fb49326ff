"""Combination rules: the relations, and the published tables as the oracle."""

import csv
from itertools import product
from pathlib import Path

import pytest

from matcg.combinations import Combination, combine
from matcg.config import Catalog, Rule, load, validate
from matcg.errors import ConfigError

REPO = Path(__file__).parents[2]
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


# --- The published tables ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paper() -> Catalog:
    """Return the subsets as the paper prints them."""
    with (PAPER / "subsets.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["kind"] == "classification"]
    return toy({r["subset"]: (r["modality"], r["area"], r["task_labels"].split()) for r in rows})


def yielded(name: str, catalog: Catalog) -> set[tuple[str, frozenset[str]]]:
    a_rule = load("rule", REPO / f"combinations/{name}.yaml")
    return {
        (c.target, frozenset(c.sources))
        for s in catalog.subsets
        for c in combine(a_rule, catalog, s)
    }


@pytest.mark.parametrize(
    ("name", "count"),
    [("fixed-modality", 85), ("fixed-area", 10), ("fixed-task", 46), ("modality-area", 617)],
)
def test_counts_over_the_classification_subsets(paper: Catalog, name: str, count: int) -> None:
    assert len(yielded(name, paper)) == count


def test_every_published_pair_is_found(paper: Catalog) -> None:
    with (PAPER / "table3.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 43
    for row in rows:
        name = row["fixed"] if row["fixed"] == "modality-area" else f"fixed-{row['fixed']}"
        # Where several subsets fit the printed words, the paper does not say which it took.
        pairs = product(row["source_1_subsets"].split(), row["source_2_subsets"].split())
        wanted = {(row["target_subset"], frozenset(p)) for p in pairs if p[0] != p[1]}
        assert wanted <= yielded(name, paper), f"row {row['row']}"


def test_every_published_triple_is_found(paper: Catalog) -> None:
    with (PAPER / "table10_three_sources.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 9
    for row in rows:
        three = frozenset((row["modality_from"], row["area_from"], row["task_from"]))
        assert (row["target_subset"], three) in yielded("three-source", paper)


def test_shared_task_labels_make_a_subset_related(paper: Catalog) -> None:
    for target, names in yielded("unrelated", paper):
        related = {n for t, found in yielded("all-related", paper) if t == target for n in found}
        assert not names & related
        assert len(names | related) == len(paper.subsets) - 1
