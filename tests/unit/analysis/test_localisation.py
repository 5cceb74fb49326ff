"""Scores of boxes and masks by loops over pictures, and what they do to comparison and headline."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matcg.analysis.answers import ChoiceAnswers, LocatedAnswers, read_answers
from matcg.analysis.blank_images import looking, sentences
from matcg.analysis.clusters import Origins
from matcg.analysis.comparison import Claims, comparisons
from matcg.analysis.headline import headline
from matcg.analysis.localisation import SCORES, localisations
from matcg.analysis.pairs import Study
from matcg.analysis.protocols import AskedRuns, by_protocols
from matcg.analysis.summary import summaries
from matcg.analysis.units import united
from matcg.config.protocol import Protocol
from matcg.errors import DataError
from matcg.forms.mask import FORM as MASK
from matcg.plan.records import Row
from matcg.report.tables import declared
from matcg.report.tables.compare import Wanted, compare
from matcg.report.tables.table import read_rows
from matcg.report.tables.write import write_table
from matcg.tsv import write_tsv
from synthetic import (
    EXPERIMENT,
    PLAN,
    World,
    files_of,
    make,
    samples_of,
    table_of,
    tabulate,
    write_page,
)

N = 40
IDS = np.array([f"q{index:02d}" for index in range(N)])


def row(arm: str, seed: int = 0, target: str = "t", **more: Any) -> Row:
    """Return an arm's run on a target."""
    rule, combination = ("r", "a + b") if arm == "cg" else ("", "")
    run = f"full/{arm}.{target}/seed{seed}"
    fields = ("x", "cat", target, rule, combination, arm, "tiny", "full", seed, "m", run, 60)
    return Row(*fields, **{"asked": run, **more})


def boxes(seed: int, skill: float = 0.5, empty: float = 0.3) -> LocatedAnswers:
    """Return answers to `N` pictures, the same ones whatever the seed; better with more skill."""
    world, rng = np.random.default_rng(1), np.random.default_rng(seed)
    findings = world.integers(1, 4, N) * (world.random(N) >= empty)
    area = world.uniform(10, 500, N)
    given = np.where(rng.random(N) < 0.2, 0, np.maximum(findings, rng.random(N) > skill))
    both = (findings > 0) & (given > 0)
    inter = both * area * rng.uniform(skill - 0.4, skill + 0.4, N).clip(0, 1)
    union = np.where(both, area, area * ((findings > 0) | (given > 0)))
    iou = np.where(union > 0, inter / np.where(union > 0, union, 1), 1.0)
    tp = np.minimum(findings, given) * (iou >= 0.5)
    return LocatedAnswers(
        sample_id=IDS,
        answer=findings.astype(str),
        score=iou,
        measure="mean IoU",
        inter=inter,
        union=union,
        findings=findings.astype(float),
        given=given.astype(float),
        file=Path(),
        ill_formed=rng.integers(0, 2, N).astype(float),
        matches=np.stack([tp, given - tp, findings - tp], axis=1).astype(float),
    )


def expected(found: LocatedAnswers) -> dict[str, float]:
    """Return the scores of one run by their definitions, picture by picture."""
    pictures = range(N)
    has, said = found.findings > 0, found.given > 0
    tp, fp, fn = found.matches.sum(axis=0)
    sick, well = [p for p in pictures if has[p]], [p for p in pictures if not has[p]]
    return {
        "mean": sum(found.score[p] for p in pictures) / N,
        "mean_with_finding": sum(found.score[p] for p in sick) / len(sick),
        "ciou": sum(found.inter[p] for p in pictures) / sum(found.union[p] for p in pictures),
        "above_half": sum(found.score[p] > 0.5 for p in pictures) / N,
        "f1": 2 * tp / (2 * tp + fp + fn),
        "sensitivity": sum(said[p] for p in sick) / len(sick),
        "specificity": sum(not said[p] for p in well) / len(well),
        "ill_formed": sum(found.ill_formed[p] > 0 for p in pictures) / N,
    }


def study(answers: dict[Row, Any], origins: Any = None) -> Study:
    """Return a study of rows with their answers."""
    return Study(list(answers), {row.key: each for row, each in answers.items()}, origins)


ARMS = {row("cg"): boxes(2, 0.8), row("control"): boxes(3, 0.4)}


def values(found: Any) -> dict[str, float]:
    return {name: each and each.value for name, each in found.scores.items()}


def test_every_score_is_as_it_is_defined() -> None:
    cg, control, gap = localisations(study(ARMS))
    assert [each.arm for each in (cg, control, gap)] == ["cg", "control", "CG minus control"]
    for found, answers in zip((cg, control), ARMS.values(), strict=True):
        assert values(found) == pytest.approx(expected(answers))
        assert all(each.low <= each.value <= each.high for each in found.scores.values())
        assert (found.tp, found.fp, found.fn) == tuple(answers.matches.sum(axis=0))
        union = answers.union
        assert found.effective == pytest.approx(union.sum() ** 2 / (union**2).sum())
        assert set(found.p.values()) == {None}
    pairs = zip(*(expected(each).items() for each in ARMS.values()), strict=True)
    assert values(gap) == pytest.approx({name: one - other for (name, one), (_, other) in pairs})
    assert set(gap.p) == {f"p_{name}" for name in SCORES}
    assert gap.p["p_mean"] < 0.01 < gap.p["p_specificity"]
    assert (gap.with_finding, gap.pictures) == (int((boxes(2).findings > 0).sum()), N)


@pytest.mark.parametrize(("known", "prior"), [("t", None), ("tu", 0.5)])
def test_targets_that_count_as_one_have_a_prior_where_all_have(known: str, prior: Any) -> None:
    place = np.full(N, 0.5)
    answers = {
        row("cg", target=name): replace(boxes(2), prior=place if name in known else None)
        for name in "tu"
    }
    (found,) = localisations(united(study(answers), {"t": "t", "u": "t"}))
    assert (found.prior, found.pictures) == (prior, 2 * N)


def test_records_are_averaged_over_runs_before_scores_are_formed() -> None:
    runs = [boxes(seed, 0.6) for seed in range(3)]
    found, *_ = localisations(study({row("cg", seed): each for seed, each in enumerate(runs)}))
    top, bottom = (sum(getattr(run, name).sum() for run in runs) for name in ("inter", "union"))
    assert found.scores["ciou"].value == pytest.approx(top / bottom)
    ratio = np.mean([run.inter.sum() / run.union.sum() for run in runs])
    assert found.scores["ciou"].value != pytest.approx(ratio, abs=1e-6)
    assert found.runs == 3


def test_scores_without_a_denominator_are_empty_with_their_p(tmp_path: Any) -> None:
    empty = replace(boxes(2, empty=1.1), matches=None)
    found = localisations(study({row("cg"): empty, row("control"): boxes(3, empty=1.1)}))
    for name in ("mean_with_finding", "ciou", "sensitivity"):
        assert all(each.scores[name] is None for each in found)
        assert found[-1].p[f"p_{name}"] is None
    assert found[0].scores["f1"] is found[0].tp is None
    assert found[0].scores["specificity"].value == expected_specificity(empty)
    write_table(tmp_path, declared.LOCALISATION, found, "demo")
    again = read_rows(tmp_path, declared.LOCALISATION)
    assert [each.arm for each in again] == [each.arm for each in found]
    assert again[0].scores["mean"].value == pytest.approx(found[0].scores["mean"].value, abs=1e-6)


def expected_specificity(found: LocatedAnswers) -> float:
    return float((found.given == 0).mean())


def test_a_graded_score_is_compared_by_swaps_and_a_patient_counts_once() -> None:
    (found,) = comparisons(study(ARMS), Claims())
    gap = localisations(study(ARMS))[-1]
    assert found.score == "mean IoU"
    assert found.p_mcnemar is found.better is None
    assert found.p_swap == found.p_holm == pytest.approx(gap.p["p_mean"], abs=2e-3)
    assert found.difference.value == pytest.approx(gap.scores["mean"].value)
    half = (found.difference.high - found.difference.low) / 2
    assert (found.verdict, found.detectable, found.chance) == ("helps", half, None)
    patients = {("cat", "t"): Origins(np.arange(N) // 10, np.repeat("set", N))}
    (together,) = comparisons(study(ARMS, patients), Claims())
    # Of four clusters all 16 swaps: none can be rarer than the observed one and its mirror image.
    assert together.p_swap == 2 / 16
    assert together.verdict == "not detectable at this n"


def asked(name: str, skill: float, **more: Any) -> AskedRuns:
    """Return the two arms asked by a protocol; CG answers so well, control as without training."""
    tag = "" if name == "letters" else f"@{name}"
    rows = {arm: row(arm) for arm in ("cg", "control")}
    rows = {arm: replace(each, asked=each.run + tag) for arm, each in rows.items()}
    answers = {rows["cg"]: boxes(2, skill), rows["control"]: boxes(3, 0.4)}
    return AskedRuns(Protocol(name=name, **more), list(answers), study(answers))


@pytest.mark.parametrize(("skill", "verdict"), [(0.8, "prior only"), (0.4, "helps")])
def test_a_gain_that_needs_no_picture_is_a_prior(skill: float, verdict: str) -> None:
    ways = [asked("letters", 0.8), asked("shuffled", skill, image="shuffled")]
    (found,) = comparisons(ways[0].study, Claims(), ways[1].study)
    assert found.verdict == verdict
    gap = looking(ways)[-1]
    assert (gap.score, gap.arm) == ("mean IoU", "CG minus control")
    assert (gap.minus_shuffled.low > 0) == (verdict == "helps")
    (said,) = sentences(looking(ways))
    assert said.startswith("mean IoU: Of CG's ")
    assert "chance" not in said


def letters(right: int) -> ChoiceAnswers:
    """Return answers to `N` questions of two options of which so many are right."""
    marks = (np.arange(N) < right).astype(np.int64)
    return ChoiceAnswers(
        sample_id=IDS,
        answer=np.ones(N, np.int64),
        score=marks.astype(float),
        measure="accuracy",
        n_options=np.full(N, 2),
        predicted=marks,
        strict=np.ones(N, bool),
        mass=np.ones(N),
        confidence=np.ones(N, np.float32),
    )


def test_no_mean_is_over_targets_of_two_forms(tmp_path: Any) -> None:
    both = ARMS | {row("cg", target="u"): letters(30), row("control", target="u"): letters(20)}
    made = study(both)
    compared = comparisons(made, Claims())
    found = {(each.score, each.arm): each for each in summaries(made, compared) if not each.rule}
    alone = {each.arm: each for each in summaries(study(ARMS), []) if not each.rule}
    for arm in ("cg", "control"):
        assert found["accuracy", arm].accuracy.value == {"cg": 0.75, "control": 0.5}[arm]
        assert found["mean IoU", arm].accuracy == alone[arm].accuracy
        assert found["mean IoU", arm].targets == found["accuracy", arm].targets == 1
    said = headline(made, "demo", list(found.values()))
    first, second = said["headline"].split("; ")
    assert first.startswith("accuracy: CG 75.0 % against control 50.0 %")
    assert second.startswith("mean IoU: CG ")
    assert [each.get("score") for each in said["results"]] == [None, "mean IoU"]
    way = AskedRuns(Protocol(name="letters"), list(both), made)
    rows = {(each.score, each.arm): each for each in by_protocols([way])}
    assert rows["mean IoU", "cg"].accuracy.value == pytest.approx(ARMS[row("cg")].score.mean())
    assert rows["mean IoU", "cg"].strict is rows["mean IoU", "cg"].as_main is None
    assert rows["accuracy", "cg"].strict == 1.0
    assert [rows[score, "cg"].asked for score in ("accuracy", "mean IoU")] == [
        *("letter", "structured output")
    ]
    # The column stands only where it says something.
    for name, records in (("both", list(found.values())), ("one", [found["accuracy", "cg"]])):
        write_table(tmp_path / name, declared.SUMMARY, records, "demo")
        assert read_rows(tmp_path / name, declared.SUMMARY)[-1].score == records[-1].score
        header = (tmp_path / name / "summary.csv").read_text().partition("\n")[0]
        assert ("score" in header.split(",")) == (name == "both")


def test_answers_with_boxes_reach_the_tables_and_the_page(tmp_path: Path) -> None:
    """A target with boxes beside one with letters, from files, also asked of others' pictures."""
    protocols = (Protocol(name="letters"), Protocol(name="shuffled", image="shuffled"))
    targets, right = ("ct-brain-state", "mri-lung-side"), {"cg": 0.8, "control": 0.3}
    world = World(targets=targets, boxes=targets[1:], accuracy=right, protocols=protocols)
    make(tmp_path, world)
    folder = tabulate(tmp_path, protocols=protocols)
    found = {each.arm: each for each in read_rows(folder / "tables", declared.LOCALISATION)}
    pictures = samples_of(world, targets[1])
    assert found["control"].pictures == len(pictures) == 60
    assert found["cg"].with_finding == sum(bool(each.findings) for each in pictures)
    scores = table_of(tmp_path, targets[1]).to_pylist()
    for arm in right:
        mine = [each for each in scores if f"/{arm}-" in each["run"] and "@" not in each["run"]]
        runs = len(mine) / 60
        mean = np.mean([each["iou"] for each in mine])
        assert found[arm].scores["mean"].value == pytest.approx(mean, abs=1e-6)
        assert found[arm].tp == pytest.approx(sum(r["tp"] for r in mine) / runs)
        assert found[arm].scores["ciou"].value == pytest.approx(
            sum(r["inter"] for r in mine) / sum(r["union"] for r in mine), abs=1e-6
        )
    verdicts = {
        each.score: each.verdict for each in read_rows(folder / "tables", declared.COMPARISON)
    }
    # As well answered with other pictures: for letters that stands in a table of its own.
    assert verdicts == {"accuracy": "helps", "mean IoU": "prior only"}
    text = json.loads((folder / "headline.json").read_text())["headline"]
    assert [part.partition(": ")[0] for part in text.split("; ")] == ["accuracy", "mean IoU"]
    assert "Boxes and masks</h3>" in write_page(tmp_path).read_text()


def test_without_leaked_pictures_there_is_a_table_too(tmp_path: Path) -> None:
    target = "ct-brain-state"
    world = World(targets=(target,), boxes=(target,))
    trained = next(row for row in make(tmp_path, world) if row["mix"])
    leaked = tmp_path / "leaked.tsv"
    line = ("cat", target, trained["mix"], samples_of(world, target)[0].sample_id)
    write_tsv(leaked, ("catalog", "target", "mix", "sample_id"), [line])
    compare(tmp_path / PLAN, Wanted("demo"), tmp_path / EXPERIMENT, leaked)
    tables = tmp_path / EXPERIMENT / "tables"
    for table, pictures in (
        (declared.LOCALISATION, 60),
        (declared.without_leaks(declared.LOCALISATION), 59),
    ):
        assert {each.pictures for each in read_rows(tables, table)} == {pictures}
    text = (tables / "accuracy.md").read_text()
    assert "Mean score of every evaluation" in text
    assert "| Accuracy" not in text
    page = write_page(tmp_path).read_text()
    assert "localisation_without_leaks.csv" in page


def test_runs_that_were_asked_to_find_other_things_are_refused(tmp_path: Path) -> None:
    target = "ct-brain-state"
    make(tmp_path, World(targets=(target,), boxes=(target,)))
    path = files_of(tmp_path, target)["baseline"]
    table = pq.read_table(path)
    moved = table["true"].to_pylist()
    moved[0][0]["box"][0] += 1
    true = pa.array(moved, table.schema.field("true").type)
    pq.write_table(table.set_column(table.schema.get_field_index("true"), "true", true), path)
    with pytest.raises(DataError, match=r"differs from .* in questions or in right answers"):
        tabulate(tmp_path)


def test_masks_have_dice_and_the_limit_of_their_grid(tmp_path: Path) -> None:
    keys = ("inter", "union", "dice", "iou", "ceiling")
    values = {"a": (30.0, 60.0, 2 / 3, 0.5, 0.9), "b": (0.0, 0.0, 1.0, 1.0, 1.0)}
    mass = [{"label": "mass", "box": [0.0, 0.0, 8.0, 8.0], "mask": ""}]
    one = row("cg")
    rows = [
        {
            "run": one.run,
            "sample_id": name,
            "true": found,
            "given": found,
            "ill_formed": 0,
            "text": "",
        }
        | dict(zip(keys, values[name], strict=True))
        for name, found in (("b", []), ("a", mass))
    ]
    path = tmp_path / "answers.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=MASK.columns), path)
    (found,) = localisations(Study([one], read_answers({one.key: path}, [one])))
    assert found.score == "mean Dice"
    assert values_of(found, "mean", "mean_with_finding", "ciou") == [5 / 6, 2 / 3, 0.5]
    assert values_of(found, "above_half", "f1", "specificity") == [0.5, None, 1.0]
    assert (found.ceiling, found.tp, found.effective) == (0.95, None, 1.0)


def values_of(found: Any, *names: str) -> list[Any]:
    return [values(found)[name] and pytest.approx(values(found)[name]) for name in names]
