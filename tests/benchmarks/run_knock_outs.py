"""Measures planning with knock-outs and parts; prints rows for docs/benchmarks.md.

`python tests/benchmarks/run_knock_outs.py [--repeats 5]` plans experiments/every-combination.yaml,
758 combinations, as it is, with knock-outs of each element, and with parts too. Seconds are those
of the processor in `make_plan`, the median of all repeats after a first one.
"""

import argparse
import datetime as dt
import tempfile
import time
from pathlib import Path
from statistics import median

import yaml
from run_default import ROOT, machine, version

from matcg.config.project import load_project
from matcg.plan.enumerate import make_plan

HEADER = """
| date | version | machine | arms | combinations | rows | runs | planning (s) |
|---|---|---|---|---|---|---|---|""".lstrip()
KNOCK_OUTS = {"without": {"like": "cg", "knock_out": "each"}}
PARTS = {"part-without": {"like": "cg", "parts": "each"}}
SHAPES = {"as shipped": {}, "knock-outs": KNOCK_OUTS, "knock-outs and parts": KNOCK_OUTS | PARTS}


def main() -> None:
    """Print a row for each choice of arms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print(HEADER, flush=True)
    for name, arms in SHAPES.items():
        where = [dt.date.today().isoformat(), version(), machine(1), name]
        print(f"| {' | '.join([*where, *measure(arms, repeats)])} |", flush=True)


def measure(arms: dict[str, dict[str, str]], repeats: int) -> list[str]:
    """Return combinations, rows, runs and seconds of the plan with further arms."""
    experiment = yaml.safe_load((ROOT / "experiments/every-combination.yaml").read_text())
    experiment["arms"] |= arms
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "every-combination.yaml")
        path.write_text(yaml.safe_dump(experiment, sort_keys=False))
        for _ in range(repeats + 1):
            project = load_project({"experiments": [str(path)]}, ROOT, {})
            start = time.process_time()
            plan = make_plan(project)
            seconds.append(time.process_time() - start)
    combinations = {(row.target, row.rule, row.combination) for row in plan.rows if row.rule}
    counts = (len(combinations), len(plan.rows), len(plan.runs))
    return [*map(str, counts), f"{median(seconds[1:]):.2f}"]


if __name__ == "__main__":
    main()
