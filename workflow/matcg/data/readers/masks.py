"""Reader of masks as pictures: binary, one value a class, or one value or colour an instance.

A mask's file may be one a picture, or one a picture and class where its name tells the class.
Where picture and mask are NIfTI volumes, each slice that an option names is a picture.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from matcg.config.finding_options import FindingOptions
from matcg.data.annotated import ANY, Picture, Raw, matching, no_files
from matcg.data.image_folder import Folder
from matcg.data.readers import of_findings
from matcg.errors import BadRowError

if TYPE_CHECKING:
    from matcg.data.scans import Scans


def pictures(folder: Folder, options: FindingOptions) -> Iterator[Picture]:
    """Yield the pictures of a folder, and those of which only a mask is there.

    A picture without a mask cannot be used, unless the files' names tell classes: then nothing is
    to be found in it.

    Raises:
        DataError: there is no mask.
    """
    from matcg.data.scans import Scans
    from matcg.images.nifti import is_volume

    scans = Scans(folder, options)
    images = {held["image"]: path for path, held in matching(folder, options.images)}
    masks = defaultdict(list)
    for each in options.files:
        for path, held in matching(folder, each):
            if path != images.get(held["image"]):
                masks[held["image"]].append((path, held.get("class", ANY)))
    if not masks:
        raise no_files(folder, options)
    classed = any("{class}" in each for each in options.files)
    for name in sorted(images.keys() | masks):
        image = images.get(name, options.images.replace("{image}", name))
        there = masks.get(name, [])
        lacking = "" if there or classed else f"mask missing: no {options.files[0]} of this picture"
        file = there[0][0] if there else image
        if any(is_volume(path) for path, _ in there):
            yield from _slices(scans, image, there, options)
            continue
        read = tuple((path, partial(_findings, folder, path, c, options)) for path, c in there)
        yield Picture(file, "-", image, read, error=lacking)


def _slices(
    scans: "Scans", image: str, masks: list[tuple[str, str]], options: FindingOptions
) -> Iterator[Picture]:
    """Yield each slice of a volume that is a picture, with what reads its part of the masks."""
    try:
        parts, error = scans.pictures(image), ""
    except BadRowError as why:
        parts, error = [image], str(why)
    for part in parts:
        read = tuple((path, partial(_in_slice, scans, path, c, part, options)) for path, c in masks)
        yield Picture(masks[0][0], "-", part, read, error=error)


def _in_slice(
    scans: "Scans", path: str, name: str, part: str, options: FindingOptions
) -> list[Raw]:
    from matcg.data.mask_values import masks_in_slice

    base, number = scans.split(part)
    file = scans.folder.find(path)
    found = masks_in_slice(file, number or 1, scans.parts(base), scans.cut, path, options.coding)
    return _named(found, name, options)


def _findings(folder: Folder, path: str, name: str, options: FindingOptions) -> list[Raw]:
    """Return a finding for each class or instance."""
    from matcg.data.mask_values import masks_in

    return _named(masks_in(folder.read(path), path, options.coding), name, options)


def _named(found: list[tuple[str, Any]], name: str, options: FindingOptions) -> list[Raw]:
    return [Raw(value if options.coding == "values" else name, mask=mask) for value, mask in found]


READER = of_findings(pictures)
