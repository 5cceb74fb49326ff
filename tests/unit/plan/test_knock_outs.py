"""Knock-outs and parts: what takes the place of sources that share an element."""

from collections import Counter
from pathlib import Path

import pytest

from matcg.config.catalog import Catalog
from matcg.config.explain import validate
from matcg.config.project import load_project
from matcg.config.rule import Rule
from matcg.errors import ConfigError
from matcg.plan.enumerate import Plan, make_plan
from matcg.plan.knock_outs import Surroundings
from matcg.plan.records import Reduced, Row
from matcg.plan.tables import plan_digest
from matcg.plan.targets import Scope
from planned import RULES, project, world

ROOT = Path(__file__).parents[3]
ARMS = {
    "cg": {},
    "control": {"rule": "unrelated"},
    "without": {"like": "cg", "knock_out": "each"},
    "part-without": {"like": "cg", "parts": "each"},
}
TARGET = "ct-brain-state"


def planned(rule: str = "pair", arms: dict[str, object] | None = None, **more: object) -> Plan:
    changes = {"catalogs": more.pop("catalogs")} if "catalogs" in more else {}
    if "rules_" in more:
        changes["rules"] = more.pop("rules_")
    asked = {"targets": [TARGET], "rules": [rule], "choose": {"n": 1}, "seeds": [0]} | more
    return make_plan(project({"arms": arms or ARMS, **asked}, **changes))  # type: ignore[dict-item]


def parts_of(plan: Plan, arm: str) -> dict[str, int]:
    """Return what an arm's one training set holds."""
    (name,) = {row.mix for row in plan.rows if row.arm == arm}
    return next(dict(mix.parts) for mix in plan.mixes if mix.id == name)


def record(plan: Plan, arm: str) -> Reduced:
    (found,) = (each for each in plan.reduced if each.arm == arm)
    return found


def relations(parts: dict[str, int], target: str = TARGET) -> Counter[tuple[bool, ...]]:
    """Return how many samples stand in which relation to the target, element by element."""
    found: Counter[tuple[bool, ...]] = Counter()
    for name, n in parts.items():
        found[tuple(a == b for a, b in zip(name.split("-"), target.split("-"), strict=True))] += n
    return found


def test_each_source_that_shares_the_element_is_exchanged_and_the_rest_stays() -> None:
    plan = planned()
    cg = parts_of(plan, "cg")
    assert relations(cg) == {(True, False, True): 30, (False, True, True): 30}
    without = parts_of(plan, "without-modality")
    assert relations(without) == {(False, False, True): 30, (False, True, True): 30}
    assert len(without.keys() & cg.keys()) == 1
    assert relations(parts_of(plan, "without-area")) == {
        (True, False, True): 30,
        (False, False, True): 30,
    }
    assert relations(parts_of(plan, "without-task")) == {
        (True, False, False): 30,
        (False, True, False): 30,
    }
    assert record(plan, "without-task").shared == "modality area task"


def test_rows_are_named_after_the_combination_that_lost_the_element() -> None:
    plan = planned()
    (cg,) = (row for row in plan.rows if row.arm == "cg")
    found = [row for row in plan.rows if row.arm.startswith("without-")]
    assert {(row.rule, row.combination) for row in found} == {(cg.rule, cg.combination)}
    assert len({row.run for row in found}) == 3


def test_a_rule_that_takes_all_takes_all_in_place() -> None:
    plan = planned("related", samples=54)
    cg, without = parts_of(plan, "cg"), parts_of(plan, "without-modality")
    assert sum(cg.values()) == sum(without.values()) == 54
    dose = relations(cg)
    assert relations(without) == {
        (False, True, True): dose[False, True, True] + dose[True, True, True],
        (False, True, False): dose[False, True, False] + dose[True, True, False],
        (False, False, True): dose[False, False, True] + dose[True, False, True],
        (False, False, False): dose[True, False, False],
    }
    assert len(without) == 4 + 4 + 4 + 8 - 2  # those of other modality that share area and task: 2


def test_parts_are_what_lacks_an_element_at_full_size() -> None:
    plan = planned()
    cg = parts_of(plan, "cg")
    (ct,) = (name for name in cg if name.startswith("ct"))
    (brain,) = (name for name in cg if "brain" in name)
    assert parts_of(plan, "part-without-area") == {ct: 60}
    assert parts_of(plan, "part-without-modality") == {brain: 60}
    assert not [row for row in plan.rows if row.arm == "part-without-task"]
    (mix,) = (mix for mix in plan.mixes if mix.parts == ((ct, 60),))
    assert mix.repeat, "of a subset that has 50"
    assert not any(mix.repeat for mix in plan.mixes if dict(mix.parts) == cg)
    assert record(plan, "part-without-area").repeated == "60"
    assert record(plan, "without-area").repeated == ""


def test_parts_of_all_related_are_without_each_element() -> None:
    plan = planned("related", samples=54)
    for place, element in enumerate(("modality", "area", "task")):
        part = parts_of(plan, f"part-without-{element}")
        assert sum(part.values()) == 54
        assert not any(relation[place] for relation in relations(part))
        # Nine subsets have the element, and one of them is the target.
        assert len(part) == len(parts_of(plan, "cg")) - 8


def without(*names: str) -> dict[str, Catalog]:
    """Return the world without some subsets."""
    data = world().model_dump(exclude_unset=True)
    data["subsets"] = [each for each in data["subsets"] if each["id"] not in names]
    return {"world": validate(Catalog, data, "world.yaml")}


def test_what_cannot_be_exchanged_alike_is_filled_up_and_said() -> None:
    gone = [f"{m}-{a}-state" for m in ("mri", "us") for a in ("lung", "knee")]
    plan = planned(catalogs=without(*gone))
    found = parts_of(plan, "without-modality")
    assert relations(found) == {(False, False, False): 30, (False, True, True): 30}
    note = record(plan, "without-modality").note
    assert note.startswith("in place of ct-")
    assert note.endswith("-state unrelated data")
    said = {each.arm: each.reason for each in plan.excluded}
    assert note in said["without-modality"]
    assert record(plan, "without-task").note == ""


def test_the_pool_of_the_task_alone_comes_before_unrelated_data() -> None:
    """A source that shares all three has no partner that shares area and task."""
    data = world().model_dump(exclude_unset=True)
    gone = [
        each["id"]
        for each in data["subsets"]
        if each["id"] in ("mri-brain-state", "us-brain-state")
    ]
    data["subsets"] = [each for each in data["subsets"] if each["id"] not in gone]
    twin = {"id": "twin", "elements": {"modality": ("ct",), "area": ("brain",), "task": ("state",)}}
    catalog = validate(Catalog, {**data, "subsets": [*data["subsets"], twin]}, "world.yaml")
    rule = {"name": "listed", "listed": [{"target": TARGET, "sources": ["twin", "us-lung-level"]}]}
    rules = {"listed": validate(Rule, rule, "l.yaml"), **_rules()}
    plan = planned("listed", catalogs={"world": catalog}, rules_=rules)
    found = parts_of(plan, "without-modality")
    assert found["us-lung-level"] == 30
    assert {name for name in found if name != "us-lung-level"} == {
        f"{m}-{a}-state" for m in ("mri", "us") for a in ("lung", "knee")
    }
    assert record(plan, "without-modality").note == "in place of twin all that share task alone"


def _rules() -> dict[str, Rule]:
    return {n: validate(Rule, {"name": n, **r}, f"{n}.yaml") for n, r in RULES.items()}


def test_listed_and_python_rules_have_knock_outs_too(tmp_path: Path) -> None:
    sources = ["ct-lung-state", "us-brain-state"]
    (tmp_path / "own.py").write_text(f"def choose(target, subsets):\n    return [{sources}]\n")
    listed = {"name": "own", "listed": [{"target": TARGET, "sources": sources, "rule": "other"}]}
    python = {"name": "own", "python": f"{tmp_path}/own.py:choose"}
    found = []
    for each in (listed, python):
        plan = planned("own", rules_={"own": validate(Rule, each, "o.yaml"), **_rules()})
        found.append(
            {arm: parts_of(plan, f"without-{arm}") for arm in ("modality", "area", "task")}
        )
    assert found[0] == found[1]
    assert found[0]["modality"].keys() & set(sources) == {"us-brain-state"}


def test_a_combination_of_one_element_is_not_testable_and_listed() -> None:
    rule = {"name": "task", "sources": [{"modality": "other", "area": "other", "task": "same"}]}
    plan = planned("task", samples=40, rules_={"task": validate(Rule, rule, "t.yaml"), **_rules()})
    assert {each.kind for each in plan.reduced} == {"none"}
    assert {row.arm for row in plan.rows} == {"cg", "control"}
    reasons = {each.arm: each.reason for each in plan.excluded if "not testable" in each.reason}
    assert reasons.keys() == {"without", "part-without"}
    assert "shares task alone with the target" in reasons["without"]


def test_one_element_can_be_named_and_draws_exchange_others() -> None:
    arms = {"cg": {}, "no": {"like": "cg", "knock_out": "modality", "draws": 3}}
    plan = planned(arms=arms, samples=40)
    assert {each.arm for each in plan.reduced} == {"no-modality"}
    rows = sorted((row for row in plan.rows if row.arm == "no-modality"), key=lambda r: r.draw)
    mixes = [next(dict(m.parts) for m in plan.mixes if m.id == row.mix) for row in rows]
    assert len({frozenset(each) for each in mixes}) == 3


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ({"without": {"like": "cg", "knock_out": "modalty"}}, "Did you mean 'modality'"),
        ({"control": {"like": "cg", "knock_out": "each"}}, "choose another name"),
        (
            {"w": {"like": "cg", "knock_out": "each", "parts": "each"}},
            "arms.w.knock_out: leave it out",
        ),
        ({"w": {"like": "cg", "knock_out": "each", "labels": "shuffled"}}, "arms.w.labels: leave"),
        (
            {"w": {"like": "cg", "parts": "each"}, "w-area": {"like": "cg"}},
            "makes one of this name",
        ),
    ],
)
def test_what_an_arm_without_an_element_cannot_be_is_refused(
    arms: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(arms={"cg": {}, **arms})


def test_no_other_arm_and_no_other_plan_is_changed() -> None:
    bare = {name: ARMS[name] for name in ("cg", "control")}
    without, plan = planned(arms=bare), planned()
    kept: list[Row] = [row for row in plan.rows if row.arm in bare]
    assert kept == list(without.rows)
    assert set(without.runs) <= set(plan.runs)
    assert plan_digest(plan) != plan_digest(without)


def test_pools_of_med_mat_are_those_that_are_said() -> None:
    """Of 37 targets 34 have data of the task alone, five data of each element alone, three none."""
    given = load_project({"experiments": ["every-combination"]}, ROOT, {})
    (experiment,) = given.experiments
    scope = Scope(experiment, given.catalogs["medmat"], given.rules)
    alone = {}
    for target in scope.targets():
        pools = Surroundings.of(scope, target, "fixed-task").pools
        alone[target] = {
            e for e in scope.catalog.elements if (frozenset({e}), "classification") in pools
        }
    assert len(alone) == 37
    assert sum("task" in found for found in alone.values()) == 34
    assert {t for t, found in alone.items() if len(found) == 3} == {"05", "06", "29", "32", "37"}
    assert {t for t, found in alone.items() if not found} == {"18", "20", "33"}


def test_the_order_of_subsets_changes_nothing() -> None:
    data = world().model_dump(exclude_unset=True)
    data["subsets"] = list(reversed(data["subsets"]))
    turned = {"world": validate(Catalog, data, "world.yaml")}
    assert planned(catalogs=turned).rows == planned().rows
