"""What lies in `results/` from other plans: named, never removed."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from matcg import tsv

FILE = "unused.tsv"

Found = list[tuple[str, str]]


def find_unused(tables: Mapping[str, str], results: Path) -> Found:
    """Return kind and path of runs, mixes, predictions and experiments that the plan does not name.

    `tables` are the plan's, by file name (`plan_tables.render`).
    """
    runs = {
        "{backbone}/{recipe}/{mix}/seed{seed}".format(**row) for row in _rows(tables, "runs.tsv")
    }
    answers = {
        "{backbone}/{catalog}/{target}.parquet".format(**row)
        for row in _rows(tables, "evaluations.tsv")
    }
    mixes = {f"{row['mix']}.parquet" for row in _rows(tables, "mixes.tsv")}
    experiments = {row["experiment"] for row in _rows(tables, "experiments.tsv")}
    used = {
        "run": ("runs", "*/*/*/seed*", runs),
        "answers": ("answers", "*/runs/*/*/seed*", {_below(run, "runs") for run in runs}),
        "mix": ("mixes", "*.parquet", mixes),
        "predictions": ("predictions", "*/*/*.parquet", answers),
        "experiment": ("experiments", "*", experiments),
    }
    return [
        (kind, path.as_posix())
        for kind, (folder, pattern, names) in used.items()
        for path in sorted((results / folder).glob(pattern))
        if path.relative_to(results / folder).as_posix() not in names
    ]


def _below(run: str, folder: str) -> str:
    """Return a run's path with a folder put in after its backbone."""
    backbone, rest = run.split("/", 1)
    return f"{backbone}/{folder}/{rest}"


def _rows(tables: Mapping[str, str], name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(tables[name]), delimiter="\t"))


def describe(found: Sequence[tuple[str, str]]) -> str:
    """Return what is unused as the last section of the plan's summary."""
    counts = ", ".join(f"{kind}: {n}" for kind, n in Counter(kind for kind, _ in found).items())
    text = "Nothing in results/ is left from other plans."
    if found:
        text = (
            f"In results/ and not in this plan: {counts}."
            " Nothing was removed, and what the config asks for again is used again."
            f" results/plan/{FILE} names it all."
        )
    return f"\n## Unused\n\n{text}\n"


def render(found: Sequence[tuple[str, str]]) -> str:
    """Return the text of `unused.tsv`."""
    return tsv.table(("kind", "path"), found)
