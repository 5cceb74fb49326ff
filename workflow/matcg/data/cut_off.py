"""Pictures of which a backbone does not see a finding whole, since it crops them.

They stay in training and tests, where scores are of the whole picture: what is cut off is missed.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from matcg.geometry import Square
from matcg.identity import plain
from matcg.samples import read_samples

COLUMNS = (
    *("catalog", "subset", "samples", "backbone"),
    *("with_finding", "cut", "unseen", "image", "row"),
)


def cut_off(files: Iterable[Path], edges: Mapping[str, int]) -> Iterator[list[Any]]:
    """Yield the cells of `COLUMNS` for each file of samples and backbone that cuts findings off.

    `edges` are those of the squares that backbones crop to. `with_finding`, `cut` and `unseen`
    count pictures with any finding, with one that is not seen whole, and with one of which nothing
    is seen; `image` and `row` (sample id) are of the first that is cut.
    """
    for file in files:
        located = [each for each in read_samples(file, pictures=False) if each.findings]
        place = (file.parts[-3], plain(file.parts[-2]), file.stem)
        for backbone, edge in edges.items():
            squares = [(each, Square(each.size, edge, "crop")) for each in located]
            cut = [
                (each, square)
                for each, square in squares
                if square.cut(finding.box for finding in each.findings)
            ]
            if cut:
                unseen = sum(
                    any(square.box_seen(finding.box) is None for finding in each.findings)
                    for each, square in cut
                )
                first = min((each for each, _ in cut), key=lambda each: each.sample_id)
                counts = (len(located), len(cut), unseen)
                yield [*place, backbone, *counts, first.origin, first.sample_id]
