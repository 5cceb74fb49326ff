"""Groups of runs that share an engine: complete, bounded, and little moved by a run more."""

import random

import pytest

from matcg.identity import named, plain
from matcg.plan.enumerate import make_plan
from matcg.plan.groups import find_groups, group_runs
from planned import PROTOCOLS, project

RUNS = [f"full/mix-{n}/seed{n % 3}" for n in range(500)]


@pytest.mark.parametrize("size", [1, 7, 32, 1000])
def test_every_run_is_in_one_group_of_at_most_that_size(size):
    groups = group_runs(RUNS, size)
    assert sorted(run for group in groups.values() for run in group) == sorted(RUNS)
    assert max(map(len, groups.values())) <= size


def test_few_runs_are_one_group_with_the_baseline_first():
    assert group_runs(["full/b/seed0", "baseline", "full/a/seed0"], 32) == {
        "full+all": ("baseline", "full/a/seed0", "full/b/seed0")
    }
    assert group_runs(["baseline"], 32) == {"baseline": ("baseline",)}


def test_recipes_have_groups_of_their_own_since_adapters_and_weights_share_no_engine():
    groups = group_runs(["baseline", "lora/a/seed0", "full/a/seed0"], 32)
    assert groups == {"full+all": ("baseline", "full/a/seed0"), "lora+all": ("lora/a/seed0",)}


def test_a_run_more_changes_its_own_group_only():
    before = group_runs(RUNS, 32)
    after = group_runs([*RUNS, "full/another/seed0"], 32)
    changed = [name for name, group in before.items() if after.get(name) != group]
    assert len(changed) == 1
    assert len(after) in (len(before), len(before) + 1)


def test_the_order_of_runs_changes_nothing():
    mixed = random.Random(0).sample(RUNS, len(RUNS))
    assert group_runs(mixed, 32) == group_runs(RUNS, 32)


def test_a_plan_has_each_run_that_answers_in_a_group_of_its_backbone():
    plan = make_plan(project({"backbones": ["tiny", "other"]}))
    groups = find_groups(plan, 4)
    assert {backbone for backbone, _ in groups} == {"tiny", "other"}
    held = [each for runs in groups.values() for asked in runs.values() for each in asked]
    assert sorted(held) == list(plan.evaluations)
    for (backbone, _), runs in groups.items():
        assert {(e.backbone, e.run) for asked in runs.values() for e in asked} == {
            (backbone, run) for run in runs
        }


def test_two_experiments_that_ask_the_same_share_their_groups():
    alone = find_groups(make_plan(project()), 4)
    again = {"name": "again", "question": "In other words?"}
    assert find_groups(make_plan(project({}, again)), 4) == alone


def test_an_experiment_that_asks_otherwise_has_groups_of_its_own():
    more = {"name": "more", "also": ["blank"]}
    alone, both = (
        find_groups(make_plan(project(*each, protocols=PROTOCOLS)), 32)
        for each in ([{}], [{}, more])
    )
    assert alone.items() < both.items()
    assert len(both) == 2
    assert {plain(name) for _, name in both} == {"full+all"}


def test_a_group_s_name_ends_in_a_digest_and_has_the_recipes_name_without_its_own():
    keys = [f"{named('full', '0123abcd')}/m/seed0"]
    assert list(group_runs(keys, 4)) == ["full+all"]
    ((_, name),) = find_groups(make_plan(project()), 100)
    assert plain(name) == "full+all" != name
