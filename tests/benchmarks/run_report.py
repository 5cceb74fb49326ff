"""Measures comparing many runs and writing their report; prints a row for docs/benchmarks.md.

`python tests/benchmarks/run_report.py [--runs 10000] [--questions 200] [--combinations 25]` invents
about that many runs' answers in a temporary folder: 25 targets, 4 rules, so many combinations of
each, as many seeds as that needs, one control a seed. Each step runs in a process of its own, wall
time and peak memory: `compare` (tables, intervals, tests), `draw` (figures; `--no-figures` leaves
them out), `write` (the page). Then Chromium opens the page, sorts the table of combinations by
difference and searches it: times as the page itself measures them, until that table is painted.
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

sys.path[:0] = [str(ROOT / "workflow"), *(str(ROOT / "tests" / n) for n in ("unit", "workflow"))]

TARGETS = 25
RULES = ("fixed-modality", "fixed-area", "fixed-task", "modality-area")
COLUMNS = (
    *("date", "version", "machine", "runs", "combinations", "questions"),
    *("compare (s)", "compare (MB)", "figures (s)", "figures (MB)", "report (s)", "report (MB)"),
    *("page (MB)", "open (s)", "sort (s)", "search (s)"),
)
# Both call back with milliseconds, since the page was asked for or since the call, once the browser
# has painted.
OPENED = """
const [done] = arguments;
const box = document.querySelectorAll(".table")[1];
box.scrollIntoView();
const painted = () => requestAnimationFrame(() => setTimeout(() => done(performance.now())));
const look = () => box.querySelector(".dt-container") ? painted() : setTimeout(look, 1);
look();
"""
REDRAW = """
const [header, text, done] = arguments;
const api = new DataTable.Api(document.querySelectorAll(".table table")[1]);
const start = performance.now();
const report = () => done(performance.now() - start);
api.one("draw", () => requestAnimationFrame(() => setTimeout(report)));
if (text) api.search(text).draw();
else [...document.querySelectorAll(".table")[1].querySelectorAll("thead .dt-column-order")]
  .find((title) => title.closest("th").textContent.startsWith(header)).click();
"""


def main() -> None:
    """Invent the answers, run the steps, print the row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--combinations", type=int, default=25)
    parser.add_argument("--no-figures", action="store_true")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        asked = (settings.runs, settings.questions, settings.combinations)
        runs, catalog = alone(measured, invent, results, *asked)[0]
        compared = alone(measured, compare, results)[1:]
        drawn = (0.0, 0.0) if settings.no_figures else alone(measured, draw, results, catalog)[1:]
        steps = [*compared, *drawn, *alone(measured, write, results)[1:]]
        page = (results / "report.html").stat().st_size / 1e6
        seen = look(results / "report.html")
    cells = [*(f"{value:.0f}" for value in steps), f"{page:.1f}", *(f"{s:.2f}" for s in seen)]
    today = dt.date.today().isoformat()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    facts = [
        today,
        version(),
        machine(1),
        str(runs),
        str(TARGETS * len(RULES) * settings.combinations),
        str(settings.questions),
        *cells,
    ]
    print(f"| {' | '.join(facts)} |")


def measured(function: Callable[..., Any], *arguments: object) -> tuple[Any, float, float]:
    """Return a function's result, seconds and this process's peak memory in MB."""
    start = time.perf_counter()
    result = function(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result, time.perf_counter() - start, peak


def invent(
    results: Path, runs: int, questions: int, combinations: int
) -> tuple[int, Mapping[str, Any]]:
    """Write plan, answers, questions and losses; return the number of runs and the catalog."""
    from synthetic import World, catalog, make

    each = TARGETS * len(RULES) * combinations
    seeds = tuple(range(max(1, round(runs / each))))
    names = list(catalog()["subsets"])[:TARGETS]  # type: ignore[call-overload]
    accuracy = {"baseline": 0.25, "cg": 0.5, "control": 0.45}
    world = World(tuple(names), RULES, seeds=seeds, questions=questions, accuracy=accuracy)
    rows = make(results, replace(world, combinations=combinations))
    return len({row["run"] for row in rows} - {"baseline"}), catalog()


def compare(results: Path) -> None:
    """Write the tables."""
    from matcg.report.tables.compare import Wanted
    from matcg.report.tables.compare import compare as step

    folder = results / "experiments/demo"
    step(folder / "plan", Wanted("demo"), folder)


def draw(results: Path, catalog: Any) -> None:
    """Draw the figures."""
    from matcg.report.figures.all import draw_figures as step

    folder = results / "experiments/demo"
    step(folder / "tables", folder / "plan", folder / "figures", "demo", catalog)


def write(results: Path) -> None:
    """Write the page."""
    from matcg.report.page.page import write_report as step

    step({"demo": results / "experiments/demo"}, results / "plan", results / "report.html")


def look(page: Path) -> list[float]:
    """Return how many seconds it takes to open the page, to sort its table, to search that."""
    from browser import browser

    with browser() as chromium:
        chromium.driver.set_script_timeout(600)
        chromium.open(page)
        wait = chromium.driver.execute_async_script
        opened = wait(OPENED)
        sort = wait(REDRAW, "Difference", "")
        search = wait(REDRAW, "", "fixed-task 7")
        return [ms / 1000 for ms in (opened, sort, search)]


if __name__ == "__main__":
    main()
