"""Whatever rows hold, each is read whole or set aside, or the file is refused."""

import random

import fuzzing
from hypothesis import given, settings
from hypothesis import strategies as st


def test_the_seeds_are_read(tmp_path):
    data = fuzzing.json.dumps(fuzzing.rows()).encode()
    assert fuzzing.read_rows(data, tmp_path / "x.json") == "6 rows"


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_rows_of_changed_structure_are_read_or_set_aside(tmp_path_factory, seed, lines):
    path = tmp_path_factory.getbasetemp() / ("fuzzed.jsonl" if lines else "fuzzed.json")
    said = fuzzing.read_rows(fuzzing.changed_rows(random.Random(seed), lines), path)
    assert said == "refused" or int(said.split()[0]) >= 1
