"""Pictures of which a backbone does not see a finding whole, since it crops them.

They stay in training and tests, where scores are of the whole picture: what is cut off is missed.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matcg.geometry import Square
from matcg.identity import plain
from matcg.samples import Sample, read_samples

_PLACE = ("catalog", "subset", "samples", "backbone")
COUNTS = (*_PLACE, "with_finding", "cut", "unseen")
PICTURES = (*_PLACE, "image", "row", "reason")

Rows = list[list[Any]]


def cut_off(files: Iterable[Path], edges: Mapping[str, int]) -> tuple[Rows, Rows]:
    """Return the cells of `COUNTS` and of `PICTURES` for files of samples and backbones.

    `edges` are those of the squares that backbones crop to. `with_finding`, `cut` and `unseen`
    count pictures with any finding, with one that is not seen whole, and with one of which nothing
    is seen; a file without such pictures has no row. `PICTURES` are all that are cut, by `image`
    (below the data folder) and `row` (sample id).
    """
    counts: Rows = []
    pictures: Rows = []
    for file in files:
        located = [each for each in read_samples(file, pictures=False) if each.findings]
        for backbone, edge in edges.items():
            place = [file.parts[-3], plain(file.parts[-2]), file.stem, backbone]
            lost = [(each, *_lost(each, edge)) for each in located]
            listed = [each for each in lost if each[1]]
            if listed:
                unseen = sum(bool(gone) for *_, gone in listed)
                counts.append([*place, len(located), len(listed), unseen])
            for each, cut, gone in sorted(listed, key=lambda row: row[0].sample_id):
                pictures.append([*place, each.origin, each.sample_id, _reason(each, cut, gone)])
    return counts, pictures


def _lost(sample: Sample, edge: int) -> tuple[int, int]:
    """Return how many of a picture's findings are cut, and of how many nothing is seen."""
    square = Square(sample.size, edge, "crop")
    boxes = [finding.box for finding in sample.findings]
    return square.cut(boxes), sum(square.box_seen(box) is None for box in boxes)


def _reason(sample: Sample, cut: int, gone: int) -> str:
    return f"{cut} of {len(sample.findings)} findings cut off" + f", {gone} wholly" * bool(gone)
