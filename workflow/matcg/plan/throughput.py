"""How fast jobs have been: measured from finished ones, kept in `results/throughput.tsv`.

The table prices the next plan; it is no part of any artifact's identity and reruns nothing.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matcg import tsv
from matcg.errors import ConfigError
from matcg.plan.records import read_places, read_runs
from matcg.provenance import read_record

NAME = "throughput.tsv"
ALIKE = 2  # times as many units as the smallest job, from which on sizes tell start from rate

_Place = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, order=True)
class Measured:
    """What finished jobs of one step did: `units` are samples seen, or questions answered.

    `seconds` is the jobs' time from start to end, loading included; `recipe` is empty for predict.
    `start` is what a job takes before its first unit, None where jobs were too alike to tell.
    """

    step: str
    backbone: str
    recipe: str
    device: str
    jobs: int
    units: int
    seconds: float
    start: float | None = None

    def time(self, jobs: int, units: int, prior: float | None) -> float:
        """Return the seconds that so many jobs of so many units take.

        Where `start` is not known, units are taken to have passed at the `prior` rate, if there is
        one and jobs took longer than that.
        """
        start = self.start
        if start is None:
            start = max(0.0, self.seconds - self.units / prior) / self.jobs if prior else 0.0
        return start * jobs + (self.seconds - start * self.jobs) / self.units * units


def refresh(plan: Path) -> None:
    """Put what the finished jobs of a plan have measured into the table beside all results.

    `plan` is the folder of its tables; where there are none yet nothing is done. What other plans
    have measured of other backbones, recipes and devices stays.

    Raises:
        ConfigError: a line of the table is not of its form.
    """
    if (plan / "runs.tsv").exists():
        path = plan.parents[1] / NAME
        known = {_place(row): row for row in read_speeds(path)}
        write_speeds(list((known | {_place(row): row for row in collect(plan)}).values()), path)


def collect(plan: Path) -> tuple[Measured, ...]:
    """Return what the plan's finished jobs have measured, pooled; unreadable records are skipped.

    `plan` is the folder of its tables. A record that cannot be read measures nothing: whether the
    run itself is whole is for the steps that use it to say.
    """
    jobs: dict[_Place, list[tuple[int, float]]] = defaultdict(list)
    for place, units, seconds in (*_finetuned(plan), *_predicted(plan)):
        jobs[place].append((units, seconds))
    found = [_pooled(place, done) for place, done in sorted(jobs.items())]
    return tuple(row for row in found if row.units and row.seconds)


def _pooled(place: _Place, jobs: Sequence[tuple[int, float]]) -> Measured:
    """Return what some jobs' units and seconds measure."""
    units, seconds = (sum(column) for column in zip(*jobs, strict=True))
    return Measured(*place, len(jobs), int(units), round(seconds, 2), _start(jobs))


def _start(jobs: Sequence[tuple[int, float]]) -> float | None:
    """Return where the line through jobs' units and seconds begins; None for jobs alike in size."""
    units, seconds = zip(*jobs, strict=True)
    if max(units) < ALIKE * min(units):
        return None
    slope, start = statistics.linear_regression(units, seconds)
    return round(min(max(start, 0.0), *seconds), 2) if slope > 0 else None


def _place(row: Measured) -> _Place:
    return row.step, row.backbone, row.recipe, row.device


def _finetuned(plan: Path) -> Iterator[tuple[_Place, int, float]]:
    results = plan.parents[1]
    for (backbone, key), folder in read_runs(plan).items():
        record = read_record(folder / "provenance.json")
        place = folder.relative_to(results / "runs")
        seconds = _job_seconds(results / "benchmarks/finetune" / f"{place}.tsv")
        try:
            seen = int(record["samples"]) * int(record["recipe"]["epochs"])
            recipe = key.partition("/")[0]
            # The record has the time of all tries, the benchmark that of the last one only.
            yield (
                ("finetune", backbone, recipe, str(record["device"])),
                seen,
                max(seconds, float(record["seconds"])),
            )
        except (KeyError, TypeError, ValueError):
            continue


def _predicted(plan: Path) -> Iterator[tuple[_Place, int, float]]:
    answers = plan.parents[1] / "answers"
    asked = {
        (backbone, path.relative_to(answers).parts[0])
        for (backbone, *_), path in read_places(plan).items()
    }
    for backbone, folder in sorted(asked):
        for path in sorted((answers / folder).glob("*.json")):
            record = read_record(path)
            try:
                place = ("predict", backbone, "", str(record["device"]))
                if record["questions"]:  # of none, where all answers were kept
                    yield place, int(record["questions"]), float(record["seconds"])
            except (KeyError, TypeError, ValueError):
                continue


def _job_seconds(path: Path) -> float:
    """Return the wall time in a Snakemake benchmark file, imports included; 0 without one."""
    try:
        return float(path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0])
    except (OSError, ValueError, IndexError):
        return 0.0


def write_speeds(rows: Sequence[Measured], path: Path) -> None:
    """Write the table; nothing is written where nothing was measured."""
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tsv.records(Measured, rows), encoding="utf-8")


def read_speeds(path: Path) -> tuple[Measured, ...]:
    """Return the table's rows, none where there is no table.

    Raises:
        ConfigError: a line is not of its form.
    """
    if not path.exists():
        return ()
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], start=2):
        cells = line.split("\t")
        try:
            step, backbone, recipe, device, jobs, units, seconds, *start = cells  # older: none
            told = None if start in ([], ["None"]) else float(start[0])
            count = int(jobs), int(units), float(seconds)
            row = Measured(step, backbone, recipe, device, *count, told)
            if min(count) <= 0 or len(start) > 1:
                raise ValueError
        except ValueError:
            raise ConfigError(
                f"{path}, line {number}: no measurement; remove the file, it is made anew"
            ) from None
        rows.append(row)
    return tuple(rows)
