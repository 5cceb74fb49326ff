"""The images of source datasets, fetched from where their links lead.

Nothing is accepted on a user's behalf. Each source dataset has a folder of its own, with the files
as its host gives them and a record of what they are. What no machine can get is listed with its
link and the reason.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matcg.config.catalog import Preparation
from matcg.data.fetch import alone, mb, read_record, write_record
from matcg.data.homes import RECORD, Downloads
from matcg.data.hosts import TOKENS, ByHandError, Offer, offer
from matcg.data.images_present import named_images
from matcg.data.transfer import Brought, HostError, Remote, Web, size_of
from matcg.errors import DataError
from matcg.tsv import write_tsv
from matcg.words import counted

FETCHED = (
    "catalog", "dataset", "name", "missing", "state", "files", "bytes", "licence", "link", "reason",
)  # fmt: skip

Say = Callable[[str], object]


@dataclass
class _Wanted:
    """A source dataset some of whose images are missing, and what became of it."""

    catalog: str
    dataset: str
    name: str
    link: str
    direct: tuple[str, ...]
    folder: Path
    missing: int = 0
    offer: Offer | None = None
    state: str = ""
    reason: str = ""
    n_bytes: int = 0

    def refuse(self, error: DataError) -> None:
        """Note why it cannot be had, and what its user can do."""
        self.state = "by hand" if isinstance(error, ByHandError) else "failed"
        at_kaggle = "kaggle.com/" in self.link and getattr(error, "status", 0) in (401, 403)
        token = f" {TOKENS}." if at_kaggle else ""
        where = f" Open {self.link}" if self.link else ""
        self.reason = f"{error}.{token}{where}"

    def lacks(self) -> int:
        """Return how many bytes are still to come, as far as sizes are said."""
        assert self.offer is not None
        there = sum(
            size_of(self.folder / name)
            for file in self.offer.files
            for name in (file.name, f"{file.name}.part")
        )
        return max(0, (self.offer.n_bytes or 0) - there)

    def __str__(self) -> str:
        return f"{self.catalog} dataset {self.dataset} {self.name}".rstrip()


def fetch_images(
    asked: Sequence[Preparation],
    downloads: Mapping[str, Downloads],
    out: Path,
    at_once: int = 1,
    say: Say = print,
    web: Web | None = None,
) -> None:
    """Fetch the files of all source datasets of which images are missing, and list them in `out`.

    `downloads` says by catalog where they come from and go. Sizes and licences are said before
    anything is fetched; `at_once` source datasets are fetched at a time.

    Raises:
        ConfigError: a wrong option of a reader, or a token that cannot be one.
        DataError: what could be had is more than the disk has room for, another process fetches, or
            something failed (after all else was fetched, and listed in `out`).
        ResourceError: the disk is full.
    """
    web = web or Web()
    wanted: list[_Wanted] = []
    for name in dict.fromkeys(each.catalog for each in asked):
        of = [each for each in asked if each.catalog == name]
        missing = _missing(of, downloads[name].root, say)
        wanted += _wanted(name, missing, downloads[name])
    if not wanted:
        say("No image is missing of which a source dataset is known.")
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(partial(_ask, web), wanted))
        for each in wanted:
            say(_told(each))
        _require_room(wanted, say)
        try:
            list(pool.map(partial(_fetch, web, say), [each for each in wanted if each.offer]))
        finally:
            write_tsv(out, FETCHED, map(_row, wanted))
    states = Counter(each.state for each in wanted)
    say(f"{', '.join(f'{n} {state}' for state, n in sorted(states.items())) or 'nothing'}: {out}")
    if failed := [each for each in wanted if each.state == "failed"]:
        raise DataError(
            f"{len(failed)} of {counted(len(wanted), 'source dataset')} could not be fetched:"
            f" {failed[0]}: {failed[0].reason}; all are in {out}. Call again, or get them by hand"
        )


def _missing(asked: Sequence[Preparation], root: Path, say: Say) -> Counter[str]:
    """Return how many images of each source dataset are missing."""
    found: Counter[str] = Counter()
    for _, folder, pictures in named_images(asked, root, say):
        found.update(dataset for dataset, path in pictures if folder.reason(path))
    return found


def _wanted(catalog: str, missing: Mapping[str, int], downloads: Downloads) -> list[_Wanted]:
    """Return the source datasets of which images are missing; those of one origin are one."""
    place, sources = downloads.folder, downloads.sources
    tops = {each.name for each in place.iterdir()} if place.is_dir() else set()
    found: dict[tuple[str, ...], _Wanted] = {}
    origins, homes = downloads.origins, downloads.homes(tops)
    for dataset in sorted(missing, key=[*sources, *missing].index):
        name, link = sources.get(dataset, ("", ""))
        folder = place / homes.get(dataset, dataset)
        new = _Wanted(catalog, dataset, name, link, downloads.links.get(dataset, ()), folder)
        first = found.setdefault(origins.get(dataset, (dataset,)), new)
        first.missing += missing[dataset]
    return list(found.values())


def _ask(web: Web, wanted: _Wanted) -> None:
    """Ask a source dataset's host what it offers."""
    try:
        wanted.offer = offer(web, wanted.link, wanted.direct)
        wanted.state = "offered"
    except HostError as error:
        wanted.refuse(error)


def _told(wanted: _Wanted) -> str:
    """Return what is said of a source dataset before anything is fetched."""
    if wanted.offer is None:
        return f"{wanted}: {wanted.state}: {wanted.reason}; its folder is {wanted.folder}"
    files = counted(len(wanted.offer.files), "file")
    size = "size not said" if wanted.offer.n_bytes is None else mb(wanted.offer.n_bytes)
    return f"{wanted}: {files}, {size}, licence: {wanted.offer.licence}; {wanted.link}"


def _require_room(wanted: Sequence[_Wanted], say: Say) -> None:
    """Say how much is to be fetched, and refuse what the disk has no room for."""
    offered = [each for each in wanted if each.offer]
    if not offered:
        return
    n_bytes = sum(each.lacks() for each in offered)
    place = next(each for each in (offered[0].folder, *offered[0].folder.parents) if each.exists())
    free = shutil.disk_usage(place).free
    say(f"To fetch, as far as sizes are said: {mb(n_bytes)} of {mb(free)} that are free.")
    if n_bytes > free:
        raise DataError(f"{place}: {mb(n_bytes)} are to be fetched and {mb(free)} free; make room")


def _fetch(web: Web, say: Say, wanted: _Wanted) -> None:
    """Fetch the files of a source dataset, and write what they are after each."""
    offered = wanted.offer
    assert offered is not None
    told = {"link": wanted.link, "version": offered.version, "licence": offered.licence}
    try:
        with alone(wanted.folder):
            record = read_record(wanted.folder, RECORD)
            for number, file in enumerate(offered.files, start=1):
                found = _bring(web, file, wanted, record)
                wanted.n_bytes += found.size
                write_record(wanted.folder, RECORD, told | {"files": record})
                done = "there already" if found.before else "fetched"
                of = f"{number}/{len(offered.files)}"
                say(f"{wanted}: {of} {file.name}: {mb(found.size)}, {done}")
        wanted.state, wanted.reason = "fetched", ""
    except DataError as error:
        wanted.refuse(error)
    except OSError as error:
        wanted.refuse(DataError(f"{error.filename or wanted.folder}: {error.strerror}"))


def _bring(web: Web, file: Remote, wanted: _Wanted, record: dict[str, Any]) -> Brought:
    """Bring a file, unless it is there as the first fetch recorded it."""
    assert wanted.offer is not None
    known, place = record.get(file.name), wanted.folder / file.name
    if known and place.is_file() and place.stat().st_size == known["size"]:
        return Brought(known["size"], known["sha256"], before=True)
    found = web.bring(file, wanted.folder, wanted.offer.headers)
    if known and known["sha256"] != found.sha256:
        raise HostError(
            f"{place} is not what was fetched first: {wanted.folder / RECORD} has SHA-256"
            f" {known['sha256'][:12]}..., this has {found.sha256[:12]}..."
        )
    record[file.name] = {"size": found.size, "sha256": found.sha256}
    return found


def _row(wanted: _Wanted) -> list[object]:
    offered = wanted.offer
    return [
        wanted.catalog,
        wanted.dataset,
        wanted.name,
        wanted.missing,
        wanted.state,
        len(offered.files) if offered else 0,
        wanted.n_bytes,
        offered.licence if offered else "",
        wanted.link,
        wanted.reason,
    ]
