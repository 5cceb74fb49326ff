"""Share of the way from control to ceiling."""

from pathlib import Path

import numpy as np
import pytest

import synthetic
from matcg.analysis.share_of_the_way import ratio, share_of_the_way
from synthetic import World


def test_a_constant_share_has_no_spread_and_one_target_no_interval() -> None:
    found = ratio([0.1, 0.2, 0.3], [0.2, 0.4, 0.6])
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert ratio([0.1], [0.2]) is None


def test_the_interval_holds_the_share() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(1_000):
        room = rng.uniform(0.3, 0.7, 12)
        found = ratio(0.6 * room + rng.normal(0, 0.1, 12), room)
        assert found is not None
        held += found.low <= 0.6 <= found.high
    assert held / 1_000 == pytest.approx(0.95, abs=0.03)


def test_targets_without_room_are_counted_and_left_out(tmp_path: Path) -> None:
    world = World(accuracy={"cg": 0.6, "control": 0.3, "ceiling": 0.9})
    synthetic.make(tmp_path, world)
    study = synthetic.study_of(tmp_path)
    (setting,) = study.settings()
    found = share_of_the_way(study, setting, study.arm(setting, "cg"))
    assert (found.targets, found.left_out) == (3, 0)
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(0.5, abs=0.15)
    flat = tmp_path / "flat"
    synthetic.make(flat, World(accuracy={"cg": 0.6, "control": 0.6, "ceiling": 0.6}))
    study = synthetic.study_of(flat)
    found = share_of_the_way(study, setting, study.arm(setting, "cg"))
    assert found.estimate is None
    assert found.left_out == 3 - (found.targets or 0)


def test_without_a_ceiling_there_is_none(tmp_path: Path) -> None:
    synthetic.make(tmp_path, World(accuracy={"cg": 0.6, "control": 0.6}))
    study = synthetic.study_of(tmp_path)
    (setting,) = study.settings()
    assert share_of_the_way(study, setting, study.arm(setting, "cg")).targets is None
