"""The best answer that needs no picture, where it is known, and its way to the table."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matcg.analysis.prior import best_place, cells_of, scores
from matcg.data.mix_samples import MIX_SCHEMA
from matcg.forms.boxes import FORM as BOXES
from matcg.geometry import encoded
from matcg.plan.records import read_folders
from matcg.report.tables import declared
from matcg.report.tables.compare import Wanted, compare
from matcg.report.tables.table import read_rows
from matcg.samples import Finding, labelled, write_samples
from synthetic import EXPERIMENT, PLAN, World, make, samples_of, write_dicts

SIZE = (64, 128)


def box(x1: float, y1: float, x2: float, y2: float, masked: bool = False) -> Finding:
    """Return a finding in a picture of `SIZE`; with `masked` its mask is the box, filled."""
    pixels = np.zeros(SIZE[::-1], np.uint8)
    pixels[int(y1) : int(y2), int(x1) : int(x2)] = 1
    return Finding("a", (x1, y1, x2, y2), encoded(pixels) * masked)


def prior(training: Any, tested: Any, dice: bool = False) -> float:
    place = best_place(training, dice)
    assert place is not None
    return float(scores(place[None], cells_of(tested), dice).mean())


@pytest.mark.parametrize("masked", [False, True])
def test_the_most_frequent_place_is_the_prior(masked: bool) -> None:
    usual, rare = box(0, 0, 32, 64, masked), box(32, 64, 64, 128, masked)
    training = [([usual], SIZE)] * 3 + [([rare], SIZE)] * 2 + [([], SIZE)]
    assert prior(training, training) == pytest.approx(3 / 6)
    # Half of the upper half: twice as wide, of another size, at the same place.
    wide = [([Finding("a", (0.0, 0.0, 20.0, 5.0))], (20, 10))]
    assert prior(training, wide) == pytest.approx(0.5)
    # A mask of both places is better than either: 5/6 of 2/3 against 3/6.
    assert prior(training, training, dice=True) == pytest.approx(5 / 9)
    assert prior(training[:3], wide, dice=True) == pytest.approx(2 / 3)


def test_a_place_between_others_can_be_better_than_the_most_frequent() -> None:
    apart = [([box(x, 0, x + 32.0, 64)], SIZE) for x in (0, 0, 16, 16, 32, 32)]
    # Of the outer ones two fit, two by a third; of the middle one two fit, four by a third.
    assert prior(apart, apart) == pytest.approx((2 + 4 / 3) / 6)


def test_what_two_findings_cover_together_can_be_the_best_place() -> None:
    pair = [([box(0, 0, 32, 64, True), box(32, 0, 64, 64, True)], SIZE)]
    assert prior(pair, pair, dice=True) == 1
    corners = [([box(0, 0, 8, 8), box(56, 120, 64, 128)], SIZE)]
    # One box: around both it covers all of the picture, so that one of them alone is better.
    assert prior(corners, corners) == pytest.approx(1 / 2)


def test_without_a_finding_there_is_no_prior() -> None:
    assert best_place([([], SIZE)], dice=False) is None


def test_each_arm_has_the_prior_of_its_own_training_answers(tmp_path: Path) -> None:
    """From files: CG was trained on the place that is right in half of the test, control not."""
    target, digest = "ct-brain-state", "0a1b2c3d"
    world = World(targets=(target,), boxes=(target,), digest=digest, seeds=(0, 1))
    rows = make(tmp_path, world)
    pictures = samples_of(world, target)
    source = tmp_path / "data/cat" / f"source-{digest}"
    write_samples(source / "train.parquet", pictures, digest)
    table = tmp_path / PLAN / "subsets.tsv"
    known = {**read_folders(tmp_path / PLAN), ("cat", "source"): source}
    columns = ("catalog", "subset", "digest", "path")
    lines = [(*key, digest, str(path)) for key, path in known.items()]
    write_dicts(table, columns, [dict(zip(columns, line, strict=True)) for line in lines])
    whole, corner = Finding("mass", (0.0, 0.0, 24.0, 24.0)), Finding("mass", (0.0, 0.0, 6.0, 6.0))
    mixes = {}
    for row in rows:
        given = {"cg": whole, "control": corner}.get(row["arm"])
        answers = [BOXES.packed((given,)) if given else [] for _ in pictures]
        schema = pa.schema([*MIX_SCHEMA, BOXES.answer])
        names = [each.sample_id for each in pictures]
        arrays = [pa.array(range(len(names)), pa.int32()), ["source"] * len(names), names, answers]
        path = tmp_path / "mixes" / f"{row['mix']}-{digest}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table(arrays, schema=labelled(schema, {"digest": digest})), path)
        mixes[row["mix"]] = path
    del mixes[""]
    compare(tmp_path / PLAN, Wanted("demo"), tmp_path / EXPERIMENT, mixes=mixes)
    tables = tmp_path / EXPERIMENT / "tables"
    found = {each.arm: each.prior for each in read_rows(tables, declared.LOCALISATION)}
    areas = [
        sum((b[2] - b[0]) * (b[3] - b[1]) for b in [f.box for f in each.findings])
        for each in pictures
    ]
    overlap = [
        max(0, 6 - each.findings[0].box[0]) * max(0, 6 - each.findings[0].box[1])
        if each.findings
        else 0
        for each in pictures
    ]
    expected = {
        "cg": np.mean([area / 24**2 for area in areas]),
        "control": np.mean(
            [both / (36 + area - both) for both, area in zip(overlap, areas, strict=True)]
        ),
    }
    # Findings end at whole pixels, and cells at thirds of them.
    for arm, value in expected.items():
        assert found[arm] == pytest.approx(value, abs=0.01)
    assert found["CG minus control"] == pytest.approx(found["cg"] - found["control"], abs=1e-6)
    assert found["baseline"] is found["floor"] is None
