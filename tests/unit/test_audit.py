"""The leak audit finds test images that are trained on, and only those."""

import csv
from dataclasses import replace

import pytest

from data_makers import folder, sample
from matcg.data.audit import audit
from matcg.data.mix import make_mix
from test_mix import Mix


@pytest.fixture
def rows(tmp_path):
    """Audit target `t` on a mix that holds two of its four test images, and on a clean one."""
    data = tmp_path / "data" / "tiny"
    test = [sample(n, subset="t") for n in range(4)]
    leaky = [replace(sample(n, subset="s"), digest=test[n].digest) for n in (1, 3)]
    parts = {
        "s": folder(data, "s", [*leaky, sample(8, subset="s")]),
        "u": folder(data, "u", [sample(n, subset="u") for n in range(20, 30)]),
        # A training image of the target's own is no leak.
        "t": folder(data, "t", [sample(50, subset="t")], test),
    }
    make_mix(Mix((("s", 3), ("u", 5))), parts, ("t",), 8, tmp_path / "mixes" / "both.parquet")
    make_mix(Mix((("u", 5), ("t", 1))), parts, (), 6, tmp_path / "mixes" / "clean.parquet")
    uses = [("tiny", "clean", "t"), ("tiny", "both", "t"), ("tiny", "both", "t")]
    audit(uses, tmp_path / "mixes", tmp_path / "data", tmp_path / "audit.tsv")
    with (tmp_path / "audit.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_every_use_has_one_row_whatever_it_finds(rows):
    assert [(row["catalog"], row["target"], row["mix"]) for row in rows] == [
        ("tiny", "t", "both"),
        ("tiny", "t", "clean"),
    ]


def test_duplicated_test_images_are_counted_and_shown(rows):
    both, clean = rows
    assert (both["test_images"], both["duplicated"]) == ("4", "2")
    assert both["examples"] == "t-1 = s-1; t-3 = s-3"
    assert (clean["duplicated"], clean["examples"]) == ("0", "")
