"""Everything for which the rules reach inside Snakemake, one small function each.

None of it is documented by Snakemake, so each release may move it; a test runs each function in a
small workflow and says which one fails. `workflow` is Snakemake's object of that name, which stands
in the namespace of every Snakefile.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from snakemake.exceptions import ResourceValidationError

from matcg.errors import ConfigError


def is_module(workflow: Any) -> bool:
    """Tell whether the Snakefile that is being read is used as a module of another."""
    return not workflow.modifier.is_main_snakefile()


def prefix(workflow: Any) -> str:
    """Return what a module's `prefix:` puts before each of its paths, empty or ending in a slash.

    Raises:
        ConfigError: the module has `replace_prefix`, which paths in tables cannot follow.
    """
    modifier, found = workflow.modifier.path_modifier, ""
    while modifier is not None:
        if modifier.modifies_prefixes:
            raise ConfigError("module: replace_prefix is not followed; use `prefix`")
        found, modifier = (modifier.prefix or "") + found, modifier.inner_modifier
    return found


def rule_names(workflow: Any, names: Iterable[str]) -> dict[str, str]:
    """Return by the name that each rule has in this call (`use rule * as own_*`) its own name."""
    return {workflow.modifier.modify_rulename(name): name for name in names}


def config_sources(workflow: Any) -> tuple[list[str], list[Path], list[str]]:
    """Return all config files, those given by --configfile, and the keys given by --config."""
    settings = workflow.config_settings
    return (
        [str(path) for path in workflow.configfiles],
        list(settings.configfiles),
        list(settings.config),
    )


def tell_config(workflow: Any, told: str) -> None:
    """Let the processes that run jobs elsewhere read the config as if --config had said `told`."""
    settings = workflow.config_settings
    settings.config_args = [*(settings.config_args or []), told]


def is_main_process(workflow: Any) -> bool:
    """Tell whether this process is the user's call, and not one that runs a single job for it."""
    return bool(workflow.is_main_process)


def runs_jobs(workflow: Any) -> bool:
    """Tell whether this call runs jobs: it lists nothing, unlocks nothing and is no dry run.

    Not known while the Snakefile is read, but when input functions are called.
    """
    return bool(workflow.is_main_process and workflow.executor_plugin and not workflow.dryrun)


def jobs_are_known(workflow: Any) -> bool:
    """Tell whether all jobs of a call that runs them are known, and none has started."""
    return runs_jobs(workflow) and workflow.scheduler is not None


def jobs_to_run(workflow: Any) -> list[Any]:
    """Return the jobs of this call that are still to be run."""
    return list(workflow.dag.needrun_jobs())


def unit_of(workflow: Any, job: Any) -> Any:
    """Return what is sent to a cluster for a job: its group, where it has one, or itself."""
    return workflow.dag.get_job_group(job) or job


def sends_to_slurm(workflow: Any) -> bool:
    """Tell whether the jobs of this call are sent to Slurm."""
    return bool(workflow.executor_plugin.name == "slurm")


def uses_own_devices(workflow: Any) -> bool:
    """Tell whether the jobs of this call run on this machine, and are not only touched."""
    return bool(workflow.local_exec and not workflow.touch)


def overridden(workflow: Any, rule: str) -> Mapping[str, Any]:
    """Return what --set-resources says of a rule, by resource."""
    return dict(workflow.resource_settings.overwrite_resources.get(rule, {}))


def overridden_text(workflow: Any, rule: str, name: str) -> str:
    """Return what --set-resources says of a text resource of a rule, empty where nothing."""
    found = overridden(workflow, rule).get(name)
    raw = getattr(found, "raw", found)
    return str(raw).strip("'\"") if raw is not None else ""


def given_resource(workflow: Any, name: str) -> int | None:
    """Return how much of a resource all jobs together may use, None where no bound is given."""
    total = workflow.global_resources
    return int(total[name].value) if name in total else None


def bound_resource(workflow: Any, name: str, amount: int) -> None:
    """Let all jobs together use no more than `amount` of a resource, once jobs are known."""
    workflow.register_resource(name, amount)
    # Only what stands here too is counted down when jobs start. A new table, since Snakemake may be
    # going through this one.
    scheduler = workflow.scheduler
    scheduler.global_resources = {**scheduler.global_resources, name: amount}


def lift_start_limit(workflow: Any) -> None:
    """Take away Snakemake's limit on job starts where no cluster is to be spared it.

    Each job that ends begins another clock, and each of these has all that is ready looked through
    once a second: a quarter of a core after seventy jobs. The last go on after the last job: where
    Snakemake runs one job elsewhere, a second less of a GPU, twice a job. For input functions: the
    setting is not there yet when the rules are read. What the user gives on this machine stays.
    """
    if not workflow.scheduling_settings:
        return  # nothing is to be run, as for `--report`
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    usual = limit and (limit.max_jobs, limit.timespan) == (100, 1)
    if not workflow.is_main_process or (workflow.local_exec and usual):
        workflow.scheduling_settings.max_jobs_per_timespan = None


def refusal(reason: str) -> Exception:
    """Return the error by which a resource function stops a call; it is shown in one line."""
    error: Exception = ResourceValidationError(reason)
    return error


def distinct_units(
    workflow: Any, jobs: Iterable[Any], keys: Iterable[str]
) -> Iterator[tuple[Any, Any]]:
    """Yield a job and what is sent for it, one a group, and one a rule and values of `keys`."""
    found: dict[Any, Any] = {}
    for job in jobs:
        unit = unit_of(workflow, job)
        kind = (job.rule.name, *(job.wildcards.get(key) for key in keys))
        found.setdefault(kind if unit is job else unit, (job, unit))
    yield from found.values()
