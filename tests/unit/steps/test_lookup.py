"""From the wildcards of a job to its inputs and to what it makes."""

from pathlib import Path
from typing import Any

import pytest
from snakemake.iocontainers import Wildcards

import planned
from matcg.plan.enumerate import make_plan
from matcg.plan.groups import find_groups
from matcg.plan.records import BASELINE
from matcg.steps import specs
from matcg.steps.experiments import Experiments
from matcg.steps.lookup import Lookup
from planned import PROTOCOLS, project, world


def at(**names: Any) -> Wildcards:
    return Wildcards(fromdict=names)


@pytest.fixture(scope="module")
def lookup() -> Lookup:
    given = project({"also": ["blank"]}, {"name": "again", "leaks": "error"}, protocols=PROTOCOLS)
    return Lookup(given, make_plan(given), Path("clone"), prefix="there/")


@pytest.fixture(scope="module")
def experiments(lookup: Lookup) -> Experiments:
    return Experiments(lookup)


def test_a_mix_is_drawn_from_its_parts_and_spares_what_its_targets_are_tested_on(
    lookup: Lookup,
) -> None:
    for mix in lookup.plan.mixes:
        asked = at(mix=mix.name)
        spec = lookup.mix(asked)
        assert (spec.mix, spec.size) == (mix, mix.total)
        assert spec.forbidden == lookup.plan.forbidden[mix.name]
        train = [Path(path).parent.name.rpartition("-")[0] for path in lookup.train_files(asked)]
        assert train == [name for name, _ in mix.parts]
        test = [Path(path).parent.name.rpartition("-")[0] for path in lookup.test_files(asked)]
        assert tuple(test) == mix.targets


def test_the_strictest_of_the_experiments_that_use_a_mix_says_what_is_done_about_leaks(
    lookup: Lookup,
) -> None:
    shared = {mix.name for mix in lookup.plan.parts["again"].mixes}
    found = {mix.name: lookup.mix(at(mix=mix.name)).leaks for mix in lookup.plan.mixes}
    assert shared
    assert {found[name] for name in shared} == {"error"}


def test_what_may_be_cut_off_is_looked_for_where_a_backbone_crops_and_answers_name_places() -> None:
    target, catalog = "ct-brain-state", world()
    members = [
        each.model_copy(update={"form": "boxes"} if each.id == target else {})
        for each in catalog.subsets
    ]
    catalog = catalog.model_copy(update={"subsets": tuple(members)})
    crops = planned.backbone("other", image={"size": 8, "geometry": "crop"})
    given = project(
        {"backbones": ["tiny", "other"]},
        {"name": "whole"},
        catalogs={"world": catalog},
        backbones={"tiny": planned.backbone(), "other": crops},
    )
    found = Experiments(Lookup(given, make_plan(given), Path("clone")))
    cropped, whole = (at(experiment=name) for name in found.named)
    files = found.cropped_files(cropped)
    places = {Path(path).parent.name.rpartition("-")[0] for path in files}
    assert (places, len(files)) == ({target}, 2)
    assert found.summarise(cropped).crops == {"other": 8}
    assert found.cropped_files(whole) == []
    assert found.summarise(whole).crops == {}


def test_a_run_is_trained_with_the_recipe_of_its_name(lookup: Lookup) -> None:
    run = lookup.plan.runs[0]
    place = lookup.places.run(run).split("/")
    spec = lookup.finetune(at(backbone=place[2], recipe=place[3]))
    assert spec.recipe == lookup.project.backbones[run.backbone].recipes[run.recipe]
    assert spec.checkpoint_minutes == lookup.project.config.training.checkpoint_minutes
    assert lookup.base_weights(at(backbone=place[2])) == []
    assert lookup.amount("threads", at(backbone=place[2], recipe=place[3])) == 1


def test_each_mix_that_is_trained_on_is_exported_once_for_a_backbone(lookup: Lookup) -> None:
    found = [Path(path).parts for path in lookup.exports()]
    assert {parts[:2] for parts in found} == {("results", "exports")}
    trained = {(run.backbone, run.mix) for run in lookup.plan.runs}
    assert len(found) == len(trained)
    for backbone, mix in (parts[2:] for parts in found):
        spec = lookup.export_mix(at(backbone=backbone, mix=mix))
        assert (spec.backbone.name, lookup.mixes[mix].id) in trained


def test_a_group_is_asked_all_that_the_plan_has_for_its_runs(lookup: Lookup) -> None:
    groups = find_groups(lookup.plan, lookup.project.config.engine.runs)
    answered: set[str] = set()
    for (name, group), runs in groups.items():
        asked = at(backbone=lookup.places.asked[name], group=group)
        spec = lookup.predict(asked)
        assert list(spec.asked) == list(runs)
        files = {f"{run}/{sheet[4]}" for run, sheets in spec.asked.items() for sheet in sheets}
        assert files == {each.place for sheets in runs.values() for each in sheets}
        assert set(spec.protocols) <= {"letters", "blank"}
        answered |= files
        weights = lookup.group_weights(asked)
        assert [path.split("/", 3)[3] for path in weights] == [
            f"{run}/weights" for run in runs if run != BASELINE
        ]
        assert all(path.endswith("/test.parquet") for path in lookup.group_data(asked))
    assert answered == {each.place for each in lookup.plan.evaluations}


def test_what_is_not_planned_is_said_so(lookup: Lookup, experiments: Experiments) -> None:
    for ask, wildcards in [
        (lookup.mix, at(mix="none-01234567")),
        (lookup.prepare, at(catalog="world", subset="none-01234567")),
        (lookup.group_weights, at(backbone="none-01234567", group="all-01234567")),
        (experiments.compare, at(experiment="none-01234567")),
    ]:
        with pytest.raises(SystemExit, match="is not in the plan; results/plan lists what is"):
            ask(wildcards)


def test_a_spec_is_the_same_after_its_way_through_a_script(
    lookup: Lookup, experiments: Experiments
) -> None:
    experiment = at(experiment=next(iter(experiments.named)))
    (name, group), *_ = find_groups(lookup.plan, lookup.project.config.engine.runs)
    run = lookup.places.run(lookup.plan.runs[0]).split("/")
    catalog, subset = lookup.plan.subsets[0]
    folder = lookup.places.subset(catalog, subset).rpartition("/")[2]
    made = [
        lookup.prepare(at(catalog=catalog, subset=folder)),
        lookup.mix(at(mix=lookup.plan.mixes[0].name)),
        lookup.finetune(at(backbone=run[2], recipe=run[3])),
        lookup.predict(at(backbone=lookup.places.asked[name], group=group)),
        *(getattr(experiments, step)(experiment) for step in ("enumerate_experiment", "summarise")),
        *(
            getattr(experiments, step)(experiment)
            for step in ("leaks", "audit", "compare", "figures")
        ),
        *(getattr(experiments, step)(at()) for step in ("plan", "report", "world")),
    ]
    for spec in made:
        again = type(spec).model_validate_json(spec.canonical())
        assert again.canonical() == spec.canonical(), type(spec)
    assert len({type(spec) for spec in made}) == len(made)
    assert all(isinstance(spec, specs.Spec) for spec in made)


def test_paths_in_tables_stand_where_a_module_puts_them(
    lookup: Lookup, experiments: Experiments
) -> None:
    spec = experiments.plan(at())
    assert spec.used
    assert all(path.startswith("there/results/") for _, path in spec.used)
    rows = [line.split("\t") for line in spec.tables["runs.tsv"].splitlines()[1:]]
    assert {row[-1] for row in rows} == {f"there/{lookup.places.run(r)}" for r in lookup.plan.runs}
    # Before those that rules name, Snakemake puts the prefix itself.
    experiment = at(experiment=next(iter(experiments.named)))
    assert not any(path.startswith("there/") for path in experiments.answers(experiment))
