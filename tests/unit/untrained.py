"""A tiny backbone with weights as they are before any training, for tests that fine-tune."""

from pathlib import Path
from typing import Any

import pytest

from matcg.config.backbone import Backbone
from matcg.config.library import load

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Return the tiny backbone's tokeniser."""
    # torch takes seconds, and few tests need it
    from matcg.tiny.model import add_places, make_tokenizer

    tokenizer = make_tokenizer()
    add_places(tokenizer)
    return tokenizer


@pytest.fixture(scope="session")
def tiny(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """Return the tiny backbone with weights as they are before any training."""
    import torch

    from matcg.tiny.make import save_backbone
    from matcg.tiny.model import make_model

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("backbone") / "tiny"
    save_backbone(make_model(tokenizer, seed=0), tokenizer, folder)
    backbone: Backbone = load("backbone", ROOT / "backbones" / "tiny-llava.yaml")
    return backbone.model_copy(update={"weights": str(folder)})
