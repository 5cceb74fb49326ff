"""What is hidden from transformers comes back, and forks have all imported that a run needs."""

import importlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from data_makers import folder, write_mix
from matcg.config.backbone import Backbone
from matcg.config.library import load
from matcg.phantom.world import generate
from matcg.samples import read_samples
from matcg.train import lean

ROOT = Path(__file__).parents[3]
# Trains as a fork does, and prints the package of each module that was imported only then.
LEFT = """
import sys
from pathlib import Path
from matcg.config.backbone import Backbone, Recipe
from matcg.train import lean
from matcg.train.finetune import finetune
lean.import_all()
ahead = set(sys.modules)
mix, data, backbone, out = sys.argv[1:]
Path(out).mkdir()
backbone, recipe = Backbone.model_validate_json(backbone), {"epochs": 1, "batch_size": 2}
recipe = Recipe(learning_rate=1e-3, **recipe)
finetune(Path(mix), Path(data), backbone, recipe, 0, Path(out), threads=1)
print(*(name.split(".")[0] for name in set(sys.modules) - ahead))
"""


@pytest.mark.parametrize("alone", [False, True])
def test_what_is_hidden_comes_back(alone: bool) -> None:
    scipy, available = importlib.import_module("scipy"), torch.distributed.is_available
    with lean._hidden(alone):
        for name in lean.UNUSED:
            with pytest.raises(ImportError):
                importlib.import_module(name)
        assert torch.distributed.is_available() != alone
    assert importlib.import_module("scipy") is scipy
    assert torch.distributed.is_available is available


def test_a_fork_has_nothing_left_to_import(tiny: Backbone, tmp_path: Path) -> None:
    catalog = load("catalog", ROOT / "catalogs/phantom.yaml")
    name = "ct-brain-state"
    folder(tmp_path, name, list(generate(catalog.subset(name), {"seed": 0}, "train", 2)))
    mix = write_mix(tmp_path / "mix.parquet", read_samples(tmp_path / name / "train.parquet"))
    asked = (str(mix), str(tmp_path), tiny.model_dump_json(), str(tmp_path / "run"))
    done = subprocess.run(
        [sys.executable, "-c", LEFT, *asked],
        cwd=ROOT / "workflow",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    left = Counter(done.stdout.splitlines()[-1].split())
    assert not {"pandas", "torchvision", "sympy", "requests", "accelerate"} & left.keys()
    # Of transformers that is what belongs to the architecture; with all it would be thousands.
    assert sum(left.values()) < 150, left
