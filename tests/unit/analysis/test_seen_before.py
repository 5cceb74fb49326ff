"""Targets that the untouched backbone answers above chance, and the headline without them."""

import json
from pathlib import Path

import synthetic
from matcg.analysis.seen_before import seen_before
from synthetic import World

ACCURACY = {
    "baseline": 0.25,
    "cg": 0.8,
    "control": 0.3,
    "without-modality": 0.5,
    "without-area": 0.4,
}


def test_above_chance_is_seen_and_chance_is_not(tmp_path: Path) -> None:
    synthetic.make(tmp_path / "a", World())
    assert seen_before(synthetic.study_of(tmp_path / "a")) == set()
    synthetic.make(tmp_path / "b", World(accuracy=ACCURACY | {"baseline": 0.7}))
    study = synthetic.study_of(tmp_path / "b")
    assert seen_before(study) == {("tiny", ("cat", target)) for target in World().targets}


def test_the_headline_is_also_given_without_them(tmp_path: Path) -> None:
    """One target's baseline is right, the others' guesses."""
    known, *rest = World().targets
    rows = synthetic.make(tmp_path, World(accuracy=ACCURACY))
    told = World(accuracy=ACCURACY | {"baseline": 0.8})
    (row,) = (r for r in rows if (r["arm"], r["target"]) == ("baseline", known))
    synthetic.write_answers(tmp_path, told, row)
    out = synthetic.tabulate(tmp_path, reduced=tuple(synthetic.reduced_of(rows)))
    found = json.loads((out / "headline.json").read_text(encoding="utf-8"))
    assert found["not_seen_before"]["left_out"] == 1
    assert found["not_seen_before"]["headline"].count(f"{len(rest)} targets") == 2
    assert "perhaps seen before" in (out / "tables/composition.csv").read_text(encoding="utf-8")
