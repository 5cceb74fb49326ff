"""Reader of Pascal VOC's XML files, one a picture.

VOC's corners count from 1 and are the box's first and last pixels (host.robots.ox.ac.uk/pascal/VOC,
annotation guidelines of the development kit): xmin-1, ymin-1, xmax, ymax. Many files of that layout
count from 0 and mean edges: `corners: exclusive`.
"""

from collections.abc import Iterator
from functools import partial
from xml.etree import ElementTree as ET

from matcg.config.finding_options import FindingOptions
from matcg.data.annotated import Picture, Raw, files_of
from matcg.data.image_folder import Folder
from matcg.data.readers import of_findings
from matcg.errors import BadRowError


class _Tree(ET.TreeBuilder):
    """A tree without a document type: of entities, which grow without bound or read files."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError(f"a DOCTYPE ({name}, {pubid}, {system}), which is not read; remove it")


def pictures(folder: Folder, options: FindingOptions) -> Iterator[Picture]:
    """Yield a picture a file; rows count its objects from 1."""
    less = 1.0 if options.corners == "inclusive" else 0.0
    for path in files_of(folder, options):
        try:
            parser = ET.XMLParser(target=_Tree())
            root = ET.fromstring(folder.read(path), parser)
            name = root.findtext("filename", "").strip()
            if not name:
                raise ValueError("no filename")
        except (ET.ParseError, ValueError, LookupError) as error:
            yield Picture(path, "-", "", error=f"XML unreadable: {error}")
            continue
        rows = enumerate(root.iterfind("object"), start=1)
        yield Picture(
            path,
            "-",
            options.images.replace("{image}", name),
            tuple((str(row), partial(_finding, each, less)) for row, each in rows),
        )


def _finding(given: ET.Element, less: float) -> list[Raw]:
    name = given.findtext("name", "").strip()
    corners = [given.findtext(f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")]
    if None in corners:
        raise BadRowError("box incomplete: bndbox needs xmin, ymin, xmax and ymax")
    x1, y1, x2, y2 = (float(each or "") for each in corners)
    return [Raw(name, (x1 - less, y1 - less, x2, y2))]


READER = of_findings(pictures)
