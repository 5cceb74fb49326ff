"""Reads files of changed structure, 100,000 by default: `python tests/benchmarks/run_fuzz.py [N]`.

Half are pictures, half tables of rows (`tests/fuzzing.py`). Prints what became of them, the
slowest, the peak of memory, and which share of the lines in each reader's functions was run.
Anything but a picture, good rows or a reason ends it, with the number of the case.
"""

import logging
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "unit"), str(TESTS.parent / "workflow")]

import fuzzing  # noqa: E402

LIBRARY = TESTS.parent / "workflow/matcg"
READERS = {
    str(LIBRARY / f"{name}.py"): set[int]()
    for name in (
        *("images/__init__", "images/windows", "images/deep", "images/tiff", "images/bounds"),
        *("data/json_rows", "data/release_table", "data/option_lines"),
    )
}
TRACED = 5_000  # of the cases of each kind: to trace takes several times as long


def main(cases: int) -> None:
    """Read so many files and print what was found."""
    warnings.simplefilter("ignore")
    logging.disable()
    seeds = fuzzing.pictures()
    with tempfile.TemporaryDirectory() as folder:

        def picture(chance: random.Random) -> str:
            return fuzzing.look(fuzzing.changed(chance.choice(seeds), chance), Path(folder, "x"))

        def table(chance: random.Random) -> str:
            lines = chance.random() < 0.5
            path = Path(folder, "x.jsonl" if lines else "x.json")
            return fuzzing.read_rows(fuzzing.changed_rows(chance, lines), path)

        for name, read in (("pictures", picture), ("tables", table)):
            found: Counter[str] = Counter()
            slowest = 0.0
            for number in range(cases // 2):
                sys.settrace(trace if number < TRACED else None)
                began = time.perf_counter()
                try:
                    found[read(random.Random(number))] += 1
                except Exception as error:
                    raise SystemExit(f"{name}: case {number}: {error!r}") from error
                slowest = max(slowest, time.perf_counter() - began)
            print(f"{name}: {dict(found.most_common())}, slowest {slowest:.2f} s", flush=True)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB")
    for file, run in READERS.items():
        lines = set(executable(compile(Path(file).read_text("utf-8"), file, "exec")))
        missed = sorted(lines - run)
        share = 1 - len(missed) / max(1, len(lines))
        print(f"{Path(file).relative_to(LIBRARY)}: {share:.0%} of {len(lines)} lines, not {missed}")


def trace(frame: FrameType, event: str, argument: Any) -> Any:
    """Note the lines of the readers that are run."""
    del argument
    if (run := READERS.get(frame.f_code.co_filename)) is None:
        return None
    if event == "line":
        run.add(frame.f_lineno)
    return trace


def executable(code: CodeType, inside: bool = False) -> Iterator[int]:
    """Yield the lines of all functions in a module's code, without their first."""
    if inside:
        yield from {line for *_, line in code.co_lines() if line and line > code.co_firstlineno}
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from executable(part, inside=bool(part.co_flags & 2))  # 2: a function's


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
