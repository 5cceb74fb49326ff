"""Leak audit: for every use of a mix, which test images of its target were trained on.

The pairs come from `leaks.tsv`; here it is looked up which of them a mix holds after all.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from matcg.data.leaks import Leak, leaks_by_target, shown
from matcg.errors import DataError
from matcg.tsv import write_table

COLUMNS = (
    "catalog", "target", "mix", "policy", "test_images", "in_sources", "left_out", "trained_on",
    "test_images_trained_on", "examples",
)  # fmt: skip
LEAKED = ("catalog", "target", "mix", "sample_id")
NAMED = 3


def audit(
    uses: Sequence[tuple[str, str, str, bool]], mixes: Path, data: Path, leaks: Path, out: Path
) -> None:
    """Write audit.tsv and leaked.tsv into the folder `out`.

    `uses` are catalog, mix, target and whether the mix may hold leaks; `mixes` is the folder of
    mixes, `data` that of catalogs of prepared subsets, `leaks` the table of pairs. audit.tsv has a
    row a use: training images of the mix's subsets that are test images of the target
    (`in_sources`), how many of them the mix does not hold (`left_out`) and how many it holds
    (`trained_on`). leaked.tsv names the test images of the latter.

    Raises:
        DataError: a mix holds what it must not.
    """

    @cache
    def test_images(catalog: str, target: str) -> int:
        return int(pq.ParquetFile(data / catalog / target / "test.parquet").metadata.num_rows)

    @cache
    def held(mix: str) -> frozenset[tuple[str, str]]:
        table = pq.read_table(mixes / f"{mix}.parquet", columns=["subset", "sample_id"])
        return frozenset(zip(*(column.to_pylist() for column in table.columns), strict=True))

    found = leaks_by_target(leaks)
    rows, leaked, stale = [], [], []
    for catalog, mix, target, leaky in sorted(set(uses)):
        subsets = {subset for subset, _ in held(mix)}
        there = [leak for leak in found.get((catalog, target), ()) if leak.source in subsets]
        inside = [leak for leak in there if (leak.source, leak.train) in held(mix)]
        trained = {leak.train for leak in inside}
        tested = sorted({leak.test for leak in inside})
        in_sources = len({leak.train for leak in there})
        policy = "report" if leaky else "drop"
        counts = (in_sources, in_sources - len(trained), len(trained), len(tested))
        place = (catalog, target, mix, policy, test_images(catalog, target))
        rows.append((*place, *counts, shown(inside or there)))
        leaked += [(catalog, target, mix, name) for name in tested]
        stale += [(mix, leak) for leak in inside if not leaky]
    _require_clean(stale)
    write_table(out / "audit.tsv", COLUMNS, rows)
    write_table(out / "leaked.tsv", LEAKED, leaked, exact=True)


def _require_clean(stale: Sequence[tuple[str, Leak]]) -> None:
    """Refuse mixes with leaks: they were made before the target they are now used on was known."""
    if not stale:
        return
    mixes = sorted({mix for mix, _ in stale})
    more = f" and {len(mixes) - NAMED} more" if len(mixes) > NAMED else ""
    leak = stale[0][1]
    raise DataError(
        f"mix {', '.join(mixes[:NAMED])}{more}: made before target {leak.target} was planned on it,"
        f" it holds {len(stale)} of its test pictures, such as {leak.train} = {leak.test}."
        f" Delete {' '.join(f'results/mixes/{mix}.parquet' for mix in mixes[:NAMED])}{more} and"
        " start again: only the runs on them are trained anew"
    )
