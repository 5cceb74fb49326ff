"""What a plan is said to take: hours, disk, budget, the smallest effect."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from matcg.analysis.statistics import mcnemar_p
from matcg.config.workflow import Budget, Config
from matcg.errors import ConfigError
from matcg.plan import price, throughput
from matcg.plan.enumerate import Plan, make_plan
from matcg.plan.places import Places
from matcg.plan.tables import (
    question_counts,
    read_accounts,
    render_tables,
    smallest_effect,
    summarise_plan,
    write_tables,
)
from matcg.plan.throughput import Measured
from planned import RESOURCES, backbone, costs, priced, project

LORA = {"method": "lora", "rank": 4, "learning_rate": 0.001, "epochs": 3, "batch_size": 8}


def test_hours_and_disk_come_from_recipe_sizes_and_speed() -> None:
    finetune, predict = costs(priced())
    assert (finetune.units, predict.units) == (24 * 60 * 2, 26 * 10)
    assert finetune.hours == pytest.approx(24 * 60 * 2 / 10 / 3600 * 2), "two GPUs a job"
    assert predict.hours == pytest.approx(26 * 10 / 5 / 3600 * 2)
    assert finetune.disk_gb == 12.0
    assert {finetune.device, predict.device} == {"GPU"}
    whole = price.total([finetune, predict])
    assert whole.gpu_hours == pytest.approx((finetune.hours or 0) + (predict.hours or 0))
    assert (whole.cpu_hours, whole.unknown) == (0, ())


def test_cores_are_counted_where_no_gpu_is_used_and_adapters_are_small() -> None:
    tiny = backbone(resources={**RESOURCES, "gpu": 0, "threads": 4}, recipes={"full": LORA})
    finetune, _ = costs(project(backbones={"tiny": tiny}))
    assert finetune.device == "CPU"
    assert finetune.hours == pytest.approx(24 * 60 * 3 / 10 / 3600 * 4)
    assert finetune.disk_gb == pytest.approx(24 * 0.02)


def test_what_was_measured_replaces_what_the_backbone_says() -> None:
    rows = (
        Measured("finetune", "tiny", "full", "A100", 3, 600, 20.0),
        Measured("finetune", "tiny", "full", "T4", 1, 600, 600.0),
        Measured("finetune", "other", "full", "A100", 9, 9, 1.0),
    )
    finetune, predict = costs(priced(), rows)
    assert finetune.hours == pytest.approx(24 * 60 * 2 / 30 / 3600 * 2)
    assert finetune.basis == "measured, 3 jobs on A100"
    assert predict.basis == "backbone's file"


def test_what_starting_took_is_not_dealt_out_among_questions() -> None:
    """One job of 24 questions took 34 s, 33 of them to start; the plan asks 170,000."""
    alone = Measured("predict", "tiny", "", "A100", 1, 24, 34.0)
    assert alone.time(2, 170_000, 24.0) == pytest.approx(2 * 33 + 170_000 / 24)
    assert alone.time(2, 48, None) == pytest.approx(68)
    # Where jobs were slower than said, but not by their start, several sizes show it.
    sized = Measured("predict", "tiny", "", "A100", 3, 700, 100.0, 10.0)
    assert sized.time(1, 1000, 24.0) == pytest.approx(10 + 1000 * 70 / 700)
    found = throughput._start([(100, 20.0), (200, 30.0), (400, 50.0)])
    assert found == pytest.approx(10)
    assert throughput._start([(100, 20.0), (150, 30.0)]) is None
    assert throughput._start([(100, 30.0), (400, 20.0)]) is None


def test_what_is_not_known_is_not_said_to_be_nothing() -> None:
    given = priced(weights_mb=None)
    text = summarise_plan(make_plan(given), given, costs(given), {})
    assert "0.0 GB of weights (without finetune tiny, unknown)" in text


def test_known_test_sets_count_instead_of_the_cap() -> None:
    given = priced()
    known = {("world", "ct-brain-state"): 4}
    _, predict = price.price(make_plan(given), given, (), known)
    assert predict.units == 13 * 4 + 13 * 10


@pytest.mark.parametrize(
    ("budget", "resources", "reasons"),
    [
        ({}, {"samples_per_second": None}, []),
        ({"gpu_hours": 1, "disk_gb": 12}, {}, []),
        ({"gpu_hours": 0.1}, {}, ["the plan takes 0.2 GPU-hours, budget.gpu_hours is 0.1"]),
        ({"disk_gb": 11}, {}, ["the plan takes 12.0 GB of weights, budget.disk_gb is 11"]),
        ({"cpu_hours": 0.001}, {}, []),
        (
            {"gpu_hours": 9},
            {"samples_per_second": None},
            [
                "budget.gpu_hours is 9, and what finetune tiny takes is not known: say in the"
                " backbone's file (samples_per_second, questions_per_second)"
            ],
        ),
    ],
)
def test_a_plan_above_its_budget_or_of_unknown_price_is_refused(
    budget: dict[str, float], resources: dict[str, object], reasons: list[str]
) -> None:
    assert price.over_budget(costs(priced(**resources)), Budget(**budget)) == reasons


def summary(given: price.Project) -> str:
    given = replace(given, config=Config(experiments=("toy",), budget=Budget(gpu_hours=0.1)))
    return summarise_plan(
        make_plan(given),
        given,
        costs(given),
        {("world", "ct-brain-state"): {"given": {"test": 10}}},
    )


def test_the_summary_says_jobs_price_power_and_what_is_left_out() -> None:
    text = summary(priced())
    assert "| finetune | 24 |" in text
    assert "24 distinct runs and 26 evaluations (run x target), in place of 48 and 60" in text
    assert "- toy: differences are taken from the arm 'control'." in text
    assert "did you mean" not in text
    assert "| finetune | tiny | full | 24 | 2880 samples seen | 0.16 GPU-hours | 12.0 GB |" in text
    assert "Not launched: the plan takes 0.2 GPU-hours, budget.gpu_hours is 0.1." in text
    assert "| world | ct-brain-state | 10 |" in text
    assert "| world | us-knee-side | at most 10 | at least " in text
    assert "| toy | pair | cg | 2 | ct-brain-state: 2 of 4 combinations not chosen" in text


# --- The smallest effect -------------------------------------------------------------------------


@pytest.mark.parametrize("n", [100, 400])
def test_mcnemar_finds_the_smallest_effect_four_times_in_five(n: int) -> None:
    effect, rng = smallest_effect(n), np.random.default_rng(n)
    better, worse = (0.5 + effect) / 2, (0.5 - effect) / 2
    drawn = rng.choice([1.0, -1.0, 0.0], p=[better, worse, 0.5], size=(400, n))
    power = np.mean([mcnemar_p(differences) < 0.05 for differences in drawn])
    # The exact test is a little stricter than the normal approximation of the formula.
    assert 0.70 < power < 0.86


def test_few_questions_show_nothing_and_more_show_smaller_effects() -> None:
    assert smallest_effect(5) == 1.0
    effects = [smallest_effect(n) for n in (20, 50, 200, 1000)]
    assert effects == sorted(effects, reverse=True)


# --- Throughput ----------------------------------------------------------------------------------


@pytest.fixture
def plan() -> Plan:
    return make_plan(project())


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return replace(Places.of(project()), results=f"{tmp_path}/results")


@pytest.fixture
def tables(plan: Plan, places: Places, tmp_path: Path) -> Path:
    """Return the folder of the plan's tables."""
    folder = tmp_path / "results/plans/p-01234567"
    write_tables(render_tables(plan, places), folder)
    return folder


@pytest.fixture
def write_run(plan: Plan, places: Places) -> Callable[..., Path]:
    """Return a function that writes what a run of the plan took, and returns its record."""

    def write(number: int, seconds: float, job: float | None) -> Path:
        run = plan.runs[number]
        record = {"samples": 60, "recipe": {"epochs": 2}, "device": "A100", "seconds": seconds}
        path = Path(places.run(run), "provenance.json")
        write_text(path, json.dumps(record))
        if job is not None:
            write_text(Path(places.benchmark(run)), f"s\th:m:s\n{job}\t0:00:12\n")
        return path

    return write


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_finished_jobs_are_measured_with_all_their_time(
    write_run: Callable[..., Path], tables: Path, places: Places
) -> None:
    write_run(0, 10.0, 12.0)
    write_run(1, 10.0, None)
    groups = {"full+0-0123abcd": (100, 5.0), "full+1-0123abcd": (20, 1.0)}
    Path(places.group("tiny", "")).parent.mkdir(parents=True)
    for name, (questions, seconds) in groups.items():
        record = {"questions": questions, "starts": 1, "seconds": seconds, "device": "A100"}
        Path(places.group("tiny", name)).write_text(json.dumps(record))
    assert throughput.collect(tables) == (
        Measured("finetune", "tiny", "full", "A100", 2, 240, 22.0),
        Measured("predict", "tiny", "", "A100", 2, 120, 6.0, 0.0),
    )


def test_a_run_of_several_tries_is_measured_with_all_of_them(
    write_run: Callable[..., Path], tables: Path
) -> None:
    write_run(0, 50.0, 12.0)
    assert [row.seconds for row in throughput.collect(tables)] == [50.0]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"samples": "x"}'])
def test_a_damaged_record_measures_nothing(
    write_run: Callable[..., Path], tables: Path, text: str
) -> None:
    write_run(0, 10.0, None).write_text(text)
    assert throughput.collect(tables) == ()


def test_what_another_plan_has_measured_stays(write_run: Callable[..., Path], tables: Path) -> None:
    write_run(0, 10.0, None)
    path = tables.parents[1] / throughput.NAME
    mine = Measured("finetune", "tiny", "full", "A100", 1, 120, 10.0)
    others = Measured("finetune", "other", "full", "A100", 3, 9, 2.0)
    throughput.write_speeds([replace(mine, seconds=99.0), others], path)
    throughput.refresh(tables)
    assert set(throughput.read_speeds(path)) == {mine, others}


def test_a_plan_without_tables_leaves_what_is_known(tmp_path: Path) -> None:
    throughput.refresh(tmp_path / "results/plans/none-01234567")
    assert not (tmp_path / "results").exists()


def test_the_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    known = Measured("predict", "tiny", "", "A100 80GB", 2, 240, 22.0, 3.5)
    rows = (Measured("finetune", "tiny", "full", "A100 80GB", 2, 240, 22.0), known)
    path = tmp_path / "results/t.tsv"
    throughput.write_speeds(rows, path)
    assert throughput.read_speeds(path) == rows
    # As it was written before starts were told apart.
    path.write_text("\n".join(line.rpartition("\t")[0] for line in path.read_text().splitlines()))
    assert throughput.read_speeds(path) == (rows[0], replace(known, start=None))
    assert throughput.read_speeds(tmp_path / "none.tsv") == ()


@pytest.mark.parametrize("line", ["a\tb", "finetune\tb\tr\td\t1\t2\tx", "f\tb\tr\td\t1\t2\t0.0"])
def test_a_damaged_table_names_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "t.tsv").write_text(f"header\n{line}\n")
    with pytest.raises(ConfigError, match=r"t.tsv, line 2: no measurement; remove the file"):
        throughput.read_speeds(tmp_path / "t.tsv")


# --- Files ---------------------------------------------------------------------------------------


def test_numbers_of_test_questions_are_those_of_the_prepared_data(tmp_path: Path) -> None:
    folders = {("world", name): tmp_path / name for name in ("a", "b")}
    assert read_accounts(folders) == {}
    write_text(tmp_path / "a/summary.json", json.dumps({"given": {"train": 9, "test": 7}}))
    assert question_counts(read_accounts(folders)) == {("world", "a"): 7}


def test_targets_that_can_tell_nothing_come_first_with_what_is_known_of_them():
    given = project()
    plan = make_plan(given)
    faulty = {"given": {"test": 40}, "constants": {"letter A": 39}}
    accounts = {("world", "ct-brain-state"): faulty}
    section = summarise_plan(plan, given, [], accounts).partition("## No verdict")[2]
    assert section.splitlines()[4:6] == [
        "| toy | ct-brain-state | 39 of 40 questions are answered by letter A |",
        "| toy | us-knee-side | 10 questions, of which `minimum_questions` asks 30 |",
    ]
    few = project({"minimum_questions": 10})
    assert "No verdict" not in summarise_plan(make_plan(few), few, [], {})
    limited = replace(given, config=Config(experiments=("toy",), limit={"questions": 4}))
    assert "No verdict" not in summarise_plan(make_plan(limited), limited, [], {})
