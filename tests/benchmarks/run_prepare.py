"""Measures preparing pictures beside a bare loop over the same files.

`python tests/benchmarks/run_prepare.py [--edge 28 224] [--count 100000 20000] [--repeats 3]`

PNGs of smoothed noise, as many of each edge as asked for, with a CSV of questions that the reader
`questions` reads. *Ours* is `prepare` of one subset with a process a core: table, checks, split,
near duplicates, two Parquet files. *Bare* reads each file, decodes it by Pillow, hashes it by
imagehash and sends bytes and hash to the process that writes them to one Parquet file of the same
compression as they come, in a process a core. *Decoding* is its first two steps alone. Each run is
a process of its own, ways take turns, and the clock starts when everything is imported; medians of
the repeats count. Memory is the largest of ours and all its forks together, what they share (PSS)
counted once.
"""

import argparse
import gc
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.fftpack  # noqa: F401, which imagehash imports when it is called
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
CHUNK = 64  # pictures a process of the bare loop takes at once
EVERY = 0.25  # seconds between two looks at the memory
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
    gc.set_threshold(100_000)  # as in each job (steps/script.py)
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
    """Hash all of them, and write them as they come."""
    with (
        ProcessPoolExecutor(CORES) as pool,
        pq.ParquetWriter(out / "all.parquet", SCHEMA, compression="zstd") as writer,
    ):
        rows = pool.map(hashed, paths(folder, count), chunksize=CHUNK)
        while group := list(islice(rows, GROUP)):
            images, hashes = zip(*group, strict=True)
            writer.write_table(pa.table([images, hashes], schema=SCHEMA))


def decoding(folder: Path, out: Path, count: int) -> None:
    """Decode all of them."""
    del out
    with ProcessPoolExecutor(CORES) as pool:
        assert len(list(pool.map(size_of, paths(folder, count), chunksize=CHUNK))) == count


def paths(folder: Path, count: int) -> list[Path]:
    """Return where the pictures are."""
    return [folder / f"{number // EACH}/{number}.png" for number in range(count)]


WAYS: dict[str, Callable[[Path, Path, int], None]] = {f.__name__: f for f in (ours, bare, decoding)}


def one(way: str, folder: Path, count: int) -> None:
    """Do it once, and print seconds."""
    with tempfile.TemporaryDirectory() as out:
        begun = time.perf_counter()
        WAYS[way](folder, Path(out), count)
        print(time.perf_counter() - begun)


def measured(way: str, folder: Path, count: int) -> tuple[float, int]:
    """Return seconds and MB of a process of its own."""
    words = [sys.executable, __file__, "--one", way, str(folder), str(count)]
    peak = 0
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as done:
        while done.poll() is None:
            peak = max(peak, memory(done.pid))
            time.sleep(EVERY)
        assert done.stdout
        assert done.wait() == 0
        return float(done.stdout.read()), peak >> 10


def memory(process: int) -> int:
    """Return the KB of a process and its children, those shared between them once."""
    found = 0
    with suppress(OSError):  # one that has ended
        place = Path("/proc") / str(process)
        children = (place / "task" / str(process) / "children").read_text().split()
        found = sum(memory(int(child)) for child in children)
        lines = (place / "smaps_rollup").read_text().splitlines()
        found += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return found


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
        middle = {way: statistics.median(turn[way][0] for turn in turns) for way in WAYS}
        peak = max(turn["ours"][1] for turn in turns)
        share = middle["bare"] / middle["ours"]
        print(
            f"| {edge} | {count:,} | {middle['ours']:.1f} | {middle['bare']:.1f} | {share:.0%}"
            f" | {middle['decoding']:.1f} | {peak} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
