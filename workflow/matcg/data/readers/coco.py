"""Reader of COCO's JSON files: boxes, polygons and run lengths.

Layout: cocodataset.org/#format-data. `bbox` is [x, y, width, height] from 0.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from matcg.config.finding_options import FindingOptions
from matcg.data.annotated import Picture, Raw, files_of
from matcg.data.image_folder import Folder
from matcg.data.readers import of_findings
from matcg.errors import BadRowError, DataError


def pictures(folder: Folder, options: FindingOptions) -> Iterator[Picture]:
    """Yield the pictures of all files; rows count annotations, or else images, from 1.

    Raises:
        DataError: a file is no COCO file.
    """
    for path in files_of(folder, options):
        try:
            held = json.loads(folder.read(path))
            images, annotations = list(held["images"]), list(held["annotations"])
            names = {each["id"]: str(each["name"]) for each in held["categories"]}
            ids = [each["id"] for each in images]
            files = [str(each["file_name"]) for each in images]
            of_image = defaultdict(list)
            for row, each in enumerate(annotations, start=1):
                of_image[each["image_id"]].append((str(row), partial(_finding, each, names)))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{path}: no COCO file ({error!r}); replace the file") from None
        column = options.split_by.column if options.split_by else ""
        for row, (key, file, each) in enumerate(zip(ids, files, images, strict=True), start=1):
            image = options.images.replace("{image}", file)
            split = str(each.get(column, ""))
            yield Picture(path, str(row), image, tuple(of_image.pop(key, ())), split)
        for key, rows in of_image.items():
            yield Picture(path, rows[0][0], "", error=f"annotation of no image: image_id {key}")


def _finding(given: Mapping[str, Any], names: Mapping[Any, str]) -> list[Raw]:
    if given["category_id"] not in names:
        raise BadRowError(f"unknown class: category_id {given['category_id']} is no category's")
    box: tuple[float, ...] = ()
    if given.get("bbox"):
        x, y, w, h = map(float, given["bbox"])
        box = (x, y, x + w, y + h)
    return [Raw(names[given["category_id"]], box, mask=given.get("segmentation") or None)]


READER = of_findings(pictures)
