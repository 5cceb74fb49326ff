"""The tiny backbone made from nothing, in a few steps of each stage."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from matcg.errors import DataError
from matcg.tiny import make as backbone
from matcg.tiny.lessons import Bank
from matcg.tiny.shapes import ATTRIBUTES


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave three steps of each stage and few pictures."""
    for name in ("BIND", "SEE", "ANSWER", "PLACE", "POINT"):
        short = replace(getattr(backbone, name), steps=3, batch=6)
        monkeypatch.setattr(backbone, name, short)
    monkeypatch.setattr(Bank, "HELD_OUT", 40)
    monkeypatch.setattr(backbone, "BANK", 1000)
    monkeypatch.setattr(backbone, "LONGEST", {"boxes": 3, "mask": 3})


@pytest.mark.usefixtures("hasty")
def test_a_backbone_that_answers_badly_is_refused(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"reaches \d+\.\d% of 'all' on held-out pictures, less than 90%"
    ):
        backbone.make(tmp_path / "bad", 0, 1)
    assert not (tmp_path / "bad").exists()


@pytest.mark.slow("three backbones are made")
@pytest.mark.usefixtures("hasty")
def test_the_seed_decides_all_weights_under_the_names_that_vllm_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backbone, "QUALITY", {})
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        backbone.make(tmp_path / name, seed, 1)
    one, two, three = (
        load_file(tmp_path / n / "model.safetensors") for n in ("one", "two", "three")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], three[name]) for name in one)
    towers = [name for name in one if "vision_tower" in name]
    assert towers
    assert all("vision_tower.vision_model." in name for name in towers)
    record = json.loads((tmp_path / "one" / "training.json").read_text())
    assert {row["stage"] for row in record["loss"]} == {
        *("letters", "sight", "answers", "places", "pointing")
    }
    assert set(record["accuracy"]) == {*ATTRIBUTES, "all", "boxes", "mask"}
