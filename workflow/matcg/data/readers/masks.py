"""Reader of masks as pictures: binary, one value a class, or one value or colour an instance.

A mask's file may be one a picture, or one a picture and class where its name tells the class.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial

from matcg.config.finding_options import FindingOptions
from matcg.data.annotated import ANY, Picture, Raw, matching, no_files
from matcg.data.image_folder import Folder
from matcg.data.readers import of_findings


def pictures(folder: Folder, options: FindingOptions) -> Iterator[Picture]:
    """Yield the pictures of a folder, and those of which only a mask is there.

    A picture without a mask cannot be used, unless the files' names tell classes: then nothing is
    to be found in it.

    Raises:
        DataError: there is no mask.
    """
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
        read = tuple((path, partial(_findings, folder, path, c, options)) for path, c in there)
        lacking = "" if there or classed else f"mask missing: no {options.files[0]} of this picture"
        yield Picture(there[0][0] if there else image, "-", image, read, error=lacking)


def _findings(folder: Folder, path: str, name: str, options: FindingOptions) -> list[Raw]:
    """Return a finding for each class or instance."""
    from matcg.data.mask_values import masks_in

    found = masks_in(folder.read(path), path, options.coding)
    return [Raw(value if options.coding == "values" else name, mask=mask) for value, mask in found]


READER = of_findings(pictures)
