"""How long it takes to measure a release's questions against a backbone's context.

Usage: python tests/benchmarks/run_lengths.py [ROWS]. Rows are invented, in files of 100,000 as
`prepare` writes them, of which each is measured by a process on one of two cores. One in a hundred
is so long that it is tokenised.
"""

import random
import sys
import tempfile
import time
from multiprocessing import Pool
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "workflow"))

from matcg.config.library import load  # noqa: E402
from matcg.models.lengths import measure  # noqa: E402
from matcg.samples import Sample, write_samples  # noqa: E402

EACH, LONG = 100_000, 0.01  # rows a file, and the share of long ones
BACKBONE = load("backbone", ROOT / "backbones/tiny-llava.yaml")
WORDS = [
    "which",
    "side",
    "lesion",
    "mass",
    "normal",
    "pneumonia",
    "the",
    "picture",
    "of",
    "shown",
    "finding",
    "is",
    "chest",
    "level",
]


def sample(number: int, chance: random.Random) -> Sample:
    """Return an invented question of 20 words, or of 600."""
    words = 600 if chance.random() < LONG else 20
    question = " ".join(chance.choices(WORDS, k=words)) + "?"
    options = tuple(" ".join(chance.choices(WORDS, k=2)) + f" {n}" for n in range(4))
    return Sample(f"s-{number}", "s", b"", "", "x.png", question, options, 0, options[0], "1")


def one(file: Path) -> None:
    """Measure a file."""
    name = file.parent.name
    measure(BACKBONE, {"train": file}, file.parents[1] / f"tiny/cat/{name}.json", "")


def main(rows: int) -> None:
    """Write the rows, measure them, and say how long that took."""
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"s{n}", "train.parquet") for n in range(rows // EACH)]
        for file in files:
            write_samples(file, (sample(n, chance) for n in range(EACH)))
        begun = time.perf_counter()
        with Pool(2) as pool:
            pool.map(one, files, chunksize=1)
        print(f"{rows} rows in {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main(int([*sys.argv, "2400000"][1]))
