"""Measure what leasing GPUs costs a job: prints one row for docs/benchmarks.md.

    PYTHONPATH=workflow python tests/benchmarks/run_lease.py [repeats]

The devices are pretended ones, named in CUDA_VISIBLE_DEVICES; nvidia-smi is looked for.
"""

import contextlib
import io
import os
import statistics
import sys
import tempfile
import time

from matcg.cluster.devices import lease


def microseconds(count: int, repeats: int) -> list[float]:
    """Return how long taking and giving back `count` free devices took, each time."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), lease(count, "benchmark"):
            pass
        found.append((time.perf_counter() - start) * 1e6)
    return sorted(found)


def main() -> None:
    """Print median and 99th percentile for jobs with 0, 1, 2 and 8 of eight devices."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(8)))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MATCG_LEASES"] = folder
        for count in (0, 1, 2, 8):
            found = microseconds(count, repeats)
            high = found[int(0.99 * len(found))]
            print(f"| {count} | {statistics.median(found):.0f} | {high:.0f} |")


if __name__ == "__main__":
    main()
