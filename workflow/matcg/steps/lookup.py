"""From the wildcards of a job to its inputs and to what it makes, by looking into the plan.

Made once a call, with small tables; everything about a single job waits until it is asked for.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from matcg.config.backbone import Backbone
from matcg.config.catalog import Catalog, read_sources
from matcg.config.experiment import Experiment
from matcg.config.library import Library
from matcg.config.project import Project, data_folder
from matcg.config.protocol import Protocol
from matcg.data import readers
from matcg.data.homes import links_of
from matcg.errors import ConfigError
from matcg.identity import plain
from matcg.models.identity import with_weights
from matcg.plan import price, throughput
from matcg.plan.enumerate import Plan
from matcg.plan.groups import AskedByRun, Groups, find_groups
from matcg.plan.places import Places
from matcg.plan.price import Cost
from matcg.plan.records import BASELINE, Evaluation, Mix, protocol_of, tag_of
from matcg.plan.tables import question_counts, read_accounts
from matcg.steps import specs

_T = TypeVar("_T")
SIDES = ("train", "test")


def planned(table: Mapping[Any, _T], key: Any) -> _T:
    """Return what the plan holds for a path that was asked for.

    Raises:
        SystemExit: it holds nothing.
    """
    if key not in table:
        raise SystemExit(f"matcg: {key} is not in the plan; results/plan lists what is")
    return table[key]


class Lookup:
    """What rules ask of a project and its plan.

    Paths are those of the rules, before which Snakemake puts the `prefix` of a module; `here` has
    them as this process finds them.
    """

    def __init__(
        self,
        project: Project,
        plan: Plan,
        root: Path,
        origins: Mapping[str, Path] | None = None,
        prefix: str = "",
    ) -> None:
        """Take a project and its plan, the repository `root`, and the file that gave each key."""
        self.project, self.plan, self.root, self.prefix = project, plan, root, prefix
        self.origins = origins or {}
        self.places = Places.of(project)
        self.here = replace(self.places, results=f"{prefix}{self.places.results}")
        names = self.places
        backbones = {name: with_weights(each) for name, each in project.backbones.items()}
        self.backbones: dict[str, Backbone] = {
            place[name]: each
            for place in (names.trained, names.asked, names.measured)
            for name, each in backbones.items()
        }
        self.recipes = {
            (names.trained[name], names.names.recipe(name, recipe)): settings
            for name, each in backbones.items()
            for recipe, settings in each.recipes.items()
        }
        self.converted = {each.weights: each for each in backbones.values() if each.original}
        self.mixes = {mix.name: mix for mix in plan.mixes}
        self.subsets = {(c, names.names.subset(c, name)): name for c, name in plan.subsets}
        self.declared = {each.name: each for each in project.experiments}
        self.show_missing = project.config.missing == "show"
        self.groups, self.catalog = cache(self._groups), cache(self._catalog)

    # --- Samples and mixes -----------------------------------------------------------------------

    def samples(self, catalog: str, names: Iterable[str], side: str) -> list[str]:
        """Return a file of samples of each of some subsets."""
        return [f"{self.places.subset(catalog, name)}/{side}.parquet" for name in names]

    def prepare(self, wildcards: Any) -> specs.PrepareSpec:
        """Return how a subset becomes samples."""
        name = planned(self.subsets, (wildcards.catalog, wildcards.subset))
        catalog = self.project.catalogs[wildcards.catalog]
        return specs.PrepareSpec(preparation=catalog.preparation(name))

    def reader(self, wildcards: Any) -> readers.Reader:
        """Return what reads the files of a subset."""
        return readers.get(self.prepare(wildcards).preparation.reader)

    def train_files(self, wildcards: Any) -> list[str]:
        """Return the training samples that a mix draws from."""
        mix = planned(self.mixes, wildcards.mix)
        return self.samples(mix.catalog, [name for name, _ in mix.parts], "train")

    def test_files(self, wildcards: Any) -> list[str]:
        """Return the test questions whose pictures a mix must not hold."""
        mix = planned(self.mixes, wildcards.mix)
        return self.samples(mix.catalog, mix.targets, "test")

    def lengths(self, wildcards: Any) -> specs.LengthsSpec:
        """Return the backbone that measures a subset's samples."""
        return specs.LengthsSpec(backbone=planned(self.backbones, wildcards.backbone))

    def subset_files(self, wildcards: Any) -> list[str]:
        """Return the samples of a subset that are measured."""
        name = planned(self.subsets, (wildcards.catalog, wildcards.subset))
        return [f for side in SIDES for f in self.samples(wildcards.catalog, [name], side)]

    def mix_lengths(self, wildcards: Any) -> list[str]:
        """Return what backbones are not asked of a mix's subsets, and of its targets.

        Of these too, so that all is measured before anything is trained.
        """
        mix = planned(self.mixes, wildcards.mix)
        names = sorted({*(name for name, _ in mix.parts), *mix.targets})
        return [self.places.lengths(m, mix.catalog, name) for m in mix.measured for name in names]

    def group_lengths(self, wildcards: Any) -> list[str]:
        """Return what a group's backbone is not asked of its targets."""
        name = planned(self.backbones, wildcards.backbone).name
        asked = {(e.catalog, e.target) for e in chain(*self._group(wildcards).values())}
        return [self.places.lengths(self.places.measured[name], *each) for each in sorted(asked)]

    def mix(self, wildcards: Any) -> specs.MixSpec:
        """Return a mix with what holds in all experiments that use it: of leaks, the strictest."""
        mix = planned(self.mixes, wildcards.mix)
        users = self._users[mix.name]
        policies = {each.leaks for each in users}
        return specs.MixSpec(
            mix=mix,
            distance=self.project.catalogs[mix.catalog].near_duplicates,
            forbidden=tuple(self.plan.forbidden[mix.name]),
            size=self._size(mix, users[0]),
            leaks=next(each for each in ("error", "drop", "report") if each in policies),
        )

    @cached_property
    def _users(self) -> dict[str, list[Experiment]]:
        """Return the experiments that train on each mix."""
        found = defaultdict(list)
        for name, part in self.plan.parts.items():
            for mix in part.mixes:
                found[mix.name].append(self.declared[name])
        return dict(found)

    def _size(self, mix: Mix, experiment: Experiment) -> int:
        """Return the number of samples of every trained arm of an experiment that uses a mix."""
        rows = self.plan.parts[experiment.name].rows
        asked = next(row.n_train for row in rows if row.mix == mix.id)
        return asked + sum(experiment.general.values())

    # --- Runs and answers ------------------------------------------------------------------------

    def base_weights(self, wildcards: Any) -> list[str]:
        """Return a backbone's own weights where a rule makes them."""
        weights = planned(self.backbones, wildcards.backbone).weights
        return [weights] if weights in self.converted else []

    def convert(self, wildcards: Any) -> specs.ConvertSpec:
        """Return the backbone whose weights are made."""
        path = f"results/converted/{wildcards.backbone}/{wildcards.digest}"
        return specs.ConvertSpec(backbone=planned(self.converted, path))

    def finetune(self, wildcards: Any) -> specs.FinetuneSpec:
        """Return what a run is trained with."""
        backbone = self.backbones[wildcards.backbone]
        own = backbone.resources.of(plain(wildcards.recipe))
        return specs.FinetuneSpec(
            backbone=backbone.model_copy(update={"resources": own}),
            recipe=planned(self.recipes, (wildcards.backbone, wildcards.recipe)),
            checkpoint_minutes=self.project.config.training.checkpoint_minutes,
        )

    def export_mix(self, wildcards: Any) -> specs.ExportSpec:
        """Return the backbone in whose words a mix is written."""
        return specs.ExportSpec(backbone=planned(self.backbones, wildcards.backbone))

    def exports(self) -> list[str]:
        """Return the folders of all mixes that a run is planned on, in its backbone's words."""
        return sorted({self.places.export(run) for run in self.plan.runs})

    def _groups(self, experiment: str | None = None) -> Groups:
        """Return the groups of runs of an experiment, or of all, with what each is asked."""
        plan = self.plan.parts[experiment] if experiment else self.plan
        return find_groups(plan, self.project.config.engine.runs)

    @cached_property
    def _answering(self) -> dict[tuple[str, str], AskedByRun]:
        """Return all groups by the names that backbone and group have in paths."""
        return {
            (self.places.asked[name], group): runs for (name, group), runs in self.groups().items()
        }

    def _group(self, wildcards: Any) -> AskedByRun:
        return planned(self._answering, (wildcards.backbone, wildcards.group))

    def group_weights(self, wildcards: Any) -> list[str]:
        """Return the weights of a group's runs."""
        name = planned(self.backbones, wildcards.backbone).name
        runs = self._group(wildcards)
        return [self.places.weights(name, run) for run in runs if run != BASELINE]

    def group_data(self, wildcards: Any) -> list[str]:
        """Return the questions that a group is asked, and the samples that examples come from."""
        asked = set(chain(*self._group(wildcards).values()))
        shown = {(e.catalog, e.target) for e in asked if self._protocol(e).shots}
        wanted = {(e.catalog, e.target) for e in asked}
        questions = {file for c, name in wanted for file in self.samples(c, [name], "test")}
        return sorted(
            questions | {file for c, name in shown for file in self.samples(c, [name], "train")}
        )

    def _protocol(self, asked: Evaluation) -> Protocol:
        return self.project.protocols[protocol_of(asked.asked)]

    def predict(self, wildcards: Any) -> specs.PredictSpec:
        """Return what a group of runs is asked."""
        runs = self._group(wildcards)
        used = {each.name: each for each in map(self._protocol, chain(*runs.values()))}
        return specs.PredictSpec(
            backbone=self.backbones[wildcards.backbone],
            engine=self.project.config.engine,
            protocols=_plain(used[name] for name in sorted(used)),
            asked={run: tuple(map(self._sheet, asked)) for run, asked in runs.items()},
        )

    def _sheet(self, asked: Evaluation) -> tuple[str, str, str, str, str]:
        """Return of an evaluation what `read_asked` needs."""
        folder = self.places.names.subset(asked.catalog, asked.target)
        file = asked.place.removeprefix(f"{asked.run}/")
        return asked.catalog, asked.target, folder, tag_of(asked.asked), file

    def amount(self, name: str, wildcards: Any) -> int:
        """Return how much of a resource a job needs: its recipe's own amount or the backbone's."""
        recipe = wildcards.get("recipe")
        resources = planned(self.backbones, wildcards.backbone).resources
        return resources.amount(name, recipe and plain(recipe))

    # --- Prices ----------------------------------------------------------------------------------

    def costs(self) -> list[Cost]:
        """Return what the plan takes, by what finished jobs have measured."""
        return price.price(
            self.plan,
            self.project,
            throughput.read_speeds(Path(self.here.results, throughput.NAME)),
            question_counts(self.accounts),
        )

    @cached_property
    def accounts(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return what is said of the samples of targets that are prepared."""
        targets = sorted({(row.catalog, row.target) for row in self.plan.rows})
        return read_accounts({target: Path(self.here.subset(*target)) for target in targets})

    # --- Without a plan --------------------------------------------------------------------------

    def _catalog(self, name: str) -> Catalog:
        """Return a catalog by name, planned or not.

        Raises:
            ConfigError: there is none, or its file is wrong.
        """
        if name in self.project.catalogs:
            return self.project.catalogs[name]
        found: Catalog = Library(self.root).load("catalog", name, self.root / "config.yaml", "data")
        readers.check(found)
        return found

    def data_folder(self, name: str) -> Path:
        """Return where a catalog's files are, or go."""
        file = self.origins.get("data", self.root / "config.yaml")
        return data_folder(self.project.config, file, self.root, self.catalog(name))

    def fetch(self, wildcards: Any) -> specs.FetchSpec:
        """Return where Med-MAT's files can be fetched."""
        del wildcards
        release = self.catalog("medmat").release
        assert release is not None
        return specs.FetchSpec(release=release)

    def release(self, wildcards: Any) -> specs.FetchSpec:
        """Return where the tables of a catalog can be fetched."""
        del wildcards
        catalog = self.catalog(str(self._looked_at()))
        if catalog.release is None:
            raise ConfigError(
                f"{catalog.where}: release: says of no data set on the hub that can be fetched; put"
                f" the files into {self.look_folder()} by other means, or add it"
            )
        return specs.FetchSpec(release=catalog.release)

    def look(self, wildcards: Any) -> specs.LookSpec:
        """Return the file of the catalog whose tables are looked at."""
        del wildcards
        return specs.LookSpec(file=str(self._looked_at()))

    def look_folder(self) -> str:
        """Return where the tables lie that are looked at."""
        name = str(self._looked_at())
        return str(self.data_folder(name))

    def _looked_at(self) -> Path:
        name, file = self.project.config.catalog, self.origins.get("catalog", self.root)
        if not name:
            raise ConfigError(
                "config: catalog: which one? Say it with --config catalog=NAME; see docs/data.md"
            )
        return Library(self.root).find("catalog", name, file, "catalog")

    def images(self, wildcards: Any) -> specs.ImagesSpec:
        """Return the subsets whose images are looked for: the plan's, else all of Med-MAT."""
        del wildcards
        names = self.looked_for()
        return specs.ImagesSpec(
            preparations=tuple(self.catalog(c).preparation(name) for c, name in names),
            sources=self.sources({c for c, _ in names}),
        )

    def looked_for(self) -> list[tuple[str, str]]:
        """Return catalog and id of the subsets whose images are looked for."""
        of = self.project.catalogs
        real = [
            (c, s) for c, s in self.plan.subsets if readers.get(of[c].preparation(s).reader).count
        ]
        return real or [("medmat", each.id) for each in self.catalog("medmat").subsets]

    def image_folders(self) -> dict[str, str]:
        """Return where images are looked for, by catalog."""
        return {name: str(self.data_folder(name)) for name, _ in self.looked_for()}

    def downloads(self) -> dict[str, str]:
        """Return where files are downloaded to, by catalog."""
        given = self.project.config.downloads
        if given:
            file = self.origins.get("downloads", self.root / "config.yaml")
            return dict.fromkeys(self.image_folders(), str(file.parent / Path(given).expanduser()))
        return {name: f"{folder}/downloads" for name, folder in self.image_folders().items()}

    def placed_images(self, wildcards: Any) -> specs.PlacedImagesSpec:
        """Return the subsets of `images` whose readers say which pictures are named."""
        found = self.images(wildcards)
        told = tuple(each for each in found.preparations if readers.get(each.reader).named)
        links = {name: links_of(self.catalog(name)) for name in found.sources}
        return specs.PlacedImagesSpec(preparations=told, sources=found.sources, links=links)

    def sources(self, names: Iterable[str]) -> specs.Sources:
        """Return name and link of the source datasets of some catalogs."""
        return {name: read_sources(self.catalog(name)) for name in sorted(names)}


def _plain(protocols: Iterable[Protocol]) -> dict[str, Protocol]:
    """Return protocols by name, without what is said of them."""
    return {each.name: each.model_copy(update={"description": ""}) for each in protocols}
