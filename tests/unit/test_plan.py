"""The plan: counts, sharing, identity, and that no target's data is trained on."""

from dataclasses import replace

import pytest
from pydantic import BaseModel

from matcg.config import Backbone, Catalog, Experiment, Model, Project, Rule, validate
from matcg.errors import ConfigError, MatcgError
from matcg.plan import Plan, digest, make_mix, make_plan, render, spread

MODALITIES, AREAS, TASKS = (
    ("ct", "mri", "us"),
    ("brain", "lung", "knee"),
    ("state", "level", "side"),
)
RULES = {
    "pair": {"sources": [{"modality": "same", "area": "other", "task": "same"},
                         {"modality": "other", "area": "same", "task": "same"}]},
    "related": {"sources": [{"modality": "same"}, {"area": "same"}, {"task": "same"}],
                "select": "all"},
    "unrelated": {"sources": [{"modality": "other", "area": "other", "task": "other"}],
                  "select": "all"},
}  # fmt: skip
BASE = {
    "name": "toy",
    "catalog": "world",
    "targets": ["ct-brain-state", "us-knee-side"],
    "rules": ["pair", "related"],
    "choose": {"n": 2, "seed": 1},
    "samples": 60,
    "arms": {
        "baseline": {},
        "cg": {},
        "control": {"rule": "unrelated"},
        "floor": {"rule": "related", "labels": "shuffled"},
        "ceiling": {"rule": "related", "target": 20},
    },
    "backbones": ["tiny"],
    "seeds": [0, 1],
}


def world() -> Catalog:
    rows = [
        {"id": f"{m}-{a}-{t}", "modality": m, "area": a, "task": t}
        for m in MODALITIES for a in AREAS for t in TASKS
    ]  # fmt: skip
    data = {
        "name": "world",
        "reader": "phantom",
        "elements": ["modality", "area", "task"],
        "split": {"train": 50, "test": 10},
        "subsets": rows,
    }
    return validate(Catalog, data, "world.yaml")


def backbone(name: str = "tiny", **changes: object) -> Backbone:
    full = {"learning_rate": 0.001, "epochs": 2, "batch_size": 8}
    data = {
        "name": name,
        "weights": "org/model",
        "revision": "1",
        "image": {"size": 8},
        "prompt": "{question}",
        "recipes": {"full": full, "slow": {**full, "learning_rate": 0.0001}},
        **changes,
    }
    return validate(Backbone, data, f"{name}.yaml")


def project(*experiments: dict[str, object], **changes: object) -> Project:
    given = experiments or ({},)
    rules = {n: validate(Rule, {"name": n, **r}, f"{n}.yaml") for n, r in RULES.items()}
    parts = {
        "experiments": tuple(validate(Experiment, {**BASE, **e}, "e.yaml") for e in given),
        "catalogs": {"world": world()},
        "rules": rules,
        "backbones": {"tiny": backbone(), "other": backbone("other")},
        **changes,
    }
    return Project(config=Model.model_construct(), roots={}, **parts)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(project())


def test_counts(plan: Plan) -> None:
    # Per target: pair twice of 4, related once, control, floor, ceiling; two seeds, one baseline.
    assert len(plan.mixes) == 2 * (2 + 1 + 3)
    assert len(plan.runs) == 2 * 12
    assert len(plan.rows) == 2 * (6 * 2 + 1)
    assert [len(e.runs) for e in plan.evaluations] == [13, 13]
    assert len(set(plan.rows)) == len(plan.rows)


def test_shared_arms_stand_once_a_target(plan: Plan) -> None:
    for arm in ("control", "floor", "ceiling"):
        rows = [r for r in plan.rows if r.arm == arm and r.seed == 0]
        assert [(r.target, r.rule, r.combination) for r in rows] == [
            ("ct-brain-state", "", ""),
            ("us-knee-side", "", ""),
        ]


def test_every_mix_has_the_same_size_and_every_run_an_answer(plan: Plan) -> None:
    assert {mix.total for mix in plan.mixes} == {60}
    answered = {(e.backbone, run) for e in plan.evaluations for run in e.runs}
    assert {(run.backbone, run.key) for run in plan.runs} <= answered


def test_no_target_is_trained_on_but_in_the_ceiling(plan: Plan) -> None:
    parts = {mix.id: dict(mix.parts) for mix in plan.mixes}
    for row in plan.rows:
        held = row.mix and parts[row.mix].get(row.target, 0)
        assert held == (20 if row.arm == "ceiling" else row.mix and 0), row
        assert (row.target in plan.forbidden.get(row.mix, ())) == bool(row.mix and not held)


def test_control_shares_no_element_with_its_target(plan: Plan) -> None:
    parts = {mix.id: dict(mix.parts) for mix in plan.mixes}
    for row in plan.rows:
        if row.arm == "control":
            for name in parts[row.mix]:
                assert not set(name.split("-")) & set(row.target.split("-"))


def test_the_order_of_anything_changes_nothing(plan: Plan) -> None:
    catalog = world()
    turned = {
        "targets": BASE["targets"][::-1],  # type: ignore[index]
        "rules": BASE["rules"][::-1],  # type: ignore[index]
        "seeds": [1, 0],
        "arms": dict(reversed(BASE["arms"].items())),  # type: ignore[attr-defined]
    }
    other = project(
        turned, catalogs={"world": catalog.model_copy(update={"subsets": catalog.subsets[::-1]})}
    )
    assert make_plan(other) == plan


def test_equal_mixes_of_two_experiments_are_one(plan: Plan) -> None:
    both = make_plan(project({}, {"name": "again", "rules": ["pair"]}))
    assert both.mixes == plan.mixes
    assert both.runs == plan.runs
    assert len(both.rows) > len(plan.rows)


def test_another_backbone_shares_the_mixes(plan: Plan) -> None:
    both = make_plan(project({"backbones": ["other", "tiny"]}))
    assert both.mixes == plan.mixes
    assert len(both.runs) == 2 * len(plan.runs)


def test_more_choices_keep_the_first() -> None:
    few = {r.mix for r in make_plan(project({"choose": {"n": 1, "seed": 1}})).rows}
    many = {r.mix for r in make_plan(project({"choose": {"n": 3, "seed": 1}})).rows}
    assert few < many


def test_what_is_not_chosen_is_listed_with_its_reason(plan: Plan) -> None:
    assert {(e.target, e.rule, e.reason) for e in plan.excluded} == {
        (target, "pair", "2 of 4 combinations not chosen (choose: n 2, seed 1)")
        for target in ("ct-brain-state", "us-knee-side")
    }
    assert not make_plan(project({"choose": {"n": None}})).excluded


def test_patterns_choose_targets() -> None:
    found = make_plan(project({"targets": [{"modality": "ct", "task": ["state", "side"]}]}))
    assert {row.target for row in found.rows} == {
        f"ct-{area}-{task}" for area in AREAS for task in ("state", "side")
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": ["ct-brain-stat"]}, r"targets\[0\].*no subset.*Did you mean 'ct-brain-state'"),
        ({"targets": [{"modalty": "ct"}]}, r"targets\[0\].modalty.*Did you mean 'modality'"),
        ({"targets": [{"area": "brian"}]}, r"targets\[0\].area.*Did you mean 'brain'"),
        ({"samples": 200, "arms": {"cg": {}}}, "asks 100 samples of .* at most 50"),
        ({"samples": 5, "rules": ["related"], "arms": {"cg": {}}}, "fewer than the 18 sources"),
        ({"recipe": "fulll"}, "recipe: backbone 'tiny' has no recipe.*Did you mean 'full'"),
    ],
)
def test_errors_say_where_and_what_to_do(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"e.yaml: .*{message}"):
        make_plan(project(change))


def test_a_rule_without_any_match_is_an_error_and_with_some_a_note() -> None:
    catalog = world()
    lonely = {"id": "x", "elements": {"modality": ("pet",), "area": ("hip",), "task": ("y",)}}
    subsets = (*catalog.subsets, type(catalog.subsets[0])(**lonely))
    grown = {"world": catalog.model_copy(update={"subsets": subsets})}
    arms = {"cg": {}}
    with pytest.raises(ConfigError, match=r"rule 'pair' .* for any of the 1 targets"):
        make_plan(project({"targets": ["x"], "arms": arms}, catalogs=grown))
    both = make_plan(project({"targets": ["x", "ct-brain-state"], "arms": arms}, catalogs=grown))
    reasons = {e.reason for e in both.excluded if e.target == "x"}
    assert reasons == {f"rule '{name}' matches no combination" for name in ("pair", "related")}
    assert not any(row.target == "x" for row in both.rows)


def test_a_target_in_training_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from matcg import plan as module

    leaked = "ct-brain-state"
    monkeypatch.setattr(
        module, "combine", lambda *_: [module.Combination(leaked, "pair", (leaked,))]
    )
    with pytest.raises(MatcgError, match="train on the target's own data"):
        make_plan(project({"targets": [leaked], "samples": 50, "arms": {"cg": {}}}))


def test_the_budget_is_spread_to_the_last_sample() -> None:
    assert spread(11, ["c", "a", "b"]) == {"a": 4, "b": 4, "c": 3}


def test_a_slug_says_what_it_holds_and_stays_short() -> None:
    mix = make_mix("world", {"b": 1, "a": 2}, 0)
    assert mix.id.startswith("a.2+b.1-s0-")
    assert make_mix("world", {"b": 1, "a": 2}, 0, "shuffled").id != mix.id
    long = make_mix("world", {f"subset-number-{n}": 5 for n in range(36)}, 0)
    assert long.id.startswith("36subsets.180-s0-")


def identities(plan: Plan, within: Project) -> dict[str, str]:
    """Return for each run what decides its result."""
    return {
        f"{run.backbone}/{run.key}": within.backbones[run.backbone].identity()
        + within.backbones[run.backbone].recipes[run.recipe].canonical()
        for run in plan.runs
    }


def with_backbone(**changes: object) -> Project:
    return project({}, {"name": "slow", "recipe": "slow"}, backbones={"tiny": backbone(**changes)})


def test_execution_settings_are_no_part_of_identity() -> None:
    before = with_backbone()
    moved = with_backbone(resources={"gpu": 4, "threads": 8, "runtime": 5}, description="moved")
    assert identities(make_plan(before), before) == identities(make_plan(moved), moved)
    tables = [render(make_plan(p), p) for p in (before, moved)]
    assert digest(tables[0]) == digest(tables[1])


def test_a_learning_rate_changes_its_recipe_only() -> None:
    before = with_backbone()
    recipes: dict[str, BaseModel] = dict(before.backbones["tiny"].recipes)
    recipes["slow"] = recipes["slow"].model_copy(update={"learning_rate": 0.5})
    after = replace(
        before,
        backbones={"tiny": before.backbones["tiny"].model_copy(update={"recipes": recipes})},
    )
    old, new = (identities(make_plan(p), p) for p in (before, after))
    assert old.keys() == new.keys()
    assert {key.split("/")[1] for key in old if old[key] != new[key]} == {"slow"}


def test_tables_have_a_row_a_record(plan: Plan) -> None:
    tables = render(plan, project())
    assert len(tables["experiments.tsv"].splitlines()) == len(plan.rows) + 1
    assert len(tables["runs.tsv"].splitlines()) == len(plan.runs) + 1
    assert "| finetune | 24 |" in tables["summary.md"]
    assert "24 distinct runs and 26 evaluations" in tables["summary.md"]
