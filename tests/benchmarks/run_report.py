"""Measures comparing many runs and writing their report; prints a row for docs/benchmarks.md.

`python tests/benchmarks/run_report.py [--runs 10000] [--questions 200]` invents about that many
runs' answers in a temporary folder: 25 targets, 4 rules, 25 combinations of each, as many seeds as
that needs, one control a seed. Each step runs in a process of its own, wall time and peak memory:
`compare` (tables, intervals, tests), `draw` (figures), `write` (the page).
"""

import argparse
import datetime as dt
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from run_default import ROOT, machine, version
from run_scale import alone

sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "tests/unit")]

TARGETS = 25
RULES = ("fixed-modality", "fixed-area", "fixed-task", "modality-area")
COMBINATIONS = 25
HEADER = """
| date | version | machine | runs | questions | compare (s) | compare (MB) | figures (s) \
| figures (MB) | report (s) | report (MB) | page (MB) |
|---|---|---|---|---|---|---|---|---|---|---|---|""".lstrip()


def main() -> None:
    """Invent the answers, run the steps, print the row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--questions", type=int, default=200)
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        runs, catalog = alone(measured, invent, results, settings.runs, settings.questions)[0]
        steps = [
            alone(measured, step, results, *more)
            for step, more in ((compare, ()), (draw, (catalog,)), (write, ()))
        ]
        page = (results / "report.html").stat().st_size / 1e6
    cells = [f"{value:.0f}" for _, *values in steps for value in values]
    today = dt.date.today().isoformat()
    print(HEADER)
    facts = [
        today,
        version(),
        machine(1),
        str(runs),
        str(settings.questions),
        *cells,
        f"{page:.1f}",
    ]
    print(f"| {' | '.join(facts)} |")


def measured(function: Callable[..., Any], *arguments: object) -> tuple[Any, float, float]:
    """Return a function's result, seconds and this process's peak memory in MB."""
    start = time.perf_counter()
    result = function(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result, time.perf_counter() - start, peak


def invent(results: Path, runs: int, questions: int) -> tuple[int, Mapping[str, Any]]:
    """Write plan, answers, questions and losses; return the number of runs and the catalog."""
    from synthetic import World, catalog, make

    each = TARGETS * len(RULES) * COMBINATIONS
    seeds = tuple(range(max(1, round(runs / each))))
    names = list(catalog()["subsets"])[:TARGETS]  # type: ignore[call-overload]
    accuracy = {"baseline": 0.25, "cg": 0.5, "control": 0.45}
    world = World(tuple(names), RULES, seeds=seeds, questions=questions, accuracy=accuracy)
    rows = make(results, replace(world, combinations=COMBINATIONS))
    return len({row["run"] for row in rows} - {"baseline"}), catalog()


def compare(results: Path) -> None:
    """Write the tables."""
    from matcg.report.tables import compare as step

    step(
        results / "plan/experiments.tsv",
        results / "predictions",
        "demo",
        results / "experiments/demo",
    )


def draw(results: Path, catalog: Any) -> None:
    """Draw the figures."""
    from matcg.report.figures import draw as step

    folder = results / "experiments/demo"
    step(folder / "tables", results / "runs", results / "plan", folder / "figures", "demo", catalog)


def write(results: Path) -> None:
    """Write the page."""
    from matcg.report.html import write as step

    step(results, ["demo"], results / "report.html")


if __name__ == "__main__":
    main()
