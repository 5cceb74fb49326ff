"""What composition gain a design can show."""

import pytest

from matcg.plan.gain_power import shown_gain


@pytest.mark.parametrize(("targets", "share"), [(6, 0.13), (12, 0.53), (24, 0.93)])
def test_ten_points_are_claimed_as_often_as_was_sketched(targets: int, share: float) -> None:
    """12 points (SD) between targets and three knock-outs, as sketched by another simulation."""
    found = shown_gain(targets, 3)
    assert found is not None
    assert found.example == pytest.approx(share, abs=0.03)


def test_more_targets_show_less_and_more_elements_need_more() -> None:
    few, many, two = shown_gain(6, 3), shown_gain(24, 3), shown_gain(24, 2)
    assert few is not None
    assert many is not None
    assert two is not None
    assert few.gain > many.gain > two.gain > 0
    assert shown_gain(1, 3) is None
