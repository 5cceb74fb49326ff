"""Pictures of which a backbone's crop cuts a finding off are counted, and each is listed."""

from dataclasses import replace

from data_makers import found
from matcg.data.cut_off import COUNTS, PICTURES, cut_off
from matcg.samples import Finding, write_samples

WIDE = (96, 48)  # its middle square is from 24 to 72


def box(x1, x2):
    return Finding("lesion", (float(x1), 8.0, float(x2), 24.0))


def test_pictures_are_counted_by_file_and_backbone(tmp_path):
    samples = [
        found(1, box(30, 60), box(20, 30), size=WIDE),  # one of two is cut
        found(2, box(0, 20), size=WIDE),  # nothing is seen of it
        found(3, box(24, 72), size=WIDE),  # just the square
        found(4, size=WIDE),
    ]
    samples = [replace(each, sample_id=f"s{n}") for n, each in enumerate(samples)]
    file = tmp_path / "cells/blood-0a1b2c3d/test.parquet"
    write_samples(file, samples)
    whole = tmp_path / "cells/blood-0a1b2c3d/train.parquet"
    write_samples(whole, samples[2:])
    counts, listed = cut_off([whole, file], {"a": 48, "b": 336})
    one, two = (dict(zip(COUNTS, row, strict=True)) for row in counts)
    assert one == {
        "catalog": "cells",
        "subset": "blood",
        "samples": "test",
        "backbone": "a",
        "with_finding": 3,
        "cut": 2,
        "unseen": 1,
    }
    assert two == one | {"backbone": "b"}
    pictures = [dict(zip(PICTURES, row, strict=True)) for row in listed]
    assert [(each["backbone"], each["row"], each["reason"]) for each in pictures] == [
        (backbone, *row)
        for backbone in "ab"
        for row in (
            ("s0", "1 of 2 findings cut off"),
            ("s1", "1 of 1 findings cut off, 1 wholly"),
        )
    ]
    assert pictures[0]["image"] == samples[0].origin
