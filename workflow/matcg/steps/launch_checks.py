"""What must hold before the first job starts: images, budget, GPUs, what partitions can give."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from pathlib import Path
from typing import Any

from matcg import coordinates, plugins
from matcg.cluster import devices, partition
from matcg.cluster.partition import Most, Partition, Request
from matcg.config.backbone import Backbone
from matcg.config.catalog import SubsetSpec
from matcg.config.project import Project
from matcg.config.workflow import Budget, Config
from matcg.data import readers
from matcg.errors import ConfigError, MatcgError
from matcg.identity import plain
from matcg.plan import cards, price
from matcg.plan.enumerate import Plan
from matcg.plan.price import Cost
from matcg.plan.records import protocol_of
from matcg.steps import forks
from matcg.steps import snakemake_internals as inside

# On the way to all that takes long stands one of these, ready to start in a call that needs it.
CHECKED = ("prepare", "lengths", "mix", "convert", "finetune", "predict")
ON_GPUS = ("finetune", "predict")

Ceilings = dict[tuple[str, str | None], Most]


class Launch:
    """Looks once in a call, before its first job starts, whether its jobs may.

    Resource functions of the rules in `CHECKED` call `check`: Snakemake asks them for all jobs that
    are ready before it starts one, also where the workflow is a module of another, whose `onstart`
    does not run, and with --no-hooks.
    """

    def __init__(
        self,
        workflow: Any,
        project: Project,
        backbones: Mapping[str, Backbone],
        folder: Callable[[str], Path],
        costs: Callable[[], list[Cost]],
    ) -> None:
        """Take Snakemake's workflow while its rules are read, and what they are about.

        `backbones` are by the names that they have in paths. `folder` and `costs` say where a
        catalog's images are looked for, and what the plan takes.
        """
        self._workflow, self._project, self._backbones = workflow, project, backbones
        self._folder, self._costs = folder, costs
        self._steps = inside.rule_names(workflow, CHECKED)
        self._ceilings: Ceilings = {}
        self._done = False

    def check(self) -> None:
        """Stop the call where one of its jobs must not be started.

        Raises:
            ResourceValidationError: of Snakemake, which shows its one line.
        """
        if self._done or not inside.jobs_are_known(self._workflow):
            return
        self._done = True
        try:
            self._check()
        except MatcgError as error:
            raise inside.refusal(f"Not launched: {error}") from None

    def _check(self) -> None:
        jobs = inside.jobs_to_run(self._workflow)
        steps = {self._steps.get(job.rule.name) for job in jobs}
        if inside.sends_to_slurm(self._workflow):
            sent = [job for job in jobs if not job.is_local]
            self._fit_partitions(sent, partition.read_partitions())
        if "prepare" in steps:
            require_data(self._project, self._folder)
        if steps & set(ON_GPUS):
            require_budget(self._costs(), self._project.config.budget)
            self._share_devices(jobs)
            self._fit_cards(jobs)
        short = [job for job in jobs if self._steps.get(job.rule.name) in forks.STEPS]
        if len(short) > 1 and inside.uses_own_devices(self._workflow):
            forks.start_server()

    def most(self, backbone: str, recipe: str | None) -> Most:
        """Return the most that later tries of a backbone's jobs can ask for, by names in paths."""
        return self._ceilings.get((backbone, recipe), Most(None, None))

    def _fit_partitions(self, jobs: list[Any], partitions: list[Partition]) -> None:
        """Refuse what a job can never get from its partition, and note what later tries may ask."""
        asked: list[tuple[Request, tuple[str, str | None] | None]] = []
        keys = ("backbone", "recipe", "catalog")
        for job, unit in inside.distinct_units(self._workflow, jobs, keys):
            what = f"rule {job.rule.name}" if unit is job else f"a group of {job.rule.name}"
            request = partition.request_of(what, unit.threads, unit.resources)
            grows = self._steps.get(job.rule.name) in ON_GPUS
            asked.append((request, _key(job) if grows else None))
        self._ceilings = fit_partitions(asked, partitions)

    def _share_devices(self, jobs: Iterable[Any]) -> None:
        """On this machine, start no more jobs than there are GPUs, --resources gpu=N or not."""
        if not inside.uses_own_devices(self._workflow):
            return
        asked: dict[str, int] = defaultdict(int)
        for name, recipe in self._asking(jobs, ON_GPUS, {"gpu"}):
            backbone = self._backbones[name]
            amount = backbone.resources.amount("gpu", recipe and plain(recipe))
            asked[backbone.name] = max(asked[backbone.name], amount)
        if any(asked.values()):
            given = inside.given_resource(self._workflow, "gpu")
            count = devices.limit(asked, given)
            if given is None:
                inside.bound_resource(self._workflow, "gpu", count)

    def _asking(
        self, jobs: Iterable[Any], steps: Collection[str], resources: Set[str]
    ) -> set[tuple[str, str | None]]:
        """Return backbones and recipes of the jobs of some steps, by their names in paths.

        Without those of rules of which --set-resources names one of `resources`.
        """
        rules = {
            rule
            for rule, step in self._steps.items()
            if step in steps and not resources & inside.overridden(self._workflow, rule).keys()
        }
        return {_key(job) for job in jobs if job.rule.name in rules}

    def _fit_cards(self, jobs: Iterable[Any]) -> None:
        """Refuse a fine-tuning that the cards, where they are known, cannot hold."""
        runs = self._asking(jobs, ("finetune",), {"gpu", "nodes"})
        asked = {(name, plain(str(recipe))) for name, recipe in runs}
        here = inside.uses_own_devices(self._workflow)
        known = {name for name, recipe in asked if self._backbones[name].resources.gpu}
        room = card_room(self._project.config, here) if known else None
        if room and (found := cards.too_large_of(self._backbones, sorted(asked), room)):
            raise ConfigError("; ".join(dict.fromkeys(found)))


def card_room(config: Config, here: bool) -> float | None:
    """Return the GiB of each card as the config says, else of this machine's if jobs run `here`."""
    if config.card_gb:
        return cards.room_of(config.card_gb)
    return devices.smallest_memory() if here else None


def count_cards(project: Project, here: bool) -> Project:
    """Return the project with numbers in place of `gpu: auto`.

    Raises:
        ConfigError: nothing is known of the cards.
    """
    if not any(each.resources.gpu == "auto" for each in project.backbones.values()):
        return project
    return cards.with_counts(project, card_room(project.config, here))


def _key(job: Any) -> tuple[str, str | None]:
    """Return the names that a job's backbone and recipe have in its paths."""
    return job.wildcards.backbone, job.wildcards.get("recipe")


def fit_partitions(
    asked: Iterable[tuple[Request, tuple[str, str | None] | None]], partitions: list[Partition]
) -> Ceilings:
    """Return the most that later tries can ask for, by the key beside a request.

    Raises:
        ConfigError: a request can never be met.
    """
    found: Ceilings = {}
    refused = []
    for request, key in asked:
        if reason := partition.impossible(request, partitions):
            refused.append(reason)
        elif key:
            found[key] = partition.most(request, partitions)
    if refused:
        raise ConfigError(
            f"{'; '.join(dict.fromkeys(refused))}. Ask for less (`resources` in the backbone's"
            " file, --set-resources), or name another partition in slurm/site.yaml."
        )
    return found


def require_budget(costs: list[Cost], budget: Budget) -> None:
    """Refuse a plan that is above the config's budget, or whose price is not known.

    Raises:
        ConfigError: it is.
    """
    if refused := price.over_budget(costs, budget):
        raise ConfigError(
            f"{'; '.join(refused)}. `snakemake plan` shows what takes how much; plan less, or raise"
            " the budget in the config."
        )


def require_data(project: Project, folder: Callable[[str], Path]) -> None:
    """Refuse where a catalog's folder of images is not configured.

    Raises:
        ConfigError: it is not.
    """
    for name, root in project.roots.items():
        if root is None and readers.get(project.catalogs[name].reader).folder:
            raise ConfigError(
                f"data.{name} is not set: the folder that catalog '{name}' reads its images from,"
                f" {folder(name)} unless the config says another; `snakemake fetch_medmat` gets"
                " Med-MAT's questions, `snakemake check_images` says which images are missing"
            )


def require_coordinates(project: Project, plan: Plan) -> None:
    """Refuse where a backbone has no words, or unknown ones, for the places in planned answers.

    Raises:
        ConfigError: that is so.
    """
    for backbone in project.backbones.values():
        if backbone.coordinates:
            try:
                plugins.check_name(coordinates, backbone.coordinates, "coordinates")
            except ConfigError as error:
                raise ConfigError(f"{backbone.where}: coordinates: {error}") from None
    mute = {name for name, each in project.backbones.items() if not each.coordinates}
    for name, catalog, subset in sorted(_used(plan, mute)) if mute else ():
        member = project.catalogs[catalog].member(subset)
        if has_places(member):
            raise ConfigError(
                f"{project.backbones[name].where}: coordinates: is missing, and subset '{subset}'"
                f" of catalog '{catalog}' is answered with {member.form_of_answer}; say how the"
                f" backbone writes places: {', '.join(plugins.names_in(coordinates))}"
            )


def has_places(subset: SubsetSpec) -> bool:
    """Tell whether a subset's answers name places."""
    return bool(_form(subset.form_of_answer).places)


def require_text(project: Project, plan: Plan) -> None:
    """Refuse where the answers of a backbone's own command, which are text, are asked for scores.

    Raises:
        ConfigError: that is so.
    """
    own = {name for name, each in project.backbones.items() if each.commands}
    for each in plan.evaluations if own else ():
        protocol = project.protocols[protocol_of(each.asked)]
        form = project.catalogs[each.catalog].member(each.target).form_of_answer
        if each.backbone in own and protocol.scoring != "generate" and _form(form).tokens:
            raise ConfigError(
                f"{protocol.where}: scoring: is '{protocol.scoring}', and backbone"
                f" '{each.backbone}' answers by a command of its own, whose text has no"
                f" probability; ask it for {form} by a protocol with `scoring: generate`"
            )


def _used(plan: Plan, backbones: Collection[str]) -> set[tuple[str, str, str]]:
    """Return the subsets that backbones are trained on or asked about, with their catalogs."""
    mixes = {mix.id: mix for mix in plan.mixes}
    trained = {(run.backbone, mixes[run.mix]) for run in plan.runs}
    used = {(each.backbone, each.catalog, each.target) for each in plan.evaluations}
    used |= {(name, mix.catalog, subset) for name, mix in trained for subset, _ in mix.parts}
    return {each for each in used if each[0] in backbones}


def _form(name: str) -> Any:
    """Return a form of answer; forms take long to import, and most calls ask for none."""
    from matcg import forms

    return forms.named(name)
