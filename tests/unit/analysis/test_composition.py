"""Both gains and the verdict on them, from invented answers whose accuracies are known."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import synthetic
from matcg.analysis.composition import Composition, column, compositions, verdict
from matcg.analysis.pairs import Setting
from matcg.analysis.reduced import knocked_out
from matcg.analysis.statistics import Estimate
from matcg.analysis.summary import summaries
from matcg.plan.records import Reduced
from matcg.report.tables.composition import composition_in
from matcg.report.tables.table import read_rows
from synthetic import World, about, blank

TARGETS = tuple(
    f"{m}-{a}-{t}" for m, a, t in zip(
        ("ct", "mri", "xray") * 2, ("brain", "lung", "knee", "lung", "knee", "brain"),
        ("state", "side", "level") * 2, strict=True,
    )
)  # fmt: skip
KNOCK_OUTS = ("without-modality", "without-area", "without-task")


def written(tmp_path: Path, world: World, reduced: Sequence[Reduced] | None = None) -> None:
    """Write the tables, the headline and what they are made of."""
    rows = synthetic.make(tmp_path, world)
    given = synthetic.reduced_of(rows) if reduced is None else reduced
    synthetic.tabulate(tmp_path, reduced=tuple(given))


def made(
    tmp_path: Path, world: World, drop: int = 0, reduced: Sequence[Reduced] | None = None
) -> list[Composition]:
    """Return the records alone; of the first `drop` targets nothing is taken out."""
    rows = synthetic.make(tmp_path, world)
    given = synthetic.reduced_of(rows) if reduced is None else reduced
    given = [each for each in given if each.target not in world.targets[:drop]]
    study = synthetic.study_of(tmp_path)
    gains = summaries(study.of([row for row in study.rows if row.arm in ("cg", "control")]), [])
    return compositions(study, given, [], gains)


def world(**accuracy: float) -> World:
    arms = {
        "cg": 0.8,
        "control": 0.3,
        **{name.replace("_", "-"): a for name, a in accuracy.items()},
    }
    return World(targets=TARGETS, rules=("fixed-task",), accuracy=arms)


def over_targets(found: list[Composition]) -> Composition:
    (whole,) = (each for each in found if not each.target)
    return whole


def headline(tmp_path: Path) -> dict[str, Any]:
    text = (tmp_path / synthetic.EXPERIMENT / "headline.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def test_every_element_contributed(tmp_path: Path) -> None:
    given = world(without_modality=0.5, without_area=0.4, without_task=0.3)
    written(tmp_path, given)
    whole = over_targets(made(tmp_path / "again", given))
    assert whole.verdict == "composed"
    assert whole.least == "modality"
    assert whole.targets == 6
    assert whole.composition is not None
    assert whole.composition == pytest.approx(0.3, abs=0.1) or whole.composition.value > 0.2
    assert whole.composition.value == min(each.value for each in whole.gains.values() if each)
    said = headline(tmp_path)
    assert said["headline"].endswith("6 targets: composed")
    result = said["results"][0]
    related = [result["composition"][f"relatedness{end}"] for end in ("", "_low", "_high")]
    arm = result["arms"]["cg"]
    assert related == [arm[f"minus_reference{end}"] for end in ("", "_low", "_high")]
    assert "composition gain" in said["results"][0]["sentence"]
    assert said["results"][0]["composition"]["verdict"] == "composed"


def test_the_headline_names_what_stayed_in_its_place(tmp_path: Path) -> None:
    written(tmp_path, world(without_modality=0.5, without_area=0.4))
    said = headline(tmp_path)["headline"]
    assert ", least without modality, task not taken out, 6 targets: " in said


def test_one_element_that_adds_nothing_is_related_only(tmp_path: Path) -> None:
    found = made(tmp_path, world(without_modality=0.5, without_area=0.8, without_task=0.3))
    whole = over_targets(found)
    assert whole.verdict == "related only"
    assert whole.least == "area"
    single = [each for each in found if each.target]
    assert len(single) == 6
    assert sum(each.verdict == "composed" for each in single) <= 1


def test_nothing_shown_and_harm(tmp_path: Path) -> None:
    flat = dict.fromkeys(("without_modality", "without_area", "without_task"), 0.5)
    alike = world(cg=0.5, control=0.5, **flat)
    assert over_targets(made(tmp_path / "a", alike)).verdict in ("nothing shown", "related only")
    hurt = world(cg=0.2, control=0.6, **flat)
    assert over_targets(made(tmp_path / "b", hurt)).verdict == "harm"


def test_without_knock_outs_nothing_is_written(tmp_path: Path) -> None:
    written(tmp_path, World())
    assert not (tmp_path / synthetic.EXPERIMENT / "tables/composition.csv").exists()
    assert "composition" not in json.dumps(headline(tmp_path))


def test_what_shares_one_element_alone_is_counted(tmp_path: Path) -> None:
    given = world(without_modality=0.5, without_area=0.4, without_task=0.3)
    found = made(tmp_path, given, drop=2)
    whole = over_targets(found)
    assert (whole.targets, whole.not_testable) == (4, 2)
    verdicts = {each.target: each.verdict for each in found if each.target}
    assert {t for t, v in verdicts.items() if v == "not testable"} == set(TARGETS[:2])


def test_where_none_can_be_tested_the_headline_says_so(tmp_path: Path) -> None:
    given = world(without_modality=0.5)
    one = [Reduced("elsewhere", "r", "c", "without", "none", "", "modality", "c")]
    written(tmp_path, given, reduced=one)
    assert headline(tmp_path)["headline"].endswith("composition gain: not testable")


def test_parts_are_said_beside_the_verdict(tmp_path: Path) -> None:
    low = {"without_modality": 0.4, "without_area": 0.4, "without_task": 0.3}
    well = over_targets(made(tmp_path / "a", world(part_without_area=0.8, **low)))
    assert well.said == "composed, but more of one part does as well, as far as is shown"
    assert well.best_part == "without area"
    lost = well.lost["lost_without_area"]
    assert lost is not None
    assert lost.low < 0.0 < lost.high
    badly = over_targets(made(tmp_path / "b", world(part_without_area=0.4, **low)))
    assert badly.said == "composed, and better than more of its nearest part"
    lost = badly.lost["lost_without_area"]
    assert lost is not None
    assert lost.value == pytest.approx(0.8, abs=0.12)


def test_what_repeats_its_samples_is_marked(tmp_path: Path) -> None:
    given = world(without_modality=0.4, part_without_area=0.8)
    reduced = synthetic.reduced_of(synthetic.plan_rows(given))
    marked = [replace(each, repeated="600 1200") for each in reduced]
    whole = over_targets(found := made(tmp_path, given, reduced=marked))
    assert whole.best_part == "without area, repeated"
    assert {each.note for each in found if each.target} == {"repeated without modality"}


def test_elements_that_were_not_taken_out_are_named(tmp_path: Path) -> None:
    whole = over_targets(made(tmp_path, world(without_modality=0.4, without_area=0.4)))
    assert whole.untested == "task"
    assert whole.gains.keys() == {column("modality"), column("area")}


def test_stand_ins_are_counted_and_said(tmp_path: Path) -> None:
    given = world(without_modality=0.5, without_area=0.4)
    reduced = synthetic.reduced_of(synthetic.plan_rows(given))
    marked = [
        replace(each, note="in place of x unrelated data") if each.target == TARGETS[0] else each
        for each in reduced
    ]
    found = made(tmp_path, given, reduced=marked)
    assert "stands for a source in 1 target" in over_targets(found).note
    assert "unrelated data" in next(each for each in found if each.target == TARGETS[0]).note


def test_located_scores_have_both_gains_too(tmp_path: Path) -> None:
    given = world(without_modality=0.5, without_area=0.4, without_task=0.3)
    found = made(tmp_path, replace(given, boxes=TARGETS))
    whole = over_targets(found)
    assert (whole.score, whole.verdict) == ("mean IoU", "composed")


def test_intervals_of_few_targets_stay_possible(tmp_path: Path) -> None:
    given = replace(world(without_modality=0.5, without_area=0.4), targets=TARGETS[:2])
    whole = over_targets(made(tmp_path, given))
    found = [each for each in (whole.composition, *whole.gains.values()) if each]
    assert len(found) == 3
    assert all(-1 <= each.low <= each.value <= each.high <= 1 for each in found)


def test_one_target_is_about_its_runs(tmp_path: Path) -> None:
    given = world(without_modality=0.5, without_area=0.4, without_task=0.3)
    whole = over_targets(made(tmp_path, replace(given, targets=TARGETS[:1])))
    assert "about these runs on one target" in whole.note


def test_several_rules_are_corrected_over_rules_and_stand_together_too(tmp_path: Path) -> None:
    given = world(without_modality=0.5, without_area=0.72, without_task=0.3)
    given = replace(given, rules=("fixed-task", "fixed-modality"), combinations=2)
    found = made(tmp_path, given)
    over = {each.rule: each for each in found if not each.target}
    assert over.keys() == {"", "fixed-task", "fixed-modality"}
    rules = [over["fixed-task"], over["fixed-modality"]]
    assert min(each.p_holm or 0 for each in rules) == pytest.approx(
        2 * min(e.p or 0 for e in rules)
    )
    assert over[""].p_holm == over[""].p
    singles = [each for each in found if each.target == TARGETS[0]]
    assert len(singles) == 4
    smallest = min(each.p or 0 for each in singles)
    assert min(each.p_holm or 0 for each in singles) == pytest.approx(min(4 * smallest, 1))


def test_the_order_of_rows_arms_and_seeds_changes_nothing(tmp_path: Path) -> None:
    given = world(without_modality=0.5, without_area=0.6, part_without_area=0.7, ceiling=0.9)
    given = replace(given, seeds=(0, 1))
    one = made(tmp_path / "a", given)
    turned = replace(
        given,
        targets=given.targets[::-1],
        seeds=given.seeds[::-1],
        accuracy=dict(reversed(given.accuracy.items())),
    )
    reduced = synthetic.reduced_of(synthetic.plan_rows(given))
    other = made(tmp_path / "b", turned, reduced=reduced[::-1])
    assert one == other


def test_missing_answers_are_no_verdict(tmp_path: Path) -> None:
    given = world(without_modality=0.5, without_area=0.4)
    rows = synthetic.make(tmp_path, given)
    gone = next(r for r in rows if r["arm"] == "without-area" and r["target"] == TARGETS[0])
    synthetic.files_of(tmp_path, TARGETS[0])[gone["asked"]].unlink()
    out = synthetic.tabulate(tmp_path, reduced=tuple(synthetic.reduced_of(rows)), show_missing=True)
    table = composition_in(out / "tables")
    assert table is not None
    found = {each.target: each for each in read_rows(out / "tables", table)}
    assert found[TARGETS[0]].verdict == "not all answered"
    assert found[TARGETS[0]].composition is None
    assert found[""].targets == 6


def test_the_page_shows_both_gains(tmp_path: Path) -> None:
    written(tmp_path, world(without_modality=0.5, without_area=0.4, without_task=0.3))
    page = synthetic.write_page(tmp_path).read_text(encoding="utf-8")
    assert "What each element gave" in page
    assert "CG minus without modality" in page
    assert page.index("6 targets: composed") < page.index("<nav")


@pytest.mark.parametrize(
    ("related", "p", "expected"),
    [
        (about(0.3, 0.1), 0.01, "composed"),
        (about(0.3, 0.1), 0.03, "related only"),
        (about(0.0, 0.1), 0.03, "nothing shown"),
        (about(-0.3, 0.1), 0.01, "harm"),
        (None, 0.01, "composed"),
        (about(0.3, 0.1), None, "related only"),
    ],
)
def test_verdicts(related: Estimate | None, p: float | None, expected: str) -> None:
    assert verdict(blank(Composition, relatedness=related, p_holm=p)) == expected


def test_elements_stand_in_the_order_of_the_catalog() -> None:
    one = Reduced("t", "r", "c", "w-task", "knock-out", "task", "area task", "")
    two = Reduced("u", "r", "c", "w-area", "knock-out", "area", "modality area task", "")
    assert knocked_out([one, two]) == ["area", "task"]
    assert Setting("b", "r", 1, 0).n_train == 1
