"""Measures a look at tables: a catalog made of questions in the layout of OmniMedVQA.

`python tests/benchmarks/run_tables.py [--rows 89000] [--repeats 3]` invents 42 files of questions
in a temporary folder, with four options each out of a hundred, two questions a picture, and no
pictures. A look at them is made in new processes, imports included, a plain `json.loads` of the
same files beside it, in the same process before it. It prints a row for docs/benchmarks.md: seconds
on the clock and of the processor, best to worst, and the peak of memory.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from run_default import ROOT, machine, version

FILES, TASKS, MODALITIES = 42, 5, 8


def main() -> None:
    """Measure, or, in a process of its own, look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=89_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--look", type=Path)
    given = parser.parse_args()
    if given.look:
        look(given.look)
        return
    with tempfile.TemporaryDirectory() as name:
        invent(Path(name), given.rows)
        runs = [measured(Path(name)) for _ in range(given.repeats)]
    shown = " | ".join(f"{min(each):.2f} to {max(each):.2f}" for each in zip(*runs, strict=True))
    print(f"{machine(1)}, commit {version()}")
    print("| rows | look (s) | of the processor (s) | json.loads (s) | peak memory (MB) |")
    print(f"| {given.rows} | {shown} |")


def invent(folder: Path, rows: int) -> None:
    """Write the files, and the catalog as it ships."""
    chance = random.Random(0)
    tables = folder / "OmniMedVQA/QA_information/Open-access"
    tables.mkdir(parents=True)
    (folder / "omnimedvqa.yaml").write_text((ROOT / "catalogs/omnimedvqa.yaml").read_text("utf-8"))
    for at in range(FILES):
        made = [question(chance, f"Set {at}", n) for n in range(at, rows, FILES)]
        (tables / f"Set {at}.json").write_text(json.dumps(made, indent=4))


def question(chance: random.Random, dataset: str, number: int) -> dict[str, str]:
    """Return a row."""
    offered = [f"Finding number {n}" for n in chance.sample(range(100), 4)]
    return {
        "dataset": dataset,
        "question_id": f"{dataset}_{number:05d}",
        "question_type": f"Task {number % TASKS}",
        "question": f"What is shown in this picture, asked in way {number % 30}?",
        "gt_answer": chance.choice(offered),
        "image_path": f"Images/{dataset}/{number // 2}.png",
        **{f"option_{letter}": text for letter, text in zip("ABCD", offered, strict=True)},
        "modality_type": f"Modality {int(dataset.split()[1]) % MODALITIES}",
    }


def measured(folder: Path) -> tuple[float, ...]:
    """Return what one look in a new process took."""
    for path in folder.glob("*-found.yaml"):
        path.unlink()
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--look", str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    taken = time.perf_counter() - start
    processor, loads, memory = map(float, done.stdout.split())
    return taken - loads, processor - loads, loads, memory


def look(folder: Path) -> None:
    """Look, and print seconds of the processor, of `json.loads`, and megabytes."""
    start = time.perf_counter()
    for path in folder.rglob("*.json"):
        json.loads(path.read_bytes())
    loads = time.perf_counter() - start
    sys.path.insert(0, str(ROOT / "workflow"))
    from matcg.config.library import load
    from matcg.data.found_file import write_found

    file = folder / "omnimedvqa.yaml"
    write_found(load("catalog", file), file, folder, folder / "apart")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(time.process_time(), loads, peak)


if __name__ == "__main__":
    main()
