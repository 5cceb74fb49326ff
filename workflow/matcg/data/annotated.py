"""Pictures with what their files say is to be found in them, before it is looked at closely."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from matcg.config.finding_options import FindingOptions
from matcg.data.image_folder import Folder
from matcg.errors import DataError

ANY = "1"  # the class of what no file gives a class


@dataclass(frozen=True, slots=True)
class Raw:
    """A finding as a file has it.

    `name` is its class there. `box` is [x1, y1, x2, y2) in pixels, or in `fractions` of the
    picture. `mask` is a list of COCO's polygons, or its run lengths: `counts`, compressed or not,
    and where it is known `size`, which is height and width.
    """

    name: str
    box: tuple[float, ...] = ()
    fractions: bool = False
    mask: Any = None


# Raises BadRowError, or what reading a malformed value raises.
Read = Callable[[], Iterable[Raw]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a file of annotations, by its path below the data folder.

    `rows` are what reads its findings, each with its place in the file; `error` says why the
    picture cannot be used; `split` and `group` are what the file itself says of these.
    """

    file: str
    row: str
    image: str
    rows: tuple[tuple[str, Read], ...] = ()
    split: str = ""
    group: str = ""
    error: str = ""


Pictures = Callable[[Folder, FindingOptions], Iterator[Picture]]


def files_of(folder: Folder, options: FindingOptions) -> list[str]:
    """Return the files of annotations.

    Raises:
        DataError: there is none.
    """
    found = sorted({path for each in options.files for path, _ in matching(folder, each)})
    if not found:
        raise no_files(folder, options)
    return found


def no_files(folder: Folder, options: FindingOptions) -> DataError:
    """Return the error about a folder without any file of annotations."""
    return DataError(
        f"no file {' or '.join(options.files)} in {folder.root}; put it there or mend option"
        " 'files'"
    )


def matching(folder: Folder, pattern: str) -> list[tuple[str, dict[str, str]]]:
    """Return the files that a pattern fits, sorted, with what its `{image}` and `{class}` hold.

    `{image}` may lead through folders; links to folders are not followed.
    """
    text = re.escape(pattern).replace(r"\*", "[^/]*")
    for name, held in (("image", ".+"), ("class", "[^/]+")):
        text = text.replace(rf"\{{{name}\}}", f"(?P<{name}>{held})", 1)
        text = text.replace(rf"\{{{name}\}}", f"(?P={name})")
    start = re.split(r"[*{]", pattern)[0].rpartition("/")[0]
    deep = "{image}" in pattern or "/" in pattern[len(start) + 1 :]
    found = []
    for place, _, names in os.walk(folder.root / start):
        below = os.path.relpath(place, folder.root)
        paths = (name if below == "." else f"{below}/{name}" for name in names)
        found += [(path, fit.groupdict()) for path in paths if (fit := re.fullmatch(text, path))]
        if not deep:
            break
    return sorted(found, key=lambda each: each[0])
