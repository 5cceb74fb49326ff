"""A design by coverage: which sources give how much to each set of elements."""

from collections import defaultdict
from itertools import product
from pathlib import Path

import pytest

from matcg.config.catalog import Catalog
from matcg.config.design import arms_of
from matcg.config.experiment import Experiment
from matcg.config.explain import validate
from matcg.config.library import load
from matcg.config.project import Project
from matcg.errors import ConfigError
from matcg.plan.enumerate import Plan, make_plan
from planned import BASE, project, world

ROOT = Path(__file__).parents[3]
TARGET = "ct-brain-state"


def grid(elements: int, values: int = 2) -> Catalog:
    """Return a catalog with a subset for each combination of values of so many elements."""
    names = ["modality", "area", "task", "population", "device", "view", "age"][:elements]
    rows = [
        {"id": "".join(map(str, each)), **dict(zip(names, map(str, each), strict=True))}
        for each in product(range(values), repeat=elements)
    ]
    data = {"name": "world", "reader": "phantom", "elements": names, "subsets": rows}
    return validate(Catalog, data, "world.yaml")


def designed(catalog: Catalog, **changes: object) -> Project:
    """Return a project whose experiment covers every set of the catalog's elements."""
    given = {**BASE, "catalog": catalog.name, "rules": [], "arms": {}, "seeds": [0]}
    given |= {"design": "coverage", **changes}
    experiment = validate(Experiment, given, "e.yaml")
    arms = arms_of(experiment, catalog)
    return Project(
        **{
            **vars(project()),
            "experiments": (experiment.model_copy(update={"arms": arms}),),
            "catalogs": {catalog.name: catalog},
        }
    )


def parts(plan: Plan, target: str) -> dict[str, dict[str, int]]:
    """Return what each arm of a target is trained on."""
    mixes = {mix.id: dict(mix.parts) for mix in plan.mixes}
    return {row.arm: mixes[row.mix] for row in plan.rows if row.target == target}


def shared(catalog: Catalog, name: str, target: str) -> frozenset[str]:
    source, own = catalog.subset(name), catalog.subset(target)
    return frozenset(each for each in catalog.elements if source.values(each) & own.values(each))


@pytest.mark.parametrize("samples", [60, 61])
def test_every_set_has_its_pools_and_the_rest_is_unrelated(samples: int) -> None:
    found = parts(make_plan(designed(world(), samples=samples)), TARGET)
    assert found.keys() == {
        *("control", "modality", "area", "task"),
        *("modality+area", "modality+task", "area+task", "modality+area+task"),
    }
    for arm, given in found.items():
        dose: dict[frozenset[str], int] = defaultdict(int)
        for name, n in given.items():
            dose[shared(world(), name, TARGET)] += n
        covered = [] if arm == "control" else arm.split("+")
        unrelated = samples - 20 * len(covered)
        assert dose == {frozenset({e}): 20 for e in covered} | (
            {frozenset(): unrelated} if unrelated else {}
        )


@pytest.mark.parametrize("sharing", ["exact", "up-to"])
def test_the_unrelated_of_a_larger_set_are_among_those_of_a_smaller(sharing: str) -> None:
    """Samples of a source come in one order, so what is fewer is the beginning of what is more."""
    found = parts(make_plan(designed(world(), samples=61, sharing=sharing)), TARGET)
    sets = {frozenset() if arm == "control" else frozenset(arm.split("+")): arm for arm in found}
    for smaller, larger in product(sets, sets):
        for name in found[sets[larger]] if smaller <= larger else ():
            if not shared(world(), name, TARGET):
                assert found[sets[larger]][name] <= found[sets[smaller]][name]


def test_pools_are_the_same_in_every_set() -> None:
    found = parts(make_plan(designed(world(), samples=61)), TARGET)
    for arm, given in found.items():
        pooled = {name: n for name, n in given.items() if shared(world(), name, TARGET)}
        for name, n in pooled.items():
            (element,) = shared(world(), name, TARGET)
            assert all(o[name] == n for a, o in found.items() if element in a.split("+"))
        assert arm == "control" or max(pooled.values()) - min(pooled.values()) <= 1


def test_nothing_covered_is_the_control_of_unrelated_data() -> None:
    (mix,) = {
        row.mix for row in make_plan(project()).rows
        if row.arm == "control" and row.target == TARGET
    }  # fmt: skip
    plan = make_plan(designed(world()))
    assert {r.mix for r in plan.rows if r.arm == "control" and r.target == TARGET} == {mix}


def test_a_set_without_a_pool_is_not_run_and_named() -> None:
    catalog = world()
    alone = {s.id for s in catalog.subsets if shared(catalog, s.id, TARGET) == {"area"}}
    rest = tuple(each for each in catalog.subsets if each.id not in alone)
    plan = make_plan(designed(catalog.model_copy(update={"subsets": rest}), targets=[TARGET]))
    assert {*parts(plan, TARGET)} == {"control", "modality", "task", "modality+task"}
    assert {(each.arm, each.reason) for each in plan.excluded} == {
        (arm, "no source shares area and none of modality, task")
        for arm in ("area", "modality+area", "area+task", "modality+area+task")
    }


def test_sources_up_to_what_is_covered() -> None:
    """Sources that share two elements serve a set of both, and give to either's pool."""
    catalog = world()
    alone = {s.id for s in catalog.subsets if shared(catalog, s.id, TARGET) == {"area"}}
    rest = tuple(each for each in catalog.subsets if each.id not in alone)
    few = designed(catalog.model_copy(update={"subsets": rest}), targets=[TARGET], sharing="up-to")
    plan = make_plan(few)
    found = parts(plan, TARGET)
    assert found.keys() == {
        *("control", "modality", "task", "modality+area", "modality+task", "area+task"),
        "modality+area+task",
    }
    for arm, given in found.items():
        covered = set() if arm == "control" else {*arm.split("+")}
        assert all(shared(catalog, name, TARGET) <= covered for name in given)
        unrelated = [n for name, n in given.items() if not shared(catalog, name, TARGET)]
        assert sum(unrelated) == 60 - 20 * len(covered)
    assert {(e.arm, e.reason) for e in plan.excluded} == {
        ("area", "no source shares area and none of modality, task")
    }


def test_four_elements_are_sixteen_sets() -> None:
    catalog = grid(4)
    plan = make_plan(designed(catalog, targets=["0000"], samples=42))
    found = parts(plan, "0000")
    assert len(found) == 16
    every = found["modality+area+task+population"]
    assert {shared(catalog, name, "0000"): n for name, n in every.items()} == {
        **{frozenset({element}): 10 for element in catalog.elements},
        frozenset(): 2,
    }


def test_five_targets_of_med_mat_meet_each_element_alone() -> None:
    catalog = load("catalog", ROOT / "catalogs/medmat.yaml")
    kinds = {s.id: s.kind for s in catalog.subsets}
    able = defaultdict(set)
    for target in (name for name, kind in kinds.items() if kind == "classification"):
        for name in kinds:
            held = shared(catalog, name, target)
            if name != target and kinds[name] == "classification" and len(held) == 1:
                able[target] |= held
    whole = {target for target, found in able.items() if len(found) == 3}
    assert whole == {"05", "06", "29", "32", "37"}
    plan = make_plan(designed(catalog, targets=[{"kind": "classification"}], samples=600))
    assert {row.target for row in plan.rows if row.arm == "modality+area+task"} == whole


def test_too_many_elements_are_refused_with_the_number_of_runs() -> None:
    with pytest.raises(ConfigError, match="has 7 elements, which are 256 runs for every target"):
        designed(grid(7), targets=["0000000"], seeds=[0, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {"a": {"covers": ["tsk"]}}}, "arms.a.covers: .*'tsk'.*Did you mean 'task'"),
        ({"arms": {"a": {"cover": ["task"]}}}, "arms.a.cover: unknown key.*Did you mean 'covers'"),
        ({"design": "coverag"}, "design: 'coverag' must be .*Did you mean 'coverage'"),
        ({"arms": {}, "design": None}, "arms: is missing; .*or `design: coverage`"),
        ({"design": None, "arms": {"baseline": {}}, "sharing": "up-to"}, "sharing: says nothing"),
        ({"arms": {"task": {"covers": ["task"]}}}, "arms.task: the design has an arm of this name"),
        ({"samples": 8}, "too few for each of the"),
        ({"samples": 600}, "asks .* keeps at most 50"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(designed(world(), **changes))
