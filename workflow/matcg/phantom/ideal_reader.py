"""The ideal reader as a backbone with commands of its own (backbones/ideal-reader.yaml).

`ideal_reader train DATA OUT` keeps which subsets it was given, and `answer WEIGHTS QUESTIONS OUT`
looks up in the generator what is to be seen in each picture.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from matcg.config.catalog import Catalog, SubsetSpec
from matcg.config.library import load
from matcg.config.reader_options import PhantomOptions
from matcg.errors import DataError
from matcg.phantom.facts import SHARED_TASK, WORLDS, facts_of
from matcg.phantom.ideal import choices, shares_of
from matcg.phantom.tasks import TASKS
from matcg.phantom.world import SplitName, case_of, cell_of, seen
from matcg.seeds import derive

LEARNED = "learned.json"
_CATALOGS = Path(__file__).parents[3] / "catalogs"


def train(data: Path, out: Path) -> None:
    """Write which subsets the samples of `data` are of, and the run's seed."""
    settings = json.loads((data / "settings.json").read_text(encoding="utf-8"))
    subsets = sorted({_place(row["id"])[0] for row in _rows(data / "messages.jsonl")})
    learned = {"seed": settings["seed"], "subsets": subsets}
    (out / LEARNED).write_text(json.dumps(learned, indent=1) + "\n", encoding="utf-8")


def answer(weights: Path, questions: Path, out: Path) -> None:
    """Write an answer to each question.

    Raises:
        DataError: a question or a subset that was trained on is of no known world.
    """
    learned = json.loads((weights / LEARNED).read_text(encoding="utf-8"))
    said = [
        {"id": row["id"], "text": _answered(row["id"].partition(":")[2], learned)}
        for row in _rows(questions)
    ]
    out.write_text("".join(json.dumps(each) + "\n" for each in said), encoding="utf-8")


def _answered(sample_id: str, learned: dict[str, Any]) -> str:
    """Return the label that is answered to a sample's question."""
    name, split, index = _place(sample_id)
    subset, given = _subset(name)
    world, cell = WORLDS[given.world or SHARED_TASK], cell_of(subset)
    labels = TASKS[cell["task"]].labels
    case = case_of(subset, given, cast(SplitName, split), index)
    scene = seen(world, facts_of(given, cell, len(labels)), case)
    sources = [cell_of(_subset(each)[0]) for each in learned["subsets"]]
    found = choices(world, len(labels), scene, shares_of(cell, sources))
    drawn = derive(0, "guess", sample_id, json.dumps(learned, sort_keys=True))
    return labels[found[drawn % len(found)]]


@cache
def _known() -> dict[str, tuple[SubsetSpec, PhantomOptions]]:
    """Return each subset of the known worlds, with its options."""
    catalogs = [load("catalog", path) for path in sorted(_CATALOGS.glob("known-truth-*.yaml"))]
    return {
        subset.id: (subset, PhantomOptions.parse({**each.options, **subset.options}))
        for each in catalogs
        if isinstance(each, Catalog)
        for subset in each.subsets
    }


def _subset(name: str) -> tuple[SubsetSpec, PhantomOptions]:
    if name not in _known():
        raise DataError(
            f"subset '{name}': the ideal reader knows those of catalogs/known-truth-*.yaml alone;"
            " use another backbone"
        )
    return _known()[name]


def _place(sample_id: str) -> tuple[str, str, int]:
    subset, split, index = sample_id.split("/")
    return subset, split, int(index)


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def main(arguments: Sequence[str]) -> int:
    """Run one of the two commands."""
    command, *paths = arguments
    if command == "train":
        train(*map(Path, paths))
    else:
        answer(*map(Path, paths))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
