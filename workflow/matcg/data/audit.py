"""Leak audit: test images of a target that are also trained on in a mix used for it.

Med-MAT's subsets overlap in their sources, so that a "related" subset may hold the target's very
images. Exact duplicates are found by the digest of decoded pixels, whatever the file format.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from matcg.data.prepare import write_table

COLUMNS = ("catalog", "target", "mix", "test_images", "duplicated", "examples")
EXAMPLES = 3


def audit(uses: Sequence[tuple[str, str, str]], mixes: Path, data: Path, out: Path) -> None:
    """Write one row for every use (catalog, mix, target) of a mix, sorted.

    `mixes` is the folder of mixes, `data` the folder of catalogs of prepared subsets.
    `test_images` counts different test images, `duplicated` those also in the mix; `examples` are
    up to three of them as "test sample = training sample".
    """

    @cache
    def digests(catalog: str, subset: str, side: str) -> dict[str, str]:
        return read_digests(data / catalog / subset / f"{side}.parquet")

    @cache
    def trained(catalog: str, mix: str) -> dict[str, str]:
        found = {}
        for subset, ids in _sample_ids(mixes / f"{mix}.parquet").items():
            known = digests(catalog, subset, "train")
            found.update({known[sample_id]: sample_id for sample_id in ids})
        return found

    rows = []
    for catalog, target, mix in sorted({(catalog, target, mix) for catalog, mix, target in uses}):
        tested = {digest: name for name, digest in digests(catalog, target, "test").items()}
        held = trained(catalog, mix)
        shared = sorted(f"{name} = {held[code]}" for code, name in tested.items() if code in held)
        examples = "; ".join(shared[:EXAMPLES])
        rows.append((catalog, target, mix, len(tested), len(shared), examples))
    write_table(out, COLUMNS, rows)


def read_digests(path: Path) -> dict[str, str]:
    """Return the pixel digest of every sample id in a Parquet file of samples."""
    table = pq.read_table(path, columns=["sample_id", "digest"]).to_pydict()
    return dict(zip(table["sample_id"], table["digest"], strict=True))


def _sample_ids(path: Path) -> dict[str, list[str]]:
    """Return the sample ids of a mix by subset."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in pq.read_table(path, columns=["subset", "sample_id"]).to_pylist():
        found[row["subset"]].append(row["sample_id"])
    return found
