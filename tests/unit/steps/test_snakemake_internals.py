"""Each reach inside Snakemake in a small workflow of its own; fails where Snakemake moved it."""

import contextlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.api import SnakemakeApi, WorkflowApi
from snakemake.exceptions import WorkflowError
from snakemake.settings import types

from matcg.errors import ConfigError
from matcg.steps import snakemake_internals as inside

SNAKEFILE = Path(__file__).parents[3] / "Snakefile"

# Resource functions are the place where the workflow asks, so SEEN is filled by one of them.
TWO_RULES = """\
from matcg.steps import snakemake_internals as inside

SEEN = []


def look(wildcards, attempt):
    SEEN.append(ASK(workflow))
    return 1


rule first:
    output: touch("first")
    resources: looked=look


rule second:
    default_target: True
    input: "first"
    output: touch("second")
    resources: gpu=2
"""
MODULE = """\
module own:
    snakefile: "inner.smk"
    prefix: "there"
    config: {}

use rule * from own as own_*
"""


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., WorkflowApi]]:
    """Return a function that writes a Snakefile and opens it with Snakemake."""
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as stack:

        def open_(text: str, resources: Any = None, **settings: Any) -> WorkflowApi:
            Path("Snakefile").write_text(text)
            output = types.OutputSettings(quiet={types.Quietness.ALL})
            api = stack.enter_context(SnakemakeApi(output))
            resources = types.ResourceSettings(**{"cores": 1, **(resources or {})})
            return api.workflow(resources, snakefile=Path("Snakefile"), **settings)

        yield open_


def read(api: WorkflowApi) -> Any:
    """Return Snakemake's workflow once its rules are read."""
    return api._workflow


def run(api: WorkflowApi, executor: str = "local") -> Any:
    """Run a workflow to its end and return Snakemake's object."""
    api.dag().execute_workflow(executor=executor)
    return read(api)


def seen(opened: Callable[..., WorkflowApi], ask: str, **settings: Any) -> list[Any]:
    """Return what a function says when the resources of the first jobs are asked for."""
    text = f"ASK = lambda workflow: {ask}\n{TWO_RULES}"
    found: list[Any] = run(opened(text, **settings)).globals["SEEN"]
    return found


def test_the_folder_of_a_snakefile_is_known_while_it_is_read(
    opened: Callable[..., WorkflowApi], tmp_path: Path
) -> None:
    (tmp_path / "rules").mkdir()
    # By the Snakefile's own line: it has to find the library before it can import a function of it.
    (line,) = (each for each in SNAKEFILE.read_text().splitlines() if each.startswith("ROOT = "))
    said = "from pathlib import Path\n" + line.replace("ROOT", "{}") + "\n"
    (tmp_path / "rules/more.smk").write_text(said.format("LOWER"))
    text = 'include: "rules/more.smk"\n' + said.format("UPPER") + TWO_RULES
    told = read(opened(text)).globals
    assert (told["UPPER"], told["LOWER"]) == (tmp_path, tmp_path / "rules")


ASKED = """\
from matcg.steps import snakemake_internals as inside

SAID = inside.is_module(workflow), inside.prefix(workflow)
NAMES = inside.rule_names(workflow, ["finetune"])
"""


def test_a_module_knows_that_it_is_one_its_prefix_and_its_rules_names(
    opened: Callable[..., WorkflowApi],
) -> None:
    Path("inner.smk").write_text(ASKED)
    told = read(opened(MODULE + ASKED)).globals
    assert told["own"].SAID == (True, "there/")
    assert told["own"].NAMES == {"own_finetune": "finetune"}
    assert told["SAID"] == (False, "")
    assert told["NAMES"] == {"finetune": "finetune"}


def test_prefixes_of_modules_in_modules_follow_one_another(
    opened: Callable[..., WorkflowApi],
) -> None:
    Path("middle.smk").write_text(MODULE.replace('prefix: "there"', 'prefix: "here/"'))
    Path("inner.smk").write_text(ASKED)
    workflow = read(opened(MODULE.replace("inner.smk", "middle.smk")))
    assert workflow.globals["own"].own.SAID == (True, "there/here/")


def test_a_module_whose_paths_are_replaced_is_refused(opened: Callable[..., WorkflowApi]) -> None:
    Path("inner.smk").write_text(ASKED)
    text = MODULE.replace('prefix: "there"', 'replace_prefix: {"results/": "there/"}')
    with pytest.raises(ConfigError, match="replace_prefix is not followed; use `prefix`"):
        read(opened(text))


def test_what_gave_the_config_is_told_apart(
    opened: Callable[..., WorkflowApi], tmp_path: Path
) -> None:
    Path("config.yaml").write_text("a: 1\n")
    Path("mine.yaml").write_text("b: 1\n")
    settings = types.ConfigSettings(config={"c": 1}, configfiles=[Path("mine.yaml")])
    workflow = read(opened('configfile: "config.yaml"\n' + TWO_RULES, config_settings=settings))
    files, overrides, given = inside.config_sources(workflow)
    mine = tmp_path / "mine.yaml"
    assert [Path(file).resolve() for file in files] == [mine, tmp_path / "config.yaml"]
    assert (overrides, given) == ([mine], ["c"])


def test_jobs_that_run_elsewhere_are_told_of_a_config(opened: Callable[..., WorkflowApi]) -> None:
    from snakemake.spawn_jobs import SpawnedJobArgsFactory

    workflow = read(opened(TWO_RULES, config_settings=types.ConfigSettings(config_args=["b=2"])))
    inside.tell_config(workflow, "a=[1]")
    told = SpawnedJobArgsFactory(workflow).workflow_property_to_arg
    assert told("config_settings.config_args", flag="--config") == "--config 'b=2' 'a=[1]'"


def test_a_call_that_runs_jobs_is_no_dry_run_and_no_listing(
    opened: Callable[..., WorkflowApi],
) -> None:
    listing = read(opened(TWO_RULES))
    assert inside.is_main_process(listing)
    assert not inside.runs_jobs(listing)
    assert all(seen(opened, "inside.runs_jobs(workflow)"))
    Path("first").unlink()
    text = f"ASK = lambda workflow: inside.runs_jobs(workflow)\n{TWO_RULES}"
    dry = run(opened(text), "dryrun")
    assert not any(dry.globals["SEEN"])
    assert not inside.jobs_are_known(dry)


def test_a_process_that_runs_one_job_is_not_the_main_one(
    opened: Callable[..., WorkflowApi],
) -> None:
    settings = types.WorkflowSettings(exec_mode=types.ExecMode.REMOTE)
    assert not inside.is_main_process(read(opened(TWO_RULES, workflow_settings=settings)))


def test_jobs_are_known_before_the_first_starts(opened: Callable[..., WorkflowApi]) -> None:
    ask = "(inside.jobs_are_known(workflow), sorted(map(str, inside.jobs_to_run(workflow))),"
    found = seen(opened, f"{ask} __import__('os').path.exists('first'))")
    assert (True, ["first", "second"], False) in found
    # Whatever is asked earlier, the checks wait for this.
    assert all(not exists for known, _, exists in found if known)


def test_devices_and_clusters_are_told_apart(opened: Callable[..., WorkflowApi]) -> None:
    ask = "(inside.sends_to_slurm(workflow), inside.uses_own_devices(workflow))"
    assert set(seen(opened, ask)) == {(False, True)}
    touched = run(opened(TWO_RULES.replace("ASK(workflow)", "0")), "touch")
    assert not inside.uses_own_devices(touched)


SEVERAL = """\
from matcg.steps import snakemake_internals as inside

SEEN, JOBS = [], inside.jobs_to_run


def look(wildcards):
    # Asked itself for the resources of all jobs that it looks at, so the first time only.
    if inside.jobs_are_known(workflow) and not SEEN:
        SEEN.append("asked")
        SEEN[0] = [
            (job.rule.name, job.wildcards.get("backbone"), unit is job, unit.threads,
             unit.resources.get("mem_mb"), len(getattr(unit, "jobs", ["itself"])))
            for job, unit in inside.distinct_units(workflow, JOBS(workflow), ["backbone"])
            if job.rule.name != "all"
        ]
    return 10


rule all:
    input: expand("second/{backbone}-{seed}", backbone=["a", "b"], seed=[0, 1])


rule two:
    input: "first/{backbone}-{seed}"
    output: "second/{backbone}-{seed}"
    resources: mem_mb=20
    shell: "touch {output}"


rule one:
    output: "first/{backbone}-{seed}"
    resources: mem_mb=look
    shell: "touch {output}"
"""


def test_one_job_of_each_kind_is_looked_at(opened: Callable[..., WorkflowApi]) -> None:
    first = run(opened(SEVERAL)).globals["SEEN"][0]
    jobs = [("one", "a", True, 1, 10, 1), ("one", "b", True, 1, 10, 1)]
    assert sorted(first) == [*jobs, ("two", "a", True, 1, 20, 1), ("two", "b", True, 1, 20, 1)]


def test_resources_are_bound_before_the_first_job(opened: Callable[..., WorkflowApi]) -> None:
    bound = (
        "(inside.given_resource(workflow, 'gpu'), inside.jobs_are_known(workflow)"
        " and inside.given_resource(workflow, 'gpu') is None"
        " and inside.bound_resource(workflow, 'gpu', 3),"
        " dict(workflow.scheduler.global_resources) if workflow.scheduler else {})"
    )
    found = seen(opened, bound)
    assert (None, None) in [each[:2] for each in found]
    assert found[-1][2]["gpu"] == 3


def test_a_bound_resource_is_counted_down(opened: Callable[..., WorkflowApi]) -> None:
    text = """\
from matcg.steps import snakemake_internals as inside

rule all:
    input: expand("{n}", n=range(4))

def one(wildcards):
    if inside.jobs_are_known(workflow) and inside.given_resource(workflow, "gpu") is None:
        inside.bound_resource(workflow, "gpu", 1)
    return 1

rule one:
    output: "{n}"
    resources: gpu=one
    shell: "date +%s%N > {output}; sleep 0.3; date +%s%N >> {output}"
"""
    run(opened(text, {"cores": 4}))
    times = sorted(tuple(map(int, Path(str(n)).read_text().split())) for n in range(4))
    assert all(before[1] <= after[0] for before, after in pairwise(times))


def test_what_the_user_gives_is_not_bound_anew(opened: Callable[..., WorkflowApi]) -> None:
    workflow = read(opened(TWO_RULES, {"resources": {"gpu": 5}}))
    assert inside.given_resource(workflow, "gpu") == 5
    assert inside.given_resource(workflow, "other") is None


def test_what_set_resources_says_is_seen(opened: Callable[..., WorkflowApi]) -> None:
    workflow = read(opened(TWO_RULES, {"overwrite_resources": {"second": {"gpu": 7}}}))
    assert list(inside.overridden(workflow, "second")) == ["gpu"]
    assert inside.overridden_text(workflow, "second", "gpu") == "7"
    assert inside.overridden_text(workflow, "second", "gres_of") == ""
    assert inside.overridden(workflow, "first") == {}


@pytest.mark.parametrize(
    ("mode", "executor", "limit", "kept"),
    [
        (types.ExecMode.DEFAULT, "local", "100/1s", False),
        (types.ExecMode.DEFAULT, "local", "50/10s", True),
        (types.ExecMode.DEFAULT, "cluster", "100/1s", True),
        (types.ExecMode.REMOTE, "cluster", "50/10s", False),
    ],
)
def test_the_limit_on_job_starts_is_for_clusters_and_users(
    opened: Callable[..., WorkflowApi],
    mode: types.ExecMode,
    executor: str,
    limit: str,
    kept: bool,
) -> None:
    workflow = read(opened(TWO_RULES, workflow_settings=types.WorkflowSettings(exec_mode=mode)))
    workflow._executor_plugin = SimpleNamespace(
        common_settings=SimpleNamespace(local_exec=executor == "local")
    )
    known = types.MaxJobsPerTimespan.parse_choice(limit)
    workflow.scheduling_settings = types.SchedulingSettings(max_jobs_per_timespan=known)
    inside.lift_start_limit(workflow)
    assert (workflow.scheduling_settings.max_jobs_per_timespan is not None) == kept


def test_a_refusal_is_one_line_without_traceback(opened: Callable[..., WorkflowApi]) -> None:
    text = TWO_RULES.replace(
        "SEEN.append(ASK(workflow))", "raise inside.refusal('Not launched: too much')"
    )
    with pytest.raises(WorkflowError) as caught:
        run(opened(text))
    assert (
        str(caught.value).splitlines()[-1].strip()
        == "ResourceValidationError: Not launched: too much"
    )
    assert "Traceback" not in str(caught.value)
    assert not Path("first").exists()
