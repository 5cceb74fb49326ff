"""Leak audit: for every use of a mix, which test images of its target were trained on.

The pairs come from `leaks.tsv`; here it is looked up which of them a mix holds after all.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from matcg.data.leaks import Leak, barred, leaks_by_target, shown_leaks
from matcg.errors import DataError
from matcg.tsv import write_tsv

COLUMNS = (
    "catalog", "target", "mix", "policy", "test_images", "in_sources", "left_out", "trained_on",
    "test_images_trained_on", "examples",
)  # fmt: skip
LEAKED = ("catalog", "target", "mix", "sample_id")
_NAMED = 3


def audit(
    uses: Sequence[tuple[str, str, str]],
    mixes: Mapping[str, Path],
    folders: Mapping[str, Path],
    leaks: Path,
    out: Path,
    policy: Literal["drop", "report", "error"] = "drop",
) -> None:
    """Write audit.tsv and leaked.tsv into the folder `out`.

    `uses` are catalog, mix and target; `mixes` leads to the file of a mix, `folders` to the
    prepared data of a target, `leaks` is the table of pairs. audit.tsv has a row a use: training
    images of the mix's subsets that are test images of the target (`in_sources`), how many of them
    the mix does not hold (`left_out`) and how many it holds (`trained_on`). leaked.tsv names the
    test images of the latter.

    Raises:
        DataError: a mix holds what it must not, or there are leaks and the policy is `error`.
    """

    @cache
    def test_images(target: str) -> int:
        return int(pq.ParquetFile(folders[target] / "test.parquet").metadata.num_rows)

    @cache
    def held(mix: str) -> frozenset[tuple[str, str]]:
        table = pq.read_table(mixes[mix], columns=["subset", "sample_id"])
        return frozenset(zip(*(column.to_pylist() for column in table.columns), strict=True))

    found = leaks_by_target(leaks)
    told = "report" if policy == "report" else "drop"
    rows, leaked, wrong = [], [], []
    for catalog, mix, target in sorted(set(uses)):
        subsets = {subset for subset, _ in held(mix)}
        there = [leak for leak in found.get((catalog, target), ()) if leak.source in subsets]
        inside = [leak for leak in there if (leak.source, leak.train) in held(mix)]
        trained = {leak.train for leak in inside}
        tested = sorted({leak.test for leak in inside})
        in_sources = len({leak.train for leak in there})
        counts = (in_sources, in_sources - len(trained), len(trained), len(tested))
        place = (catalog, target, mix, told, test_images(target))
        rows.append((*place, *counts, shown_leaks(inside or there)))
        leaked += [(catalog, target, mix, name) for name in tested]
        wrong += [(mix, leak) for leak in inside if policy != "report"]
        barred(mix, policy, there)
    _require_clean(wrong, mixes)
    write_tsv(out / "audit.tsv", COLUMNS, rows)
    write_tsv(out / "leaked.tsv", LEAKED, leaked, exact=True)


def _require_clean(wrong: Sequence[tuple[str, Leak]], mixes: Mapping[str, Path]) -> None:
    """Refuse mixes with leaks that were made to hold none."""
    if not wrong:
        return
    names = sorted({mix for mix, _ in wrong})
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    leak = wrong[0][1]
    raise DataError(
        f"mix {', '.join(names[:_NAMED])}{more}: holds {len(wrong)} test pictures of its targets,"
        f" such as {leak.train} = {leak.test}, and was made to hold none. Remove"
        f" {' '.join(str(mixes[name]) for name in names[:_NAMED])}{more} and call again: only the"
        " runs on them are trained anew"
    )
