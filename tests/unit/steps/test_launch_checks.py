"""What stops a call before its first job, one check at a time, and in a call of Snakemake."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from snakemake.api import SnakemakeApi
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import OutputSettings, Quietness, ResourceSettings

from matcg.cluster.partition import Most, Node, Partition, Request
from matcg.config.library import load
from matcg.config.project import Project
from matcg.config.protocol import Protocol
from matcg.config.workflow import Budget
from matcg.errors import ConfigError
from matcg.plan.enumerate import make_plan
from matcg.steps.launch_checks import (
    fit_partitions,
    require_budget,
    require_coordinates,
    require_data,
    require_text,
)
from planned import RESOURCES, backbone, costs, priced, project, world

ROOT = Path(__file__).parents[3]
FREE = Budget()
GPU = Partition("gpu", 480, (Node(48, 192000, 2),), default=True)
# A rule of the workflow's own names, whose resources let `Launch` look, as in rules/.
SNAKEFILE = """\
import pickle
from pathlib import Path

from matcg.steps.launch_checks import Launch

project, priced = pickle.loads(Path("given.pickle").read_bytes())
LAUNCH = Launch(workflow, project, project.backbones, Path, lambda: priced)


def looked(wildcards):
    LAUNCH.check()
    return 1


rule all:
    input: expand("{backbone}/{recipe}/{n}", backbone=["tiny"], recipe=["full"], n=range(3))


rule finetune:
    output: touch("{backbone}/{recipe}/{n}")
    resources: bundle=looked, gpu=2
"""


def asks(minutes: int = 60, mem_mb: int = 1000) -> Request:
    return Request("rule finetune", "gpu", minutes, 8, mem_mb, 1)


def test_later_tries_ask_for_what_the_partition_has_at_most() -> None:
    key = ("tiny-01234567", "full-01234567")
    asked = [(asks(), key), (asks(minutes=480), None)]
    assert fit_partitions(asked, [GPU]) == {key: Most(480, 192000)}
    assert fit_partitions(asked, []) == {key: Most(None, None)}, "nothing is known"


def test_each_reason_why_a_job_never_starts_is_said_once() -> None:
    asked = [(asks(minutes=481), None), (asks(minutes=481), None), (asks(mem_mb=10**6), None)]
    with pytest.raises(
        ConfigError, match=r"481 minutes, partition gpu has 480; .*1000000 MB"
    ) as error:
        fit_partitions(asked, [GPU])
    assert str(error.value).count("481 minutes") == 1
    assert "Ask for less (`resources` in the backbone's file" in str(error.value)


def test_a_plan_above_its_budget_is_refused_and_one_below_is_not() -> None:
    prices = costs(priced())  # 12 GB of weights
    require_budget(prices, Budget(disk_gb=12))
    with pytest.raises(
        ConfigError, match=r"12\.0 GB of weights, budget\.disk_gb is 11\. `snakemake"
    ):
        require_budget(prices, Budget(disk_gb=11))


def test_images_that_are_not_at_hand_are_missed_unless_they_are_drawn() -> None:
    given = priced()
    (name,) = given.catalogs
    drawn = given.catalogs[name]
    read = drawn.model_copy(update={"reader": "medmat"})
    require_data(replace(given, roots={name: None}), Path)
    there = replace(given, catalogs={name: read}, roots={name: Path("here")})
    require_data(there, Path)
    with pytest.raises(ConfigError, match=rf"data\.{name} is not set: .* {name} unless the config"):
        require_data(replace(there, roots={name: None}), Path)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that runs the Snakefile above, on a machine that seems to have 3 GPUs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    Path("Snakefile").write_text(SNAKEFILE)

    def run(
        budget: Budget = FREE,
        gpu: int = 2,
        executor: str = "local",
        given: Project | None = None,
        **settings: object,
    ):
        given = given or priced(gpu=gpu)
        config = given.config.model_copy(update={"budget": budget})
        Path("given.pickle").write_bytes(
            pickle.dumps((replace(given, config=config), costs(given)))
        )
        with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
            workflow = api.workflow(
                ResourceSettings(cores=3, **settings), snakefile=Path("Snakefile")
            )
            workflow.dag().execute_workflow(executor=executor)
            return workflow._workflow

    return run


def test_a_refused_call_starts_nothing(call) -> None:
    with pytest.raises(WorkflowError, match=r"Not launched: the plan takes 12\.0 GB of weights"):
        call(Budget(disk_gb=1))
    assert not Path("tiny").exists()


def test_a_dry_run_is_not_refused(call) -> None:
    call(Budget(disk_gb=1), executor="dryrun")


def test_the_machines_gpus_bound_the_jobs_unless_the_user_gives_a_number(call) -> None:
    assert call().scheduler.global_resources["gpu"] == 3
    assert sorted(map(str, Path("tiny/full").iterdir())) == [f"tiny/full/{n}" for n in range(3)]


def test_what_the_user_gives_stays(call) -> None:
    assert call(resources={"gpu": 2}).scheduler.global_resources["gpu"] == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gpu": 4}, "backbone tiny: a job asks for gpu=4, but CUDA_VISIBLE_DEVICES=0,1,2 names 3"),
        ({"resources": {"gpu": 1}}, "gpu=2, but --resources gpu=1 allows 1"),
    ],
)
def test_a_job_that_wants_more_gpus_than_there_are_is_refused(call, settings, said) -> None:
    with pytest.raises(WorkflowError, match=f"Not launched: .*{said}"):
        call(**settings)


def test_what_set_resources_says_of_gpus_is_not_ours_to_refuse(call) -> None:
    assert call(gpu=4, overwrite_resources={"finetune": {"gpu": 1}}) is not None


def test_a_recipe_that_cards_cannot_hold_is_refused(call) -> None:
    shape = load("backbone", ROOT / "backbones/llava-1.5-7b.yaml").shape
    resources = {**RESOURCES, "gradient_checkpointing": True}
    sized = {"architecture": "llava/llama", "dtype": "bfloat16", "shape": shape}
    given = project(backbones={"tiny": backbone(resources=resources, **sized)})
    small = replace(given, config=given.config.model_copy(update={"card_gb": 40}))
    with pytest.raises(WorkflowError, match=r"Not launched: backbone 'tiny' .*fits with `gpu: 4`"):
        call(given=small)
    assert not Path("tiny").exists()
    assert call(given=small, overwrite_resources={"finetune": {"gpu": 3}}) is not None


@pytest.mark.parametrize("subset", ["us-knee-side", "ct-lung-state"], ids=["asked", "trained on"])
def test_a_backbone_without_words_for_places_is_refused_where_answers_name_some(subset) -> None:
    catalog = world()
    subsets = [
        each.model_copy(update={"form": "boxes"} if each.id == subset else {})
        for each in catalog.subsets
    ]
    boxes = {"world": catalog.model_copy(update={"subsets": tuple(subsets)})}
    elsewhere = {"targets": ["mri-brain-level"], "rules": ["pair"], "arms": {"cg": {}}}
    for given in (
        project(),
        project(catalogs=boxes, backbones={"tiny": backbone(coordinates="pixels")}),
        project(elsewhere, catalogs=boxes),
    ):
        require_coordinates(given, make_plan(given))
    mute = project(catalogs=boxes)
    with pytest.raises(
        ConfigError,
        match=rf"tiny\.yaml: coordinates: is missing, .* '{subset}' .* with boxes; .*pixels",
    ):
        require_coordinates(mute, make_plan(mute))


def test_unknown_words_for_places_are_an_error_that_names_the_nearest() -> None:
    given = project(backbones={"tiny": backbone(coordinates="pixel")})
    with pytest.raises(ConfigError, match=r"tiny\.yaml: coordinates: no .* Did you mean 'pixels'"):
        require_coordinates(given, make_plan(given))


def test_answers_of_a_command_are_text_and_not_asked_for_probabilities() -> None:
    words = {"train": ["{data}{out}"], "answer": ["{weights}{questions}{out}"], "version": "1"}
    own = {"tiny": backbone(engine="command", commands=words)}
    letters = project(backbones=own)
    with pytest.raises(ConfigError, match=r"letters.*: scoring: is 'letter', and .*'tiny'"):
        require_text(letters, make_plan(letters))
    generate = {"letters": Protocol(name="letters", scoring="generate")}
    for given in (project(), project(backbones=own, protocols=generate)):
        require_text(given, make_plan(given))
