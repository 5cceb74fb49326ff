"""What was downloaded: the folder of each source dataset, and links to its files."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from matcg.config.catalog import Catalog, source_rows

RECORD = "FETCHED.json"  # what the files of such a folder are


@dataclass(frozen=True)
class Downloads:
    """What is downloaded for a catalog whose images lie in `root`: to `folder`, and from where.

    `sources` has name and link of each source dataset, `links` those to files of some.
    """

    root: Path
    folder: Path
    sources: Mapping[str, tuple[str, str]]
    links: Mapping[str, tuple[str, ...]]

    @property
    def origins(self) -> dict[str, tuple[str, ...]]:
        """Return where each source dataset comes from: links to its files, else its link."""
        return {name: self.links.get(name) or (link,) for name, (_, link) in self.sources.items()}

    def homes(self, tops: Collection[str]) -> dict[str, str]:
        """Return the name of each source dataset's folder: its number, or where it has none there,
        that of another from the same origin which is among the folders `tops`.
        """
        origins = self.origins
        twins: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for name, origin in origins.items():
            twins[origin].append(name)
        return {
            name: next((each for each in (name, *twins[origin]) if each in tops), name)
            for name, origin in origins.items()
        }


def links_of(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """Return links to files, where a catalog's table of source datasets has a column `files`.

    Raises:
        ConfigError: as `source_rows`.
    """
    rows = source_rows(catalog)
    return {row["dataset"]: tuple(row["files"].split()) for row in rows if row.get("files")}
