"""What a job makes, one record a rule: the rule writes it as JSON, and its script reads it.

Where files lie, how many threads there are and where work is kept stand in the rule, not here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict

from matcg.config.backbone import Backbone, Recipe
from matcg.config.base import Model
from matcg.config.catalog import Catalog, Overlap, Preparation
from matcg.config.layout import Layout
from matcg.config.protocol import Protocol
from matcg.config.published import Printed
from matcg.config.release import Links, Release
from matcg.config.workflow import Config, Engine
from matcg.data.homes import Downloads
from matcg.plan.records import Mix, Reduced

Policy = Literal["drop", "report", "error"]
# Name and link of each source dataset, by catalog and number.
Sources = dict[str, dict[str, tuple[str, str]]]


class Spec(Model):
    """What a job makes; its canonical JSON is the same text wherever it is written."""

    # The rules are read by every call, of which most make no spec of most kinds.
    model_config = ConfigDict(defer_build=True)


class PlanSpec(Spec):
    """The whole plan: its tables by file name, its summary, and kind and path of all it needs."""

    plan: str
    tables: dict[str, str]
    summary: str
    used: tuple[tuple[str, str], ...]


class ExperimentPlanSpec(Spec):
    """The plan of one experiment: its tables by file name, and what is said of it in its folder."""

    tables: dict[str, str]
    about: str


class PrepareSpec(Spec):
    """The samples of one subset."""

    preparation: Preparation


class LookSpec(Spec):
    """The file of a catalog whose elements are columns of its tables."""

    file: str


class SummariseSpec(Spec):
    """Counts over the subsets of an experiment; `crops` has the edges of backbones that crop.

    `minimums` says how many test questions each target needs for a verdict.
    """

    sources: Sources
    crops: dict[str, int]
    minimums: dict[str, int]


class LeaksSpec(Spec):
    """Test images of targets among training images of sources.

    `distance` is in how many bits the hashes of a pair may differ, `known` are the source datasets
    that are said to share images.
    """

    catalog: str
    targets: tuple[str, ...]
    sources: tuple[str, ...]
    distance: int
    known: tuple[Overlap, ...]


class LengthsSpec(Spec):
    """Which samples of a subset a backbone is not asked."""

    backbone: Backbone


class MixSpec(Spec):
    """A training set, and what holds in all experiments that use it.

    `forbidden` are the targets whose data it must not hold, `size` is the number of samples of
    every trained arm, `distance` that of `LeaksSpec`.
    """

    mix: Mix
    distance: int
    forbidden: tuple[str, ...]
    size: int
    leaks: Policy


class AuditSpec(Spec):
    """Each catalog, mix and target of an experiment that belong together."""

    uses: tuple[tuple[str, str, str], ...]
    leaks: Policy


class FinetuneSpec(Spec):
    """One fine-tuning, and the minutes between two checkpoints of it."""

    backbone: Backbone
    recipe: Recipe
    checkpoint_minutes: float | None


class ExportSpec(Spec):
    """A mix as a folder that other trainers load."""

    backbone: Backbone


class ConvertSpec(Spec):
    """Weights made from a checkpoint in the layout of LLaVA's own code."""

    backbone: Backbone


class PredictSpec(Spec):
    """What a group of runs is asked, by the place of the run, and by what engine.

    `asked` gives catalog, target, folder of its samples, end of the name of its answers, and where
    these lie below the run's folder.
    """

    backbone: Backbone
    engine: Engine
    protocols: dict[str, Protocol]
    asked: dict[str, tuple[tuple[str, str, str, str, str], ...]]


class CompareSpec(Spec):
    """What an experiment declares of its comparisons and of their tables.

    `smoke` marks figures of a run that was limited to a few targets and questions, `covers` are the
    elements that an arm covers.
    """

    experiment: str
    question: str
    family: str
    minimum_effect: float
    layout: Layout | None
    printed: tuple[Printed, ...]
    protocols: tuple[Protocol, ...]
    catalog: dict[str, Any]
    show_missing: bool
    covers: dict[str, tuple[str, ...]]
    minimum_questions: int
    smoke: str = ""
    reduced: tuple[Reduced, ...] = ()


class FiguresSpec(Spec):
    """The figures of an experiment, with the elements of its catalog."""

    experiment: str
    catalog: dict[str, Any]


class WorldSpec(Spec):
    """The picture of the phantom world."""

    catalog: Catalog


class ReportSpec(Spec):
    """The page: its experiments by name with their folders' names, and the config it shows."""

    plan: str
    experiments: dict[str, str]
    config: Config


class PublishedTestSpec(Spec):
    """What a paper prints."""

    name: str
    printed: tuple[Printed, ...]


class ImagesSpec(Spec):
    """The subsets whose images are looked for."""

    preparations: tuple[Preparation, ...]
    sources: Sources


class PlacedImagesSpec(ImagesSpec):
    """Those that are fetched and placed, with links to files, by catalog and source dataset."""

    links: dict[str, dict[str, tuple[str, ...]]]

    def by_catalog(
        self, roots: Mapping[str, str], downloads: Mapping[str, str]
    ) -> dict[str, Downloads]:
        """Return what is downloaded for each catalog, by its folders of images and of downloads."""
        return {
            name: Downloads(Path(root), Path(downloads[name]), self.sources[name], self.links[name])
            for name, root in roots.items()
        }


class FetchSpec(Spec):
    """The files of a catalog."""

    release: Release | Links
