"""What composition gain a design can show."""

import pytest

from matcg.config.catalog import Catalog
from matcg.config.explain import validate
from matcg.plan.enumerate import make_plan
from matcg.plan.gain_power import shown_gain
from matcg.plan.tables import summarise_plan
from planned import project, world


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


def said(targets: list[str], catalog: Catalog, **arms: object) -> str:
    """Return what a plan's summary says of the gain that can be shown."""
    asked = {"targets": targets, "rules": ["pair"], "choose": {"n": 1}, "seeds": [0]}
    given = project({**asked, "arms": {"cg": {}, **arms}}, catalogs={"world": catalog})
    return summarise_plan(make_plan(given), given, [], {}).partition("## Left out")[0]


def test_the_plan_says_so_and_counts_mirrors_as_one() -> None:
    data = world().model_dump(exclude_unset=True)
    mirror = [{**each, "id": f"m-{each['id']}", "block": "m"} for each in data["subsets"]]
    plain = [{**each, "block": "p"} for each in data["subsets"]]
    both = validate(Catalog, {**data, "subsets": [*plain, *mirror]}, "world.yaml")
    targets = [f"{m}-{a}-state" for m in ("ct", "mri", "us") for a in ("brain", "lung", "knee")]
    without = {"like": "cg", "knock_out": "each"}
    alone = said(targets, world(), without=without)
    assert "toy, 9 targets, 3 knock-outs: a composition gain of" in alone
    mirrored = said([*targets, *(f"m-{each}" for each in targets)], both, without=without)
    assert "toy, 9 targets, 3 knock-outs" in mirrored
    assert "too few for a composition gain" in said(targets[:2], world(), without=without)
    assert "composition gain" not in said(targets, world())
