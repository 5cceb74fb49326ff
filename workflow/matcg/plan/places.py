"""Where the results of a project lie: the grammar of paths, filled with names and their digests."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from matcg import identity
from matcg.config.project import Project
from matcg.models.identity import of_asking, of_backbone
from matcg.plan.enumerate import Names, Plan
from matcg.plan.records import Evaluation, Mix, Run

RESULTS = "results"
_SHOWN = 60  # characters of the experiments' names in a plan's


@dataclass(frozen=True)
class Places:
    """The paths of a project, below the working folder, of which `results` is the first part.

    `trained` and `asked` name each backbone with the digest of what decides how it is trained, and
    how it answers, `measured` of what decides which samples it is not asked.
    """

    names: Names
    trained: Mapping[str, str]
    asked: Mapping[str, str]
    measured: Mapping[str, str]
    results: str = RESULTS

    @classmethod
    def of(cls, project: Project) -> "Places":
        """Return the places of a project; the backbones' weights are looked at."""
        each, names = project.backbones.values(), Names(project)
        return cls(
            names,
            {b.name: identity.named(b.name, of_backbone(b)) for b in each},
            {b.name: identity.named(b.name, of_asking(b)) for b in each},
            {b.name: names.measured(b.name) for b in each},
        )

    def subset(self, catalog: str, name: str) -> str:
        """Return the folder of a subset's samples."""
        return f"{self.results}/data/{catalog}/{self.names.subset(catalog, name)}"

    def lengths(self, measured: str, catalog: str, name: str) -> str:
        """Return the file of a subset's samples that a backbone is not asked (`Names.measured`)."""
        folder = self.names.subset(catalog, name)
        return f"{self.results}/lengths/{measured}/{catalog}/{folder}.json"

    def mix(self, mix: Mix) -> str:
        """Return the file of a mix."""
        return f"{self.results}/mixes/{mix.name}.parquet"

    def run(self, run: Run) -> str:
        """Return the folder of a run."""
        return f"{self.results}/runs/{self.trained[run.backbone]}/{run.place}"

    def export(self, run: Run) -> str:
        """Return the folder of a run's mix in its backbone's words, for other trainers."""
        mix = run.place.split("/")[1]
        return f"{self.results}/exports/{self.trained[run.backbone]}/{mix}"

    def benchmark(self, run: Run) -> str:
        """Return where Snakemake writes what a run's job took."""
        return f"{self.results}/benchmarks/finetune/{self.trained[run.backbone]}/{run.place}.tsv"

    def weights(self, backbone: str, place: str) -> str:
        """Return the folder of the weights of a run that lies at a place below its backbone."""
        return f"{self.results}/runs/{self.trained[backbone]}/{place}/weights"

    def answers(self, evaluation: Evaluation) -> str:
        """Return the file of a run's answers to a target's questions."""
        return f"{self.results}/answers/{self.asked[evaluation.backbone]}/{evaluation.place}"

    def group(self, backbone: str, group: str) -> str:
        """Return the record of a group of runs that one engine has answered for."""
        return f"{self.results}/answers/{self.asked[backbone]}/{group}.json"


def experiment_folder(name: str) -> str:
    """Return the folder of an experiment's results, by its name with its digest."""
    return f"{RESULTS}/experiments/{name}"


def plan_name(experiments: Iterable[str]) -> str:
    """Return what the plan of some experiments is called, without digest."""
    names = sorted(experiments)
    joined = "+".join(names)
    return joined if len(joined) <= _SHOWN else f"{len(names)}experiments.{identity.digest(names)}"


def needed(plan: Plan, places: Places, groups: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return kind and path of all that a plan is made of, before any comparison."""
    return [
        *(("data", places.subset(*subset)) for subset in plan.subsets),
        *(("lengths", path) for path in sorted(lengths_of(plan, places))),
        *(("mix", places.mix(mix)) for mix in plan.mixes),
        *(("run", places.run(run)) for run in plan.runs),
        *(("answers", places.answers(each)) for each in plan.evaluations),
        *(("group", places.group(*group)) for group in groups),
    ]


def lengths_of(plan: Plan, places: Places) -> set[str]:
    """Return all files of samples that a backbone is not asked."""
    trained = {
        (each, mix.catalog, name)
        for mix in plan.mixes
        for each in mix.measured
        for name in (*(name for name, _ in mix.parts), *mix.targets)
    }
    asked = {(places.measured[e.backbone], e.catalog, e.target) for e in plan.evaluations}
    return {places.lengths(*each) for each in trained | asked}


def point_to(plan: str, experiments: Iterable[str], results: Path) -> None:
    """Let `plan` and `report.html` in the folder `results` be links to a plan and its report.

    So are the names of experiments, and of each selection of them, without digest: to what was
    planned last. What is no link is of an older layout, and stays.
    """
    links = {
        **{f"experiments/{identity.plain(name)}": name for name in experiments},
        f"plans/{identity.plain(plan)}": plan,
        "plan": f"plans/{plan}",
        "report.html": f"report-{plan}.html",
    }
    for link, target in links.items():
        path = results / link
        if (path.parent / target).exists() and (path.is_symlink() or not path.exists()):
            with suppress(OSError):  # a disk without links
                _link(path, target)


def _link(path: Path, target: str) -> None:
    if path.is_symlink() and str(path.readlink()) == target:
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.symlink_to(target)
    part.replace(path)


def report_as_linked(page: Path) -> Path:
    """Return the path of a plan's report, the short one where it leads there."""
    short = page.with_name("report.html")
    return short if short.exists() and short.samefile(page) else page


def by_name(paths: Iterable[Path | str]) -> dict[str, Path]:
    """Return paths by the name, without digest and ending, that the last part of each is."""
    return {identity.plain(path.stem): path for path in map(Path, paths)}
