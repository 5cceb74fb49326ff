"""What jobs of whole experiments, and of the plan of all of them, make and need."""

import json
import sys
from collections.abc import Iterable
from dataclasses import astuple
from functools import cached_property
from pathlib import Path
from typing import Any

from matcg import identity, versions
from matcg.config.arm import Covering
from matcg.config.experiment import Experiment
from matcg.config.published import has_gains
from matcg.data import readers
from matcg.plan import throughput
from matcg.plan.enumerate import Plan
from matcg.plan.mute import minimum_questions
from matcg.plan.places import experiment_folder, lengths_of, needed, plan_name, point_to
from matcg.plan.tables import plan_digest, render_tables, summarise_plan
from matcg.plan.unused import FILE, older_layout
from matcg.steps import specs
from matcg.steps.launch_checks import has_places
from matcg.steps.lookup import Lookup, planned

PLAN_TABLES = ("experiments", "mixes", "runs", "evaluations", "subsets", "excluded")
# Steps whose versions decide what lies in an experiment's folder.
STEPS = ("LEAKS", "AUDIT", "COMPARE", "FIGURES", "LEAK_PAIRS")
CLAIMED = ("family", "minimum_effect", "minimum_questions")  # declared before looking
GAINS = ("csv", "md", "tex")


class Experiments:
    """What rules ask of experiments, each named in paths with the digest of all that decides it."""

    def __init__(self, lookup: Lookup) -> None:
        """Take the lookup of single jobs, whose project and plan these are."""
        self._of, self._places = lookup, lookup.places
        self._project, self._plan = lookup.project, lookup.plan
        catalogs = self._project.catalogs
        self.worlds = sorted(name for name in catalogs if readers.get(catalogs[name].reader).world)
        self.pictures = [
            f"results/figures/world-{digest}.png"
            for name in self.worlds[:1]
            for digest in [identity.digest(versions.WORLD, catalogs[name].canonical())]
        ]

    # --- Names -----------------------------------------------------------------------------------

    @cached_property
    def named(self) -> dict[str, Experiment]:
        """Return the experiments by the names of their folders."""
        declared = self._of.declared
        return {identity.named(name, self._digest(each)): each for name, each in declared.items()}

    @cached_property
    def plan_place(self) -> str:
        """Return the name of this plan with its digest."""
        known = [*self.named, versions.REPORT, self.pictures]
        return identity.named(plan_name(self._of.declared), identity.digest(known))

    def _digest(self, experiment: Experiment) -> str:
        """Return the digest of all that decides an experiment's tables and figures."""
        trained, asked = self._places.trained, self._places.asked
        search = {**self._search(experiment), "folders": self._folders(experiment)}
        return identity.digest(
            plan_digest(self._part(experiment)),
            [(trained[name], asked[name]) for name in experiment.backbones],
            [getattr(versions, step) for step in STEPS],
            [
                json.dumps(search, sort_keys=True),
                json.dumps({name: getattr(experiment, name) for name in CLAIMED}),
                json.dumps([json.loads(each.identity()) for each in self._protocols(experiment)]),
                self._printed(experiment),
                json.dumps(self._layout(experiment), sort_keys=True),
                json.dumps(self._elements(experiment)),
                {mix.id: self._places.mix(mix) for mix in self._part(experiment).mixes},
            ],
            json.dumps(self._of.sources([experiment.catalog])),
            experiment.leaks,
            self._of.show_missing,
        )

    def _experiment(self, wildcards: Any) -> Experiment:
        return planned(self.named, wildcards.experiment)

    def _part(self, experiment: Experiment) -> Plan:
        return self._plan.parts[experiment.name]

    def folders(self, file: str = "") -> list[str]:
        """Return a path below the folder of each experiment."""
        return [f"{experiment_folder(place)}/{file}".rstrip("/") for place in self.named]

    def report_file(self) -> str:
        """Return the path of this plan's report."""
        return f"results/report-{self.plan_place}.html"

    # --- What single experiments need ------------------------------------------------------------

    def plan_files(self, wildcards: Any) -> list[str]:
        """Return the tables of an experiment's plan."""
        folder = experiment_folder(wildcards.experiment)
        return [f"{folder}/plan/{name}.tsv" for name in PLAN_TABLES]

    def data_files(self, wildcards: Any, file: str) -> list[str]:
        """Return a file of every subset of an experiment."""
        subsets = self._part(self._experiment(wildcards)).subsets
        return [f"{self._places.subset(*subset)}/{file}" for subset in subsets]

    def lengths_files(self, wildcards: Any) -> list[str]:
        """Return what each backbone of an experiment is not asked of its subsets."""
        part = self._part(self._experiment(wildcards))
        return sorted(lengths_of(part, self._places))

    def cropped_files(self, wildcards: Any) -> list[str]:
        """Return the samples of which a backbone that crops may not see all that is to be found."""
        experiment = self._experiment(wildcards)
        catalog = self._project.catalogs[experiment.catalog]
        members = [catalog.member(name) for _, name in self._part(experiment).subsets]
        names = [each.id for each in members if self._crops(experiment) and has_places(each)]
        sides = ("test", "train")
        return [f for side in sides for f in self._of.samples(experiment.catalog, names, side)]

    def _crops(self, experiment: Experiment) -> dict[str, int]:
        """Return the edge of the square of each backbone that sees no more of a picture."""
        known = [self._project.backbones[name] for name in experiment.backbones]
        return {each.name: each.image.size for each in known if each.image.geometry == "crop"}

    def mix_files(self, wildcards: Any) -> list[str]:
        """Return the mixes of an experiment."""
        return [self._places.mix(mix) for mix in self._part(self._experiment(wildcards)).mixes]

    def tests(self, wildcards: Any, file: str = "test.parquet") -> list[str]:
        """Return a file of every target: its questions, which say what belongs to one patient."""
        experiment = self._experiment(wildcards)
        targets = self._targets(experiment)
        return [f"{self._places.subset(experiment.catalog, name)}/{file}" for name in targets]

    def answers(self, wildcards: Any) -> list[str]:
        """Return the records of all groups that answer for an experiment.

        Where missing answers are shown, the files of those that there are.
        """
        experiment = self._experiment(wildcards)
        if self._of.show_missing:
            return self._there(map(self._places.answers, self._part(experiment).evaluations))
        return sorted(self._places.group(*group) for group in self._of.groups(experiment.name))

    def metrics(self, wildcards: Any) -> list[str]:
        """Return the training curves of an experiment's runs."""
        runs = self._part(self._experiment(wildcards)).runs
        return self._there(f"{self._places.run(run)}/metrics.jsonl" for run in runs)

    def _there(self, paths: Iterable[str]) -> list[str]:
        """Return the paths, sorted; of those that are not there none where the config says so."""
        here = self._of.prefix
        return sorted(
            path for path in set(paths) if not self._of.show_missing or Path(here + path).exists()
        )

    # --- What single experiments are -------------------------------------------------------------

    def enumerate_experiment(self, wildcards: Any) -> specs.ExperimentPlanSpec:
        """Return the tables of an experiment's plan."""
        experiment = self._experiment(wildcards)
        said = experiment.question or experiment.canonical()
        return specs.ExperimentPlanSpec(
            tables=render_tables(self._part(experiment), self._of.here),
            about=f"Experiment {experiment.name}: {said}",
        )

    def summarise(self, wildcards: Any) -> specs.SummariseSpec:
        """Return whose samples are counted."""
        experiment = self._experiment(wildcards)
        sources = self._of.sources([experiment.catalog])
        return specs.SummariseSpec(
            sources=sources,
            crops=self._crops(experiment),
            minimums={
                target: minimum_questions(experiment, self._project, target)
                for target in self._targets(experiment)
            },
        )

    def leaks(self, wildcards: Any) -> specs.LeaksSpec:
        """Return whose test images are looked for in whose training images."""
        return specs.LeaksSpec(**self._search(self._experiment(wildcards)))

    def audit(self, wildcards: Any) -> specs.AuditSpec:
        """Return each mix with each target it is tested on."""
        experiment = self._experiment(wildcards)
        rows = self._part(experiment).rows
        uses = sorted({(row.catalog, row.mix, row.target) for row in rows if row.mix})
        return specs.AuditSpec(uses=tuple(uses), leaks=experiment.leaks)

    def compare(self, wildcards: Any) -> specs.CompareSpec:
        """Return what an experiment declares of its comparisons and tables."""
        experiment = self._experiment(wildcards)
        return specs.CompareSpec(
            experiment=experiment.name,
            question=experiment.question,
            family=experiment.family,
            minimum_effect=experiment.minimum_effect,
            layout=experiment.layout,
            printed=self._project.published.get(experiment.name, ()),
            protocols=tuple(self._protocols(experiment)),
            catalog=self._elements(experiment),
            show_missing=self._of.show_missing,
            minimum_questions=minimum_questions(experiment, self._project),
            smoke=self._smoke,
            covers={
                name: arm.covers
                for name, arm in experiment.arms.items()
                if isinstance(arm, Covering)
            },
            reduced=self._part(experiment).reduced,
        )

    def figures(self, wildcards: Any) -> specs.FiguresSpec:
        """Return what is drawn."""
        experiment = self._experiment(wildcards)
        return specs.FiguresSpec(experiment=experiment.name, catalog=self._elements(experiment))

    def _targets(self, experiment: Experiment) -> list[str]:
        return sorted({row.target for row in self._part(experiment).rows})

    def _search(self, experiment: Experiment) -> dict[str, Any]:
        part, catalog = self._part(experiment), self._project.catalogs[experiment.catalog]
        return {
            "catalog": experiment.catalog,
            "targets": self._targets(experiment),
            "sources": sorted({name for mix in part.mixes for name, _ in mix.parts}),
            "distance": catalog.near_duplicates,
            "known": [overlap.model_dump() for overlap in catalog.overlaps],
        }

    def _folders(self, experiment: Experiment) -> dict[str, str]:
        subsets = self._part(experiment).subsets
        return {name: self._places.subset(catalog, name) for catalog, name in subsets}

    def _protocols(self, experiment: Experiment) -> list[Any]:
        """Return the protocols of an experiment, that of its comparisons first."""
        names = dict.fromkeys((experiment.protocol, *experiment.also))
        return [self._project.protocols[name] for name in names]

    def _printed(self, experiment: Experiment) -> str:
        """Return what a paper prints for an experiment as JSON, one list a number."""
        return json.dumps(
            [astuple(row) for row in self._project.published.get(experiment.name, ())]
        )

    def _layout(self, experiment: Experiment) -> dict[str, Any]:
        shape = experiment.layout.model_dump(mode="json") if experiment.layout else None
        limit = {"smoke": self._smoke} if self._smoke else {}
        return {"question": experiment.question, "layout": shape} | limit

    @property
    def _smoke(self) -> str:
        limit = self._project.config.limit
        return limit.mark if limit else ""

    def _elements(self, experiment: Experiment) -> dict[str, Any]:
        """Return the elements of an experiment's catalog and of each subset, with its block."""
        catalog = self._project.catalogs[experiment.catalog]
        subsets = {
            s.id: {
                "kind": s.kind,
                "elements": s.elements,
                **({"block": s.block} if s.block else {}),
            }
            for s in catalog.subsets
        }
        return {"elements": catalog.elements, "subsets": subsets}

    # --- All experiments -------------------------------------------------------------------------

    def summary_file(self) -> str:
        """Return the path of the plan's summary."""
        return f"results/plans/{self.plan_place}/summary.md"

    def begin(self) -> None:
        """Let links lead to this plan, and note how fast its finished jobs were."""
        results = Path(self._of.here.results)
        point_to(self.plan_place, self.named, results)
        throughput.refresh(results / "plans" / self.plan_place)

    def notice_older_layout(self) -> None:
        """Say what there is of the layout whose names had no digests."""
        if found := older_layout(Path(self._of.here.results)):
            sys.stderr.write(
                f"matcg: results/ holds {', '.join(found)} of the layout before digests stood in"
                " the names: all of that stays as it is, and is made anew beside it"
                f" (results/plans/{self.plan_place}/{FILE} lists what no plan needs)\n"
            )

    def plan(self, wildcards: Any) -> specs.PlanSpec:
        """Return the whole plan, its price, and kind and path of all that it needs."""
        del wildcards
        of, here = self._of, self._of.prefix
        used = [
            *needed(self._plan, of.here, of.groups()),
            *(("converted weights", here + path) for path in of.converted),
            *(("export", here + path) for path in of.exports()),
            *(("experiment", here + path) for path in self.folders()),
            ("plan", f"{here}results/plans/{self.plan_place}"),
            ("report", here + self.report_file()),
        ]
        return specs.PlanSpec(
            plan=self.plan_place,
            tables=render_tables(self._plan, of.here),
            summary=summarise_plan(self._plan, self._project, of.costs(), of.accounts),
            used=tuple(used),
        )

    def report(self, wildcards: Any) -> specs.ReportSpec:
        """Return which experiments the page shows."""
        del wildcards
        return specs.ReportSpec(
            plan=self.plan_place,
            experiments=dict(zip(self._of.declared, self.named, strict=True)),
            config=self._project.config,
        )

    def world(self, wildcards: Any) -> specs.WorldSpec:
        """Return the catalog of the phantom world."""
        del wildcards
        return specs.WorldSpec(catalog=self._project.catalogs[self.worlds[0]])

    # --- Papers ----------------------------------------------------------------------------------

    def printed(self) -> list[str]:
        """Return the headlines of the experiments for which a paper prints figures."""
        return [
            f"{experiment_folder(place)}/headline.json"
            for place, experiment in self.named.items()
            if experiment.name in self._project.published
        ]

    def agreement(self) -> list[str]:
        """Return the tables of how far a paper's figures agree with ours."""
        return [f"results/plans/{self.plan_place}/agreement.{ending}" for ending in GAINS]

    @cached_property
    def _tested(self) -> dict[tuple[str, str], Experiment]:
        """Return the experiments for which a paper prints gains, by name and digest of tables.

        These are called `table3` where the experiment is `paper-table3`.
        """
        found = {}
        for name, rows in self._project.published.items():
            if has_gains(rows):
                experiment = self._of.declared[name]
                digest = identity.digest(versions.PUBLISHED_TEST, self._printed(experiment))
                found[name.removeprefix("paper-"), digest] = experiment
        return found

    def published_test(self, wildcards: Any) -> specs.PublishedTestSpec:
        """Return what a paper prints for an experiment."""
        experiment = planned(self._tested, (wildcards.name, wildcards.digest))
        rows = self._project.published[experiment.name]
        return specs.PublishedTestSpec(name=wildcards.name, printed=rows)

    def published_tests(self) -> list[str]:
        """Return the tables on all printed gains."""
        return [
            f"results/paper/{name}-{digest}/{name}_{table}.md"
            for name, digest in self._tested
            for table in ("tests", "counts")
        ]
