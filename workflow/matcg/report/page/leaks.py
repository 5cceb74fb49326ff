"""The leak audit as the report shows it: how many, which datasets, and pairs side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matcg.analysis.clusters import Folders
from matcg.data.leaks import Leak, read_images, read_leaks
from matcg.images import BITS
from matcg.report.figures.leak_pairs import SHOWN, examples
from matcg.report.page.questions import ImageBudget
from matcg.tsv import read_tsv
from matcg.words import counted


@dataclass(frozen=True, slots=True)
class PicturePair:
    """A test picture and the training picture that it is, as data URIs (empty where left out)."""

    test: str
    train: str
    caption: str


@dataclass(frozen=True, slots=True)
class LeakView:
    """What the page says of leaks; `pairs` are examples."""

    sentence: str
    pairs: Sequence[PicturePair]


def view_leaks(data: Sequence[Path], folders: Folders, budget: ImageBudget) -> LeakView | None:
    """Return the audits of some experiments, in their folders `data`, None where none was made.

    `folders` are those of the prepared subsets.

    Of each two source datasets the closest and the farthest pair are shown: the farthest is where
    a false alarm would be seen.
    """
    made = [folder for folder in data if (folder / "audit.tsv").exists()]
    if not made:
        return None
    leaks = sorted({leak for folder in made for leak in read_leaks(folder / "leaks.tsv")})
    uses = {tuple(use.items()): use for folder in made for use in read_tsv(folder / "audit.tsv")}
    return LeakView(
        _sentence(leaks, list(uses.values())),
        [_pair(folders, leak, budget) for leak in examples(leaks)[:SHOWN]],
    )


def _sentence(leaks: Sequence[Leak], uses: Sequence[dict[str, str]]) -> str:
    """Return the numbers in words."""
    if not leaks:
        return (
            "No test image of any target was found among the training images of any subset, in"
            f" {counted(len(uses), 'use')} of mixes."
        )
    tests = {(leak.catalog, leak.target, leak.test) for leak in leaks}
    targets = {(leak.catalog, leak.target) for leak in leaks}
    exact = {(leak.catalog, leak.target, leak.test) for leak in leaks if leak.exact}
    trained = [use for use in uses if int(use["trained_on"])]
    left_out = sum(int(use["left_out"]) > 0 and use["policy"] == "drop" for use in uses)
    after = (
        f"{counted(len(trained), 'use')} of mixes trained on some of them (`leaks: report`)"
        if trained
        else "no mix that is tested on them holds any"
    )
    found = f"{counted(len(tests), 'test image')} of {counted(len(targets), 'target')}"
    near = len(tests) - len(exact)
    return (
        f"{found} are also training images of some subset: {len(exact)} exactly, {near} nearly."
        f" In {left_out} of {len(uses)} uses of mixes they were left out of training; {after}."
    )


def _pair(folders: Folders, leak: Leak, budget: ImageBudget) -> PicturePair:
    def uri(subset: str, side: str, name: str) -> str:
        ((_, image),) = read_images(folders[leak.catalog, subset] / f"{side}.parquet", [name])
        return budget.uri(image, name)

    kind = "equal pixels" if leak.exact else f"{leak.bits} of {BITS} bits differ"
    datasets = f"dataset {leak.test_dataset} and {leak.train_dataset}"
    caption = f"{leak.test} (test) and {leak.train} (training), {datasets}: {kind}"
    test = uri(leak.target, "test", leak.test)
    return PicturePair(test, uri(leak.source, "train", leak.train), caption)
