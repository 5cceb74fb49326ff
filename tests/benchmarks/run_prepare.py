"""Measures preparing pictures beside a bare loop over the same files.

`python tests/benchmarks/run_prepare.py [--edge 28 224] [--count 100000 20000] [--repeats 3]`

PNGs of smoothed noise, as many of each edge as asked for, with a CSV of questions that the reader
`questions` reads. *Ours* is `prepare` of one subset with a thread a core: table, checks, split,
near duplicates, two Parquet files. *Bare* reads each file, decodes it by Pillow, hashes it by
imagehash and writes bytes and hashes to one Parquet file of the same compression, in a process a
core. *Decoding* is its first two steps alone. Each run is a process of its own, ways take turns,
and the clock starts when everything is imported; the best of the repeats counts. Memory is the
largest resident of ours.
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from imagehash import phash
from PIL import Image
from run_default import ROOT, machine, version

sys.path.insert(0, str(ROOT / "workflow"))

from matcg.config.catalog import Catalog
from matcg.data.prepare import prepare
from matcg.images import HASH_EDGE
from matcg.samples import GROUP

CORES = len(os.sched_getaffinity(0))
SCHEMA = pa.schema([("image", pa.binary()), ("fingerprint", pa.string())])
EACH = 1000  # pictures a folder
QUESTION = "What is it?,yes,no,{}"


def make(folder: Path, edge: int, count: int) -> None:
    """Write pictures and their table."""
    draw = np.random.default_rng(edge)
    rows = ["id,image,question,one,two,answer"]
    for number in range(count):
        path = f"{number // EACH}/{number}.png"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        noise = Image.fromarray(draw.integers(0, 256, (8, 8), dtype=np.uint8))
        noise.resize((edge, edge), Image.Resampling.BICUBIC).save(folder / path)
        rows.append(f"{number},{path},{QUESTION.format(('yes', 'no')[number % 2])}")
    (folder / "table.csv").write_text("\n".join(rows), encoding="utf-8")


def ours(folder: Path, out: Path, count: int) -> None:
    """Prepare all of them, a tenth to test on."""
    columns = {"id": "id", "image": "image", "question": "question", "answer": "answer"}
    options = {"files": ["table.csv"], "columns": {**columns, "options": ["one", "two"]}}
    elements = {"modality": "m", "area": "a", "task": "t"}
    catalog = Catalog.model_validate(
        {
            "name": "pictures",
            "reader": "questions",
            "options": options | {"answer": "text"},
            "elements": list(elements),
            "split": {"train": count, "test": count // 10, "test_fraction": 0.1},
            "subsets": [{"id": "all", **elements}],
        }
    )
    prepare(catalog.preparation("all"), folder, out / "all", CORES)


def decoded(path: Path) -> tuple[bytes, Image.Image]:
    """Return a file and its picture."""
    data = path.read_bytes()
    image = Image.open(io.BytesIO(data))
    image.load()
    return data, image


def size_of(path: Path) -> int:
    """Decode alone."""
    return decoded(path)[1].width


def hashed(path: Path) -> tuple[bytes, str]:
    """Return a file and the hash of its picture."""
    data, image = decoded(path)
    return data, np.packbits(phash(image, hash_size=HASH_EDGE).hash).tobytes().hex()


def bare(folder: Path, out: Path, count: int) -> None:
    """Hash all of them, and write them."""
    with (
        ProcessPoolExecutor(CORES) as pool,
        pq.ParquetWriter(out / "all.parquet", SCHEMA, compression="zstd") as writer,
    ):
        rows = list(pool.map(hashed, paths(folder, count), chunksize=GROUP))
        for start in range(0, count, GROUP):
            images, hashes = zip(*rows[start : start + GROUP], strict=True)
            writer.write_table(pa.table([images, hashes], schema=SCHEMA))


def decoding(folder: Path, out: Path, count: int) -> None:
    """Decode all of them."""
    del out
    with ProcessPoolExecutor(CORES) as pool:
        assert len(list(pool.map(size_of, paths(folder, count), chunksize=GROUP))) == count


def paths(folder: Path, count: int) -> list[Path]:
    """Return where the pictures are."""
    return [folder / f"{number // EACH}/{number}.png" for number in range(count)]


WAYS: dict[str, Callable[[Path, Path, int], None]] = {f.__name__: f for f in (ours, bare, decoding)}


def one(way: str, folder: Path, count: int) -> None:
    """Do it once, and print seconds and MB."""
    with tempfile.TemporaryDirectory() as out:
        begun = time.perf_counter()
        WAYS[way](folder, Path(out), count)
        took = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps([took, peak]))


def measured(way: str, folder: Path, count: int) -> tuple[float, int]:
    """Return seconds and MB of a process of its own."""
    words = [sys.executable, __file__, "--one", way, str(folder), str(count)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, nargs="+", default=[100_000, 20_000, 5_000])
    parser.add_argument("--edge", type=int, nargs="+", default=[28, 224, 512])
    parser.add_argument("--repeats", type=int, default=3)
    told = parser.parse_args()
    print(f"{version()}, {machine(CORES)}\n")
    print("| edge | pictures | ours (s) | bare (s) | ours, of bare | decoding (s) | MB |")
    print("|---|---|---|---|---|---|---|")
    for edge, count in zip(told.edge, told.count, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), edge, count)
            run = partial(measured, folder=Path(folder), count=count)
            turns = [{way: run(way) for way in WAYS} for _ in range(told.repeats)]
        best = {way: min(turn[way][0] for turn in turns) for way in WAYS}
        peak = max(turn["ours"][1] for turn in turns)
        share = best["bare"] / best["ours"]
        print(
            f"| {edge} | {count:,} | {best['ours']:.1f} | {best['bare']:.1f} | {share:.0%}"
            f" | {best['decoding']:.1f} | {peak} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
