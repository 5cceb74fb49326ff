"""Whatever rows hold, each is read whole or set aside, or the file is refused."""

import random
from pathlib import Path

import fuzzing
from hypothesis import given, settings
from hypothesis import strategies as st


def test_the_seeds_are_read(tmp_path):
    path = tmp_path / "x.json"
    data = fuzzing.json.dumps(fuzzing.rows()).encode()
    assert fuzzing.read_rows(data, lambda text: path.write_bytes(text) and path) == "6 rows"


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**32))
def test_rows_of_changed_structure_are_read_or_set_aside(tmp_path_factory, seed):
    path: Path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    data = fuzzing.changed_rows(random.Random(seed))
    said = fuzzing.read_rows(data, lambda text: path.write_bytes(text) and path)
    assert said == "refused" or int(said.split()[0]) >= 1
