"""One target's answers from all groups of runs, in one file for the comparison."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matcg.errors import DataError


def gather(
    groups: Iterable[Path], catalog: str, target: str, names: Sequence[str], out: Path
) -> None:
    """Write one target's answers from all groups to `out`, runs in the order of `names`.

    Raises:
        DataError: a run's answers are in none of the groups.
    """
    here = [("catalog", "=", catalog), ("target", "=", target)]
    tables = [pq.read_table(path, filters=here) for path in groups]
    found = pa.concat_tables(tables).drop_columns(["catalog", "target"])
    absent = sorted(set(names) - set(found["run"].to_pylist()))
    if absent:
        raise DataError(f"{out}: no group has answers of {absent[0]}; predict again")
    order = {name: number for number, name in enumerate(names)}
    keys = np.array([order.get(name, -1) for name in found["run"].to_pylist()])
    chosen = np.argsort(keys, kind="stable")
    out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(found.take(chosen[keys[chosen] >= 0]), out, compression="zstd")
