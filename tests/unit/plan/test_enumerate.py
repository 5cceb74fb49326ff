"""The plan: counts, sharing, identity, and that no target's data is trained on."""

import json
from collections import Counter
from dataclasses import asdict, replace
from fractions import Fraction

import pytest
from pydantic import BaseModel

from matcg.config.catalog import Catalog
from matcg.config.explain import validate
from matcg.config.project import Project
from matcg.config.rule import Rule
from matcg.config.workflow import Config
from matcg.errors import ConfigError, MatcgError
from matcg.plan import chosen
from matcg.plan.combinations import Combination
from matcg.plan.enumerate import Names, Plan, make_plan
from matcg.plan.mixes import planned_mix, spread
from matcg.plan.places import Places
from matcg.plan.records import Mix
from matcg.plan.tables import plan_digest, render_tables
from planned import AREAS, BASE, PROTOCOLS, backbone, project, world


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(project())


def test_counts(plan: Plan) -> None:
    # Per target: pair twice of 4, related once, control, floor, ceiling; two seeds, one baseline.
    assert len(plan.mixes) == 2 * (2 + 1 + 3)
    assert len(plan.runs) == 2 * 12
    assert len(plan.rows) == 2 * (6 * 2 + 1)
    assert Counter(e.target for e in plan.evaluations) == {"ct-brain-state": 13, "us-knee-side": 13}
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
    answered = {(e.backbone, e.asked) for e in plan.evaluations}
    assert {(run.backbone, run.key) for run in plan.runs} <= answered


def test_no_target_is_trained_on_but_in_the_ceiling(plan: Plan) -> None:
    mixes = {mix.id: mix for mix in plan.mixes}
    for row in plan.rows:
        if not row.mix:
            continue
        held = dict(mixes[row.mix].parts).get(row.target, 0)
        assert held == (20 if row.arm == "ceiling" else 0), row
        assert (row.target in plan.forbidden[mixes[row.mix].name]) == (not held)


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


def test_another_backbone_shares_the_mixes_and_measures_them_too(plan: Plan) -> None:
    both = make_plan(project({"backbones": ["other", "tiny"]}))
    assert [mix.id for mix in both.mixes] == [mix.id for mix in plan.mixes]
    assert {len(mix.measured) for mix in both.mixes} == {2}
    assert not {mix.name for mix in both.mixes} & {mix.name for mix in plan.mixes}
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


def asking() -> dict[str, Catalog]:
    """Return the catalog with subsets of one task that ask for the area itself."""
    subsets = [
        each.model_copy(update={"asks": "area"}) if each.id.endswith("side") else each
        for each in world().subsets
    ]
    return {"world": world().model_copy(update={"subsets": tuple(subsets)})}


def test_what_asks_for_an_element_itself_is_a_target_only_where_it_is_asked() -> None:
    def targets(*given: object) -> tuple[set[str], set[str]]:
        found = make_plan(project({"targets": list(given)}, catalogs=asking()))
        left = {each.target for each in found.excluded if each.reason.startswith("asks for")}
        return {row.target for row in found.rows}, left

    pattern = {"modality": "ct", "area": "brain"}
    rest = {"ct-brain-state", "ct-brain-level"}
    assert targets(pattern) == (rest, {"ct-brain-side"})
    assert targets({**pattern, "asks": "area"}) == ({"ct-brain-side"}, set())
    assert targets(pattern, "ct-brain-side") == (rest | {"ct-brain-side"}, set())
    with pytest.raises(ConfigError, match=r"targets\[0\]: .* ask for an element .*`asks: area`"):
        targets({"task": "side"})
    # It is a source like any other.
    assert any("side" in mix.id for mix in make_plan(project(catalogs=asking())).mixes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": ["ct-brain-stat"]}, r"targets\[0\].*no subset.*Did you mean 'ct-brain-state'"),
        ({"targets": [{"modalty": "ct"}]}, r"targets\[0\].modalty.*Did you mean 'modality'"),
        ({"targets": [{"area": "brian"}]}, r"targets\[0\].area.*Did you mean 'brain'"),
        ({"samples": 200, "arms": {"cg": {}}}, "asks 100 samples of .* at most 50"),
        ({"samples": 5, "rules": ["related"], "arms": {"cg": {}}}, "too few for each of the 18"),
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
    assert reasons == {
        *(f"rule '{name}' matches no combination" for name in ("pair", "related")),
        "no combination, so no other arm is run",
    }
    assert not any(row.target == "x" for row in both.rows)


def test_a_target_in_training_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    leaked = "ct-brain-state"
    monkeypatch.setattr(chosen, "combine", lambda *_: [Combination(leaked, "pair", (leaked,))])
    with pytest.raises(MatcgError, match="train on the target's own data"):
        make_plan(project({"targets": [leaked], "samples": 50, "arms": {"cg": {}}}))


def test_the_budget_is_spread_to_the_last_sample() -> None:
    one = Fraction(1)
    assert spread(11, {"c": one, "a": one, "b": one}) == {"a": 4, "b": 4, "c": 3}
    assert spread(10, {"a": Fraction(1, 3), "b": Fraction(2, 3)}) == {"a": 3, "b": 7}


def test_what_a_source_has_not_the_others_give() -> None:
    one = Fraction(1)
    weights = {"a": one, "b": one, "c": one}
    assert spread(12, weights, {"a": 1, "b": 5}) == {"a": 1, "b": 5, "c": 6}
    assert spread(9, weights, {"a": 3, "b": 3, "c": 3}) == {"a": 3, "b": 3, "c": 3}
    with pytest.raises(ValueError, match="more than all"):
        spread(10, weights, {"a": 3, "b": 3, "c": 3})


def test_a_slug_says_what_it_holds_and_stays_short() -> None:
    mix = planned_mix("world", {"b": 1, "a": 2}, 0)
    assert mix.id.startswith("a.2+b.1-s0-")
    assert planned_mix("world", {"b": 1, "a": 2}, 0, "shuffled").id != mix.id
    long = planned_mix("world", {f"subset-number-{n}": 5 for n in range(36)}, 0)
    assert long.id.startswith("36subsets.180-s0-")


def folders(within: Project) -> dict[str, str]:
    """Return for each run the folder that is named after what decides its result."""
    places = Places.of(within)
    return {f"{run.backbone}/{run.key}": places.run(run) for run in make_plan(within).runs}


def with_backbone(**changes: object) -> Project:
    return project({}, {"name": "slow", "recipe": "slow"}, backbones={"tiny": backbone(**changes)})


def test_execution_settings_are_no_part_of_identity() -> None:
    before = with_backbone()
    moved = with_backbone(resources={"gpu": 4, "threads": 8, "runtime": 5}, description="moved")
    assert folders(before) == folders(moved)
    tables, again = (render_tables(make_plan(each), Places.of(each)) for each in (before, moved))
    assert tables == again
    assert plan_digest(make_plan(before)) == plan_digest(make_plan(moved))


def test_a_learning_rate_changes_its_recipe_only() -> None:
    before = with_backbone()
    recipes: dict[str, BaseModel] = dict(before.backbones["tiny"].recipes)
    recipes["slow"] = recipes["slow"].model_copy(update={"learning_rate": 0.5})
    after = replace(
        before, backbones={"tiny": before.backbones["tiny"].model_copy(update={"recipes": recipes})}
    )
    old, new = folders(before), folders(after)
    assert old.keys() == new.keys()
    assert {key.split("/")[1] for key in old if old[key] != new[key]} == {"slow"}


def test_tables_have_a_row_a_record(plan: Plan) -> None:
    tables = render_tables(plan, Places.of(project()))
    assert len(tables["experiments.tsv"].splitlines()) == len(plan.rows) + 1
    assert len(tables["runs.tsv"].splitlines()) == len(plan.runs) + 1
    assert len(tables["evaluations.tsv"].splitlines()) == len(plan.evaluations) + 1
    assert len(tables["subsets.tsv"].splitlines()) == len(plan.subsets) + 1


# --- Sizes ---------------------------------------------------------------------------------------


def parts_by_arm(made: Plan, **wanted: object) -> dict[str, set[tuple[tuple[str, int], ...]]]:
    """Return the mixes' parts of the rows that are as wanted, by arm."""
    parts = {mix.id: mix.parts for mix in made.mixes}
    found: dict[str, set[tuple[tuple[str, int], ...]]] = {}
    for row in made.rows:
        if row.mix and all(getattr(row, key) == value for key, value in wanted.items()):
            found.setdefault(row.arm, set()).add(parts[row.mix])
    return found


def test_a_limited_plan_is_of_the_first_targets_and_asks_under_other_names() -> None:
    def limited(**limit: int) -> Plan:
        given = project({})
        shorter = {n: p.model_copy(update={"questions": limit.get("questions")})
                   for n, p in given.protocols.items()}  # fmt: skip
        config = Config(experiments=("toy",), limit=limit)
        return make_plan(replace(given, config=config, protocols=shorter))

    full, one = make_plan(project({})), limited(targets=1)
    assert {row.target for row in one.rows} == {"ct-brain-state"}
    assert [e.reason for e in one.excluded if e.target == "us-knee-side" and not e.arm] == [
        "limit: only the first 1 targets"
    ]
    assert {mix.id for mix in one.mixes} <= {mix.id for mix in full.mixes}
    few = limited(questions=3)
    assert (few.rows, few.mixes, few.runs) == (full.rows, full.mixes, full.runs)
    assert not {e.place for e in few.evaluations} & {e.place for e in full.evaluations}


def test_a_sweep_trains_every_arm_at_every_size_and_the_baseline_once() -> None:
    arms = {"baseline": {}, "cg": {}, "control": {"rule": "unrelated"}}
    swept = make_plan(project({"samples": [20, 40], "arms": arms, "rules": ["related"]}))
    sizes = {(row.arm, row.n_train) for row in swept.rows}
    assert sizes == {("baseline", 0), *((a, n) for a in ("cg", "control") for n in (20, 40))}
    totals = {mix.id: mix.total for mix in swept.mixes}
    assert all(totals[row.mix] == row.n_train for row in swept.rows if row.mix)
    alone = make_plan(project({"samples": 40, "arms": arms, "rules": ["related"]}))
    assert set(alone.mixes) < set(swept.mixes)


def test_the_target_s_samples_are_added_to_every_arm_alike() -> None:
    arms = {"baseline": {}, "cg": {}, "control": {"rule": "unrelated"}}
    mixed = make_plan(project({"mixed_in": [0, 10], "arms": arms, "targets": ["us-knee-side"]}))
    for n, total in ((0, 60), (10, 70)):
        for found in parts_by_arm(mixed, mixed_in=n).values():
            for parts in found:
                assert dict(parts).get("us-knee-side", 0) == n
                assert sum(count for _, count in parts) == total
    assert {row.n_train for row in mixed.rows if row.mixed_in} == {70}
    with_target = {row.mix for row in mixed.rows if row.mixed_in}
    assert all(mixed.forbidden[mix.name] == () for mix in mixed.mixes if mix.id in with_target)


def test_an_arm_like_cg_has_the_sources_of_each_combination() -> None:
    arms = {"cg": {}, "shuffled": {"like": "cg", "labels": "shuffled"}}
    made = make_plan(project({"arms": arms}))
    by = {
        arm: {(r.target, r.rule, r.combination, r.seed) for r in made.rows if r.arm == arm}
        for arm in arms
    }
    assert by["cg"] == by["shuffled"]
    assert len(by["cg"]) == 12
    assert parts_by_arm(made)["cg"] == parts_by_arm(made)["shuffled"]
    labels = {mix.id: mix.labels for mix in made.mixes}
    assert all((labels[r.mix] == "shuffled") == (r.arm == "shuffled") for r in made.rows)


def sized(**train: int) -> dict[str, Catalog]:
    """Return the world with fewer training samples in some subsets."""
    subsets = [
        s.model_copy(update={"train": train.get(s.id.replace("-", "_"))}) for s in world().subsets
    ]
    return {"world": world().model_copy(update={"subsets": tuple(subsets)})}


PAIR_ONLY = {
    "targets": ["ct-brain-state"],
    "rules": ["pair"],
    "arms": {"cg": {}},
    "choose": {"n": None},
}


def test_a_source_that_has_too_few_samples_is_refused_or_filled_up() -> None:
    few = sized(ct_lung_state=10)
    with pytest.raises(ConfigError, match=r"asks 30 samples of 'ct-lung-state'.*at most 10"):
        make_plan(project(PAIR_ONLY, catalogs=few))
    others = make_plan(project({**PAIR_ONLY, "short": "others"}, catalogs=few))
    pairs = [dict(mix.parts) for mix in others.mixes if "ct-lung-state" in dict(mix.parts)]
    assert pairs
    assert all(p.pop("ct-lung-state") == 10 and set(p.values()) == {50} for p in pairs)
    assert not any(mix.repeat for mix in others.mixes)
    repeat = make_plan(project({**PAIR_ONLY, "short": "repeat"}, catalogs=few))
    for mix in repeat.mixes:
        assert set(dict(mix.parts).values()) == {30}
        assert mix.repeat == ("ct-lung-state" in dict(mix.parts))
    enough = make_plan(project({**PAIR_ONLY, "short": "repeat"}))
    assert enough.mixes == make_plan(project(PAIR_ONLY)).mixes


def test_what_even_the_others_cannot_give_says_so() -> None:
    few = sized(ct_lung_state=5, ct_knee_state=5, us_brain_state=5, mri_brain_state=5)
    with pytest.raises(ConfigError, match="asks 60 samples of 2 sources that have 10 together"):
        make_plan(project({**PAIR_ONLY, "short": "others"}, catalogs=few))


def test_a_subset_declared_too_small_is_not_asked_for_all() -> None:
    subsets = [s.model_copy(update={"role": "ood"}) for s in world().subsets]
    small = {"world": world().model_copy(update={"subsets": tuple(subsets)})}
    make_plan(project(PAIR_ONLY, catalogs=small))
    with pytest.raises(ConfigError, match="declared `role: ood`"):
        make_plan(project({**PAIR_ONLY, "samples": 100}, catalogs=small))
    made = make_plan(project({**PAIR_ONLY, "samples": 100, "short": "repeat"}, catalogs=small))
    assert all(mix.repeat for mix in made.mixes)


def test_sources_too_small_for_the_experiment_are_listed_as_excluded() -> None:
    few = sized(ct_lung_state=10)
    made = make_plan(project({**PAIR_ONLY, "min_size": 20}, catalogs=few))
    assert not any("ct-lung-state" in dict(mix.parts) for mix in made.mixes)
    reasons = [e.reason for e in made.excluded]
    assert reasons == ["1 subsets not known to give 20 samples: ct-lung-state"]
    with pytest.raises(ConfigError, match=r"matches no combination .*not known to give 51 samples"):
        make_plan(project({**PAIR_ONLY, "min_size": 51}))


# --- Which combinations --------------------------------------------------------------------------


def test_a_choice_per_rule_is_over_all_targets_and_needs_no_other_target() -> None:
    change = {"choose": {"n": 1, "per": "rule", "seed": 1}, "rules": ["pair"]}
    made = make_plan(project(change))
    assert len({(r.target, r.combination) for r in made.rows if r.arm == "cg"}) == 1
    assert len({r.target for r in made.rows}) == 1
    assert "no combination, so no other arm is run" in {e.reason for e in made.excluded}


def listed() -> dict[str, Rule]:
    rows = [
        {"label": "1", "rule": "pair", "target": "ct-brain-state", "sources": ["ct-lung-state"]},
        {"label": "2", "rule": "pair", "target": "us-knee-side", "sources": ["us-lung-side"]},
        {"label": "3", "rule": "odd", "target": "us-knee-side", "sources": ["ct-knee-side"]},
    ]
    given = project().rules
    return {**given, "table": validate(Rule, {"name": "table", "listed": rows}, "table.yaml")}


LISTED = {"rules": ["table"], "targets": [], "arms": {"cg": {}}, "samples": 50}


def test_listed_rows_name_their_targets_and_can_be_picked_by_label() -> None:
    choose = {"n": None, "labels": ["1", "3"]}
    made = make_plan(project({**LISTED, "choose": choose}, rules=listed()))
    rows = {(r.label, r.target, r.rule, r.combination) for r in made.rows}
    assert rows == {
        ("1", "ct-brain-state", "pair", "ct-lung-state"),
        ("3", "us-knee-side", "odd", "ct-knee-side"),
    }
    per_rule = {"n": 1, "per": "rule", "seed": 1}
    one_each = make_plan(project({**LISTED, "choose": per_rule}, rules=listed()))
    assert sorted(r.rule for r in one_each.rows if r.seed == 0) == ["odd", "pair"]
    with pytest.raises(ConfigError, match=r"choose.labels: .*no rule lists a combination '4'"):
        make_plan(project({**LISTED, "choose": {"n": 1, "labels": ["4"]}}, rules=listed()))


def test_targets_left_out_without_a_list_are_an_error() -> None:
    with pytest.raises(ConfigError, match="targets: is missing"):
        make_plan(project({"targets": []}))


# --- Arms that are no CG -------------------------------------------------------------------------


def supervised() -> dict[str, Rule]:
    alone = {"name": "single", "target": "alone"}
    together = {"name": "multi", "sources": [{}], "select": "all", "target": "included"}
    rules = (validate(Rule, data, "r.yaml") for data in (alone, together))
    return {**project().rules, **{rule.name: rule for rule in rules}}


def test_an_experiment_may_compare_arms_that_train_on_the_target() -> None:
    arms = {"baseline": {}, "one": {"rule": "single"}, "all": {"rule": "multi", "samples": 540}}
    change = {"arms": arms, "rules": [], "samples": 40}
    made = make_plan(project(change, rules=supervised()))
    own = parts_by_arm(made)
    assert own["one"] == {(("ct-brain-state", 40),), (("us-knee-side", 40),)}
    (everything,) = own["all"]
    assert dict(everything) == {s.id: 20 for s in world().subsets}
    assert len(made.runs) == 2 * 3, "the run on all subsets serves both targets"
    assert all(forbidden == () for forbidden in made.forbidden.values())


@pytest.mark.parametrize("place", ["cg", "control"])
def test_a_rule_that_trains_on_the_target_gives_neither_cg_nor_control(place: str) -> None:
    change = (
        {"rules": ["multi"]} if place == "cg" else {"arms": {"cg": {}, place: {"rule": "multi"}}}
    )
    with pytest.raises(ConfigError, match="trains on the target itself"):
        make_plan(project(change, rules=supervised()))


# --- Adding and removing -------------------------------------------------------------------------


def test_another_target_or_rule_adds_runs_and_changes_none() -> None:
    one = {"targets": ["ct-brain-state"], "rules": ["pair"]}
    before = make_plan(project(one))
    for more in ({"targets": ["ct-brain-state", "us-knee-side"]}, {"rules": ["pair", "related"]}):
        after = make_plan(project({**one, **more}))
        assert set(before.runs) < set(after.runs)
        assert set(before.mixes) < set(after.mixes)


MORE = {"name": "more", "targets": ["mri-lung-level", "ct-brain-state"], "also": ["blank"]}


@pytest.mark.parametrize("others", [[MORE], [MORE, {"name": "leaky", "leaks": "report"}]])
def test_the_part_of_an_experiment_is_its_plan_alone(others: list[dict[str, object]]) -> None:
    together = make_plan(project({}, *others, protocols=PROTOCOLS))
    for each in ({}, *others):
        alone = make_plan(project(each, protocols=PROTOCOLS))
        (part,) = alone.parts.values()
        assert replace(alone, parts={}) == part == together.parts[part.rows[0].experiment]
    for name in ("rows", "mixes", "runs", "evaluations", "excluded", "subsets"):
        held = [each for part in together.parts.values() for each in getattr(part, name)]
        assert list(getattr(together, name)) == sorted(set(held)), name


def test_a_mix_that_is_tested_on_more_is_another_file_of_the_same_name() -> None:
    names, mix = Names(project()), planned_mix("world", {"ct-lung-side": 9}, 0)
    one, both = (names.mix(mix, targets, ()) for targets in (["us-knee-side"], BASE["targets"]))
    assert one.id == both.id
    assert one.name != both.name
    assert (one.targets, both.targets) == (("us-knee-side",), ("ct-brain-state", "us-knee-side"))
    leaky = replace(mix, leaky=True)
    assert names.mix(leaky, ["us-knee-side"], ()) == names.mix(leaky, [], ())
    assert names.mix(mix, [], ("tiny-0000aaaa",)).name != names.mix(mix, [], ()).name


def test_a_mix_is_read_from_json_as_it_was(plan: Plan) -> None:
    assert [Mix.of(json.loads(json.dumps(asdict(mix)))) for mix in plan.mixes] == list(plan.mixes)


def general() -> Catalog:
    """Return the catalog with a set that belongs to no triplet."""
    data = world().model_dump(mode="json")
    return validate(Catalog, {**data, "general": [{"id": "wiki", "train": 30}]}, "world.yaml")


def test_a_general_set_is_added_to_every_mix_and_to_nothing_else() -> None:
    plain = make_plan(project())
    mixed = make_plan(project({"general": {"wiki": 12}}, catalogs={"world": general()}))
    assert len(mixed.mixes) == len(plain.mixes)
    for mix in mixed.mixes:
        assert dict(mix.parts)["wiki"] == 12
        assert mix.total == 60 + 12
    assert {row.n_train for row in mixed.rows if row.mix} == {60}
    assert ("world", "wiki") in mixed.subsets
    assert not {row.combination for row in mixed.rows if "wiki" in row.combination}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"wikki": 9}, "general.wikki: catalog 'world' has no such set.*Did you mean 'wiki'"),
        ({"wiki": 31}, "asks 31 samples of 'wiki', .* at most 30"),
    ],
)
def test_a_general_set_that_is_not_there_is_refused(asked: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(project({"general": asked}, catalogs={"world": general()}))


def test_mixes_that_may_hold_leaks_are_mixes_of_their_own() -> None:
    both = make_plan(project({}, {"name": "other", "leaks": "report"}))
    clean = [mix for mix in both.mixes if not mix.leaky]
    assert {mix.id for mix in clean} == {mix.id for mix in make_plan(project()).mixes}
    assert len(both.mixes) == 2 * len(clean)
    strict = make_plan(project({}, {"name": "other", "leaks": "error"}))
    assert strict.mixes == tuple(clean)


def drawn(n: int, **changes: object) -> Plan:
    control = {"rule": "unrelated", "draws": n}
    return make_plan(project({"arms": {"cg": {}, "control": control}, **changes}))


def test_further_draws_are_mixes_of_the_same_sources_and_leave_the_first_alone() -> None:
    rows = [row for row in drawn(3).rows if row.arm == "control"]
    parts = {mix.id: mix.parts for mix in drawn(3).mixes}
    assert {row.draw for row in rows} == {0, 1, 2}
    for target in ("ct-brain-state", "us-knee-side"):
        mixes = {row.draw: row.mix for row in rows if row.target == target}
        assert len(set(mixes.values())) == 3
        assert len({parts[mix] for mix in mixes.values()}) == 1
        assert all(row.seed in (0, 1) for row in rows)
    first = {row for row in drawn(1).rows if row.arm == "control"}
    assert first == {row for row in rows if row.draw == 0}
    assert {row.draw for row in drawn(3).rows if row.arm == "cg"} == {0}


def test_a_rule_that_chooses_gives_each_draw_another_combination() -> None:
    arms = {"cg": {}, "control": {"rule": "pair", "draws": 2}}
    plan = make_plan(project({"rules": ["related"], "arms": arms}))
    parts = {mix.id: tuple(name for name, _ in mix.parts) for mix in plan.mixes}
    for target in ("ct-brain-state", "us-knee-side"):
        rows = [row for row in plan.rows if row.arm == "control" and row.target == target]
        assert len({parts[row.mix] for row in rows}) == 2
    assert any("choose: n 2, seed" in each.reason for each in plan.excluded)


def test_draws_of_all_that_there_is_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"takes all that its sources have.*`draws: 1`"):
        drawn(2, samples=50 * 8, short="repeat")
    assert drawn(1, samples=50 * 8, short="repeat").rows


# --- How it is asked -----------------------------------------------------------------------------


def asked(experiment: dict[str, object], **changes: object) -> Plan:
    several = {"tiny": backbone(several_images=True)}
    parts = {"protocols": PROTOCOLS, "backbones": several, **changes}
    return make_plan(project(experiment, **parts))


def test_further_protocols_ask_the_same_runs_and_add_no_row_and_no_training() -> None:
    plain, more = asked({}), asked({"also": ["blank", "shots"]})
    assert (plain.rows, plain.runs, plain.mixes) == (more.rows, more.runs, more.mixes)
    tags = ("", "@blank", "@shots.0", "@shots.1", "@shots.2")
    assert {(e.target, e.asked) for e in more.evaluations} == {
        (e.target, e.asked + tag) for e in plain.evaluations for tag in tags
    }
    assert [e.asked.split("@")[0] for e in more.evaluations[:5]] == ["baseline"] * 5
    assert set(plain.evaluations) < set(more.evaluations)


def test_an_arm_with_its_own_protocol_answers_once_a_draw_of_examples() -> None:
    arms = {
        "baseline": {},
        "cg": {},
        "cg-shots": {"like": "cg", "protocol": "shots"},
        "baseline-shots": {"like": "baseline", "protocol": "shots"},
    }
    plan = asked({"arms": arms})
    runs = {arm: {row.run for row in plan.rows if row.arm == arm} for arm in arms}
    assert runs["cg-shots"] == runs["cg"]
    assert runs["baseline-shots"] == {"baseline"}
    shown = {row for row in plan.rows if row.arm == "cg-shots"}
    assert {(row.draw, row.asked.removeprefix(row.run)) for row in shown} == {
        (draw, f"@shots.{draw}") for draw in range(3)
    }
    assert all(row.asked == row.run for row in plan.rows if row.arm in ("baseline", "cg"))
    asked_for = {(e.target, e.asked) for e in plan.evaluations}
    assert {(row.target, row.asked) for row in shown} <= asked_for


def test_an_experiment_can_be_asked_otherwise_as_a_whole() -> None:
    plan = asked({"protocol": "blank"})
    assert all(row.asked == f"{row.run}@blank" for row in plan.rows)


@pytest.mark.parametrize("experiment", [{"protocol": "shots"}, {"also": ["blank", "shots"]}])
def test_examples_need_a_backbone_that_takes_several_pictures(
    experiment: dict[str, object],
) -> None:
    with pytest.raises(ConfigError, match=r"'shots' puts examples .*'tiny' takes one picture"):
        asked(experiment, backbones={"tiny": backbone()})


def test_an_untrained_arm_needs_a_protocol_and_takes_nothing_else() -> None:
    for arm in ({"like": "baseline"}, {"like": "baseline", "protocol": "shots", "target": 2}):
        with pytest.raises(ConfigError, match=r"arms.x.* An untrained model differs .*`protocol`"):
            asked({"arms": {"cg": {}, "x": arm}})


def _with_few(target: str) -> dict[str, object]:
    few = {"rule": "unrelated", "labels": "shuffled", "targets": [target]}
    return {"arms": {**BASE["arms"], "few": few}}  # type: ignore[dict-item]


def test_an_arm_may_be_for_some_targets_only_and_the_others_are_named() -> None:
    plan = make_plan(project(_with_few("ct-brain-state")))
    assert {row.target for row in plan.rows if row.arm == "few"} == {"ct-brain-state"}
    assert {row.target for row in plan.rows if row.arm == "floor"} == set(BASE["targets"])  # type: ignore[call-overload]
    (left,) = (each for each in plan.excluded if each.arm == "few")
    assert left.target == "us-knee-side"
    assert left.reason == "not among the targets that this arm is for"


def test_an_arm_for_a_target_that_is_none_names_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"arms.few.targets: 'ct-brain-stat' is no target .*'ct-brain-state'"
    ):
        make_plan(project(_with_few("ct-brain-stat")))
