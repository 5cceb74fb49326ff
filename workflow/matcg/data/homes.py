"""The folder of each source dataset among what was downloaded, and links to its files."""

import csv
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

from matcg.config.catalog import Catalog


def homes_of(sources: Mapping[str, tuple[str, str]], tops: Collection[str]) -> dict[str, str]:
    """Return the name of each source dataset's folder: its number, or where it has none there, that
    of another with the same link which is among the folders `tops`.
    """
    twins: dict[str, list[str]] = defaultdict(list)
    for name, (_, link) in sources.items():
        twins[link].append(name)
    return {
        name: next((each for each in (name, *twins[link]) if each in tops), name)
        for name, (_, link) in sources.items()
    }


def files_of(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """Return links to files, where a catalog's table of source datasets has a column `files`."""
    if not catalog.sources:
        return {}
    with Path(catalog.sources).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {row["dataset"]: tuple(row["files"].split()) for row in rows if row.get("files")}
