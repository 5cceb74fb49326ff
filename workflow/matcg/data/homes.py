"""The folder of each source dataset among what was downloaded, and links to its files."""

import csv
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

from matcg.config.catalog import Catalog

RECORD = "FETCHED.json"  # what the files of such a folder are
Origins = Mapping[str, tuple[str, ...]]


def origins_of(
    sources: Mapping[str, tuple[str, str]], files: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Return where each source dataset comes from: links to its files, else its link."""
    return {name: files.get(name) or (link,) for name, (_, link) in sources.items()}


def homes_of(origins: Origins, tops: Collection[str]) -> dict[str, str]:
    """Return the name of each source dataset's folder: its number, or where it has none there, that
    of another from the same origin which is among the folders `tops`.
    """
    twins: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, origin in origins.items():
        twins[origin].append(name)
    return {
        name: next((each for each in (name, *twins[origin]) if each in tops), name)
        for name, origin in origins.items()
    }


def files_of(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """Return links to files, where a catalog's table of source datasets has a column `files`."""
    if not catalog.sources:
        return {}
    with Path(catalog.sources).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {row["dataset"]: tuple(row["files"].split()) for row in rows if row.get("files")}
