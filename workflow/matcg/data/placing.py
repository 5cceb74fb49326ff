"""Pictures that questions name, found among files that were unpacked, and linked to their places.

A picture becomes a hard link: it takes no room, is a plain file inside the data folder, as readers
ask for, and stays where the folder that it was found in goes. Where the disk has none, and the file
lies in the data folder too, it is a symbolic link; to files elsewhere, readers would not follow it.
"""

import filecmp
import os
import random
import stat
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import itemgetter
from pathlib import Path

from matcg.config.catalog import Preparation
from matcg.config.reader_options import Options
from matcg.data.archives import unpack_below
from matcg.data.homes import RECORD, Downloads
from matcg.data.image_folder import Folder
from matcg.data.images_present import named_images
from matcg.data.placed_sheet import draw_placed
from matcg.data.scans import Scans, is_picture
from matcg.errors import BadRowError, ConfigError, DataError
from matcg.tsv import write_tsv
from matcg.words import counted

PLACES = ("catalog", "subset", "dataset", "name", "image", "state", "found", "reason")
SHOWN = 20  # links on the contact sheet
_LISTED = 3  # files that an ambiguous picture could be


@dataclass(slots=True)
class _Wanted:
    """A picture that questions name, and what became of it.

    `file` is where it was found, below the folder of what was unpacked; `parts` of its path are
    those of the picture's, counted from the end. One that is `there` stays as it is.
    """

    asked: Preparation
    dataset: str
    path: str
    folder: Folder
    there: bool
    file: str = ""
    parts: int = 0
    state: str = "missing"
    reason: str = "no file is called so"

    def drop(self, state: str, reason: str) -> None:
        """Let go of the file that it was thought to be."""
        self.file = ""
        if not self.there:
            self.state, self.reason = state, reason


def place_images(
    asked: Sequence[Preparation],
    downloads: Mapping[str, Downloads],
    out: Path,
    sheet: Path,
    say: Callable[[str], object] = print,
) -> None:
    """Link the pictures of some subsets to where their questions say that they are.

    `downloads` says by catalog where they are; archives there are unpacked first. A line for each
    picture that is linked, ambiguous or missing goes to `out`, a sample of the links to the picture
    `sheet`. Nothing is copied, replaced or removed.

    Raises:
        ConfigError: a wrong option of a reader, or downloads in a folder that holds the data
            folder.
        DataError: there is no such folder.
        ResourceError: the disk is full.
    """
    refused: list[str] = []
    rows: list[list[object]] = []
    shown: list[_Wanted] = []
    for name in dict.fromkeys(each.catalog for each in asked):
        given, of = downloads[name], [each for each in asked if each.catalog == name]
        _check(given.root, given.folder)
        refused += unpack_below(given.folder, say)
        scans = Scans(Folder(given.root), Options())
        files = _Files(given.folder, scans)
        wanted = _named(of, given.root, say)
        _find(wanted, files, given)
        for each in wanted:
            _link(each, files)
        told = [each for each in wanted if each.state != "there"]
        rows += [_row(each, given.sources, scans, files) for each in told]
        shown += _sample(wanted)
        _say(wanted, name, given.sources, say)
    write_tsv(out, PLACES, rows)
    say(f"Each picture that is linked, ambiguous or missing: {out}")
    if refused:
        say(f"{counted(len(refused), 'archive')} refused, as said above: {refused[0]}")
    if shown := _sample(shown):
        draw_placed([(each.folder.root / each.path, each.path, each.file) for each in shown], sheet)
        say(f"Look whether these {counted(len(shown), 'link')} show what they are to: {sheet}")


def _check(root: Path, found: Path) -> None:
    if not found.is_dir():
        raise DataError(
            f"{found}: no such folder; put what you downloaded there, or name another by --config"
            " downloads=FOLDER"
        )
    if root.resolve().is_relative_to(found.resolve()):
        raise ConfigError(
            f"downloads: {found} is or holds the data folder {root}, so that pictures in place"
            " would be taken for found ones; name the folder that you downloaded to"
        )


class _Files:
    """The plain files below a folder, by their names; `hashes` hide those that hospitals give."""

    def __init__(self, root: Path, hashes: Scans) -> None:
        self.root = root.resolve()
        self.scans, self.names = Scans(Folder(root), Options()), hashes.names
        self.places: dict[str, list[str]] = defaultdict(list)
        for place, folders, names in os.walk(self.root):
            folders[:] = [each for each in folders if not each.startswith(".") and not _part(each)]
            below = os.path.relpath(place, self.root)
            for name in names:
                self.places[name].append(name if below == "." else f"{below}/{name}")
        # A folder with nothing but the record of a fetch that failed is none.
        paths = (
            path
            for name in self.places
            if name != RECORD and not _part(name)
            for path in self.places[name]
        )
        self.tops = {path.split("/", 1)[0] for path in paths if "/" in path}

    def called(self, name: str, top: str) -> list[str]:
        """Return the paths of the files of a name, those below `top` where there is such."""
        found = self.places.get(name, [])
        if top in self.tops:
            found = [path for path in found if path.startswith(f"{top}/")]
        return sorted(path for path in found if self._is_plain(path))

    def _is_plain(self, path: str) -> bool:
        return stat.S_ISREG(os.lstat(f"{self.root}/{path}").st_mode)

    def alike(self, paths: Sequence[str]) -> bool:
        """Tell whether files are equal: by their sizes, then byte for byte."""
        first, *rest = (self.root / path for path in paths)
        return all(filecmp.cmp(first, other, shallow=False) for other in rest)

    def shown(self, path: str) -> str:
        """Return what results call a file."""
        hidden = path and self.scans.hidden(path)
        return f"dicom-{self.names.of('file', path)}" if hidden else path


def _part(name: str) -> bool:
    return name.endswith(".part")


def _named(asked: Sequence[Preparation], root: Path, say: Callable[[str], object]) -> list[_Wanted]:
    """Return all pictures that the questions of some subsets name."""
    wanted = []
    for each, folder, pictures in named_images(asked, root, say):
        for dataset, path in pictures:
            reason = folder.reason(path)
            found = _Wanted(each, dataset, path, folder, not reason)
            if found.there:
                found.state, found.reason = "there", ""
            elif not reason.startswith("image missing"):
                found.drop("refused", reason)
            wanted.append(found)
    return wanted


def _find(wanted: Sequence[_Wanted], files: _Files, downloads: Downloads) -> None:
    """Say of each picture which file it is, or why that is not known.

    Where a source dataset has a folder of its own, named by its number or that of another from the
    same origin, only that is looked in. Elsewhere no two source datasets share a file, since
    pictures of many are called 1.png. Pictures that are there take part, so that no other is
    thought to be their file.
    """
    origins, homes = downloads.origins, downloads.homes(files.tops)
    for each in wanted:
        if each.state in ("missing", "there"):
            _look(each, files, homes.get(each.dataset, each.dataset))
    _settle(wanted, lambda each: (each.asked.subset.id, each.dataset), lambda each: each.path)
    loose = [each for each in wanted if homes.get(each.dataset, each.dataset) not in files.tops]
    _settle(loose, lambda _: "", lambda each: origins.get(each.dataset, each.dataset))


def _look(wanted: _Wanted, files: _Files, top: str) -> None:
    """Note the file whose path ends most like the picture's."""
    parts = wanted.path.split("/")
    shared = {path: _shared(parts, path.split("/")) for path in files.called(parts[-1], top)}
    if not shared:
        return
    wanted.parts = max(shared.values())
    fitting = [path for path, n in shared.items() if n == wanted.parts]
    if len(fitting) > 1 and not files.alike(fitting):
        listed = ", ".join(map(files.shown, fitting[:_LISTED]))
        wanted.drop("ambiguous", f"{len(fitting)} files fit, which differ: {listed}")
    else:
        wanted.file = fitting[0]


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many parts two paths share, from the end."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _settle(
    wanted: Iterable[_Wanted],
    among: Callable[[_Wanted], Hashable],
    rival: Callable[[_Wanted], Hashable],
) -> None:
    """Leave each file to the rival that fits best; where several do, to none of them."""
    claims: dict[Hashable, list[_Wanted]] = defaultdict(list)
    for each in wanted:
        if each.file:
            claims[among(each), each.file].append(each)
    for these in claims.values():
        best = max(each.parts for each in these)
        winners = {rival(each) for each in these if each.parts == best}
        for each in these:
            if rival(each) not in winners:
                each.drop("missing", "the file of its name is another picture's")
            elif len(winners) > 1:
                each.drop("ambiguous", f"one file fits {len(winners)} pictures or source datasets")


def _link(wanted: _Wanted, files: _Files) -> None:
    """Link a picture to its file; one that is there is only looked at, whether it is that file."""
    if not wanted.file:
        return
    source, folder = files.root / wanted.file, wanted.folder
    try:
        if wanted.there:
            if not (folder.root / wanted.path).samefile(source):
                wanted.file = ""
                return
        else:
            _link_to(source, folder.room(wanted.path), folder.root)
    except (OSError, BadRowError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        wanted.drop("refused", f"not linked: {why}; the downloads must lie in {folder.root}")
        return
    fit = f"the last {counted(wanted.parts, 'part')} of its path"
    wanted.state, wanted.reason = "linked", f"by {fit if wanted.parts > 1 else 'its name'}"


def _link_to(source: Path, place: Path, root: Path) -> None:
    try:
        place.hardlink_to(source)
    except FileExistsError:
        raise
    except OSError:
        if not source.is_relative_to(root):
            raise
        place.symlink_to(os.path.relpath(source, place.parent))


def _row(
    wanted: _Wanted, known: Mapping[str, tuple[str, str]], scans: Scans, files: _Files
) -> list[object]:
    """Return a line of the table, in which names that hospitals give are hashes."""
    return [
        wanted.asked.catalog,
        wanted.asked.subset.id,
        wanted.dataset,
        known.get(wanted.dataset, ("",))[0],
        scans.shown(wanted.path),
        wanted.state,
        files.shown(wanted.file),
        wanted.reason,
    ]


def _sample(wanted: Iterable[_Wanted]) -> list[_Wanted]:
    """Return some links to pictures, of all source datasets in turn."""
    links = [each for each in wanted if each.state == "linked" and is_picture(each.path)]
    turns: Counter[str] = Counter()
    drawn = []
    for each in random.Random(0).sample(links, len(links)):
        drawn.append((turns[each.dataset], each))
        turns[each.dataset] += 1
    return [each for _, each in sorted(drawn, key=itemgetter(0))][:SHOWN]


def _say(
    wanted: Sequence[_Wanted],
    catalog: str,
    known: Mapping[str, tuple[str, str]],
    say: Callable[[str], object],
) -> None:
    """Say of each source dataset what became of its pictures."""
    states: dict[str, Counter[str]] = defaultdict(Counter)
    for each in wanted:
        states[each.dataset][each.state] += 1
    for dataset, counts in states.items():
        name, link = known.get(dataset, ("", ""))
        came = ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
        where = f" Link: {link}" if link and counts["missing"] else ""
        say(f"{catalog} dataset {dataset} {name}".rstrip() + f": {came}.{where}")
