"""Where results lie: names with digests, no two alike, and links to the last plan."""

from dataclasses import replace
from pathlib import Path

import pytest

from matcg.config.project import Project
from matcg.identity import digest_in, plain
from matcg.plan.enumerate import Plan, make_plan
from matcg.plan.groups import find_groups
from matcg.plan.places import Places, needed, plan_name, point_to, report_as_linked
from matcg.plan.records import Evaluation
from planned import PROTOCOLS, backbone, project


@pytest.fixture(scope="module")
def given() -> Project:
    return project(
        {"also": ["blank"], "backbones": ["tiny", "other"]}, {"name": "again"}, protocols=PROTOCOLS
    )


@pytest.fixture(scope="module")
def plan(given: Project) -> Plan:
    return make_plan(given)


@pytest.fixture(scope="module")
def places(given: Project) -> Places:
    return Places.of(given)


def test_each_thing_has_a_place_of_its_own(plan: Plan, places: Places) -> None:
    found = needed(plan, places, find_groups(plan, 4))
    paths = [path for _, path in found]
    assert len(set(paths)) == len(paths)
    assert {kind for kind, _ in found} == {"data", "lengths", "mix", "run", "answers", "group"}
    for kind, things in (
        ("data", plan.subsets),
        ("mix", plan.mixes),
        ("run", plan.runs),
        ("answers", plan.evaluations),
    ):
        assert sum(each == kind for each, _ in found) == len(things)


def test_a_run_lies_below_all_that_decides_it(plan: Plan, places: Places) -> None:
    run = plan.runs[-1]
    *above, trained, recipe, mix, seed = Path(places.run(run)).parts
    assert above == ["results", "runs"]
    assert (plain(trained), plain(recipe), plain(mix)) == (run.backbone, run.recipe, run.mix)
    assert seed == f"seed{run.seed}"
    assert all(map(digest_in, (trained, recipe, mix)))
    assert places.weights(run.backbone, run.place) == f"{places.run(run)}/weights"
    assert f"results/benchmarks/finetune/{trained}/{recipe}/{mix}/{seed}.tsv" == (
        places.benchmark(run)
    )


def test_answers_lie_below_their_run_by_what_is_asked(plan: Plan, places: Places) -> None:
    blank = next(e for e in plan.evaluations if e.asked.endswith("@blank") and "/" in e.run)
    letters = next(
        e for e in plan.evaluations if (e.run, e.target) == (blank.run, blank.target) and e != blank
    )
    assert blank.asked == f"{letters.asked}@blank"
    files = [Path(places.answers(each)) for each in (letters, blank)]
    assert {file.parent for file in files} == {
        Path("results/answers", places.asked[blank.backbone], blank.run, "world")
    }
    target, other = (file.stem.removesuffix("@blank") for file in files)
    assert files[1].stem == f"{other}@blank"
    assert plain(target) == plain(other) == blank.target
    assert target != other, "the protocol decides the answers too"
    group = places.group(blank.backbone, "full+all-0123abcd")
    assert group == f"results/answers/{places.asked[blank.backbone]}/full+all-0123abcd.json"


def test_a_backbone_is_named_by_what_trains_it_and_by_what_asks_it(given: Project) -> None:
    def names(**changes: object) -> tuple[str, str]:
        found = Places.of(replace(given, backbones={"tiny": backbone(**changes)}))
        return found.trained["tiny"], found.asked["tiny"]

    first = names()
    assert first[0] != first[1]
    asked, dearer = names(engine="transformers"), names(resources={})
    other = names(dtype="bfloat16")
    assert asked[0] == first[0]
    assert asked[1] != first[1]
    assert dearer == first
    assert not set(other) & set(first)


def test_a_subset_that_is_prepared_otherwise_moves_its_mixes_runs_and_answers_alone() -> None:
    given = project({"rules": ["pair"], "arms": {"baseline": {}, "cg": {}}})
    world = given.catalogs["world"]
    changed = "ct-lung-state"
    subsets = tuple(
        each.model_copy(update={"options": {"seed": 9}}) if each.id == changed else each
        for each in world.subsets
    )
    moved = {"world": world.model_copy(update={"subsets": subsets})}
    before, after = (make_plan(each) for each in (given, replace(given, catalogs=moved)))
    assert before.rows == after.rows
    new = {mix.id for mix in set(after.mixes) - set(before.mixes)}
    assert new == {mix.id for mix in before.mixes if changed in dict(mix.parts)}
    assert 0 < len(new) < len(before.mixes)
    assert {run.mix for run in set(after.runs) - set(before.runs)} == new
    answered = {e.asked for e in set(after.evaluations) - set(before.evaluations)}
    assert answered == {run.key for run in after.runs if run.mix in new}


def test_a_target_that_is_asked_otherwise_moves_its_answers() -> None:
    def answered(protocol: object) -> set[Evaluation]:
        protocols = {**PROTOCOLS, "blank": protocol}
        return set(make_plan(project({"also": ["blank"]}, protocols=protocols)).evaluations)

    before, after = (
        answered(PROTOCOLS["blank"]),
        answered(PROTOCOLS["blank"].model_copy(update={"seed": 7})),
    )
    assert {e.asked.partition("@")[2] for e in after - before} == {"blank"}
    assert len(after & before) == len(after) / 2


@pytest.mark.parametrize(
    ("names", "called"), [(["b"], "b"), (["b", "a"], "a+b"), (["x" * 50, "y" * 50], None)]
)
def test_a_plan_is_called_after_its_experiments(names: list[str], called: str | None) -> None:
    assert plan_name(names) == plan_name(names[::-1])
    if called:
        assert plan_name(names) == called
    else:
        assert plan_name(names).startswith("2experiments.")
        assert plan_name(names) != plan_name([*names[:1], "z" * 50])


# --- Links ---------------------------------------------------------------------------------------


# Plans with their experiments; of experiment `a` there is another one since.
PLANS = {
    "a-00000001": ["a-0000000a"],
    "a-00000002": ["a-0000000b"],
    "a+b-00000003": ["a-0000000a", "b-0000000c"],
}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the results of two selections of experiments, in a folder that is entered."""
    monkeypatch.chdir(tmp_path)
    for plan, experiments in PLANS.items():
        (tmp_path / "results/plans" / plan).mkdir(parents=True)
        (tmp_path / f"results/report-{plan}.html").write_text(plan)
        for name in experiments:
            (tmp_path / "results/experiments" / name).mkdir(parents=True, exist_ok=True)
    return tmp_path / "results"


def links(folder: Path) -> dict[str, str]:
    """Return where the links in a folder lead."""
    return {path.name: str(path.readlink()) for path in folder.iterdir() if path.is_symlink()}


def test_the_last_plan_and_its_report_are_linked_by_short_names(results: Path) -> None:
    for plan in ("a-00000001", "a+b-00000003", "a-00000002"):
        point_to(plan, PLANS[plan], results)
        assert (results / "plan").resolve() == results / "plans" / plan
        assert (results / "report.html").read_text() == plan
        assert report_as_linked(results / f"report-{plan}.html") == results / "report.html"
    assert links(results / "plans") == {"a": "a-00000002", "a+b": "a+b-00000003"}
    assert links(results / "experiments") == {"a": "a-0000000b", "b": "b-0000000c"}
    assert (
        report_as_linked(results / "report-a-00000001.html") == results / "report-a-00000001.html"
    )
    assert not [path for path in results.rglob(".*") if path.is_symlink()], "half a link"


def test_what_is_not_made_yet_is_not_linked(results: Path) -> None:
    point_to("a-00000001", ["a-0000000a"], results)
    (results / "plans/a-00000009").mkdir()
    point_to("a-00000009", ["a-0000000d"], results)
    assert links(results / "experiments") == {"a": "a-0000000a"}
    assert (results / "plan").resolve().name == "a-00000009"
    assert (results / "report.html").read_text() == "a-00000001"
    point_to("c-00000009", [], results)
    assert (results / "plan").resolve().name == "a-00000009"


def test_what_is_no_link_stays(results: Path) -> None:
    """Before there were digests, plan and report were no links."""
    (results / "plan").mkdir()
    (results / "plan/summary.md").write_text("old")
    (results / "report.html").write_text("old")
    (results / "experiments/a").mkdir()
    point_to("a-00000001", ["a-0000000a"], results)
    assert (results / "plan/summary.md").read_text() == "old"
    assert (results / "report.html").read_text() == "old"
    assert links(results) == links(results / "experiments") == {}
    assert (
        report_as_linked(results / "report-a-00000001.html") == results / "report-a-00000001.html"
    )


def test_a_link_whose_plan_was_removed_is_renewed(results: Path) -> None:
    point_to("a-00000001", [], results)
    (results / "plans/a-00000001").rmdir()
    point_to("a-00000002", [], results)
    assert links(results)["plan"] == "plans/a-00000002"
    assert links(results / "plans") == {"a": "a-00000002"}
