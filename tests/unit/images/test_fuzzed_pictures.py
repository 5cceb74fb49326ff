"""Whatever a file's structure says, it is shown or refused, in bounded time and memory."""

import random
import time

import fuzzing
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matcg.images import bounds

PICTURES = fuzzing.pictures()


@pytest.mark.parametrize("number", range(len(PICTURES)))
def test_the_seeds_are_shown(number, tmp_path):
    assert fuzzing.look(PICTURES[number], tmp_path / "x") in ("shown", "image not shown")


@pytest.mark.slow("a thousand pictures are read in five ways")
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(PICTURES) - 1), st.integers(0, 2**32))
def test_a_picture_of_changed_structure_is_shown_or_refused(tmp_path_factory, number, seed):
    data = fuzzing.changed(PICTURES[number], random.Random(seed))
    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "MAX_PIXELS", 1_000_000)
        patch.setattr(bounds, "MAX_BYTES", 8_000_000)
        fuzzing.look(data, tmp_path_factory.getbasetemp() / "fuzzed")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("number", fuzzing.ONCE)
def test_a_picture_that_once_failed_otherwise_is_refused(number, tmp_path):
    chance = random.Random(number)
    data = fuzzing.changed(chance.choice(PICTURES), chance)
    assert fuzzing.look(data, tmp_path / "x") != "shown"
